/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tandem fit: a linear classifier of words and phrases. */

#include "config.h"

#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <string.h>

#include "tandem-command.h"
#include "tandem-enums.h"
#include "tandem-ngram-fit.h"
#include "tandem-train-data.h"

#define DEFAULT_ORDER 3
#define DEFAULT_MIN_TEXTS 3
#define DEFAULT_FOLDS 5
#define DEFAULT_COST 20.0

typedef struct
{
  TrainOptions data;            /* what train_data_read() looks at */
  TandemNgramOptions ngrams;
  char *output;
} FitOptions;

static void
fit_options_clear (FitOptions *self)
{
  train_options_clear (&self->data);
  g_free (self->output);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (FitOptions, fit_options_clear)

static gboolean
parse_choice (const char *name, const char *text, GType type, int *value, GError **error)
{
  g_autoptr (GEnumClass) klass = g_type_class_ref (type);
  GEnumValue *known = text != NULL ? g_enum_get_value_by_nick (klass, text) : NULL;

  if (text == NULL)
    return TRUE;
  if (known == NULL) {
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                 _("--%s=%s is not known; see --help"), name, text);
    return FALSE;
  }
  *value = known->value;
  return TRUE;
}

static gboolean
parse (FitOptions *self, char **args, GError **error)
{
  g_autofree char *weighting = NULL, *loss = NULL;
  int order = DEFAULT_ORDER, min_texts = DEFAULT_MIN_TEXTS, seed = 1, folds = DEFAULT_FOLDS;
  int weighting_value = TANDEM_NGRAM_NB, loss_value = TANDEM_NGRAM_LOGISTIC;
  const GOptionEntry entries[] = {
    { "data", 'd', 0, G_OPTION_ARG_FILENAME_ARRAY, &self->data.data,
      N_("Labelled reviews: the folder aclImdb, CSV, TSV or JSON lines; may be given again"),
      N_("PATH") },
    { "output", 'o', 0, G_OPTION_ARG_FILENAME, &self->output, N_("File for the classifier"),
      N_("FILE") },
    { "exclude", 'x', 0, G_OPTION_ARG_FILENAME, &self->data.exclude,
      N_("List of reviews to leave out, one a line, as train/pos/10643_8.txt or reviews.csv:17"),
      N_("FILE") },
    { "holdout", 0, 0, G_OPTION_ARG_DOUBLE, &self->data.holdout,
      N_("Share of the reviews that is kept aside to measure accuracy; 0: none [0.1]"),
      N_("SHARE") },
    { "seed", 's', 0, G_OPTION_ARG_INT, &seed, N_("Which reviews are kept aside depends on it [1]"),
      N_("N") },
    { "ngrams", 'n', 0, G_OPTION_ARG_INT, &order, N_("Words of the longest phrases, 1 to 8 [3]"),
      N_("N") },
    { "min-texts", 0, 0, G_OPTION_ARG_INT, &min_texts,
      N_("Leave out phrases that fewer reviews have [3]"), N_("N") },
    { "weighting", 0, 0, G_OPTION_ARG_STRING, &weighting,
      N_("What a phrase counts: 1, its rarity, or its naive Bayes ratio [nb]"),
      "binary|tfidf|nb" },
    { "loss", 0, 0, G_OPTION_ARG_STRING, &loss,
      N_("Logistic regression or support vector machine [logistic]"),
      "logistic|squared-hinge" },
    { "folds", 0, 0, G_OPTION_ARG_INT, &folds,
      N_("Make so many models, so that none judges what it learned from; 1: a single one [5]"),
      N_("N") },
    { "cost", 'c', 0, G_OPTION_ARG_DOUBLE, &self->ngrams.cost,
      N_("How much a wrong review costs against large weights [20]"), N_("NUMBER") },
    { NULL },
  };
  g_auto (GStrv) rest = g_strdupv (args);
  const char *text = NULL;

  self->data.holdout = 0.1;
  self->data.task = g_strdup ("classify");
  self->ngrams.cost = DEFAULT_COST;
  if (!tandem_command_parse (&tandem_command_fit, NULL,
                             N_("The classifier is a teacher for \"tandem train --task distill\", and a "
                                "measure for\nwhat a transformer adds."), entries, &rest))
    return FALSE;
  if (rest[1] != NULL)
    text = _("the reviews are given with --data");
  else if (self->data.data == NULL)
    text = _("--data is needed: the reviews to learn from");
  else if (self->output == NULL)
    text = _("--output is needed: the file for the classifier");
  else if (order < 1 || order > TANDEM_NGRAM_MAX_ORDER)
    text = _("--ngrams goes from 1 to 8");
  else if (min_texts < 1)
    text = _("--min-texts begins at 1");
  else if (folds < 1 || folds > TANDEM_NGRAM_MAX_FOLDS)
    text = _("--folds goes from 1 to 32");
  else if (!(self->ngrams.cost > 0.0 && self->ngrams.cost <= 1e9))
    text = _("--cost is a number above 0");
  else if (!(self->data.holdout >= 0.0 && self->data.holdout <= 0.9))
    text = _("--holdout goes from 0 to 0.9");
  if (text != NULL) {
    g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, text);
    return FALSE;
  }
  if (!parse_choice ("weighting", weighting, TANDEM_TYPE_NGRAM_WEIGHTING, &weighting_value,
                     error) ||
      !parse_choice ("loss", loss, TANDEM_TYPE_NGRAM_LOSS, &loss_value, error))
    return FALSE;
  self->data.seed = (guint) seed;
  self->ngrams.order = order;
  self->ngrams.min_texts = min_texts;
  self->ngrams.n_folds = folds;
  self->ngrams.weighting = weighting_value;
  self->ngrams.loss = loss_value;
  return TRUE;
}

