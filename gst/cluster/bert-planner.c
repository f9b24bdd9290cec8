/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The cluster says which devices there are and how fast they were; here it is corrected by how long
 * they took lately, and those are left out that failed a short while ago. */

#include "config.h"

#include "bert-planner.h"

#include <glib/gi18n-lib.h>
#include <math.h>

#include "cluster/tandem-mover.h"

#define GST_CAT_DEFAULT gst_bert_bin_debug
GST_DEBUG_CATEGORY_EXTERN (gst_bert_bin_debug);

/* How long a node is left alone that failed. */
#define FIRST_PAUSE_US (2 * G_USEC_PER_SEC)
#define LONGEST_PAUSE_US (60 * G_USEC_PER_SEC)
/* Nodes that could not be measured are measured again after this. */
#define PREPARE_PAUSE_US (2 * G_USEC_PER_SEC)
/* A move takes as long, beside stage files that have to be sent. */
#define MOVE_SECONDS 0.5

/* What is remembered of a device. */
typedef struct
{
  gint64 pause, until;          /* it is not used before */
  TandemSlowness slowness;
} Record;

struct _BertPlanner
{
  GstBertBin *bin;              /* borrowed */
  BertPlannerFunc changed;
  gpointer user_data;
  TandemCluster *cluster;
  TandemWireFormats formats;
  GHashTable *records;          /* key of a member, "" for this device -> Record */
  GCancellable *preparing;      /* (nullable) */
  gboolean is_prepared, is_freed;
  gint64 next_prepare;
  gint ref_count;

  /* The last problem, and what it was made of; gone when something changed. */
  TandemPlacementProblem *problem;      /* (nullable) */
  TandemPlacementProblem *plain;        /* (nullable): as the profiles say */
  GPtrArray *members;           /* (nullable): of TandemClusterMember, by device */
  TandemBatchShape mean;
};

static Record *
get_record (BertPlanner *self, const char *key)
{
  Record *record = g_hash_table_lookup (self->records, key != NULL ? key : "");

  if (record == NULL) {
    record = g_new0 (Record, 1);
    g_hash_table_insert (self->records, g_strdup (key != NULL ? key : ""), record);
  }
  return record;
}

static gboolean
may_be_used (BertPlanner *self, const TandemClusterMember *member)
{
  return member->is_usable && member->client != NULL &&
      tandem_node_client_is_open (member->client) &&
      g_get_monotonic_time () >= get_record (self, member->key)->until;
}

static void
forget_problem (BertPlanner *self)
{
  g_clear_object (&self->problem);
  g_clear_object (&self->plain);
  g_clear_pointer (&self->members, g_ptr_array_unref);
}

/* --- devices --- */

static void
planner_unref (BertPlanner *self)
{
  if (--self->ref_count > 0)
    return;
  g_hash_table_unref (self->records);
  g_free (self);
}

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
    forget_problem (self);
    self->changed (self->user_data);
  }
  planner_unref (self);
}

/* Measures who was not measured yet. */
static void
check_devices (BertPlanner *self)
{
  if (self->preparing != NULL || self->bin->used.placement != NULL ||
      g_get_monotonic_time () < self->next_prepare || !needs_preparation (self))
    return;
  self->preparing = g_cancellable_new ();
  self->ref_count++;
  tandem_cluster_prepare_async (self->cluster, self->bin->model, self->bin->used.precision,
                                self->bin->used.n_threads, self->preparing, on_prepared, self);
}

static void
on_cluster_changed (TandemCluster *cluster, gpointer data)
{
  BertPlanner *self = data;

  forget_problem (self);
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
  self->ref_count = 1;
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
  forget_problem (self);
  g_clear_object (&self->cluster);
  planner_unref (self);
}

void
bert_planner_blame (BertPlanner *self, TandemNodeClient *client, const GError *error)
{
  g_autoptr (GPtrArray) members = tandem_cluster_dup_members (self->cluster);
  guint i;

  for (i = 0; client != NULL && i < members->len; i++) {
    const TandemClusterMember *member = g_ptr_array_index (members, i);
    Record *record;

    if (member->client != client)
      continue;
    record = get_record (self, member->key);
    record->pause = record->pause == 0 ? FIRST_PAUSE_US
                                       : MIN (2 * record->pause, LONGEST_PAUSE_US);
    record->until = g_get_monotonic_time () + record->pause;
    GST_INFO_OBJECT (self->bin, "%s is left alone for %.0f s: %s", member->name,
                     (double) record->pause / G_USEC_PER_SEC, error->message);
  }
  forget_problem (self);
}

/* --- the problem --- */

