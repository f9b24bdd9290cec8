/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <glib/gstdio.h>
#include <string.h>

#include "tandem.h"

static char *folder;

static char *
write_file (const char *name, const char *contents)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autofree char *parent = g_path_get_dirname (path);

  g_assert_cmpint (g_mkdir_with_parents (parent, 0700), ==, 0);
  g_assert_true (g_file_set_contents (path, contents, -1, NULL));
  return g_steal_pointer (&path);
}

/* All that @reader gives, as "label:text|label:text". */
static char *
read_all (TandemReviewReader *reader, GError **error)
{
  g_autoptr (GString) all = g_string_new (NULL);
  g_autoptr (GError) local = NULL;
  GBytes *text;
  int label;

  while (tandem_review_reader_next (reader, &text, &label, NULL, &local)) {
    g_string_append_printf (all, "%s%d:%.*s", all->len > 0 ? "|" : "", label,
                            (int) g_bytes_get_size (text),
                            (const char *) g_bytes_get_data (text, NULL));
    g_bytes_unref (text);
  }
  if (local != NULL) {
    g_propagate_error (error, g_steal_pointer (&local));
    return NULL;
  }
  return g_string_free (g_steal_pointer (&all), FALSE);
}

static void
test_formats (void)
{
  static const struct
  {
    const char *name;
    const char *contents;
    const char *expected;
  } cases[] = {
    { "a.csv", "review,sentiment\r\n\"one, \"\"two\"\"\nthree\",positive\r\nfour,negative\r\n",
      "1:one, \"two\"\nthree|0:four" },
    { "b.csv", "label,text\n1,\"\"\n0,x\n", "1:|0:x" },
    { "c.csv", "\xef\xbb\xbf" "review,sentiment\na\"b,neg", "0:a\"b" },
    { "a.tsv", "pos\tgood\nneg\tbad\tly\n\nunsup\tso\n", "1:good|0:bad\tly|-1:so" },
    { "b.tsv", "neg\t0_3.txt\t3\ttrain\tbad\npos\t1_9.txt\t9\ttrain\tgood\n", "0:bad|1:good" },
    { "c.tsv", "id\tsentiment\treview\n7\t1\tgood\n", "1:good" },
    { "a.jsonl",
      "{\"text\": \"a\\nb\", \"label\": 1}\n{\"review\": \"c\", \"sentiment\": \"negative\"}\n"
      "{\"text\": \"d\"}\n", "1:a\nb|0:c|-1:d" },
    { "guessed", "{\"text\": \"a\", \"label\": 0}\n", "0:a" },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *path = write_file (cases[i].name, cases[i].contents);
    g_autoptr (GError) error = NULL;
    g_autoptr (TandemReviewReader) reader =
        tandem_review_reader_open (path, TANDEM_REVIEW_SPLIT_TRAIN, 0, NULL, &error);
    guint epoch;

    g_assert_no_error (error);
    for (epoch = 0; epoch < 2; epoch++) {
      g_autofree char *all = read_all (reader, &error);

      g_assert_no_error (error);
      g_assert_cmpstr (all, ==, cases[i].expected);
      g_assert_true (tandem_review_reader_rewind (reader, NULL, &error));
    }
    g_unlink (path);
  }
}

