/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The wire format: what is written is what is read, whatever pieces it comes in. */

#include "net-frame-decoding.h"

static void
test_crc (void)
{
  g_autofree guint8 *data = g_malloc (100000);
  guint i;

  /* RFC 3720, B.4. */
  memset (data, 0, 32);
  g_assert_cmphex (tandem_crc32c (0, data, 32), ==, 0x8a9136aa);
  memset (data, 0xff, 32);
  g_assert_cmphex (tandem_crc32c (0, data, 32), ==, 0x62a8ab43);
  g_assert_cmphex (tandem_crc32c_reference (0, "123456789", 9), ==, 0xe3069283);

  for (i = 0; i < 100000; i++)
    data[i] = g_test_rand_int ();
  for (i = 0; i < 300; i++) {
    gsize from = g_test_rand_int_range (0, 64), size = g_test_rand_int_range (0, 99000);
    gsize cut = g_test_rand_int_range (0, size + 1);
    guint32 crc = tandem_crc32c_reference (0, data + from, size);

    g_assert_cmphex (tandem_crc32c (0, data + from, size), ==, crc);
    g_assert_cmphex (
        tandem_crc32c (tandem_crc32c (0, data + from, cut), data + from + cut, size - cut), ==,
        crc);
  }
}

/* The frames of the released version must come out byte for byte. With TANDEM_TEST_WRITE_GOLDEN
 * set the files are written instead: once, when a version is made. */
static void
test_golden (void)
{
  guint i;

  for (i = 0; i < G_N_ELEMENTS (sample_names); i++) {
    g_autoptr (GByteArray) bytes = sample_frame (sample_names[i]);
    g_autofree char *name = g_strdup_printf ("v1-%s.bin", sample_names[i]);
    g_autofree char *path = g_build_filename (g_getenv ("TANDEM_SOURCE_ROOT"), "tests", "fuzz",
                                              "corpus", "frame", name, NULL);
    g_autoptr (GError) error = NULL;
    g_autofree char *golden = NULL;
    gsize size;

    if (g_getenv ("TANDEM_TEST_WRITE_GOLDEN") != NULL)
      g_file_set_contents (path, (const char *) bytes->data, bytes->len, &error);
    g_assert_no_error (error);
    g_file_get_contents (path, &golden, &size, &error);
    g_assert_no_error (error);
    g_assert_cmpmem (bytes->data, bytes->len, golden, size);
  }
}

