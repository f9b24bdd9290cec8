/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Making an n-gram classifier: which n-grams, what each counts, and the weights, which liblinear
 * finds (Fan, Chang, Hsieh, Wang and Lin 2008). */

#include "config.h"

#include "tandem-ngram-fit.h"

#include <linear.h>
#include <math.h>
#include <stdlib.h>

/* Where the solver stops: the relative length of the gradient. */
#define TOLERANCE 0.01

/* Neighbours go into the same fold: in data sets they are of one film. */
#define BLOCK 128

/* How often each n-gram is counted before the first text has it. */
#define SMOOTHING 1.0

typedef struct
{
  const TandemNgramOptions *options;
  GBytes *const *texts;
  const gint32 *labels;
  guint n_texts;
  /* the n-grams of all texts, one text after the other; text i has those from offsets[i] to
   * offsets[i + 1]: first hashes, then indices of features */
  GArray *hashes;
  gsize *offsets;
  guint n_features;
  guint64 *features;            /* hashes, ascending */
  /* [n_folds, n_features], and [n_folds] */
  float *values;
  float *weights;
  float *biases;
} Fit;

static void
fit_clear (Fit *self)
{
  g_array_unref (self->hashes);
  g_free (self->offsets);
  g_free (self->features);
  g_free (self->values);
  g_free (self->weights);
  g_free (self->biases);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Fit, fit_clear)

static int
compare (const void *a, const void *b)
{
  guint64 x = *(const guint64 *) a, y = *(const guint64 *) b;

  return (x > y) - (x < y);
}

static gboolean
check (const gint32 *labels, guint n_texts, const TandemNgramOptions *options, GError **error)
{
  guint n_ones = 0, i;

  if (options->n_folds < 1 || options->n_folds > TANDEM_NGRAM_MAX_FOLDS) {
    g_set_error (error, TANDEM_NGRAM_ERROR, TANDEM_NGRAM_ERROR_DATA,
                 "%u folds; 1 to %d are taken", options->n_folds, TANDEM_NGRAM_MAX_FOLDS);
    return FALSE;
  }
  if (options->order < 1 || options->order > TANDEM_NGRAM_MAX_ORDER ||
      !(options->cost > 0.0 && options->cost <= 1e9)) {
    g_set_error (error, TANDEM_NGRAM_ERROR, TANDEM_NGRAM_ERROR_DATA,
                 "n-grams of %u words at a cost of %g; 1 to %d words and a cost above 0 are taken",
                 options->order, options->cost, TANDEM_NGRAM_MAX_ORDER);
    return FALSE;
  }
  for (i = 0; i < n_texts; i++) {
    if (labels[i] != 0 && labels[i] != 1) {
      g_set_error (error, TANDEM_NGRAM_ERROR, TANDEM_NGRAM_ERROR_DATA,
                   "text %u has the label %d; 0 and 1 are taken", i, labels[i]);
      return FALSE;
    }
    n_ones += labels[i];
  }
  if (n_ones > 0 && n_ones < n_texts)
    return TRUE;
  g_set_error (error, TANDEM_NGRAM_ERROR, TANDEM_NGRAM_ERROR_DATA,
               "%u of %u texts are of class 1; both classes are needed", n_ones, n_texts);
  return FALSE;
}

static gboolean
collect (Fit *self, GCancellable *cancellable, GError **error)
{
  guint i;

  for (i = 0; i < self->n_texts; i++) {
    g_autoptr (GArray) hashes = NULL;
    gsize size;
    const char *text = g_bytes_get_data (self->texts[i], &size);

    if (g_cancellable_set_error_if_cancelled (cancellable, error))
      return FALSE;
    self->offsets[i] = self->hashes->len;
    hashes = tandem_ngram_hash_text (size > 0 ? text : "", size, self->options->order);
    if (hashes->len > G_MAXINT32 - self->hashes->len) {
      g_set_error (error, TANDEM_NGRAM_ERROR, TANDEM_NGRAM_ERROR_DATA,
                   "%u texts have too many n-grams; give fewer texts or shorter n-grams",
                   self->n_texts);
      return FALSE;
    }
    g_array_append_vals (self->hashes, hashes->data, hashes->len);
  }
  self->offsets[i] = self->hashes->len;
  return TRUE;
}

