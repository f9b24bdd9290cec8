/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The cluster says which devices there are and how fast they were; here it is corrected by how long
 * they took lately, and those are left out that failed a short while ago. */

#include "config.h"

#include "bert-planner-private.h"

#include <glib/gi18n-lib.h>
#define GST_CAT_DEFAULT gst_bert_bin_debug
GST_DEBUG_CATEGORY_EXTERN (gst_bert_bin_debug);

/* How long a node is left alone that failed. */
#define FIRST_PAUSE_US (2 * G_USEC_PER_SEC)
#define LONGEST_PAUSE_US (60 * G_USEC_PER_SEC)
/* Nodes that could not be measured are measured again after this. */
#define PREPARE_PAUSE_US (2 * G_USEC_PER_SEC)
/* A move takes as long, beside stage files that have to be sent. */
#define MOVE_SECONDS 0.5

BertRecord *
bert_planner_get_record (BertPlanner *self, const char *key)
{
  BertRecord *record = g_hash_table_lookup (self->records, key != NULL ? key : "");

  if (record == NULL) {
    record = g_new0 (BertRecord, 1);
    g_hash_table_insert (self->records, g_strdup (key != NULL ? key : ""), record);
  }
  return record;
}

gboolean
bert_planner_may_use (BertPlanner *self, const TandemClusterMember *member)
{
  return member->is_usable && member->client != NULL &&
      tandem_node_client_is_open (member->client) &&
      g_get_monotonic_time () >= bert_planner_get_record (self, member->key)->until;
}

void
bert_planner_forget (BertPlanner *self)
{
  g_clear_object (&self->problem);
  g_clear_object (&self->plain);
  g_clear_pointer (&self->members, g_ptr_array_unref);
}

/* --- devices --- */

static gboolean
needs_preparation (BertPlanner *self)
{
  g_autoptr (GPtrArray) members = tandem_cluster_dup_members (self->cluster);
  guint i;

  for (i = 0; i < members->len; i++) {
    const TandemClusterMember *member = g_ptr_array_index (members, i);

    if (member->is_usable && member->profile == NULL)
      return TRUE;
  }
  return FALSE;
}

static void
on_prepared (GObject *source, GAsyncResult *result, gpointer data)
{
  BertPlanner *self = data;
  g_autoptr (GError) error = NULL;

  if (!tandem_cluster_prepare_finish (TANDEM_CLUSTER (source), result, &error))
    GST_INFO_OBJECT (self->bin, "not measured: %s", error->message);
  g_clear_object (&self->preparing);
  self->next_prepare = g_get_monotonic_time () + PREPARE_PAUSE_US;
  if (!self->is_freed) {
    self->is_prepared = TRUE;
    bert_planner_forget (self);
    self->changed (self->user_data);
  }
}

/* Where nobody can be found, and nobody is listed, people should know why. */
static void
check_discovery (BertPlanner *self)
{
  g_autoptr (GPtrArray) members = NULL;
  g_autoptr (GError) problem = NULL;

  if (self->was_warned || (problem = tandem_cluster_dup_problem (self->cluster)) == NULL)
    return;
  self->was_warned = TRUE;
  members = tandem_cluster_dup_members (self->cluster);
  if (members->len == 0)
    GST_ELEMENT_WARNING (self->bin, RESOURCE, NOT_FOUND, ("%s", problem->message),
                         ("no nodes are listed"));
}

/* Measures who was not measured yet. */
static void
check_devices (BertPlanner *self)
{
  if (self->preparing != NULL || self->bin->used.placement != NULL ||
      g_get_monotonic_time () < self->next_prepare || !needs_preparation (self))
    return;
  self->preparing = g_cancellable_new ();
  tandem_cluster_prepare_async (self->cluster, self->bin->model, self->bin->used.precision,
                                self->bin->used.n_threads, self->preparing, on_prepared, self);
}

static void
on_cluster_changed (TandemCluster *cluster, gpointer data)
{
  BertPlanner *self = data;

  bert_planner_forget (self);
  check_discovery (self);
  check_devices (self);
  self->changed (self->user_data);
}

gboolean
bert_planner_is_settled (BertPlanner *self)
{
  return self->preparing == NULL && tandem_cluster_is_settled (self->cluster) &&
      (self->bin->used.placement != NULL || !needs_preparation (self));
}

