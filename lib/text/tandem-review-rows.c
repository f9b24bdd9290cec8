/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One file of labelled texts, row by row: CSV, TSV or JSON lines, gzipped or not. */

#include "config.h"

#include "tandem-review-rows-private.h"

#include <string.h>

#include "base/tandem-json-private.h"

#define BUFFER_BYTES 65536

/* More columns than any data set of reviews has. */
#define MAX_COLUMNS 64

#define NO_COLUMN (-1)

struct _TandemReviewRows
{
  char *path;
  gsize max_row;
  TandemReviewFormat format;
  GInputStream *stream;
  gboolean seekable;

  guint8 buffer[BUFFER_BYTES];
  gsize buffer_length;
  gsize buffer_at;
  TandemReviewPosition position;

  /* the row read last, and where it began */
  GByteArray *row;
  TandemReviewPosition row_position;
  /* pointers into row, which field splitting changes */
  char *fields[MAX_COLUMNS];
  guint n_fields;

  int text_column;
  int label_column;
  /* of TSV; further tabs belong to the last field */
  guint n_columns;
  /* after the header, if there is one */
  TandemReviewPosition first;
};

static gboolean G_GNUC_PRINTF (3, 4)
fail (TandemReviewRows *self, GError **error, const char *format, ...)
{
  va_list args;
  g_autofree char *what = NULL;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s, line %" G_GUINT64_FORMAT ": %s",
               self->path, self->row_position.line, what);
  return FALSE;
}

/* What a label may be called in data sets of reviews. */
static gboolean
parse_label (const char *text, int *label)
{
  static const struct
  {
    const char *name;
    int label;
  } names[] = {
    { "0", 0 },      { "neg", 0 },     { "negative", 0 }, { "1", 1 }, { "pos", 1 },
    { "positive", 1 }, { "unsup", -1 }, { "unknown", -1 }, { "-1", -1 }, { "", -1 },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (names); i++) {
    if (g_ascii_strcasecmp (text, names[i].name) == 0) {
      *label = names[i].label;
      return TRUE;
    }
  }
  return FALSE;
}

/* Returns the next byte, -1 at the end, -2 on error. */
static inline int
next_byte (TandemReviewRows *self, GCancellable *cancellable, GError **error)
{
  if (self->buffer_at == self->buffer_length) {
    gssize n = g_input_stream_read (self->stream, self->buffer, BUFFER_BYTES, cancellable, error);

    self->buffer_at = 0;
    self->buffer_length = MAX (n, 0);
    if (n < 0)
      g_prefix_error (error, "%s: ", self->path);
    if (n <= 0)
      return n < 0 ? -2 : -1;
  }
  self->position.offset++;
  return self->buffer[self->buffer_at++];
}

/* Reads one row into self->row, without its line end; skips empty ones. In CSV a quoted
 * field may hold line ends. Returns FALSE at the end, or with an error. */
static gboolean
read_row (TandemReviewRows *self, GCancellable *cancellable, GError **error)
{
  gboolean csv = self->format == TANDEM_REVIEW_FORMAT_CSV;
  gboolean quoted = FALSE, field_start = TRUE;
  int c;

  g_byte_array_set_size (self->row, 0);
  self->row_position = self->position;
  while ((c = next_byte (self, cancellable, error)) >= 0) {
    guint8 byte = c;

    if (byte == '\n')
      self->position.line++;
    if (byte == '\n' && !quoted) {
      while (self->row->len > 0 && self->row->data[self->row->len - 1] == '\r')
        g_byte_array_set_size (self->row, self->row->len - 1);
      if (self->row->len > 0)
        break;
      self->row_position = self->position;
      field_start = TRUE;
      continue;
    }
    if (csv && byte == '"' && (quoted || field_start))
      quoted = !quoted;
    /* A doubled quote closes the field and opens it again. */
    field_start = csv && !quoted && (byte == ',' || byte == '"');
    if (self->row->len >= self->max_row)
      return fail (self, error, "the row is longer than %" G_GSIZE_FORMAT " bytes%s",
                   self->max_row, quoted ? "; is a closing quote missing?" : "");
    g_byte_array_append (self->row, &byte, 1);
  }
  if (c == -2)
    return FALSE;
  if (c == -1 && quoted)
    return fail (self, error, "the file ends within a quoted field");
  if (self->row->len == 0)
    return FALSE;
  if (memchr (self->row->data, '\0', self->row->len) != NULL)
    return fail (self, error, "the row holds a zero byte");
  g_byte_array_append (self->row, (const guint8 *) "", 1);
  return TRUE;
}