static void
get_mean_shape (BertPlanner *self, TandemBatchShape *mean)
{
  GstBertBin *bin = self->bin;
  guint length = MIN (128, tandem_model_get_config (bin->model)->max_positions);
  double n;

  tandem_batch_shape_init (mean, 16, length);
  g_mutex_lock (&bin->lock);
  if (bin->n_batches > 0) {
    n = (double) bin->n_batches;
    mean->n_sequences = (guint) MAX (round (bin->sum.n_sequences / n), 1);
    mean->n_tokens = (guint64) MAX (round (bin->sum.n_tokens / n), mean->n_sequences);
    mean->n_squares = (guint64) ceil (bin->sum.n_squares / n);
  }
  g_mutex_unlock (&bin->lock);
  mean->n_tokens = MIN (mean->n_tokens, (guint64) mean->n_sequences *
                        tandem_model_get_config (bin->model)->max_positions);
  mean->n_squares = CLAMP (mean->n_squares, (mean->n_tokens * mean->n_tokens +
                           mean->n_sequences - 1) / mean->n_sequences,
                           mean->n_tokens * mean->n_tokens);
}

static void
scale (TandemCost *cost, double factor)
{
  cost->fixed *= factor;
  cost->per_sequence *= factor;
  cost->per_token *= factor;
  cost->per_square *= factor;
}

static double
get_common_slowness (BertPlanner *self, gint64 now)
{
  g_autoptr (GPtrArray) all = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer record;

  g_hash_table_iter_init (&iter, self->records);
  while (g_hash_table_iter_next (&iter, NULL, &record))
    g_ptr_array_add (all, &((Record *) record)->slowness);
  return tandem_slowness_get_common ((const TandemSlowness *const *) all->pdata, all->len, now);
}

/* Times are of mean micro-batches, memory of the largest; a problem counts both with one shape. */
static guint64
get_memory (BertPlanner *self, const TandemDevice *device, const TandemBatchShape *largest)
{
  guint64 width = tandem_model_get_config (self->bin->model)->hidden_size;
  guint64 more = largest->n_tokens > self->mean.n_tokens
      ? (largest->n_tokens - self->mean.n_tokens) * width * sizeof (float) *
            (TANDEM_PLACEMENT_WINDOW + 2) : 0;

  return device->memory == 0 ? 0 : device->memory > more ? device->memory - more : 1;
}

static gboolean
add_devices (BertPlanner *self, const TandemBatchShape *largest, GPtrArray *members)
{
  gint64 now = g_get_monotonic_time ();
  double common = get_common_slowness (self, now);
  guint n = tandem_placement_problem_get_n_devices (self->plain), i, k;
  g_autofree guint *numbers = g_new0 (guint, n);

  for (i = 0; i < n; i++) {
    const TandemClusterMember *member = g_ptr_array_index (members, i);
    const TandemDevice *plain = tandem_placement_problem_get_device (self->plain, i);
    g_autoptr (TandemDevice) device = tandem_device_copy (plain);
    double slowness = tandem_slowness_get (&get_record (self, member != NULL ? member->key
                                                                             : NULL)->slowness,
                                           common, now);

    numbers[i] = G_MAXUINT;
    if (member != NULL && !may_be_used (self, member))
      continue;
    device->memory = get_memory (self, plain, largest);
    scale (&device->embeddings, slowness);
    for (k = 0; k < device->n_layers; k++)
      scale (&device->layers[k], slowness);
    /* Not all of it here, where that was forbidden. */
    if (member == NULL && !self->bin->used.local) {
      guint64 all = tandem_placement_problem_get_memory (self->plain, i, 0,
                                                         device->n_layers - 1);

      device->memory = device->memory == 0 ? all - 1 : MIN (device->memory, all - 1);
    }
    numbers[i] = tandem_placement_problem_get_n_devices (self->problem);
    if (!tandem_placement_problem_add_device (self->problem, device, NULL))
      return FALSE;
    g_ptr_array_add (self->members, member != NULL ? tandem_cluster_member_copy (member) : NULL);
  }
  for (i = 0; i < n; i++)
    for (k = 0; k < n; k++) {
      TandemNetworkLink link;

      tandem_placement_problem_get_link (self->plain, i, k, &link);
      if (i != k && numbers[i] != G_MAXUINT && numbers[k] != G_MAXUINT)
        tandem_placement_problem_set_link (self->problem, numbers[i], numbers[k], &link, NULL);
    }
  return TRUE;
}

static void
member_free (gpointer data)
{
  if (data != NULL)
    tandem_cluster_member_free (data);
}

static gboolean
make_problem (BertPlanner *self, const TandemBatchShape *largest, GError **error)
{
  g_autoptr (GPtrArray) members = NULL;

  forget_problem (self);
  get_mean_shape (self, &self->mean);
  self->plain = tandem_cluster_make_problem (self->cluster, self->bin->model,
                                             self->bin->used.precision, &self->mean,
                                             self->formats, &members, error);
  if (self->plain == NULL)
    return FALSE;
  self->problem = tandem_placement_problem_new_for_model (self->bin->model,
                                                          self->bin->used.precision, &self->mean,
                                                          error);
  self->members = g_ptr_array_new_with_free_func (member_free);
  if (self->problem != NULL && add_devices (self, largest, members)) {
    tandem_placement_problem_set_formats (self->problem, self->formats);
    return TRUE;
  }
  forget_problem (self);
  return FALSE;
}

