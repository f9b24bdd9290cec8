/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The properties of tcpactsrc. */

#include "config.h"

#include "gsttcpactsrc-private.h"
#include "stream/tandem-fields.h"

#define DEFAULT_ADDRESS "127.0.0.1"
#define DEFAULT_PORT TANDEM_NET_DEFAULT_PORT
#define DEFAULT_KEEP_LISTENING FALSE
#define DEFAULT_KEY NULL
#define DEFAULT_INSECURE FALSE
#define DEFAULT_WINDOW 32
#define DEFAULT_MAX_PAYLOAD GST_TCPACT_DEFAULT_MAX_PAYLOAD
#define DEFAULT_MAX_CONNECTIONS 16
#define DEFAULT_MAX_HANDSHAKE_BYTES (64 * 1024)
#define DEFAULT_HANDSHAKE_TIMEOUT 5000
#define DEFAULT_TIMEOUT 10000
#define DEFAULT_ADVERTISE FALSE
#define DEFAULT_DEVICE_NAME NULL

enum
{
  PROP_0,
  PROP_ADDRESS,
  PROP_PORT,
  PROP_CURRENT_PORT,
  PROP_KEEP_LISTENING,
  PROP_KEY,
  PROP_INSECURE,
  PROP_WINDOW,
  PROP_MAX_PAYLOAD,
  PROP_MAX_CONNECTIONS,
  PROP_MAX_HANDSHAKE_BYTES,
  PROP_HANDSHAKE_TIMEOUT,
  PROP_TIMEOUT,
  PROP_ADVERTISE,
  PROP_DEVICE_NAME,
};

static GParamSpec *current_port_pspec;

static const TandemField fields[] = {
  TANDEM_FIELD (PROP_ADDRESS, GstTcpactSrc, address),
  TANDEM_FIELD (PROP_PORT, GstTcpactSrc, options.port),
  TANDEM_FIELD (PROP_CURRENT_PORT, GstTcpactSrc, current_port),
  TANDEM_FIELD (PROP_KEEP_LISTENING, GstTcpactSrc, options.keep_listening),
  TANDEM_FIELD (PROP_KEY, GstTcpactSrc, key),
  TANDEM_FIELD (PROP_INSECURE, GstTcpactSrc, options.insecure),
  TANDEM_FIELD (PROP_WINDOW, GstTcpactSrc, options.window),
  TANDEM_FIELD (PROP_MAX_PAYLOAD, GstTcpactSrc, options.max_payload),
  TANDEM_FIELD (PROP_MAX_CONNECTIONS, GstTcpactSrc, options.max_pending),
  TANDEM_FIELD (PROP_MAX_HANDSHAKE_BYTES, GstTcpactSrc, options.max_handshake_bytes),
  TANDEM_FIELD (PROP_HANDSHAKE_TIMEOUT, GstTcpactSrc, options.handshake_timeout),
  TANDEM_FIELD (PROP_TIMEOUT, GstTcpactSrc, options.timeout),
  TANDEM_FIELD (PROP_ADVERTISE, GstTcpactSrc, advertise),
  TANDEM_FIELD (PROP_DEVICE_NAME, GstTcpactSrc, device_name),
  { 0 }
};

static void
gst_tcpact_src_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  GstTcpactSrc *self = GST_TCPACT_SRC (object);

  GST_OBJECT_LOCK (self);
  if (!tandem_fields_set (fields, self, id, value))
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  if (self->address == NULL || self->address[0] == '\0') {
    g_free (self->address);
    self->address = g_strdup (DEFAULT_ADDRESS);
  }
  GST_OBJECT_UNLOCK (self);
}

static void
gst_tcpact_src_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  GST_OBJECT_LOCK (object);
  if (!tandem_fields_get (fields, object, id, value))
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  GST_OBJECT_UNLOCK (object);
}

