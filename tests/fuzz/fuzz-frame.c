/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The bytes of a connection, decoded and parsed as an element would. They are tried twice: as
 * they are, and with every checksum made true, for otherwise hardly an input would get further. */

#include "tandem.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static const TandemFrameLimits limits = {
  .max_header = 1 << 16, .max_payload = 1 << 16, .max_sequences = 256,
};

/* What is a valid event comes out of a frame again as it went in. */
static void
parse_event (const TandemFrame *frame)
{
  g_autoptr (GstEvent) event = NULL;
  TandemGradientInfo gradient;
  guint kind;

  if (!tandem_frame_parse_event (frame, &kind, NULL))
    return;
  if (kind == TANDEM_FRAME_EVENT_GRADIENT)
    tandem_frame_parse_gradient (frame, &gradient, NULL);
  event = tandem_frame_parse_training_event (frame, NULL);
  if (event != NULL) {
    g_autoptr (GByteArray) bytes = g_byte_array_new ();

    g_assert_true (tandem_frame_append_training_event (bytes, frame->sequence, event));
    g_assert_cmpuint (bytes->len - TANDEM_FRAME_FIXED_SIZE, <=, frame->header_size);
  }
}

static void
parse (const TandemFrame *frame, TandemStreamInfo *info)
{
  g_autoptr (GError) error = NULL;
  TandemStreamInfo other;
  TandemHello hello;
  TandemAck ack;
  GstSegment segment;
  guint64 frames, bytes;

  switch (frame->type) {
    case TANDEM_FRAME_HELLO:
      tandem_frame_parse_hello (frame, &hello, &error);
      break;
    case TANDEM_FRAME_CAPS:
      if (tandem_frame_parse_caps (frame, &other, &error)) {
        g_autoptr (GstCaps) caps = tandem_stream_info_to_caps (&other);

        g_assert_nonnull (caps);
        tandem_stream_info_clear (info);
        *info = other;
      }
      break;
    case TANDEM_FRAME_SEGMENT:
      tandem_frame_parse_segment (frame, &segment, &error);
      break;
    case TANDEM_FRAME_EVENT:
      parse_event (frame);
      break;
    case TANDEM_FRAME_ACK:
      tandem_frame_parse_ack (frame, &ack, &error);
      break;
    case TANDEM_FRAME_CREDIT:
      tandem_frame_parse_credit (frame, &frames, &bytes, &error);
      break;
    case TANDEM_FRAME_ERROR:
      error = tandem_frame_parse_error (frame);
      g_assert_true (g_utf8_validate (error->message, -1, NULL));
      break;
    default:
      break;
  }
}

static void
decode (const uint8_t *data, size_t size)
{
  g_autoptr (TandemFrameDecoder) decoder = tandem_frame_decoder_new (&limits);
  g_auto (TandemStreamInfo) info = { .kind = TANDEM_STREAM_ACTIVATIONS, .layer = 1, .width = 3 };
  g_autofree guint8 *payload = NULL;
  guint64 step = size;

  while (size > 0) {
    const TandemFrame *frame = tandem_frame_decoder_get_frame (decoder);
    g_autoptr (GstBuffer) buffer = NULL;
    TandemGradientInfo gradient;
    gsize space, n;
    guint8 *to = tandem_frame_decoder_get_space (decoder, &space);

    step = step * 6364136223846793005u + 1;
    n = MIN (MIN (space, size), 1 + (step >> 33) % 97);
    memcpy (to, data, n);
    data += n;
    size -= n;
    switch (tandem_frame_decoder_advance (decoder, n, NULL)) {
      case TANDEM_DECODE_ERROR:
        return;
      case TANDEM_DECODE_MORE:
        break;
      case TANDEM_DECODE_PAYLOAD:
        if (frame->type == TANDEM_FRAME_EVENT) {
          if (!tandem_frame_parse_gradient (frame, &gradient, NULL))
            return;
          g_free (payload);
          payload = g_malloc (frame->payload_size);
          tandem_frame_decoder_set_payload (decoder, payload);
          break;
        }
        buffer = tandem_frame_parse_buffer (frame, &info, &limits, NULL);
        if (buffer == NULL)
          return;
        g_free (payload);
        payload = g_malloc (frame->payload_size);
        tandem_frame_decoder_set_payload (decoder, payload);
        break;
      case TANDEM_DECODE_FRAME:
        parse (frame, &info);
        break;
    }
  }
}

static uint32_t
read_u32 (const uint8_t *p)
{
  return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t) p[3] << 24;
}

static void
write_u32 (uint8_t *p, uint32_t v)
{
  guint i;

  for (i = 0; i < 4; i++)
    p[i] = v >> 8 * i;
}

static void
make_checksums_true (uint8_t *data, size_t size)
{
  while (size >= TANDEM_FRAME_FIXED_SIZE) {
    uint64_t body = (uint64_t) read_u32 (data + 8) + read_u32 (data + 12);

    if (body <= size - TANDEM_FRAME_FIXED_SIZE)
      write_u32 (data + 32, tandem_crc32c (0, data + TANDEM_FRAME_FIXED_SIZE, body));
    write_u32 (data + 36, tandem_crc32c (0, data, 36));
    if (body > size - TANDEM_FRAME_FIXED_SIZE)
      return;
    data += TANDEM_FRAME_FIXED_SIZE + body;
    size -= TANDEM_FRAME_FIXED_SIZE + body;
  }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static gsize once = 0;

  if (g_once_init_enter (&once)) {
    gst_init (NULL, NULL);
    g_once_init_leave (&once, 1);
  }
  decode (data, size);
  {
    g_autofree uint8_t *copy = g_memdup2 (data, size);

    make_checksums_true (copy, size);
    decode (copy, size);
  }
  return 0;
}