static void
split_tsv (TandemReviewRows *self)
{
  char *p = (char *) self->row->data;

  self->n_fields = 0;
  while (self->n_fields < self->n_columns) {
    self->fields[self->n_fields++] = p;
    p = self->n_fields < self->n_columns ? strchr (p, '\t') : NULL;
    if (p == NULL)
      break;
    *p++ = '\0';
  }
}

/* RFC 4180; unquotes in place. */
static gboolean
split_csv (TandemReviewRows *self, GError **error)
{
  char *p = (char *) self->row->data;

  self->n_fields = 0;
  while (self->n_fields < MAX_COLUMNS) {
    char *out = p;

    self->fields[self->n_fields++] = p;
    if (*p == '"') {
      p++;
      while (*p != '\0' && (*p != '"' || p[1] == '"')) {
        if (*p == '"')
          p++;
        *out++ = *p++;
      }
      if (*p != '"' || (p[1] != ',' && p[1] != '\0'))
        return fail (self, error, "a quote in field %u is neither doubled nor the last",
                     self->n_fields);
      p++;
    } else {
      out = p += strcspn (p, ",");
    }
    if (*p == '\0') {
      *out = '\0';
      return TRUE;
    }
    *out = '\0';
    p++;
  }
  return fail (self, error, "more than %d fields", MAX_COLUMNS);
}

static gboolean
split_row (TandemReviewRows *self, GError **error)
{
  if (self->format == TANDEM_REVIEW_FORMAT_CSV)
    return split_csv (self, error);
  split_tsv (self);
  return TRUE;
}

/* Reads the columns from a header. Returns FALSE where the row is none. */
static gboolean
parse_header (TandemReviewRows *self)
{
  guint i;

  self->text_column = self->label_column = NO_COLUMN;
  for (i = 0; i < self->n_fields; i++) {
    const char *name = self->fields[i];

    if (g_ascii_strcasecmp (name, "review") == 0 || g_ascii_strcasecmp (name, "text") == 0)
      self->text_column = i;
    else if (g_ascii_strcasecmp (name, "sentiment") == 0 ||
             g_ascii_strcasecmp (name, "label") == 0)
      self->label_column = i;
  }
  return self->text_column != NO_COLUMN;
}

/* Finds out which columns hold text and label, from the first row. */
static gboolean
find_columns (TandemReviewRows *self, GCancellable *cancellable, GError **error)
{
  TandemReviewPosition start = self->position;
  int label;

  if (!read_row (self, cancellable, error)) {
    if (error != NULL && *error == NULL)
      fail (self, error, "the file has no rows");
    return FALSE;
  }
  self->n_columns = MAX_COLUMNS;
  if (!split_row (self, error))
    return FALSE;
  if (parse_header (self)) {
    self->n_columns = self->n_fields;
    self->first = self->position;
    return TRUE;
  }

  self->first = start;
  self->n_columns = self->n_fields;
  if (self->n_fields == 5 && self->format == TANDEM_REVIEW_FORMAT_TSV) {
    self->label_column = 0;
    self->text_column = 4;
  } else if (self->n_fields == 2 && parse_label (self->fields[0], &label)) {
    self->label_column = 0;
    self->text_column = 1;
  } else if (self->n_fields == 2 && parse_label (self->fields[1], &label)) {
    self->label_column = 1;
    self->text_column = 0;
  } else {
    return fail (self, error, "neither a header with a column \"review\" or \"text\", nor two "
                 "columns of which one is a label, nor label, id, rating, split and text");
  }
  return TRUE;
}

