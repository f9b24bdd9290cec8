/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Frames on their way through a decoder. */

#include "net-frames.h"

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
static inline gboolean
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

/* Changes one field of a frame and makes its checksums true again. */
static inline void
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

static inline void
expect (GByteArray *bytes, int code)
{
  g_autoptr (TandemFrameDecoder) decoder = tandem_frame_decoder_new (&limits);
  g_autoptr (GError) error = NULL;
  Seen seen = { 0 };

  feed (decoder, bytes->data, bytes->len, 64, &seen, &error);
  g_assert_error (error, TANDEM_NET_ERROR, code);
}

static inline const TandemFrame *
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
