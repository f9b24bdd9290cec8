/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From scores to lines of text. Nothing here knows pads, files or threads.
 * Numbers are written with a decimal point in every locale. */

#include "config.h"

#include "sentiment-writer.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

#include "stream/tandem-batch-meta.h"

/* Nine significant digits bring every float32 back bit by bit. */
#define FLOAT_FORMAT "%.9g"

/**
 * sentiment_result_new:
 * @id: the number of the review
 * @expected: its class, or anything negative when nobody told
 * @logits: (array length=n_logits): the scores before softmax
 * @n_logits: how many classes there are, at least 1
 * @error: return location: %G_IO_ERROR_INVALID_DATA for scores that are not
 *   finite and for an @expected that is no class of the model
 *
 * Returns: the result, to be released with g_free(); %NULL on error
 */
SentimentResult *
sentiment_result_new (guint64 id, gint32 expected, const float *logits, guint n_logits,
                      GError **error)
{
  SentimentResult *result;
  double sum = 0.0;
  guint i;

  for (i = 0; i < n_logits; i++) {
    if (!isfinite (logits[i])) {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                   "review %" G_GUINT64_FORMAT ": the score of class %u is %f", id, i,
                   (double) logits[i]);
      return NULL;
    }
  }
  if (expected >= 0 && (guint) expected >= n_logits) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 "review %" G_GUINT64_FORMAT " is labelled with class %d; the model has %u classes",
                 id, expected, n_logits);
    return NULL;
  }

  result = g_malloc (sizeof (SentimentResult) + n_logits * sizeof (float));
  result->id = id;
  result->expected = expected < 0 ? TANDEM_LABEL_UNKNOWN : expected;
  result->winner = 0;
  result->n_logits = n_logits;
  for (i = 0; i < n_logits; i++) {
    result->logits[i] = logits[i];
    if (logits[i] > logits[result->winner])
      result->winner = i;
  }
  /* The highest exponent is 0: nothing overflows, and the winner's own term is 1. */
  for (i = 0; i < n_logits; i++)
    sum += exp ((double) logits[i] - (double) logits[result->winner]);
  result->probability = 1.0 / sum;
  return result;
}

/* g_utf8_strdown() follows the locale: a Turkish reader would get "posıtıve". */
static char *
lower_case (const char *name)
{
  g_autofree char *valid = g_utf8_make_valid (name, -1);
  GString *lower = g_string_new (NULL);
  const char *p;

  for (p = valid; *p != '\0'; p = g_utf8_next_char (p))
    g_string_append_unichar (lower, g_unichar_tolower (g_utf8_get_char (p)));
  return g_string_free (lower, FALSE);
}

/**
 * sentiment_labels_new:
 * @names: (nullable): @n_classes names as the model gives them, or %NULL when it
 *   names none
 * @n_classes: how many classes there are
 *
 * Returns: (transfer full): the names in lower case, "label_0" and so on for a
 *   model without names
 */
char **
sentiment_labels_new (const char *const *names, guint n_classes)
{
  char **labels = g_new0 (char *, (gsize) n_classes + 1);
  guint i;

  for (i = 0; i < n_classes; i++)
    labels[i] = names != NULL ? lower_case (names[i]) : g_strdup_printf ("label_%u", i);
  return labels;
}

static void
append_number (GString *out, double value)
{
  char buffer[G_ASCII_DTOSTR_BUF_SIZE];

  g_string_append (out, g_ascii_formatd (buffer, sizeof buffer, FLOAT_FORMAT, value));
}

static void
append_logits (GString *out, const SentimentResult *result)
{
  guint i;

  g_string_append_c (out, '[');
  for (i = 0; i < result->n_logits; i++) {
    if (i > 0)
      g_string_append_c (out, ',');
    append_number (out, result->logits[i]);
  }
  g_string_append_c (out, ']');
}

