/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A sender that has no host looks for one: in its own thread it waits for candidates, tries them,
 * and goes to another when one fails. */

#include "config.h"

#include "tandem-sender-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "net/tandem-discovery-private.h"

#define GST_CAT_DEFAULT tandem_net_debug

static void
report (TandemSender *self, TandemSearchState state, TandemCandidate *candidate,
        guint n_candidates, const GError *reason)
{
  if (self->search_func != NULL)
    self->search_func (self, state, candidate, n_candidates, reason, self->user_data);
}

static void
on_refused (TandemCandidate *candidate, const GError *reason, gpointer data)
{
  TandemSender *self = data;

  GST_INFO ("%s: %s", tandem_candidate_get_name (candidate), reason->message);
  report (self, TANDEM_SEARCH_REFUSED, candidate, self->n_candidates, reason);
}

/* In the discovery's thread. */
static void
on_changed (TandemDiscovery *discovery, TandemSender *self)
{
  g_mutex_lock (&self->lock);
  self->candidates_changed = TRUE;
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->lock);
}

static void
release_sender (gpointer sender, GClosure *closure)
{
  g_object_unref (sender);
}

/**
 * tandem_sender_set_discovery: (skip)
 * @sender: a sender that was not started, whose host is %NULL
 * @discovery: (transfer none): who knows the candidates
 * @timeout: milliseconds without a device that takes the stream, after which the sender gives up;
 *   0: never
 * @func: (nullable): told about the search; gets the data of tandem_sender_start()
 *
 * Lets @sender find the device itself, once its stream is set, and another one when that one
 * fails or stops: what was not acknowledged goes there. In training it stays with the
 * first.
 */
void
tandem_sender_set_discovery (TandemSender *sender, TandemDiscovery *discovery, guint timeout,
                             TandemSenderSearchFunc func)
{
  g_return_if_fail (sender->thread == NULL && sender->host == NULL && sender->discovery == NULL);
  sender->discovery = g_object_ref (discovery);
  sender->reconnect_timeout = timeout;
  sender->search_func = func;
  sender->search = tandem_peer_search_new (on_refused, sender);
  sender->candidates_changed = TRUE;
  sender->changed_handler =
      g_signal_connect_data (discovery, "changed", G_CALLBACK (on_changed),
                             g_object_ref (sender), release_sender, 0);
}

void
tandem_sender_stop_search (TandemSender *self)
{
  if (self->changed_handler != 0)
    g_signal_handler_disconnect (self->discovery, self->changed_handler);
  self->changed_handler = 0;
}

/* Whether it keeps its place among those that are announced. */
static void
keep_candidate (TandemSender *self, gboolean keep)
{
  tandem_discovery_keep (self->discovery, tandem_candidate_get_key (self->candidate), keep);
}

void
tandem_sender_clear_search (TandemSender *self)
{
  if (self->candidate != NULL)
    keep_candidate (self, FALSE);
  g_clear_pointer (&self->search, tandem_peer_search_free);
  g_clear_object (&self->candidate);
  g_clear_object (&self->discovery);
}

static void
adopt_candidate (TandemSender *self, TandemCandidate *candidate)
{
  if (self->candidate != NULL)
    keep_candidate (self, FALSE);
  g_set_object (&self->candidate, candidate);
  g_free (self->host);
  self->host = tandem_candidate_get_host (candidate);
  self->port = tandem_candidate_get_port (candidate);
  GST_INFO ("trying %s at %s:%u", tandem_candidate_get_name (candidate), self->host, self->port);
}

static void
give_up_locked (TandemSender *self, GPtrArray *candidates)
{
  g_autoptr (GError) problem = tandem_discovery_get_problem (self->discovery);
  g_autofree char *reasons = tandem_peer_search_explain (self->search, candidates);

  tandem_sender_fail_locked (self, g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_NOT_FOUND,
      _("No device took the stream for %u ms: %s.%s%s"), self->reconnect_timeout, reasons,
      problem != NULL ? " " : "", problem != NULL ? problem->message : ""));
}

/* Waits until there is something to look for, or nothing to do at all. */
static gboolean
wait_for_stream_locked (TandemSender *self, TandemStreamInfo *stream)
{
  while (!self->stopping && self->error == NULL && self->caps == NULL && !self->eos_queued)
    g_cond_wait (&self->cond, &self->lock);
  if (self->stopping || self->error != NULL)
    return FALSE;
  if (self->caps == NULL) {
    /* A stream that ends before it had caps is for nobody. */
    g_queue_clear_full (&self->items, (GDestroyNotify) tandem_sender_item_free);
    g_cond_broadcast (&self->cond);
    return FALSE;
  }
  *stream = self->info;
  stream->labels = g_strdupv (self->info.labels);
  return TRUE;
}

