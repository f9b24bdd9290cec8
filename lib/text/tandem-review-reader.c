/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-review-reader.h"

#include <string.h>

#include "tandem-review-rows-private.h"

/**
 * TandemReviewReader:
 *
 * Reads labelled texts as people have them: the folder aclImdb (train, test and unsup,
 * with neg and pos below), a folder with train.tsv and so on, or a file: CSV with the
 * columns review and sentiment, TSV (label and text, or label, id, rating, split and text,
 * or any columns that a header names), JSON lines (text or review, label or sentiment);
 * .gz of these too. Labels are 0 or neg or negative, 1 or pos or positive; others unknown.
 *
 * Rows are read one at a time. One thread at a time may use a reader.
 */

typedef struct
{
  /* of "ID_RATING.txt" */
  guint64 id;
  int label;
  const char *folder;
  const char *name;
} Entry;

struct _TandemReviewReader
{
  GObject parent;

  char *path;
  guint max_row;
  TandemReviewSplit split;
  const Entry *entry;           /* read last */

  /* a folder of texts ... */
  GArray *entries;
  GStringChunk *names;
  /* ... or a file of rows */
  TandemReviewRows *rows;
  GArray *positions;

  /* the rows or entries in the order in which they come; NULL for their own order */
  GArray *order;
  GRand *random;
  guint at;
};

G_DEFINE_FINAL_TYPE (TandemReviewReader, tandem_review_reader, G_TYPE_OBJECT)

static const char *const split_names[] = {
  [TANDEM_REVIEW_SPLIT_TRAIN] = "train",
  [TANDEM_REVIEW_SPLIT_TEST] = "test",
  [TANDEM_REVIEW_SPLIT_UNSUP] = "unsup",
};

static void
tandem_review_reader_finalize (GObject *object)
{
  TandemReviewReader *self = TANDEM_REVIEW_READER (object);

  g_clear_pointer (&self->entries, g_array_unref);
  g_clear_pointer (&self->names, g_string_chunk_free);
  g_clear_pointer (&self->rows, tandem_review_rows_free);
  g_clear_pointer (&self->positions, g_array_unref);
  g_clear_pointer (&self->order, g_array_unref);
  g_clear_pointer (&self->random, g_rand_free);
  g_free (self->path);
  G_OBJECT_CLASS (tandem_review_reader_parent_class)->finalize (object);
}

static void
tandem_review_reader_class_init (TandemReviewReaderClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tandem_review_reader_finalize;
}

static void
tandem_review_reader_init (TandemReviewReader *self)
{
}

static int
compare_entries (gconstpointer a, gconstpointer b)
{
  const Entry *left = a, *right = b;

  if (left->label != right->label)
    return left->label < right->label ? -1 : 1;
  if (left->id != right->id)
    return left->id < right->id ? -1 : 1;
  return strcmp (left->name, right->name);
}

static gboolean
add_folder (TandemReviewReader *self, const char *folder, int label, GError **error)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, error);
  const char *interned;
  const char *name;

  if (dir == NULL)
    return FALSE;
  interned = g_string_chunk_insert (self->names, folder);
  while ((name = g_dir_read_name (dir)) != NULL) {
    Entry entry = { .label = label, .folder = interned };

    if (!g_str_has_suffix (name, ".txt"))
      continue;
    entry.id = g_ascii_strtoull (name, NULL, 10);
    entry.name = g_string_chunk_insert (self->names, name);
    g_array_append_val (self->entries, entry);
  }
  return TRUE;
}

/* The layout of aclImdb below @folder. */
static gboolean
open_folder (TandemReviewReader *self, const char *folder, TandemReviewSplit split,
             GError **error)
{
  g_autofree char *negative = g_build_filename (folder, "neg", NULL);
  g_autofree char *positive = g_build_filename (folder, "pos", NULL);

  self->entries = g_array_new (FALSE, FALSE, sizeof (Entry));
  self->names = g_string_chunk_new (65536);
  if (split == TANDEM_REVIEW_SPLIT_UNSUP) {
    if (!add_folder (self, folder, -1, error))
      return FALSE;
  } else if (!add_folder (self, negative, 0, error) || !add_folder (self, positive, 1, error)) {
    return FALSE;
  }
  if (self->entries->len == 0) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "%s holds no texts (*.txt)", folder);
    return FALSE;
  }
  g_array_sort (self->entries, compare_entries);
  return TRUE;
}