static void
append_json_string (GString *out, const char *text)
{
  const char *p;

  g_string_append_c (out, '"');
  for (p = text; *p != '\0'; p++) {
    if (*p == '"' || *p == '\\')
      g_string_append_printf (out, "\\%c", *p);
    else if ((guchar) *p < 0x20)
      g_string_append_printf (out, "\\u%04x", (guchar) *p);
    else
      g_string_append_c (out, *p);
  }
  g_string_append_c (out, '"');
}

static void
append_csv_field (GString *out, const char *text)
{
  const char *p;

  if (strpbrk (text, ",\"\r\n") == NULL) {
    g_string_append (out, text);
    return;
  }
  g_string_append_c (out, '"');
  for (p = text; *p != '\0'; p++) {
    if (*p == '"')
      g_string_append_c (out, '"');
    g_string_append_c (out, *p);
  }
  g_string_append_c (out, '"');
}

static void
append_text (GString *out, const SentimentResult *result, const char *const *labels)
{
  g_autofree char *id = g_strdup_printf ("%" G_GUINT64_FORMAT, result->id);
  char number[G_ASCII_DTOSTR_BUF_SIZE];

  g_ascii_formatd (number, sizeof number, "%.3f", result->probability);
  if (result->expected == TANDEM_LABEL_UNKNOWN)
    /* Translators: number of the review, its class, how probable that is */
    g_string_append_printf (out, _("%s: %s %s"), id, labels[result->winner], number);
  else
    /* Translators: as above, and the class that the data set names */
    g_string_append_printf (out, _("%s: %s %s (expected: %s)"), id, labels[result->winner], number,
                            labels[result->expected]);
  g_string_append_c (out, '\n');
}

static void
append_json (GString *out, const SentimentResult *result, const char *const *labels)
{
  g_string_append_printf (out, "{\"id\":%" G_GUINT64_FORMAT ",\"label\":", result->id);
  append_json_string (out, labels[result->winner]);
  g_string_append (out, ",\"probability\":");
  append_number (out, result->probability);
  g_string_append (out, ",\"logits\":");
  append_logits (out, result);
  if (result->expected != TANDEM_LABEL_UNKNOWN) {
    g_string_append (out, ",\"expected\":");
    append_json_string (out, labels[result->expected]);
  }
  g_string_append (out, "}\n");
}

static void
append_csv (GString *out, const SentimentResult *result, const char *const *labels)
{
  g_autoptr (GString) logits = g_string_new (NULL);

  g_string_append_printf (out, "%" G_GUINT64_FORMAT ",", result->id);
  append_csv_field (out, labels[result->winner]);
  g_string_append_c (out, ',');
  append_number (out, result->probability);
  g_string_append_c (out, ',');
  append_logits (logits, result);
  append_csv_field (out, logits->str);
  g_string_append_c (out, ',');
  if (result->expected != TANDEM_LABEL_UNKNOWN)
    append_csv_field (out, labels[result->expected]);
  g_string_append (out, "\r\n");
}

/**
 * sentiment_append_header:
 * @out: where to append
 * @format: a format
 *
 * Appends what stands before the first result: the column names of CSV, nothing
 * for the other formats.
 */
void
sentiment_append_header (GString *out, SentimentFormat format)
{
  if (format == SENTIMENT_FORMAT_CSV)
    g_string_append (out, "id,label,probability,logits,expected\r\n");
}

/**
 * sentiment_append_result:
 * @out: where to append
 * @format: a format
 * @result: a result
 * @labels: the names of the classes, from sentiment_labels_new()
 *
 * Appends one result with its line end.
 */
void
sentiment_append_result (GString *out, SentimentFormat format, const SentimentResult *result,
                         const char *const *labels)
{
  switch (format) {
    case SENTIMENT_FORMAT_TEXT:
      append_text (out, result, labels);
      break;
    case SENTIMENT_FORMAT_JSON:
      append_json (out, result, labels);
      break;
    case SENTIMENT_FORMAT_CSV:
      append_csv (out, result, labels);
      break;
  }
}
