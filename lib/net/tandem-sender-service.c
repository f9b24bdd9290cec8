/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The sender's own thread: it has a connection made, reads what the receiver says, writes what the
 * streaming thread left over, and tries again when the connection breaks. */

#include "config.h"

#include "tandem-sender-private.h"

#include <glib/gi18n-lib.h>

#include "net/tandem-net-private.h"

#define GST_CAT_DEFAULT tandem_net_debug

#define BACKOFF_MIN_US (20 * G_TIME_SPAN_MILLISECOND)
#define BACKOFF_MAX_US G_USEC_PER_SEC
/* How many keep-alive periods of the receiver may pass in silence, and how many where another device
 * may take its place. */
#define SILENT_PERIODS 25
#define SEARCH_SILENT_PERIODS 4

static gboolean
handle_ack (TandemSender *self, const TandemAck *ack, GError **error)
{
  g_autoptr (GPtrArray) settled =
      g_ptr_array_new_with_free_func ((GDestroyNotify) tandem_sender_item_free);
  guint i;

  g_mutex_lock (&self->lock);
  for (GList *l = self->items.head, *next; l != NULL; l = next) {
    TandemSenderItem *item = l->data;

    next = l->next;
    if (item->sequence < ack->first)
      continue;
    if (item->sequence > ack->last)
      break;
    if (l == self->unsent || !item->begun) {
      g_mutex_unlock (&self->lock);
      g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
                   "micro-batch %" G_GUINT64_FORMAT " was acknowledged before it was sent",
                   item->sequence);
      return FALSE;
    }
    if (ack->status == TANDEM_ACK_DROPPED && !item->flushed &&
        tandem_sender_may_move_locked (self, item)) {
      g_mutex_unlock (&self->lock);
      g_set_error_literal (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_DROPPED,
                           _("it dropped a micro-batch: its pipeline failed, was stopped or was "
                             "flushed"));
      return FALSE;
    }
    g_queue_delete_link (&self->items, l);
    if (item->type == TANDEM_FRAME_BUFFER)
      tandem_sender_count_locked (self, item, -1);
    g_ptr_array_add (settled, item);
    self->lost_since = 0;
    if (ack->status == TANDEM_ACK_DROPPED && !item->flushed) {
      g_autofree char *number = tandem_net_number_to_string (item->sequence);

      tandem_sender_fail_locked (self, g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_DROPPED,
          _("The device at %s:%u dropped micro-batch %s without a result: its pipeline failed, was "
            "stopped or was flushed."), self->host, self->port, number));
    }
  }
  self->n_completing += settled->len;
  self->n_settled += settled->len;
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->lock);

  for (i = 0; ack->status == TANDEM_ACK_CONSUMED && i < settled->len; i++)
    tandem_sender_item_complete (g_ptr_array_index (settled, i));
  g_mutex_lock (&self->lock);
  self->n_completing -= settled->len;
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->lock);
  return TRUE;
}

static gboolean
handle_frame (TandemSender *self, TandemLink *link, const TandemFrame *frame, GError **error)
{
  guint64 frames, bytes;
  TandemAck ack;
  guint kind;

  switch (frame->type) {
    case TANDEM_FRAME_ACK:
      return tandem_frame_parse_ack (frame, &ack, error) && handle_ack (self, &ack, error);
    case TANDEM_FRAME_CREDIT:
      if (!tandem_frame_parse_credit (frame, &frames, &bytes, error))
        return FALSE;
      g_mutex_lock (&self->lock);
      self->credit_frames = MAX (self->credit_frames, frames);
      self->credit_bytes = MAX (self->credit_bytes, bytes);
      tandem_sender_pump_locked (self);
      g_mutex_unlock (&self->lock);
      return TRUE;
    case TANDEM_FRAME_EVENT:
      if (!tandem_frame_parse_event (frame, &kind, error))
        return FALSE;
      return kind != TANDEM_FRAME_EVENT_GRADIENT ||
          tandem_sender_take_gradient (self, link, frame, error);
    case TANDEM_FRAME_ERROR:
      {
        g_autoptr (GError) told = tandem_frame_parse_error (frame);

        g_mutex_lock (&self->lock);
        if (tandem_sender_may_move_locked (self, NULL)) {
          g_mutex_unlock (&self->lock);
          g_propagate_error (error, g_steal_pointer (&told));
          return FALSE;
        }
        if (told->code == TANDEM_NET_ERROR_STOPPED)
          tandem_sender_fail_training_locked (self, told);
        tandem_sender_fail_locked (self, g_error_new (TANDEM_NET_ERROR, told->code,
            _("The device at %s:%u refused: %s"), self->host, self->port, told->message));
        g_mutex_unlock (&self->lock);
        return TRUE;
      }
    default:
      g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
                   "a receiver does not send frames of type %u", frame->type);
      return FALSE;
  }
}

