/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Threads: the streaming thread calls send(), finish() and writes to the connection directly when
 * it can; the sender's own thread connects, says HELLO, reads, and writes when the streaming
 * thread could not finish or is not there. All writes happen with the lock held and never block,
 * so that whoever holds it continues the frame where the other one stopped.
 *
 * There is one lock, `lock`; no receipt is settled and no callback called while it is held. */

#include "config.h"

#include "tandem-sender.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "net/tandem-frame.h"
#include "net/tandem-link.h"
#include "net/tandem-sender-item.h"

#define GST_CAT_DEFAULT tandem_net_debug

#define MAX_SEQUENCES TANDEM_FRAME_MAX_SEQUENCES
#define MAX_VECTORS 24
#define HANDSHAKE_TIMEOUT_US (5 * G_USEC_PER_SEC)
#define BACKOFF_MIN_US (20 * G_TIME_SPAN_MILLISECOND)
#define BACKOFF_MAX_US G_USEC_PER_SEC
/* How many keep-alive periods of the receiver may pass in silence. */
#define SILENT_PERIODS 10

struct _TandemSender
{
  GObject parent;

  /* set before start */
  char *host;
  guint16 port;
  guint window;
  guint reconnect_timeout;
  guint max_payload;
  TandemSenderFunc failed;
  gpointer user_data;
  guint8 stream_id[TANDEM_FRAME_STREAM_ID_SIZE];
  GThread *thread;
  GCancellable *cancellable;    /* ends a connection attempt */
  GCancellable *wake;           /* interrupts the thread's wait on the connection */

  GMutex lock;
  GCond cond;
  /* lock */
  gboolean stopping;
  gboolean eos_queued;
  GError *error;                /* why the stream cannot be completed; stays */
  TandemStreamInfo info;
  GBytes *caps, *segment;       /* as frames, for the buffers to come */
  guint64 next_sequence;
  GQueue items;                 /* TandemSenderItem not acknowledged, in order */
  guint n_buffers;              /* how many of them are buffers */
  guint n_completing;           /* acknowledged, receipts not told yet */
  gint64 lost_since;            /* monotonic: without progress since then; 0: all is well */
  /* lock: the connection, after its HELLO */
  TandemLink *link;
  GList *unsent;                /* in items: the first not completely sent */
  GByteArray *control;          /* CAPS and SEGMENT that go before it */
  gsize offset;                 /* bytes of control and item that are gone */
  gboolean blocked;             /* the connection takes no more bytes for now */
  GBytes *caps_sent, *segment_sent;
  guint64 frames_sent, bytes_sent;
  guint64 credit_frames, credit_bytes;
  guint32 link_max_payload, link_max_sequences;
};

G_DEFINE_FINAL_TYPE (TandemSender, tandem_sender, G_TYPE_OBJECT)

static void
fail_locked (TandemSender *self, GError *error)
{
  if (self->error == NULL)
    self->error = error;
  else
    g_error_free (error);
  if (self->link != NULL)
    tandem_link_shutdown (self->link);
  g_cond_broadcast (&self->cond);
}

/* The thread sees the end of the connection and makes another one. */
static void
break_link_locked (TandemSender *self)
{
  if (self->link != NULL)
    tandem_link_shutdown (self->link);
  g_clear_pointer (&self->link, tandem_link_unref);
  self->unsent = NULL;
  self->blocked = FALSE;
}

/* --- writing --- */

static void
put_frame (GByteArray *control, GBytes *frame, GBytes **sent)
{
  gsize size;
  gconstpointer data;

  if (frame == *sent || frame == NULL)
    return;
  data = g_bytes_get_data (frame, &size);
  g_byte_array_append (control, data, size);
  g_clear_pointer (sent, g_bytes_unref);
  *sent = g_bytes_ref (frame);
}

