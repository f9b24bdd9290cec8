/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The header of a safetensors file: a JSON object of fixed form that names tensors. */

#include "config.h"

#include "tandem-safetensors-header.h"

#include <string.h>

#include "tandem-json-scanner.h"
#include "tandem-safetensors.h"

/* Far beyond any use, and small enough that keys made to collide in a hash table
 * cost no noticeable time. Tensors, which can be many, are found by bisection. */
#define MAX_METADATA 4096

/* Element types of the format, with their bits; those that TandemDtype lacks can
 * be listed and checked, not loaded. */
static const struct
{
  const char *name;
  guint bits;
} formats[] = {
  { "BOOL", 8 },      { "U8", 8 },        { "I8", 8 },       { "I16", 16 },
  { "U16", 16 },      { "F16", 16 },      { "BF16", 16 },    { "I32", 32 },
  { "U32", 32 },      { "F32", 32 },      { "I64", 64 },     { "U64", 64 },
  { "F64", 64 },      { "C64", 64 },      { "F4", 4 },       { "F6_E2M3", 6 },
  { "F6_E3M2", 6 },   { "F8_E5M2", 8 },   { "F8_E4M3", 8 },  { "F8_E8M0", 8 },
  { "F8_E5M2FNUZ", 8 }, { "F8_E4M3FNUZ", 8 },
};

/* Names of strangers appear in messages: escaped, and not longer than a line. */
static char *
quote (const char *text)
{
  g_autofree char *cut = g_utf8_substring (text, 0, MIN (g_utf8_strlen (text, -1), 80));

  return g_strescape (cut, NULL);
}

static gboolean G_GNUC_PRINTF (4, 5)
fail_tensor (TandemScanner *scanner, TandemSafetensorsError code, const char *name,
             const char *format, ...)
{
  g_autofree char *what = NULL;
  g_autofree char *quoted = quote (name);
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (scanner->error, TANDEM_SAFETENSORS_ERROR, code, "%s: tensor \"%s\": %s",
               scanner->file, quoted, what);
  return FALSE;
}

static gboolean
scan_metadata (TandemScanner *scanner, GHashTable *metadata)
{
  if (!tandem_scanner_expect (scanner, '{'))
    return FALSE;
  if (tandem_scanner_accept (scanner, '}'))
    return TRUE;
  do {
    g_autofree char *key = tandem_scanner_string (scanner);
    g_autofree char *value = NULL;

    if (key == NULL || !tandem_scanner_expect (scanner, ':'))
      return FALSE;
    value = tandem_scanner_string (scanner);
    if (value == NULL)
      return FALSE;
    if (g_hash_table_contains (metadata, key)) {
      g_autofree char *quoted = quote (key);

      return tandem_scanner_fail (scanner, "the metadata has \"%s\" twice", quoted);
    }
    if (g_hash_table_size (metadata) == MAX_METADATA)
      return tandem_scanner_fail (scanner, "more than %d entries of metadata", MAX_METADATA);
    g_hash_table_insert (metadata, g_steal_pointer (&key), g_steal_pointer (&value));
  } while (tandem_scanner_accept (scanner, ','));
  return tandem_scanner_expect (scanner, '}');
}

static gboolean
scan_shape (TandemScanner *scanner, TandemSafetensorsEntry *entry)
{
  if (!tandem_scanner_expect (scanner, '['))
    return FALSE;
  if (tandem_scanner_accept (scanner, ']'))
    return TRUE;
  do {
    if (entry->n_dims == TANDEM_TENSOR_MAX_DIMS)
      return fail_tensor (scanner, TANDEM_SAFETENSORS_ERROR_LIMIT, entry->name,
                          "more than %d dimensions", TANDEM_TENSOR_MAX_DIMS);
    if (!tandem_scanner_number (scanner, &entry->shape[entry->n_dims]))
      return FALSE;
    entry->n_dims++;
  } while (tandem_scanner_accept (scanner, ','));
  return tandem_scanner_expect (scanner, ']');
}

static gboolean
scan_entry (TandemScanner *scanner, TandemSafetensorsEntry *entry)
{
  gboolean has_shape = FALSE, has_offsets = FALSE;

  if (!tandem_scanner_expect (scanner, '{'))
    return FALSE;
  if (!tandem_scanner_accept (scanner, '}')) {
    do {
      g_autofree char *key = tandem_scanner_string (scanner);

      if (key == NULL || !tandem_scanner_expect (scanner, ':'))
        return FALSE;
      if ((g_str_equal (key, "dtype") && entry->dtype_name != NULL) ||
          (g_str_equal (key, "shape") && has_shape) ||
          (g_str_equal (key, "data_offsets") && has_offsets))
        return fail_tensor (scanner, TANDEM_SAFETENSORS_ERROR_TENSOR, entry->name,
                            "%s stands there twice", key);
      if (g_str_equal (key, "dtype")) {
        entry->dtype_name = tandem_scanner_string (scanner);
        if (entry->dtype_name == NULL)
          return FALSE;
      } else if (g_str_equal (key, "shape")) {
        if (!scan_shape (scanner, entry))
          return FALSE;
        has_shape = TRUE;
      } else if (g_str_equal (key, "data_offsets")) {
        if (!tandem_scanner_expect (scanner, '[') ||
            !tandem_scanner_number (scanner, &entry->begin) ||
            !tandem_scanner_expect (scanner, ',') ||
            !tandem_scanner_number (scanner, &entry->end) ||
            !tandem_scanner_expect (scanner, ']'))
          return FALSE;
        has_offsets = TRUE;
      } else if (!tandem_scanner_skip_value (scanner)) {
        return FALSE;
      }
    } while (tandem_scanner_accept (scanner, ','));
    if (!tandem_scanner_expect (scanner, '}'))
      return FALSE;
  }
  if (entry->dtype_name == NULL || !has_shape || !has_offsets)
    return fail_tensor (scanner, TANDEM_SAFETENSORS_ERROR_TENSOR, entry->name, "%s is missing",
                        entry->dtype_name == NULL ? "dtype" : has_shape ? "data_offsets" : "shape");
  return TRUE;
}

