/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * SECTION:element-tcpactsrc
 * @title: tcpactsrc
 * @see_also: tcpactsink
 *
 * Listens for a tcpactsink and pushes the micro-batches that it sends: tokens
 * (int32 [tokens]), activations ([tokens, width]) or logits (float32
 * [sequences, classes]), each with its #TandemBatchMeta and a receipt. When the
 * consumer downstream completes the receipt the sender is told.
 *
 * It asks downstream which stream the next stage takes and refuses any other
 * with a sentence that both sides show. It serves one stream, whose end is the
 * end of the pipeline, unless #GstTcpactSrc:keep-listening is set; then a
 * STREAM_GROUP_DONE event marks the end of each stream and a STREAM_START event
 * the begin of the next. Whoever connects meanwhile is told that the device is
 * busy; whoever does not say HELLO in time is put out.
 *
 * Beyond loopback it listens only with a cluster key (`tandem key`), of this device or of
 * #GstTcpactSrc:key: then the connection is protected with TLS 1.3, and a device without
 * that key is refused and named in a warning.
 *
 * With #GstTcpactSrc:advertise it announces what the next stage takes by mDNS, through the
 * system's Avahi daemon, and a tcpactsink without host finds it. Element messages
 * `tandem-discovery` say under which name, or why it cannot be announced.
 *
 * Events of training go downstream in order with the micro-batches. A
 * `tandem-gradient` event that comes upstream goes to the sender; it waits for the
 * network when several others do. After the first event of training a connection that
 * breaks is an error, since the other device's activations are gone with it.
 *
 * |[
 * gst-launch-1.0 tcpactsrc ! bertstage model=M layers=1- ! sentimentsink
 * ]|
 */

#include "config.h"

#include "gsttcpactsrc-private.h"

#include <gio/gio.h>
#include <glib/gi18n-lib.h>

GST_DEBUG_CATEGORY_STATIC (gst_tcpact_src_debug);
#define GST_CAT_DEFAULT gst_tcpact_src_debug