static void
test_pieces (void)
{
  const gsize pieces[] = { 1, 2, 3, 7, 39, 40, 41, 100000 };
  guint i, k;

  for (k = 0; k < G_N_ELEMENTS (pieces); k++) {
    g_autoptr (TandemFrameDecoder) decoder = tandem_frame_decoder_new (&limits);
    Seen seen = { 0 };

    for (i = 0; i < G_N_ELEMENTS (sample_names); i++) {
      g_autoptr (GByteArray) bytes = sample_frame (sample_names[i]);
      g_autoptr (GError) error = NULL;

      feed (decoder, bytes->data, bytes->len, pieces[k], &seen, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (seen.frames, ==, i + 1);
      g_assert_true (tandem_frame_decoder_is_idle (decoder));
      g_assert_cmpuint (seen.type, ==, bytes->data[6]);
    }
  }
}

static void
test_round_trip (void)
{
  g_autoptr (TandemFrameDecoder) decoder = tandem_frame_decoder_new (&limits);
  g_autoptr (GError) error = NULL;
  TandemStreamKind kind;
  TandemHello hello, back;
  TandemAck ack;
  GstSegment segment;
  guint64 frames, n_bytes;
  guint event;
  guint8 role;

  for (role = TANDEM_ROLE_SENDER; role <= TANDEM_ROLE_RECEIVER; role++) {
    g_autoptr (GByteArray) bytes =
        sample_frame (role == TANDEM_ROLE_SENDER ? "hello-sender" : "hello-receiver");

    sample_hello (&hello, role);
    g_assert_true (tandem_frame_parse_hello (decode (decoder, bytes), &back, &error));
    g_assert_cmpmem (&hello, sizeof hello, &back, sizeof back);
  }
  for (kind = TANDEM_STREAM_TOKENS; kind <= TANDEM_STREAM_LOGITS; kind++) {
    g_autoptr (GByteArray) bytes = g_byte_array_new ();
    g_auto (TandemStreamInfo) info = { 0 }, parsed = { 0 };

    sample_stream_info (&info, kind);
    tandem_frame_append_caps (bytes, &info);
    g_assert_true (tandem_frame_parse_caps (decode (decoder, bytes), &parsed, &error));
    g_assert_true (tandem_stream_info_is_equal (&info, &parsed));
    if (info.labels != NULL)
      g_assert_true (g_strv_equal ((const char *const *) info.labels,
                                   (const char *const *) parsed.labels));
  }
  {
    g_autoptr (GByteArray) bytes = sample_frame ("segment");

    g_assert_true (tandem_frame_parse_segment (decode (decoder, bytes), &segment, &error));
    g_assert_cmpuint (segment.stop, ==, 9 * GST_SECOND);
    g_assert_cmpfloat (segment.rate, ==, 1.5);
    g_assert_cmpint (segment.format, ==, GST_FORMAT_TIME);
  }
  {
    g_autoptr (GByteArray) bytes = sample_frame ("ack");

    g_assert_true (tandem_frame_parse_ack (decode (decoder, bytes), &ack, &error));
    g_assert_cmpuint (ack.first, ==, 3);
    g_assert_cmpuint (ack.last, ==, 5);
    g_assert_cmpint (ack.status, ==, TANDEM_ACK_DROPPED);
  }
  {
    g_autoptr (GByteArray) bytes = sample_frame ("credit");

    g_assert_true (
        tandem_frame_parse_credit (decode (decoder, bytes), &frames, &n_bytes, &error));
    g_assert_cmpuint (frames, ==, 9);
    g_assert_cmpuint (n_bytes, ==, G_GUINT64_CONSTANT (1) << 40);
  }
  {
    g_autoptr (GByteArray) bytes = sample_frame ("event-flush");

    g_assert_true (tandem_frame_parse_event (decode (decoder, bytes), &event, &error));
    g_assert_cmpuint (event, ==, TANDEM_FRAME_EVENT_FLUSH);
  }
  {
    g_autoptr (GByteArray) bytes = sample_frame ("error");
    g_autoptr (GError) told = tandem_frame_parse_error (decode (decoder, bytes));

    g_assert_error (told, TANDEM_NET_ERROR, TANDEM_NET_ERROR_LAYER);
    g_assert_nonnull (strstr (told->message, "you sent layer 1"));
  }
}

static void
test_buffer_round_trip (void)
{
  g_autoptr (TandemFrameDecoder) decoder = tandem_frame_decoder_new (&limits);
  g_autoptr (GByteArray) bytes = sample_frame ("buffer");
  g_autoptr (GstBuffer) before = sample_buffer (), after = NULL;
  g_auto (TandemStreamInfo) info = { 0 };
  g_autoptr (GError) error = NULL;
  const TandemFrame *frame = decode (decoder, bytes);
  const TandemBatchMeta *a, *b;

  sample_stream_info (&info, TANDEM_STREAM_ACTIVATIONS);
  after = tandem_frame_parse_buffer (frame, &info, &limits, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (frame->sequence, ==, 42);
  g_assert_cmpint (gst_buffer_memcmp (before, 0, frame->payload, frame->payload_size), ==, 0);
  g_assert_cmpuint (GST_BUFFER_PTS (after), ==, GST_BUFFER_PTS (before));
  g_assert_cmpuint (GST_BUFFER_DTS (after), ==, GST_CLOCK_TIME_NONE);
  g_assert_cmpuint (GST_BUFFER_DURATION (after), ==, 17);
  g_assert_true (
      GST_BUFFER_FLAG_IS_SET (after, GST_BUFFER_FLAG_DISCONT | GST_BUFFER_FLAG_MARKER));
  a = tandem_buffer_get_batch_meta (before);
  b = tandem_buffer_get_batch_meta (after);
  g_assert_cmpuint (b->n_sequences, ==, 2);
  g_assert_cmpmem (a->offsets, 12, b->offsets, 12);
  g_assert_cmpmem (a->ids, 16, b->ids, 16);
  g_assert_cmpmem (a->labels, 8, b->labels, 8);
}

static void
test_training_round_trip (void)
{
  static const char *const names[] = {
    "event-training", "event-training-earlier", "event-drain", "event-step", "event-checkpoint",
  };
  g_autoptr (TandemFrameDecoder) decoder = tandem_frame_decoder_new (&limits);
  g_autoptr (GByteArray) bytes = sample_frame ("event-gradient"), nothing = g_byte_array_new ();
  g_autoptr (GByteArray) agreed = sample_frame ("event-gradient-step");
  g_autoptr (GstBuffer) rows = sample_buffer ();
  g_autoptr (GstEvent) eos = gst_event_new_eos ();
  g_autoptr (GError) error = NULL;
  TandemGradientInfo before, after;
  g_auto (TandemStreamInfo) info = { 0 };
  const TandemFrame *frame;
  guint i;

  for (i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autoptr (GByteArray) one = sample_frame (names[i]);
    g_autoptr (GstEvent) a = sample_training_event (names[i]), b = NULL;

    frame = decode (decoder, one);
    g_assert_cmpuint (frame->sequence, ==, 45);
    b = tandem_frame_parse_training_event (frame, &error);
    g_assert_no_error (error);
    g_assert_cmpint (GST_EVENT_TYPE (a), ==, GST_EVENT_TYPE (b));
    g_assert_true (gst_structure_is_equal (gst_event_get_structure (a),
                                           gst_event_get_structure (b)));
    g_assert_false (tandem_frame_parse_gradient (frame, &after, &error));
    g_assert_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL);
    g_clear_error (&error);
  }
  g_assert_false (tandem_frame_append_training_event (nothing, 1, eos));
  g_assert_cmpuint (nothing->len, ==, 0);

  frame = decode (decoder, bytes);
  g_assert_true (tandem_frame_parse_gradient (frame, &after, &error));
  g_assert_null (tandem_frame_parse_training_event (frame, &error));
  g_assert_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL);
  sample_gradient (&before);
  g_assert_cmpuint (frame->sequence, ==, 42);
  g_assert_cmpuint (after.micro_batch, ==, before.micro_batch);
  g_assert_cmpuint (after.depth, ==, before.depth);
  g_assert_cmpuint (after.n_sequences, ==, before.n_sequences);
  g_assert_cmpint (after.n_correct, ==, before.n_correct);
  g_assert_true (after.squared_norm == before.squared_norm && after.loss == before.loss);
  g_assert_cmpint (gst_buffer_memcmp (rows, 0, frame->payload, frame->payload_size), ==, 0);
  g_assert_cmpuint (after.step, ==, 0);
  g_assert_true (tandem_frame_parse_gradient (decode (decoder, agreed), &after, NULL));
  g_assert_cmpuint (after.step, ==, 240);

  sample_stream_info (&info, TANDEM_STREAM_ACTIVATIONS);
  info.format = TANDEM_ROW_FORMAT_Q8;
  g_assert_cmpuint (tandem_frame_get_gradient_size (&info, 7), ==, 7 * SAMPLE_WIDTH * 4);
  info.width = 65536;
  g_assert_cmpuint (tandem_frame_get_gradient_size (&info, G_MAXUINT32), ==,
                    G_GUINT64_CONSTANT (0xffffffff) << 18);
}

