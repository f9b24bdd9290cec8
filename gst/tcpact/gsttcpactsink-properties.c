/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The properties of tcpactsink. */

#include "config.h"

#include "gsttcpactsink-private.h"

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

static void
gst_tcpact_sink_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  GstTcpactSink *self = GST_TCPACT_SINK (object);

  GST_OBJECT_LOCK (self);
  switch (id) {
    case PROP_HOST:
      g_free (self->host);
      self->host = g_value_dup_string (value);
      break;
    case PROP_PORT:
      self->port = g_value_get_uint (value);
      break;
    case PROP_KEY:
      g_free (self->key);
      self->key = g_value_dup_string (value);
      break;
    case PROP_INSECURE:
      self->insecure = g_value_get_boolean (value);
      break;
    case PROP_WIRE_FORMAT:
      self->wire_format = g_value_get_enum (value);
      break;
    case PROP_WINDOW:
      self->window = g_value_get_uint (value);
      break;
    case PROP_WINDOW_BYTES:
      self->window_bytes = g_value_get_uint64 (value);
      break;
    case PROP_RECONNECT_TIMEOUT:
      self->reconnect_timeout = g_value_get_uint (value);
      break;
    case PROP_MAX_PAYLOAD:
      self->max_payload = g_value_get_uint (value);
      break;
    case PROP_PEERS:
      g_free (self->peers);
      self->peers = g_value_dup_string (value);
      break;
    case PROP_DISCOVERY_TIMEOUT:
      self->discovery_timeout = g_value_get_uint (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  }
  GST_OBJECT_UNLOCK (self);
}

static void
gst_tcpact_sink_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  GstTcpactSink *self = GST_TCPACT_SINK (object);

  GST_OBJECT_LOCK (self);
  switch (id) {
    case PROP_HOST:
      g_value_set_string (value, self->host);
      break;
    case PROP_PORT:
      g_value_set_uint (value, self->port);
      break;
    case PROP_KEY:
      g_value_set_string (value, self->key);
      break;
    case PROP_INSECURE:
      g_value_set_boolean (value, self->insecure);
      break;
    case PROP_WIRE_FORMAT:
      g_value_set_enum (value, self->wire_format);
      break;
    case PROP_WINDOW:
      g_value_set_uint (value, self->window);
      break;
    case PROP_WINDOW_BYTES:
      g_value_set_uint64 (value, self->window_bytes);
      break;
    case PROP_RECONNECT_TIMEOUT:
      g_value_set_uint (value, self->reconnect_timeout);
      break;
    case PROP_MAX_PAYLOAD:
      g_value_set_uint (value, self->max_payload);
      break;
    case PROP_PEERS:
      g_value_set_string (value, self->peers);
      break;
    case PROP_DISCOVERY_TIMEOUT:
      g_value_set_uint (value, self->discovery_timeout);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  }
  GST_OBJECT_UNLOCK (self);
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