BertPlanner *
bert_planner_new (GstBertBin *bin, BertPlannerFunc changed, gpointer user_data, GError **error)
{
  const BertSettings *used = &bin->used;
  g_autoptr (TandemClusterKey) key = NULL;
  g_autoptr (TandemCluster) cluster = NULL;
  BertPlanner *self;

  if (used->key != NULL && *used->key != '\0') {
    key = tandem_cluster_key_load (used->key, error);
    if (key == NULL || !tandem_cluster_key_check_validity (key, error))
      return NULL;
  }
  cluster = tandem_cluster_new (used->nodes, key, used->insecure, error);
  if (cluster == NULL)
    return NULL;
  self = g_new0 (BertPlanner, 1);
  self->bin = bin;
  self->changed = changed;
  self->user_data = user_data;
  self->cluster = g_steal_pointer (&cluster);
  self->records = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  tandem_wire_formats_from_string (used->formats != NULL ? used->formats : "f32", &self->formats,
                                   NULL);
  tandem_cluster_set_memory_limit (self->cluster, used->memory);
  g_signal_connect (self->cluster, "changed", G_CALLBACK (on_cluster_changed), self);
  tandem_cluster_start (self->cluster);
  return self;
}

void
bert_planner_free (BertPlanner *self)
{
  self->is_freed = TRUE;
  g_signal_handlers_disconnect_by_data (self->cluster, self);
  if (self->preparing != NULL)
    g_cancellable_cancel (self->preparing);
  tandem_cluster_stop (self->cluster);
  /* Whoever measures this device lets go of it soon. */
  while (self->preparing != NULL)
    g_main_context_iteration (g_main_context_get_thread_default (), TRUE);
  bert_planner_forget (self);
  g_clear_object (&self->cluster);
  g_hash_table_unref (self->records);
  g_free (self);
}

void
bert_planner_blame (BertPlanner *self, TandemNodeClient *client, const GError *error)
{
  g_autoptr (GPtrArray) members = tandem_cluster_dup_members (self->cluster);
  guint i;

  for (i = 0; client != NULL && i < members->len; i++) {
    const TandemClusterMember *member = g_ptr_array_index (members, i);
    BertRecord *record;

    if (member->client != client)
      continue;
    record = bert_planner_get_record (self, member->key);
    record->pause = record->pause == 0 ? FIRST_PAUSE_US
                                       : MIN (2 * record->pause, LONGEST_PAUSE_US);
    record->until = g_get_monotonic_time () + record->pause;
    GST_INFO_OBJECT (self->bin, "%s is left alone for %.0f s: %s", member->name,
                     (double) record->pause / G_USEC_PER_SEC, error->message);
  }
  bert_planner_forget (self);
}

/* --- routes --- */

static gboolean
has_file (BertPlanner *self, const TandemNodeInfo *info, const BertStop *stop)
{
  guint i;

  for (i = 0; info != NULL && i < info->n_files; i++)
    if (g_str_equal (info->files[i].model, tandem_model_get_fingerprint (self->bin->model)) &&
        info->files[i].first_layer == stop->first && info->files[i].last_layer == stop->last)
      return TRUE;
  return FALSE;
}

/* Stage files go out at the same time. */
static double
get_cost (BertPlanner *self, const TandemPlacement *placement, const BertRoute *route)
{
  double most = 0;
  guint i;

  for (i = 0; i < route->n_stops; i++) {
    guint device = placement->stages[i].device;
    const TandemClusterMember *member = g_ptr_array_index (self->members, device);
    TandemNetworkLink link;

    if (member == NULL || has_file (self, member->info, &route->stops[i]))
      continue;
    tandem_placement_problem_get_link (self->problem, 0, device, &link);
    if (link.bandwidth > 0)
      most = MAX (most, (double) placement->stages[i].memory / link.bandwidth);
  }
  /* While they are sent the work goes on, but for what crosses the same links. */
  return MOVE_SECONDS + most / 4;
}

