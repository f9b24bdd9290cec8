/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-dataset.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tandem-hash-index.h"
#include "base/tandem-random-private.h"

/* Numbers of a table after nominal columns became several. */
#define MAX_NUMBERS (128 * 1024 * 1024)

struct _TandemDataset
{
  GObject parent;

  guint n;
  guint n_classes;
  gint32 *labels;               /* [n] */
  char **class_names;           /* NULL: none */

  GBytes **texts;               /* [n], or NULL for numbers */
  float *values;                /* [n, width]; NaN: missing */
  guint width;

  TandemTerms *ngrams[TANDEM_NGRAM_MAX_ORDER];  /* by order - 1; NULL: nobody asked */
  TandemTerms *words;
  GHashTable *kept;
};

G_DEFINE_QUARK (tandem-classify-error-quark, tandem_classify_error)

G_DEFINE_FINAL_TYPE (TandemDataset, tandem_dataset, G_TYPE_OBJECT)

typedef struct
{
  gpointer data;
  GDestroyNotify free_data;
} Kept;

static void
kept_free (gpointer data)
{
  Kept *kept = data;

  kept->free_data (kept->data);
  g_free (kept);
}

static void
terms_free (TandemTerms *terms)
{
  if (terms == NULL)
    return;
  g_free (terms->hashes);
  g_free (terms->offsets);
  g_free (terms->terms);
  g_free (terms);
}

static void
tandem_dataset_finalize (GObject *object)
{
  TandemDataset *self = TANDEM_DATASET (object);
  guint i;

  for (i = 0; i < self->n && self->texts != NULL; i++)
    g_bytes_unref (self->texts[i]);
  for (i = 0; i < TANDEM_NGRAM_MAX_ORDER; i++)
    terms_free (self->ngrams[i]);
  terms_free (self->words);
  g_hash_table_unref (self->kept);
  g_free (self->texts);
  g_free (self->values);
  g_free (self->labels);
  g_strfreev (self->class_names);
  G_OBJECT_CLASS (tandem_dataset_parent_class)->finalize (object);
}

static void
tandem_dataset_class_init (TandemDatasetClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tandem_dataset_finalize;
}

static void
tandem_dataset_init (TandemDataset *self)
{
  self->kept = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, kept_free);
}

static TandemDataset *
make (const gint32 *labels, guint n, guint n_classes, GError **error)
{
  TandemDataset *self;
  guint i;

  if (n < 1 || n_classes < 2 || n_classes > TANDEM_DATASET_MAX_CLASSES) {
    g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA,
                 "%u rows of %u classes; from 1 row on and 2 to %d classes are taken", n, n_classes,
                 TANDEM_DATASET_MAX_CLASSES);
    return NULL;
  }
  for (i = 0; i < n; i++) {
    if (labels[i] >= -1 && labels[i] < (gint32) n_classes)
      continue;
    g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA,
                 "row %u has the label %d; 0 to %u are taken", i, labels[i], n_classes - 1);
    return NULL;
  }
  self = g_object_new (TANDEM_TYPE_DATASET, NULL);
  self->labels = g_memdup2 (labels, n * sizeof *labels);
  self->n = n;
  self->n_classes = n_classes;
  return self;
}

TandemDataset *
tandem_dataset_new_texts (GBytes *const *texts, const gint32 *labels, guint n, guint n_classes,
                          GError **error)
{
  TandemDataset *self = make (labels, n, n_classes, error);
  guint i;

  if (self == NULL)
    return NULL;
  self->texts = g_new (GBytes *, n);
  for (i = 0; i < n; i++)
    self->texts[i] = g_bytes_ref (texts[i]);
  return self;
}

TandemDataset *
tandem_dataset_new_rows (const float *values, guint n, guint width, const gint32 *labels,
                         guint n_classes, GError **error)
{
  TandemDataset *self = make (labels, n, n_classes, error);
  gsize i;

  if (self == NULL)
    return NULL;
  if (width < 1 || (gsize) n * width > MAX_NUMBERS) {
    g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA,
                 "%u rows of %u numbers; 1 to %d numbers are taken", n, width, MAX_NUMBERS);
    g_object_unref (self);
    return NULL;
  }
  self->width = width;
  self->values = g_memdup2 (values, (gsize) n * width * sizeof (float));
  for (i = 0; i < (gsize) n * width; i++)
    if (isinf (self->values[i]))
      self->values[i] = NAN;
  return self;
}

static int
compare_numbers (gconstpointer a, gconstpointer b)
{
  double x = *(const double *) a, y = *(const double *) b;

  return (x > y) - (x < y);
}

