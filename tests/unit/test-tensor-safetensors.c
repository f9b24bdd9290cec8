/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tandem.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "tandem-test-model.h"

#define OK -1

/* Header and bytes of data; the verdict; and the reference implementation's where
 * it differs. */
static const struct
{
  const char *name;
  const char *header;
  gsize data;
  int code;
  enum
  {
    SAME,
    REFERENCE_ACCEPTS,
    REFERENCE_REFUSES,
  } reference;
} cases[] = {
  { "y_empty", "{}", 0, OK },
  { "y_one", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, OK },
  { "y_scalar", "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, OK },
  { "y_no_elements", "{\"a\":{\"dtype\":\"F32\",\"shape\":[0,5],\"data_offsets\":[0,0]}}", 0, OK },
  { "y_any_order", "{\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]},"
    "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 2, OK },
  { "y_trailing_space", "{}   \n\t\r", 0, OK },
  { "y_inner_space", "{ \"a\" : { \"dtype\" : \"U8\" , \"shape\" : [ 1 ] , \"data_offsets\" : "
    "[ 0 , 1 ] } }", 1, OK },
  { "y_metadata", "{\"__metadata__\":{\"k\":\"v\",\"\":\"\"}}", 0, OK },
  { "y_escapes", "{\"\\u00e4\\ud83d\\ude00\\n\\\"\":{\"dtype\":\"U8\",\"shape\":[1],"
    "\"data_offsets\":[0,1]}}", 1, OK },
  { "y_unknown_key", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"x\":[{\"y\":[]},[1,-2.5e3,null]],"
    "\"data_offsets\":[0,1]}}", 1, OK },
  { "y_listed_type", "{\"a\":{\"dtype\":\"U16\",\"shape\":[1],\"data_offsets\":[0,2]}}", 2, OK },
  { "y_future_type", "{\"a\":{\"dtype\":\"Z9\",\"shape\":[1],\"data_offsets\":[0,2]}}", 2, OK,
    REFERENCE_REFUSES },
  { "n_no_header", "", 0, TANDEM_SAFETENSORS_ERROR_HEADER },
  { "n_array", "[]", 0, TANDEM_SAFETENSORS_ERROR_HEADER },
  { "n_leading_space", " {}", 0, TANDEM_SAFETENSORS_ERROR_HEADER, REFERENCE_ACCEPTS },
  { "n_unfinished", "{\"a\":", 0, TANDEM_SAFETENSORS_ERROR_HEADER },
  { "n_unfinished_string", "{\"a", 0, TANDEM_SAFETENSORS_ERROR_HEADER },
  { "n_unfinished_escape", "{\"a\\u00", 0, TANDEM_SAFETENSORS_ERROR_HEADER },
  { "n_bad_escape", "{\"\\x\":{}}", 0, TANDEM_SAFETENSORS_ERROR_HEADER },
  { "n_half_surrogate", "{\"__metadata__\":{\"\\ud800\":\"\"}}", 0,
    TANDEM_SAFETENSORS_ERROR_HEADER },
  { "n_low_surrogate", "{\"__metadata__\":{\"\\udc00\":\"\"}}", 0,
    TANDEM_SAFETENSORS_ERROR_HEADER },
  { "n_wrong_pair", "{\"__metadata__\":{\"\\ud800\\u0041\":\"\"}}", 0,
    TANDEM_SAFETENSORS_ERROR_HEADER },
  { "n_null_in_name", "{\"a\\u0000\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
    TANDEM_SAFETENSORS_ERROR_HEADER, REFERENCE_ACCEPTS },
  { "n_control_in_name", "{\"a\n\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
    TANDEM_SAFETENSORS_ERROR_HEADER },
  { "n_not_utf8", "{\"\xff\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
    TANDEM_SAFETENSORS_ERROR_HEADER },
  { "n_comment", "{/**/}", 0, TANDEM_SAFETENSORS_ERROR_HEADER },
  { "n_trailing_comma", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},}", 1,
    TANDEM_SAFETENSORS_ERROR_HEADER },
  { "n_trailing_text", "{}x", 0, TANDEM_SAFETENSORS_ERROR_HEADER },
  { "n_two_objects", "{}{}", 0, TANDEM_SAFETENSORS_ERROR_HEADER },
  { "n_metadata_number", "{\"__metadata__\":{\"k\":1}}", 0, TANDEM_SAFETENSORS_ERROR_HEADER },
  { "n_metadata_array", "{\"__metadata__\":[]}", 0, TANDEM_SAFETENSORS_ERROR_HEADER },
  { "n_metadata_twice", "{\"__metadata__\":{},\"__metadata__\":{}}", 0,
    TANDEM_SAFETENSORS_ERROR_HEADER },
  { "n_metadata_key_twice", "{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", 0,
    TANDEM_SAFETENSORS_ERROR_HEADER, REFERENCE_ACCEPTS },
  { "n_tensor_twice", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
    "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
    TANDEM_SAFETENSORS_ERROR_TENSOR, REFERENCE_ACCEPTS },
  { "n_tensor_number", "{\"a\":1}", 0, TANDEM_SAFETENSORS_ERROR_HEADER },
  { "n_no_type", "{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
    TANDEM_SAFETENSORS_ERROR_TENSOR },
  { "n_no_shape", "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1,
    TANDEM_SAFETENSORS_ERROR_TENSOR },
  { "n_no_offsets", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1,
    TANDEM_SAFETENSORS_ERROR_TENSOR },
  { "n_empty_entry", "{\"a\":{}}", 0, TANDEM_SAFETENSORS_ERROR_TENSOR },
  { "n_type_twice", "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],"
    "\"data_offsets\":[0,1]}}", 1, TANDEM_SAFETENSORS_ERROR_TENSOR },
  { "n_shape_twice", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"shape\":[1],"
    "\"data_offsets\":[0,1]}}", 1, TANDEM_SAFETENSORS_ERROR_TENSOR },
  { "n_offsets_twice", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],"
    "\"data_offsets\":[0,1]}}", 1, TANDEM_SAFETENSORS_ERROR_TENSOR },
  { "n_type_number", "{\"a\":{\"dtype\":1,\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
    TANDEM_SAFETENSORS_ERROR_HEADER },
  { "n_negative", "{\"a\":{\"dtype\":\"U8\",\"shape\":[-1],\"data_offsets\":[0,1]}}", 1,
    TANDEM_SAFETENSORS_ERROR_HEADER },
  { "n_fraction", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1.0],\"data_offsets\":[0,1]}}", 1,
    TANDEM_SAFETENSORS_ERROR_HEADER },
  { "n_exponent", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1e0],\"data_offsets\":[0,1]}}", 1,
    TANDEM_SAFETENSORS_ERROR_HEADER },
  { "n_leading_zero", "{\"a\":{\"dtype\":\"U8\",\"shape\":[01],\"data_offsets\":[0,1]}}", 1,
    TANDEM_SAFETENSORS_ERROR_HEADER },
  { "n_beyond_64_bits", "{\"a\":{\"dtype\":\"U8\",\"shape\":[18446744073709551616],"
    "\"data_offsets\":[0,1]}}", 1, TANDEM_SAFETENSORS_ERROR_HEADER },
  { "n_shape_overflow", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],"
    "\"data_offsets\":[0,0]}}", 0, TANDEM_SAFETENSORS_ERROR_LIMIT },
  { "n_size_overflow", "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],"
    "\"data_offsets\":[0,0]}}", 0, TANDEM_SAFETENSORS_ERROR_LIMIT },
  { "n_dimensions", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],"
    "\"data_offsets\":[0,1]}}", 1, TANDEM_SAFETENSORS_ERROR_LIMIT, REFERENCE_ACCEPTS },
  { "n_too_small", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,7]}}", 7,
    TANDEM_SAFETENSORS_ERROR_TENSOR },
  { "n_too_large", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,9]}}", 9,
    TANDEM_SAFETENSORS_ERROR_TENSOR },
  { "n_half_byte", "{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", 1,
    TANDEM_SAFETENSORS_ERROR_TENSOR },
  { "n_backwards", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,0]}}", 1,
    TANDEM_SAFETENSORS_ERROR_TENSOR },
  { "n_three_offsets", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,1]}}", 1,
    TANDEM_SAFETENSORS_ERROR_HEADER },
  { "n_overlap", "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
    "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}", 3,
    TANDEM_SAFETENSORS_ERROR_TENSOR },
  { "n_same_bytes", "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
    "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2,
    TANDEM_SAFETENSORS_ERROR_TENSOR },
  { "n_hole", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
    "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]}}", 3,
    TANDEM_SAFETENSORS_ERROR_TENSOR },
  { "n_hole_first", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2,
    TANDEM_SAFETENSORS_ERROR_TENSOR },
  { "n_rest", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 2,
    TANDEM_SAFETENSORS_ERROR_HEADER },
  { "n_past_the_end", "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 1,
    TANDEM_SAFETENSORS_ERROR_TRUNCATED },
};

