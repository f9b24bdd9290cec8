/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "bert-planner.h"

#include <glib/gi18n-lib.h>

#define GST_CAT_DEFAULT gst_bert_bin_debug
GST_DEBUG_CATEGORY_EXTERN (gst_bert_bin_debug);

#define FIRST_PAUSE_US (2 * G_USEC_PER_SEC)
#define LONGEST_PAUSE_US (60 * G_USEC_PER_SEC)

typedef struct
{
  BertPlanner *planner;
  char *name, *host;
  guint16 port;
  TandemNodeClient *client;     /* (nullable) */
  gboolean is_connecting;
  gint64 until;                 /* not to be asked before; 0: no reason */
  gint64 pause;
} Member;

struct _BertPlanner
{
  GstBertBin *bin;              /* borrowed */
  BertPlannerFunc changed;
  gpointer user_data;
  GPtrArray *members;
  TandemClusterKey *key;
  GCancellable *cancellable;
};

static void
member_free (gpointer data)
{
  Member *m = data;

  if (m->client != NULL)
    tandem_node_client_close (m->client);
  g_clear_object (&m->client);
  g_free (m->name);
  g_free (m->host);
  g_free (m);
}

static void
pause_member (Member *m)
{
  m->pause = m->pause == 0 ? FIRST_PAUSE_US : MIN (2 * m->pause, LONGEST_PAUSE_US);
  m->until = g_get_monotonic_time () + m->pause;
}

static void
on_described (GObject *source, GAsyncResult *result, gpointer data)
{
  Member *m = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemNodeInfo) info =
      tandem_node_client_describe_finish (TANDEM_NODE_CLIENT (source), result, &error);

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return;
  m->is_connecting = FALSE;
  if (info != NULL) {
    g_free (m->name);
    m->name = g_strdup (info->name);
  }
  m->planner->changed (m->planner->user_data);
}

static void
on_connected (GObject *source, GAsyncResult *result, gpointer data)
{
  Member *m = data;
  g_autoptr (GError) error = NULL;
  TandemNodeClient *client = tandem_node_client_connect_finish (result, &error);

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return;
  m->client = client;
  if (client != NULL) {
    tandem_node_client_describe_async (client, m->planner->cancellable, on_described, m);
    return;
  }
  m->is_connecting = FALSE;
  pause_member (m);
  m->planner->changed (m->planner->user_data);
}

static void
connect_members (BertPlanner *self)
{
  gint64 now = g_get_monotonic_time ();
  guint i;

  for (i = 0; i < self->members->len; i++) {
    Member *m = g_ptr_array_index (self->members, i);

    if (m->is_connecting || now < m->until ||
        (m->client != NULL && tandem_node_client_is_open (m->client)))
      continue;
    g_clear_object (&m->client);
    m->is_connecting = TRUE;
    tandem_node_client_connect_async (m->host, m->port, self->key, self->bin->used.insecure,
                                      self->cancellable, on_connected, m);
  }
}

BertPlanner *
bert_planner_new (GstBertBin *bin, BertPlannerFunc changed, gpointer user_data, GError **error)
{
  BertPlanner *self = g_new0 (BertPlanner, 1);
  g_auto (GStrv) list = g_strsplit (bin->used.nodes != NULL ? bin->used.nodes : "", ",", -1);
  guint i;

  self->bin = bin;
  self->changed = changed;
  self->user_data = user_data;
  self->members = g_ptr_array_new_with_free_func (member_free);
  self->cancellable = g_cancellable_new ();
  for (i = 0; list[i] != NULL && *list[i] != '\0'; i++) {
    Member *m = g_new0 (Member, 1);
    char *colon = strrchr (list[i], ':');

    m->planner = self;
    m->name = g_strdup (list[i]);
    m->host = g_strndup (list[i], colon - list[i]);
    m->port = atoi (colon + 1);
    g_ptr_array_add (self->members, m);
  }
  if (bin->used.key != NULL)
    self->key = tandem_cluster_key_load (bin->used.key, error);
  connect_members (self);
  return self;
}

void
bert_planner_free (BertPlanner *self)
{
  g_cancellable_cancel (self->cancellable);
  while (g_main_context_iteration (g_main_context_get_thread_default (), FALSE))
    ;
  g_ptr_array_unref (self->members);
  g_object_unref (self->cancellable);
  g_clear_object (&self->key);
  g_free (self);
}

gboolean
bert_planner_is_settled (BertPlanner *self)
{
  guint i;

  for (i = 0; i < self->members->len; i++)
    if (((Member *) g_ptr_array_index (self->members, i))->is_connecting)
      return FALSE;
  return TRUE;
}