static gboolean
begin_item_locked (TandemSender *self, TandemSenderItem *item)
{
  if (item->type == TANDEM_FRAME_BUFFER) {
    if (item->payload > self->link_max_payload) {
      fail_locked (self, g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_TOO_LARGE,
          _("A micro-batch has %" G_GSIZE_FORMAT " bytes; at most %u may be sent to %s. Make the "
            "micro-batches smaller or raise max-payload on both sides."), item->payload,
          self->link_max_payload, tandem_link_get_peer (self->link)));
      return FALSE;
    }
    if (item->n_sequences > self->link_max_sequences) {
      fail_locked (self, g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_TOO_LARGE,
          _("A micro-batch has %u sequences; %s takes at most %u. Make the micro-batches "
            "smaller."), item->n_sequences, tandem_link_get_peer (self->link),
          self->link_max_sequences));
      return FALSE;
    }
    if (self->frames_sent + 1 > self->credit_frames ||
        self->bytes_sent + item->payload > self->credit_bytes)
      return FALSE;
    self->frames_sent++;
    self->bytes_sent += item->payload;
  }
  put_frame (self->control, item->caps, &self->caps_sent);
  put_frame (self->control, item->segment, &self->segment_sent);
  item->begun = TRUE;
  return TRUE;
}

static guint
gather (TandemSender *self, TandemSenderItem *item, GOutputVector *vectors)
{
  gsize skip = self->offset;
  guint i, n = 0;

  for (i = 0; i <= item->n_vectors && n < MAX_VECTORS; i++) {
    GOutputVector v = { self->control->data, self->control->len };

    if (i > 0)
      v = item->vectors[i - 1];
    if (skip >= v.size) {
      skip -= v.size;
      continue;
    }
    vectors[n].buffer = (const guint8 *) v.buffer + skip;
    vectors[n++].size = v.size - skip;
    skip = 0;
  }
  return n;
}

/* Sends as much as connection and credit take. One micro-batch is one call to the system. */
static void
pump_locked (TandemSender *self)
{
  self->blocked = FALSE;
  while (self->link != NULL && self->error == NULL && self->unsent != NULL) {
    TandemSenderItem *item = self->unsent->data;
    g_autoptr (GError) error = NULL;
    GOutputVector vectors[MAX_VECTORS];
    gsize written;

    if (self->offset == 0 && self->control->len == 0 && !begin_item_locked (self, item))
      return;
    if (!tandem_link_write (self->link, vectors, gather (self, item, vectors), &written,
                            &error)) {
      GST_WARNING ("%s", error->message);
      break_link_locked (self);
      return;
    }
    self->offset += written;
    if (self->offset < self->control->len + item->size) {
      if (written > 0)
        continue;
      self->blocked = TRUE;
      return;
    }
    self->offset = 0;
    g_byte_array_set_size (self->control, 0);
    self->unsent = self->unsent->next;
  }
}

static void
append_locked (TandemSender *self, TandemSenderItem *item)
{
  item->caps = self->caps != NULL ? g_bytes_ref (self->caps) : NULL;
  item->segment = self->segment != NULL ? g_bytes_ref (self->segment) : NULL;
  self->next_sequence++;
  g_queue_push_tail (&self->items, item);
  if (item->type == TANDEM_FRAME_BUFFER)
    self->n_buffers++;
  if (self->link != NULL && self->unsent == NULL)
    self->unsent = self->items.tail;
  pump_locked (self);
  if (self->blocked || self->link == NULL)
    g_cancellable_cancel (self->wake);
}