static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE (
    "src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS (GST_TCPACT_CAPS));

G_DEFINE_FINAL_TYPE_WITH_CODE (GstTcpactSrc, gst_tcpact_src, GST_TYPE_PUSH_SRC,
    GST_DEBUG_CATEGORY_INIT (gst_tcpact_src_debug, "tcpactsrc", 0, "tcpactsrc element"))
GST_ELEMENT_REGISTER_DEFINE (tcpactsrc, "tcpactsrc", GST_RANK_NONE, GST_TYPE_TCPACT_SRC)

static void gst_tcpact_src_finalize (GObject *object);
static gboolean gst_tcpact_src_start (GstBaseSrc *base);
static gboolean gst_tcpact_src_stop (GstBaseSrc *base);
static gboolean gst_tcpact_src_unlock (GstBaseSrc *base);
static gboolean gst_tcpact_src_unlock_stop (GstBaseSrc *base);
static gboolean gst_tcpact_src_negotiate (GstBaseSrc *base);
static gboolean gst_tcpact_src_is_seekable (GstBaseSrc *base);
static gboolean gst_tcpact_src_event (GstBaseSrc *base, GstEvent *event);
static GstFlowReturn gst_tcpact_src_create (GstPushSrc *push, GstBuffer **buffer);

static void
gst_tcpact_src_class_init (GstTcpactSrcClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GstBaseSrcClass *base_class = GST_BASE_SRC_CLASS (klass);

  object_class->finalize = gst_tcpact_src_finalize;
  gst_tcpact_src_install_properties (object_class);

  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_element_class_set_static_metadata (element_class, "TCP activation source",
      "Source/Network", "Receives micro-batches from the device that runs the layers before",
      "The Tandem developers");

  base_class->start = gst_tcpact_src_start;
  base_class->stop = gst_tcpact_src_stop;
  base_class->unlock = gst_tcpact_src_unlock;
  base_class->unlock_stop = gst_tcpact_src_unlock_stop;
  base_class->negotiate = gst_tcpact_src_negotiate;
  base_class->is_seekable = gst_tcpact_src_is_seekable;
  base_class->event = gst_tcpact_src_event;
  GST_PUSH_SRC_CLASS (klass)->create = gst_tcpact_src_create;
}

static void
gst_tcpact_src_init (GstTcpactSrc *self)
{
  gst_base_src_set_format (GST_BASE_SRC (self), GST_FORMAT_TIME);
  self->cancellable = g_cancellable_new ();
  self->rows = tandem_row_pool_new ();
}

static void
gst_tcpact_src_finalize (GObject *object)
{
  GstTcpactSrc *self = GST_TCPACT_SRC (object);

  gst_tcpact_src_clear_properties (self);
  g_object_unref (self->cancellable);
  tandem_row_pool_free (self->rows);
  G_OBJECT_CLASS (gst_tcpact_src_parent_class)->finalize (object);
}

/* One failure is one message, whichever thread sees it first. */
static void
gst_tcpact_src_post (GstTcpactSrc *self, TandemReceiver *receiver, GstMessageType type,
                     const GError *error)
{
  guint port = tandem_receiver_get_port (receiver);
  g_autofree char *state = NULL;

  if (type == GST_MESSAGE_ERROR && !g_atomic_int_compare_and_exchange (&self->failed, 0, 1))
    return;

  GST_OBJECT_LOCK (self);
  state = g_strdup_printf ("on %s port %u, streams so far: %u", self->address,
                           port > 0 ? port : self->options.port, self->n_streams);
  GST_OBJECT_UNLOCK (self);
  gst_tcpact_post (GST_ELEMENT (self), type, error, state);
}

static TandemReceiver *
gst_tcpact_src_steal_receiver (GstTcpactSrc *self)
{
  TandemReceiver *receiver;

  GST_OBJECT_LOCK (self);
  receiver = g_steal_pointer (&self->receiver);
  GST_OBJECT_UNLOCK (self);
  return receiver;
}

/* In the receiver's thread. A stranger cannot end the pipeline: it is a warning. */
static void
on_refused (TandemReceiver *receiver, const GError *error, gpointer user_data)
{
  gst_tcpact_src_post (user_data, receiver, GST_MESSAGE_WARNING, error);
}

static gboolean
gst_tcpact_src_start (GstBaseSrc *base)
{
  GstTcpactSrc *self = GST_TCPACT_SRC (base);
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemClusterKey) key = NULL;
  g_autofree char *path = NULL;
  TandemReceiverOptions options;

  GST_OBJECT_LOCK (self);
  path = g_strdup (self->key);
  options = self->options;
  GST_OBJECT_UNLOCK (self);
  if (!gst_tcpact_load_key (path, options.insecure, &key, &error)) {
    gst_tcpact_post (GST_ELEMENT (self), GST_MESSAGE_ERROR, error, "not listening");
    return FALSE;
  }
  options.key = key;
  GST_OBJECT_LOCK (self);
  options.address = self->address;
  self->receiver = tandem_receiver_new (&options);
  GST_OBJECT_UNLOCK (self);
  tandem_receiver_set_refused_func (self->receiver, on_refused, self);
  g_atomic_int_set (&self->failed, 0);
  self->accepting = FALSE;
  self->n_streams = 0;
  self->group_id = 0;

  if (!tandem_receiver_listen (self->receiver, &error)) {
    g_prefix_error (&error, _("Cannot listen on %s port %u: "), self->address, options.port);
    gst_tcpact_src_post (self, self->receiver, GST_MESSAGE_ERROR, error);
    g_object_unref (gst_tcpact_src_steal_receiver (self));
    return FALSE;
  }
  gst_tcpact_src_set_current_port (self, tandem_receiver_get_port (self->receiver));
  return TRUE;
}

static gboolean
gst_tcpact_src_stop (GstBaseSrc *base)
{
  GstTcpactSrc *self = GST_TCPACT_SRC (base);

  TandemReceiver *receiver = gst_tcpact_src_steal_receiver (self);

  /* Goodbye comes first, so that nobody is sent to a port that is closed. */
  if (self->advertiser != NULL)
    tandem_advertiser_stop (self->advertiser);
  g_clear_object (&self->advertiser);
  tandem_receiver_close (receiver);
  g_object_unref (receiver);
  gst_tcpact_src_set_current_port (self, 0);
  return TRUE;
}

static gboolean
gst_tcpact_src_unlock (GstBaseSrc *base)
{
  GstTcpactSrc *self = GST_TCPACT_SRC (base);
  g_autoptr (GCancellable) cancellable = NULL;

  GST_OBJECT_LOCK (self);
  cancellable = g_object_ref (self->cancellable);
  GST_OBJECT_UNLOCK (self);
  g_cancellable_cancel (cancellable);
  return TRUE;
}

static gboolean
gst_tcpact_src_unlock_stop (GstBaseSrc *base)
{
  GstTcpactSrc *self = GST_TCPACT_SRC (base);
  g_autoptr (GCancellable) old = NULL;

  GST_OBJECT_LOCK (self);
  old = self->cancellable;
  self->cancellable = g_cancellable_new ();
  GST_OBJECT_UNLOCK (self);
  return TRUE;
}

/* The caps come with the stream. */
static gboolean
gst_tcpact_src_negotiate (GstBaseSrc *base)
{
  return TRUE;
}

