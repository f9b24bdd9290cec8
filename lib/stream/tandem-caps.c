/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-caps.h"

#include <string.h>

#define QUERY_NAME "tandem-accepted"

static const char *const row_format_names[] = { "F32LE", "BF16LE", "F16LE", "Q8" };

/**
 * tandem_row_format_to_string:
 * @format: a row format
 *
 * Returns: (transfer none): its name in caps, as "F32LE"
 */
const char *
tandem_row_format_to_string (TandemRowFormat format)
{
  g_return_val_if_fail ((guint) format < G_N_ELEMENTS (row_format_names), NULL);
  return row_format_names[format];
}

/**
 * tandem_row_format_from_string:
 * @name: a name as caps hold it
 * @format: (out): the format of that name
 *
 * Returns: whether there is a format of that name
 */
gboolean
tandem_row_format_from_string (const char *name, TandemRowFormat *format)
{
  guint i;

  for (i = 0; i < G_N_ELEMENTS (row_format_names); i++) {
    if (g_strcmp0 (name, row_format_names[i]) == 0) {
      *format = i;
      return TRUE;
    }
  }
  return FALSE;
}

/**
 * tandem_stream_info_clear: (skip)
 * @info: a stream info
 *
 * Releases what @info holds and sets it to zeros.
 */
void
tandem_stream_info_clear (TandemStreamInfo *info)
{
  g_clear_pointer (&info->labels, g_strfreev);
  memset (info, 0, sizeof *info);
}

static gboolean
stream_info_fail (TandemStreamInfo *info, GError **error, const char *media, const char *field)
{
  tandem_stream_info_clear (info);
  g_set_error (error, GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT,
               "%s: the field \"%s\" is missing or out of range", media, field);
  return FALSE;
}

static gboolean
get_fingerprint (const GstStructure *s, const char *field, char *fingerprint)
{
  const char *value = gst_structure_get_string (s, field);

  if (value == NULL || strlen (value) != 64 || strspn (value, "0123456789abcdef") != 64)
    return FALSE;
  memcpy (fingerprint, value, 65);
  return TRUE;
}

static gboolean
get_bounded (const GstStructure *s, const char *field, int low, int high, guint *value)
{
  int i;

  if (!gst_structure_get_int (s, field, &i) || i < low || i > high)
    return FALSE;
  *value = i;
  return TRUE;
}

static gboolean
get_labels (const GstStructure *s, guint classes, char ***labels)
{
  const GValue *array = gst_structure_get_value (s, "labels");
  guint i;

  if (array == NULL)
    return TRUE;
  if (!GST_VALUE_HOLDS_ARRAY (array) || gst_value_array_get_size (array) != classes)
    return FALSE;
  *labels = g_new0 (char *, (gsize) classes + 1);
  for (i = 0; i < classes; i++) {
    const GValue *item = gst_value_array_get_value (array, i);

    if (!G_VALUE_HOLDS_STRING (item) || g_value_get_string (item) == NULL)
      return FALSE;
    (*labels)[i] = g_value_dup_string (item);
  }
  return TRUE;
}

/**
 * tandem_stream_info_from_caps: (skip)
 * @info: (out caller-allocates): what the caps say; zeros on failure
 * @caps: fixed caps
 * @error: return location for a #GstStreamError
 *
 * Reads the caps of a stream of tokens, activations or logits and checks every
 * field against its bounds.
 *
 * Returns: whether @caps are complete and valid
 */
