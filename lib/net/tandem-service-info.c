/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a stage says about itself on the local network, and the bytes of the TXT record that say
 * it (RFC 6763, section 6). Records come from anybody: nothing in them is used unchecked. */

#include "config.h"

#include "tandem-service-info.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "net/tandem-acceptance.h"
#include "net/tandem-device-id.h"
#include "net/tandem-frame.h"
#include "net/tandem-net-private.h"

#define TXT_VERSION "1"
#define HEX_DIGITS "0123456789abcdef"
#define N_FORMATS (TANDEM_ROW_FORMAT_Q8 + 1)

static const char *const kind_names[] = { "tokens", "activations", "logits" };

/**
 * tandem_service_info_init: (skip)
 * @info: (out caller-allocates): what this process says
 * @name: (nullable): the device's name for people; cut at %TANDEM_SERVICE_MAX_NAME bytes.
 *   %NULL or "": the name of the host
 * @accepted: (nullable): what the stage takes, as the query "tandem-accepted" is answered;
 *   %NULL or any caps: everything
 * @last_layer: the last layer that the stage runs; 0: it has none
 *
 * Fills @info for a stage of this process; capacity is not known yet.
 */
void
tandem_service_info_init (TandemServiceInfo *info, const char *name, GstCaps *accepted,
                          guint last_layer)
{
  g_autofree char *valid = NULL;
  const char *end;
  TandemHello hello;

  memset (info, 0, sizeof *info);
  memset (&hello, 0, sizeof hello);
  tandem_acceptance_fill_hello (accepted, last_layer, &hello);
  if (name == NULL || name[0] == '\0')
    name = g_get_host_name ();
  valid = tandem_net_make_printable (name);
  if (strlen (valid) > TANDEM_SERVICE_MAX_NAME) {
    g_utf8_validate (valid, TANDEM_SERVICE_MAX_NAME, &end);
    valid[end - valid] = '\0';
  }
  memcpy (info->name, valid, strlen (valid) + 1);
  memcpy (info->device_id, tandem_device_id_get (), sizeof info->device_id);
  memcpy (info->instance, tandem_device_id_get_instance (), sizeof info->instance);
  info->major = TANDEM_FRAME_MAJOR;
  info->minor = TANDEM_FRAME_MINOR;
  info->kind = hello.kind;
  memcpy (info->fingerprint, hello.fingerprint, sizeof info->fingerprint);
  info->first_layer = hello.first_layer;
  info->last_layer = hello.last_layer;
  info->width = hello.width;
  info->classes = hello.classes;
  info->formats = hello.formats;
}

G_GNUC_PRINTF (2, 3)
static void
put (GByteArray *txt, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;
  guint8 length;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  g_return_if_fail (strlen (text) <= G_MAXUINT8);
  length = strlen (text);
  g_byte_array_append (txt, &length, 1);
  g_byte_array_append (txt, (const guint8 *) text, length);
}

static char *
formats_to_string (guint16 formats)
{
  GString *text = g_string_new (NULL);
  guint i;

  for (i = 0; i < N_FORMATS; i++) {
    if (formats >> i & 1)
      g_string_append_printf (text, "%s%s", text->len > 0 ? "," : "",
                              tandem_row_format_to_string (i));
  }
  return g_string_free (text, FALSE);
}

/**
 * tandem_service_info_to_txt:
 * @info: what to say
 *
 * Returns: (transfer full): the TXT record: strings, each after a byte with its length
 */
GBytes *
tandem_service_info_to_txt (const TandemServiceInfo *info)
{
  GByteArray *txt = g_byte_array_new ();
  g_autofree char *formats = formats_to_string (info->formats);

  put (txt, "txtvers=%s", TXT_VERSION);
  put (txt, "proto=%u.%u", info->major, info->minor);
  put (txt, "id=%s", info->device_id);
  put (txt, "inst=%s", info->instance);
  put (txt, "name=%s", info->name);
  put (txt, "kind=%s", info->kind < G_N_ELEMENTS (kind_names) ? kind_names[info->kind] : "any");
  put (txt, "model=%s", info->fingerprint[0] != '\0' ? info->fingerprint : "any");
  put (txt, "first=%u", info->first_layer);
  put (txt, "last=%u", info->last_layer);
  put (txt, "width=%u", info->width);
  put (txt, "classes=%u", info->classes);
  put (txt, "formats=%s", formats[0] != '\0' ? formats : "any");
  put (txt, "capacity=%u", info->capacity);
  return g_byte_array_free_to_bytes (txt);
}

