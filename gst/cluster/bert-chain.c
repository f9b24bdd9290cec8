/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A chain is made in this order: stage files are cut and put where they are to run, all at once;
 * then stages are built from the last to the first, since each needs the port of the next. What
 * runs on this device is made of segments
 *
 *     [entry or tcpactsrc] ! [bertstage] ! [tcpactsink or exit]
 *
 * all in one bin, each started from its sink to its source, in another thread. */

#include "config.h"

#include "bert-chain-private.h"

#include <glib/gi18n-lib.h>

#include "base/tandem-source-private.h"

#define GST_CAT_DEFAULT gst_bert_bin_debug
GST_DEBUG_CATEGORY_EXTERN (gst_bert_bin_debug);

/* How long a node may be silent while a chain is being built. */
#define BUILD_STALL_MS 10000
/* How long a stage may take to stop. */
#define STOP_TIMEOUT_MS 2000

/* --- life --- */

BertChain *
bert_chain_new (GstBertBin *bin, BertRoute *route, GMainContext *context,
                const BertChainFuncs *funcs, gpointer user_data)
{
  BertChain *self = g_atomic_rc_box_new0 (BertChain);

  self->bin = gst_object_ref (bin);
  self->route = route;
  self->context = g_main_context_ref (context);
  self->funcs = *funcs;
  self->user_data = user_data;
  self->cancellable = g_cancellable_new ();
  self->legs = g_new0 (BertLeg, route->n_stops);
  return self;
}

BertChain *
bert_chain_ref (BertChain *self)
{
  return g_atomic_rc_box_acquire (self);
}

static void
chain_clear (gpointer data)
{
  BertChain *self = data;
  guint i;

  for (i = 0; i < self->route->n_stops; i++) {
    g_clear_pointer (&self->legs[i].file, tandem_stage_file_free);
    g_free (self->legs[i].digest);
  }
  g_free (self->legs);
  bert_route_free (self->route);
  g_clear_error (&self->error);
  g_object_unref (self->cancellable);
  g_main_context_unref (self->context);
  gst_clear_object (&self->element);
  gst_object_unref (self->bin);
}

void
bert_chain_unref (BertChain *self)
{
  g_atomic_rc_box_release_full (self, chain_clear);
}

const BertRoute *
bert_chain_get_route (BertChain *self)
{
  return self->route;
}

guint64
bert_chain_get_sent (BertChain *self)
{
  return self->n_sent;
}

/* --- the end --- */

static void
finish_ending (BertChain *self)
{
  if (self->element != NULL)
    gst_bin_remove (GST_BIN (self->bin), self->element);
  self->funcs.ended (self, NULL, NULL, self->user_data);
}

/* An operation in the background is over. */
void
bert_chain_leave (BertChain *self)
{
  if (--self->n_pending == 0 && self->is_ending) {
    if (!self->is_unmade)
      bert_chain_unmake (self);
    else
      finish_ending (self);
  }
  bert_chain_unref (self);
}

void
bert_chain_enter (BertChain *self)
{
  bert_chain_ref (self);
  self->n_pending++;
}

static void
halt (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  BertChain *self = data;

  if (self->element != NULL)
    gst_element_set_state (self->element, GST_STATE_NULL);
  g_task_return_boolean (task, TRUE);
}

static void
on_halted (GObject *source, GAsyncResult *result, gpointer data)
{
  bert_chain_leave (data);
}

static void
on_stopped (GObject *source, GAsyncResult *result, gpointer data)
{
  BertChain *self = data;

  tandem_node_client_stop_finish (TANDEM_NODE_CLIENT (source), result, NULL);
  bert_chain_leave (self);
}

static gboolean
on_stop_timeout (gpointer data)
{
  g_cancellable_cancel (data);
  return G_SOURCE_REMOVE;
}