static void
test_malformed (void)
{
  static const struct
  {
    const char *name;
    const char *contents;
    const char *line;
  } cases[] = {
    { "a.csv", "", "line 1" },
    { "a.csv", "some,thing,else\n", "line 1" },
    { "a.csv", "review,sentiment\nx,neg\nx\n", "line 3" },
    { "a.csv", "review,sentiment\n\"a\nb\",neg\nx,maybe\n", "line 4" },
    { "a.csv", "review,sentiment\n\"a\nb,neg\n", "line 2" },
    { "a.csv", "review,sentiment\n\"a\"b,neg\n", "line 2" },
    { "a.tsv", "neg\tx\nx\n", "line 2" },
    { "a.jsonl", "{\"text\": \"x\"}\n{\"text\": 1}\n", "line 2" },
    { "a.jsonl", "{\"text\": \"x\", \"label\": 7}\n", "line 1" },
    { "a.jsonl", "{\"text\": \"x\"\n", "line 1" },
    { "a.jsonl", "[]\n", "line 1" },
    { "a.jsonl", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n", "line 1" },
    { "long.tsv", "neg\t01234567890123456789012345678901234567890123456789\n", "line 1" },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *path = write_file (cases[i].name, cases[i].contents);
    g_autoptr (GError) error = NULL;
    g_autoptr (TandemReviewReader) reader =
        tandem_review_reader_open (path, TANDEM_REVIEW_SPLIT_TRAIN,
                                   g_str_equal (cases[i].name, "long.tsv") ? 40 : 0, NULL, &error);

    if (reader != NULL)
      g_assert_null (read_all (reader, &error));
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
    g_assert_nonnull (strstr (error->message, cases[i].name));
    g_assert_nonnull (strstr (error->message, cases[i].line));
    g_unlink (path);
  }
}

static void
test_packed (void)
{
  g_autofree char *xz = write_file ("a.tsv.xz", "x");
  g_autofree char *gz = g_build_filename (folder, "a.tsv.gz", NULL);
  g_autoptr (GZlibCompressor) zip = g_zlib_compressor_new (G_ZLIB_COMPRESSOR_FORMAT_GZIP, -1);
  g_autoptr (GFile) file = g_file_new_for_path (gz);
  g_autoptr (GFileOutputStream) raw = g_file_replace (file, NULL, FALSE, 0, NULL, NULL);
  g_autoptr (GOutputStream) stream =
      g_converter_output_stream_new (G_OUTPUT_STREAM (raw), G_CONVERTER (zip));
  g_autoptr (TandemReviewReader) reader = NULL;
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  guint i;

  g_assert_null (tandem_review_reader_open (xz, TANDEM_REVIEW_SPLIT_TRAIN, 0, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED);
  g_assert_nonnull (strstr (error->message, "unpack"));
  g_clear_error (&error);

  for (i = 0; i < 20000; i++)
    g_string_append_printf (text, "neg\t%u\n", i);
  g_assert_true (g_output_stream_write_all (stream, text->str, text->len, NULL, NULL, NULL));
  g_assert_true (g_output_stream_close (stream, NULL, NULL));
  reader = tandem_review_reader_open (gz, TANDEM_REVIEW_SPLIT_TRAIN, 0, NULL, &error);
  g_assert_no_error (error);
  for (i = 0; i < 2; i++) {
    g_autofree char *all = read_all (reader, &error);

    g_assert_no_error (error);
    g_assert_true (g_str_has_prefix (all, "0:0|0:1|"));
    g_assert_true (g_str_has_suffix (all, "|0:19999"));
    g_assert_true (tandem_review_reader_rewind (reader, NULL, &error));
  }
  g_assert_false (tandem_review_reader_shuffle (reader, 1, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED);
  g_unlink (xz);
  g_unlink (gz);
}

static void
test_folder (void)
{
  static const char *const names[] = {
    "train/neg/10_1.txt", "train/neg/2_3.txt", "train/pos/0_9.txt", "train/unsup/5_0.txt",
  };
  static const char *const expected[] = { "0:train/neg/2_3.txt|0:train/neg/10_1.txt|"
    "1:train/pos/0_9.txt", NULL, "-1:train/unsup/5_0.txt" };
  g_autoptr (GError) error = NULL;
  guint i;

  for (i = 0; i < G_N_ELEMENTS (names); i++)
    g_free (write_file (names[i], names[i]));
  for (i = 0; i < G_N_ELEMENTS (expected); i++) {
    g_autoptr (TandemReviewReader) reader = tandem_review_reader_open (folder, i, 0, NULL, &error);

    if (expected[i] == NULL) {
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
      g_clear_error (&error);
    } else {
      g_autofree char *all = read_all (reader, &error);

      g_assert_no_error (error);
      g_assert_cmpstr (all, ==, expected[i]);
    }
  }
  for (i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *path = g_build_filename (folder, names[i], NULL);
    g_autofree char *parent = g_path_get_dirname (path);

    g_unlink (path);
    g_rmdir (parent);
  }
  {
    g_autofree char *train = g_build_filename (folder, "train", NULL);

    g_rmdir (train);
  }
}

static void
test_shuffle (void)
{
  g_autoptr (GString) rows = g_string_new ("review,sentiment\n");
  g_autofree char *path = NULL;
  g_auto (GStrv) epochs = g_new0 (char *, 5);
  guint i, run;

  for (i = 0; i < 5000; i++)
    g_string_append_printf (rows, "\"%u\nx\",%s\n", i, i % 2 ? "positive" : "negative");
  path = write_file ("many.csv", rows->str);
  for (run = 0; run < 2; run++) {
    g_autoptr (TandemReviewReader) reader =
        tandem_review_reader_open (path, TANDEM_REVIEW_SPLIT_TRAIN, 0, NULL, NULL);

    g_assert_true (tandem_review_reader_shuffle (reader, 7, NULL, NULL));
    epochs[2 * run] = read_all (reader, NULL);
    g_assert_true (tandem_review_reader_rewind (reader, NULL, NULL));
    epochs[2 * run + 1] = read_all (reader, NULL);
  }
  g_assert_cmpstr (epochs[0], ==, epochs[2]);
  g_assert_cmpstr (epochs[1], ==, epochs[3]);
  g_assert_cmpstr (epochs[0], !=, epochs[1]);
  for (i = 0; i < 2; i++) {
    g_auto (GStrv) parts = g_strsplit (epochs[i], "|", -1);
    g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
    guint j;

    for (j = 0; parts[j] != NULL; j++) {
      int number = atoi (parts[j] + 2);

      g_assert_cmpint (parts[j][0] - '0', ==, number % 2);
      g_hash_table_add (seen, parts[j]);
    }
    g_assert_cmpuint (g_hash_table_size (seen), ==, 5000);
  }
  g_unlink (path);
}

/* Where each review stands, and what lists call it. */
static void
test_places (void)
{
  g_autofree char *tsv = write_file ("places.tsv", "neg\t7\t2\ttrain\tbad\n\n"
                                     "unsup\t8\t0\ttrain\tlong\n");
  g_autofree char *csv = write_file ("places.csv", "review,sentiment\n\"two\nlines\",1\nx,0\n");
  g_autofree char *positive = write_file ("places/train/pos/3_9.txt", "good");
  g_autofree char *negative = write_file ("places/train/neg/4_1.txt", "poor");
  g_autofree char *root = g_build_filename (folder, "places", NULL);
  g_autofree char *line_3 = g_strconcat (tsv, ", line 3", NULL);
  g_autofree char *line_4 = g_strconcat (csv, ", line 4", NULL);
  const struct
  {
    const char *path;
    guint n;                    /* reviews to read */
    const char *place;
    const char *name;
    guint64 line;
  } cases[] = {
    { tsv, 1, NULL, "train/neg/7_2.txt", 1 },
    { tsv, 2, line_3, "train/unsup/8_0.txt", 3 },
    { csv, 2, line_4, NULL, 4 },
    { root, 1, negative, "train/neg/4_1.txt", 0 },
    { root, 2, positive, "train/pos/3_9.txt", 0 },
  };
  guint i, k;

  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (TandemReviewReader) reader = tandem_review_reader_open (
        cases[i].path, TANDEM_REVIEW_SPLIT_TRAIN, 0, NULL, &error);
    g_autofree char *place = NULL, *name = NULL;

    g_assert_no_error (error);
    for (k = 0; k < cases[i].n; k++) {
      g_autoptr (GBytes) text = NULL;
      int label;

      g_assert_true (tandem_review_reader_next (reader, &text, &label, NULL, &error));
    }
    place = tandem_review_reader_describe (reader);
    name = tandem_review_reader_dup_name (reader);
    if (cases[i].place != NULL)
      g_assert_cmpstr (place, ==, cases[i].place);
    g_assert_cmpstr (name, ==, cases[i].name);
    g_assert_cmpuint (tandem_review_reader_get_line (reader), ==, cases[i].line);
  }
  g_remove (tsv);
  g_remove (csv);
  g_remove (positive);
  g_remove (negative);
  for (i = 0; i < 4; i++) {
    static const char *const folders[] = { "train/pos", "train/neg", "train", "" };
    g_autofree char *path = g_build_filename (root, folders[i], NULL);

    g_rmdir (path);
  }
}

int
main (int argc, char **argv)
{
  int ret;

  g_test_init (&argc, &argv, NULL);
  folder = g_dir_make_tmp ("tandem-reviews-XXXXXX", NULL);
  g_test_add_func ("/reviews/formats", test_formats);
  g_test_add_func ("/reviews/malformed", test_malformed);
  g_test_add_func ("/reviews/packed", test_packed);
  g_test_add_func ("/reviews/folder", test_folder);
  g_test_add_func ("/reviews/shuffle", test_shuffle);
  g_test_add_func ("/reviews/places", test_places);
  ret = g_test_run ();
  g_rmdir (folder);
  g_free (folder);
  return ret;
}