static BertRoute *
make_route (BertPlanner *self, const TandemPlacement *placement)
{
  BertRoute *route = bert_route_new (placement->n_stages);
  guint i, k;

  for (i = 0; i < placement->n_stages; i++) {
    const TandemPlacementStage *stage = &placement->stages[i];
    const TandemClusterMember *member = g_ptr_array_index (self->members, stage->device);
    const TandemDevice *device =
        tandem_placement_problem_get_device (self->problem, stage->device);
    BertStop *stop = &route->stops[i];

    stop->name = g_strdup (device->name);
    stop->first = stage->first_layer;
    stop->last = stage->last_layer;
    stop->n_threads = MAX (device->n_threads, 1);
    if (member != NULL) {
      stop->key = g_strdup (member->key);
      stop->client = g_object_ref (member->client);
      stop->host = g_strdup (member->host);
    }
    for (k = 0; i + 1 < placement->n_stages && k < placement->n_hops; k++)
      if (placement->hops[k].from == stage->device &&
          placement->hops[k].to == placement->stages[i + 1].device)
        stop->format = placement->hops[k].format;
  }
  route->predicted = self->plain != NULL ? placement->sequences_per_second : 0;
  route->cost = get_cost (self, placement, route);
  return route;
}

static BertRoute *
choose_given (BertPlanner *self, const TandemBatchShape *shape, GError **error)
{
  g_autoptr (TandemPlacement) placement = NULL;

  if (!bert_planner_make_named_problem (self, shape, error))
    return NULL;
  placement = tandem_placement_problem_read_placement (self->problem, self->bin->used.placement,
                                                       self->bin->used.objective, error);
  return placement != NULL ? make_route (self, placement) : NULL;
}

static BertRoute *
choose_best (BertPlanner *self, const TandemBatchShape *shape, GError **error)
{
  g_autoptr (TandemPlan) plan = NULL;

  if (!self->is_prepared) {
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                         self->preparing != NULL ? _("other devices are still being measured")
                                                 : _("no other device is there"));
    return NULL;
  }
  if (!bert_planner_make_problem (self, shape, error))
    return NULL;
  plan = tandem_placement_problem_solve (self->problem, self->bin->used.objective, NULL, error);
  return plan != NULL ? make_route (self, plan->best) : NULL;
}

/* Why the others cannot be used; NULL: there are none. */
static char *
describe_problems (BertPlanner *self)
{
  g_autoptr (GPtrArray) members = tandem_cluster_dup_members (self->cluster);
  g_autoptr (GString) text = g_string_new (NULL);
  guint i;

  for (i = 0; i < members->len; i++) {
    const TandemClusterMember *member = g_ptr_array_index (members, i);

    if (member->problem != NULL)
      g_string_append_printf (text, "%s%s: %s", text->len > 0 ? "; " : "", member->name,
                              member->problem->message);
  }
  return text->len > 0 ? g_strdup (text->str) : NULL;
}

BertRoute *
bert_planner_choose (BertPlanner *self, const TandemBatchShape *shape, GError **error)
{
  g_autoptr (GError) inner = NULL, here = NULL;
  g_autofree char *problems = NULL;
  BertRoute *route;

  check_devices (self);
  route = self->bin->used.placement != NULL ? choose_given (self, shape, &inner)
                                            : choose_best (self, shape, &inner);
  if (route != NULL)
    return route;
  problems = describe_problems (self);
  GST_DEBUG_OBJECT (self->bin, "no placement: %s; %s", inner->message,
                    problems != NULL ? problems : "no problems");
  if (bert_planner_fits_here (self, shape, &here))
    return bert_route_new_local (self->bin);
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "%s; %s", here->message,
               problems != NULL ? problems : inner->message);
  return NULL;
}

gboolean
bert_planner_fits_here (BertPlanner *self, const TandemBatchShape *shape, GError **error)
{
  const BertSettings *used = &self->bin->used;
  guint n_layers = tandem_model_get_config (self->bin->model)->n_layers;
  g_autoptr (TandemPlacementProblem) problem = NULL;
  g_autoptr (TandemDevice) here = tandem_device_new ("here", n_layers);
  g_autofree char *needed = NULL, *limit = NULL;
  guint64 bytes;

  if (!used->local) {
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                         _("this device is not to run the whole model"));
    return FALSE;
  }
  if (used->memory == 0)
    return TRUE;
  problem = tandem_placement_problem_new_for_model (self->bin->model, used->precision, shape,
                                                    error);
  here->n_threads = used->n_threads;
  if (problem == NULL || !tandem_placement_problem_add_device (problem, here, error))
    return FALSE;
  bytes = tandem_placement_problem_get_memory (problem, 0, 0, n_layers - 1);
  if (bytes <= used->memory)
    return TRUE;
  needed = g_format_size (bytes);
  limit = g_format_size (used->memory);
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
               _("all layers need %s of memory, and this device may use %s"), needed, limit);
  return FALSE;
}