/* Keeps the n-grams that enough texts have. */
static gboolean
choose (Fit *self, GError **error)
{
  const gsize n_needed = MAX (self->options->min_texts, 1);
  gsize n = self->hashes->len, i, start = 0;
  g_autofree guint64 *all = g_memdup2 (self->hashes->data, n * sizeof (guint64));
  gsize n_kept = 0;

  if (n > 0)
    qsort (all, n, sizeof *all, compare);
  for (i = 0; i < n; i = start) {
    while (start < n && all[start] == all[i])
      start++;
    if (start - i >= n_needed)
      all[n_kept++] = all[i];
  }
  if (n_kept == 0) {
    g_set_error (error, TANDEM_NGRAM_ERROR, TANDEM_NGRAM_ERROR_DATA,
                 "no n-gram stands in %" G_GSIZE_FORMAT " texts; give more texts or a smaller number",
                 n_needed);
    return FALSE;
  }
  self->n_features = n_kept;
  self->features = g_memdup2 (all, n_kept * sizeof (guint64));
  self->values = g_new (float, self->options->n_folds * n_kept);
  self->weights = g_new (float, self->options->n_folds * n_kept);
  self->biases = g_new (float, self->options->n_folds);
  return TRUE;
}

/* Puts indices of features in the place of hashes. */
static void
look_up (Fit *self)
{
  guint64 *all = (guint64 *) (gpointer) self->hashes->data;
  gsize n = 0, from = 0;
  guint i;

  for (i = 0; i < self->n_texts; i++) {
    for (; from < self->offsets[i + 1]; from++) {
      const guint64 *at = bsearch (&all[from], self->features, self->n_features,
                                   sizeof *self->features, compare);

      if (at != NULL)
        all[n++] = at - self->features;
    }
    self->offsets[i + 1] = n;
  }
  g_array_set_size (self->hashes, n);
}

/* Small data sets have small blocks, so that each fold gets some. */
static guint
get_fold (const Fit *self, guint text)
{
  const guint n_folds = self->options->n_folds;

  return text / CLAMP (self->n_texts / (4 * n_folds), 1, BLOCK) % n_folds;
}

/* Whether the model of a fold learns from a text; a single model does from all. */
static gboolean
is_used (const Fit *self, guint fold, guint text)
{
  return self->options->n_folds == 1 || get_fold (self, text) != fold;
}

/* What each n-gram counts for the model of a fold. For naive Bayes, with p and q the numbers of texts
 * of the two classes that have it plus 1, it is log((p / |p|) / (q / |q|)), |.| the sum over all
 * n-grams. */
static void
set_values (Fit *self, guint fold)
{
  const guint64 *all = (const guint64 *) (gconstpointer) self->hashes->data;
  float *values = self->values + (gsize) fold * self->n_features;
  guint n = self->n_features, n_used = 0, i;
  g_autofree double *counts = g_new0 (double, 2 * (gsize) n);
  double sums[2] = { SMOOTHING * n, SMOOTHING * n };
  gsize k;

  for (i = 0; i < self->n_texts; i++) {
    if (!is_used (self, fold, i))
      continue;
    n_used++;
    for (k = self->offsets[i]; k < self->offsets[i + 1]; k++)
      counts[2 * all[k] + self->labels[i]]++;
    sums[self->labels[i]] += self->offsets[i + 1] - self->offsets[i];
  }
  for (i = 0; i < n; i++) {
    double zeros = counts[2 * i], ones = counts[2 * i + 1];

    switch (self->options->weighting) {
      case TANDEM_NGRAM_NB:
        values[i] = log ((ones + SMOOTHING) / sums[1] / ((zeros + SMOOTHING) / sums[0]));
        break;
      case TANDEM_NGRAM_TFIDF:
        values[i] = log (n_used / MAX (zeros + ones, 1.0)) + 1.0;
        break;
      case TANDEM_NGRAM_BINARY:
      default:
        values[i] = 1.0f;
        break;
    }
  }
}

static void
be_quiet (const char *text)
{
}

