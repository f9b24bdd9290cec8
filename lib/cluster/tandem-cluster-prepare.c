/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a planner has to know is asked for and measured: first the links, which a device that
 * computes would slow down, then how fast each device is with the model. */

#include "config.h"

#include "tandem-cluster-private.h"

#include <glib/gi18n-lib.h>

#include "base/tandem-source-private.h"
#include "net/tandem-device-id.h"
#include "net/tandem-net-error.h"
#include "place/tandem-profile-private.h"

/* How long devices may take to show up and answer. */
#define SETTLE_MS 4000
/* Of a profile, seconds. */
#define MEASURE_SECONDS 1.0
#define PROFILE_TIMEOUT_MS 15000
#define BUSY_MS 200

typedef enum { STEP_SETTLE, STEP_LINKS, STEP_PROFILES, STEP_OVER } Step;

struct _TandemClusterPrepare
{
  GTask *task;
  TandemCluster *cluster;       /* borrowed: the source of task */
  TandemModel *model;
  TandemPrecision precision;
  guint n_threads;
  GCancellable *cancellable;
  gulong handler;
  Step step;
  GSource *timeout;             /* (nullable) */
  gboolean is_late;
  GPtrArray *entries;           /* of TandemClusterEntry: those that take part */
  GPtrArray *jobs;              /* of Job */
  guint n_running;
  GError *error;                /* (nullable): this device cannot be measured */
};

/* A profile to be had. */
typedef struct
{
  TandemClusterPrepare *owner;
  TandemClusterEntry *entry;    /* (nullable): NULL: this device */
  const char *device;           /* one at a time for each */
  char *key;
  guint n_threads;
  gboolean runs, done;
  GSource *again;               /* (nullable) */
} Job;

static void advance_profiles (TandemClusterPrepare *self);

static GSource *
add_timeout (TandemClusterPrepare *self, guint ms, GSourceFunc func, gpointer data)
{
  GSource *source = g_timeout_source_new (ms);

  g_source_set_callback (source, func, data, NULL);
  g_source_attach (source, self->cluster->context);
  return source;
}

char *
tandem_cluster_make_profile_key (TandemModel *model, TandemPrecision precision, guint n_threads)
{
  return g_strdup_printf ("%s %d %u", tandem_model_get_fingerprint (model), precision, n_threads);
}

static void
job_free (gpointer data)
{
  Job *job = data;

  tandem_clear_source (&job->again);
  if (job->entry != NULL)
    tandem_cluster_entry_unref (job->entry);
  g_free (job->key);
  g_free (job);
}

/* --- the end --- */

static void
prepare_end (TandemClusterPrepare *self)
{
  g_autoptr (GTask) task = self->task;
  TandemCluster *cluster = self->cluster;

  cluster->preparing = NULL;
  tandem_clear_source (&self->timeout);
  g_cancellable_disconnect (g_task_get_cancellable (task), self->handler);
  g_object_unref (self->cancellable);
  g_ptr_array_unref (self->entries);
  g_ptr_array_unref (self->jobs);
  g_object_unref (self->model);
  if (self->error != NULL)
    g_task_return_error (task, self->error);
  else if (!cluster->is_running)
    g_task_return_new_error (task, G_IO_ERROR, G_IO_ERROR_CLOSED, "%s",
                             _("The search for devices was stopped."));
  else if (!g_task_return_error_if_cancelled (task))
    g_task_return_boolean (task, TRUE);
  g_free (self);
  tandem_cluster_changed (cluster);
}

static void
on_cancelled (GCancellable *cancellable, gpointer data)
{
  g_cancellable_cancel (data);
}

static gboolean
is_over (TandemClusterPrepare *self)
{
  return g_cancellable_is_cancelled (self->cancellable) || !self->cluster->is_running;
}

/* --- profiles --- */

static gboolean
is_device_busy (TandemClusterPrepare *self, const char *device)
{
  guint i;

  for (i = 0; i < self->jobs->len; i++) {
    Job *job = g_ptr_array_index (self->jobs, i);

    if (job->runs && g_str_equal (job->device, device))
      return TRUE;
  }
  return FALSE;
}