/* --- reading --- */

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
    g_queue_delete_link (&self->items, l);
    if (item->type == TANDEM_FRAME_BUFFER)
      self->n_buffers--;
    g_ptr_array_add (settled, item);
    self->lost_since = 0;
    if (ack->status == TANDEM_ACK_DROPPED && !item->flushed)
      fail_locked (self, g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_DROPPED,
          _("The device at %s:%u dropped micro-batch %" G_GUINT64_FORMAT " without a result: its "
            "pipeline failed, was stopped or was flushed."), self->host, self->port,
          item->sequence));
  }
  self->n_completing += settled->len;
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
handle_frame (TandemSender *self, const TandemFrame *frame, GError **error)
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
      pump_locked (self);
      g_mutex_unlock (&self->lock);
      return TRUE;
    case TANDEM_FRAME_EVENT:
      return tandem_frame_parse_event (frame, &kind, error);
    case TANDEM_FRAME_ERROR:
      {
        g_autoptr (GError) told = tandem_frame_parse_error (frame);

        g_mutex_lock (&self->lock);
        fail_locked (self, g_error_new (TANDEM_NET_ERROR, told->code,
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

/* Says that the stream will not be completed, unless a frame is half written: the end of the
 * connection has to do then. */
static void
say_stopped (TandemSender *self, TandemLink *link)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  gboolean at_boundary;

  g_mutex_lock (&self->lock);
  at_boundary = self->link == link && self->error == NULL && self->offset == 0;
  g_mutex_unlock (&self->lock);
  if (!at_boundary)
    return;
  tandem_frame_append_error (bytes, TANDEM_NET_ERROR_STOPPED,
                             _("the sending pipeline was stopped in mid-stream"));
  if (tandem_link_write_all (link, bytes, G_USEC_PER_SEC / 4, NULL, NULL))
    tandem_link_close_politely (link, G_USEC_PER_SEC / 4);
}

/* Runs one connection until it ends. Returns whether the stream is complete. */
static gboolean
serve (TandemSender *self, TandemLink *link, guint keepalive)
{
  gint64 silence = keepalive > 0 ? (gint64) keepalive * SILENT_PERIODS * 1000 : -1;
  gint64 heard = g_get_monotonic_time ();

  for (;;) {
    g_autoptr (GError) error = NULL;
    const TandemFrame *frame;
    GIOCondition condition = G_IO_IN;
    TandemLinkStatus status;
    gboolean done, usable, stopping;

    g_mutex_lock (&self->lock);
    if (self->blocked || self->unsent != NULL)
      pump_locked (self);
    if (self->blocked)
      condition |= G_IO_OUT;
    done = self->eos_queued && g_queue_is_empty (&self->items) && self->error == NULL;
    stopping = self->stopping;
    usable = self->link == link && self->error == NULL;
    g_mutex_unlock (&self->lock);
    if (done) {
      say_done (link);
      return TRUE;
    }
    if (stopping)
      say_stopped (self, link);
    if (stopping || !usable)
      return FALSE;

    status = tandem_link_read (link, &frame, &error);
    if (status == TANDEM_LINK_FRAME) {
      heard = g_get_monotonic_time ();
      if (handle_frame (self, frame, &error))
        continue;
    } else if (status == TANDEM_LINK_AGAIN) {
      gint64 left = silence < 0 ? -1 : MAX (heard + silence - g_get_monotonic_time (), 0);

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
    tandem_link_shutdown (link);
    return FALSE;
  }
}

/* --- connecting --- */

static void
fill_hello (TandemSender *self, TandemHello *hello)
{
  TandemSenderItem *first;

  memset (hello, 0, sizeof *hello);
  hello->role = TANDEM_ROLE_SENDER;
  hello->max_payload = self->max_payload;
  hello->max_sequences = MAX_SEQUENCES;
  memcpy (hello->stream_id, self->stream_id, sizeof hello->stream_id);
  hello->kind = TANDEM_FRAME_ANY_KIND;

  g_mutex_lock (&self->lock);
  first = g_queue_peek_head (&self->items);
  hello->resume = first != NULL ? first->sequence : self->next_sequence;
  if (self->caps != NULL) {
    hello->kind = self->info.kind;
    hello->formats = 1u << self->info.format;
    hello->first_layer = self->info.layer;
    hello->width = self->info.width;
    hello->classes = self->info.classes;
    memcpy (hello->fingerprint, self->info.fingerprint, sizeof hello->fingerprint);
  }
  g_mutex_unlock (&self->lock);
}

static gboolean
wait_for_hello (TandemSender *self, TandemLink *link, TandemHello *hello, GError **error)
{
  gint64 end = g_get_monotonic_time () + HANDSHAKE_TIMEOUT_US;

  for (;;) {
    const TandemFrame *frame;

    switch (tandem_link_read (link, &frame, error)) {
      case TANDEM_LINK_FRAME:
        if (frame->type == TANDEM_FRAME_HELLO)
          return tandem_frame_parse_hello (frame, hello, error);
        if (frame->type == TANDEM_FRAME_ERROR) {
          g_autoptr (GError) told = tandem_frame_parse_error (frame);

          g_set_error (error, TANDEM_NET_ERROR, told->code, _("The device at %s:%u refused: %s"),
                       self->host, self->port, told->message);
          return FALSE;
        }
        g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
                     _("The device at %s:%u does not begin with HELLO."), self->host, self->port);
        return FALSE;
      case TANDEM_LINK_AGAIN:
        if (!tandem_link_wait (link, G_IO_IN, MAX (end - g_get_monotonic_time (), 0),
                               self->cancellable, error))
          return FALSE;
        break;
      case TANDEM_LINK_CLOSED:
        g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_CLOSED,
                     "%s closed the connection before HELLO", tandem_link_get_peer (link));
        return FALSE;
      case TANDEM_LINK_BROKEN:
        return FALSE;
    }
  }
}

/* Everything up to the receiver's resume point is there; what comes after it goes again. */
static gboolean
adopt_link (TandemSender *self, TandemLink *link, const TandemHello *hello, GError **error)
{
  TandemSenderItem *first;
  GList *l;

  if (hello->role != TANDEM_ROLE_RECEIVER) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
                 _("The device at %s:%u sends, it does not receive."), self->host, self->port);
    return FALSE;
  }
  if (hello->features_required != 0) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_VERSION,
                 _("The device at %s:%u needs features (%#x) that this version does not have."),
                 self->host, self->port, hello->features_required);
    return FALSE;
  }

  g_mutex_lock (&self->lock);
  first = g_queue_peek_head (&self->items);
  if (hello->resume >= self->next_sequence ||
      (first != NULL && hello->resume + 1 < first->sequence)) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
                 _("The device at %s:%u has another idea of this stream: it wants to go on after "
                   "micro-batch %" G_GUINT64_FORMAT "."), self->host, self->port, hello->resume);
    g_mutex_unlock (&self->lock);
    return FALSE;
  }
  for (l = self->items.head; l != NULL; l = l->next) {
    TandemSenderItem *item = l->data;

    if (item->sequence > hello->resume)
      break;
    item->begun = TRUE;
  }
  self->link = tandem_link_ref (link);
  self->unsent = l;
  self->offset = 0;
  self->blocked = FALSE;
  g_byte_array_set_size (self->control, 0);
  g_clear_pointer (&self->caps_sent, g_bytes_unref);
  g_clear_pointer (&self->segment_sent, g_bytes_unref);
  self->frames_sent = self->bytes_sent = 0;
  self->credit_frames = hello->credit_frames;
  self->credit_bytes = hello->credit_bytes;
  self->link_max_payload = MIN (self->max_payload, hello->max_payload);
  self->link_max_sequences = MIN (MAX_SEQUENCES, hello->max_sequences);
  if (first == NULL)
    self->lost_since = 0;
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->lock);
  return TRUE;
}

