/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The reviews of a training. */

#include "config.h"

#include "tandem-train-data.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "tandem.h"

/* Neighbouring reviews that are held out together, and how many blocks there are to be of what is
 * held out at the least. */
#define MAX_BLOCK 128
#define MIN_BLOCKS 8

typedef struct
{
  const TrainOptions *options;
  GHashTable *excluded;         /* names, as people write them */
  GChecksum *checksum;
  TrainData *data;
} Reading;

static void
review_clear (gpointer data)
{
  TrainReview *review = data;

  g_bytes_unref (review->text);
}

void
train_data_free (TrainData *self)
{
  g_array_unref (self->train);
  g_array_unref (self->held_out);
  g_free (self->fingerprint);
  g_free (self);
}

/* The first field of each line names a review; "#" begins a remark. */
static GHashTable *
read_excluded (const char *path, GError **error)
{
  g_autoptr (GHashTable) names = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;
  guint i;

  if (path == NULL)
    return g_steal_pointer (&names);
  if (!g_file_get_contents (path, &text, NULL, error))
    return NULL;
  lines = g_strsplit (text, "\n", -1);
  for (i = 0; lines[i] != NULL; i++) {
    char *tab = strchr (lines[i], '\t');

    if (tab != NULL)
      *tab = '\0';
    g_strstrip (lines[i]);
    if (lines[i][0] != '\0' && lines[i][0] != '#')
      g_hash_table_add (names, g_strdup (lines[i]));
  }
  return g_steal_pointer (&names);
}

/* By its name in aclImdb, or by FILE:LINE. */
static gboolean
is_excluded (Reading *reading, TandemReviewReader *reader, const char *path)
{
  g_autofree char *name = NULL;
  g_autofree char *base = NULL;
  g_autofree char *place = NULL;

  if (g_hash_table_size (reading->excluded) == 0)
    return FALSE;
  name = tandem_review_reader_dup_name (reader);
  if (name != NULL && g_hash_table_contains (reading->excluded, name))
    return TRUE;
  base = g_path_get_basename (path);
  place = g_strdup_printf ("%s:%" G_GUINT64_FORMAT, base,
                           tandem_review_reader_get_line (reader));
  return g_hash_table_contains (reading->excluded, place);
}

static gboolean
add (Reading *reading, TandemReviewReader *reader, GBytes *text, int label, GError **error)
{
  TrainReview review = { g_bytes_ref (text), label };
  guint32 facts[2] = { GUINT32_TO_LE (label), GUINT32_TO_LE (g_bytes_get_size (text)) };

  g_array_append_val (reading->data->train, review);
  g_checksum_update (reading->checksum, (const guchar *) facts, sizeof facts);
  g_checksum_update (reading->checksum, g_bytes_get_data (text, NULL), g_bytes_get_size (text));
  if (label < 0 && g_str_equal (reading->options->task, "classify")) {
    g_autofree char *place = tandem_review_reader_describe (reader);

    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 _("%s: the review has no label; only --task distill and masked-lm learn from such"),
                 place);
    return FALSE;
  }
  return TRUE;
}

static gboolean
can_be_held_out (const TrainOptions *options, const TrainReview *review)
{
  return review->label >= 0 || train_options_is_masked_lm (options);
}

static gboolean
is_block_held_out (const TrainOptions *options, guint64 block)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  guint64 facts[2] = { GUINT64_TO_LE (options->seed), GUINT64_TO_LE (block) }, number;
  guint8 digest[32];
  gsize size = sizeof digest;

  g_checksum_update (checksum, (const guchar *) facts, sizeof facts);
  g_checksum_get_digest (checksum, digest, &size);
  memcpy (&number, digest, sizeof number);
  return (double) (GUINT64_FROM_LE (number) >> 11) * 0x1p-53 < options->holdout;
}

/* Takes the reviews that are held out from the others: whole blocks of neighbours, since
 * data sets have the reviews of one film next to each other, and who learned from half of them
 * knows the film. Where there are few reviews, blocks are small, down to one. Equal texts fall on the
 * same side, wherever they stand. */
