/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* bertstage task=masked-lm: learning, checkpoints, what comes of receipts, and what is refused. */

#include <gst/check/gstharness.h>
#include <gst/gst.h>
#include <math.h>
#include <string.h>
#include <tandem.h>

#include "../unit/tandem-test-model.h"

#define N_TEXTS 8000
#define TIMEOUT (60 * GST_SECOND)
#define OPTIONS "trainable=true task=masked-lm micro-batches=4 learning-rate=5e-3 seed=3"
#define DENSE "cls.predictions.transform.dense.weight"

static char *work;              /* temporary folder */
static char *model;
static char *texts;             /* each word is the one after the word before it */

typedef struct
{
  char *error;                  /* NULL: it came to its end */
  guint n_steps;
  guint64 n_sequences, n_tokens;
  gint64 n_correct;             /* of the last 30 steps, as are the next two */
  guint64 n_last;
  double last_loss;
  double first_loss;            /* of the first 10 steps */
  GHashTable *tensors;          /* of the stage, in the end */
} Run;

static void
run_clear (Run *run)
{
  g_clear_pointer (&run->error, g_free);
  g_clear_pointer (&run->tensors, g_hash_table_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Run, run_clear)

static void
take_step (Run *run, const GstStructure *s, guint n_expected)
{
  guint64 step, sequences, tokens;
  gint64 correct;
  double loss, norm;

  g_assert_true (gst_structure_get (s, "step", G_TYPE_UINT64, &step, "sequences", G_TYPE_UINT64,
                                    &sequences, "tokens", G_TYPE_UINT64, &tokens, "correct",
                                    G_TYPE_INT64, &correct, "loss", G_TYPE_DOUBLE, &loss, "norm",
                                    G_TYPE_DOUBLE, &norm, NULL));
  g_assert_true (isfinite (loss) && isfinite (norm));
  g_assert_cmpint (correct, <=, tokens);
  run->n_sequences += sequences;
  run->n_tokens += tokens;
  if (run->n_steps < 10)
    run->first_loss += loss / 10;
  if (run->n_steps++ + 30 >= n_expected) {
    run->n_correct += correct;
    run->n_last += tokens;
    run->last_loss += loss / 30;
  }
}

/* n_expected: steps */
static void
launch (Run *run, const char *description, guint n_expected)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GstElement) pipeline = gst_parse_launch (description, &error);
  g_autoptr (GstElement) element = NULL;
  g_autoptr (GstBus) bus = NULL;
  gboolean done = FALSE;

  g_assert_no_error (error);
  bus = gst_element_get_bus (pipeline);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  while (!done) {
    g_autoptr (GstMessage) message =
        gst_bus_timed_pop_filtered (bus, TIMEOUT, GST_MESSAGE_EOS | GST_MESSAGE_ERROR |
                                    GST_MESSAGE_ELEMENT);

    g_assert_nonnull (message);
    if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_ERROR) {
      g_autoptr (GError) posted = NULL;

      gst_message_parse_error (message, &posted, NULL);
      run->error = g_strdup (posted->message);
    } else if (gst_message_has_name (message, "tandem-step")) {
      take_step (run, gst_message_get_structure (message), n_expected);
    }
    done = GST_MESSAGE_TYPE (message) != GST_MESSAGE_ELEMENT;
  }
  element = gst_bin_get_by_name (GST_BIN (pipeline), "stage");
  if (run->error == NULL && element != NULL) {
    g_autoptr (TandemTrainStage) stage = NULL;

    g_object_get (element, "train-stage", &stage, NULL);
    g_assert_false (tandem_train_stage_gives_logits (stage));
    run->tensors = tandem_train_stage_get_tensors (stage);
  }
  gst_element_set_state (pipeline, GST_STATE_NULL);
}

static void
train (Run *run, const char *folder, const char *options, guint limit, guint n_expected)
{
  g_autofree char *line =
      g_strdup_printf ("reviewsrc location=%s limit=%u ! tokenize model=%s ! microbatch size=2 ! "
                       "bertstage name=stage model=%s %s ! fakesink", texts, limit, folder, folder,
                       options);

  launch (run, line, n_expected);
}