/* Who is there by name, for a placement that is given: nobody has to be measured for it. */
static gboolean
make_named_problem (BertPlanner *self, const TandemBatchShape *shape, GError **error)
{
  guint n_layers = tandem_model_get_config (self->bin->model)->n_layers, i, k, n;
  g_autoptr (TandemDevice) here = tandem_device_new (g_get_host_name (), n_layers);
  g_autoptr (GPtrArray) members = tandem_cluster_dup_members (self->cluster);
  const TandemNetworkLink link = { G_MAXUINT32, 0 };

  forget_problem (self);
  self->problem = tandem_placement_problem_new_for_model (self->bin->model,
                                                          self->bin->used.precision, shape,
                                                          error);
  here->memory = self->bin->used.memory;
  here->n_threads = self->bin->used.n_threads;
  if (self->problem == NULL || !tandem_placement_problem_add_device (self->problem, here, error))
    return FALSE;
  self->members = g_ptr_array_new_with_free_func (member_free);
  g_ptr_array_add (self->members, NULL);
  for (i = 0; i < members->len; i++) {
    const TandemClusterMember *member = g_ptr_array_index (members, i);
    g_autoptr (TandemDevice) device = tandem_device_new (member->name, n_layers);

    device->n_threads = member->info != NULL ? CLAMP (member->info->n_threads, 1,
                                                      TANDEM_BERT_STAGE_MAX_THREADS) : 1;
    if (may_be_used (self, member) &&
        tandem_placement_problem_add_device (self->problem, device, NULL))
      g_ptr_array_add (self->members, tandem_cluster_member_copy (member));
  }
  n = tandem_placement_problem_get_n_devices (self->problem);
  for (i = 0; i < n; i++)
    for (k = 0; k < n; k++)
      if (i != k)
        tandem_placement_problem_set_link (self->problem, i, k, &link, NULL);
  return TRUE;
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

  if (!make_named_problem (self, shape, error))
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
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, _("no other device is there"));
    return NULL;
  }
  if (!make_problem (self, shape, error))
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

/* --- what a route would do --- */

static guint
find_device (BertPlanner *self, const BertStop *stop)
{
  guint i;

  for (i = 0; i < self->members->len; i++) {
    const TandemClusterMember *member = g_ptr_array_index (self->members, i);

    if ((member == NULL && stop->client == NULL) ||
        (member != NULL && member->client == stop->client))
      return i;
  }
  return G_MAXUINT;
}

double
bert_planner_evaluate (BertPlanner *self, const BertRoute *route)
{
  TandemPlacementStage stages[TANDEM_PLACEMENT_MAX_LAYERS] = { { 0 } };
  TandemWireFormats formats[TANDEM_PLACEMENT_MAX_LAYERS] = { 0 };
  g_autoptr (TandemPlacement) placement = NULL;
  guint i;

  if (self->problem == NULL || self->plain == NULL)
    return 0;
  for (i = 0; i < route->n_stops; i++) {
    stages[i].device = find_device (self, &route->stops[i]);
    stages[i].first_layer = route->stops[i].first;
    stages[i].last_layer = route->stops[i].last;
    formats[i] = route->stops[i].format != TANDEM_WIRE_FORMAT_NONE ? route->stops[i].format
                                                                   : TANDEM_WIRE_FORMAT_F32;
    if (stages[i].device == G_MAXUINT)
      return 0;
  }
  placement = tandem_placement_problem_evaluate (self->problem, stages, route->n_stops, formats,
                                                 self->bin->used.objective, NULL);
  if (placement == NULL)
    return 0;
  return self->bin->used.objective == TANDEM_PLACEMENT_LATENCY ? 1 / placement->latency
                                                               : placement->sequences_per_second;
}

void
bert_planner_measure (BertPlanner *self, BertChain *chain)
{
  const BertRoute *route = bert_chain_get_route (chain);
  guint i, k;

  if (self->plain == NULL)
    return;
  for (i = 0; i < route->n_stops; i++) {
    const BertStop *stop = &route->stops[i];
    guint n = tandem_placement_problem_get_n_devices (self->plain);
    double measured, predicted = 0;

    if (!bert_chain_take_seconds (chain, i, &measured))
      continue;
    for (k = 0; k < n; k++) {
      const TandemDevice *device = tandem_placement_problem_get_device (self->plain, k);
      guint layer;

      if (!g_str_equal (device->name, stop->name))
        continue;
      predicted = stop->first == 0 ? tandem_cost_evaluate (&device->embeddings, &self->mean) : 0;
      for (layer = stop->first; layer <= stop->last; layer++)
        predicted += tandem_cost_evaluate (&device->layers[layer], &self->mean);
    }
    tandem_slowness_measure (&get_record (self, stop->key)->slowness, measured,
                             predicted / self->mean.n_sequences, g_get_monotonic_time ());
    GST_DEBUG_OBJECT (self->bin, "%s takes %.3g s a sequence, its profile says %.3g", stop->name,
                      measured, predicted / self->mean.n_sequences);
  }
}
