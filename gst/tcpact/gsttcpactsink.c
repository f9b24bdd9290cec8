/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * SECTION:element-tcpactsink
 * @title: tcpactsink
 * @see_also: tcpactsrc
 *
 * Sends micro-batches to the device that runs the next layers. In go tokens
 * (int32 [tokens]), activations ([tokens, width]) or logits (float32
 * [sequences, classes]), each buffer with its #TandemBatchMeta.
 *
 * A buffer is kept until the other device acknowledges that it, or one behind
 * it, consumed it; then the buffer's own receipts are completed. When the
 * connection breaks it is made again, and what was not acknowledged is sent
 * again: no result is lost and none appears twice. EOS is posted when
 * everything is acknowledged.
 *
 * Without #GstTcpactSink:host it looks for a device that takes what its caps say: among those
 * that are listed (#GstTcpactSink:peers, the environment variable TANDEM_PEERS, the file
 * tandem/peers in the user's configuration folder), then among those that announce themselves by
 * mDNS. When that device fails or stops, what was not acknowledged goes to another one. Element
 * messages `tandem-discovery` tell about it.
 *
 * An element downstream of the receiver that waits for more buffers than
 * #GstTcpactSink:window or #GstTcpactSink:window-bytes before it lets go of the first
 * would wait for ever.
 *
 * Beyond loopback the connection is protected with TLS 1.3 and the cluster key of
 * this device (`tandem key`), which the receiver has to have, too; see
 * #GstTcpactSink:key.
 *
 * Rows of activations go as they are, bit for bit, unless #GstTcpactSink:wire-format says
 * otherwise; the receiver makes float32 of them again.
 *
 * Events of training that arrive go to the receiver in order with the buffers, and the
 * gradients that it sends back go upstream as `tandem-gradient` events, in a
 * thread of their own. After the first such event a connection that breaks is an error,
 * since the other device's activations are gone with it.
 *
 * |[
 * gst-launch-1.0 fdsrc ! lineparse ! tokenize model=M ! bertstage model=M layers=0-0 ! tcpactsink host=127.0.0.1
 * ]|
 */

#include "config.h"

#include "gsttcpactsink-private.h"

#include <gio/gio.h>
#include <glib/gi18n-lib.h>

GST_DEBUG_CATEGORY_STATIC (gst_tcpact_sink_debug);
#define GST_CAT_DEFAULT gst_tcpact_sink_debug

/* The longest that a failure waits for a pipeline that is starting. */
#define START_TIMEOUT (300 * G_TIME_SPAN_MILLISECOND)

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE (
    "sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS (GST_TCPACT_CAPS));

G_DEFINE_FINAL_TYPE_WITH_CODE (GstTcpactSink, gst_tcpact_sink, GST_TYPE_BASE_SINK,
    GST_DEBUG_CATEGORY_INIT (gst_tcpact_sink_debug, "tcpactsink", 0, "tcpactsink element"))
GST_ELEMENT_REGISTER_DEFINE (tcpactsink, "tcpactsink", GST_RANK_NONE, GST_TYPE_TCPACT_SINK)

static void gst_tcpact_sink_finalize (GObject *object);
static gboolean gst_tcpact_sink_start (GstBaseSink *base);
static gboolean gst_tcpact_sink_stop (GstBaseSink *base);
static gboolean gst_tcpact_sink_unlock (GstBaseSink *base);
static gboolean gst_tcpact_sink_unlock_stop (GstBaseSink *base);
static gboolean gst_tcpact_sink_set_caps (GstBaseSink *base, GstCaps *caps);
static gboolean gst_tcpact_sink_event (GstBaseSink *base, GstEvent *event);
static GstFlowReturn gst_tcpact_sink_wait_event (GstBaseSink *base, GstEvent *event);
static GstFlowReturn gst_tcpact_sink_render (GstBaseSink *base, GstBuffer *buffer);

/* A position in time means nothing here, and gst-launch-1.0 would write one over what is typed. */
static gboolean
gst_tcpact_sink_element_query (GstElement *element, GstQuery *query)
{
  if (GST_QUERY_TYPE (query) == GST_QUERY_POSITION)
    return FALSE;
  return GST_ELEMENT_CLASS (gst_tcpact_sink_parent_class)->query (element, query);
}

static void
gst_tcpact_sink_class_init (GstTcpactSinkClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GstBaseSinkClass *base_class = GST_BASE_SINK_CLASS (klass);

  object_class->finalize = gst_tcpact_sink_finalize;
  gst_tcpact_sink_install_properties (object_class);

  element_class->query = GST_DEBUG_FUNCPTR (gst_tcpact_sink_element_query);

  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_set_static_metadata (element_class, "TCP activation sink", "Sink/Network",
      "Sends micro-batches to the device that runs the next layers",
      "The Tandem developers");

  base_class->start = gst_tcpact_sink_start;
  base_class->stop = gst_tcpact_sink_stop;
  base_class->unlock = gst_tcpact_sink_unlock;
  base_class->unlock_stop = gst_tcpact_sink_unlock_stop;
  base_class->set_caps = gst_tcpact_sink_set_caps;
  base_class->event = gst_tcpact_sink_event;
  base_class->wait_event = gst_tcpact_sink_wait_event;
  base_class->render = gst_tcpact_sink_render;
}

static void
gst_tcpact_sink_init (GstTcpactSink *self)
{
  gst_base_sink_set_sync (GST_BASE_SINK (self), FALSE);
  /* A kept sample would keep the receipts of a buffer that was dropped. */
  gst_base_sink_set_last_sample_enabled (GST_BASE_SINK (self), FALSE);
  self->cancellable = g_cancellable_new ();
  self->rows = tandem_row_pool_new ();
}

static void
gst_tcpact_sink_finalize (GObject *object)
{
  GstTcpactSink *self = GST_TCPACT_SINK (object);

  gst_tcpact_sink_clear_properties (self);
  g_object_unref (self->cancellable);
  tandem_stream_info_clear (&self->info);
  tandem_row_pool_free (self->rows);
  gst_clear_event (&self->training);
  G_OBJECT_CLASS (gst_tcpact_sink_parent_class)->finalize (object);
}

/* One failure is one message, whichever thread sees it first. */
static void
gst_tcpact_sink_fail (GstTcpactSink *self, TandemSender *sender, const GError *error)
{
  guint n_pending = tandem_sender_get_n_pending (sender);
  g_autofree char *state = NULL;

  if (!g_atomic_int_compare_and_exchange (&self->failed, 0, 1))
    return;
  GST_OBJECT_LOCK (self);
  state = self->discovery != NULL
      ? g_strdup_printf ("to a device that is found, micro-batches not acknowledged: %u", n_pending)
      : g_strdup_printf ("to %s port %u, micro-batches not acknowledged: %u", self->host,
                         self->port, n_pending);
  GST_OBJECT_UNLOCK (self);
  gst_tcpact_post (GST_ELEMENT (self), GST_MESSAGE_ERROR, error, state);
}

/* Programs start a pipeline, and then the loop that an error ends: gst-launch-1.0 forgets one that
 * comes in between. Who plays has come to the loop. */
static void
wait_until_played (GstElement *self)
{
  gint64 until = g_get_monotonic_time () + START_TIMEOUT;

  GST_OBJECT_LOCK (self);
  while (GST_STATE (self) != GST_STATE_PLAYING && GST_STATE_TARGET (self) >= GST_STATE_PAUSED &&
         g_cond_wait_until (GST_STATE_GET_COND (self), GST_OBJECT_GET_LOCK (self), until))
    ;
  GST_OBJECT_UNLOCK (self);
}

/* In the sender's thread. */
static void
on_sender_failed (TandemSender *sender, const GError *error, gpointer user_data)
{
  wait_until_played (user_data);
  gst_tcpact_sink_fail (user_data, sender, error);
}

static void
on_search (TandemSender *sender, TandemSearchState state, TandemCandidate *candidate,
           guint n_candidates, const GError *reason, gpointer user_data)
{
  gst_tcpact_post_search (GST_ELEMENT (user_data), state, candidate, n_candidates, reason);
}

/* In the sender's thread for gradients. */
static void
on_gradient (TandemSender *sender, const TandemGradientInfo *info, GstBuffer *rows,
             gpointer user_data)
{
  GstTcpactSink *self = user_data;
  GstPad *pad = GST_BASE_SINK_PAD (self);
  g_autoptr (GstPad) peer = NULL;
  g_autoptr (GError) error = NULL;

  if (gst_pad_push_event (pad, tandem_event_new_gradient (info, rows)))
    return;
  peer = gst_pad_get_peer (pad);
  if (GST_PAD_IS_FLUSHING (pad) || (peer != NULL && GST_PAD_IS_FLUSHING (peer))) {
    GST_DEBUG_OBJECT (self, "dropped a gradient: the pads are flushing");
    return;
  }
  error = g_error_new_literal (TANDEM_NET_ERROR, TANDEM_NET_ERROR_FAILED,
      _("No element before this one takes gradients, or the one that does failed. In a pipeline "
        "that trains every stage is to be trainable."));
  gst_tcpact_sink_fail (self, sender, error);
}

static void
gst_tcpact_sink_open (GstTcpactSink *self)
{
  guint discovery_timeout;

  GST_OBJECT_LOCK (self);
  self->sender = tandem_sender_new (self->discovery != NULL ? NULL : self->host, self->port,
                                    self->window, self->window_bytes, self->reconnect_timeout,
                                    self->max_payload);
  tandem_sender_set_security (self->sender, self->cluster_key, self->insecure);
  discovery_timeout = self->discovery_timeout;
  GST_OBJECT_UNLOCK (self);
  if (self->discovery != NULL)
    tandem_sender_set_discovery (self->sender, self->discovery, discovery_timeout, on_search);
  self->finished = FALSE;
  g_atomic_int_set (&self->failed, 0);
  tandem_sender_set_gradient_func (self->sender, on_gradient);
  tandem_sender_start (self->sender, on_sender_failed, self);
}

static void
gst_tcpact_sink_close (GstTcpactSink *self)
{
  TandemSender *sender;

  GST_OBJECT_LOCK (self);
  sender = g_steal_pointer (&self->sender);
  GST_OBJECT_UNLOCK (self);
  if (sender == NULL)
    return;
  tandem_sender_stop (sender);
  g_object_unref (sender);
}

/* Without a host one is looked for. */
static gboolean
gst_tcpact_sink_start_discovery (GstTcpactSink *self)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *peers = NULL;
  gboolean has_host;

  GST_OBJECT_LOCK (self);
  has_host = self->host != NULL && self->host[0] != '\0';
  peers = g_strdup (self->peers);
  GST_OBJECT_UNLOCK (self);
  if (has_host)
    return TRUE;
  self->discovery = tandem_discovery_new (peers, &error);
  if (self->discovery == NULL) {
    GST_ELEMENT_ERROR (self, RESOURCE, SETTINGS, ("%s", error->message), (NULL));
    return FALSE;
  }
  tandem_discovery_start (self->discovery);
  return TRUE;
}

static gboolean
gst_tcpact_sink_start (GstBaseSink *base)
{
  GstTcpactSink *self = GST_TCPACT_SINK (base);

  g_autofree char *path = NULL;
  g_autoptr (GError) error = NULL;
  gboolean insecure;

  GST_OBJECT_LOCK (self);
  path = g_strdup (self->key);
  insecure = self->insecure;
  GST_OBJECT_UNLOCK (self);
  if (!gst_tcpact_load_key (path, insecure, &self->cluster_key, &error)) {
    gst_tcpact_post (GST_ELEMENT (self), GST_MESSAGE_ERROR, error, "not connected");
    return FALSE;
  }
  self->has_stream = FALSE;
  gst_clear_event (&self->training);
  return gst_tcpact_sink_start_discovery (self);
}

static gboolean
gst_tcpact_sink_stop (GstBaseSink *base)
{
  GstTcpactSink *self = GST_TCPACT_SINK (base);

  gst_tcpact_sink_close (self);
  g_clear_object (&self->cluster_key);
  if (self->discovery != NULL)
    tandem_discovery_stop (self->discovery);
  g_clear_object (&self->discovery);
  return TRUE;
}

static GCancellable *
gst_tcpact_sink_ref_cancellable (GstTcpactSink *self)
{
  GCancellable *cancellable;

  GST_OBJECT_LOCK (self);
  cancellable = g_object_ref (self->cancellable);
  GST_OBJECT_UNLOCK (self);
  return cancellable;
}

static gboolean
gst_tcpact_sink_unlock (GstBaseSink *base)
{
  g_autoptr (GCancellable) cancellable = gst_tcpact_sink_ref_cancellable (GST_TCPACT_SINK (base));

  g_cancellable_cancel (cancellable);
  return TRUE;
}

static gboolean
gst_tcpact_sink_unlock_stop (GstBaseSink *base)
{
  GstTcpactSink *self = GST_TCPACT_SINK (base);
  g_autoptr (GCancellable) old = NULL;

  GST_OBJECT_LOCK (self);
  old = self->cancellable;
  self->cancellable = g_cancellable_new ();
  GST_OBJECT_UNLOCK (self);
  return TRUE;
}

static gboolean
gst_tcpact_sink_set_caps (GstBaseSink *base, GstCaps *caps)
{
  GstTcpactSink *self = GST_TCPACT_SINK (base);
  g_autoptr (GError) error = NULL;
  TandemStreamInfo info;

  if (!tandem_stream_info_from_caps (&info, caps, &error)) {
    GST_ELEMENT_ERROR (self, STREAM, FORMAT, ("%s", error->message), (NULL));
    return FALSE;
  }
  tandem_stream_info_clear (&self->info);
  self->info = info;
  self->has_stream = TRUE;
  GST_OBJECT_LOCK (self);
  self->encodes = tcpact_rows_can_encode (&info) && self->wire_format != info.format;
  if (self->encodes)
    self->info.format = self->wire_format;
  GST_OBJECT_UNLOCK (self);
  tandem_sender_set_stream (self->sender, &self->info);
  return TRUE;
}

/* A stream after the end of one, as after a flush, is a new one for the receiver. */
static void
gst_tcpact_sink_reopen (GstTcpactSink *self)
{
  gst_tcpact_sink_close (self);
  gst_tcpact_sink_open (self);
  if (self->has_stream)
    tandem_sender_set_stream (self->sender, &self->info);
  tandem_sender_set_segment (self->sender, &GST_BASE_SINK (self)->segment);
  if (self->training != NULL)
    tandem_sender_send_event (self->sender, self->training, NULL);
}

static gboolean
is_training_event (GstEvent *event)
{
  TandemStepInfo info;
  guint64 step;

  return tandem_event_parse_step (event, &info) || tandem_event_parse_drain (event, &step) ||
      tandem_event_parse_checkpoint (event, &step);
}

/* Events of training go in order with the buffers. */
static gboolean
gst_tcpact_sink_send_training (GstTcpactSink *self, GstEvent *event)
{
  g_autoptr (GError) error = NULL;
  TandemTrainingInfo info;

  if (tandem_event_parse_training (event, &info)) {
    gst_event_replace (&self->training, event);
    if (self->finished) {
      gst_tcpact_sink_reopen (self);
      return TRUE;
    }
  } else if (!is_training_event (event)) {
    return TRUE;
  }
  if (self->finished)
    gst_tcpact_sink_reopen (self);
  if (tandem_sender_send_event (self->sender, event, &error))
    return TRUE;
  gst_tcpact_sink_fail (self, self->sender, error);
  return FALSE;
}

static gboolean
gst_tcpact_sink_event (GstBaseSink *base, GstEvent *event)
{
  GstTcpactSink *self = GST_TCPACT_SINK (base);
  const GstSegment *segment;

  /* Not in start(): an error in the middle of a change of the state comes before applications, and
   * gst-launch-1.0 above all, are ready for it. */
  if (self->sender == NULL && GST_EVENT_IS_SERIALIZED (event))
    gst_tcpact_sink_open (self);
  switch (GST_EVENT_TYPE (event)) {
    case GST_EVENT_SEGMENT:
      gst_event_parse_segment (event, &segment);
      tandem_sender_set_segment (self->sender, segment);
      break;
    case GST_EVENT_FLUSH_STOP:
      tandem_sender_flush (self->sender);
      break;
    case GST_EVENT_CUSTOM_DOWNSTREAM:
    case GST_EVENT_CUSTOM_DOWNSTREAM_STICKY:
      if (!gst_tcpact_sink_send_training (self, event)) {
        gst_event_unref (event);
        return FALSE;
      }
      break;
    default:
      break;
  }
  return GST_BASE_SINK_CLASS (gst_tcpact_sink_parent_class)->event (base, event);
}

/* GstBaseSink holds its preroll lock while it renders. Whoever waits for the network must let go of
 * it: a change of the state that comes just then takes that lock without asking us to stop, when
 * the streaming thread went on after a state that was left again at once. */
typedef gboolean (*WaitFunc) (TandemSender *sender, GCancellable *cancellable, GError **error);

static gboolean
gst_tcpact_sink_wait (GstTcpactSink *self, WaitFunc wait, GstMiniObject *object,
                      GstFlowReturn *ret)
{
  GstBaseSink *base = GST_BASE_SINK (self);
  g_autoptr (GCancellable) cancellable = gst_tcpact_sink_ref_cancellable (self);
  g_autoptr (GError) error = NULL;
  gboolean done;

  GST_BASE_SINK_PREROLL_UNLOCK (base);
  done = wait (self->sender, cancellable, &error);
  GST_BASE_SINK_PREROLL_LOCK (base);

  *ret = GST_FLOW_OK;
  if (base->flushing) {
    *ret = GST_FLOW_FLUSHING;
  } else if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
    /* The change of state has either been here, or waits for the lock that preroll lets go. */
    *ret = base->need_preroll ? gst_base_sink_do_preroll (base, object)
                              : gst_base_sink_wait_preroll (base);
  } else if (!done) {
    gst_tcpact_sink_fail (self, self->sender, error);
    *ret = GST_FLOW_ERROR;
  }
  return done;
}