gboolean
tandem_stream_info_from_caps (TandemStreamInfo *info, const GstCaps *caps, GError **error)
{
  const GstStructure *s;
  const char *media;

  memset (info, 0, sizeof *info);
  if (gst_caps_get_size (caps) != 1) {
    g_set_error (error, GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT, "the caps are not fixed");
    return FALSE;
  }
  s = gst_caps_get_structure (caps, 0);
  media = gst_structure_get_name (s);

  if (g_str_equal (media, TANDEM_CAPS_TOKENS)) {
    info->kind = TANDEM_STREAM_TOKENS;
    if (!get_fingerprint (s, "vocab", info->fingerprint))
      return stream_info_fail (info, error, media, "vocab");
    return TRUE;
  }

  if (g_str_equal (media, TANDEM_CAPS_ACTIVATIONS)) {
    info->kind = TANDEM_STREAM_ACTIVATIONS;
    if (!get_fingerprint (s, "model", info->fingerprint))
      return stream_info_fail (info, error, media, "model");
    if (!get_bounded (s, "layer", 1, TANDEM_CAPS_MAX_LAYERS, &info->layer))
      return stream_info_fail (info, error, media, "layer");
    if (!get_bounded (s, "width", 1, TANDEM_CAPS_MAX_WIDTH, &info->width))
      return stream_info_fail (info, error, media, "width");
    if (!tandem_row_format_from_string (gst_structure_get_string (s, "format"), &info->format))
      return stream_info_fail (info, error, media, "format");
    return TRUE;
  }

  if (g_str_equal (media, TANDEM_CAPS_LOGITS)) {
    info->kind = TANDEM_STREAM_LOGITS;
    if (!get_fingerprint (s, "model", info->fingerprint))
      return stream_info_fail (info, error, media, "model");
    if (!get_bounded (s, "classes", 1, TANDEM_CAPS_MAX_CLASSES, &info->classes))
      return stream_info_fail (info, error, media, "classes");
    if (!get_labels (s, info->classes, &info->labels))
      return stream_info_fail (info, error, media, "labels");
    return TRUE;
  }

  g_set_error (error, GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT,
               "%s is none of the streams between stages (tokens, activations, logits)", media);
  return FALSE;
}

/**
 * tandem_stream_info_to_caps: (skip)
 * @info: a valid stream info
 *
 * Returns: (transfer full): fixed caps that say the same
 */
GstCaps *
tandem_stream_info_to_caps (const TandemStreamInfo *info)
{
  GstCaps *caps = NULL;

  switch (info->kind) {
    case TANDEM_STREAM_TOKENS:
      caps = gst_caps_new_simple (TANDEM_CAPS_TOKENS, "vocab", G_TYPE_STRING, info->fingerprint,
                                  NULL);
      break;
    case TANDEM_STREAM_ACTIVATIONS:
      caps = gst_caps_new_simple (TANDEM_CAPS_ACTIVATIONS, "model", G_TYPE_STRING,
                                  info->fingerprint, "layer", G_TYPE_INT, (int) info->layer,
                                  "width", G_TYPE_INT, (int) info->width, "format",
                                  G_TYPE_STRING, tandem_row_format_to_string (info->format),
                                  NULL);
      break;
    case TANDEM_STREAM_LOGITS:
      caps = gst_caps_new_simple (TANDEM_CAPS_LOGITS, "model", G_TYPE_STRING, info->fingerprint,
                                  "classes", G_TYPE_INT, (int) info->classes, NULL);
      if (info->labels != NULL) {
        GValue array = G_VALUE_INIT;
        guint i;

        gst_value_array_init (&array, info->classes);
        for (i = 0; i < info->classes; i++) {
          GValue item = G_VALUE_INIT;

          g_value_init (&item, G_TYPE_STRING);
          g_value_set_string (&item, info->labels[i]);
          gst_value_array_append_and_take_value (&array, &item);
        }
        gst_caps_set_value (caps, "labels", &array);
        g_value_unset (&array);
      }
      break;
  }
  return caps;
}

/**
 * tandem_stream_info_is_equal: (skip)
 * @a: a stream info
 * @b: another one
 *
 * Returns: whether both describe the same stream; names of labels do not count
 */
gboolean
tandem_stream_info_is_equal (const TandemStreamInfo *a, const TandemStreamInfo *b)
{
  return a->kind == b->kind && strcmp (a->fingerprint, b->fingerprint) == 0 &&
      a->layer == b->layer && a->width == b->width && a->format == b->format &&
      a->classes == b->classes;
}