/**
 * tandem_sender_find_peer: (skip)
 * @self: a sender with a discovery; its own thread only
 *
 * Waits until there is a candidate to try, and lets host and port be its.
 *
 * Returns: %FALSE when there is nothing to connect for any more
 */
gboolean
tandem_sender_find_peer (TandemSender *self)
{
  g_auto (TandemStreamInfo) stream = { 0 };
  gint64 end = G_MAXINT64;
  gboolean looking;

  g_mutex_lock (&self->lock);
  looking = wait_for_stream_locked (self, &stream);
  if (self->lost_since == 0)
    self->lost_since = g_get_monotonic_time ();
  if (self->reconnect_timeout > 0)
    end = self->lost_since + (gint64) self->reconnect_timeout * 1000;
  g_mutex_unlock (&self->lock);

  while (looking) {
    g_autoptr (GPtrArray) candidates = NULL;
    g_autoptr (TandemCandidate) candidate = NULL;
    gint64 now = g_get_monotonic_time (), wake;
    gboolean changed;

    g_mutex_lock (&self->lock);
    changed = self->candidates_changed;
    self->candidates_changed = FALSE;
    g_mutex_unlock (&self->lock);

    candidates = tandem_discovery_get_candidates (self->discovery);
    self->n_candidates = candidates->len;
    if (changed) {
      g_autoptr (GError) problem = tandem_discovery_get_problem (self->discovery);

      report (self, TANDEM_SEARCH_LOOKING, NULL, candidates->len, problem);
    }
    candidate = tandem_peer_search_choose (self->search, candidates, &stream, now, &wake);

    g_mutex_lock (&self->lock);
    if (self->stopping || self->error != NULL) {
      looking = FALSE;
    } else if (now >= end) {
      give_up_locked (self, candidates);
      looking = FALSE;
    } else if (candidate == NULL) {
      while (!self->stopping && self->error == NULL && !self->candidates_changed &&
             g_cond_wait_until (&self->cond, &self->lock, MIN (wake, end)));
    }
    g_mutex_unlock (&self->lock);
    if (looking && candidate != NULL) {
      adopt_candidate (self, candidate);
      return TRUE;
    }
  }
  return FALSE;
}

/* The candidate took the stream. */
void
tandem_sender_enter_peer (TandemSender *self)
{
  self->entered = g_get_monotonic_time ();
  keep_candidate (self, TRUE);
  report (self, TANDEM_SEARCH_CONNECTED, self->candidate, self->n_candidates, NULL);
}

/**
 * tandem_sender_leave_peer: (skip)
 * @self: a sender with a discovery; its own thread only
 * @worked: micro-batches were acknowledged over the connection that broke
 * @reason: (nullable): why there is no connection to the candidate, or no longer
 *
 * A connection that worked and broke is made again, for that device knows what it has. Who
 * refuses, stops, falls silent, or cannot be reached is left for another one.
 *
 * Returns: whether to look for a candidate again
 */
gboolean
tandem_sender_leave_peer (TandemSender *self, gboolean worked, const GError *reason)
{
  g_autoptr (GError) broken = NULL;
  gint64 now = g_get_monotonic_time ();
  gboolean again;

  g_mutex_lock (&self->lock);
  again = !self->stopping && self->error == NULL;
  /* The time with a device that took the stream, however slow it is, is no time without one. */
  if (self->lost_since != 0 && self->entered != 0)
    self->lost_since += now - self->entered;
  self->entered = 0;
  g_mutex_unlock (&self->lock);
  if (!again)
    return FALSE;
  if (worked && !g_error_matches (reason, TANDEM_NET_ERROR, TANDEM_NET_ERROR_TIMEOUT) &&
      (reason == NULL || reason->domain != TANDEM_NET_ERROR || reason->code >= 100)) {
    tandem_peer_search_keep (self->search, self->candidate);
    return TRUE;
  }
  if (reason == NULL)
    reason = broken = g_error_new_literal (TANDEM_NET_ERROR, TANDEM_NET_ERROR_CLOSED,
                                           _("the connection broke"));
  tandem_peer_search_fail (self->search, self->candidate, reason, now);
  return TRUE;
}

/**
 * tandem_sender_may_move_locked: (skip)
 * @self: a sender
 * @item: (nullable): a micro-batch that the receiver dropped
 *
 * Returns: whether another device can be asked for what this one does not do
 */
gboolean
tandem_sender_may_move_locked (TandemSender *self, TandemSenderItem *item)
{
  if (self->discovery == NULL || self->training_begun)
    return FALSE;
  return item == NULL || ++item->n_drops < TANDEM_SENDER_MAX_DROPS;
}
