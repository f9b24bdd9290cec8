/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Three chains at the most are more than names: `current` is asked, `next` is being built or waits
 * until the current one has answered, and `spare` runs all layers here, for as long as there is
 * nobody else. Whichever is built first while there is no current one becomes it. */

#include "config.h"

#include "bert-worker.h"

#include <glib/gi18n-lib.h>

#include "base/tandem-source-private.h"
#include "bert-chain.h"
#include "bert-pace.h"
#include "bert-planner.h"

#define GST_CAT_DEFAULT gst_bert_bin_debug
GST_DEBUG_CATEGORY_EXTERN (gst_bert_bin_debug);

/* How long the current chain may take to answer what it was asked before the next one is. */
#define DRAIN_TIMEOUT_MS 5000
/* A micro-batch of fewer is not worth a chain of its own. */
#define LEAST_SEQUENCES 16
#define LEAST_TOKENS 2048
#define RETRY_MS 1000

struct _BertWorker
{
  GstBertBin *bin;              /* borrowed */
  GThread *thread;
  GMainContext *context;
  gint is_grown;                /* atomic: bert_worker_grown() is on its way */

  /* the worker's thread */
  BertPlanner *planner;
  BertChain *current, *next, *spare;    /* (nullable) */
  gboolean is_draining;         /* next is built */
  gboolean has_begun;           /* devices were waited for long enough */
  gboolean is_waiting;          /* nobody can run the model */
  guint n_chains;               /* that have not ended */
  gboolean is_stopping, has_stopped;
  GSource *begin, *drain, *retry, *give_up;     /* (nullable) */
  GError *trouble;              /* (nullable): why there is no current chain */
  char *reason;                 /* (nullable): of the next move */
  BertPace pace;                /* of the current chain */
};

static void consider (BertWorker *self);

/* --- sources --- */

static void
start_source (BertWorker *self, GSource **source, guint milliseconds, GSourceFunc func)
{
  tandem_clear_source (source);
  *source = g_timeout_source_new (milliseconds);
  g_source_set_callback (*source, func, self, NULL);
  g_source_attach (*source, self->context);
}

static void
invoke (BertWorker *self, GSourceFunc func)
{
  g_autoptr (GSource) source = g_idle_source_new ();

  g_source_set_priority (source, G_PRIORITY_HIGH);
  g_source_set_callback (source, func, self, NULL);
  g_source_attach (source, self->context);
}

/* --- what it says --- */

static void
tell_plan (BertWorker *self, BertChain *chain)
{
  const BertRoute *route = bert_chain_get_route (chain);
  g_autofree char *text = bert_route_describe (route);
  double predicted = bert_planner_predict (self->planner, route);

  gst_bert_bin_set_current_placement (self->bin, text);
  gst_element_post_message (GST_ELEMENT (self->bin),
      gst_message_new_element (GST_OBJECT (self->bin),
          gst_structure_new ("tandem-plan", "placement", G_TYPE_STRING, text,
                             "devices", G_TYPE_UINT, route->n_stops,
                             "predicted", G_TYPE_DOUBLE,
                             predicted > 0 ? predicted : route->predicted,
                             "measured", G_TYPE_DOUBLE, self->pace.rate, NULL)));
}

/* to: (nullable): nobody yet */
static void
tell_moved (BertWorker *self, const char *reason, BertChain *to)
{
  g_autofree char *text = to != NULL ? bert_route_describe (bert_chain_get_route (to)) : NULL;

  GST_INFO_OBJECT (self->bin, "%s; now: %s", reason, text != NULL ? text : "nobody");
  gst_element_post_message (GST_ELEMENT (self->bin),
      gst_message_new_element (GST_OBJECT (self->bin),
          gst_structure_new ("tandem-moved", "reason", G_TYPE_STRING, reason,
                             "placement", G_TYPE_STRING, text, NULL)));
}

static void
set_reason (BertWorker *self, const char *reason)
{
  g_free (self->reason);
  self->reason = g_strdup (reason);
}

/* --- chains --- */

static void
end_chain (BertWorker *self, BertChain **chain)
{
  if (*chain == NULL)
    return;
  if (*chain == self->next)
    self->is_draining = FALSE;
  bert_chain_end (*chain);
  g_clear_pointer (chain, bert_chain_unref);
}