static gboolean
open_stream (TandemReviewRows *self, GCancellable *cancellable, GError **error)
{
  g_autoptr (GFile) file = g_file_new_for_path (self->path);
  GFileInputStream *stream = g_file_read (file, cancellable, error);
  static const guint8 bom[] = { 0xEF, 0xBB, 0xBF };
  gssize n;

  if (stream == NULL)
    return FALSE;
  if (g_str_has_suffix (self->path, ".gz")) {
    g_autoptr (GZlibDecompressor) unzip = g_zlib_decompressor_new (G_ZLIB_COMPRESSOR_FORMAT_GZIP);

    self->stream = g_converter_input_stream_new (G_INPUT_STREAM (stream), G_CONVERTER (unzip));
    g_object_unref (stream);
    self->seekable = FALSE;
  } else {
    self->stream = G_INPUT_STREAM (stream);
    self->seekable = g_seekable_can_seek (G_SEEKABLE (stream));
  }

  self->position.offset = 0;
  self->position.line = 1;
  self->row_position = self->position;
  n = g_input_stream_read (self->stream, self->buffer, BUFFER_BYTES, cancellable, error);
  if (n < 0) {
    g_prefix_error (error, "%s: ", self->path);
    return FALSE;
  }
  self->buffer_length = n;
  self->buffer_at = 0;
  if (n >= 3 && memcmp (self->buffer, bom, sizeof bom) == 0)
    self->position.offset = self->buffer_at = sizeof bom;
  return TRUE;
}

/* By the file's name, else by its first bytes. */
static TandemReviewFormat
guess_format (TandemReviewRows *self)
{
  g_autofree char *name = g_ascii_strdown (self->path, -1);
  const guint8 *start = self->buffer + self->buffer_at;
  const guint8 *end = self->buffer + self->buffer_length;
  const guint8 *line_end;

  if (g_str_has_suffix (name, ".gz"))
    name[strlen (name) - 3] = '\0';
  if (g_str_has_suffix (name, ".csv"))
    return TANDEM_REVIEW_FORMAT_CSV;
  if (g_str_has_suffix (name, ".tsv"))
    return TANDEM_REVIEW_FORMAT_TSV;
  if (g_str_has_suffix (name, ".jsonl") || g_str_has_suffix (name, ".ndjson") ||
      g_str_has_suffix (name, ".json"))
    return TANDEM_REVIEW_FORMAT_JSON;
  if (start < end && *start == '{')
    return TANDEM_REVIEW_FORMAT_JSON;
  line_end = memchr (start, '\n', end - start);
  if (memchr (start, '\t', (line_end != NULL ? line_end : end) - start) != NULL)
    return TANDEM_REVIEW_FORMAT_TSV;
  return TANDEM_REVIEW_FORMAT_CSV;
}

/* Opens @path and reads as far as its first row. Rows longer than @max_row bytes are errors. */
TandemReviewRows *
tandem_review_rows_open (const char *path, gsize max_row, GCancellable *cancellable,
                         GError **error)
{
  g_autoptr (TandemReviewRows) self = NULL;
  static const char *const packed[] = { ".xz", ".bz2", ".zst", ".zip" };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (packed); i++) {
    if (g_str_has_suffix (path, packed[i])) {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                   "%s: unpack the file first; only .gz is read as it is", path);
      return NULL;
    }
  }

  self = g_new0 (TandemReviewRows, 1);
  self->path = g_strdup (path);
  self->max_row = max_row;
  self->row = g_byte_array_new ();
  if (!open_stream (self, cancellable, error))
    return NULL;
  self->format = guess_format (self);
  if (self->format == TANDEM_REVIEW_FORMAT_JSON) {
    self->first = self->position;
  } else {
    g_autoptr (GError) local = NULL;

    if (!find_columns (self, cancellable, &local)) {
      g_propagate_error (error, g_steal_pointer (&local));
      return NULL;
    }
    if (!tandem_review_rows_seek (self, NULL, cancellable, error))
      return NULL;
  }
  return g_steal_pointer (&self);
}

void
tandem_review_rows_free (TandemReviewRows *self)
{
  g_clear_object (&self->stream);
  g_byte_array_unref (self->row);
  g_free (self->path);
  g_free (self);
}

/* Whether tandem_review_rows_seek() can go to any row. */
gboolean
tandem_review_rows_is_seekable (TandemReviewRows *self)
{
  return self->seekable;
}

/* Goes to a row that tandem_review_rows_skip() named, or with NULL to the first one. */
gboolean
tandem_review_rows_seek (TandemReviewRows *self, const TandemReviewPosition *position,
                         GCancellable *cancellable, GError **error)
{
  TandemReviewPosition target = position != NULL ? *position : self->first;
  goffset buffer_start = self->position.offset - (goffset) self->buffer_at;

  if (target.offset >= buffer_start &&
      target.offset <= buffer_start + (goffset) self->buffer_length) {
    self->buffer_at = target.offset - buffer_start;
  } else if (self->seekable) {
    if (!g_seekable_seek (G_SEEKABLE (self->stream), target.offset, G_SEEK_SET, cancellable,
                          error)) {
      g_prefix_error (error, "%s: ", self->path);
      return FALSE;
    }
    self->buffer_at = self->buffer_length = 0;
  } else {
    /* A packed file is read again from its start. */
    g_clear_object (&self->stream);
    if (!open_stream (self, cancellable, error))
      return FALSE;
    while (self->position.offset < target.offset) {
      int c = next_byte (self, cancellable, error);

      if (c == -1)
        return fail (self, error, "the file has become shorter");
      if (c < 0)
        return FALSE;
    }
  }
  self->position = target;
  return TRUE;
}

