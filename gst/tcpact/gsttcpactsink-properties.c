/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The properties of tcpactsink. */

#include "config.h"

#include "gsttcpactsink-private.h"
#include "stream/tandem-fields.h"

#define DEFAULT_HOST NULL
#define DEFAULT_PORT TANDEM_NET_DEFAULT_PORT
#define DEFAULT_KEY NULL
#define DEFAULT_INSECURE FALSE
#define DEFAULT_WIRE_FORMAT TANDEM_ROW_FORMAT_F32LE
#define DEFAULT_WINDOW 8
#define DEFAULT_WINDOW_BYTES (2 * 1024 * 1024)
#define DEFAULT_RECONNECT_TIMEOUT 10000
#define DEFAULT_PEERS NULL
#define DEFAULT_DISCOVERY_TIMEOUT 30000
#define DEFAULT_MAX_PAYLOAD GST_TCPACT_DEFAULT_MAX_PAYLOAD

enum
{
  PROP_0,
  PROP_HOST,
  PROP_PORT,
  PROP_KEY,
  PROP_INSECURE,
  PROP_WIRE_FORMAT,
  PROP_WINDOW,
  PROP_WINDOW_BYTES,
  PROP_RECONNECT_TIMEOUT,
  PROP_MAX_PAYLOAD,
  PROP_PEERS,
  PROP_DISCOVERY_TIMEOUT,
};

static const TandemField fields[] = {
  TANDEM_FIELD (PROP_HOST, GstTcpactSink, host),
  TANDEM_FIELD (PROP_PORT, GstTcpactSink, port),
  TANDEM_FIELD (PROP_KEY, GstTcpactSink, key),
  TANDEM_FIELD (PROP_INSECURE, GstTcpactSink, insecure),
  TANDEM_FIELD (PROP_WIRE_FORMAT, GstTcpactSink, wire_format),
  TANDEM_FIELD (PROP_WINDOW, GstTcpactSink, window),
  TANDEM_FIELD (PROP_WINDOW_BYTES, GstTcpactSink, window_bytes),
  TANDEM_FIELD (PROP_RECONNECT_TIMEOUT, GstTcpactSink, reconnect_timeout),
  TANDEM_FIELD (PROP_MAX_PAYLOAD, GstTcpactSink, max_payload),
  TANDEM_FIELD (PROP_PEERS, GstTcpactSink, peers),
  TANDEM_FIELD (PROP_DISCOVERY_TIMEOUT, GstTcpactSink, discovery_timeout),
  { 0 }
};

static void
gst_tcpact_sink_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  GST_OBJECT_LOCK (object);
  if (!tandem_fields_set (fields, object, id, value))
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  GST_OBJECT_UNLOCK (object);
}

static void
gst_tcpact_sink_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  GST_OBJECT_LOCK (object);
  if (!tandem_fields_get (fields, object, id, value))
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  GST_OBJECT_UNLOCK (object);
}

void
gst_tcpact_sink_install_properties (GObjectClass *object_class)
{
  const GParamFlags flags =
      G_PARAM_READWRITE | G_PARAM_CONSTRUCT | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY;

  object_class->set_property = gst_tcpact_sink_set_property;
  object_class->get_property = gst_tcpact_sink_get_property;

  g_object_class_install_property (object_class, PROP_HOST,
      g_param_spec_string ("host", "Host",
          "Name or address of the device that receives (NULL = one that is found: in peers, "
          "TANDEM_PEERS, the file tandem/peers, or by mDNS)", DEFAULT_HOST, flags));
  g_object_class_install_property (object_class, PROP_PORT,
      g_param_spec_uint ("port", "Port", "TCP port of the device that receives, with host",
          1, G_MAXUINT16, DEFAULT_PORT, flags));
  g_object_class_install_property (object_class, PROP_KEY,
      g_param_spec_string ("key", "Cluster key",
          "File with the cluster key that the receiver has to have, too (empty: on loopback "
          "none, beyond it that of TANDEM_KEY or ~/.config/tandem/cluster.key)", DEFAULT_KEY,
          flags));
  g_object_class_install_property (object_class, PROP_INSECURE,
      g_param_spec_boolean ("insecure", "Insecure",
          "Send beyond loopback without a key although anybody can read along",
          DEFAULT_INSECURE, flags));
  g_object_class_install_property (object_class, PROP_WIRE_FORMAT,
      g_param_spec_enum ("wire-format", "Wire format",
          "How rows of activations are sent: all but f32 save bytes and cost accuracy",
          tcpact_wire_format_get_type (), DEFAULT_WIRE_FORMAT, flags));
  g_object_class_install_property (object_class, PROP_WINDOW,
      g_param_spec_uint ("window", "Window",
          "Micro-batches that may be unacknowledged before the pipeline waits",
          1, G_MAXUINT16, DEFAULT_WINDOW, flags));
  g_object_class_install_property (object_class, PROP_WINDOW_BYTES,
      g_param_spec_uint64 ("window-bytes", "Window in bytes",
          "Bytes of micro-batches that may be unacknowledged before the pipeline waits; two "
          "may be in any case", 0, G_MAXUINT64, DEFAULT_WINDOW_BYTES, flags));
  g_object_class_install_property (object_class, PROP_RECONNECT_TIMEOUT,
      g_param_spec_uint ("reconnect-timeout", "Reconnect timeout",
          "With host: milliseconds without a working connection, at the start or later, after "
          "which to give up (0 = after the first failure)",
          0, G_MAXINT, DEFAULT_RECONNECT_TIMEOUT, flags));
  g_object_class_install_property (object_class, PROP_MAX_PAYLOAD,
      g_param_spec_uint ("max-payload", "Maximum payload",
          "Bytes of the largest micro-batch that is sent; the receiver may take less",
          1, G_MAXUINT, DEFAULT_MAX_PAYLOAD, flags));
  g_object_class_install_property (object_class, PROP_PEERS,
      g_param_spec_string ("peers", "Peers",
          "Without host: devices to try before those that mDNS finds, as \"host:port,host:port\"",
          DEFAULT_PEERS, flags));
  g_object_class_install_property (object_class, PROP_DISCOVERY_TIMEOUT,
      g_param_spec_uint ("discovery-timeout", "Discovery timeout",
          "Without host: milliseconds without a device that takes the stream after which to give "
          "up (0 = never)", 0, G_MAXINT, DEFAULT_DISCOVERY_TIMEOUT, flags));
}

/* What they hold is given back. */
void
gst_tcpact_sink_clear_properties (GstTcpactSink *self)
{
  g_free (self->host);
  g_free (self->key);
  g_free (self->peers);
}