static void
on_ended (BertChain *chain, TandemNodeClient *blamed, const GError *error, gpointer data)
{
  BertWorker *self = data;

  self->n_chains--;
  if (self->is_stopping && self->n_chains == 0)
    self->has_stopped = TRUE;
  else if (!self->is_stopping)
    consider (self);
}

/* chain: one of ours, built */
static void
switch_to (BertWorker *self, BertChain **chain)
{
  BertChain *old = self->current;
  gboolean is_first = self->reason == NULL && old == NULL;

  self->current = g_steal_pointer (chain);
  self->is_draining = self->is_waiting = FALSE;
  tandem_clear_source (&self->drain);
  tandem_clear_source (&self->give_up);
  g_clear_error (&self->trouble);
  gst_bert_bin_feed (self->bin, self->current);
  if (!is_first)
    tell_moved (self, self->reason != NULL ? self->reason : _("another placement"),
                self->current);
  g_clear_pointer (&self->reason, g_free);
  bert_pace_begin (&self->pace);
  tell_plan (self, self->current);
  end_chain (self, &old);
}

static gboolean
on_drain_timeout (gpointer data)
{
  BertWorker *self = data;

  if (self->is_draining)
    switch_to (self, &self->next);
  consider (self);
  return G_SOURCE_REMOVE;
}

static gboolean
on_drained (gpointer data)
{
  return on_drain_timeout (data);
}

static gboolean
is_local (BertChain *chain)
{
  return bert_route_is_local (bert_chain_get_route (chain));
}

static void
built (BertWorker *self, BertChain *chain)
{
  GST_INFO_OBJECT (self->bin, "a chain is built%s", is_local (chain) ? " here" : "");
  if (chain == self->next) {
    if (self->current == NULL) {
      switch_to (self, &self->next);
      end_chain (self, &self->spare);
    } else if (gst_bert_bin_drain (self->bin)) {
      switch_to (self, &self->next);
    } else {
      self->is_draining = TRUE;
      start_source (self, &self->drain, DRAIN_TIMEOUT_MS, on_drain_timeout);
    }
  } else if (chain == self->spare) {
    if (self->current == NULL)
      switch_to (self, &self->spare);
    else
      end_chain (self, &self->spare);
  }
}

static char *
describe_trouble (BertChain *chain, TandemNodeClient *blamed, const GError *error)
{
  const BertRoute *route = bert_chain_get_route (chain);
  guint i;

  for (i = 0; blamed != NULL && i < route->n_stops; i++)
    if (route->stops[i].client == blamed)
      return g_strdup_printf ("%s: %s", route->stops[i].name, error->message);
  return g_strdup (error->message);
}

/* Returns FALSE when that was the end of it all. */
static gboolean
note_trouble (BertWorker *self, BertChain *chain, TandemNodeClient *blamed, const GError *error)
{
  g_autofree char *text = describe_trouble (chain, blamed, error);

  GST_INFO_OBJECT (self->bin, "a chain failed: %s", text);
  if (is_local (chain)) {
    gst_bert_bin_fail (self->bin, error, "the stage on this device");
    return FALSE;
  }
  bert_planner_blame (self->planner, blamed, error);
  set_reason (self, text);
  g_clear_error (&self->trouble);
  self->trouble = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_FAILED, text);
  return TRUE;
}

static void
on_built (BertChain *chain, TandemNodeClient *blamed, const GError *error, gpointer data)
{
  BertWorker *self = data;
  BertChain **which = chain == self->next ? &self->next : &self->spare;

  if (*which != chain)
    return;
  if (error == NULL) {
    built (self, chain);
    return;
  }
  if (note_trouble (self, chain, blamed, error) && self->current != NULL)
    g_clear_pointer (&self->reason, g_free);
  end_chain (self, which);
  consider (self);
}

/* What was asked is asked of the next one, as soon as there is one. */
static void
on_failed (BertChain *chain, TandemNodeClient *blamed, const GError *error, gpointer data)
{
  BertWorker *self = data;
  BertChain **which = chain == self->current ? &self->current : &self->next;
  gboolean was_current = chain == self->current;

  if (*which != chain)
    return;
  if (was_current)
    gst_bert_bin_feed (self->bin, NULL);
  if (!note_trouble (self, chain, blamed, error)) {
    end_chain (self, which);
    return;
  }
  end_chain (self, which);
  if (was_current && self->is_draining)
    switch_to (self, &self->next);
  else if (!was_current && self->current != NULL)
    gst_bert_bin_feed (self->bin, self->current);
  consider (self);
}