static GBytes *
make_file (const char *header, gsize header_size, gsize data)
{
  GByteArray *file = g_byte_array_new ();
  guint64 length = GUINT64_TO_LE ((guint64) header_size);
  g_autofree guint8 *zeros = g_malloc0 (data + 1);

  g_byte_array_append (file, (const guint8 *) &length, sizeof length);
  g_byte_array_append (file, (const guint8 *) header, header_size);
  g_byte_array_append (file, zeros, data);
  return g_byte_array_free_to_bytes (file);
}

static void
test_cases (void)
{
  guint i;

  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GBytes) bytes = make_file (cases[i].header, strlen (cases[i].header),
                                          cases[i].data);
    g_autoptr (GError) error = NULL;
    g_autoptr (TandemSafetensors) file = NULL;

    file = tandem_safetensors_new_from_bytes (bytes, cases[i].name, &error);
    if (cases[i].code == OK) {
      g_assert_no_error (error);
      g_assert_nonnull (file);
      continue;
    }
    if (file != NULL)
      g_error ("%s was accepted", cases[i].name);
    g_test_message ("%s", error->message);
    if (!g_error_matches (error, TANDEM_SAFETENSORS_ERROR, cases[i].code))
      g_error ("%s: the code is %d", error->message, error->code);
    g_assert_true (g_str_has_prefix (error->message, cases[i].name));
  }
}

