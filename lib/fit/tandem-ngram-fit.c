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
  float *values;
  float *weights;
  float bias;
} Fit;

static void
fit_clear (Fit *self)
{
  g_array_unref (self->hashes);
  g_free (self->offsets);
  g_free (self->features);
  g_free (self->values);
  g_free (self->weights);
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
  self->values = g_new (float, n_kept);
  self->weights = g_new (float, n_kept);
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

/* What each n-gram counts. For naive Bayes, with p and q the numbers of texts of the two classes
 * that have it plus 1, it is log((p / |p|) / (q / |q|)), |.| the sum over all n-grams. */
static void
set_values (Fit *self)
{
  const guint64 *all = (const guint64 *) (gconstpointer) self->hashes->data;
  guint n = self->n_features, i;
  g_autofree double *counts = g_new0 (double, 2 * (gsize) n);
  double sums[2] = { SMOOTHING * n, SMOOTHING * n };
  gsize k;

  for (i = 0; i < self->n_texts; i++) {
    for (k = self->offsets[i]; k < self->offsets[i + 1]; k++)
      counts[2 * all[k] + self->labels[i]]++;
    sums[self->labels[i]] += self->offsets[i + 1] - self->offsets[i];
  }
  for (i = 0; i < n; i++) {
    double zeros = counts[2 * i], ones = counts[2 * i + 1];

    switch (self->options->weighting) {
      case TANDEM_NGRAM_NB:
        self->values[i] = log ((ones + SMOOTHING) / sums[1] / ((zeros + SMOOTHING) / sums[0]));
        break;
      case TANDEM_NGRAM_TFIDF:
        self->values[i] = log (self->n_texts / (zeros + ones)) + 1.0;
        break;
      case TANDEM_NGRAM_BINARY:
      default:
        self->values[i] = 1.0f;
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
solve (Fit *self, GError **error)
{
  const guint64 *all = (const guint64 *) (gconstpointer) self->hashes->data;
  const guint n = self->n_features;
  g_autofree struct feature_node *nodes =
      g_new (struct feature_node, self->hashes->len + 2 * (gsize) self->n_texts);
  g_autofree struct feature_node **rows = g_new (struct feature_node *, self->n_texts);
  g_autofree double *labels = g_new (double, self->n_texts);
  struct problem problem = { self->n_texts, n + 1, labels, rows, 1.0 };
  struct parameter parameter = {
    .solver_type = self->options->loss == TANDEM_NGRAM_LOGISTIC ? L2R_LR : L2R_L2LOSS_SVC,
    .eps = TOLERANCE, .C = self->options->cost
  };
  struct feature_node *node = nodes;
  struct model *model;
  const char *wrong;
  double sign;
  guint i;
  gsize k;

  for (i = 0; i < self->n_texts; i++) {
    double squares = 0.0;

    rows[i] = node;
    labels[i] = self->labels[i];
    for (k = self->offsets[i]; k < self->offsets[i + 1]; k++)
      squares += (double) self->values[all[k]] * self->values[all[k]];
    for (k = self->offsets[i]; k < self->offsets[i + 1] && squares > 0.0; k++)
      *node++ = (struct feature_node) { all[k] + 1, self->values[all[k]] / sqrt (squares) };
    *node++ = (struct feature_node) { n + 1, problem.bias };
    *node++ = (struct feature_node) { -1, 0.0 };
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
    self->weights[i] = sign * model->w[i];
  self->bias = sign * model->w[n] * problem.bias;
  free_and_destroy_model (&model);
  return TRUE;
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

  if (!check (labels, n_texts, options, error) || !collect (&self, cancellable, error) ||
      !choose (&self, error))
    return NULL;
  look_up (&self);
  set_values (&self);
  if (!solve (&self, error))
    return NULL;
  return tandem_ngram_classifier_new (options, self.n_features, self.features, self.values,
                                      self.weights, self.bias, error);
}