static gboolean
malformed (GError **error, const char *key)
{
  g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
               _("its announcement cannot be read: \"%s\" is missing or malformed"), key);
  return FALSE;
}

/* The value of a key, of which the first counts and whose letters' case does not; NULL when it is
 * not there, has no value, or one that is not text. */
static char *
find (const guint8 *txt, gsize size, const char *key)
{
  gsize length = strlen (key), i;

  for (i = 0; i < size; i += 1 + (gsize) txt[i]) {
    const char *string = (const char *) txt + i + 1;
    gsize n = txt[i];

    if (n > length && string[length] == '=' && g_ascii_strncasecmp (string, key, length) == 0) {
      string += length + 1;
      n -= length + 1;
      return g_utf8_validate (string, n, NULL) && memchr (string, 0, n) == NULL
          ? g_strndup (string, n) : NULL;
    }
  }
  return NULL;
}

static gboolean
are_strings_whole (const guint8 *txt, gsize size)
{
  gsize i = 0;

  while (i < size)
    i += 1 + (gsize) txt[i];
  return i == size;
}

static gboolean
parse_hex (const guint8 *txt, gsize size, const char *key, gsize length, char *hex)
{
  g_autofree char *value = find (txt, size, key);

  if (value == NULL || strlen (value) != length || strspn (value, HEX_DIGITS) != length)
    return FALSE;
  memcpy (hex, value, length + 1);
  return TRUE;
}

static gboolean
parse_number (const guint8 *txt, gsize size, const char *key, guint max, guint *number)
{
  g_autofree char *value = find (txt, size, key);
  guint64 parsed;

  *number = 0;
  if (value == NULL)
    return TRUE;
  if (!g_ascii_string_to_unsigned (value, 10, 0, max, &parsed, NULL))
    return FALSE;
  *number = parsed;
  return TRUE;
}

static gboolean
parse_version (const guint8 *txt, gsize size, const char *key, TandemServiceInfo *info)
{
  g_autofree char *value = find (txt, size, key);
  g_auto (GStrv) parts = NULL;
  guint64 major, minor;

  if (value == NULL)
    return FALSE;
  parts = g_strsplit (value, ".", 2);
  if (g_strv_length (parts) != 2 ||
      !g_ascii_string_to_unsigned (parts[0], 10, 0, G_MAXUINT8, &major, NULL) ||
      !g_ascii_string_to_unsigned (parts[1], 10, 0, G_MAXUINT8, &minor, NULL))
    return FALSE;
  info->major = major;
  info->minor = minor;
  return TRUE;
}

static gboolean
parse_kind (const guint8 *txt, gsize size, TandemServiceInfo *info)
{
  g_autofree char *value = find (txt, size, "kind");
  guint i;

  if (value == NULL)
    return FALSE;
  info->kind = TANDEM_FRAME_ANY_KIND;
  for (i = 0; i < G_N_ELEMENTS (kind_names); i++) {
    if (g_str_equal (value, kind_names[i]))
      info->kind = i;
  }
  return info->kind != TANDEM_FRAME_ANY_KIND || g_str_equal (value, "any");
}

static gboolean
parse_model (const guint8 *txt, gsize size, TandemServiceInfo *info)
{
  g_autofree char *value = find (txt, size, "model");

  return g_strcmp0 (value, "any") == 0 || parse_hex (txt, size, "model", 64, info->fingerprint);
}

