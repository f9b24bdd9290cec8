/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-acceptance.h"

#include <glib/gi18n-lib.h>
#include <string.h>

static gboolean
get_kind (const GstStructure *s, TandemStreamKind *kind)
{
  if (gst_structure_has_name (s, TANDEM_CAPS_TOKENS))
    *kind = TANDEM_STREAM_TOKENS;
  else if (gst_structure_has_name (s, TANDEM_CAPS_ACTIVATIONS))
    *kind = TANDEM_STREAM_ACTIVATIONS;
  else if (gst_structure_has_name (s, TANDEM_CAPS_LOGITS))
    *kind = TANDEM_STREAM_LOGITS;
  else
    return FALSE;
  return TRUE;
}

static guint
get_int (const GstStructure *s, const char *field)
{
  int value;

  return gst_structure_get_int (s, field, &value) && value > 0 ? (guint) value : 0;
}

static const char *
get_fingerprint (const GstStructure *s)
{
  const char *text = gst_structure_get_string (s, "model");

  return text != NULL ? text : gst_structure_get_string (s, "vocab");
}

static char *
describe (const GstStructure *s, guint last_layer)
{
  const char *fingerprint = get_fingerprint (s);
  guint layer = get_int (s, "layer");
  TandemStreamKind kind = TANDEM_STREAM_TOKENS;

  get_kind (s, &kind);
  if (fingerprint == NULL)
    fingerprint = _("any model");
  switch (kind) {
    case TANDEM_STREAM_TOKENS:
      return g_strdup_printf (_("takes tokens of vocabulary %.8s"), fingerprint);
    case TANDEM_STREAM_LOGITS:
      return g_strdup_printf (_("takes logits of model %.8s"), fingerprint);
    case TANDEM_STREAM_ACTIVATIONS:
      if (layer == 0)
        return g_strdup_printf (_("takes activations of model %.8s"), fingerprint);
      return g_strdup_printf (_("serves layers %u-%u of model %.8s"), layer,
                              MAX (layer, last_layer), fingerprint);
  }
  g_return_val_if_reached (NULL);
}

/**
 * tandem_acceptance_check: (skip)
 * @accepted: (nullable): what is taken; %NULL or any caps: everything
 * @last_layer: the last layer that is run
 * @info: what is offered
 * @error: return location for %TANDEM_NET_ERROR_MODEL, %TANDEM_NET_ERROR_LAYER
 *   or %TANDEM_NET_ERROR_FORMAT with a sentence for the other side
 *
 * Returns: whether @info is taken
 */
gboolean
tandem_acceptance_check (const GstCaps *accepted, guint last_layer, const TandemStreamInfo *info,
                         GError **error)
{
  g_autoptr (GstCaps) offered = NULL;
  g_autofree char *ours = NULL;
  g_autofree char *theirs = NULL;
  const GstStructure *s;
  const char *fingerprint;
  TandemStreamKind kind;
  int code = TANDEM_NET_ERROR_FORMAT;

  if (accepted == NULL || gst_caps_is_any (accepted))
    return TRUE;
  offered = tandem_stream_info_to_caps (info);
  if (gst_caps_can_intersect (accepted, offered))
    return TRUE;
  theirs = tandem_stream_info_describe (info);
  if (gst_caps_is_empty (accepted) || !get_kind (gst_caps_get_structure (accepted, 0), &kind)) {
    g_set_error (error, TANDEM_NET_ERROR, code, _("this device takes none of these; you sent %s"),
                 theirs);
    return FALSE;
  }
  s = gst_caps_get_structure (accepted, 0);
  fingerprint = get_fingerprint (s);
  ours = describe (s, last_layer);
  if (kind != info->kind) {
    code = TANDEM_NET_ERROR_FORMAT;
  } else if (fingerprint != NULL && strcmp (fingerprint, info->fingerprint) != 0) {
    code = TANDEM_NET_ERROR_MODEL;
  } else if (kind == TANDEM_STREAM_ACTIVATIONS && get_int (s, "layer") != 0 &&
             get_int (s, "layer") != info->layer) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_LAYER,
                 _("this device %s; you sent layer %u"), ours, info->layer);
    return FALSE;
  }
  g_set_error (error, TANDEM_NET_ERROR, code, _("this device %s; you sent %s"), ours, theirs);
  return FALSE;
}

static guint16
get_formats (const GstStructure *s)
{
  const GValue *value = gst_structure_get_value (s, "format");
  guint16 formats = 0;
  TandemRowFormat format;
  guint i;

  if (value == NULL)
    return 0;
  if (G_VALUE_HOLDS_STRING (value) &&
      tandem_row_format_from_string (g_value_get_string (value), &format))
    formats = 1u << format;
  for (i = 0; GST_VALUE_HOLDS_LIST (value) && i < gst_value_list_get_size (value); i++) {
    const GValue *item = gst_value_list_get_value (value, i);

    if (G_VALUE_HOLDS_STRING (item) &&
        tandem_row_format_from_string (g_value_get_string (item), &format))
      formats |= 1u << format;
  }
  return formats;
}

/**
 * tandem_acceptance_fill_hello: (skip)
 * @accepted: (nullable): what is taken
 * @last_layer: the last layer that is run
 * @hello: a HELLO, whose fields about the stream are set
 */
void
tandem_acceptance_fill_hello (const GstCaps *accepted, guint last_layer, TandemHello *hello)
{
  const GstStructure *s;
  TandemStreamKind kind;
  const char *fingerprint;

  hello->kind = TANDEM_FRAME_ANY_KIND;
  if (accepted == NULL || gst_caps_is_any (accepted) || gst_caps_is_empty (accepted))
    return;
  s = gst_caps_get_structure (accepted, 0);
  if (!get_kind (s, &kind))
    return;
  hello->kind = kind;
  hello->formats = get_formats (s);
  hello->first_layer = get_int (s, "layer");
  hello->last_layer = last_layer;
  hello->width = get_int (s, "width");
  hello->classes = get_int (s, "classes");
  fingerprint = get_fingerprint (s);
  if (fingerprint != NULL && strlen (fingerprint) == 64)
    memcpy (hello->fingerprint, fingerprint, sizeof hello->fingerprint);
}

/**
 * tandem_acceptance_info_from_hello: (skip)
 * @hello: the HELLO of a sender
 * @info: (out caller-allocates): the stream that it names
 *
 * Returns: whether it names one
 */
gboolean
tandem_acceptance_info_from_hello (const TandemHello *hello, TandemStreamInfo *info)
{
  guint format = 0;

  memset (info, 0, sizeof *info);
  if (hello->kind > TANDEM_STREAM_LOGITS)
    return FALSE;
  while (format < TANDEM_ROW_FORMAT_Q8 && (hello->formats >> format & 1) == 0)
    format++;
  if (hello->formats == 0)
    format = TANDEM_ROW_FORMAT_F32LE;
  info->kind = hello->kind;
  info->format = format;
  info->layer = MIN (hello->first_layer, G_MAXINT);
  info->width = MIN (hello->width, G_MAXINT);
  info->classes = MIN (hello->classes, G_MAXINT);
  memcpy (info->fingerprint, hello->fingerprint, sizeof info->fingerprint);
  return TRUE;
}