static TandemLink *
open_link (TandemSender *self, guint *keepalive, GError **error)
{
  const TandemFrameLimits limits = {
    .max_header = TANDEM_FRAME_MAX_CONTROL_HEADER, .max_payload = 0, .max_sequences = 1,
  };
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  g_autoptr (GSocketConnection) connection = NULL;
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autoptr (TandemLink) link = NULL;
  TandemHello hello;

  g_socket_client_set_enable_proxy (client, FALSE);
  g_socket_client_set_timeout (client, 1 + self->reconnect_timeout / 1000);
  connection = g_socket_client_connect_to_host (client, self->host, self->port,
                                                self->cancellable, error);
  if (connection == NULL)
    return NULL;
  link = tandem_link_new (connection, &limits);
  fill_hello (self, &hello);
  tandem_frame_append_hello (bytes, &hello);
  if (!tandem_link_write_all (link, bytes, HANDSHAKE_TIMEOUT_US, self->cancellable, error) ||
      !wait_for_hello (self, link, &hello, error) || !adopt_link (self, link, &hello, error))
    return NULL;
  *keepalive = hello.keepalive;
  return g_steal_pointer (&link);
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
    fail_locked (self, g_error_copy (why));
  } else if (now >= end) {
    fail_locked (self, g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_CLOSED,
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

static gpointer
sender_thread (gpointer data)
{
  TandemSender *self = data;
  g_autoptr (GError) failure = NULL;
  gint64 backoff = 0;
  gboolean done = FALSE, again = TRUE;

  while (again && !done) {
    g_autoptr (GError) error = NULL;
    guint keepalive = 0;
    TandemLink *link = open_link (self, &keepalive, &error);

    if (link != NULL) {
      GST_INFO ("connected to %s", tandem_link_get_peer (link));
      done = serve (self, link, keepalive);
      g_mutex_lock (&self->lock);
      g_clear_pointer (&self->link, tandem_link_unref);
      self->unsent = NULL;
      g_mutex_unlock (&self->lock);
      tandem_link_unref (link);
    } else {
      GST_INFO ("no connection to %s:%u: %s", self->host, self->port, error->message);
    }
    again = done || wait_for_retry (self, &backoff, error);
  }

  g_mutex_lock (&self->lock);
  if (self->error != NULL && !self->stopping)
    failure = g_error_copy (self->error);
  g_mutex_unlock (&self->lock);
  if (failure != NULL && self->failed != NULL)
    self->failed (self, failure, self->user_data);
  return NULL;
}

/* --- public --- */

static void
tandem_sender_finalize (GObject *object)
{
  TandemSender *self = TANDEM_SENDER (object);

  g_assert (self->thread == NULL);
  g_queue_clear_full (&self->items, (GDestroyNotify) tandem_sender_item_free);
  g_clear_pointer (&self->caps, g_bytes_unref);
  g_clear_pointer (&self->segment, g_bytes_unref);
  g_clear_pointer (&self->caps_sent, g_bytes_unref);
  g_clear_pointer (&self->segment_sent, g_bytes_unref);
  g_byte_array_unref (self->control);
  tandem_stream_info_clear (&self->info);
  g_clear_error (&self->error);
  g_object_unref (self->cancellable);
  g_object_unref (self->wake);
  g_free (self->host);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->cond);
  G_OBJECT_CLASS (tandem_sender_parent_class)->finalize (object);
}

static void
tandem_sender_class_init (TandemSenderClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tandem_sender_finalize;
  tandem_net_init_debug ();
}

static void
tandem_sender_init (TandemSender *self)
{
  guint i;

  g_mutex_init (&self->lock);
  g_cond_init (&self->cond);
  g_queue_init (&self->items);
  self->control = g_byte_array_new ();
  self->cancellable = g_cancellable_new ();
  self->wake = g_cancellable_new ();
  self->next_sequence = 1;
  for (i = 0; i < sizeof self->stream_id; i += 4) {
    guint32 r = g_random_int ();

    memcpy (self->stream_id + i, &r, 4);
  }
}

/**
 * tandem_sender_new:
 * @host: name or address of the device that receives
 * @port: its TCP port
 * @window: how many micro-batches may be unacknowledged, at least 1
 * @reconnect_timeout: milliseconds without a working connection after which the
 *   sender gives up; 0 makes one attempt
 * @max_payload: the largest micro-batch, in bytes
 *
 * Makes a sender for one stream.
 *
 * Returns: (transfer full): the sender
 */
TandemSender *
tandem_sender_new (const char *host, guint16 port, guint window, guint reconnect_timeout,
                   guint max_payload)
{
  TandemSender *self = g_object_new (TANDEM_TYPE_SENDER, NULL);

  g_return_val_if_fail (window > 0, NULL);
  self->host = g_strdup (host);
  self->port = port;
  self->window = window;
  self->reconnect_timeout = reconnect_timeout;
  self->max_payload = max_payload;
  return self;
}

/**
 * tandem_sender_start: (skip)
 * @sender: a sender that was not started
 * @failed: (nullable): called when the stream can no longer be completed
 * @user_data: for @failed
 *
 * Starts to connect; does not wait for the connection.
 */
void
tandem_sender_start (TandemSender *sender, TandemSenderFunc failed, gpointer user_data)
{
  g_return_if_fail (sender->thread == NULL);
  sender->failed = failed;
  sender->user_data = user_data;
  sender->thread = g_thread_new ("tandem-sender", sender_thread, sender);
}

/**
 * tandem_sender_stop:
 * @sender: a sender
 *
 * Ends the connection, tells the receiver when the stream is not complete, and
 * waits for the thread. What was not acknowledged is dropped, and so are its
 * receipts. To be called before the last reference is released.
 */
void
tandem_sender_stop (TandemSender *sender)
{
  GQueue items;

  if (sender->thread == NULL)
    return;
  g_mutex_lock (&sender->lock);
  sender->stopping = TRUE;
  g_cond_broadcast (&sender->cond);
  g_mutex_unlock (&sender->lock);
  g_cancellable_cancel (sender->cancellable);
  g_cancellable_cancel (sender->wake);
  g_clear_pointer (&sender->thread, g_thread_join);

  g_mutex_lock (&sender->lock);
  items = sender->items;
  g_queue_init (&sender->items);
  sender->n_buffers = 0;
  g_mutex_unlock (&sender->lock);
  g_queue_clear_full (&items, (GDestroyNotify) tandem_sender_item_free);
}

/**
 * tandem_sender_set_stream: (skip)
 * @sender: a sender
 * @info: what the buffers to come hold
 *
 * To be called before the first buffer, from the thread that sends.
 */
void
tandem_sender_set_stream (TandemSender *sender, const TandemStreamInfo *info)
{
  GByteArray *bytes = g_byte_array_new ();
  char **labels = g_strdupv (info->labels);

  tandem_frame_append_caps (bytes, info);
  g_mutex_lock (&sender->lock);
  tandem_stream_info_clear (&sender->info);
  sender->info = *info;
  sender->info.labels = labels;
  g_clear_pointer (&sender->caps, g_bytes_unref);
  sender->caps = g_byte_array_free_to_bytes (bytes);
  g_mutex_unlock (&sender->lock);
}

/**
 * tandem_sender_set_segment: (skip)
 * @sender: a sender
 * @segment: the segment of the buffers to come
 *
 * To be called from the thread that sends.
 */
void
tandem_sender_set_segment (TandemSender *sender, const GstSegment *segment)
{
  GByteArray *bytes = g_byte_array_new ();

  tandem_frame_append_segment (bytes, segment);
  g_mutex_lock (&sender->lock);
  g_clear_pointer (&sender->segment, g_bytes_unref);
  sender->segment = g_byte_array_free_to_bytes (bytes);
  g_mutex_unlock (&sender->lock);
}

static void
wake_waiter (GCancellable *cancellable, gpointer data)
{
  TandemSender *self = data;

  g_mutex_lock (&self->lock);
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->lock);
}