/* What a later minor version may add: a longer header, an event of a new kind with payload, a
 * frame of a new type. */
static void
test_additions_are_skipped (void)
{
  g_autoptr (TandemFrameDecoder) decoder = tandem_frame_decoder_new (&limits);
  g_autoptr (GByteArray) longer = sample_frame ("credit"), event = sample_frame ("event-done");
  g_autoptr (GByteArray) other = sample_frame ("event-done");
  g_autoptr (GError) error = NULL;
  const guint8 more[9000] = { 1, 2, 3 };
  const guint8 kind[] = { 32, 0 }, type = 77, none = 0, required = 1, minor = 9;
  Seen seen = { 0 };
  guint64 frames, n_bytes;
  guint k;

  g_byte_array_append (longer, more, 24);
  patch_u32 (longer, 8, 16 + 24);
  patch (longer, 5, &minor, 1);
  g_assert_true (
      tandem_frame_parse_credit (decode (decoder, longer), &frames, &n_bytes, &error));
  g_assert_cmpuint (frames, ==, 9);

  g_byte_array_append (event, more, sizeof more);
  patch_u32 (event, 12, sizeof more);
  patch (event, 40, kind, 2);
  g_assert_true (tandem_frame_parse_event (decode (decoder, event), &k, &error));
  g_assert_cmpuint (k, ==, 32);

  g_byte_array_append (other, more, sizeof more);
  patch_u32 (other, 12, sizeof more);
  patch (other, 6, &type, 1);
  patch (other, 7, &none, 1);
  g_assert_true (feed (decoder, other->data, other->len, 1000, &seen, &error));
  g_assert_cmpuint (seen.frames, ==, 0);
  g_assert_true (tandem_frame_decoder_is_idle (decoder));
  patch (other, 7, &required, 1);
  expect (other, TANDEM_NET_ERROR_VERSION);
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  gst_init (&argc, &argv);
  tandem_init ();
  g_test_add_func ("/net/crc32c", test_crc);
  g_test_add_func ("/net/frame/golden", test_golden);
  g_test_add_func ("/net/frame/pieces", test_pieces);
  g_test_add_func ("/net/frame/round-trip", test_round_trip);
  g_test_add_func ("/net/frame/buffer-round-trip", test_buffer_round_trip);
  g_test_add_func ("/net/frame/training-round-trip", test_training_round_trip);
  g_test_add_func ("/net/frame/additions-are-skipped", test_additions_are_skipped);
  status = g_test_run ();
  gst_deinit ();
  return status;
}