static void
assert_same (GHashTable *a, GHashTable *b)
{
  GHashTableIter iter;
  gpointer name, tensor;

  g_assert_cmpuint (g_hash_table_size (a), ==, g_hash_table_size (b));
  g_hash_table_iter_init (&iter, a);
  while (g_hash_table_iter_next (&iter, &name, &tensor)) {
    TandemTensor *other = g_hash_table_lookup (b, name);

    g_assert_nonnull (other);
    g_assert_true (g_bytes_equal (tandem_tensor_get_bytes (tensor),
                                  tandem_tensor_get_bytes (other)));
  }
}

/* What was trained is a model that goes on: its head is that of the file. */
static void
check_export (GHashTable *tensors)
{
  g_autofree char *folder = g_build_filename (work, "exported", NULL);
  const TandemTrainOptions options = { 0.0, 0.0, 0.0, 99, FALSE, TRUE };
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemModel) source = tandem_model_open (model, NULL, &error);
  g_autoptr (TandemModel) exported = NULL;
  g_autoptr (TandemTrainStage) stage = NULL;
  g_autoptr (GHashTable) again = NULL;

  g_assert_no_error (error);
  tandem_model_export (source, NULL, tensors, NULL, TANDEM_DTYPE_F32, folder,
                       TANDEM_MODEL_EXPORT_NONE, NULL, &error);
  g_assert_no_error (error);
  exported = tandem_model_open (folder, NULL, &error);
  g_assert_no_error (error);
  g_assert_nonnull (strstr (tandem_model_get_config_text (exported), "BertForMaskedLM"));
  g_assert_false (tandem_model_has_classifier (exported));
  stage = tandem_train_stage_new (exported, 0, 1, &options, &error);
  g_assert_no_error (error);
  again = tandem_train_stage_get_tensors (stage);
  assert_same (tensors, again);
}

static void
test_learns (void)
{
  g_auto (Run) run = { NULL };

  train (&run, model, OPTIONS " warmup-steps=20", N_TEXTS, N_TEXTS / 8);
  g_assert_cmpstr (run.error, ==, NULL);
  g_assert_cmpuint (run.n_steps, ==, N_TEXTS / 8);
  g_assert_cmpuint (run.n_sequences, ==, N_TEXTS);
  g_test_message ("loss %.3f -> %.3f, %u of %u right", run.first_loss, run.last_loss,
                  (guint) run.n_correct, (guint) run.n_last);
  g_assert_cmpfloat (run.first_loss, >, 3.0);
  g_assert_cmpfloat (run.last_loss, <, 0.7 * run.first_loss);
  /* By chance 1 of 20. */
  g_assert_cmpint (run.n_correct * 5, >, run.n_last);
  g_assert_true (g_hash_table_contains (run.tensors, DENSE));
  g_assert_true (g_hash_table_contains (run.tensors, "cls.predictions.bias"));
  g_assert_false (g_hash_table_contains (run.tensors, "pooler.dense.weight"));
  check_export (run.tensors);
}

/* The schedule is of stages that wait for each other: but for 1f1b, where each buffer is a step. */
static void
test_schedules (void)
{
  static const char *const schedules[] = { "gpipe", "1f1b-flush" };
  g_autoptr (GHashTable) first = NULL;
  g_auto (Run) single = { NULL };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (schedules); i++) {
    g_autofree char *options = g_strdup_printf (OPTIONS " schedule=%s", schedules[i]);
    g_auto (Run) run = { NULL };

    train (&run, model, options, 44, 6);
    g_assert_cmpstr (run.error, ==, NULL);
    g_assert_cmpuint (run.n_steps, ==, 6);
    if (first != NULL)
      assert_same (first, run.tensors);
    else
      first = g_steal_pointer (&run.tensors);
  }
  train (&single, model, OPTIONS " schedule=1f1b", 44, 22);
  g_assert_cmpstr (single.error, ==, NULL);
  g_assert_cmpuint (single.n_steps, ==, 22);
}