static TandemPlacementProblem *
make_problem (BertPlanner *self, const TandemBatchShape *shape, GPtrArray *of, GError **error)
{
  guint n_layers = tandem_model_get_config (self->bin->model)->n_layers, i;
  g_autoptr (TandemPlacementProblem) problem =
      tandem_placement_problem_new_for_model (self->bin->model, self->bin->used.precision, shape,
                                              error);
  g_autoptr (TandemDevice) here = tandem_device_new ("here", n_layers);
  gint64 now = g_get_monotonic_time ();

  if (problem == NULL)
    return NULL;
  here->memory = self->bin->used.memory;
  here->n_threads = self->bin->used.n_threads;
  if (!tandem_placement_problem_add_device (problem, here, error))
    return NULL;
  g_ptr_array_add (of, NULL);
  for (i = 0; i < self->members->len; i++) {
    Member *m = g_ptr_array_index (self->members, i);
    g_autoptr (TandemDevice) device = tandem_device_new (m->name, n_layers);

    if (m->client == NULL || m->is_connecting || !tandem_node_client_is_open (m->client) || now < m->until)
      continue;
    if (!tandem_placement_problem_add_device (problem, device, error))
      return NULL;
    g_ptr_array_add (of, m);
  }
  for (i = 0; i < of->len; i++) {
    guint k;
    TandemNetworkLink l = { 1e9, 0 };
    for (k = 0; k < of->len; k++)
      if (k != i) tandem_placement_problem_set_link (problem, i, k, &l, NULL);
  }
  return g_steal_pointer (&problem);
}

static BertRoute *
make_route (BertPlanner *self, const TandemPlacement *placement, GPtrArray *of)
{
  BertRoute *route = bert_route_new (placement->n_stages);
  guint i;

  for (i = 0; i < placement->n_stages; i++) {
    const TandemPlacementStage *stage = &placement->stages[i];
    Member *m = g_ptr_array_index (of, stage->device);
    BertStop *stop = &route->stops[i];

    stop->name = g_strdup (m != NULL ? m->name : _("this device"));
    stop->first = stage->first_layer;
    stop->last = stage->last_layer;
    stop->n_threads = m != NULL ? 1 : self->bin->used.n_threads;
    if (m != NULL) {
      stop->client = g_object_ref (m->client);
      stop->host = g_strdup (m->host);
    }
  }
  return route;
}

BertRoute *
bert_planner_choose (BertPlanner *self, const TandemBatchShape *shape, GError **error)
{
  g_autoptr (GPtrArray) of = g_ptr_array_new ();
  g_autoptr (TandemPlacementProblem) problem = make_problem (self, shape, of, error);
  g_autoptr (TandemPlacement) placement = NULL;
  g_autoptr (GError) inner = NULL;

  if (problem == NULL)
    return NULL;
  connect_members (self);
  if (self->bin->used.placement != NULL) {
    placement = tandem_placement_problem_read_placement (problem, self->bin->used.placement,
                                                         self->bin->used.objective, &inner);
    if (placement != NULL)
      return make_route (self, placement, of);
  }
  if (bert_planner_fits_here (self, shape, error))
    return bert_route_new_local (self->bin);
  if (inner != NULL) {
    g_clear_error (error);
    g_propagate_error (error, g_steal_pointer (&inner));
  }
  return NULL;
}

gboolean
bert_planner_fits_here (BertPlanner *self, const TandemBatchShape *shape, GError **error)
{
  guint n_layers = tandem_model_get_config (self->bin->model)->n_layers;
  g_autoptr (TandemPlacementProblem) problem = NULL;
  g_autoptr (TandemDevice) here = tandem_device_new ("here", n_layers);
  guint64 needed;

  if (!self->bin->used.local) {
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                         _("no other device is there, and this one is not to run the model"));
    return FALSE;
  }
  if (self->bin->used.memory == 0)
    return TRUE;
  problem = tandem_placement_problem_new_for_model (self->bin->model, self->bin->used.precision,
                                                    shape, error);
  here->n_threads = self->bin->used.n_threads;
  if (problem == NULL || !tandem_placement_problem_add_device (problem, here, error))
    return FALSE;
  needed = tandem_placement_problem_get_memory (problem, 0, 0, n_layers - 1);
  if (needed <= self->bin->used.memory)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
               _("all layers need %s MiB of memory; this device may use %s"),
               "x", "y");
  return FALSE;
}

void
bert_planner_blame (BertPlanner *self, TandemNodeClient *client, const GError *error)
{
  guint i;

  for (i = 0; i < self->members->len; i++) {
    Member *m = g_ptr_array_index (self->members, i);

    if (client == NULL || m->client != client)
      continue;
    pause_member (m);
    tandem_node_client_close (m->client);
    g_clear_object (&m->client);
  }
}