/* Says that nothing is owed any more, so that the receiver need not wait for us to come back. */
static void
say_done (TandemLink *link)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();

  tandem_frame_append_event (bytes, 0, TANDEM_FRAME_EVENT_DONE);
  if (tandem_link_write_all (link, bytes, G_USEC_PER_SEC, NULL, NULL))
    tandem_link_close_politely (link, G_USEC_PER_SEC);
}

/* Says why the stream will not be completed, unless a frame is half written: the end of the
 * connection has to do then. */
static void
say_error (TandemSender *self, TandemLink *link, int code, const char *sentence)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  gboolean at_boundary;

  g_mutex_lock (&self->lock);
  at_boundary = self->link == link && self->error == NULL && self->offset == 0;
  if (at_boundary)
    g_clear_pointer (&self->link, tandem_link_unref);
  g_mutex_unlock (&self->lock);
  if (!at_boundary)
    return;
  tandem_frame_append_error (bytes, code, sentence);
  if (tandem_link_write_all (link, bytes, G_USEC_PER_SEC / 4, NULL, NULL))
    tandem_link_close_politely (link, G_USEC_PER_SEC / 4);
}

/* Runs one connection until it ends. Returns whether the stream is complete; otherwise `lost` may
 * say why it ended. */
static gboolean
serve (TandemSender *self, TandemLink *link, guint keepalive, GError **lost)
{
  guint64 n_read = 0;
  gint64 period = (gint64) keepalive * 1000, heard = g_get_monotonic_time ();

  for (;;) {
    g_autoptr (GError) error = NULL;
    const TandemFrame *frame;
    GIOCondition condition = G_IO_IN;
    TandemLinkStatus status;
    gboolean done, usable, stopping, trains;

    g_mutex_lock (&self->lock);
    if (self->blocked || self->unsent != NULL)
      tandem_sender_pump_locked (self);
    if (self->blocked)
      condition |= G_IO_OUT;
    done = self->eos_queued && g_queue_is_empty (&self->items) && self->error == NULL;
    stopping = self->stopping;
    trains = self->training_begun;
    usable = self->link == link && self->error == NULL;
    g_mutex_unlock (&self->lock);
    if (done) {
      say_done (link);
      return TRUE;
    }
    if (stopping)
      say_error (self, link, TANDEM_NET_ERROR_STOPPED,
                 _("the sending pipeline was stopped in mid-stream"));
    if (stopping || !usable)
      return FALSE;

    status = tandem_link_read (link, &frame, &error);
    if (n_read != tandem_link_get_n_read (link)) {
      n_read = tandem_link_get_n_read (link);
      heard = g_get_monotonic_time ();
    }
    if (status == TANDEM_LINK_FRAME) {
      if (handle_frame (self, link, frame, &error))
        continue;
    } else if (status == TANDEM_LINK_AGAIN) {
      gint64 silence = period * (self->discovery != NULL && !trains ? SEARCH_SILENT_PERIODS
                                                                    : SILENT_PERIODS);
      gint64 left = period == 0 ? -1 : MAX (heard + silence - g_get_monotonic_time (), 0);

      if (tandem_link_wait (link, condition, left, self->wake, &error))
        continue;
      if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
        g_cancellable_reset (self->wake);
        continue;
      }
    } else if (status == TANDEM_LINK_CLOSED) {
      g_set_error (&error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_CLOSED,
                   "%s closed the connection", tandem_link_get_peer (link));
    }
    GST_WARNING ("connection lost: %s", error->message);
    if (trains && error->domain == TANDEM_NET_ERROR && error->code < 100)
      say_error (self, link, error->code, error->message);
    tandem_link_shutdown (link);
    g_propagate_error (lost, g_steal_pointer (&error));
    return FALSE;
  }
}

