/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <gst/check/gstharness.h>
#include <string.h>
#include <tandem.h>

#include "../unit/tandem-test-model.h"

static char *folder;            /* a model of 3 layers */
static char *other_folder;      /* the same shape, other weights and vocabulary */

static const gint32 ids[] = { 2, 7, 9, 11, 3, 2, 50, 3, 2, 3 };
static const guint32 offsets[] = { 0, 5, 8, 10 };
static const guint64 sequence_ids[] = { 4, 5, 6 };
static const gint32 labels[] = { 1, TANDEM_LABEL_UNKNOWN, 0 };

static GstElement *
new_stage (const char *path, const char *layers)
{
  GstElement *element = gst_element_factory_make ("bertstage", NULL);

  g_assert_nonnull (element);
  g_object_set (element, "model", path, "layers", layers, NULL);
  return element;
}

static GstBus *
watch (GstElement *element)
{
  GstBus *bus = gst_bus_new ();

  gst_element_set_bus (element, bus);
  return bus;
}

/* The sentence of the first error on the bus. */
static char *
get_error (GstBus *bus)
{
  g_autoptr (GstMessage) message = gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR);
  g_autoptr (GError) error = NULL;

  if (message == NULL)
    return g_strdup ("(no error)");
  gst_message_parse_error (message, &error, NULL);
  return g_strdup (error->message);
}

static GstCaps *
token_caps (const char *path)
{
  g_autoptr (TandemModel) model = tandem_model_open (path, NULL, NULL);
  g_autoptr (TandemTokenizer) tokenizer = tandem_model_get_tokenizer (model, NULL);
  TandemStreamInfo info = { .kind = TANDEM_STREAM_TOKENS };

  g_strlcpy (info.fingerprint, tandem_tokenizer_get_fingerprint (tokenizer),
             sizeof info.fingerprint);
  return tandem_stream_info_to_caps (&info);
}

static GstBuffer *
token_buffer (void)
{
  GstBuffer *buffer = gst_buffer_new_memdup (ids, sizeof ids);

  tandem_buffer_add_batch_meta (buffer, 3, offsets, sequence_ids, labels);
  return buffer;
}

static GstHarness *
new_harness (GstElement *element)
{
  GstHarness *h = gst_harness_new_with_element (element, "sink", "src");

  gst_harness_set_src_caps (h, token_caps (folder));
  return h;
}

/* The result of the whole model, from the library. */
static void
expected_logits (float *out)
{
  g_autoptr (TandemModel) model = tandem_model_open (folder, NULL, NULL);
  g_autoptr (TandemBertStage) stage =
      tandem_bert_stage_new (model, 0, 2, TANDEM_PRECISION_F32, 1, TANDEM_BERT_STAGE_NONE, NULL);

  g_assert_true (tandem_bert_stage_forward_tokens (stage, ids, 3, offsets, out, NULL, NULL));
}

static void
check_logits (GstBuffer *buffer)
{
  TandemBatchMeta *meta = tandem_buffer_get_batch_meta (buffer);
  float expected[6];

  expected_logits (expected);
  g_assert_cmpuint (gst_buffer_get_size (buffer), ==, sizeof expected);
  g_assert_cmpint (gst_buffer_memcmp (buffer, 0, expected, sizeof expected), ==, 0);
  g_assert_nonnull (meta);
  g_assert_cmpuint (meta->n_sequences, ==, 3);
  g_assert_cmpuint (tandem_batch_meta_get_n_rows (meta), ==, 3);
  g_assert_cmpmem (meta->ids, sizeof sequence_ids, sequence_ids, sizeof sequence_ids);
  g_assert_cmpmem (meta->labels, sizeof labels, labels, sizeof labels);
}

static void
test_whole (void)
{
  g_autoptr (GstElement) element = new_stage (folder, NULL);
  GstHarness *h = new_harness (element);
  GstBuffer *out = gst_harness_push_and_pull (h, token_buffer ());
  g_autoptr (GstCaps) caps = gst_pad_get_current_caps (h->sinkpad);
  g_auto (TandemStreamInfo) info = { 0 };

  check_logits (out);
  gst_buffer_unref (out);
  g_assert_true (tandem_stream_info_from_caps (&info, caps, NULL));
  g_assert_cmpint (info.kind, ==, TANDEM_STREAM_LOGITS);
  g_assert_cmpstr (info.labels[1], ==, "positive");
  gst_harness_teardown (h);
}