/* Names of formats that a later version may have are passed over. */
static gboolean
parse_formats (const guint8 *txt, gsize size, TandemServiceInfo *info)
{
  g_autofree char *value = find (txt, size, "formats");
  g_auto (GStrv) names = NULL;
  TandemRowFormat format;
  guint i;

  if (value == NULL || g_str_equal (value, "any"))
    return TRUE;
  names = g_strsplit (value, ",", -1);
  for (i = 0; names[i] != NULL; i++) {
    if (tandem_row_format_from_string (names[i], &format))
      info->formats |= 1u << format;
  }
  return info->formats != 0;
}

static gboolean
parse_name (const guint8 *txt, gsize size, TandemServiceInfo *info)
{
  g_autofree char *value = find (txt, size, "name");
  const char *p;

  if (value == NULL)
    return TRUE;
  if (strlen (value) > TANDEM_SERVICE_MAX_NAME)
    return FALSE;
  for (p = value; *p != '\0'; p = g_utf8_next_char (p)) {
    if (!tandem_net_is_printable (g_utf8_get_char (p)))
      return FALSE;
  }
  memcpy (info->name, value, strlen (value) + 1);
  return TRUE;
}

/**
 * tandem_service_info_from_txt: (skip)
 * @info: (out caller-allocates): what the record says; zeros on failure
 * @txt: (array length=size): a TXT record: strings, each after a byte with its length
 * @size: its bytes
 * @error: return location for %TANDEM_NET_ERROR_PROTOCOL, or %TANDEM_NET_ERROR_TOO_LARGE for a
 *   record longer than %TANDEM_SERVICE_MAX_TXT
 *
 * Reads a record that came from the network. Of another major version only
 * what identifies the device is looked at.
 *
 * Returns: whether the record is well formed
 */
gboolean
tandem_service_info_from_txt (TandemServiceInfo *info, const guint8 *txt, gsize size,
                              GError **error)
{
  g_autofree char *version = NULL;
  const char *bad = NULL;

  memset (info, 0, sizeof *info);
  if (size > TANDEM_SERVICE_MAX_TXT) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_TOO_LARGE,
                 _("its announcement is longer than %u bytes"), TANDEM_SERVICE_MAX_TXT);
    return FALSE;
  }
  if (!are_strings_whole (txt, size))
    return malformed (error, "TXT");
  version = find (txt, size, "txtvers");
  if (g_strcmp0 (version, TXT_VERSION) != 0)
    return malformed (error, "txtvers");
  info->kind = TANDEM_FRAME_ANY_KIND;
  if (!parse_version (txt, size, "proto", info))
    bad = "proto";
  else if (!parse_hex (txt, size, "id", 32, info->device_id))
    bad = "id";
  else if (!parse_hex (txt, size, "inst", 16, info->instance))
    bad = "inst";
  else if (!parse_name (txt, size, info))
    bad = "name";
  else if (info->major == TANDEM_FRAME_MAJOR) {
    if (!parse_kind (txt, size, info))
      bad = "kind";
    else if (!parse_model (txt, size, info))
      bad = "model";
    else if (!parse_number (txt, size, "first", TANDEM_CAPS_MAX_LAYERS, &info->first_layer))
      bad = "first";
    else if (!parse_number (txt, size, "last", TANDEM_CAPS_MAX_LAYERS, &info->last_layer))
      bad = "last";
    else if (!parse_number (txt, size, "width", TANDEM_CAPS_MAX_WIDTH, &info->width))
      bad = "width";
    else if (!parse_number (txt, size, "classes", TANDEM_CAPS_MAX_CLASSES, &info->classes))
      bad = "classes";
    else if (!parse_formats (txt, size, info))
      bad = "formats";
    else if (!parse_number (txt, size, "capacity", G_MAXUINT16, &info->capacity))
      bad = "capacity";
  }
  if (bad == NULL)
    return TRUE;
  memset (info, 0, sizeof *info);
  return malformed (error, bad);
}