static void
print_accuracy (TandemNgramClassifier *classifier, GArray *reviews)
{
  guint n_correct = 0, i;

  for (i = 0; i < reviews->len; i++) {
    const TrainReview *review = &g_array_index (reviews, TrainReview, i);
    gsize size;
    const char *text = g_bytes_get_data (review->text, &size);

    n_correct += (tandem_ngram_classifier_score (classifier, size > 0 ? text : "", size) > 0.0) ==
        (review->label == 1);
  }
  g_print (_("%.2f %% of %u reviews held out are told right\n"), 100.0 * n_correct / reviews->len,
           reviews->len);
}

static gboolean
fit (const FitOptions *options, GCancellable *cancellable, GError **error)
{
  g_autoptr (TrainData) data = train_data_read (&options->data, cancellable, error);
  g_autoptr (TandemNgramClassifier) classifier = NULL;
  g_autofree GBytes **texts = NULL;
  g_autofree gint32 *labels = NULL;
  guint i;

  if (data == NULL)
    return FALSE;
  texts = g_new (GBytes *, data->train->len);
  labels = g_new (gint32, data->train->len);
  for (i = 0; i < data->train->len; i++) {
    texts[i] = g_array_index (data->train, TrainReview, i).text;
    labels[i] = g_array_index (data->train, TrainReview, i).label;
  }
  g_print (_("%u reviews to learn from, %u held out, %u left out\n"), data->train->len,
           data->held_out->len, data->n_excluded);
  classifier = tandem_ngram_fit (texts, labels, data->train->len, &options->ngrams, cancellable,
                                 error);
  if (classifier == NULL)
    return FALSE;
  g_print (_("%u words and phrases count\n"), tandem_ngram_classifier_get_n_features (classifier));
  if (data->held_out->len > 0)
    print_accuracy (classifier, data->held_out);
  return tandem_ngram_classifier_save (classifier, options->output, cancellable, error);
}

static int
run (char **args)
{
  g_auto (FitOptions) options = { 0 };
  g_autoptr (GCancellable) cancellable = NULL;
  g_autoptr (GError) error = NULL;

  if (!parse (&options, args, &error))
    return error != NULL ? tandem_command_usage ("%s", error->message) : TANDEM_EXIT_USAGE;
  cancellable = tandem_command_catch_signals ();
  return fit (&options, cancellable, &error) ? TANDEM_EXIT_OK : tandem_command_failed (error);
}

const TandemCommand tandem_command_fit = {
  .name = "fit",
  .summary = N_("Make a linear classifier of words and phrases"),
  .run = run,
};