/* What was built over a connection that has ended has stopped already. */
void
bert_chain_unmake (BertChain *self)
{
  g_autoptr (GTask) task = NULL;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GSource) timeout = g_timeout_source_new (STOP_TIMEOUT_MS);
  guint i;

  self->is_unmade = TRUE;
  bert_chain_watch_stop (self);
  bert_chain_enter (self);
  task = g_task_new (NULL, NULL, on_halted, self);
  g_task_set_task_data (task, self, NULL);
  g_task_run_in_thread (task, halt);
  for (i = 0; i < self->route->n_stops; i++) {
    BertLeg *leg = &self->legs[i];

    if (leg->stage == 0 || !tandem_node_client_is_open (self->route->stops[i].client))
      continue;
    if (leg->is_silent) {       /* it hears of it when it goes on, and is not waited for */
      tandem_node_client_stop_async (self->route->stops[i].client, leg->stage, NULL, NULL, NULL);
      continue;
    }
    bert_chain_enter (self);
    tandem_node_client_stop_async (self->route->stops[i].client, leg->stage, cancellable,
                                   on_stopped, self);
  }
  g_source_set_callback (timeout, on_stop_timeout, g_object_ref (cancellable), g_object_unref);
  g_source_attach (timeout, self->context);
}

void
bert_chain_end (BertChain *self)
{
  if (self->is_ending)
    return;
  self->is_ending = TRUE;
  tandem_clear_source (&self->stall);
  g_cancellable_cancel (self->cancellable);
  if (self->n_pending == 0)
    bert_chain_unmake (self);
}

/* --- building --- */

void
bert_chain_build_failed (BertChain *self, TandemNodeClient *blamed, const GError *error)
{
  if (self->is_ending || self->is_built || self->has_failed)
    return;
  self->has_failed = TRUE;
  tandem_clear_source (&self->stall);
  self->funcs.built (self, blamed, error, self->user_data);
}

static gboolean
on_stall (gpointer data)
{
  BertChain *self = data;
  TandemNodeClient *blamed = NULL;
  g_autoptr (GError) error = NULL;
  guint i;

  for (i = 0; i < self->route->n_stops; i++)
    if (self->legs[i].is_waiting)
      blamed = self->route->stops[i].client;
  if (blamed == NULL) {         /* it is this device that takes its time */
    tandem_clear_source (&self->stall);
    bert_chain_touch (self);
    return G_SOURCE_REMOVE;
  }
  error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_TIMED_OUT, _("it does not answer"));
  bert_chain_build_failed (self, blamed, error);
  return G_SOURCE_REMOVE;
}

/* A node got on with it. */
void
bert_chain_touch (BertChain *self)
{
  tandem_clear_source (&self->stall);
  if (self->is_ending || self->is_built || self->has_failed)
    return;
  self->stall = g_timeout_source_new (BUILD_STALL_MS);
  g_source_set_callback (self->stall, on_stall, self, NULL);
  g_source_attach (self->stall, self->context);
}

gboolean
bert_chain_is_over (BertChain *self)
{
  return self->is_ending || self->has_failed;
}

/* --- stage files --- */

typedef struct
{
  BertChain *chain;
  guint stop;
} Step;

static Step *
step_new (BertChain *self, guint stop, gboolean of_node)
{
  Step *step = g_new (Step, 1);

  bert_chain_enter (self);
  self->legs[stop].is_waiting = of_node;
  step->chain = self;
  step->stop = stop;
  return step;
}

static BertChain *
step_end (Step *step)
{
  BertChain *self = step->chain;

  self->legs[step->stop].is_waiting = FALSE;
  g_free (step);
  bert_chain_touch (self);
  return self;
}

static void
got_file (BertChain *self)
{
  if (--self->n_files == 0 && !bert_chain_is_over (self))
    bert_chain_build_next (self);
}

static void
on_progress (goffset current, goffset total, gpointer data)
{
  bert_chain_touch (((Step *) data)->chain);
}