/* The same files, given to the reference implementation. */
static void
test_reference_agrees (void)
{
  static const char script[] =
    "import os, sys, safetensors\n"
    "for name in sorted(os.listdir(sys.argv[1])):\n"
    "    data = open(os.path.join(sys.argv[1], name), 'rb').read()\n"
    "    try:\n"
    "        safetensors.deserialize(data)\n"
    "        print(name, 'accepted')\n"
    "    except Exception as e:\n"
    "        print(name, 'refused')\n";
  const char *python = g_getenv ("TANDEM_TEST_PYTHON");
  char *folder;
  g_autofree char *output = NULL;
  g_autoptr (GError) error = NULL;
  guint i;
  int status;

  if (python == NULL) {
    g_test_skip ("TANDEM_TEST_PYTHON names no Python with safetensors");
    return;
  }
  folder = tandem_test_make_folder ();
  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GBytes) bytes = make_file (cases[i].header, strlen (cases[i].header),
                                          cases[i].data);
    g_autofree char *path = g_build_filename (folder, cases[i].name, NULL);

    g_assert_true (g_file_set_contents (path, g_bytes_get_data (bytes, NULL),
                                        g_bytes_get_size (bytes), NULL));
  }
  {
    const char *argv[] = { python, "-c", script, folder, NULL };

    g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &output, NULL, &status,
                  &error);
    g_assert_no_error (error);
    g_assert_cmpint (status, ==, 0);
  }
  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    gboolean accepts = cases[i].reference == SAME ? cases[i].code == OK
                                                  : cases[i].reference == REFERENCE_ACCEPTS;
    g_autofree char *line = g_strdup_printf ("%s %s\n", cases[i].name,
                                             accepts ? "accepted" : "refused");

    if (strstr (output, line) == NULL)
      g_test_message ("the reference differs on %s", cases[i].name);
    g_assert_nonnull (strstr (output, line));
  }
  tandem_test_remove_folder (folder);
}