/* Finds the part @split of the data set in the folder self->path. */
static gboolean
open_data_set (TandemReviewReader *self, TandemReviewSplit split, GCancellable *cancellable,
               GError **error)
{
  static const char *const suffixes[] = {
    ".tsv", ".csv", ".jsonl", ".tsv.gz", ".csv.gz", ".jsonl.gz",
  };
  g_autofree char *folder = NULL;
  guint i;

  /* aclImdb keeps its unlabelled texts below train. */
  folder = g_build_filename (self->path, split == TANDEM_REVIEW_SPLIT_TEST ? "test" : "train",
                             split == TANDEM_REVIEW_SPLIT_UNSUP ? "unsup" : NULL, NULL);
  if (g_file_test (folder, G_FILE_TEST_IS_DIR))
    return open_folder (self, folder, split, error);

  for (i = 0; i < G_N_ELEMENTS (suffixes); i++) {
    g_autofree char *name = g_strconcat (split_names[split], suffixes[i], NULL);
    g_autofree char *file = g_build_filename (self->path, name, NULL);

    if (g_file_test (file, G_FILE_TEST_EXISTS)) {
      self->rows = tandem_review_rows_open (file, self->max_row, cancellable, error);
      return self->rows != NULL;
    }
  }
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
               "%s has neither the folder %s of aclImdb nor a file %s.tsv, .csv or .jsonl",
               self->path, folder, split_names[split]);
  return FALSE;
}

/**
 * tandem_review_reader_open:
 * @path: (type filename): a folder or a file
 * @split: which part of a folder; a file is read whole
 * @max_row: the most bytes that a row or text may have; 0 for 16 MiB. Bounds the memory
 *   that a damaged file can take
 * @cancellable: (nullable): stops reading
 * @error: return location for a #GIOErrorEnum or an error of reading files
 *
 * Opens a data set and finds out how it is stored.
 *
 * Returns: (transfer full): the reader, or %NULL on error
 */
TandemReviewReader *
tandem_review_reader_open (const char *path, TandemReviewSplit split, guint max_row,
                           GCancellable *cancellable, GError **error)
{
  g_autoptr (TandemReviewReader) self = NULL;

  g_return_val_if_fail (path != NULL, NULL);
  g_return_val_if_fail ((guint) split < G_N_ELEMENTS (split_names), NULL);

  self = g_object_new (TANDEM_TYPE_REVIEW_READER, NULL);
  self->path = g_strdup (path);
  self->split = split;
  self->max_row = max_row != 0 ? max_row : 16 << 20;
  if (g_file_test (path, G_FILE_TEST_IS_DIR)) {
    if (!open_data_set (self, split, cancellable, error))
      return NULL;
  } else {
    self->rows = tandem_review_rows_open (path, self->max_row, cancellable, error);
    if (self->rows == NULL)
      return NULL;
  }
  return g_steal_pointer (&self);
}

/* Fisher and Yates, from where the generator stands. */
static void
shuffle_order (TandemReviewReader *self)
{
  guint i;

  for (i = self->order->len; i > 1; i--) {
    guint j = g_rand_int_range (self->random, 0, i);
    guint kept = g_array_index (self->order, guint, i - 1);

    g_array_index (self->order, guint, i - 1) = g_array_index (self->order, guint, j);
    g_array_index (self->order, guint, j) = kept;
  }
}

static gboolean
index_rows (TandemReviewReader *self, GCancellable *cancellable, GError **error)
{
  TandemReviewPosition position;
  g_autoptr (GError) local = NULL;

  if (!tandem_review_rows_is_seekable (self->rows)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                 "%s: a packed file cannot be shuffled; unpack it first", self->path);
    return FALSE;
  }
  self->positions = g_array_new (FALSE, FALSE, sizeof (TandemReviewPosition));
  while (tandem_review_rows_skip (self->rows, &position, cancellable, &local))
    g_array_append_val (self->positions, position);
  if (local != NULL) {
    g_propagate_error (error, g_steal_pointer (&local));
    return FALSE;
  }
  return TRUE;
}

/**
 * tandem_review_reader_shuffle:
 * @self: a reader from which nothing was read yet
 * @seed: the same seed gives the same order on every device
 * @cancellable: (nullable): stops reading
 * @error: return location for an error of reading files
 *
 * Makes texts come in random order, in another one after each
 * tandem_review_reader_rewind(). Reads a file once to learn where its rows begin, and
 * keeps 20 bytes a row.
 *
 * Returns: whether it worked
 */
gboolean
tandem_review_reader_shuffle (TandemReviewReader *self, guint32 seed, GCancellable *cancellable,
                              GError **error)
{
  guint n, i;

  g_return_val_if_fail (TANDEM_IS_REVIEW_READER (self), FALSE);
  g_return_val_if_fail (self->order == NULL && self->at == 0, FALSE);

  if (self->rows != NULL && !index_rows (self, cancellable, error))
    return FALSE;
  n = self->rows != NULL ? self->positions->len : self->entries->len;
  self->random = g_rand_new_with_seed (seed);
  self->order = g_array_sized_new (FALSE, FALSE, sizeof (guint), n);
  for (i = 0; i < n; i++)
    g_array_append_val (self->order, i);
  shuffle_order (self);
  return TRUE;
}

/**
 * tandem_review_reader_rewind:
 * @self: a reader
 * @cancellable: (nullable): stops reading
 * @error: return location for an error of reading files
 *
 * Begins again with the first text, for another epoch.
 *
 * Returns: whether it worked
 */