static GstFlowReturn
gst_tcpact_sink_wait_event (GstBaseSink *base, GstEvent *event)
{
  GstTcpactSink *self = GST_TCPACT_SINK (base);
  GstFlowReturn ret =
      GST_BASE_SINK_CLASS (gst_tcpact_sink_parent_class)->wait_event (base, event);

  while (ret == GST_FLOW_OK && GST_EVENT_TYPE (event) == GST_EVENT_EOS && !self->finished)
    self->finished =
        gst_tcpact_sink_wait (self, tandem_sender_finish, GST_MINI_OBJECT (event), &ret);
  return ret;
}

static GstFlowReturn
gst_tcpact_sink_render (GstBaseSink *base, GstBuffer *buffer)
{
  GstTcpactSink *self = GST_TCPACT_SINK (base);
  g_autoptr (GError) error = NULL;
  g_autoptr (GstBuffer) encoded = NULL;
  GstFlowReturn ret = GST_FLOW_OK;

  if (self->sender == NULL)
    gst_tcpact_sink_open (self);
  if (self->finished)
    gst_tcpact_sink_reopen (self);
  if (self->encodes) {
    encoded = tcpact_rows_encode (self->rows, &self->info, buffer);
    if (encoded == NULL) {
      GST_ELEMENT_ERROR (self, STREAM, FORMAT, (_("A buffer does not hold whole rows.")),
                         ("%" G_GSIZE_FORMAT " bytes, width %u", gst_buffer_get_size (buffer),
                          self->info.width));
      return GST_FLOW_ERROR;
    }
    buffer = encoded;
  }
  while (ret == GST_FLOW_OK && !tandem_sender_has_room (self->sender))
    gst_tcpact_sink_wait (self, tandem_sender_wait_for_room, GST_MINI_OBJECT (buffer), &ret);
  if (ret == GST_FLOW_OK && !tandem_sender_send (self->sender, buffer, NULL, &error)) {
    gst_tcpact_sink_fail (self, self->sender, error);
    ret = GST_FLOW_ERROR;
  }
  return ret;
}
