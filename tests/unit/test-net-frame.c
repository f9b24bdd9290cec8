/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "net-frames.h"

#include <math.h>

static const TandemFrameLimits limits = {
  .max_header = 4096, .max_payload = 1 << 20, .max_sequences = 64,
};

typedef struct
{
  guint frames;
  guint8 type;
  guint64 sequence;
  guint8 payload[1 << 12];
} Seen;

/* Feeds bytes in pieces of at most `piece`; the parse functions run on each frame. */
static gboolean
feed (TandemFrameDecoder *decoder, const guint8 *data, gsize size, gsize piece, Seen *seen,
      GError **error)
{
  g_auto (TandemStreamInfo) info = { 0 };

  sample_stream_info (&info, TANDEM_STREAM_ACTIVATIONS);
  while (size > 0) {
    gsize space;
    guint8 *to = tandem_frame_decoder_get_space (decoder, &space);
    gsize n = MIN (MIN (space, piece), size);
    const TandemFrame *frame = tandem_frame_decoder_get_frame (decoder);
    g_autoptr (GstBuffer) buffer = NULL;
    TandemGradientInfo gradient;

    memcpy (to, data, n);
    data += n;
    size -= n;
    switch (tandem_frame_decoder_advance (decoder, n, error)) {
      case TANDEM_DECODE_ERROR:
        return FALSE;
      case TANDEM_DECODE_MORE:
        break;
      case TANDEM_DECODE_PAYLOAD:
        if (frame->type == TANDEM_FRAME_EVENT) {
          if (!tandem_frame_parse_gradient (frame, &gradient, error))
            return FALSE;
          g_assert_cmpuint (frame->payload_size, <=, sizeof seen->payload);
          tandem_frame_decoder_set_payload (decoder, seen->payload);
          break;
        }
        buffer = tandem_frame_parse_buffer (
            frame, &info, tandem_frame_decoder_get_limits (decoder), error);
        if (buffer == NULL)
          return FALSE;
        g_assert_cmpuint (frame->payload_size, <=, sizeof seen->payload);
        tandem_frame_decoder_set_payload (decoder, seen->payload);
        break;
      case TANDEM_DECODE_FRAME:
        seen->frames++;
        seen->type = frame->type;
        seen->sequence = frame->sequence;
        break;
    }
  }
  return TRUE;
}

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
test_truncated (void)
{
  guint i, n;

  for (i = 0; i < G_N_ELEMENTS (sample_names); i++) {
    g_autoptr (GByteArray) bytes = sample_frame (sample_names[i]);

    for (n = 0; n < bytes->len; n++) {
      g_autoptr (TandemFrameDecoder) decoder = tandem_frame_decoder_new (&limits);
      g_autoptr (GError) error = NULL;
      g_autofree guint8 *exact = g_memdup2 (bytes->data, n);
      Seen seen = { 0 };

      g_assert_true (feed (decoder, exact, n, 64, &seen, &error));
      g_assert_cmpuint (seen.frames, ==, 0);
      g_assert_cmpint (tandem_frame_decoder_is_idle (decoder), ==, n == 0);
    }
  }
}

static void
test_bit_flips (void)
{
  guint i, bit;

  for (i = 0; i < G_N_ELEMENTS (sample_names); i++) {
    g_autoptr (GByteArray) bytes = sample_frame (sample_names[i]);

    for (bit = 0; bit < bytes->len * 8; bit++) {
      g_autoptr (TandemFrameDecoder) decoder = tandem_frame_decoder_new (&limits);
      g_autoptr (GError) error = NULL;
      Seen seen = { 0 };

      bytes->data[bit / 8] ^= 1 << bit % 8;
      g_assert_false (feed (decoder, bytes->data, bytes->len, 64, &seen, &error));
      g_assert_nonnull (error);
      g_assert_cmpuint (seen.frames, ==, 0);
      bytes->data[bit / 8] ^= 1 << bit % 8;
    }
  }
}