static void
on_put (GObject *source, GAsyncResult *result, gpointer data)
{
  Step *step = data;
  BertLeg *leg = &step->chain->legs[step->stop];
  TandemNodeClient *client = TANDEM_NODE_CLIENT (source);
  BertChain *self = step_end (step);
  g_autoptr (GError) error = NULL;
  g_autofree char *digest = tandem_node_client_put_finish (client, result, &error);

  if (digest == NULL) {
    bert_chain_build_failed (self, client, error);
  } else {
    /* The file may have been cut anew since its digest was noted. */
    g_free (leg->digest);
    leg->digest = g_steal_pointer (&digest);
    got_file (self);
  }
  bert_chain_leave (self);
}

static void
on_have (GObject *source, GAsyncResult *result, gpointer data)
{
  Step *step = data;
  guint stop = step->stop;
  BertLeg *leg = &step->chain->legs[stop];
  TandemNodeClient *client = TANDEM_NODE_CLIENT (source);
  BertChain *self = step_end (step);
  g_autoptr (GError) error = NULL;
  gboolean complete;
  guint64 bytes;

  if (!tandem_node_client_have_finish (client, result, &complete, &bytes, &error)) {
    bert_chain_build_failed (self, client, error);
  } else if (complete) {
    got_file (self);
  } else if (!bert_chain_is_over (self)) {
    g_autoptr (GFile) file = g_file_new_for_path (leg->file->path);
    g_autoptr (GFileInfo) info =
        g_file_query_info (file, G_FILE_ATTRIBUTE_STANDARD_SIZE, 0, NULL, NULL);

    self->n_sent += info != NULL ? (guint64) g_file_info_get_size (info) - bytes : 0;
    step = step_new (self, stop, TRUE);
    tandem_node_client_put_async (client, leg->file->path, self->cancellable, on_progress, step,
                                  on_put, step);
  }
  bert_chain_leave (self);
}

static void
cut (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  Step *step = data;
  const BertStop *stop = &step->chain->route->stops[step->stop];
  BertLeg *leg = &step->chain->legs[step->stop];
  GError *error = NULL;

  leg->file = tandem_stage_files_get (step->chain->bin->model, stop->first, stop->last,
                                      step->chain->bin->used.cache_limit, cancellable, &error);
  if (leg->file == NULL) {
    g_task_return_error (task, error);
    return;
  }
  leg->digest = g_strdup (leg->file->digest);
  g_task_return_boolean (task, TRUE);
}

static void
on_cut (GObject *source, GAsyncResult *result, gpointer data)
{
  Step *step = data;
  guint stop = step->stop;
  BertChain *self = step_end (step);
  g_autoptr (GError) error = NULL;

  if (!g_task_propagate_boolean (G_TASK (result), &error)) {
    g_prefix_error (&error, _("no stage file can be cut: "));
    bert_chain_build_failed (self, NULL, error);
  } else if (!bert_chain_is_over (self)) {
    step = step_new (self, stop, TRUE);
    tandem_node_client_have_async (self->route->stops[stop].client, self->legs[stop].digest,
                                   self->cancellable, on_have, step);
  }
  bert_chain_leave (self);
}

void
bert_chain_build (BertChain *self)
{
  guint i;

  self->next = self->route->n_stops;
  self->element = gst_object_ref_sink (gst_bin_new (NULL));
  g_object_set_qdata (G_OBJECT (self->element), bert_chain_quark (), self);
  gst_element_set_locked_state (self->element, TRUE);
  gst_bin_add (GST_BIN (self->bin), self->element);
  gst_element_set_state (self->element, GST_STATE_PLAYING);
  bert_chain_touch (self);
  for (i = 0; i < self->route->n_stops; i++)
    self->n_files += self->route->stops[i].client != NULL;
  if (self->n_files == 0)
    bert_chain_build_next (self);
  for (i = 0; i < self->route->n_stops; i++) {
    g_autoptr (GTask) task = NULL;
    Step *step;

    if (self->route->stops[i].client == NULL)
      continue;
    step = step_new (self, i, FALSE);
    task = g_task_new (NULL, self->cancellable, on_cut, step);
    g_task_set_task_data (task, step, NULL);
    g_task_run_in_thread (task, cut);
  }
}

