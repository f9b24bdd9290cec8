/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a search leaves. */

#include "config.h"

#include "tandem-tune-result.h"

#include <glib/gi18n-lib.h>

#include "tandem-bert-classifier.h"
#include "tandem-train-data.h"
#include "tandem-train-model.h"

#define CLASSES 2

JsonBuilder *
tune_result_begin (const TuneOptions *options)
{
  JsonBuilder *builder = json_builder_new ();

  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "model");
  json_builder_add_string_value (builder, options->model);
  json_builder_set_member_name (builder, "algorithm");
  json_builder_add_string_value (builder, options->algorithm);
  json_builder_set_member_name (builder, "seed");
  json_builder_add_int_value (builder, options->seed);
  json_builder_set_member_name (builder, "objective");
  json_builder_add_string_value (builder, options->objective);
  return builder;
}

void
tune_result_add_measures (JsonBuilder *builder, const char *name, const TandemMeasures *measures)
{
  guint i;

  json_builder_set_member_name (builder, name);
  json_builder_begin_object (builder);
  for (i = 0; i < TANDEM_N_MEASURES; i++) {
    /* What was not measured is 0, and a measure that is 0 is worth no line but these. */
    if (i >= TANDEM_MEASURE_BYTES && measures->values[i] == 0.0)
      continue;
    json_builder_set_member_name (builder, tandem_measure_get_name (i));
    json_builder_add_double_value (builder, measures->values[i]);
  }
  json_builder_end_object (builder);
}

gboolean
tune_result_write (JsonBuilder *builder, const TuneOptions *options, GError **error)
{
  g_autofree char *path = g_build_filename (options->output, TUNE_RESULT_FILE, NULL);
  g_autoptr (JsonNode) root = NULL;
  g_autofree char *text = NULL;

  json_builder_end_object (builder);
  root = json_builder_get_root (builder);
  text = json_to_string (root, TRUE);
  return g_file_set_contents (path, text, -1, error);
}

/* All labelled texts of --test, in the split for tests where there is one. */
static TandemDataset *
read_test (const TuneOptions *options, GCancellable *cancellable, GError **error)
{
  g_autoptr (GPtrArray) texts = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  g_autoptr (GArray) labels = g_array_new (FALSE, FALSE, sizeof (gint32));
  g_autoptr (GError) local = NULL;
  char **path;
  GBytes *text;
  int label;

  for (path = options->test; *path != NULL; path++) {
    g_autoptr (TandemReviewReader) reader =
        tandem_review_reader_open (*path, TANDEM_REVIEW_SPLIT_TEST, 0, cancellable, error);

    if (reader == NULL)
      return NULL;
    while (tandem_review_reader_next (reader, &text, &label, cancellable, &local)) {
      gint32 number = label;

      g_ptr_array_add (texts, text);
      g_array_append_val (labels, number);
    }
    if (local != NULL) {
      g_propagate_error (error, g_steal_pointer (&local));
      return NULL;
    }
  }
  return tandem_dataset_new_texts ((GBytes *const *) texts->pdata,
                                   (const gint32 *) (gpointer) labels->data, texts->len, CLASSES,
                                   error);
}

gboolean
tune_result_test (JsonBuilder *builder, const TuneOptions *options, TandemClassifier *classifier,
                  GCancellable *cancellable, GError **error)
{
  g_autoptr (TandemDataset) data = NULL;
  g_autofree guint *rows = NULL;
  TandemMeasures measures;
  guint n, i;

  if (options->test == NULL)
    return TRUE;
  data = read_test (options, cancellable, error);
  if (data == NULL)
    return FALSE;
  n = tandem_dataset_get_n_rows (data);
  rows = g_new (guint, n);
  for (i = 0; i < n; i++)
    rows[i] = i;
  if (!tandem_assessment_measure (classifier, data, rows, n, &measures, cancellable, error))
    return FALSE;
  g_print (_("%.2f %% of %u test reviews are told right\n"),
           100.0 * measures.values[TANDEM_MEASURE_ACCURACY], n);
  tune_result_add_measures (builder, "test", &measures);
  return TRUE;
}

static gboolean
write_stages (const TuneOptions *options, TandemModel *model, GCancellable *cancellable,
              GError **error)
{
  guint n_layers = tandem_model_get_config (model)->n_layers, first, last, i;
  g_autoptr (GPtrArray) stages = train_parse_stages ("split", options->split, n_layers, error);

  for (i = 0; stages != NULL && i < stages->len; i++) {
    const char *layers = g_ptr_array_index (stages, i);
    g_autofree char *name = g_strdup_printf ("model-layers-%s.safetensors", layers);
    g_autofree char *path = g_build_filename (options->output, name, NULL);

    if (!tandem_model_parse_layers (layers, n_layers, &first, &last, error) ||
        !tandem_model_write_stage (model, first, last, path, cancellable, error))
      return FALSE;
  }
  return stages != NULL;
}

gboolean
tune_result_save_model (const TuneOptions *options, TandemClassifier *classifier,
                        GCancellable *cancellable, GError **error)
{
  gboolean is_bert = TANDEM_IS_BERT_CLASSIFIER (classifier);
  g_autofree char *path = g_build_filename (options->output, is_bert ? "model" : "model.classifier",
                                            NULL);
  g_autoptr (TandemModel) model = NULL;

  if (!tandem_classifier_save (classifier, path, cancellable, error))
    return FALSE;
  if (options->split == NULL)
    return TRUE;
  model = tandem_model_open (path, cancellable, error);
  return model != NULL && write_stages (options, model, cancellable, error);
}