/* Changes one field of a frame and makes its checksums true again. */
static void
patch (GByteArray *bytes, gsize offset, const void *value, gsize size)
{
  guint32 crc;

  memcpy (bytes->data + offset, value, size);
  crc = GUINT32_TO_LE (tandem_crc32c (0, bytes->data + 40, bytes->len - 40));
  memcpy (bytes->data + 32, &crc, 4);
  crc = GUINT32_TO_LE (tandem_crc32c (0, bytes->data, 36));
  memcpy (bytes->data + 36, &crc, 4);
}

static void
patch_u32 (GByteArray *bytes, gsize offset, guint32 value)
{
  value = GUINT32_TO_LE (value);
  patch (bytes, offset, &value, sizeof value);
}

static void
expect (GByteArray *bytes, int code)
{
  g_autoptr (TandemFrameDecoder) decoder = tandem_frame_decoder_new (&limits);
  g_autoptr (GError) error = NULL;
  Seen seen = { 0 };

  feed (decoder, bytes->data, bytes->len, 64, &seen, &error);
  g_assert_error (error, TANDEM_NET_ERROR, code);
}

static void
test_limits (void)
{
  const guint lies[] = { 1u << 21, 1u << 31, G_MAXUINT32 };
  guint i, k;

  for (k = 0; k < G_N_ELEMENTS (lies); k++) {
    for (i = 0; i < G_N_ELEMENTS (sample_names); i++) {
      g_autoptr (GByteArray) bytes = sample_frame (sample_names[i]);
      g_autoptr (GByteArray) other = sample_frame (sample_names[i]);

      patch_u32 (bytes, 8, lies[k]);
      expect (bytes, TANDEM_NET_ERROR_TOO_LARGE);
      patch_u32 (other, 12, lies[k]);
      expect (other, TANDEM_NET_ERROR_TOO_LARGE);
    }
  }
}

static void
test_buffer_lies (void)
{
  struct
  {
    gsize offset;
    guint32 value;
    int code;
  } const lies[] = {
    { 40 + 28, 0, TANDEM_NET_ERROR_PROTOCOL },          /* no sequence */
    { 40 + 28, 65, TANDEM_NET_ERROR_TOO_LARGE },        /* more than negotiated */
    { 40 + 28, G_MAXUINT32, TANDEM_NET_ERROR_TOO_LARGE },
    { 40 + 28, 3, TANDEM_NET_ERROR_PROTOCOL },          /* table longer than the header */
    { 40 + 28, 1, TANDEM_NET_ERROR_PROTOCOL },          /* payload of another length */
    { 40 + 32, 0, TANDEM_NET_ERROR_PROTOCOL },          /* empty sequence */
    { 40 + 32, G_MAXUINT32, TANDEM_NET_ERROR_PROTOCOL },
    { 40 + 48, 2, TANDEM_NET_ERROR_PROTOCOL },
    { 12, 35, TANDEM_NET_ERROR_PROTOCOL },
    { 12, 0, TANDEM_NET_ERROR_PROTOCOL },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (lies); i++) {
    g_autoptr (GByteArray) bytes = sample_frame ("buffer");
    g_autoptr (TandemFrameDecoder) decoder = tandem_frame_decoder_new (&limits);
    g_autoptr (GError) error = NULL;
    g_auto (TandemStreamInfo) info = { 0 };
    Seen seen = { 0 };

    patch_u32 (bytes, lies[i].offset, lies[i].value);
    if (lies[i].offset == 12 && lies[i].value == 0) {
      /* Without payload the frame is complete at once; the table still gives the lie. */
      g_byte_array_set_size (bytes, 40 + 64);
      patch_u32 (bytes, 12, 0);
      g_assert_true (feed (decoder, bytes->data, bytes->len, 64, &seen, &error));
      sample_stream_info (&info, TANDEM_STREAM_ACTIVATIONS);
      g_assert_null (tandem_frame_parse_buffer (tandem_frame_decoder_get_frame (decoder), &info,
                                                &limits, &error));
      g_assert_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL);
    } else {
      expect (bytes, lies[i].code);
    }
  }
}