static gboolean
has_room_locked (TandemSender *self)
{
  return self->n_buffers < self->window;
}

static gboolean
is_settled_locked (TandemSender *self)
{
  return g_queue_is_empty (&self->items) && self->n_completing == 0;
}

/* Waits until the condition holds, the stream failed or somebody cancels. */
static gboolean
wait_locked (TandemSender *self, gboolean (*condition) (TandemSender *),
             GCancellable *cancellable, GError **error)
{
  gulong handler;

  if (!condition (self) && self->error == NULL) {
    g_mutex_unlock (&self->lock);
    handler = cancellable != NULL
        ? g_cancellable_connect (cancellable, G_CALLBACK (wake_waiter), self, NULL) : 0;
    g_mutex_lock (&self->lock);
    while (!condition (self) && self->error == NULL &&
           !g_cancellable_is_cancelled (cancellable))
      g_cond_wait (&self->cond, &self->lock);
    g_mutex_unlock (&self->lock);
    g_cancellable_disconnect (cancellable, handler);
    g_mutex_lock (&self->lock);
  }
  if (self->error != NULL) {
    g_propagate_error (error, g_error_copy (self->error));
    return FALSE;
  }
  return !g_cancellable_set_error_if_cancelled (cancellable, error);
}

/**
 * tandem_sender_has_room:
 * @sender: a sender
 *
 * Returns: whether tandem_sender_send() would not wait
 */