static void
hold_out (const TrainOptions *options, TrainData *data)
{
  g_autoptr (GHashTable) texts = g_hash_table_new (g_bytes_hash, g_bytes_equal);
  guint n = data->train->len, n_kept = 0, n_candidates = 0, i;
  TrainReview *reviews = (TrainReview *) (gpointer) data->train->data;
  guint64 block_size, place = 0;

  for (i = 0; i < n; i++)
    n_candidates += can_be_held_out (options, &reviews[i]);
  block_size = CLAMP (n_candidates * options->holdout / MIN_BLOCKS, 1, MAX_BLOCK);
  for (i = 0; i < n; i++)
    if (can_be_held_out (options, &reviews[i]) &&
        is_block_held_out (options, place++ / block_size))
      g_hash_table_add (texts, reviews[i].text);
  for (i = 0; i < n; i++) {
    if (!g_hash_table_contains (texts, reviews[i].text)) {
      reviews[n_kept++] = reviews[i];
    } else if (can_be_held_out (options, &reviews[i])) {
      g_array_append_val (data->held_out, reviews[i]);
    } else {
      /* The text of a review that is held out, without its label. */
      g_bytes_unref (reviews[i].text);
      data->n_excluded++;
    }
  }
  g_array_set_clear_func (data->train, NULL);
  g_array_set_size (data->train, n_kept);
  g_array_set_clear_func (data->train, review_clear);
}

static gboolean
read_split (Reading *reading, const char *path, TandemReviewSplit split,
            GCancellable *cancellable, GError **error)
{
  g_autoptr (TandemReviewReader) reader = NULL;
  g_autoptr (GError) local = NULL;
  GBytes *text;
  int label;

  reader = tandem_review_reader_open (path, split, 0, cancellable, error);
  if (reader == NULL)
    return FALSE;
  while (tandem_review_reader_next (reader, &text, &label, cancellable, &local)) {
    gboolean ok = TRUE;

    if (is_excluded (reading, reader, path))
      reading->data->n_excluded++;
    else
      ok = add (reading, reader, text, label, error);
    g_bytes_unref (text);
    if (!ok)
      return FALSE;
  }
  if (local == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

static gboolean
check (const TrainData *data, const TrainOptions *options, GError **error)
{
  if (data->train->len == 0)
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                         _("no reviews are left to learn from; give more with --data"));
  else if (options->holdout > 0.0 && data->held_out->len == 0)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 _("none of %u reviews came to be held out; give more of them, a larger "
                   "--holdout, or --holdout 0"), data->train->len);
  else if (options->exclude != NULL && data->n_excluded == 0)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 _("%s names none of the reviews; lines are like train/pos/10643_8.txt or "
                   "reviews.csv:17"), options->exclude);
  else
    return TRUE;
  return FALSE;
}

TrainData *
train_data_read (const TrainOptions *options, GCancellable *cancellable, GError **error)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autoptr (GHashTable) excluded = read_excluded (options->exclude, error);
  g_autoptr (TrainData) data = NULL;
  Reading reading = { options, excluded, checksum, NULL };
  char **path;

  if (excluded == NULL)
    return NULL;
  reading.data = data = g_new0 (TrainData, 1);
  data->train = g_array_new (FALSE, FALSE, sizeof (TrainReview));
  data->held_out = g_array_new (FALSE, FALSE, sizeof (TrainReview));
  g_array_set_clear_func (data->train, review_clear);
  g_array_set_clear_func (data->held_out, review_clear);
  for (path = options->data; *path != NULL; path++) {
    if (!read_split (&reading, *path, TANDEM_REVIEW_SPLIT_TRAIN, cancellable, error) ||
        (options->with_unlabelled && g_file_test (*path, G_FILE_TEST_IS_DIR) &&
         !read_split (&reading, *path, TANDEM_REVIEW_SPLIT_UNSUP, cancellable, error)))
      return NULL;
  }
  hold_out (options, data);
  if (!check (data, options, error))
    return NULL;
  data->fingerprint = g_strdup (g_checksum_get_string (checksum));
  return g_steal_pointer (&data);
}

guint32 *
train_data_shuffle (const TrainData *self, guint64 seed, guint64 epoch)
{
  guint32 words[] = { seed, seed >> 32, epoch, epoch >> 32 };
  g_autoptr (GRand) random = g_rand_new_with_seed_array (words, G_N_ELEMENTS (words));
  guint32 *order = g_new (guint32, self->train->len), i;

  for (i = 0; i < self->train->len; i++)
    order[i] = i;
  for (i = self->train->len; i > 1; i--) {
    guint32 j = g_rand_int_range (random, 0, i), kept = order[i - 1];

    order[i - 1] = order[j];
    order[j] = kept;
  }
  return order;
}