/* Passes over a row and says where it began. Returns FALSE at the end, or with an error. */
gboolean
tandem_review_rows_skip (TandemReviewRows *self, TandemReviewPosition *position,
                         GCancellable *cancellable, GError **error)
{
  if (!read_row (self, cancellable, error))
    return FALSE;
  *position = self->row_position;
  return TRUE;
}

static JsonNode *
get_either (JsonObject *object, const char *name, const char *other)
{
  JsonNode *node = json_object_get_member (object, name);

  return node != NULL ? node : json_object_get_member (object, other);
}

static gboolean
parse_json (TandemReviewRows *self, GBytes **text, int *label, GError **error)
{
  g_autofree char *valid = g_utf8_make_valid ((const char *) self->row->data,
                                              self->row->len - 1);
  g_autoptr (GError) local = NULL;
  g_autoptr (JsonNode) root = NULL;
  JsonNode *node;
  JsonObject *object;
  const char *string;

  root = tandem_json_parse_object (valid, &local);
  if (root == NULL)
    return fail (self, error, "%s", local->message);
  object = json_node_get_object (root);

  node = get_either (object, "text", "review");
  if (node == NULL || json_node_get_value_type (node) != G_TYPE_STRING)
    return fail (self, error, "no string \"text\" or \"review\"");
  string = json_node_get_string (node);

  *label = -1;
  node = get_either (object, "label", "sentiment");
  if (node != NULL && json_node_get_value_type (node) == G_TYPE_STRING) {
    if (!parse_label (json_node_get_string (node), label))
      return fail (self, error, "the label \"%s\" is none that is known",
                   json_node_get_string (node));
  } else if (node != NULL && json_node_get_value_type (node) == G_TYPE_INT64) {
    if (json_node_get_int (node) < -1 || json_node_get_int (node) > 1)
      return fail (self, error, "the label %" G_GINT64_FORMAT " is neither 0 nor 1",
                   json_node_get_int (node));
    *label = json_node_get_int (node);
  } else if (node != NULL && !JSON_NODE_HOLDS_NULL (node)) {
    return fail (self, error, "the label is neither a number nor a string");
  }
  *text = g_bytes_new (string, strlen (string));
  return TRUE;
}

/* Reads the next row. Returns FALSE at the end, or with an error that names the line. */
gboolean
tandem_review_rows_next (TandemReviewRows *self, GBytes **text, int *label,
                         GCancellable *cancellable, GError **error)
{
  const char *field;

  if (!read_row (self, cancellable, error))
    return FALSE;
  if (self->format == TANDEM_REVIEW_FORMAT_JSON)
    return parse_json (self, text, label, error);

  if (!split_row (self, error))
    return FALSE;
  if ((int) self->n_fields <= MAX (self->text_column, self->label_column))
    return fail (self, error, "%u fields where %d are needed", self->n_fields,
                 MAX (self->text_column, self->label_column) + 1);
  *label = -1;
  if (self->label_column != NO_COLUMN &&
      !parse_label (self->fields[self->label_column], label))
    return fail (self, error, "the label \"%.40s\" is none that is known",
                 self->fields[self->label_column]);
  field = self->fields[self->text_column];
  *text = g_bytes_new (field, strlen (field));
  return TRUE;
}

/* Where the row read last began, counted from 1. */
guint64
tandem_review_rows_get_line (TandemReviewRows *self)
{
  return self->row_position.line;
}

/* What the row read last is called in aclImdb, where label, id and rating say so; else NULL. */
char *
tandem_review_rows_dup_name (TandemReviewRows *self, const char *split)
{
  if (self->format != TANDEM_REVIEW_FORMAT_TSV || self->n_fields != 5 ||
      self->label_column != 0 || self->text_column != 4)
    return NULL;
  return g_strdup_printf ("%s/%s/%s_%s.txt", split, self->fields[0], self->fields[1],
                          self->fields[2]);
}