static void
test_deep (void)
{
  const guint depths[] = { 60, 100, 1000000 };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (depths); i++) {
    g_autoptr (GString) header = g_string_new ("{\"a\":{\"x\":");
    g_autoptr (GBytes) bytes = NULL;
    g_autoptr (GError) error = NULL;
    g_autoptr (TandemSafetensors) file = NULL;
    guint n;

    for (n = 0; n < depths[i]; n++)
      g_string_append_c (header, '[');
    for (n = 0; n < depths[i]; n++)
      g_string_append_c (header, ']');
    g_string_append (header, ",\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}");
    bytes = make_file (header->str, header->len, 0);
    file = tandem_safetensors_new_from_bytes (bytes, "deep", &error);
    if (depths[i] < 64)
      g_assert_no_error (error);
    else
      g_assert_error (error, TANDEM_SAFETENSORS_ERROR, TANDEM_SAFETENSORS_ERROR_HEADER);
  }
}

static GHashTable *
make_tensors (void)
{
  GHashTable *tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                               (GDestroyNotify) tandem_tensor_unref);
  guint dtype;

  for (dtype = TANDEM_DTYPE_F32; dtype <= TANDEM_DTYPE_BOOL; dtype++) {
    guint64 shape[] = { 3, dtype + 1 };
    gsize n = 3 * (dtype + 1) * tandem_dtype_get_size (dtype), i;
    guint8 *data = g_malloc (n);
    g_autoptr (GBytes) bytes = g_bytes_new_take (data, n);

    for (i = 0; i < n; i++)
      data[i] = dtype == TANDEM_DTYPE_BOOL ? i % 2 : i * 7 + dtype;
    g_hash_table_insert (tensors, g_strdup_printf ("tensor \"%u\"\tä", dtype),
                         tandem_tensor_new (dtype, 2, shape, bytes, NULL));
  }
  return tensors;
}

static GHashTable *
make_metadata (void)
{
  GHashTable *metadata = g_hash_table_new (g_str_hash, g_str_equal);

  g_hash_table_insert (metadata, (char *) "format", (char *) "pt");
  return metadata;
}

static void
test_truncated_anywhere (void)
{
  char *folder = tandem_test_make_folder ();
  g_autofree char *path = g_build_filename (folder, "whole", NULL);
  g_autoptr (GHashTable) tensors = make_tensors ();
  g_autofree char *whole = NULL;
  gsize size, length;

  g_assert_true (tandem_safetensors_write (path, NULL, tensors, NULL, NULL));
  g_assert_true (g_file_get_contents (path, &whole, &size, NULL));
  for (length = 0; length < size; length++) {
    /* A copy of the exact size lets AddressSanitizer see reads past the end. */
    g_autoptr (GBytes) bytes = g_bytes_new (whole, length);
    g_autoptr (GError) error = NULL;

    g_assert_null (tandem_safetensors_new_from_bytes (bytes, "cut", &error));
    g_assert_error (error, TANDEM_SAFETENSORS_ERROR, TANDEM_SAFETENSORS_ERROR_TRUNCATED);
  }
  /* And one byte too many. */
  {
    g_autoptr (GBytes) bytes = g_bytes_new_take (g_malloc0 (size + 1), size + 1);
    g_autoptr (GError) error = NULL;

    memcpy ((guint8 *) g_bytes_get_data (bytes, NULL), whole, size);
    g_assert_null (tandem_safetensors_new_from_bytes (bytes, "long", &error));
    g_assert_error (error, TANDEM_SAFETENSORS_ERROR, TANDEM_SAFETENSORS_ERROR_HEADER);
  }
  tandem_test_remove_folder (folder);
}

