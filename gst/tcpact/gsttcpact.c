/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "gsttcpact.h"

#include <gio/gio.h>
#include <glib/gi18n-lib.h>

#include "net/tandem-net-error.h"
#include "tandem-enums.h"

static const struct
{
  TandemNetError code;
  GstResourceError resource;
} resource_errors[] = {
  { TANDEM_NET_ERROR_BUSY, GST_RESOURCE_ERROR_BUSY },
  { TANDEM_NET_ERROR_TOO_LARGE, GST_RESOURCE_ERROR_SETTINGS },
  { TANDEM_NET_ERROR_INSECURE, GST_RESOURCE_ERROR_NOT_AUTHORIZED },
  { TANDEM_NET_ERROR_KEY, GST_RESOURCE_ERROR_NOT_AUTHORIZED },
  { TANDEM_NET_ERROR_STOPPED, GST_RESOURCE_ERROR_CLOSE },
  { TANDEM_NET_ERROR_CLOSED, GST_RESOURCE_ERROR_OPEN_READ_WRITE },
  { TANDEM_NET_ERROR_TIMEOUT, GST_RESOURCE_ERROR_READ },
  { TANDEM_NET_ERROR_NO_DISCOVERY, GST_RESOURCE_ERROR_NOT_FOUND },
  { TANDEM_NET_ERROR_NOT_FOUND, GST_RESOURCE_ERROR_NOT_FOUND },
};

static void
map_error (const GError *error, GQuark *domain, int *code)
{
  guint i;

  *domain = GST_RESOURCE_ERROR;
  *code = GST_RESOURCE_ERROR_OPEN_READ_WRITE;
  if (error->domain != TANDEM_NET_ERROR)
    return;
  *code = GST_RESOURCE_ERROR_FAILED;
  for (i = 0; i < G_N_ELEMENTS (resource_errors); i++) {
    if ((int) resource_errors[i].code == error->code)
      *code = resource_errors[i].resource;
  }
  switch (error->code) {
    case TANDEM_NET_ERROR_MODEL:
    case TANDEM_NET_ERROR_LAYER:
    case TANDEM_NET_ERROR_FORMAT:
      *domain = GST_STREAM_ERROR;
      *code = GST_STREAM_ERROR_WRONG_TYPE;
      break;
    case TANDEM_NET_ERROR_VERSION:
    case TANDEM_NET_ERROR_PROTOCOL:
    case TANDEM_NET_ERROR_NOT_TANDEM:
    case TANDEM_NET_ERROR_CORRUPT:
      *domain = GST_STREAM_ERROR;
      *code = GST_STREAM_ERROR_DECODE;
      break;
    default:
      break;
  }
}

/* The kind of error in words, or in numbers where it is not one of ours or of GIO. */
static char *
describe_kind (const GError *error)
{
  GType type = error->domain == TANDEM_NET_ERROR ? TANDEM_TYPE_NET_ERROR
      : error->domain == G_IO_ERROR ? G_TYPE_IO_ERROR_ENUM
      : error->domain == G_RESOLVER_ERROR ? G_TYPE_RESOLVER_ERROR : G_TYPE_INVALID;
  const GEnumValue *value = NULL;

  if (type != G_TYPE_INVALID) {
    g_autoptr (GEnumClass) klass = g_type_class_ref (type);

    value = g_enum_get_value (klass, error->code);
  }
  return value != NULL ? g_strdup (value->value_nick)
                       : g_strdup_printf ("%s %d", g_quark_to_string (error->domain), error->code);
}

/**
 * gst_tcpact_load_key:
 * @path: (nullable): the property `key`
 * @insecure: the property `insecure`
 * @key: (out) (transfer full) (nullable): the key, %NULL when @path names none
 * @error: return location for a #TandemNetError
 *
 * Reads the key that an element was given.
 *
 * Returns: %FALSE on an error
 */
gboolean
gst_tcpact_load_key (const char *path, gboolean insecure, TandemClusterKey **key, GError **error)
{
  *key = NULL;
  if (path == NULL || path[0] == '\0')
    return TRUE;
  if (insecure) {
    g_set_error_literal (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_INSECURE,
                         _("A key and insecure=true exclude each other."));
    return FALSE;
  }
  *key = tandem_cluster_key_load (path, error);
  if (*key == NULL)
    return FALSE;
  if (tandem_cluster_key_check_validity (*key, error))
    return TRUE;
  g_clear_object (key);
  return FALSE;
}

/**
 * gst_tcpact_post:
 * @element: the element
 * @type: %GST_MESSAGE_ERROR or %GST_MESSAGE_WARNING
 * @error: what the library says
 * @state: with whom, and how far, for the debug half
 *
 * The one place where errors of the library become messages on the bus.
 */
void
gst_tcpact_post (GstElement *element, GstMessageType type, const GError *error,
                 const char *state)
{
  g_autofree char *kind = describe_kind (error);
  GQuark domain;
  int code;

  map_error (error, &domain, &code);
  gst_element_message_full (element, type, domain, code, g_strdup (error->message),
                            g_strdup_printf ("%s; %s", kind, state), __FILE__, GST_FUNCTION,
                            __LINE__);
}