/**
 * tandem_service_info_from_node_txt: (skip)
 * @info: (out caller-allocates): device, process, name and version of the protocol of nodes; zeros
 *   otherwise, and on failure
 * @txt: (array length=size): a TXT record of a node
 * @size: its bytes
 * @error: return location for %TANDEM_NET_ERROR_PROTOCOL or %TANDEM_NET_ERROR_TOO_LARGE
 *
 * Returns: whether the record is well formed
 */
gboolean
tandem_service_info_from_node_txt (TandemServiceInfo *info, const guint8 *txt, gsize size,
                                   GError **error)
{
  const char *bad = NULL;

  memset (info, 0, sizeof *info);
  if (size > TANDEM_SERVICE_MAX_TXT) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_TOO_LARGE,
                 _("its announcement is longer than %u bytes"), TANDEM_SERVICE_MAX_TXT);
    return FALSE;
  }
  if (!are_strings_whole (txt, size))
    bad = "TXT";
  else if (!parse_version (txt, size, "node", info))
    bad = "node";
  else if (!parse_hex (txt, size, "id", 32, info->device_id))
    bad = "id";
  else if (!parse_hex (txt, size, "inst", 16, info->instance))
    bad = "inst";
  else if (!parse_name (txt, size, info))
    bad = "name";
  if (bad == NULL)
    return TRUE;
  memset (info, 0, sizeof *info);
  return malformed (error, bad);
}

static GstCaps *
to_caps (const TandemServiceInfo *info)
{
  static const char *const media[] = {
    TANDEM_CAPS_TOKENS, TANDEM_CAPS_ACTIVATIONS, TANDEM_CAPS_LOGITS,
  };
  GstCaps *caps;
  guint i;

  if (info->kind >= G_N_ELEMENTS (media))
    return NULL;
  caps = gst_caps_new_empty_simple (media[info->kind]);
  if (info->fingerprint[0] != '\0')
    gst_caps_set_simple (caps, info->kind == TANDEM_STREAM_TOKENS ? "vocab" : "model",
                         G_TYPE_STRING, info->fingerprint, NULL);
  if (info->first_layer > 0)
    gst_caps_set_simple (caps, "layer", G_TYPE_INT, (int) info->first_layer, NULL);
  if (info->width > 0)
    gst_caps_set_simple (caps, "width", G_TYPE_INT, (int) info->width, NULL);
  if (info->classes > 0)
    gst_caps_set_simple (caps, "classes", G_TYPE_INT, (int) info->classes, NULL);
  if (info->formats != 0 && info->kind == TANDEM_STREAM_ACTIVATIONS) {
    GValue list = G_VALUE_INIT, item = G_VALUE_INIT;

    g_value_init (&list, GST_TYPE_LIST);
    for (i = 0; i < N_FORMATS; i++) {
      if ((info->formats >> i & 1) == 0)
        continue;
      g_value_init (&item, G_TYPE_STRING);
      g_value_set_static_string (&item, tandem_row_format_to_string (i));
      gst_value_list_append_and_take_value (&list, &item);
    }
    gst_caps_set_value (caps, "format", &list);
    g_value_unset (&list);
  }
  return caps;
}

/**
 * tandem_service_info_check: (skip)
 * @info: what a device says about itself
 * @stream: the stream that is to be sent
 * @error: return location for %TANDEM_NET_ERROR_VERSION, %TANDEM_NET_ERROR_MODEL,
 *   %TANDEM_NET_ERROR_LAYER or %TANDEM_NET_ERROR_FORMAT, with the sentence that the device itself
 *   would say
 *
 * Returns: whether the device says that it takes @stream
 */
gboolean
tandem_service_info_check (const TandemServiceInfo *info, const TandemStreamInfo *stream,
                           GError **error)
{
  g_autoptr (GstCaps) caps = NULL;

  if (info->major != TANDEM_FRAME_MAJOR) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_VERSION,
                 _("it speaks version %u.%u of the wire format, this device %u.%u"), info->major,
                 info->minor, TANDEM_FRAME_MAJOR, TANDEM_FRAME_MINOR);
    return FALSE;
  }
  caps = to_caps (info);
  return tandem_acceptance_check (caps, info->last_layer, stream, error);
}