/* Any split gives the same bits; stages of one file each and threads too. */
static void
test_split (void)
{
  const char *const splits[][3] = {
    { "0-0", "1-2", NULL }, { "0-1", "2-", NULL }, { "0", "1", "2" }
  };
  guint i, j;

  for (i = 0; i < G_N_ELEMENTS (splits); i++) {
    g_autoptr (GString) line = g_string_new (NULL);
    GstHarness *h;
    GstBuffer *out;

    for (j = 0; j < 3 && splits[i][j] != NULL; j++)
      g_string_append_printf (line, "%sbertstage model=%s layers=%s threads=%u", j > 0 ? " ! " : "",
                              folder, splits[i][j], 1 + j * 2);
    h = gst_harness_new_parse (line->str);
    gst_harness_set_src_caps (h, token_caps (folder));
    out = gst_harness_push_and_pull (h, token_buffer ());
    check_logits (out);
    gst_buffer_unref (out);
    gst_harness_teardown (h);
  }
}

/* Enough rows for many groups, so that all threads have work; twice, so that they
 * find what the first run left. */
static void
test_threads (void)
{
  enum { SEQUENCES = 200, LENGTH = 17 };
  g_autoptr (TandemModel) model = tandem_model_open (folder, NULL, NULL);
  g_autofree gint32 *tokens = g_new (gint32, SEQUENCES * LENGTH);
  guint32 starts[SEQUENCES + 1];
  float alone[SEQUENCES * 2], shared[SEQUENCES * 2];
  guint n_threads, pass, i;

  for (i = 0; i < SEQUENCES * LENGTH; i++)
    tokens[i] = (gint32) (i * 7 % 100);
  for (i = 0; i <= SEQUENCES; i++)
    starts[i] = i * LENGTH;

  for (n_threads = 1; n_threads <= 4; n_threads++) {
    g_autoptr (TandemBertStage) stage =
        tandem_bert_stage_new (model, 0, 2, TANDEM_PRECISION_F32, n_threads,
                               TANDEM_BERT_STAGE_NONE, NULL);

    for (pass = 0; pass < 2; pass++) {
      memset (shared, 0, sizeof shared);
      g_assert_true (tandem_bert_stage_forward_tokens (stage, tokens, SEQUENCES, starts, shared,
                                                       NULL, NULL));
      if (n_threads == 1)
        memcpy (alone, shared, sizeof alone);
      g_assert_cmpmem (shared, sizeof shared, alone, sizeof alone);
    }
  }
}