/* --- stages --- */

gboolean
bert_chain_is_loopback (const char *host)
{
  g_autoptr (GInetAddress) address = g_inet_address_new_from_string (host);

  return address != NULL ? g_inet_address_get_is_loopback (address)
                         : g_str_equal (host, "localhost");
}

/* Where results of a stop are to go, as its device sees it: NULL is where we are. */
static const char *
get_next_host (BertChain *self, guint stop)
{
  const BertStop *here = &self->route->stops[stop];
  const BertStop *next = stop + 1 < self->route->n_stops ? here + 1 : NULL;

  if (next == NULL || next->client == NULL ||
      (bert_chain_is_loopback (next->host) && !bert_chain_is_loopback (here->host)))
    return NULL;
  return next->host;
}

static void
on_built (GObject *source, GAsyncResult *result, gpointer data)
{
  Step *step = data;
  BertLeg *leg = &step->chain->legs[step->stop];
  TandemNodeClient *client = TANDEM_NODE_CLIENT (source);
  BertChain *self = step_end (step);
  g_autoptr (GError) error = NULL;
  guint64 memory;

  if (!tandem_node_client_build_finish (client, result, &leg->stage, &leg->port, &memory,
                                        &error)) {
    bert_chain_build_failed (self, client, error);
  } else if (!bert_chain_is_over (self)) {
    self->next_port = leg->port;
    bert_chain_build_next (self);
  }
  bert_chain_leave (self);
}

static void
build_remote (BertChain *self, guint stop)
{
  const BertStop *here = &self->route->stops[stop];
  Step *step;

  if (!tandem_node_client_is_open (here->client)) {
    g_autoptr (GError) error =
        g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CLOSED, _("its connection has ended"));

    bert_chain_build_failed (self, here->client, error);
    return;
  }
  step = step_new (self, stop, TRUE);
  bert_chain_watch_node (self, stop);
  tandem_node_client_build_async (here->client, self->legs[stop].digest, here->first, here->last,
                                  self->bin->used.precision, here->n_threads,
                                  &self->route->shape, here->format, get_next_host (self, stop),
                                  self->next_port, self->cancellable, on_built, step);
}

/* The next one from the back; `next` is the stop that is built already. */
void
bert_chain_build_next (BertChain *self)
{
  const BertRoute *route = self->route;
  const BertStop *last = &route->stops[route->n_stops - 1];

  if (self->next == 0 && (self->has_entry || bert_chain_is_over (self))) {
    self->is_built = TRUE;
    tandem_clear_source (&self->stall);
    bert_chain_watch_start (self);
    self->funcs.built (self, NULL, NULL, self->user_data);
  } else if (self->next == 0) {
    bert_chain_build_segment (self, -1, 0);        /* tokens go to the first device */
  } else if (self->next == route->n_stops && last->client != NULL && !self->has_tail) {
    bert_chain_build_segment (self, -1, route->n_stops);   /* answers come from the last one */
  } else {
    guint stop = --self->next;

    if (route->stops[stop].client != NULL)
      build_remote (self, stop);
    else
      bert_chain_build_segment (self, stop, stop + 1);
  }
}

/* --- failing --- */

void
bert_chain_fail (BertChain *self, TandemNodeClient *blamed, const GError *error)
{
  if (!self->is_built) {
    bert_chain_build_failed (self, blamed, error);
  } else if (!bert_chain_is_over (self)) {
    self->has_failed = TRUE;
    self->funcs.failed (self, blamed, error, self->user_data);
  }
}