/* Stopped after a checkpoint and begun again: the same weights as in one go. */
static void
test_resume (void)
{
  g_autofree char *whole =
      g_strdup_printf (OPTIONS " dropout=0.1 checkpoint=%s/whole checkpoint-interval=3", work);
  g_autofree char *parts =
      g_strdup_printf (OPTIONS " dropout=0.1 checkpoint=%s/parts resume=true", work);
  g_autofree char *classify =
      g_strdup_printf ("reviewsrc location=%s ! tokenize model=%s ! bertstage model=%s "
                       "trainable=true checkpoint=%s/parts resume=true ! sentimentloss", texts,
                       model, model, work);
  g_auto (Run) a = { NULL };
  g_auto (Run) b = { NULL };
  g_auto (Run) c = { NULL };
  g_auto (Run) d = { NULL };

  train (&a, model, whole, 160, 20);
  g_assert_cmpstr (a.error, ==, NULL);
  train (&b, model, parts, 64, 8);
  g_assert_cmpstr (b.error, ==, NULL);
  train (&c, model, parts, 160, 12);
  g_assert_cmpstr (c.error, ==, NULL);
  g_assert_cmpuint (b.n_steps, ==, 8);
  g_assert_cmpuint (c.n_steps, ==, 12);
  g_assert_cmpuint (b.n_tokens + c.n_tokens, ==, a.n_tokens);
  assert_same (a.tensors, c.tensors);

  /* Its state is not that of a classifier. */
  launch (&d, classify, 0);
  g_assert_nonnull (d.error);
  g_assert_nonnull (strstr (d.error, "the checkpoint has no tensor \"pooler.dense.weight\""));
}

/* Texts of which nothing is masked are a step, too. */
static void
test_nothing_masked (void)
{
  g_autofree char *path = g_build_filename (work, "empty.txt", NULL);
  g_autofree char *line = NULL;
  g_auto (Run) run = { NULL };

  g_assert_true (g_file_set_contents (path, "\n\n\n", -1, NULL));
  line = g_strdup_printf ("filesrc location=%s ! lineparse ! tokenize model=%s ! microbatch size=1 "
                          "! bertstage name=stage model=%s trainable=true task=masked-lm ! "
                          "fakesink", path, model, model);
  launch (&run, line, 0);
  g_assert_cmpstr (run.error, ==, NULL);
  g_assert_cmpuint (run.n_steps, ==, 3);
  g_assert_cmpuint (run.n_tokens, ==, 0);
}

static void
count (gboolean completed, gpointer user_data)
{
  guint *counts = user_data;

  counts[completed ? 1 : 0]++;
}

static GstBuffer *
new_tokens (guint64 id, gint32 last, guint *counts)
{
  gint32 ids[] = { 2, 20, 21, 22, 23, 24, 25, 26, 27, last };
  guint32 offsets[] = { 0, G_N_ELEMENTS (ids) };
  GstBuffer *buffer = gst_buffer_new_memdup (ids, sizeof ids);
  TandemBatchMeta *meta = tandem_buffer_add_batch_meta (buffer, 1, offsets, &id, NULL);
  g_autoptr (TandemReceipt) receipt = tandem_receipt_new (count, counts, NULL);

  tandem_batch_meta_add_receipt (meta, receipt);
  return buffer;
}