gboolean
tandem_sender_has_room (TandemSender *sender)
{
  gboolean room;

  g_mutex_lock (&sender->lock);
  room = has_room_locked (sender) || sender->error != NULL;
  g_mutex_unlock (&sender->lock);
  return room;
}

/**
 * tandem_sender_wait_for_room:
 * @sender: a sender
 * @cancellable: (nullable): ends the wait
 * @error: return location for a #TandemNetError or %G_IO_ERROR_CANCELLED
 *
 * Waits until the window has room. There is still room when the thread that
 * sends calls tandem_sender_send() next.
 *
 * Returns: whether there is room
 */
gboolean
tandem_sender_wait_for_room (TandemSender *sender, GCancellable *cancellable, GError **error)
{
  gboolean room;

  g_mutex_lock (&sender->lock);
  room = wait_locked (sender, has_room_locked, cancellable, error);
  g_mutex_unlock (&sender->lock);
  return room;
}

/**
 * tandem_sender_send: (skip)
 * @sender: a sender whose stream was set
 * @buffer: (transfer none): a micro-batch with its #TandemBatchMeta
 * @cancellable: (nullable): ends the wait for room in the window
 * @error: return location for a #TandemNetError or %G_IO_ERROR_CANCELLED
 *
 * Waits for room in the window, then sends @buffer, or queues it while there is
 * no connection. The memory is not copied and must not change. The receipts of
 * @buffer are completed when the receiver acknowledges it.
 *
 * Returns: whether @buffer was taken
 */