/* Whether the bytes between the offsets are those that shape and type need. */
static gboolean
check_size (TandemScanner *scanner, TandemSafetensorsEntry *entry)
{
  guint64 n_bits = 1;
  guint i, dim;

  entry->supported = tandem_dtype_from_string (entry->dtype_name, &entry->dtype);
  if (entry->end < entry->begin)
    return fail_tensor (scanner, TANDEM_SAFETENSORS_ERROR_TENSOR, entry->name,
                        "its data ends at %" G_GUINT64_FORMAT ", before it begins at %"
                        G_GUINT64_FORMAT, entry->end, entry->begin);
  for (dim = 0; dim < entry->n_dims; dim++)
    if (!g_uint64_checked_mul (&n_bits, n_bits, entry->shape[dim]))
      return fail_tensor (scanner, TANDEM_SAFETENSORS_ERROR_LIMIT, entry->name,
                          "its shape overflows 64 bits");
  for (i = 0; i < G_N_ELEMENTS (formats); i++)
    if (g_str_equal (entry->dtype_name, formats[i].name))
      break;
  /* How large the elements of a later version are is not known. */
  if (i == G_N_ELEMENTS (formats))
    return TRUE;
  if (!g_uint64_checked_mul (&n_bits, n_bits, formats[i].bits))
    return fail_tensor (scanner, TANDEM_SAFETENSORS_ERROR_LIMIT, entry->name,
                        "its size overflows 64 bits");
  if (n_bits % 8 != 0 || n_bits / 8 != entry->end - entry->begin)
    return fail_tensor (scanner, TANDEM_SAFETENSORS_ERROR_TENSOR, entry->name,
                        "its shape needs %" G_GUINT64_FORMAT " bits of %s, its data has %"
                        G_GUINT64_FORMAT " bytes", n_bits, entry->dtype_name,
                        entry->end - entry->begin);
  return TRUE;
}

static int
compare_entries (gconstpointer a, gconstpointer b)
{
  const TandemSafetensorsEntry *left = *(TandemSafetensorsEntry *const *) a;
  const TandemSafetensorsEntry *right = *(TandemSafetensorsEntry *const *) b;

  if (left->begin != right->begin)
    return left->begin < right->begin ? -1 : 1;
  if (left->end != right->end)
    return left->end < right->end ? -1 : 1;
  return strcmp (left->name, right->name);
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  const TandemSafetensorsEntry *left = *(TandemSafetensorsEntry *const *) a;
  const TandemSafetensorsEntry *right = *(TandemSafetensorsEntry *const *) b;

  return strcmp (left->name, right->name);
}

static gboolean
check_names (TandemScanner *scanner, TandemSafetensorsHeader *header)
{
  guint i;

  for (i = 0; i < header->entries->len; i++)
    g_ptr_array_add (header->by_name, g_ptr_array_index (header->entries, i));
  g_ptr_array_sort (header->by_name, compare_names);
  for (i = 1; i < header->by_name->len; i++) {
    TandemSafetensorsEntry *entry = g_ptr_array_index (header->by_name, i);
    TandemSafetensorsEntry *before = g_ptr_array_index (header->by_name, i - 1);

    if (g_str_equal (entry->name, before->name))
      return fail_tensor (scanner, TANDEM_SAFETENSORS_ERROR_TENSOR, entry->name,
                          "the header has it twice");
  }
  return TRUE;
}