/* Whether another attempt can help: a broken connection, not an answer. */
static gboolean
is_worth_retrying (const GError *error)
{
  if (error->domain != TANDEM_NET_ERROR)
    return TRUE;
  return error->code == TANDEM_NET_ERROR_CLOSED || error->code == TANDEM_NET_ERROR_TIMEOUT ||
      error->code == TANDEM_NET_ERROR_CORRUPT;
}

/* Waits before the next attempt; FALSE when there is to be none. */
static gboolean
wait_for_retry (TandemSender *self, gint64 *backoff, const GError *why)
{
  gint64 now = g_get_monotonic_time (), end, wake;
  gboolean again = FALSE;

  g_mutex_lock (&self->lock);
  if (self->lost_since == 0) {
    self->lost_since = now;
    *backoff = 0;
  }
  end = self->lost_since + (gint64) self->reconnect_timeout * 1000;
  if (self->stopping || self->error != NULL) {
    again = FALSE;
  } else if (why != NULL && !is_worth_retrying (why)) {
    tandem_sender_fail_locked (self, g_error_copy (why));
  } else if (now >= end) {
    tandem_sender_fail_locked (self, g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_CLOSED,
        _("There was no working connection to %s:%u for %u ms: %s"), self->host, self->port,
        self->reconnect_timeout, why != NULL ? why->message : _("it broke again and again")));
  } else {
    wake = MIN (now + *backoff, end);
    while (!self->stopping && g_cond_wait_until (&self->cond, &self->lock, wake));
    *backoff = CLAMP (*backoff * 2, BACKOFF_MIN_US, BACKOFF_MAX_US);
    again = !self->stopping;
  }
  g_mutex_unlock (&self->lock);
  return again;
}

gpointer
tandem_sender_service (gpointer data)
{
  TandemSender *self = data;
  g_autoptr (GError) failure = NULL;
  guint64 n_settled = 0;
  gint64 backoff = 0;
  gboolean done = FALSE, again = TRUE;

  while (again && !done) {
    g_autoptr (GError) error = NULL;
    g_autoptr (GError) lost = NULL;
    TandemLink *link = NULL;
    guint keepalive = 0;
    gboolean worked = FALSE;

    if (self->discovery != NULL && !tandem_sender_find_peer (self))
      break;
    link = tandem_sender_open_link (self, &keepalive, &error);
    if (link != NULL) {
      GST_INFO ("connected to %s", tandem_link_get_peer (link));
      if (self->discovery != NULL)
        tandem_sender_enter_peer (self);
      done = serve (self, link, keepalive, &lost);
      g_mutex_lock (&self->lock);
      if (!done)
        tandem_sender_fail_training_locked (self, lost);
      worked = self->n_settled != n_settled;
      n_settled = self->n_settled;
      g_clear_pointer (&self->link, tandem_link_unref);
      self->unsent = NULL;
      g_mutex_unlock (&self->lock);
      tandem_link_unref (link);
    } else {
      GST_INFO ("no connection to %s:%u: %s", self->host, self->port, error->message);
    }
    if (done)
      break;
    again = self->discovery != NULL
        ? tandem_sender_leave_peer (self, worked, error != NULL ? error : lost)
        : wait_for_retry (self, &backoff, error);
  }

  g_mutex_lock (&self->lock);
  if (self->error != NULL && !self->stopping)
    failure = g_error_copy (self->error);
  g_mutex_unlock (&self->lock);
  if (failure != NULL && self->failed != NULL)
    self->failed (self, failure, self->user_data);
  return NULL;
}