gboolean
tandem_sender_send (TandemSender *sender, GstBuffer *buffer, GCancellable *cancellable,
                    GError **error)
{
  TandemSenderItem *item = NULL;

  g_mutex_lock (&sender->lock);
  if (wait_locked (sender, has_room_locked, cancellable, error)) {
    if (sender->caps == NULL || sender->eos_queued)
      g_set_error_literal (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_FORMAT,
                           "a buffer came before its caps or after the end of the stream");
    else
      item = tandem_sender_item_new_buffer (sender->next_sequence, &sender->info, buffer, error);
  }
  if (item != NULL)
    append_locked (sender, item);
  g_mutex_unlock (&sender->lock);
  return item != NULL;
}

/**
 * tandem_sender_finish:
 * @sender: a sender
 * @cancellable: (nullable): ends the wait
 * @error: return location for a #TandemNetError or %G_IO_ERROR_CANCELLED
 *
 * Ends the stream and waits until everything is acknowledged. After
 * %G_IO_ERROR_CANCELLED it may be called again.
 *
 * Returns: whether every micro-batch was consumed
 */
gboolean
tandem_sender_finish (TandemSender *sender, GCancellable *cancellable, GError **error)
{
  gboolean settled;

  g_mutex_lock (&sender->lock);
  if (!sender->eos_queued && sender->error == NULL) {
    sender->eos_queued = TRUE;
    append_locked (sender, tandem_sender_item_new_eos (sender->next_sequence));
  }
  settled = wait_locked (sender, is_settled_locked, cancellable, error);
  g_mutex_unlock (&sender->lock);
  return settled;
}

/**
 * tandem_sender_flush:
 * @sender: a sender
 *
 * Forgets what was not sent yet and tells the receiver that what was sent is no
 * longer wanted. Any thread may call it.
 */
void
tandem_sender_flush (TandemSender *sender)
{
  g_autoptr (GPtrArray) dropped =
      g_ptr_array_new_with_free_func ((GDestroyNotify) tandem_sender_item_free);
  GList *l;

  g_mutex_lock (&sender->lock);
  while ((l = sender->items.tail) != NULL && !((TandemSenderItem *) l->data)->begun) {
    TandemSenderItem *item = l->data;

    if (sender->unsent == l)
      sender->unsent = NULL;
    if (item->type == TANDEM_FRAME_BUFFER)
      sender->n_buffers--;
    if (item->type == TANDEM_FRAME_EOS)
      sender->eos_queued = FALSE;
    sender->next_sequence = item->sequence;
    g_queue_delete_link (&sender->items, l);
    g_ptr_array_add (dropped, item);
  }
  for (l = sender->items.head; l != NULL; l = l->next)
    ((TandemSenderItem *) l->data)->flushed = TRUE;
  if (sender->next_sequence > 1 && !sender->eos_queued && sender->error == NULL)
    append_locked (sender, tandem_sender_item_new_event (sender->next_sequence,
                                                         TANDEM_FRAME_EVENT_FLUSH));
  g_cond_broadcast (&sender->cond);
  g_mutex_unlock (&sender->lock);
}

/**
 * tandem_sender_get_n_pending:
 * @sender: a sender
 *
 * Returns: how many micro-batches are not acknowledged
 */
guint
tandem_sender_get_n_pending (TandemSender *sender)
{
  guint n;

  g_mutex_lock (&sender->lock);
  n = sender->n_buffers;
  g_mutex_unlock (&sender->lock);
  return n;
}
