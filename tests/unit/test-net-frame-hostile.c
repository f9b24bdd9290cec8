/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Frames that are cut off, spoiled or lie. */

#include "net-frame-decoding.h"

#include <math.h>

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
  g_test_add_func ("/net/frame/truncated", test_truncated);
  g_test_add_func ("/net/frame/bit-flips", test_bit_flips);
  g_test_add_func ("/net/frame/limits", test_limits);
  g_test_add_func ("/net/frame/buffer-lies", test_buffer_lies);
  g_test_add_func ("/net/frame/strangers", test_strangers);
  g_test_add_func ("/net/frame/bad-fields", test_bad_fields);
  g_test_add_func ("/net/frame/error-is-harmless", test_error_is_harmless);
  g_test_add_func ("/net/frame/buffer-not-as-caps-say", test_buffer_not_as_caps_say);
  status = g_test_run ();
  gst_deinit ();
  return status;
}