/* Each text is a row of features, scaled to length 1, and a last feature for the bias. */
static gboolean
solve (Fit *self, guint fold, GError **error)
{
  const guint64 *all = (const guint64 *) (gconstpointer) self->hashes->data;
  const guint n = self->n_features;
  const float *values = self->values + (gsize) fold * n;
  float *weights = self->weights + (gsize) fold * n;
  g_autofree struct feature_node *nodes =
      g_new (struct feature_node, self->hashes->len + 2 * (gsize) self->n_texts);
  g_autofree struct feature_node **rows = g_new (struct feature_node *, self->n_texts);
  g_autofree double *labels = g_new (double, self->n_texts);
  struct problem problem = { 0, n + 1, labels, rows, 1.0 };
  struct parameter parameter = {
    .solver_type = self->options->loss == TANDEM_NGRAM_LOGISTIC ? L2R_LR : L2R_L2LOSS_SVC,
    .eps = TOLERANCE, .C = self->options->cost
  };
  struct feature_node *node = nodes;
  struct model *model;
  const char *wrong;
  double sign;
  guint i, n_ones = 0;
  gsize k;

  for (i = 0; i < self->n_texts; i++) {
    double squares = 0.0;

    if (!is_used (self, fold, i))
      continue;
    rows[problem.l] = node;
    labels[problem.l++] = self->labels[i];
    n_ones += self->labels[i];
    for (k = self->offsets[i]; k < self->offsets[i + 1]; k++)
      squares += (double) values[all[k]] * values[all[k]];
    for (k = self->offsets[i]; k < self->offsets[i + 1] && squares > 0.0; k++)
      *node++ = (struct feature_node) { all[k] + 1, values[all[k]] / sqrt (squares) };
    *node++ = (struct feature_node) { n + 1, problem.bias };
    *node++ = (struct feature_node) { -1, 0.0 };
  }
  if (n_ones == 0 || n_ones == (guint) problem.l) {
    g_set_error (error, TANDEM_NGRAM_ERROR, TANDEM_NGRAM_ERROR_DATA,
                 "%u of the %d texts outside of fold %u are of class 1; both classes are needed: "
                 "give more texts or fewer folds", n_ones, problem.l, fold);
    return FALSE;
  }
  wrong = check_parameter (&problem, &parameter);
  if (wrong != NULL) {
    g_set_error (error, TANDEM_NGRAM_ERROR, TANDEM_NGRAM_ERROR_DATA, "liblinear: %s", wrong);
    return FALSE;
  }
  set_print_string_function (be_quiet);
  model = train (&problem, &parameter);
  /* Its weights are for the class that the first text has. */
  sign = model->label[0] == 1 ? 1.0 : -1.0;
  for (i = 0; i < n; i++)
    weights[i] = sign * model->w[i];
  self->biases[fold] = sign * model->w[n] * problem.bias;
  free_and_destroy_model (&model);
  return TRUE;
}

typedef struct
{
  guint64 number;
  guint8 fold;
} KnownText;

static int
compare_known (const void *a, const void *b)
{
  const KnownText *x = a, *y = b;

  return (x->number > y->number) - (x->number < y->number);
}

/* Equal texts in two folds are of one of them: only that model's judgement counts. */
static TandemNgramClassifier *
make_classifier (Fit *self, GError **error)
{
  g_autofree KnownText *known = g_new (KnownText, self->n_texts);
  g_autofree guint64 *numbers = g_new (guint64, self->n_texts);
  g_autofree guint8 *folds = g_new (guint8, self->n_texts);
  guint n = 0, i;

  for (i = 0; i < self->n_texts && self->options->n_folds > 1; i++) {
    gsize size;
    const char *text = g_bytes_get_data (self->texts[i], &size);

    known[i].number = tandem_ngram_identify_text (size > 0 ? text : "", size);
    known[i].fold = get_fold (self, i);
  }
  if (self->options->n_folds > 1)
    qsort (known, self->n_texts, sizeof *known, compare_known);
  for (i = 0; i < self->n_texts && self->options->n_folds > 1; i++) {
    if (n > 0 && numbers[n - 1] == known[i].number)
      continue;
    numbers[n] = known[i].number;
    folds[n++] = known[i].fold;
  }
  return tandem_ngram_classifier_new (self->options, self->n_features, self->features,
                                      self->values, self->weights, self->biases, n, numbers,
                                      folds, error);
}

TandemNgramClassifier *
tandem_ngram_fit (GBytes *const *texts, const gint32 *labels, guint n_texts,
                  const TandemNgramOptions *options, GCancellable *cancellable, GError **error)
{
  g_auto (Fit) self = {
    .options = options, .texts = texts, .labels = labels, .n_texts = n_texts,
    .hashes = g_array_new (FALSE, FALSE, sizeof (guint64)),
    .offsets = g_new0 (gsize, (gsize) n_texts + 1)
  };
  guint fold;

  if (!check (labels, n_texts, options, error) || !collect (&self, cancellable, error) ||
      !choose (&self, error))
    return NULL;
  look_up (&self);
  for (fold = 0; fold < options->n_folds; fold++) {
    set_values (&self, fold);
    if (g_cancellable_set_error_if_cancelled (cancellable, error) || !solve (&self, fold, error))
      return NULL;
  }
  return make_classifier (&self, error);
}