/* Labels, and the names of the classes, of which there are as many as there are different ones. */
static gboolean
read_classes (TandemDataTable *table, guint column, gint32 *labels, GPtrArray *names,
              GError **error)
{
  guint n_rows = tandem_data_table_get_n_rows (table), i;
  guint n_values = tandem_data_table_get_n_values (table, column);
  g_autoptr (GArray) numbers = g_array_new (FALSE, FALSE, sizeof (double));
  const double *found;
  guint n = 0;

  for (i = 0; i < n_rows; i++) {
    double number = tandem_data_table_get_number (table, i, column);

    if (isnan (number)) {
      g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA,
                   "row %u has no class: \"%s\" is missing", i + 1,
                   tandem_data_table_get_name (table, column));
      return FALSE;
    }
    g_array_append_val (numbers, number);
  }
  g_array_sort (numbers, compare_numbers);
  for (i = 0; i < n_rows; i++)
    if (n == 0 || g_array_index (numbers, double, n - 1) != g_array_index (numbers, double, i))
      g_array_index (numbers, double, n++) = g_array_index (numbers, double, i);
  if (n < 2 || n > TANDEM_DATASET_MAX_CLASSES) {
    g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA,
                 "\"%s\" has %u different values; a class has 2 to %d",
                 tandem_data_table_get_name (table, column), n, TANDEM_DATASET_MAX_CLASSES);
    return FALSE;
  }
  for (i = 0; i < n_rows; i++) {
    double number = tandem_data_table_get_number (table, i, column);

    found = bsearch (&number, numbers->data, n, sizeof (double), compare_numbers);
    labels[i] = (gint32) (found - (const double *) (gconstpointer) numbers->data);
  }
  for (i = 0; i < n; i++) {
    double number = g_array_index (numbers, double, i);

    g_ptr_array_add (names, n_values > 0
                     ? g_strdup (tandem_data_table_get_value_name (table, column, (guint) number))
                     : g_strdup_printf ("%g", number));
  }
  g_ptr_array_add (names, NULL);
  return TRUE;
}

/* How many numbers a column becomes. */
static guint
get_column_width (TandemDataTable *table, guint column)
{
  guint n = tandem_data_table_get_n_values (table, column);

  return n <= 2 ? 1 : n;
}

static void
copy_column (TandemDataTable *table, guint column, guint stride, float *out)
{
  guint n_rows = tandem_data_table_get_n_rows (table), i, k;
  guint width = get_column_width (table, column);

  for (i = 0; i < n_rows; i++, out += stride) {
    double number = tandem_data_table_get_number (table, i, column);

    for (k = 0; k < width; k++)
      out[k] = width == 1 || isnan (number) ? (float) number : number == k ? 1.0f : 0.0f;
  }
}

/* Which columns are numbers to learn from: one byte each. */
static guint8 *
choose_columns (TandemDataTable *table, guint class_column, const char *const *ignored,
                GError **error)
{
  guint n = tandem_data_table_get_n_columns (table);
  g_autofree guint8 *used = g_malloc (n);

  memset (used, 1, n);
  used[class_column] = 0;
  for (; ignored != NULL && *ignored != NULL; ignored++) {
    int column = tandem_data_table_find_column (table, *ignored);

    if (column < 0) {
      g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA,
                   "there is no column \"%s\" to leave out", *ignored);
      return NULL;
    }
    used[column] = 0;
  }
  return g_steal_pointer (&used);
}

TandemDataset *
tandem_dataset_new_table (TandemDataTable *table, const char *class_column,
                          const char *const *ignored, GError **error)
{
  const guint n_rows = tandem_data_table_get_n_rows (table);
  const guint n_columns = tandem_data_table_get_n_columns (table);
  int last = class_column != NULL ? tandem_data_table_find_column (table, class_column)
                                  : (int) n_columns - 1;
  g_autofree gint32 *labels = g_new (gint32, n_rows);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autofree guint8 *used = NULL;
  g_autofree float *values = NULL;
  TandemDataset *self;
  gsize width = 0;
  guint i, at = 0;

  if (last < 0) {
    g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA,
                 "there is no column \"%s\" for the class", class_column);
    return NULL;
  }
  used = choose_columns (table, last, ignored, error);
  if (used == NULL || !read_classes (table, last, labels, names, error))
    return NULL;
  for (i = 0; i < n_columns; i++)
    width += used[i] ? get_column_width (table, i) : 0;
  if (width < 1) {
    g_set_error_literal (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA,
                         "there is no column but that of the class; CSV has commas between columns");
    return NULL;
  }
  if (width > MAX_NUMBERS / n_rows) {
    g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA,
                 "%u rows of %" G_GSIZE_FORMAT " numbers; 1 to %d numbers are taken", n_rows, width,
                 MAX_NUMBERS);
    return NULL;
  }
  values = g_new (float, n_rows * width);
  for (i = 0; i < n_columns; i++) {
    if (!used[i])
      continue;
    copy_column (table, i, width, values + at);
    at += get_column_width (table, i);
  }
  self = tandem_dataset_new_rows (values, n_rows, width, labels, names->len - 1, error);
  if (self != NULL)
    self->class_names = (char **) g_ptr_array_free (g_steal_pointer (&names), FALSE);
  return self;
}

guint
tandem_dataset_get_n_rows (TandemDataset *self)
{
  return self->n;
}

guint
tandem_dataset_get_n_classes (TandemDataset *self)
{
  return self->n_classes;
}

const char *
tandem_dataset_get_class_name (TandemDataset *self, guint n)
{
  return self->class_names != NULL && n < self->n_classes ? self->class_names[n] : NULL;
}