static void
job_end (Job *job)
{
  job->runs = FALSE;
  job->done = TRUE;
  job->owner->n_running--;
  advance_profiles (job->owner);
}

/* Numbers that would make a plan of it nonsense. */
static gboolean
is_possible (const TandemProfile *profile, const Job *job)
{
  TandemClusterPrepare *self = job->owner;
  TandemBatchShape shape;

  tandem_batch_shape_init (&shape, 8, 128);
  return profile->n_layers == tandem_model_get_config (self->model)->n_layers &&
      profile->n_threads == job->n_threads && profile->precision == self->precision &&
      tandem_cost_evaluate (&profile->costs[TANDEM_PROFILE_LAYER], &shape) > 0 &&
      tandem_cost_evaluate (&profile->costs[TANDEM_PROFILE_LAST_LAYER], &shape) > 0;
}

static gboolean
on_again (gpointer data)
{
  Job *job = data;

  g_clear_pointer (&job->again, g_source_unref);
  advance_profiles (job->owner);
  return G_SOURCE_REMOVE;
}

static void
on_profile (GObject *source, GAsyncResult *result, gpointer data)
{
  Job *job = data;
  TandemClusterPrepare *self = job->owner;
  TandemClusterEntry *entry = job->entry;
  GError *error = NULL;
  TandemProfile *profile =
      tandem_node_client_profile_finish (TANDEM_NODE_CLIENT (source), result, &error);

  if (profile != NULL && !is_possible (profile, job)) {
    g_clear_pointer (&profile, tandem_profile_free);
    error = g_error_new_literal (TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
                                 _("The node says of its speed what cannot be."));
  }
  if (g_error_matches (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_BUSY) && !is_over (self)) {
    g_error_free (error);
    job->runs = FALSE;
    self->n_running--;
    job->again = add_timeout (self, BUSY_MS, on_again, job);
    advance_profiles (self);
    return;
  }
  if (self->is_late && g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
    g_clear_error (&error);
    error = g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_TIMEOUT,
                         _("The node did not say within %d s how fast it is."),
                         PROFILE_TIMEOUT_MS / 1000);
  }
  if (profile != NULL) {
    g_hash_table_replace (entry->profiles, g_strdup (job->key), profile);
    entry->profile = profile;
  } else {
    g_clear_error (&entry->unfit);
    entry->unfit = error;
  }
  job_end (job);
}

/* In another thread. What cannot be kept is measured again the next time. */
static void
measure_here (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  const TandemClusterPrepare *self = data;
  GError *error = NULL;
  TandemProfile *profile =
      tandem_profile_load (self->model, self->precision, self->n_threads, NULL);

  if (profile == NULL) {
    /* This device may run the model alone while others are made ready. */
    profile = tandem_profile_measure_beside (self->model, self->precision, self->n_threads,
                                             MEASURE_SECONDS, TRUE, cancellable, &error);
    if (profile != NULL)
      tandem_profile_store (profile, NULL);
  }
  if (profile != NULL)
    g_task_return_pointer (task, profile, (GDestroyNotify) tandem_profile_free);
  else
    g_task_return_error (task, error);
}

static void
on_measured_here (GObject *source, GAsyncResult *result, gpointer data)
{
  Job *job = data;
  TandemClusterPrepare *self = job->owner;
  TandemProfile *profile = g_task_propagate_pointer (G_TASK (result), &self->error);

  if (profile != NULL)
    g_hash_table_replace (self->cluster->profiles, g_strdup (job->key), profile);
  job_end (job);
}

static void
job_begin (Job *job)
{
  TandemClusterPrepare *self = job->owner;

  if (job->entry != NULL && job->entry->client == NULL) {
    job->done = TRUE;
    return;
  }
  job->runs = TRUE;
  self->n_running++;
  if (job->entry != NULL) {
    tandem_node_client_profile_async (job->entry->client,
                                      tandem_model_get_config_text (self->model),
                                      tandem_model_get_quantization (self->model),
                                      tandem_model_get_zeros (self->model), self->precision,
                                      job->n_threads, MEASURE_SECONDS, self->cancellable,
                                      on_profile, job);
  } else {
    g_autoptr (GTask) task = g_task_new (self->cluster, self->cancellable, on_measured_here, job);

    g_task_set_task_data (task, self, NULL);
    g_task_run_in_thread (task, measure_here);
  }
}

