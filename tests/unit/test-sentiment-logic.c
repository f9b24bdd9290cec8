/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <locale.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "sentiment-output.h"
#include "sentiment-reorder.h"
#include "sentiment-summary.h"
#include "sentiment-writer.h"

static const float two_scores[] = { -1.5f, 2.25f };

static void
assert_line (SentimentFormat format, const char *const *names, gint32 expected,
             const char *wanted)
{
  g_autoptr (GError) error = NULL;
  g_autofree SentimentResult *result = sentiment_result_new (7, expected, two_scores, 2, &error);
  g_auto (GStrv) labels = sentiment_labels_new (names, 2);
  g_autoptr (GString) out = g_string_new (NULL);

  g_assert_no_error (error);
  sentiment_append_result (out, format, result, (const char *const *) labels);
  g_assert_cmpstr (out->str, ==, wanted);
}

static void
test_json (void)
{
  const char *const names[] = { "Negative", "POSITIVE", NULL };
  const char *const odd[] = { "a\"b\\c\n", "\303\204\001", NULL };

  assert_line (SENTIMENT_FORMAT_JSON, names, -1,
               "{\"id\":7,\"label\":\"positive\",\"probability\":0.97702263,"
               "\"logits\":[-1.5,2.25]}\n");
  assert_line (SENTIMENT_FORMAT_JSON, NULL, 0,
               "{\"id\":7,\"label\":\"label_1\",\"probability\":0.97702263,"
               "\"logits\":[-1.5,2.25],\"expected\":\"label_0\"}\n");
  assert_line (SENTIMENT_FORMAT_JSON, odd, 0,
               "{\"id\":7,\"label\":\"\303\244\\u0001\",\"probability\":0.97702263,"
               "\"logits\":[-1.5,2.25],\"expected\":\"a\\\"b\\\\c\\u000a\"}\n");
}

static void
test_csv (void)
{
  const char *const names[] = { "so, \"so\"", "good", NULL };
  g_autoptr (GString) out = g_string_new (NULL);

  sentiment_append_header (out, SENTIMENT_FORMAT_CSV);
  g_assert_cmpstr (out->str, ==, "id,label,probability,logits,expected\r\n");
  assert_line (SENTIMENT_FORMAT_CSV, names, -1, "7,good,0.97702263,\"[-1.5,2.25]\",\r\n");
  assert_line (SENTIMENT_FORMAT_CSV, names, 0,
               "7,good,0.97702263,\"[-1.5,2.25]\",\"so, \"\"so\"\"\"\r\n");
}

static void
test_text (void)
{
  assert_line (SENTIMENT_FORMAT_TEXT, NULL, -1, "7: label_1 0.977\n");
  assert_line (SENTIMENT_FORMAT_TEXT, NULL, 1, "7: label_1 0.977 (expected: label_1)\n");
}

static void
test_floats_come_back (void)
{
  const float scores[] = { 0.1f, -3.4028234e38f, 1.17549435e-38f, 16777217.0f, -0.0f, 1e-45f };
  const guint n = G_N_ELEMENTS (scores);
  g_autofree SentimentResult *result = sentiment_result_new (0, -1, scores, n, NULL);
  g_auto (GStrv) labels = sentiment_labels_new (NULL, n);
  g_autoptr (GString) out = g_string_new (NULL);
  const char *p;
  guint i;

  sentiment_append_result (out, SENTIMENT_FORMAT_JSON, result, (const char *const *) labels);
  p = strchr (out->str, '[') + 1;
  for (i = 0; i < n; i++) {
    char *end;
    float back = (float) g_ascii_strtod (p, &end);

    g_assert_cmpmem (&back, sizeof back, &scores[i], sizeof back);
    p = end + 1;
  }
}