static gboolean
gst_tcpact_src_is_seekable (GstBaseSrc *base)
{
  return FALSE;
}

/* In whatever thread the gradient comes, perhaps our streaming thread itself. */
static gboolean
gst_tcpact_src_send_gradient (GstTcpactSrc *self, const TandemGradientInfo *info,
                              GstBuffer *rows)
{
  g_autoptr (TandemReceiver) receiver = NULL;
  g_autoptr (GCancellable) cancellable = NULL;
  g_autoptr (GError) error = NULL;

  GST_OBJECT_LOCK (self);
  cancellable = g_object_ref (self->cancellable);
  if (self->receiver != NULL)
    receiver = g_object_ref (self->receiver);
  GST_OBJECT_UNLOCK (self);
  if (receiver == NULL)
    return FALSE;
  if (tandem_receiver_send_gradient (receiver, info, rows, cancellable, &error))
    return TRUE;
  if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    gst_tcpact_src_post (self, receiver, GST_MESSAGE_ERROR, error);
  return FALSE;
}

static gboolean
gst_tcpact_src_event (GstBaseSrc *base, GstEvent *event)
{
  TandemGradientInfo info;
  GstBuffer *rows;

  if (tandem_event_parse_gradient (event, &info, &rows))
    return gst_tcpact_src_send_gradient (GST_TCPACT_SRC (base), &info, rows);
  return GST_BASE_SRC_CLASS (gst_tcpact_src_parent_class)->event (base, event);
}

static void
gst_tcpact_src_advertise (GstTcpactSrc *self, GstCaps *accepted, guint last_layer)
{
  g_autoptr (GInetAddress) address = tandem_receiver_get_address (self->receiver);
  g_autofree char *name = NULL;
  TandemServiceInfo service;
  gboolean advertise;

  GST_OBJECT_LOCK (self);
  advertise = self->advertise;
  name = g_strdup (self->device_name);
  GST_OBJECT_UNLOCK (self);
  if (!advertise || address == NULL)
    return;
  tandem_service_info_init (&service, name, accepted, last_layer);
  service.capacity = self->options.window;
  self->advertiser = gst_tcpact_advertise (GST_ELEMENT (self), &service, address,
                                           tandem_receiver_get_port (self->receiver));
}

/* Whoever takes float32 gets it from all formats, which are made float32 here. */
static void
add_formats (GstCaps *caps)
{
  GstStructure *s = gst_caps_get_size (caps) > 0 ? gst_caps_get_structure (caps, 0) : NULL;
  GValue all = G_VALUE_INIT, one = G_VALUE_INIT;
  guint format;

  if (s == NULL || !gst_structure_has_name (s, TANDEM_CAPS_ACTIVATIONS) ||
      g_strcmp0 (gst_structure_get_string (s, "format"),
                 tandem_row_format_to_string (TANDEM_ROW_FORMAT_F32LE)) != 0)
    return;
  g_value_init (&all, GST_TYPE_LIST);
  g_value_init (&one, G_TYPE_STRING);
  for (format = TANDEM_ROW_FORMAT_F32LE; format <= TANDEM_ROW_FORMAT_Q8; format++) {
    g_value_set_static_string (&one, tandem_row_format_to_string (format));
    gst_value_list_append_value (&all, &one);
  }
  gst_structure_take_value (s, "format", &all);
  g_value_unset (&one);
}

/* Downstream is ready by now: it says what it takes before anybody is answered. */
static void
gst_tcpact_src_accept (GstTcpactSrc *self)
{
  g_autoptr (GstQuery) query = tandem_query_new_accepted ();
  g_autoptr (GstCaps) caps = NULL;
  guint last_layer = 0;

  if (gst_pad_peer_query (GST_BASE_SRC_PAD (self), query) &&
      tandem_query_parse_accepted (query, &caps, &last_layer)) {
    GST_INFO_OBJECT (self, "downstream takes %" GST_PTR_FORMAT, caps);
    caps = gst_caps_make_writable (caps);
    add_formats (caps);
  }
  tandem_receiver_accept (self->receiver, caps, last_layer);
  gst_tcpact_src_advertise (self, caps, last_layer);
  self->accepting = TRUE;
}

/* GstBaseSrc begins the first stream itself. */
static void
gst_tcpact_src_begin_stream (GstTcpactSrc *self)
{
  g_autofree char *id = NULL;
  GstEvent *event;

  self->group_id = gst_util_group_id_next ();
  if (self->n_streams++ == 0)
    return;
  id = gst_pad_create_stream_id_printf (GST_BASE_SRC_PAD (self), GST_ELEMENT (self), "%u",
                                        self->n_streams);
  event = gst_event_new_stream_start (id);
  gst_event_set_group_id (event, self->group_id);
  gst_pad_push_event (GST_BASE_SRC_PAD (self), event);
}