static void
test_header_length (void)
{
  const guint64 lengths[] = { 3, 100000000, 100000001, G_MAXINT64, G_MAXUINT64,
                              G_MAXUINT64 - 7 };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (lengths); i++) {
    guint8 data[10] = { 0, 0, 0, 0, 0, 0, 0, 0, '{', '}' };
    guint64 length = GUINT64_TO_LE (lengths[i]);
    g_autoptr (GBytes) bytes = NULL;
    g_autoptr (GError) error = NULL;

    memcpy (data, &length, sizeof length);
    bytes = g_bytes_new (data, sizeof data);
    g_assert_null (tandem_safetensors_new_from_bytes (bytes, "lie", &error));
    if (lengths[i] > 100000000)
      g_assert_error (error, TANDEM_SAFETENSORS_ERROR, TANDEM_SAFETENSORS_ERROR_LIMIT);
    else
      g_assert_error (error, TANDEM_SAFETENSORS_ERROR, TANDEM_SAFETENSORS_ERROR_TRUNCATED);
  }
}

static void
test_many_tensors (void)
{
  g_autoptr (GString) header = g_string_new ("{");
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemSafetensors) file = NULL;
  g_autoptr (TandemTensor) tensor = NULL;
  guint i;

  for (i = 0; i < 200000; i++)
    g_string_append_printf (header, "%s\"t%u\":{\"dtype\":\"U8\",\"shape\":[1],"
                            "\"data_offsets\":[%u,%u]}", i > 0 ? "," : "", i, i, i + 1);
  g_string_append_c (header, '}');
  bytes = make_file (header->str, header->len, 200000);
  file = tandem_safetensors_new_from_bytes (bytes, "many", &error);
  g_assert_no_error (error);
  tensor = tandem_safetensors_get_tensor (file, "t123456", &error);
  g_assert_no_error (error);
  g_assert_true (tandem_tensor_get_data (tensor, NULL) ==
                 (const guint8 *) g_bytes_get_data (bytes, NULL) + 8 + header->len + 123456);
}

