/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* bertbin between a test and its ears: a stream of random micro-batches with known answers. */

#include "net-harness.h"
#include "node-harness.h"

#define BIN_LAYERS 4
#define BIN_NODES 3

typedef struct
{
  char *folder;
  char *model_path;
  TandemModel *model;
  TandemBertStage *stage;       /* of all layers: who knows the answers */
  GstHarness *harness;
  GstElement *element;
  GstBus *bus;
  GRand *rand;
  guint n_pushed, n_pulled;
  guint64 next_id;
  GQueue expected;              /* of GstBuffer: logits with the meta that they should have */
  NodeProcess nodes[BIN_NODES];
} BinTest;

static inline void
bin_set_up (BinTest *test, gconstpointer data)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  g_autoptr (GError) error = NULL;

  spec.n_layers = BIN_LAYERS;
  test->folder = tandem_test_make_folder ();
  test->model_path = g_build_filename (test->folder, "model", NULL);
  tandem_test_model_write (&spec, test->model_path);
  test->model = tandem_model_open (test->model_path, NULL, &error);
  g_assert_no_error (error);
  test->stage = tandem_bert_stage_new (test->model, 0, BIN_LAYERS - 1, TANDEM_PRECISION_F32, 1,
                                       TANDEM_BERT_STAGE_NONE, &error);
  g_assert_no_error (error);
  test->rand = g_rand_new_with_seed (11);
  g_queue_init (&test->expected);
}

static inline GstCaps *
bin_caps (const char *path)
{
  g_autoptr (TandemModel) model = tandem_model_open (path, NULL, NULL);
  g_autoptr (TandemTokenizer) tokenizer = tandem_model_get_tokenizer (model, NULL);
  TandemStreamInfo info = { .kind = TANDEM_STREAM_TOKENS };

  g_strlcpy (info.fingerprint, tandem_tokenizer_get_fingerprint (tokenizer),
             sizeof info.fingerprint);
  return tandem_stream_info_to_caps (&info);
}

/* Properties as in a launch line. */
static inline void
bin_start (BinTest *test, const char *properties)
{
  g_autofree char *line =
      g_strdup_printf ("bertbin name=bin model=%s %s", test->model_path, properties);
  g_autoptr (GError) error = NULL;

  test->element = gst_parse_launch (line, &error);
  g_assert_no_error (error);
  test->bus = gst_bus_new ();
  gst_element_set_bus (test->element, test->bus);
  test->harness = gst_harness_new_with_element (test->element, "sink", "src");
  gst_harness_set_src_caps (test->harness, bin_caps (test->model_path));
}

static inline GstBuffer *
bin_make (BinTest *test)
{
  guint n = g_rand_int_range (test->rand, 1, 6), i, k, rows = 0;
  g_autofree gint32 *ids = g_new (gint32, 32 * n);
  guint32 offsets[7] = { 0 };
  guint64 sequences[6];
  gint32 labels[6];
  float *logits = g_new (float, 2 * n);
  GstBuffer *buffer, *answer;
  g_autoptr (GError) error = NULL;

  for (i = 0; i < n; i++) {
    guint length = g_rand_int_range (test->rand, 1, 32);

    for (k = 0; k < length; k++)
      ids[rows++] = g_rand_int_range (test->rand, 0, 100);
    offsets[i + 1] = rows;
    sequences[i] = test->next_id++;
    labels[i] = g_rand_int_range (test->rand, -1, 2);
  }
  tandem_bert_stage_forward_tokens (test->stage, ids, n, offsets, logits, NULL, &error);
  g_assert_no_error (error);
  answer = gst_buffer_new_wrapped (logits, 8 * n);
  tandem_buffer_add_batch_meta (answer, n, NULL, sequences, labels);
  g_queue_push_tail (&test->expected, answer);
  buffer = gst_buffer_new_memdup (ids, sizeof (gint32) * rows);
  tandem_buffer_add_batch_meta (buffer, n, offsets, sequences, labels);
  return buffer;
}

static inline void
bin_push (BinTest *test, guint n)
{
  for (; n > 0; n--) {
    g_assert_cmpint (gst_harness_push (test->harness, bin_make (test)), ==, GST_FLOW_OK);
    test->n_pushed++;
  }
}