static void
test_softmax (void)
{
  const float equal[] = { 3.0f, 3.0f, 3.0f }, huge[] = { -3e38f, 3e38f }, one[] = { -5.0f };
  g_autofree SentimentResult *a = sentiment_result_new (0, -1, equal, 3, NULL);
  g_autofree SentimentResult *b = sentiment_result_new (0, -1, huge, 2, NULL);
  g_autofree SentimentResult *c = sentiment_result_new (0, -1, one, 1, NULL);

  g_assert_cmpuint (a->winner, ==, 0);
  g_assert_cmpfloat_with_epsilon (a->probability, 1.0 / 3.0, 1e-12);
  g_assert_cmpuint (b->winner, ==, 1);
  g_assert_cmpfloat (b->probability, ==, 1.0);
  g_assert_cmpfloat (c->probability, ==, 1.0);
}

static void
test_bad_scores (void)
{
  const float bad[] = { NAN, INFINITY, -INFINITY };
  g_autoptr (GError) error = NULL;
  guint i;

  for (i = 0; i < G_N_ELEMENTS (bad); i++) {
    const float scores[] = { 0.5f, bad[i] };

    g_assert_null (sentiment_result_new (123, -1, scores, 2, &error));
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
    g_assert_nonnull (strstr (error->message, "review 123"));
    g_clear_error (&error);
  }
  g_assert_null (sentiment_result_new (123, 2, two_scores, 2, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
}

/* Runs only where such a locale is installed; C.UTF-8 always is. */
static void
test_locale (void)
{
  static const char *const locales[] = { "de_DE.UTF-8", "fr_FR.UTF-8", "tr_TR.UTF-8" };
  const char *const names[] = { "I", "POSITIVE", NULL };
  g_autofree char *before = g_strdup (setlocale (LC_ALL, NULL));
  gboolean any = FALSE;
  guint i;

  for (i = 0; i < G_N_ELEMENTS (locales); i++) {
    if (setlocale (LC_ALL, locales[i]) == NULL)
      continue;
    any = TRUE;
    assert_line (SENTIMENT_FORMAT_JSON, names, 0,
                 "{\"id\":7,\"label\":\"positive\",\"probability\":0.97702263,"
                 "\"logits\":[-1.5,2.25],\"expected\":\"i\"}\n");
  }
  setlocale (LC_ALL, before);
  if (!any)
    g_test_skip ("no locale with a decimal comma or a dotless i is installed");
}

static void
push (SentimentReorder *reorder, guint id, gint64 now)
{
  sentiment_reorder_push (reorder, id, GUINT_TO_POINTER (id + 1), now);
}

static void
assert_pops (SentimentReorder *reorder, gint64 now, const char *wanted)
{
  g_autoptr (GString) got = g_string_new (NULL);
  gpointer item;

  while ((item = sentiment_reorder_pop (reorder, now)) != NULL)
    g_string_append_printf (got, "%u ", GPOINTER_TO_UINT (item) - 1);
  g_assert_cmpstr (got->str, ==, wanted);
}

static void
no_destroy (gpointer item)
{
}

static void
test_reorder_sorts (void)
{
  g_autoptr (SentimentReorder) reorder = sentiment_reorder_new (10, 0, no_destroy);

  push (reorder, 2, 0);
  push (reorder, 1, 0);
  assert_pops (reorder, 0, "");
  g_assert_cmpuint (sentiment_reorder_get_n_held (reorder), ==, 2);
  push (reorder, 0, 0);
  assert_pops (reorder, 0, "0 1 2 ");
  /* Late and doubled ids are passed on. */
  push (reorder, 1, 0);
  push (reorder, 1, 0);
  push (reorder, 4, 0);
  assert_pops (reorder, 0, "1 1 ");
  g_assert_cmpint (sentiment_reorder_get_deadline (reorder), ==, -1);
  sentiment_reorder_reset (reorder);
  push (reorder, 0, 0);
  assert_pops (reorder, 0, "0 ");
}

static void
test_reorder_window (void)
{
  g_autoptr (SentimentReorder) reorder = sentiment_reorder_new (2, 0, no_destroy);

  push (reorder, 5, 0);
  push (reorder, 3, 0);
  assert_pops (reorder, 0, "");
  push (reorder, 7, 0);
  assert_pops (reorder, 0, "3 ");
  push (reorder, 4, 0);
  assert_pops (reorder, 0, "4 5 ");
  push (reorder, 1, 0);
  assert_pops (reorder, 0, "1 ");
  g_assert_cmpuint (GPOINTER_TO_UINT (sentiment_reorder_pop_any (reorder)), ==, 8);
  g_assert_null (sentiment_reorder_pop_any (reorder));
}

static void
test_reorder_timeout (void)
{
  g_autoptr (SentimentReorder) reorder = sentiment_reorder_new (100, 50, no_destroy);

  push (reorder, 9, 1000);
  push (reorder, 4, 1020);
  push (reorder, 12, 1030);
  g_assert_cmpint (sentiment_reorder_get_deadline (reorder), ==, 1050);
  assert_pops (reorder, 1049, "");
  /* 4 goes with 9, for which it would have been too late. */
  assert_pops (reorder, 1050, "4 9 ");
  g_assert_cmpint (sentiment_reorder_get_deadline (reorder), ==, 1080);
  push (reorder, 10, 1060);
  push (reorder, 11, 1060);
  assert_pops (reorder, 1060, "10 11 12 ");
}

static void
test_reorder_ends_of_range (void)
{
  g_autoptr (SentimentReorder) reorder = sentiment_reorder_new (1, 0, no_destroy);

  sentiment_reorder_push (reorder, G_MAXUINT64, GUINT_TO_POINTER (1), 0);
  sentiment_reorder_push (reorder, G_MAXUINT64, GUINT_TO_POINTER (2), 0);
  assert_pops (reorder, 0, "0 1 ");
}

static void
count_destroyed (gpointer item)
{
  ++*(int *) item;
}

static void
test_reorder_releases (void)
{
  int n = 0;
  SentimentReorder *reorder = sentiment_reorder_new (10, 0, count_destroyed);

  sentiment_reorder_push (reorder, 5, &n, 0);
  sentiment_reorder_push (reorder, 6, &n, 0);
  sentiment_reorder_free (reorder);
  g_assert_cmpint (n, ==, 2);
}

static void
test_summary (void)
{
  SentimentSummary summary = { 0 };
  guint i;

  g_assert_cmpfloat (sentiment_summary_get_rate (&summary), ==, 0.0);
  for (i = 0; i < 4; i++) {
    g_autofree SentimentResult *result = sentiment_result_new (i, (gint32) i - 1 > 1 ? -1 :
                                                               (gint32) i - 1, two_scores, 2, NULL);

    sentiment_summary_add_result (&summary, result);
  }
  sentiment_summary_add_buffer (&summary, 1, 5000000);
  g_assert_cmpfloat (sentiment_summary_get_rate (&summary), ==, 0.0);
  sentiment_summary_add_buffer (&summary, 3, 7000000);
  g_assert_cmpfloat (sentiment_summary_get_rate (&summary), ==, 1.5);
  g_autofree char *text = sentiment_summary_to_string (&summary);
  g_assert_cmpstr (text, ==, "4 reviews, 1 of 2 labelled right (50.00 %), 1.5 reviews a second");
}

static void
test_output_file (void)
{
  g_autofree char *dir = g_dir_make_tmp ("tandem-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (dir, "r\303\251sultats", NULL);
  g_autofree char *contents = NULL;
  g_autoptr (GError) error = NULL;
  SentimentOutput *output;
  gsize length;
  guint i;

  g_assert_true (g_file_set_contents (path, "older and longer\n", -1, NULL));
  output = sentiment_output_open (path, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (sentiment_output_get_name (output), ==, path);
  for (i = 0; i < 3; i++) {
    g_string_append_printf (sentiment_output_get_pending (output), "%05000u\n", i);
    g_assert_true (sentiment_output_write (output, NULL, &error));
  }
  g_assert_true (sentiment_output_close (output, &error));
  g_assert_true (g_file_get_contents (path, &contents, &length, NULL));
  g_assert_cmpuint (length, ==, 3 * 5001);
  g_unlink (path);
  g_assert_null (sentiment_output_open (dir, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_IS_DIRECTORY);
  g_rmdir (dir);
}

static void
test_output_full_disk (void)
{
  g_autoptr (GError) error = NULL;
  SentimentOutput *output = sentiment_output_open ("/dev/full", &error);

  if (output == NULL) {
    g_test_skip ("there is no /dev/full");
    return;
  }
  g_string_append (sentiment_output_get_pending (output), "x\n");
  g_assert_false (sentiment_output_write (output, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_assert_true (sentiment_output_close (output, NULL));
}

static gpointer
cancel_later (gpointer cancellable)
{
  g_usleep (50000);
  g_cancellable_cancel (cancellable);
  return NULL;
}

/* A reader that stalls does not keep the writer from ending, and what it reads later is whole. */
static void
test_output_cancelled (void)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *name = NULL;
  g_autofree char *buffer = g_malloc (1000001);
  gsize total = 0;
  SentimentOutput *output;
  GThread *thread;
  int fds[2];

  g_assert_cmpint (pipe (fds), ==, 0);
  name = g_strdup_printf ("/proc/self/fd/%d", fds[1]);
  output = sentiment_output_open (name, &error);
  g_assert_no_error (error);
  g_string_set_size (sentiment_output_get_pending (output), 1000000);
  memset (sentiment_output_get_pending (output)->str, 'x', 1000000);
  thread = g_thread_new ("cancel", cancel_later, cancellable);
  g_assert_false (sentiment_output_write (output, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_thread_join (thread);
  g_assert_cmpuint (sentiment_output_get_pending (output)->len, <, 1000000);

  g_cancellable_reset (cancellable);
  while (total < 1000000) {
    g_clear_error (&error);
    if (sentiment_output_get_pending (output)->len > 0 && total > 0) {
      thread = g_thread_new ("cancel", cancel_later, cancellable);
      sentiment_output_write (output, cancellable, NULL);
      g_thread_join (thread);
      g_cancellable_reset (cancellable);
    }
    total += read (fds[0], buffer, 1000000);
  }
  g_assert_cmpuint (total, ==, 1000000);
  g_assert_cmpuint (sentiment_output_get_pending (output)->len, ==, 0);
  g_assert_true (sentiment_output_close (output, NULL));
  close (fds[0]);
  close (fds[1]);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/sentiment/json", test_json);
  g_test_add_func ("/sentiment/csv", test_csv);
  g_test_add_func ("/sentiment/text", test_text);
  g_test_add_func ("/sentiment/floats-come-back", test_floats_come_back);
  g_test_add_func ("/sentiment/softmax", test_softmax);
  g_test_add_func ("/sentiment/bad-scores", test_bad_scores);
  g_test_add_func ("/sentiment/locale", test_locale);
  g_test_add_func ("/sentiment/reorder/sorts", test_reorder_sorts);
  g_test_add_func ("/sentiment/reorder/window", test_reorder_window);
  g_test_add_func ("/sentiment/reorder/timeout", test_reorder_timeout);
  g_test_add_func ("/sentiment/reorder/ends-of-range", test_reorder_ends_of_range);
  g_test_add_func ("/sentiment/reorder/releases", test_reorder_releases);
  g_test_add_func ("/sentiment/summary", test_summary);
  g_test_add_func ("/sentiment/output/file", test_output_file);
  g_test_add_func ("/sentiment/output/full-disk", test_output_full_disk);
  g_test_add_func ("/sentiment/output/cancelled", test_output_cancelled);
  return g_test_run ();
}