static void
advance_profiles (TandemClusterPrepare *self)
{
  gboolean stop = is_over (self);
  guint i, n_left = 0;

  for (i = 0; i < self->jobs->len; i++) {
    Job *job = g_ptr_array_index (self->jobs, i);

    if (!job->done && !job->runs && job->again == NULL && !stop &&
        !is_device_busy (self, job->device))
      job_begin (job);
    n_left += !job->done;
  }
  if (self->n_running > 0 || (n_left > 0 && !stop) || self->step == STEP_OVER)
    return;
  self->step = STEP_OVER;
  prepare_end (self);
}

static gboolean
on_profiles_late (gpointer data)
{
  TandemClusterPrepare *self = data;
  guint i;

  self->is_late = TRUE;
  for (i = 0; i < self->jobs->len; i++) {
    Job *job = g_ptr_array_index (self->jobs, i);

    if (job->entry != NULL && !job->done && !job->runs && job->entry->unfit == NULL)
      job->entry->unfit = g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_TIMEOUT,
                                       _("The node did not say within %d s how fast it is."),
                                       PROFILE_TIMEOUT_MS / 1000);
  }
  g_cancellable_cancel (self->cancellable);
  if (self->n_running == 0)
    advance_profiles (self);
  return G_SOURCE_REMOVE;
}

static void
add_job (TandemClusterPrepare *self, TandemClusterEntry *entry, guint n_threads)
{
  GHashTable *known = entry != NULL ? entry->profiles : self->cluster->profiles;
  g_autofree char *key =
      tandem_cluster_make_profile_key (self->model, self->precision, n_threads);
  TandemProfile *profile = g_hash_table_lookup (known, key);
  Job *job;

  if (profile != NULL) {
    if (entry != NULL)
      entry->profile = profile;
    return;
  }
  job = g_new0 (Job, 1);
  job->owner = self;
  job->entry = entry != NULL ? tandem_cluster_entry_ref (entry) : NULL;
  job->device = entry != NULL ? entry->info->device : tandem_device_id_get ();
  job->n_threads = n_threads;
  job->key = g_steal_pointer (&key);
  g_ptr_array_add (self->jobs, job);
}

/* --- from step to step --- */

static void
on_links (gpointer data)
{
  TandemClusterPrepare *self = data;
  guint i;

  self->step = STEP_PROFILES;
  add_job (self, NULL, self->n_threads);
  for (i = 0; i < self->entries->len; i++) {
    TandemClusterEntry *entry = g_ptr_array_index (self->entries, i);

    entry->profile = NULL;
    if (!tandem_cluster_entry_is_usable (entry) || entry->unfit != NULL)
      continue;
    if (self->precision == TANDEM_PRECISION_BF16 && !entry->info->has_bf16)
      entry->unfit = g_error_new_literal (TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_FAILED,
                                          _("The node does not compute in bfloat16."));
    else
      add_job (self, entry, CLAMP (entry->info->n_threads, 1, TANDEM_BERT_STAGE_MAX_THREADS));
  }
  self->timeout = add_timeout (self, PROFILE_TIMEOUT_MS, on_profiles_late, self);
  advance_profiles (self);
}

static void
begin_links (TandemClusterPrepare *self)
{
  TandemCluster *cluster = self->cluster;
  guint i;

  self->step = STEP_LINKS;
  tandem_clear_source (&self->timeout);
  for (i = 0; i < cluster->entries->len; i++) {
    TandemClusterEntry *entry = g_ptr_array_index (cluster->entries, i);

    g_clear_error (&entry->unfit);
    if (tandem_cluster_entry_is_usable (entry))
      g_ptr_array_add (self->entries, tandem_cluster_entry_ref (entry));
  }
  tandem_cluster_measure_links (cluster, self->entries, self->cancellable, on_links, self);
}