/* The next answer is the right one, to the bit. */
static inline void
bin_pull (BinTest *test, guint n)
{
  for (; n > 0; n--) {
    GstBuffer *buffer = NULL;
    g_autoptr (GstBuffer) expected = g_queue_pop_head (&test->expected);
    TandemBatchMeta *meta, *wanted;
    GstMapInfo map;

    while ((buffer = gst_harness_pull (test->harness)) == NULL)
      g_assert_null (gst_bus_pop_filtered (test->bus, GST_MESSAGE_ERROR));
    meta = tandem_buffer_get_batch_meta (buffer);
    wanted = tandem_buffer_get_batch_meta (expected);
    g_assert_cmpuint (meta->n_sequences, ==, wanted->n_sequences);
    g_assert_cmpmem (meta->ids, 8 * meta->n_sequences, wanted->ids, 8 * wanted->n_sequences);
    g_assert_cmpmem (meta->labels, 4 * meta->n_sequences, wanted->labels,
                     4 * wanted->n_sequences);
    gst_buffer_map (expected, &map, GST_MAP_READ);
    g_assert_cmpuint (gst_buffer_get_size (buffer), ==, map.size);
    g_assert_cmpint (gst_buffer_memcmp (buffer, 0, map.data, map.size), ==, 0);
    gst_buffer_unmap (expected, &map);
    gst_buffer_unref (buffer);
    test->n_pulled++;
  }
}

static inline GstEvent *
bin_pull_event (BinTest *test, GstEventType type)
{
  for (;;) {
    GstEvent *event = gst_harness_pull_event (test->harness);

    if (event != NULL && GST_EVENT_TYPE (event) == type)
      return event;
    g_clear_pointer (&event, gst_event_unref);
  }
}

/* Everything came, nothing came twice, and then the end. */
static inline void
bin_finish (BinTest *test)
{
  g_autoptr (GstEvent) eos = NULL;

  g_assert_true (gst_harness_push_event (test->harness, gst_event_new_eos ()));
  bin_pull (test, test->n_pushed - test->n_pulled);
  eos = bin_pull_event (test, GST_EVENT_EOS);
  g_assert_cmpuint (gst_harness_buffers_in_queue (test->harness), ==, 0);
}

/* Waits for an element message and returns one of its texts; (nullable): the text is NULL. */
static inline char *
bin_wait_message (BinTest *test, const char *name, const char *field)
{
  for (;;) {
    g_autoptr (GstMessage) message =
        gst_bus_timed_pop_filtered (test->bus, GST_CLOCK_TIME_NONE,
                                    GST_MESSAGE_ELEMENT | GST_MESSAGE_ERROR);
    const GstStructure *s = gst_message_get_structure (message);

    if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_ERROR) {
      g_autoptr (GError) error = NULL;

      gst_message_parse_error (message, &error, NULL);
      g_error ("instead of %s: %s", name, error->message);
    }
    if (gst_structure_has_name (s, name))
      return g_strdup (gst_structure_get_string (s, field));
  }
}

static inline char *
bin_wait_error (BinTest *test)
{
  g_autoptr (GstMessage) message =
      gst_bus_timed_pop_filtered (test->bus, GST_CLOCK_TIME_NONE, GST_MESSAGE_ERROR);
  g_autoptr (GError) error = NULL;

  gst_message_parse_error (message, &error, NULL);
  return g_strdup (error->message);
}

/* Ends what bin_start() began. */
static inline void
bin_stop (BinTest *test)
{
  gst_harness_teardown (test->harness);
  test->harness = NULL;
  /* Messages hold the element, which holds the bus. */
  gst_bus_set_flushing (test->bus, TRUE);
  gst_object_unref (test->element);
  gst_clear_object (&test->bus);
}

static inline void
bin_tear_down (BinTest *test, gconstpointer data)
{
  guint i;

  if (test->harness != NULL)
    bin_stop (test);
  gst_clear_object (&test->bus);
  for (i = 0; i < BIN_NODES; i++) {
    if (test->nodes[i].process != NULL)
      node_kill (&test->nodes[i]);
    if (test->nodes[i].folder != NULL)
      tandem_test_remove_folder (test->nodes[i].folder);
  }
  g_queue_clear_full (&test->expected, (GDestroyNotify) gst_buffer_unref);
  g_rand_free (test->rand);
  g_object_unref (test->stage);
  g_object_unref (test->model);
  g_free (test->model_path);
  tandem_test_remove_folder (test->folder);
}