/* Who keeps micro-batches until they are done hears so. */
static void
test_receipts (void)
{
  g_autofree char *line = g_strdup_printf ("bertstage model=%s trainable=true task=masked-lm",
                                           model);
  g_autoptr (TandemModel) opened = tandem_model_open (model, NULL, NULL);
  g_autoptr (TandemTokenizer) tokenizer = tandem_model_get_tokenizer (opened, NULL);
  GstHarness *harness = gst_harness_new_parse (line);
  TandemStreamInfo info = { .kind = TANDEM_STREAM_TOKENS };
  guint counts[2] = { 0 };

  g_strlcpy (info.fingerprint, tandem_tokenizer_get_fingerprint (tokenizer),
             sizeof info.fingerprint);
  gst_harness_set_src_caps (harness, tandem_stream_info_to_caps (&info));
  g_assert_cmpint (gst_harness_push (harness, new_tokens (0, 3, counts)), ==, GST_FLOW_OK);
  g_assert_cmpint (gst_harness_push (harness, new_tokens (1, 3, counts)), ==, GST_FLOW_OK);
  g_assert_cmpuint (counts[1], ==, 2);
  g_assert_cmpint (gst_harness_push (harness, new_tokens (2, 5000, counts)), ==, GST_FLOW_ERROR);
  g_assert_cmpuint (counts[0], ==, 1);
  g_assert_cmpuint (gst_harness_buffers_received (harness), ==, 0);
  gst_harness_teardown (harness);
}

static void
test_refusals (void)
{
  g_autofree char *untied = g_build_filename (work, "untied", NULL);
  TandemTestModel shape = TANDEM_TEST_MODEL_INIT;
  struct
  {
    const char *folder, *options, *sentence;
  } refusals[] = {
    { model, "task=masked-lm", "set trainable=true" },
    { model, "trainable=true task=masked-lm layers=0-0", "give it layers 0-1, not 0-0" },
    { model, "trainable=true task=masked-lm threads=2", "on one thread" },
    { model, "trainable=true task=masked-lm checkpoint=/nowhere/at/all", "/nowhere/at/all" },
    { model, "trainable=true task=masked-lm learning-rate=10 weight-decay=10 max-norm=0",
      "cannot go on: step " },
    { untied, "trainable=true task=masked-lm", "tie_word_embeddings" },
  };
  guint i;

  shape.extra_config = "\"tie_word_embeddings\": false, ";
  tandem_test_model_write (&shape, untied);
  for (i = 0; i < G_N_ELEMENTS (refusals); i++) {
    g_auto (Run) run = { NULL };

    train (&run, refusals[i].folder, refusals[i].options, 100, 0);
    g_assert_nonnull (run.error);
    if (strstr (run.error, refusals[i].sentence) == NULL)
      g_error ("\"%s\" does not say \"%s\"", run.error, refusals[i].sentence);
  }
}

static void
write_texts (void)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GRand) rand = g_rand_new_with_seed (7);
  guint i, j;

  for (i = 0; i < N_TEXTS; i++) {
    guint word = g_rand_int_range (rand, 0, 20);

    g_string_append_printf (text, "unsup\t%u\t0\ttrain\t", i);
    for (j = 0; j < 20; j++)
      g_string_append_printf (text, "%c ", (int) ('a' + (word + j) % 20));
    g_string_append_c (text, '\n');
  }
  g_assert_true (g_file_set_contents (texts, text->str, text->len, NULL));
}

int
main (int argc, char **argv)
{
  TandemTestModel shape = TANDEM_TEST_MODEL_INIT;
  int result;

  g_test_init (&argc, &argv, NULL);
  gst_init (&argc, &argv);
  tandem_init ();
  work = tandem_test_make_folder ();
  model = g_build_filename (work, "model", NULL);
  texts = g_build_filename (work, "texts.tsv", NULL);
  tandem_test_model_write (&shape, model);
  write_texts ();

  g_test_add_func ("/train-masked/learns", test_learns);
  g_test_add_func ("/train-masked/schedules", test_schedules);
  g_test_add_func ("/train-masked/resume", test_resume);
  g_test_add_func ("/train-masked/nothing-masked", test_nothing_masked);
  g_test_add_func ("/train-masked/receipts", test_receipts);
  g_test_add_func ("/train-masked/refusals", test_refusals);
  result = g_test_run ();

  tandem_test_remove_folder (work);
  g_free (model);
  g_free (texts);
  return result;
}