static gboolean
gst_tcpact_src_set_stream (GstTcpactSrc *self)
{
  const TandemStreamInfo *info = tandem_receiver_get_stream (self->receiver);
  g_autoptr (GstCaps) caps = tandem_stream_info_to_caps (info);
  g_autofree char *text = NULL;
  g_autoptr (GError) reason = NULL;

  self->decodes = info->kind == TANDEM_STREAM_ACTIVATIONS && !tcpact_rows_can_encode (info);
  if (self->decodes)
    gst_caps_set_simple (caps, "format", G_TYPE_STRING,
                         tandem_row_format_to_string (TANDEM_ROW_FORMAT_F32LE), NULL);
  if (gst_base_src_set_caps (GST_BASE_SRC (self), caps))
    return TRUE;
  text = tandem_stream_info_describe (info);
  reason = g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_FORMAT,
                        _("the next element of this device does not take %s"), text);
  tandem_receiver_refuse (self->receiver, reason);
  return FALSE;
}

static void
gst_tcpact_src_flush (GstTcpactSrc *self)
{
  GstPad *pad = GST_BASE_SRC_PAD (self);

  gst_pad_push_event (pad, gst_event_new_flush_start ());
  gst_pad_push_event (pad, gst_event_new_flush_stop (TRUE));
}

static GstFlowReturn
gst_tcpact_src_end_stream (GstTcpactSrc *self)
{
  if (!self->options.keep_listening)
    return GST_FLOW_EOS;
  if (self->group_id != 0)
    gst_pad_push_event (GST_BASE_SRC_PAD (self),
                        gst_event_new_stream_group_done (self->group_id));
  self->group_id = 0;
  return GST_FLOW_OK;
}

static GstFlowReturn
gst_tcpact_src_decode (GstTcpactSrc *self, GstBuffer **buffer)
{
  g_autoptr (GstBuffer) encoded = g_steal_pointer (buffer);

  *buffer = tcpact_rows_decode (self->rows, tandem_receiver_get_stream (self->receiver), encoded);
  if (*buffer != NULL)
    return GST_FLOW_OK;
  GST_ELEMENT_ERROR (self, STREAM, DECODE, (_("A buffer does not hold whole rows.")),
                     ("%" G_GSIZE_FORMAT " bytes", gst_buffer_get_size (encoded)));
  return GST_FLOW_ERROR;
}

static GstFlowReturn
gst_tcpact_src_create (GstPushSrc *push, GstBuffer **buffer)
{
  GstTcpactSrc *self = GST_TCPACT_SRC (push);
  GstFlowReturn ret = GST_FLOW_OK;

  if (!self->accepting)
    gst_tcpact_src_accept (self);
  while (ret == GST_FLOW_OK) {
    g_autoptr (GCancellable) cancellable = NULL;
    g_autoptr (GError) error = NULL;

    GST_OBJECT_LOCK (self);
    cancellable = g_object_ref (self->cancellable);
    GST_OBJECT_UNLOCK (self);
    switch (tandem_receiver_receive (self->receiver, buffer, cancellable, &error)) {
      case TANDEM_RECEIVED_STREAM:
        gst_tcpact_src_begin_stream (self);
        break;
      case TANDEM_RECEIVED_CAPS:
        if (!gst_tcpact_src_set_stream (self))
          ret = GST_FLOW_NOT_NEGOTIATED;
        break;
      case TANDEM_RECEIVED_SEGMENT:
        gst_base_src_new_segment (GST_BASE_SRC (self),
                                  tandem_receiver_get_segment (self->receiver));
        break;
      case TANDEM_RECEIVED_BUFFER:
        return self->decodes ? gst_tcpact_src_decode (self, buffer) : GST_FLOW_OK;
      case TANDEM_RECEIVED_FLUSH:
        gst_tcpact_src_flush (self);
        break;
      case TANDEM_RECEIVED_EVENT:
        gst_pad_push_event (GST_BASE_SRC_PAD (self), tandem_receiver_take_event (self->receiver));
        break;
      case TANDEM_RECEIVED_EOS:
        ret = gst_tcpact_src_end_stream (self);
        break;
      case TANDEM_RECEIVED_ABANDONED:
        gst_tcpact_src_post (self, self->receiver, GST_MESSAGE_WARNING, error);
        ret = gst_tcpact_src_end_stream (self);
        break;
      case TANDEM_RECEIVED_ERROR:
        if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
          ret = GST_FLOW_FLUSHING;
        } else {
          gst_tcpact_src_post (self, self->receiver, GST_MESSAGE_ERROR, error);
          ret = GST_FLOW_ERROR;
        }
        break;
    }
  }
  return ret;
}
