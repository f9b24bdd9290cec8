/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The problem of the planner: what the cluster measured, as the devices have been lately; and, with
 * the same numbers, what a route would do. */

#include "config.h"

#include "bert-planner-private.h"

#include <math.h>

#define GST_CAT_DEFAULT gst_bert_bin_debug
GST_DEBUG_CATEGORY_EXTERN (gst_bert_bin_debug);

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
    g_ptr_array_add (all, &((BertRecord *) record)->slowness);
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
    const BertRecord *record =
        bert_planner_get_record (self, member != NULL ? member->key : NULL);
    double slowness = tandem_slowness_get (&record->slowness, common, now);

    numbers[i] = G_MAXUINT;
    if (member != NULL && !bert_planner_may_use (self, member))
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

gboolean
bert_planner_make_problem (BertPlanner *self, const TandemBatchShape *largest, GError **error)
{
  g_autoptr (GPtrArray) members = NULL;

  bert_planner_forget (self);
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
  bert_planner_forget (self);
  return FALSE;
}

gboolean
bert_planner_make_named_problem (BertPlanner *self, const TandemBatchShape *shape, GError **error)
{
  guint n_layers = tandem_model_get_config (self->bin->model)->n_layers, i, k, n;
  g_autoptr (TandemDevice) here = tandem_device_new (g_get_host_name (), n_layers);
  g_autoptr (GPtrArray) members = tandem_cluster_dup_members (self->cluster);
  const TandemNetworkLink link = { G_MAXUINT32, 0 };

  bert_planner_forget (self);
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
    if (bert_planner_may_use (self, member) &&
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

gboolean
bert_planner_check_placement (GstBertBin *bin, GError **error)
{
  const TandemBatchShape shape = { .n_sequences = 1, .n_tokens = 1 };
  g_autoptr (TandemPlacementProblem) problem =
      tandem_placement_problem_new_for_model (bin->model, bin->used.precision, &shape, error);
  g_autoptr (TandemPlacement) placement = NULL;

  if (problem != NULL &&
      tandem_placement_problem_add_placed_devices (problem, bin->used.placement, error))
    placement = tandem_placement_problem_read_placement (problem, bin->used.placement,
                                                         bin->used.objective, error);
  return placement != NULL;
}

/* --- what a route would do --- */

static guint
find_plain_device (BertPlanner *self, const BertStop *stop)
{
  guint n = tandem_placement_problem_get_n_devices (self->plain), i;

  for (i = 0; i < n; i++)
    if (g_str_equal (tandem_placement_problem_get_device (self->plain, i)->name, stop->name))
      return i;
  return G_MAXUINT;
}

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

/* Returns NULL when it cannot be used. */
static TandemPlacement *
evaluate (BertPlanner *self, TandemPlacementProblem *problem, const BertRoute *route,
          guint (*find) (BertPlanner *self, const BertStop *stop))
{
  TandemPlacementStage stages[TANDEM_PLACEMENT_MAX_LAYERS] = { { 0 } };
  TandemWireFormats formats[TANDEM_PLACEMENT_MAX_LAYERS] = { 0 };
  guint i;

  for (i = 0; i < route->n_stops; i++) {
    stages[i].device = find (self, &route->stops[i]);
    stages[i].first_layer = route->stops[i].first;
    stages[i].last_layer = route->stops[i].last;
    formats[i] = route->stops[i].format != TANDEM_WIRE_FORMAT_NONE ? route->stops[i].format
                                                                   : TANDEM_WIRE_FORMAT_F32;
    if (stages[i].device == G_MAXUINT)
      return NULL;
  }
  return tandem_placement_problem_evaluate (problem, stages, route->n_stops, formats,
                                            self->bin->used.objective, NULL);
}

double
bert_planner_predict (BertPlanner *self, const BertRoute *route)
{
  g_autoptr (TandemPlacement) placement = NULL;

  if (self->plain != NULL)
    placement = evaluate (self, self->plain, route, find_plain_device);
  return placement != NULL ? placement->sequences_per_second : 0;
}

double
bert_planner_evaluate (BertPlanner *self, const BertRoute *route)
{
  g_autoptr (TandemPlacement) placement = NULL;

  if (self->problem != NULL && self->plain != NULL)
    placement = evaluate (self, self->problem, route, find_device);
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
    double measured, share, predicted = 0;

    if (!bert_chain_take_seconds (chain, i, &measured, &share))
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
    predicted /= self->mean.n_sequences;
    /* Who has little to do is fast for as long as that takes, with what he saved up before: a
     * processor that is shared, or gets warm. With more to do he would not be. */
    if (measured < predicted)
      measured = predicted - (predicted - measured) * share;
    tandem_slowness_measure (&bert_planner_get_record (self, stop->key)->slowness, measured,
                             predicted, g_get_monotonic_time ());
    GST_DEBUG_OBJECT (self->bin, "%s takes %.3g s a sequence, its profile says %.3g", stop->name,
                      measured, predicted);
  }
}
