/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "sentiment-summary.h"

#include <glib/gi18n-lib.h>

#include "stream/tandem-batch-meta.h"

/**
 * sentiment_summary_add_buffer:
 * @self: a summary
 * @n_reviews: how many reviews the buffer holds
 * @now: when it came, in microseconds
 *
 * Counts time.
 */
void
sentiment_summary_add_buffer (SentimentSummary *self, guint n_reviews, gint64 now)
{
  if (self->buffers++ == 0) {
    self->first_reviews = n_reviews;
    self->first_time = now;
  }
  self->last_time = now;
}

/**
 * sentiment_summary_add_result:
 * @self: a summary
 * @result: a result that was written
 *
 * Counts a review.
 */
void
sentiment_summary_add_result (SentimentSummary *self, const SentimentResult *result)
{
  self->reviews++;
  if (result->expected == TANDEM_LABEL_UNKNOWN)
    return;
  self->labelled++;
  if ((guint) result->expected == result->winner)
    self->correct++;
}

/**
 * sentiment_summary_get_rate:
 * @self: a summary
 *
 * The first buffer starts the clock, so its own reviews do not count: the time that they
 * took, and the time that it took to load the model, are not known here.
 *
 * Returns: reviews a second between the first and the last buffer; 0 when fewer than
 *   two came or no time passed
 */
double
sentiment_summary_get_rate (const SentimentSummary *self)
{
  if (self->buffers < 2 || self->last_time <= self->first_time ||
      self->reviews <= self->first_reviews)
    return 0.0;
  return (self->reviews - self->first_reviews) * 1e6 / (self->last_time - self->first_time);
}

/**
 * sentiment_summary_to_string:
 * @self: a summary
 *
 * Returns: (transfer full): one line for people, without a line end
 */
char *
sentiment_summary_to_string (const SentimentSummary *self)
{
  GString *text = g_string_new (NULL);
  g_autofree char *reviews = g_strdup_printf ("%" G_GUINT64_FORMAT, self->reviews);
  g_autofree char *labelled = g_strdup_printf ("%" G_GUINT64_FORMAT, self->labelled);
  g_autofree char *correct = g_strdup_printf ("%" G_GUINT64_FORMAT, self->correct);
  double rate = sentiment_summary_get_rate (self);
  char number[G_ASCII_DTOSTR_BUF_SIZE];

  g_string_append_printf (text, 
                          g_dngettext (GETTEXT_PACKAGE, "%s review", "%s reviews",
                                       (gulong) self->reviews),
                          reviews);
  if (self->labelled > 0) {
    g_ascii_formatd (number, sizeof number, "%.2f", 100.0 * self->correct / self->labelled);
    g_string_append (text, ", ");
    /* Translators: how many predictions are right, of how many labelled reviews, in per cent */
    g_string_append_printf (text, _("%s of %s labelled right (%s %%)"), correct, labelled, number);
  }
  if (rate > 0.0) {
    g_ascii_formatd (number, sizeof number, "%.1f", rate);
    g_string_append (text, ", ");
    g_string_append_printf (text, _("%s reviews a second"), number);
  }
  return g_string_free (text, FALSE);
}