static const TandemFrame *
decode (TandemFrameDecoder *decoder, GByteArray *bytes)
{
  g_autoptr (GError) error = NULL;
  static Seen seen;

  seen.frames = 0;
  feed (decoder, bytes->data, bytes->len, 100000, &seen, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (seen.frames, ==, 1);
  return tandem_frame_decoder_get_frame (decoder);
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

static void
test_strangers (void)
{
  g_autoptr (GByteArray) hello = sample_frame ("hello-sender"), short_header = NULL;
  g_autoptr (GByteArray) http = g_byte_array_new ();
  g_autoptr (GError) error = NULL;
  TandemFrame frame;
  guint32 crc;

  g_byte_array_append (http, (const guint8 *) "GET / HTTP/1.1\r\n\r\n", 18);
  expect (http, TANDEM_NET_ERROR_NOT_TANDEM);
  g_assert_false (tandem_frame_parse_fixed (http->data, 1, &frame, &crc, &error));
  hello->data[4] = 2;
  expect (hello, TANDEM_NET_ERROR_VERSION);

  short_header = sample_frame ("hello-sender");
  g_byte_array_set_size (short_header, 40 + 100);
  patch_u32 (short_header, 8, 100);
  g_clear_error (&error);
  {
    g_autoptr (TandemFrameDecoder) decoder = tandem_frame_decoder_new (&limits);
    TandemHello parsed;

    g_assert_false (tandem_frame_parse_hello (decode (decoder, short_header), &parsed, &error));
    g_assert_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL);
  }
}

static void
test_bad_fields (void)
{
  struct
  {
    const char *frame;
    gsize offset;
    guint32 value;
  } const lies[] = {
    { "caps-activations", 40, 3 },                      /* kind */
    { "caps-activations", 40, 1 | 9 << 8 },             /* format */
    { "caps-activations", 44, 0 },                      /* layer */
    { "caps-activations", 44, 5000 },
    { "caps-activations", 48, 0 },                      /* width */
    { "caps-activations", 48, 1 << 20 },
    { "caps-activations", 56, 2 },                      /* labels of activations */
    { "caps-logits", 52, 0 },                           /* classes */
    { "caps-logits", 52, 3 },                           /* more classes than labels */
    { "caps-logits", 56, 3 },
    { "caps-logits", 92, 0xffff },                      /* label beyond the payload */
    { "caps-logits", 92, 0xff000001 | 0xff << 16 },     /* label that is not UTF-8 */
    { "segment", 40, 77 },
    { "segment", 52, 0x7ff80000 },                      /* rate NaN */
    { "segment", 60, 0x7ff00000 },                      /* applied rate infinite */
    { "segment", 84, 0xffffffff },                      /* start after stop */
    { "ack", 40, 0 },
    { "ack", 40, 6 },
    { "ack", 48, 2 },
    { "event-training", 40 + 4, 3 },                    /* schedule */
    { "event-training", 40 + 4, 0xffffffff },
    { "event-training", 40 + 8, 0 },                    /* micro-batches */
    { "event-training", 40 + 20, 0x7ff80000 },          /* rate NaN */
    { "event-training", 40 + 28, 0xbff00000 },          /* decay -1 */
    { "event-training", 40 + 36, 0x3ff00000 },          /* beta 1 */
    { "event-training", 40 + 60, 0x7ff00000 },          /* norm infinite */
    { "event-training", 40, 99 },                       /* no kind of training */
    { "event-training-earlier", 40 + 88, 250 },         /* not before the first step */
    { "event-gradient", 24, 0 },                        /* of no micro-batch */
    { "event-gradient", 40 + 20, 0xfffffffe },          /* right: -2 */
    { "hello-sender", 40, 2 },
    { "hello-sender", 56, 0 },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (lies); i++) {
    g_autoptr (TandemFrameDecoder) decoder = tandem_frame_decoder_new (&limits);
    g_autoptr (GByteArray) bytes = sample_frame (lies[i].frame);
    g_auto (TandemStreamInfo) info = { 0 };
    g_autoptr (GError) error = NULL;
    const TandemFrame *frame;
    TandemHello hello;
    TandemAck ack;
    GstSegment segment;
    gboolean accepted = TRUE;
    g_autoptr (GstEvent) event = NULL;
    Seen seen = { 0 };

    patch_u32 (bytes, lies[i].offset, lies[i].value);
    if (g_str_equal (lies[i].frame, "event-gradient")) {
      g_assert_false (feed (decoder, bytes->data, bytes->len, 100000, &seen, &error));
      g_assert_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL);
      continue;
    }
    frame = decode (decoder, bytes);
    switch (frame->type) {
      case TANDEM_FRAME_CAPS:
        accepted = tandem_frame_parse_caps (frame, &info, &error);
        break;
      case TANDEM_FRAME_SEGMENT:
        accepted = tandem_frame_parse_segment (frame, &segment, &error);
        break;
      case TANDEM_FRAME_ACK:
        accepted = tandem_frame_parse_ack (frame, &ack, &error);
        break;
      case TANDEM_FRAME_EVENT:
        event = tandem_frame_parse_training_event (frame, &error);
        accepted = event != NULL;
        break;
      case TANDEM_FRAME_HELLO:
        accepted = tandem_frame_parse_hello (frame, &hello, &error);
        break;
    }
    if (accepted)
      g_error ("lie %u in %s at %zu passed", i, lies[i].frame, lies[i].offset);
    g_assert_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL);
  }
}