/* route: (transfer full) */
static BertChain *
start_chain (BertWorker *self, BertRoute *route)
{
  static const BertChainFuncs funcs = { on_built, on_failed, on_ended };
  g_autofree char *text = bert_route_describe (route);

  GST_INFO_OBJECT (self->bin, "building %s", text);
  self->n_chains++;
  return bert_chain_new (self->bin, route, self->context, &funcs, self);
}

/* --- what to do --- */

static void
get_shape (BertWorker *self, TandemBatchShape *shape)
{
  guint n_sequences, n_tokens;

  g_mutex_lock (&self->bin->lock);
  n_sequences = MAX (self->bin->largest.n_sequences, LEAST_SEQUENCES);
  n_tokens = MAX (self->bin->largest.n_tokens, LEAST_TOKENS);
  g_mutex_unlock (&self->bin->lock);
  /* A little more, so that it does not grow each time. */
  n_sequences = 1u << g_bit_storage (n_sequences - 1);
  n_tokens = MIN (1u << g_bit_storage (n_tokens - 1), n_sequences *
                  tandem_model_get_config (self->bin->model)->max_positions);
  tandem_batch_shape_init (shape, n_sequences, n_tokens / n_sequences);
  shape->n_tokens = n_tokens;
}

static gboolean
on_give_up (gpointer data)
{
  BertWorker *self = data;
  g_autoptr (GError) error = NULL;

  if (self->current != NULL)
    return G_SOURCE_REMOVE;
  /* Stage files may take their time; who does not get on is left after a while. */
  if (self->next != NULL) {
    start_source (self, &self->give_up, self->bin->used.timeout, on_give_up);
    return G_SOURCE_REMOVE;
  }
  error = self->trouble != NULL ? g_error_copy (self->trouble)
      : g_error_new_literal (G_IO_ERROR, G_IO_ERROR_TIMED_OUT, _("no device answered"));
  g_prefix_error (&error, _("No devices can run this model: "));
  gst_bert_bin_fail (self->bin, error, "timeout");
  return G_SOURCE_REMOVE;
}

/* Once a second: how many results came, and how long the stages took for them. */
static void
look_at_rate (BertWorker *self)
{
  guint64 n;

  if (self->current == NULL)
    return;
  g_mutex_lock (&self->bin->lock);
  n = bert_chain_get_n_answered (self->current);
  g_mutex_unlock (&self->bin->lock);
  bert_planner_measure (self->planner, self->current);
  if (bert_pace_look (&self->pace, n, g_get_monotonic_time ()))
    tell_plan (self, self->current);
}

static gboolean
on_retry (gpointer data)
{
  look_at_rate (data);
  consider (data);
  return G_SOURCE_CONTINUE;
}

/* Nobody can run it now. */
static void
wait_for_devices (BertWorker *self, const GError *why)
{
  guint timeout = self->bin->used.timeout;

  /* What is wrong in the end is what people should know, not what was in the beginning. */
  g_clear_error (&self->trouble);
  self->trouble = g_error_copy (why);
  if (self->is_waiting)
    return;
  self->is_waiting = TRUE;
  tell_moved (self, why->message, NULL);
  gst_bert_bin_set_current_placement (self->bin, NULL);
  if (timeout > 0)
    start_source (self, &self->give_up, timeout, on_give_up);
}

static gboolean
must_move (BertWorker *self, const TandemBatchShape *shape)
{
  return !bert_chain_fits (self->current, shape);
}

/* A placement that is given is moved to as soon as it can be had. */
static gboolean
is_worth_it (BertWorker *self, const BertRoute *route)
{
  const BertRoute *here = bert_chain_get_route (self->current);
  const char *why;

  if (bert_route_is_equal (route, here))
    return FALSE;
  if (self->bin->used.placement != NULL)
    return !bert_route_is_local (route) || bert_route_is_local (here);
  why = bert_pace_decide (&self->pace, bert_planner_evaluate (self->planner, here),
                          bert_planner_evaluate (self->planner, route), route->cost,
                          g_get_monotonic_time ());
  if (why != NULL)
    set_reason (self, why);
  return why != NULL;
}

static void
begin_next (BertWorker *self, BertRoute *route, const TandemBatchShape *shape)
{
  route->shape = *shape;
  self->next = start_chain (self, route);
  bert_chain_build (self->next);
}