static gboolean
on_settle_timeout (gpointer data)
{
  begin_links (data);
  return G_SOURCE_REMOVE;
}

/* Something changed. */
void
tandem_cluster_prepare_check (TandemCluster *cluster)
{
  TandemClusterPrepare *self = cluster->preparing;

  if (self == NULL)
    return;
  if (!cluster->is_running)
    g_cancellable_cancel (self->cancellable);
  if (self->step == STEP_SETTLE && (is_over (self) || tandem_cluster_is_settled (cluster)))
    begin_links (self);
}

static gboolean
on_check (gpointer data)
{
  TandemCluster *cluster = data;

  tandem_cluster_prepare_check (cluster);
  return G_SOURCE_REMOVE;
}

static void
check_later (TandemCluster *cluster)
{
  g_autoptr (GSource) source = g_idle_source_new ();

  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_callback (source, on_check, g_object_ref (cluster), g_object_unref);
  g_source_attach (source, cluster->context);
}

static void
on_cancelled_settling (GCancellable *cancellable, gpointer data)
{
  g_source_set_ready_time (data, 0);
}

/**
 * tandem_cluster_prepare_async:
 * @self: a cluster that runs
 * @model: a model
 * @precision: what linear layers are to compute with
 * @n_threads: threads of a stage on this device; nodes use as many as they offer
 * @cancellable: (nullable): a cancellable
 * @callback: called when all is measured, or the time is over
 * @user_data: for @callback
 *
 * Measures what a planner has to know of this device and of all nodes: waits until those that are
 * known have answered (4 seconds at most), has the links between all of them measured (5 seconds
 * and 0.3 for each device), and then how fast each is with a model of this shape (15 seconds). A
 * node that does not take part in time is not usable, and says why. What was measured before by
 * this object, or kept in a cache, is not measured again. One preparation at a time.
 */
void
tandem_cluster_prepare_async (TandemCluster *self, TandemModel *model, TandemPrecision precision,
                              guint n_threads, GCancellable *cancellable,
                              GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = NULL;
  TandemClusterPrepare *prepare;

  g_return_if_fail (TANDEM_IS_CLUSTER (self));
  g_return_if_fail (TANDEM_IS_MODEL (model));
  g_return_if_fail (n_threads >= 1);

  task = g_task_new (self, cancellable, callback, user_data);
  if (!self->is_running || self->preparing != NULL) {
    g_task_return_new_error (task, G_IO_ERROR,
                             self->is_running ? G_IO_ERROR_PENDING : G_IO_ERROR_CLOSED, "%s",
                             self->is_running ? _("The devices are measured just now.")
                                              : _("The search for devices was stopped."));
    return;
  }
  prepare = self->preparing = g_new0 (TandemClusterPrepare, 1);
  prepare->task = g_steal_pointer (&task);
  prepare->cluster = self;
  prepare->model = g_object_ref (model);
  prepare->precision = precision;
  prepare->n_threads = self->n_threads = n_threads;
  prepare->entries = g_ptr_array_new_with_free_func ((GDestroyNotify) tandem_cluster_entry_unref);
  prepare->jobs = g_ptr_array_new_with_free_func (job_free);
  prepare->cancellable = g_cancellable_new ();
  prepare->timeout = add_timeout (prepare, SETTLE_MS, on_settle_timeout, prepare);
  g_cancellable_connect (prepare->cancellable, G_CALLBACK (on_cancelled_settling),
                         g_source_ref (prepare->timeout), (GDestroyNotify) g_source_unref);
  if (cancellable != NULL)
    prepare->handler = g_cancellable_connect (cancellable, G_CALLBACK (on_cancelled),
                                              prepare->cancellable, NULL);
  check_later (self);
}

/**
 * tandem_cluster_prepare_finish:
 * @self: a cluster
 * @result: what the callback got
 * @error: return location for an error of tandem_profile_measure() on this device, or a
 *   #GIOErrorEnum
 *
 * Returns: whether this device is measured; what is with the others their members say
 */
gboolean
tandem_cluster_prepare_finish (TandemCluster *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}