static void
test_error_is_harmless (void)
{
  g_autoptr (TandemFrameDecoder) decoder = tandem_frame_decoder_new (&limits);
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autoptr (GByteArray) raw = sample_frame ("error");
  g_autofree char *lengthy = g_strnfill (5000, 'x');
  g_autoptr (GError) a = NULL, b = NULL;

  tandem_frame_append_error (bytes, TANDEM_NET_ERROR_BUSY, lengthy);
  g_assert_cmpuint (bytes->len, ==, 40 + 4 + TANDEM_FRAME_MAX_SENTENCE);
  a = tandem_frame_parse_error (decode (decoder, bytes));
  g_assert_error (a, TANDEM_NET_ERROR, TANDEM_NET_ERROR_BUSY);

  memcpy (raw->data + 44, "\033[2J\377\n", 6);
  patch_u32 (raw, 40, 4711);
  b = tandem_frame_parse_error (decode (decoder, raw));
  g_assert_error (b, TANDEM_NET_ERROR, TANDEM_NET_ERROR_FAILED);
  g_assert_null (strpbrk (b->message, "\033\n"));
  g_assert_true (g_utf8_validate (b->message, -1, NULL));
}

static void
test_buffer_not_as_caps_say (void)
{
  g_autoptr (GstBuffer) buffer = sample_buffer (), bare = gst_buffer_new_allocate (NULL, 36, NULL);
  g_autoptr (GByteArray) out = g_byte_array_new ();
  g_auto (TandemStreamInfo) info = { 0 };
  g_autoptr (GError) error = NULL;
  GOutputVector vector = { "", 35 };

  sample_stream_info (&info, TANDEM_STREAM_ACTIVATIONS);
  g_assert_false (tandem_frame_append_buffer (out, 1, &info, buffer, &vector, 1, &error));
  g_assert_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_FORMAT);
  g_clear_error (&error);
  g_assert_false (tandem_frame_append_buffer (out, 1, &info, bare, &vector, 1, &error));
  g_assert_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_FORMAT);
  g_assert_cmpuint (out->len, ==, 0);
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
  g_test_add_func ("/net/frame/truncated", test_truncated);
  g_test_add_func ("/net/frame/bit-flips", test_bit_flips);
  g_test_add_func ("/net/frame/limits", test_limits);
  g_test_add_func ("/net/frame/buffer-lies", test_buffer_lies);
  g_test_add_func ("/net/frame/round-trip", test_round_trip);
  g_test_add_func ("/net/frame/buffer-round-trip", test_buffer_round_trip);
  g_test_add_func ("/net/frame/training-round-trip", test_training_round_trip);
  g_test_add_func ("/net/frame/additions-are-skipped", test_additions_are_skipped);
  g_test_add_func ("/net/frame/strangers", test_strangers);
  g_test_add_func ("/net/frame/bad-fields", test_bad_fields);
  g_test_add_func ("/net/frame/error-is-harmless", test_error_is_harmless);
  g_test_add_func ("/net/frame/buffer-not-as-caps-say", test_buffer_not_as_caps_say);
  status = g_test_run ();
  gst_deinit ();
  return status;
}