static void
test_cancelled (void)
{
  g_autoptr (TandemModel) model = tandem_model_open (folder, NULL, NULL);
  g_autoptr (TandemBertStage) stage =
      tandem_bert_stage_new (model, 0, 2, TANDEM_PRECISION_F32, 2, TANDEM_BERT_STAGE_NONE, NULL);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  float out[6];

  g_cancellable_cancel (cancellable);
  g_assert_false (tandem_bert_stage_forward_tokens (stage, ids, 3, offsets, out, cancellable,
                                                    &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static void
test_stage_files (void)
{
  g_autoptr (TandemModel) model = tandem_model_open (folder, NULL, NULL);
  g_autofree char *first = g_build_filename (folder, "first.safetensors", NULL);
  g_autofree char *second = g_build_filename (folder, "second.safetensors", NULL);
  g_autofree char *line =
      g_strdup_printf ("bertstage model=%s ! bertstage model=%s", first, second);
  g_autoptr (GError) error = NULL;
  GstHarness *h;
  GstBuffer *out;

  g_assert_true (tandem_model_write_stage (model, 0, 0, first, NULL, &error));
  g_assert_true (tandem_model_write_stage (model, 1, 2, second, NULL, &error));
  g_assert_no_error (error);
  h = gst_harness_new_parse (line);
  gst_harness_set_src_caps (h, token_caps (folder));
  out = gst_harness_push_and_pull (h, token_buffer ());
  check_logits (out);
  gst_buffer_unref (out);
  gst_harness_teardown (h);
}

static void
count_settled (gboolean completed, gpointer user_data)
{
  int *counts = user_data;

  counts[completed ? 1 : 0]++;
}

static void
test_receipts_travel (void)
{
  g_autoptr (GstElement) element = new_stage (folder, NULL);
  GstHarness *h = new_harness (element);
  GstBuffer *buffer = token_buffer ();
  int counts[2] = { 0, 0 };
  TandemReceipt *receipt = tandem_receipt_new (count_settled, counts, NULL);

  tandem_batch_meta_add_receipt (tandem_buffer_get_batch_meta (buffer), receipt);
  tandem_receipt_unref (receipt);
  buffer = gst_harness_push_and_pull (h, buffer);
  g_assert_cmpint (counts[0] + counts[1], ==, 0);
  tandem_batch_meta_complete (tandem_buffer_get_batch_meta (buffer));
  gst_buffer_unref (buffer);
  g_assert_cmpint (counts[0], ==, 0);
  g_assert_cmpint (counts[1], ==, 1);
  gst_harness_teardown (h);
}

static void
test_start_errors (void)
{
  const struct
  {
    const char *model;
    const char *layers;
    const char *sentence;
  } cases[] = {
    { NULL, NULL, "No model is set*" },
    { "/nonexistent/model", NULL, "*/nonexistent/model*" },
    { folder, "3-", "*layers 0*2*" },
    { folder, "2-1", "*2-1*" },
    { folder, "a", "*layers=a is not possible*" },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GstElement) element = gst_object_ref_sink (new_stage (cases[i].model,
                                                                     cases[i].layers));
    g_autoptr (GstBus) bus = watch (element);
    g_autofree char *sentence = NULL;

    g_assert_cmpint (gst_element_set_state (element, GST_STATE_PAUSED), ==,
                     GST_STATE_CHANGE_FAILURE);
    sentence = get_error (bus);
    if (!g_pattern_match_simple (cases[i].sentence, sentence))
      g_error ("case %u: \"%s\" is not like \"%s\"", i, sentence, cases[i].sentence);
    gst_element_set_state (element, GST_STATE_NULL);
    gst_element_set_bus (element, NULL);
  }
}

/* Pushes one buffer with these caps into a stage and returns its error. */
static char *
push_and_fail (const char *layers, GstCaps *caps, GstBuffer *buffer)
{
  g_autoptr (GstElement) element = new_stage (folder, layers);
  GstHarness *h = gst_harness_new_with_element (element, "sink", "src");
  g_autoptr (GstBus) bus = watch (element);
  char *sentence;

  gst_harness_set_src_caps (h, caps);
  g_assert_cmpint (gst_harness_push (h, buffer), !=, GST_FLOW_OK);
  sentence = get_error (bus);
  gst_element_set_bus (element, NULL);
  gst_harness_teardown (h);
  return sentence;
}

static GstCaps *
activation_caps (const char *path, int layer)
{
  g_autoptr (TandemModel) model = tandem_model_open (path, NULL, NULL);
  TandemStreamInfo info = { .kind = TANDEM_STREAM_ACTIVATIONS, .layer = layer, .width = 16 };

  g_strlcpy (info.fingerprint, tandem_model_get_fingerprint (model), sizeof info.fingerprint);
  return tandem_stream_info_to_caps (&info);
}

static void
test_wrong_streams (void)
{
  g_autofree char *order = push_and_fail ("2-", activation_caps (folder, 1), token_buffer ());
  g_autofree char *model =
      push_and_fail ("1-", activation_caps (other_folder, 1), token_buffer ());
  g_autofree char *tokens = push_and_fail ("1-", token_caps (folder), token_buffer ());
  g_autofree char *vocabulary =
      push_and_fail (NULL, token_caps (other_folder), token_buffer ());

  g_assert_true (g_pattern_match_simple ("*input of layer 2*input of layer 1*", order));
  g_assert_true (g_pattern_match_simple ("*input of layer 1*input of layer 1*", model));
  g_assert_true (g_pattern_match_simple ("*input of layer 1*tokens*", tokens));
  g_assert_true (g_pattern_match_simple ("The vocabulary*", vocabulary));
}

static void
test_bad_buffers (void)
{
  const gint32 outside[] = { 2, 100000, 3 }, negative[] = { 2, -1, 3 };
  const guint32 three[] = { 0, 3 }, empty[] = { 0, 3, 3 }, too_long[] = { 0, 40 };
  g_autofree gint32 *forty = g_new0 (gint32, 40);
  const struct
  {
    gconstpointer data;
    gsize size;
    guint n_sequences;
    const guint32 *offsets;
    const char *sentence;
  } cases[] = {
    { outside, sizeof outside, 1, three, "*100000*vocabulary has*" },
    { negative, sizeof negative, 1, three, "*-1*vocabulary has*" },
    { outside, sizeof outside, 2, empty, "*no rows*" },
    { forty, 160, 1, too_long, "*40 tokens*32 at most*" },
    { forty, 156, 1, too_long, "*another size*" },
    { outside, sizeof outside, 0, NULL, "*which sequences*" },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    GstBuffer *buffer = gst_buffer_new_memdup (cases[i].data, cases[i].size);
    g_autofree char *sentence = NULL;

    if (cases[i].n_sequences > 0)
      tandem_buffer_add_batch_meta (buffer, cases[i].n_sequences, cases[i].offsets, NULL, NULL);
    sentence = push_and_fail (NULL, token_caps (folder), buffer);
    if (!g_pattern_match_simple (cases[i].sentence, sentence))
      g_error ("case %u: \"%s\" is not like \"%s\"", i, sentence, cases[i].sentence);
  }
}

static void
test_flush_and_eos (void)
{
  g_autoptr (GstElement) element = new_stage (folder, NULL);
  GstHarness *h = new_harness (element);
  GstBuffer *out;

  g_assert_cmpint (gst_harness_push (h, token_buffer ()), ==, GST_FLOW_OK);
  gst_harness_push_event (h, gst_event_new_flush_start ());
  g_assert_cmpint (gst_harness_push (h, token_buffer ()), ==, GST_FLOW_FLUSHING);
  gst_harness_push_event (h, gst_event_new_flush_stop (TRUE));
  gst_harness_push_event (h, gst_event_new_segment (&(GstSegment) { .rate = 1.0,
                                                                    .applied_rate = 1.0,
                                                                    .format = GST_FORMAT_TIME,
                                                                    .stop = -1,
                                                                    .duration = -1 }));
  while ((out = gst_harness_try_pull (h)) != NULL)
    gst_buffer_unref (out);
  out = gst_harness_push_and_pull (h, token_buffer ());
  check_logits (out);
  gst_buffer_unref (out);
  gst_harness_push_event (h, gst_event_new_eos ());
  g_assert_cmpint (gst_harness_push (h, token_buffer ()), ==, GST_FLOW_EOS);
  gst_harness_teardown (h);
}

static void
test_states (void)
{
  g_autoptr (GstElement) element = gst_object_ref_sink (new_stage (folder, "0-1"));
  guint i;

  for (i = 0; i < 50; i++) {
    g_assert_cmpint (gst_element_set_state (element, GST_STATE_PLAYING), ==,
                     GST_STATE_CHANGE_SUCCESS);
    g_assert_cmpint (gst_element_set_state (element, i % 2 ? GST_STATE_READY : GST_STATE_NULL),
                     ==, GST_STATE_CHANGE_SUCCESS);
  }
  gst_element_set_state (element, GST_STATE_NULL);
}

static void
test_says_what_it_takes (void)
{
  g_autoptr (GstElement) element = gst_object_ref_sink (new_stage (folder, "1-2"));
  g_autoptr (GstPad) pad = gst_element_get_static_pad (element, "sink");
  g_autoptr (GstCaps) expected = activation_caps (folder, 1);
  g_autoptr (GstCaps) caps = NULL;
  GstQuery *query = tandem_query_new_accepted ();
  guint last;

  g_assert_false (gst_pad_query (pad, query));
  gst_element_set_state (element, GST_STATE_PAUSED);
  g_assert_true (gst_pad_query (pad, query));
  g_assert_true (tandem_query_parse_accepted (query, &caps, &last));
  g_assert_true (gst_caps_is_equal (caps, expected));
  g_assert_cmpuint (last, ==, 2);
  gst_query_unref (query);
  gst_element_set_state (element, GST_STATE_NULL);
}

/* A quantized model says what it runs in while it runs; training takes it for floats. */
static void
test_quantized (void)
{
  g_autofree char *path = g_build_filename (other_folder, "int8", NULL);
  g_autoptr (TandemModel) model = tandem_model_open (folder, NULL, NULL);
  g_autoptr (GstElement) element = NULL;
  gboolean int8;

  g_assert_true (tandem_quantize_model (model, TANDEM_QUANTIZE_INT8, NULL, path,
                                        TANDEM_MODEL_EXPORT_NONE, NULL, NULL));
  element = gst_object_ref_sink (new_stage (path, NULL));
  g_object_get (element, "int8", &int8, NULL);
  g_assert_false (int8);
  g_assert_cmpint (gst_element_set_state (element, GST_STATE_PAUSED), ==,
                   GST_STATE_CHANGE_SUCCESS);
  g_object_get (element, "int8", &int8, NULL);
  g_assert_true (int8 == tandem_int8_is_used ());
  gst_element_set_state (element, GST_STATE_NULL);

  g_object_set (element, "trainable", TRUE, NULL);
  g_assert_cmpint (gst_element_set_state (element, GST_STATE_PAUSED), ==,
                   GST_STATE_CHANGE_SUCCESS);
  g_object_get (element, "int8", &int8, NULL);
  g_assert_false (int8);
  gst_element_set_state (element, GST_STATE_NULL);
}

/* A model with zeros says which matrices run without them while it runs. */
static void
test_sparse (void)
{
  g_autofree char *path = g_build_filename (other_folder, "sparse", NULL);
  g_autoptr (TandemModel) model = tandem_model_open (folder, NULL, NULL);
  g_autoptr (GHashTable) tensors = tandem_prune_get_tensors (model, NULL);
  g_autoptr (TandemMasks) masks = tandem_prune_magnitude (
      tensors, TANDEM_PRUNE_LINEAR, TANDEM_PRUNE_SCOPE_TENSOR, 0.5, NULL);
  g_autoptr (GHashTable) pruned = tandem_masks_apply (masks, tensors, NULL);
  g_autoptr (GstElement) element = NULL;
  g_auto (GStrv) before = NULL;
  g_auto (GStrv) names = NULL;

  g_assert_true (tandem_model_export_sparse (model, NULL, pruned, masks, NULL, NULL,
                                             TANDEM_DTYPE_F32, path, TANDEM_MODEL_EXPORT_NONE,
                                             NULL, NULL));
  element = gst_object_ref_sink (new_stage (path, NULL));
  g_object_get (element, "sparse", &before, NULL);
  g_assert_null (before);
  g_assert_cmpint (gst_element_set_state (element, GST_STATE_PAUSED), ==,
                   GST_STATE_CHANGE_SUCCESS);
  g_object_get (element, "sparse", &names, NULL);
  g_assert_true (g_strv_contains ((const char *const *) names,
                                  "encoder.layer.0.attention.self.query.weight"));
  g_assert_true (g_strv_contains ((const char *const *) names, "pooler.dense.weight"));
  g_assert_false (g_strv_contains ((const char *const *) names, "classifier.weight"));
  gst_element_set_state (element, GST_STATE_NULL);
}

int
main (int argc, char **argv)
{
  TandemTestModel model = TANDEM_TEST_MODEL_INIT;
  int status;

  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  tandem_init ();
  folder = tandem_test_make_folder ();
  other_folder = tandem_test_make_folder ();
  model.n_layers = 3;
  tandem_test_model_write (&model, folder);
  model.seed = 2;
  model.vocab_size = 101;
  tandem_test_model_write (&model, other_folder);

  g_test_add_func ("/bertstage/whole", test_whole);
  g_test_add_func ("/bertstage/split", test_split);
  g_test_add_func ("/bertstage/threads", test_threads);
  g_test_add_func ("/bertstage/cancelled", test_cancelled);
  g_test_add_func ("/bertstage/stage-files", test_stage_files);
  g_test_add_func ("/bertstage/receipts-travel", test_receipts_travel);
  g_test_add_func ("/bertstage/start-errors", test_start_errors);
  g_test_add_func ("/bertstage/wrong-streams", test_wrong_streams);
  g_test_add_func ("/bertstage/bad-buffers", test_bad_buffers);
  g_test_add_func ("/bertstage/flush-and-eos", test_flush_and_eos);
  g_test_add_func ("/bertstage/states", test_states);
  g_test_add_func ("/bertstage/says-what-it-takes", test_says_what_it_takes);
  g_test_add_func ("/bertstage/quantized", test_quantized);
  g_test_add_func ("/bertstage/sparse", test_sparse);
  status = g_test_run ();
  tandem_test_remove_folder (folder);
  tandem_test_remove_folder (other_folder);
  return status;
}