void
gst_tcpact_src_install_properties (GObjectClass *object_class)
{
  const GParamFlags flags =
      G_PARAM_READWRITE | G_PARAM_CONSTRUCT | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY;

  object_class->set_property = gst_tcpact_src_set_property;
  object_class->get_property = gst_tcpact_src_get_property;

  g_object_class_install_property (object_class, PROP_ADDRESS,
      g_param_spec_string ("address", "Address",
          "Address of the network interface to listen on; beyond loopback only with a cluster key",
          DEFAULT_ADDRESS, flags));
  g_object_class_install_property (object_class, PROP_PORT,
      g_param_spec_uint ("port", "Port",
          "TCP port to listen on (0 = any free one, see current-port)",
          0, G_MAXUINT16, DEFAULT_PORT, flags));
  current_port_pspec = g_param_spec_uint ("current-port", "Current port",
      "TCP port that the element listens on (0 = it does not)",
      0, G_MAXUINT16, 0, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_property (object_class, PROP_CURRENT_PORT, current_port_pspec);
  g_object_class_install_property (object_class, PROP_KEEP_LISTENING,
      g_param_spec_boolean ("keep-listening", "Keep listening",
          "Serve one client after the other instead of ending with the first one's stream",
          DEFAULT_KEEP_LISTENING, flags));
  g_object_class_install_property (object_class, PROP_KEY,
      g_param_spec_string ("key", "Cluster key",
          "File with the cluster key that a sender has to have, too (empty: on loopback none, "
          "beyond it that of TANDEM_KEY or ~/.config/tandem/cluster.key)", DEFAULT_KEY, flags));
  g_object_class_install_property (object_class, PROP_INSECURE,
      g_param_spec_boolean ("insecure", "Insecure",
          "Listen beyond loopback without a key although anybody can connect, read and send there",
          DEFAULT_INSECURE, flags));
  g_object_class_install_property (object_class, PROP_WINDOW,
      g_param_spec_uint ("window", "Window",
          "Micro-batches that are taken before their predecessors are consumed; bounds, with "
          "max-payload, the memory that a client can take",
          1, G_MAXUINT16, DEFAULT_WINDOW, flags));
  g_object_class_install_property (object_class, PROP_MAX_PAYLOAD,
      g_param_spec_uint ("max-payload", "Maximum payload",
          "Bytes of the largest micro-batch that is taken; twice as much may be in flight",
          1, G_MAXUINT, DEFAULT_MAX_PAYLOAD, flags));
  g_object_class_install_property (object_class, PROP_MAX_CONNECTIONS,
      g_param_spec_uint ("max-connections", "Maximum connections",
          "Connections that may be open without a HELLO, then one of the address that has most "
          "is closed; bounds what strangers can take",
          1, 1024, DEFAULT_MAX_CONNECTIONS, flags));
  g_object_class_install_property (object_class, PROP_MAX_HANDSHAKE_BYTES,
      g_param_spec_uint ("max-handshake-bytes", "Maximum of handshake bytes",
          "Bytes that a connection may send before it has shown the cluster key (0 = any number)",
          0, G_MAXUINT, DEFAULT_MAX_HANDSHAKE_BYTES, flags));
  g_object_class_install_property (object_class, PROP_HANDSHAKE_TIMEOUT,
      g_param_spec_uint ("handshake-timeout", "Handshake timeout",
          "Milliseconds that a connection has to show the cluster key and to say HELLO",
          1, G_MAXINT, DEFAULT_HANDSHAKE_TIMEOUT, flags));
  g_object_class_install_property (object_class, PROP_TIMEOUT,
      g_param_spec_uint ("timeout", "Timeout",
          "Milliseconds that a client in mid-stream may be away, or silent in the middle of a "
          "frame (0 = for ever)", 0, G_MAXINT, DEFAULT_TIMEOUT, flags));
  g_object_class_install_property (object_class, PROP_ADVERTISE,
      g_param_spec_boolean ("advertise", "Advertise",
          "Announce by mDNS what the next stage takes, so that a tcpactsink without host finds it",
          DEFAULT_ADVERTISE, flags));
  g_object_class_install_property (object_class, PROP_DEVICE_NAME,
      g_param_spec_string ("device-name", "Device name",
          "Name under which the device is announced (NULL = that of the host)",
          DEFAULT_DEVICE_NAME, flags));
}

/* What they hold is given back. */
void
gst_tcpact_src_clear_properties (GstTcpactSrc *self)
{
  g_free (self->address);
  g_free (self->key);
  g_free (self->device_name);
}

void
gst_tcpact_src_set_current_port (GstTcpactSrc *self, guint port)
{
  gboolean changed;

  GST_OBJECT_LOCK (self);
  changed = self->current_port != port;
  self->current_port = port;
  GST_OBJECT_UNLOCK (self);
  if (changed)
    g_object_notify_by_pspec (G_OBJECT (self), current_port_pspec);
}