static void
test_not_files (void)
{
  char *folder = tandem_test_make_folder ();
  g_autofree char *pipe = g_build_filename (folder, "pipe", NULL);
  g_autofree char *empty = g_build_filename (folder, "empty", NULL);
  g_autofree char *absent = g_build_filename (folder, "absent", NULL);
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (mkfifo (pipe, 0600), ==, 0);
  g_assert_null (tandem_safetensors_open (pipe, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_REGULAR_FILE);
  g_clear_error (&error);
  g_assert_null (tandem_safetensors_open (folder, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_REGULAR_FILE);
  g_clear_error (&error);
  g_assert_null (tandem_safetensors_open (absent, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_clear_error (&error);
  g_assert_true (g_file_set_contents (empty, "", 0, NULL));
  g_assert_null (tandem_safetensors_open (empty, &error));
  g_assert_error (error, TANDEM_SAFETENSORS_ERROR, TANDEM_SAFETENSORS_ERROR_TRUNCATED);
  tandem_test_remove_folder (folder);
}

static void
test_unsupported_type (void)
{
  static const char header[] = "{\"a\":{\"dtype\":\"U16\",\"shape\":[1],\"data_offsets\":[0,2]},"
                               "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]}}";
  g_autoptr (GBytes) bytes = make_file (header, strlen (header), 3);
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemSafetensors) file = tandem_safetensors_new_from_bytes (bytes, "f", &error);
  g_autoptr (TandemTensor) tensor = NULL;
  const char *dtype;
  guint64 size;

  g_assert_no_error (error);
  g_assert_null (tandem_safetensors_get_tensor (file, "a", &error));
  g_assert_error (error, TANDEM_SAFETENSORS_ERROR, TANDEM_SAFETENSORS_ERROR_TENSOR);
  g_clear_error (&error);
  g_assert_true (tandem_safetensors_get_info (file, "a", &dtype, NULL, NULL, &size));
  g_assert_cmpstr (dtype, ==, "U16");
  g_assert_cmpuint (size, ==, 2);
  tensor = tandem_safetensors_get_tensor (file, "b", &error);
  g_assert_no_error (error);
  g_assert_null (tandem_safetensors_get_tensor (file, "c", &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
}

static void
test_round_trip (void)
{
  char *folder = tandem_test_make_folder ();
  g_autofree char *path = g_build_filename (folder, "file.safetensors", NULL);
  g_autofree char *again = g_build_filename (folder, "again.safetensors", NULL);
  g_autofree char *first_text = NULL, *second_text = NULL;
  g_autoptr (GHashTable) tensors = make_tensors ();
  g_autoptr (GHashTable) metadata = make_metadata ();
  g_autoptr (GHashTable) read = NULL;
  g_autoptr (TandemSafetensors) file = NULL;
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) names = NULL;
  gsize first_size, second_size;
  guint i;

  g_assert_true (tandem_safetensors_write (path, metadata, tensors, NULL, &error));
  g_assert_no_error (error);
  file = tandem_safetensors_open (path, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (tandem_safetensors_get_metadata (file, "format"), ==, "pt");
  g_assert_null (tandem_safetensors_get_metadata (file, "other"));
  names = tandem_safetensors_list_tensors (file);
  g_assert_cmpuint (g_strv_length (names), ==, g_hash_table_size (tensors));
  read = g_hash_table_new_full (g_str_hash, g_str_equal, NULL,
                                (GDestroyNotify) tandem_tensor_unref);
  for (i = 0; names[i] != NULL; i++) {
    const TandemTensor *expected = g_hash_table_lookup (tensors, names[i]);
    TandemTensor *found = tandem_safetensors_get_tensor (file, names[i], &error);

    g_assert_no_error (error);
    g_assert_cmpint (tandem_tensor_get_dtype (found), ==, tandem_tensor_get_dtype (expected));
    g_assert_cmpuint (tandem_tensor_get_dim (found, 1), ==, tandem_tensor_get_dim (expected, 1));
    g_assert_true (g_bytes_equal (tandem_tensor_get_bytes (found),
                                  tandem_tensor_get_bytes (expected)));
    g_assert_cmpuint ((guintptr) tandem_tensor_get_data (found, NULL) %
                      tandem_dtype_get_size (tandem_tensor_get_dtype (found)), ==, 0);
    g_hash_table_insert (read, names[i], found);
  }
  /* Tensors keep the mapping alive; writing them gives the same bytes. */
  g_clear_object (&file);
  g_assert_true (tandem_safetensors_write (again, metadata, read, NULL, &error));
  g_assert_true (g_file_get_contents (path, &first_text, &first_size, NULL));
  g_assert_true (g_file_get_contents (again, &second_text, &second_size, NULL));
  g_assert_cmpmem (first_text, first_size, second_text, second_size);
  tandem_test_remove_folder (folder);
}

/* The reference reads what was written, and writes it again with the same bytes. */
static void
test_reference_round_trip (void)
{
  static const char script[] =
    "import sys\n"
    "try:\n"
    "    import safetensors.torch\n"
    "except ImportError:\n"
    "    sys.exit(77)\n"
    "data = open(sys.argv[1], 'rb').read()\n"
    "tensors = safetensors.torch.load(data)\n"
    "assert len(tensors) == 10\n"
    "assert safetensors.torch.save(tensors, {'format': 'pt'}) == data\n";
  const char *python = g_getenv ("TANDEM_TEST_PYTHON");
  char *folder;
  g_autofree char *path = NULL;
  g_autoptr (GHashTable) tensors = make_tensors ();
  g_autoptr (GHashTable) metadata = make_metadata ();
  g_autoptr (GError) error = NULL;
  int status;

  if (python == NULL) {
    g_test_skip ("TANDEM_TEST_PYTHON names no Python with safetensors");
    return;
  }
  folder = tandem_test_make_folder ();
  path = g_build_filename (folder, "file.safetensors", NULL);
  g_assert_true (tandem_safetensors_write (path, metadata, tensors, NULL, &error));
  {
    const char *argv[] = { python, "-c", script, path, NULL };

    g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, NULL, &status,
                  &error);
    g_assert_no_error (error);
    g_spawn_check_wait_status (status, &error);
    if (g_error_matches (error, G_SPAWN_EXIT_ERROR, 77))
      g_test_skip ("the Python has no safetensors for PyTorch");
    else
      g_assert_no_error (error);
  }
  tandem_test_remove_folder (folder);
}

static void
assert_only (const char *folder, const char *name)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *found = g_dir_read_name (dir);

  g_assert_cmpstr (found, ==, name);
  if (found != NULL)
    g_assert_null (g_dir_read_name (dir));
}

static void
test_write_is_atomic (void)
{
  char *folder = tandem_test_make_folder ();
  g_autofree char *path = g_build_filename (folder, "file", NULL);
  g_autofree char *nowhere = g_build_filename (folder, "no", "file", NULL);
  g_autofree char *text = NULL;
  g_autoptr (GHashTable) tensors = make_tensors ();
  g_autoptr (GHashTable) bad = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;

  g_cancellable_cancel (cancellable);
  g_assert_false (tandem_safetensors_write (path, NULL, tensors, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  assert_only (folder, NULL);

  g_assert_true (g_file_set_contents (path, "before", -1, NULL));
  g_assert_false (tandem_safetensors_write (path, NULL, tensors, cancellable, &error));
  g_clear_error (&error);
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, "before");
  assert_only (folder, "file");

  g_assert_false (tandem_safetensors_write (nowhere, NULL, tensors, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_clear_error (&error);
  g_hash_table_insert (bad, (char *) "__metadata__",
                       g_hash_table_lookup (tensors, "tensor \"0\"\tä"));
  g_assert_false (tandem_safetensors_write (path, NULL, bad, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  tandem_test_remove_folder (folder);
}

/* A limit on the size of files stands in for a full disk. */
static void
test_write_full_disk (void)
{
  char *folder = tandem_test_make_folder ();
  g_autofree char *path = g_build_filename (folder, "file", NULL);
  g_autoptr (GHashTable) tensors = make_tensors ();
  g_autoptr (GError) error = NULL;
  struct rlimit before, small;

  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &before), ==, 0);
  small = before;
  small.rlim_cur = 100;
  signal (SIGXFSZ, SIG_IGN);
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &small), ==, 0);
  g_assert_false (tandem_safetensors_write (path, NULL, tensors, NULL, &error));
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &before), ==, 0);
  g_assert_nonnull (error);
  g_test_message ("%s", error->message);
  assert_only (folder, NULL);
  tandem_test_remove_folder (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/safetensors/cases", test_cases);
  g_test_add_func ("/safetensors/reference-agrees", test_reference_agrees);
  g_test_add_func ("/safetensors/deep", test_deep);
  g_test_add_func ("/safetensors/truncated-anywhere", test_truncated_anywhere);
  g_test_add_func ("/safetensors/header-length", test_header_length);
  g_test_add_func ("/safetensors/many-tensors", test_many_tensors);
  g_test_add_func ("/safetensors/not-files", test_not_files);
  g_test_add_func ("/safetensors/unsupported-type", test_unsupported_type);
  g_test_add_func ("/safetensors/round-trip", test_round_trip);
  g_test_add_func ("/safetensors/reference-round-trip", test_reference_round_trip);
  g_test_add_func ("/safetensors/write-is-atomic", test_write_is_atomic);
  g_test_add_func ("/safetensors/write-full-disk", test_write_full_disk);
  return g_test_run ();
}