gboolean
tandem_review_reader_rewind (TandemReviewReader *self, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (TANDEM_IS_REVIEW_READER (self), FALSE);

  self->at = 0;
  if (self->order != NULL) {
    shuffle_order (self);
    return TRUE;
  }
  return self->rows == NULL || tandem_review_rows_seek (self->rows, NULL, cancellable, error);
}

static gboolean
read_entry (TandemReviewReader *self, guint index, GBytes **text, int *label,
            GCancellable *cancellable, GError **error)
{
  const Entry *entry = self->entry = &g_array_index (self->entries, Entry, index);
  g_autofree char *path = g_build_filename (entry->folder, entry->name, NULL);
  g_autoptr (GFile) file = g_file_new_for_path (path);
  g_autoptr (GFileInfo) info = g_file_query_info (file, G_FILE_ATTRIBUTE_STANDARD_SIZE,
                                                  G_FILE_QUERY_INFO_NONE, cancellable, error);

  if (info == NULL)
    return FALSE;
  if (g_file_info_get_size (info) > self->max_row) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 "%s has %" G_GOFFSET_FORMAT " bytes; up to %u are read", path,
                 g_file_info_get_size (info), self->max_row);
    return FALSE;
  }
  *text = g_file_load_bytes (file, cancellable, NULL, error);
  *label = entry->label;
  return *text != NULL;
}

/**
 * tandem_review_reader_next:
 * @self: a reader
 * @text: (out) (transfer full): the text, without a terminating zero
 * @label: (out): 0 for negative, 1 for positive, -1 for unknown
 * @cancellable: (nullable): stops reading
 * @error: return location for an error that names file and line
 *
 * Reads the next text. A text may hold bytes that are not UTF-8.
 *
 * Returns: %TRUE with a text; %FALSE at the end, or with @error set
 */
gboolean
tandem_review_reader_next (TandemReviewReader *self, GBytes **text, int *label,
                           GCancellable *cancellable, GError **error)
{
  guint index;

  g_return_val_if_fail (TANDEM_IS_REVIEW_READER (self), FALSE);

  if (self->rows != NULL && self->order == NULL)
    return tandem_review_rows_next (self->rows, text, label, cancellable, error);

  if (self->at == (self->order != NULL ? self->order->len : self->entries->len))
    return FALSE;
  index = self->order != NULL ? g_array_index (self->order, guint, self->at) : self->at;
  self->at++;
  if (self->rows == NULL)
    return read_entry (self, index, text, label, cancellable, error);
  return tandem_review_rows_seek (self->rows,
                                  &g_array_index (self->positions, TandemReviewPosition, index),
                                  cancellable, error) &&
      tandem_review_rows_next (self->rows, text, label, cancellable, error);
}

/**
 * tandem_review_reader_describe:
 * @self: a reader
 *
 * Returns: (transfer full): where the text that tandem_review_reader_next() gave last stands,
 *   for messages: a file, or a file and the line at which the row begins
 */
char *
tandem_review_reader_describe (TandemReviewReader *self)
{
  g_autofree char *path = NULL;

  g_return_val_if_fail (TANDEM_IS_REVIEW_READER (self), NULL);

  if (self->rows != NULL) {
    path = g_filename_display_name (self->path);
    return g_strdup_printf ("%s, line %" G_GUINT64_FORMAT, path,
                            tandem_review_rows_get_line (self->rows));
  }
  if (self->entry == NULL)
    return g_filename_display_name (self->path);
  path = g_build_filename (self->entry->folder, self->entry->name, NULL);
  return g_filename_display_name (path);
}

/**
 * tandem_review_reader_get_line:
 * @self: a reader
 *
 * Returns: the line, counted from 1, at which the row begins that tandem_review_reader_next()
 *   gave last; 0 where each text is a file
 */
guint64
tandem_review_reader_get_line (TandemReviewReader *self)
{
  g_return_val_if_fail (TANDEM_IS_REVIEW_READER (self), 0);

  return self->rows != NULL ? tandem_review_rows_get_line (self->rows) : 0;
}

/**
 * tandem_review_reader_dup_name:
 * @self: a reader
 *
 * Gives the name by which lists of reviews call the text that tandem_review_reader_next()
 * gave last: its path in aclImdb, as `train/pos/10643_8.txt`. Rows of label, id, rating, split
 * and text have one, too; it begins with "test" where the reader was opened for that split, else
 * with "train".
 *
 * Returns: (transfer full) (nullable): the name, or %NULL where texts have none
 */
char *
tandem_review_reader_dup_name (TandemReviewReader *self)
{
  const char *split;

  g_return_val_if_fail (TANDEM_IS_REVIEW_READER (self), NULL);

  split = split_names[self->split == TANDEM_REVIEW_SPLIT_TEST ? TANDEM_REVIEW_SPLIT_TEST
                                                              : TANDEM_REVIEW_SPLIT_TRAIN];
  if (self->rows != NULL)
    return tandem_review_rows_dup_name (self->rows, split);
  if (self->entry == NULL)
    return NULL;
  return g_strdup_printf ("%s/%s/%s", split, self->entry->label == 0 ? "neg" :
                          self->entry->label == 1 ? "pos" : "unsup", self->entry->name);
}