/* While others are made ready this device does what it can. */
static void
begin_spare (BertWorker *self, const TandemBatchShape *shape)
{
  BertRoute *route;

  if (self->spare != NULL || !bert_planner_fits_here (self->planner, shape, NULL))
    return;
  route = bert_route_new_local (self->bin);
  route->shape = *shape;
  self->spare = start_chain (self, route);
  bert_chain_build (self->spare);
}

static void
consider (BertWorker *self)
{
  g_autoptr (BertRoute) route = NULL;
  g_autoptr (GError) error = NULL;
  TandemBatchShape shape;
  gboolean is_here;

  if (self->is_stopping || !self->has_begun || self->next != NULL)
    return;
  get_shape (self, &shape);
  route = bert_planner_choose (self->planner, &shape, &error);
  if (route == NULL) {
    if (self->current == NULL && self->spare == NULL)
      wait_for_devices (self, error);
    return;
  }
  is_here = bert_route_is_local (route);
  if (self->current != NULL) {
    if (must_move (self, &shape))
      set_reason (self, _("larger micro-batches"));
    else if (!is_worth_it (self, route))
      return;
    begin_next (self, g_steal_pointer (&route), &shape);
  } else if (is_here) {
    begin_spare (self, &shape);
  } else {
    begin_next (self, g_steal_pointer (&route), &shape);
    if (self->current == NULL)
      begin_spare (self, &shape);
  }
}

/* --- events --- */

static gboolean
on_begin (gpointer data)
{
  BertWorker *self = data;

  self->has_begun = TRUE;
  consider (self);
  return G_SOURCE_REMOVE;
}

static void
on_devices_changed (gpointer data)
{
  BertWorker *self = data;

  if (bert_planner_is_settled (self->planner))
    self->has_begun = TRUE;
  consider (self);
}

static gboolean
on_grown (gpointer data)
{
  BertWorker *self = data;

  g_atomic_int_set (&self->is_grown, 0);
  consider (self);
  return G_SOURCE_REMOVE;
}

void
bert_worker_grown (BertWorker *self)
{
  if (g_atomic_int_compare_and_exchange (&self->is_grown, 0, 1))
    invoke (self, on_grown);
}

void
bert_worker_drained (BertWorker *self)
{
  invoke (self, on_drained);
}

/* --- life --- */

static gboolean
on_stop (gpointer data)
{
  BertWorker *self = data;

  self->is_stopping = TRUE;
  tandem_clear_source (&self->begin);
  tandem_clear_source (&self->drain);
  tandem_clear_source (&self->retry);
  tandem_clear_source (&self->give_up);
  self->has_stopped = self->n_chains == 0;
  end_chain (self, &self->current);
  end_chain (self, &self->next);
  end_chain (self, &self->spare);
  return G_SOURCE_REMOVE;
}

static gpointer
run (gpointer data)
{
  BertWorker *self = data;
  g_autoptr (GError) error = NULL;
  guint timeout = self->bin->used.discovery_timeout;

  g_main_context_push_thread_default (self->context);
  self->planner = bert_planner_new (self->bin, on_devices_changed, self, &error);
  if (self->planner == NULL) {
    gst_bert_bin_fail (self->bin, error, "devices");
    self->is_stopping = TRUE;
  } else {
    if (bert_planner_is_settled (self->planner) || timeout == 0)
      on_begin (self);
    else
      start_source (self, &self->begin, timeout, on_begin);
    start_source (self, &self->retry, RETRY_MS, on_retry);
  }
  while (!self->has_stopped)
    g_main_context_iteration (self->context, TRUE);
  g_clear_pointer (&self->planner, bert_planner_free);
  /* What was still on its way comes to nobody. */
  while (g_main_context_iteration (self->context, FALSE))
    ;
  g_main_context_pop_thread_default (self->context);
  return NULL;
}

BertWorker *
bert_worker_new (GstBertBin *bin)
{
  BertWorker *self = g_new0 (BertWorker, 1);

  self->bin = bin;
  self->context = g_main_context_new ();
  self->thread = g_thread_new ("bertbin", run, self);
  return self;
}

void
bert_worker_free (BertWorker *self)
{
  invoke (self, on_stop);
  g_thread_join (self->thread);
  g_main_context_unref (self->context);
  g_clear_error (&self->trouble);
  g_free (self->reason);
  g_free (self);
}