gboolean
tandem_dataset_is_text (TandemDataset *self)
{
  return self->texts != NULL;
}

guint
tandem_dataset_get_width (TandemDataset *self)
{
  return self->width;
}

const gint32 *
tandem_dataset_get_labels (TandemDataset *self)
{
  return self->labels;
}

const float *
tandem_dataset_get_row (TandemDataset *self, guint row)
{
  return self->values + (gsize) row * self->width;
}

GBytes *
tandem_dataset_get_text (TandemDataset *self, guint row)
{
  return self->texts[row];
}

/* order: 0: words as they come. */
static TandemTerms *
find_terms (TandemDataset *self, guint order, GCancellable *cancellable, GError **error)
{
  g_autoptr (TandemHashIndex) index = tandem_hash_index_new ();
  g_autoptr (GArray) terms = g_array_new (FALSE, FALSE, sizeof (guint32));
  g_autofree gsize *offsets = g_new0 (gsize, (gsize) self->n + 1);
  TandemTerms *result;
  guint i, k;
  gsize slot;

  for (i = 0; i < self->n; i++) {
    g_autoptr (GArray) hashes = NULL;
    gsize size;
    const char *text = g_bytes_get_data (self->texts[i], &size);

    if (g_cancellable_set_error_if_cancelled (cancellable, error))
      return NULL;
    text = size > 0 ? text : "";
    hashes = order > 0 ? tandem_ngram_hash_text (text, size, order)
                       : tandem_ngram_hash_words (text, size);
    if (hashes->len > G_MAXINT32 / sizeof (guint32) - terms->len) {
      g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_DATA,
                   "%u texts have too many n-grams; give fewer texts or shorter n-grams", self->n);
      return NULL;
    }
    for (k = 0; k < hashes->len; k++) {
      guint32 term = tandem_hash_index_add (index, g_array_index (hashes, guint64, k));

      g_array_append_val (terms, term);
    }
    offsets[i + 1] = terms->len;
  }
  result = g_new0 (TandemTerms, 1);
  result->n_terms = index->n;
  result->hashes = g_new (guint64, MAX (index->n, 1));
  for (slot = 0; slot < index->n_slots; slot++)
    if (index->numbers[slot] != TANDEM_HASH_INDEX_NONE)
      result->hashes[index->numbers[slot]] = index->keys[slot];
  result->terms = g_memdup2 (terms->data, terms->len * sizeof (guint32));
  result->offsets = g_steal_pointer (&offsets);
  return result;
}

const TandemTerms *
tandem_dataset_get_ngrams (TandemDataset *self, guint order, GCancellable *cancellable,
                           GError **error)
{
  g_return_val_if_fail (order >= 1 && order <= TANDEM_NGRAM_MAX_ORDER, NULL);
  g_return_val_if_fail (self->texts != NULL, NULL);

  if (self->ngrams[order - 1] == NULL)
    self->ngrams[order - 1] = find_terms (self, order, cancellable, error);
  return self->ngrams[order - 1];
}

const TandemTerms *
tandem_dataset_get_words (TandemDataset *self, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (self->texts != NULL, NULL);

  if (self->words == NULL)
    self->words = find_terms (self, 0, cancellable, error);
  return self->words;
}

gpointer
tandem_dataset_get_kept (TandemDataset *self, const char *key)
{
  Kept *kept = g_hash_table_lookup (self->kept, key);

  return kept != NULL ? kept->data : NULL;
}

void
tandem_dataset_keep (TandemDataset *self, const char *key, gpointer data, GDestroyNotify free_data)
{
  Kept *kept = g_new (Kept, 1);

  *kept = (Kept) { data, free_data };
  g_hash_table_insert (self->kept, g_strdup (key), kept);
}

guint8 *
tandem_dataset_make_folds (TandemDataset *self, guint n_folds, guint64 seed)
{
  guint64 random = tandem_random_key (seed, tandem_random_hash ("folds"));
  g_autofree guint *order = g_new (guint, self->n);
  guint8 *folds = g_new (guint8, self->n);
  guint i, next = 0;
  gint32 label;

  g_return_val_if_fail (n_folds >= 1 && n_folds <= 255, folds);

  for (i = 0; i < self->n; i++)
    order[i] = i;
  for (i = self->n; i > 1; i--) {
    guint k = (guint) (tandem_random_uniform (random, i) * i), last = order[i - 1];

    order[i - 1] = order[k];
    order[k] = last;
  }
  for (label = -1; label < (gint32) self->n_classes; label++)
    for (i = 0; i < self->n; i++)
      if (self->labels[order[i]] == label)
        folds[order[i]] = next++ % n_folds;
  return folds;
}

guint *
tandem_dataset_list_fold (TandemDataset *self, const guint8 *folds, guint fold, gboolean outside,
                          guint *n_rows)
{
  guint *rows = g_new (guint, self->n), i, n = 0;

  for (i = 0; i < self->n; i++)
    if ((folds[i] == fold) != outside)
      rows[n++] = i;
  *n_rows = n;
  return rows;
}