/* The data of all tensors together covers the file, each byte once. */
static gboolean
check_layout (TandemScanner *scanner, TandemSafetensorsHeader *header, guint64 data_size)
{
  guint64 end = 0;
  guint i;

  g_ptr_array_sort (header->entries, compare_entries);
  for (i = 0; i < header->entries->len; i++) {
    TandemSafetensorsEntry *entry = g_ptr_array_index (header->entries, i);

    if (entry->end > data_size)
      return fail_tensor (scanner, TANDEM_SAFETENSORS_ERROR_TRUNCATED, entry->name,
                          "its data ends at %" G_GUINT64_FORMAT ", the file holds %"
                          G_GUINT64_FORMAT " bytes of data; copy the file again", entry->end,
                          data_size);
    if (entry->begin < end)
      return fail_tensor (scanner, TANDEM_SAFETENSORS_ERROR_TENSOR, entry->name,
                          "its data begins at %" G_GUINT64_FORMAT
                          ", inside of another tensor that ends at %" G_GUINT64_FORMAT,
                          entry->begin, end);
    if (entry->begin > end)
      return fail_tensor (scanner, TANDEM_SAFETENSORS_ERROR_TENSOR, entry->name,
                          "its data begins at %" G_GUINT64_FORMAT ", and no tensor holds the %"
                          G_GUINT64_FORMAT " bytes before", entry->begin, entry->begin - end);
    end = entry->end;
  }
  if (end != data_size) {
    g_set_error (scanner->error, TANDEM_SAFETENSORS_ERROR, TANDEM_SAFETENSORS_ERROR_HEADER,
                 "%s: the tensors end at %" G_GUINT64_FORMAT ", the file holds %" G_GUINT64_FORMAT
                 " bytes of data", scanner->file, end, data_size);
    return FALSE;
  }
  return TRUE;
}

static void
entry_free (gpointer data)
{
  TandemSafetensorsEntry *entry = data;

  g_free (entry->name);
  g_free (entry->dtype_name);
  g_free (entry);
}

static gboolean
scan_header (TandemScanner *scanner, TandemSafetensorsHeader *header)
{
  gboolean has_metadata = FALSE;

  if (scanner->next == scanner->end || *scanner->next != '{')
    return tandem_scanner_fail (scanner, "'{' expected");
  scanner->next++;
  if (!tandem_scanner_accept (scanner, '}')) {
    do {
      TandemSafetensorsEntry *entry;
      g_autofree char *name = tandem_scanner_string (scanner);

      if (name == NULL || !tandem_scanner_expect (scanner, ':'))
        return FALSE;
      if (g_str_equal (name, "__metadata__")) {
        if (has_metadata)
          return tandem_scanner_fail (scanner, "__metadata__ stands there twice");
        has_metadata = TRUE;
        if (!scan_metadata (scanner, header->metadata))
          return FALSE;
        continue;
      }
      entry = g_new0 (TandemSafetensorsEntry, 1);
      entry->name = g_steal_pointer (&name);
      g_ptr_array_add (header->entries, entry);
      if (!scan_entry (scanner, entry) || !check_size (scanner, entry))
        return FALSE;
    } while (tandem_scanner_accept (scanner, ','));
    if (!tandem_scanner_expect (scanner, '}'))
      return FALSE;
  }
  tandem_scanner_skip_space (scanner);
  return scanner->next == scanner->end ||
         tandem_scanner_fail (scanner, "something follows the object");
}

/**
 * tandem_safetensors_header_parse: (skip)
 * @json: the header
 * @length: its bytes
 * @data_size: the bytes of the file after the header
 * @file: the file's name, for messages
 * @error: return location for a #TandemSafetensorsError
 *
 * Reads a header and checks every rule of the format: the data of the tensors
 * covers the rest of the file without overlap or hole, each as large as shape
 * and type say, and no name stands there twice.
 *
 * Returns: (transfer full): the header, or %NULL with @error set
 */
TandemSafetensorsHeader *
tandem_safetensors_header_parse (const char *json, gsize length, guint64 data_size,
                                 const char *file, GError **error)
{
  g_autoptr (TandemSafetensorsHeader) header = g_new0 (TandemSafetensorsHeader, 1);
  TandemScanner scanner = {
    .start = json, .next = json, .end = json + length, .file = file, .what = "the header",
    /* behind the length of the header */
    .offset = sizeof (guint64), .error = error
  };
  const char *valid;

  header->entries = g_ptr_array_new_with_free_func (entry_free);
  header->by_name = g_ptr_array_new ();
  header->metadata = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);

  /* g_utf8_validate_len() refuses null characters too. */
  if (!g_utf8_validate_len (json, length, &valid)) {
    scanner.next = valid;
    tandem_scanner_fail (&scanner, "not UTF-8");
    return NULL;
  }
  if (!scan_header (&scanner, header) || !check_names (&scanner, header) ||
      !check_layout (&scanner, header, data_size))
    return NULL;
  return g_steal_pointer (&header);
}

/* Returns the entry of the tensor @name, or NULL. */
const TandemSafetensorsEntry *
tandem_safetensors_header_find (const TandemSafetensorsHeader *header, const char *name)
{
  guint low = 0, high = header->by_name->len;

  while (low < high) {
    guint middle = low + (high - low) / 2;
    const TandemSafetensorsEntry *entry = g_ptr_array_index (header->by_name, middle);
    int order = strcmp (name, entry->name);

    if (order == 0)
      return entry;
    if (order < 0)
      high = middle;
    else
      low = middle + 1;
  }
  return NULL;
}

void
tandem_safetensors_header_free (TandemSafetensorsHeader *header)
{
  g_ptr_array_unref (header->entries);
  g_ptr_array_unref (header->by_name);
  g_hash_table_unref (header->metadata);
  g_free (header);
}