/**
 * tandem_stream_info_get_row_size: (skip)
 * @info: a valid stream info
 *
 * Returns: the bytes of one row: a token id, a row of activations or the scores
 *   of one sequence
 */
gsize
tandem_stream_info_get_row_size (const TandemStreamInfo *info)
{
  switch (info->kind) {
    case TANDEM_STREAM_TOKENS:
      return sizeof (gint32);
    case TANDEM_STREAM_LOGITS:
      return (gsize) info->classes * sizeof (float);
    case TANDEM_STREAM_ACTIVATIONS:
      switch (info->format) {
        case TANDEM_ROW_FORMAT_F32LE:
          return (gsize) info->width * 4;
        case TANDEM_ROW_FORMAT_BF16LE:
        case TANDEM_ROW_FORMAT_F16LE:
          return (gsize) info->width * 2;
        case TANDEM_ROW_FORMAT_Q8:
          return (gsize) info->width + sizeof (float);
      }
  }
  g_return_val_if_reached (0);
}

/**
 * tandem_stream_info_describe: (skip)
 * @info: a valid stream info
 *
 * Returns: (transfer full): a phrase for error messages, as "layer 2 of model
 *   3f2a1b0c (width 128, F32LE)"
 */
char *
tandem_stream_info_describe (const TandemStreamInfo *info)
{
  switch (info->kind) {
    case TANDEM_STREAM_TOKENS:
      return g_strdup_printf ("tokens of vocabulary %.8s", info->fingerprint);
    case TANDEM_STREAM_ACTIVATIONS:
      return g_strdup_printf ("the input of layer %u of model %.8s (width %u, %s)", info->layer,
                              info->fingerprint, info->width,
                              tandem_row_format_to_string (info->format));
    case TANDEM_STREAM_LOGITS:
      return g_strdup_printf ("logits of model %.8s (%u classes)", info->fingerprint,
                              info->classes);
  }
  g_return_val_if_reached (NULL);
}

/**
 * tandem_query_new_accepted: (skip)
 *
 * Makes a query that goes downstream and asks the next stage or sink which
 * stream it takes. `tcpactsrc` asks before it says HELLO.
 *
 * Returns: (transfer full): the query
 */
GstQuery *
tandem_query_new_accepted (void)
{
  return gst_query_new_custom (GST_QUERY_CUSTOM, gst_structure_new_empty (QUERY_NAME));
}

/**
 * tandem_query_is_accepted: (skip)
 * @query: any query
 *
 * Returns: whether @query was made by tandem_query_new_accepted()
 */
gboolean
tandem_query_is_accepted (GstQuery *query)
{
  return GST_QUERY_TYPE (query) == GST_QUERY_CUSTOM &&
      gst_structure_has_name (gst_query_get_structure (query), QUERY_NAME);
}

/**
 * tandem_query_set_accepted: (skip)
 * @query: a query of this kind
 * @caps: what is taken; a field that does not matter is left out
 * @last_layer: the last layer that the stage runs; 0 for an element without layers
 *
 * Answers the query.
 */
void
tandem_query_set_accepted (GstQuery *query, const GstCaps *caps, guint last_layer)
{
  gst_structure_set (gst_query_writable_structure (query), "caps", GST_TYPE_CAPS, caps,
                     "last-layer", G_TYPE_UINT, last_layer, NULL);
}

/**
 * tandem_query_parse_accepted: (skip)
 * @query: a query of this kind
 * @caps: (out) (transfer full): what is taken
 * @last_layer: (out): the last layer that the stage runs
 *
 * Returns: whether the query was answered
 */
gboolean
tandem_query_parse_accepted (GstQuery *query, GstCaps **caps, guint *last_layer)
{
  return gst_structure_get (gst_query_get_structure (query), "caps", GST_TYPE_CAPS, caps,
                            "last-layer", G_TYPE_UINT, last_layer, NULL);
}
