/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Takes a frame apart as its bytes come, any number at a time. The caller reads into the space
 * that the decoder offers, so that a payload goes from the socket straight to where it stays. */

#include "config.h"

#include "tandem-frame-decoder.h"

#include "net/tandem-crc32c.h"

#define SCRATCH_SIZE 4096

typedef enum
{
  IN_FIXED,
  IN_HEADER,
  WANT_PAYLOAD,                 /* told the caller, who gives memory */
  IN_PAYLOAD,
  COMPLETE,
  FAILED,
} State;

struct _TandemFrameDecoder
{
  TandemFrameLimits limits;
  State state;
  gboolean greeted;             /* a frame came before */
  gboolean skip;                /* the type is unknown: its bytes go to scratch */
  gsize done;                   /* bytes of the current state that came */
  TandemFrame frame;
  guint32 expected_crc, crc;
  GByteArray *header;
  GByteArray *control;          /* the payload of CAPS and ERROR */
  guint8 *payload;
  guint8 fixed[TANDEM_FRAME_FIXED_SIZE];
  guint8 scratch[SCRATCH_SIZE];
};

/**
 * tandem_frame_decoder_new: (skip)
 * @limits: what is taken
 *
 * Returns: (transfer full): a decoder at the start of a frame
 */
TandemFrameDecoder *
tandem_frame_decoder_new (const TandemFrameLimits *limits)
{
  TandemFrameDecoder *self = g_new0 (TandemFrameDecoder, 1);

  self->limits = *limits;
  self->header = g_byte_array_new ();
  self->control = g_byte_array_new ();
  return self;
}

/**
 * tandem_frame_decoder_free: (skip)
 * @decoder: (transfer full): a decoder
 */
void
tandem_frame_decoder_free (TandemFrameDecoder *decoder)
{
  g_byte_array_unref (decoder->header);
  g_byte_array_unref (decoder->control);
  g_free (decoder);
}

/**
 * tandem_frame_decoder_set_limits: (skip)
 * @decoder: a decoder
 * @limits: what is taken from the next frame on
 */
void
tandem_frame_decoder_set_limits (TandemFrameDecoder *decoder, const TandemFrameLimits *limits)
{
  decoder->limits = *limits;
}

/**
 * tandem_frame_decoder_get_limits: (skip)
 * @decoder: a decoder
 *
 * Returns: (transfer none): what is taken
 */
const TandemFrameLimits *
tandem_frame_decoder_get_limits (TandemFrameDecoder *decoder)
{
  return &decoder->limits;
}

static gboolean
check_lengths (TandemFrameDecoder *self, GError **error)
{
  const TandemFrame *frame = &self->frame;
  guint32 max_header = TANDEM_FRAME_MAX_CONTROL_HEADER, max_payload = 0;

  self->skip = FALSE;
  switch (frame->type) {
    case TANDEM_FRAME_HELLO:
    case TANDEM_FRAME_SEGMENT:
    case TANDEM_FRAME_ACK:
    case TANDEM_FRAME_CREDIT:
    case TANDEM_FRAME_EOS:
      break;
    case TANDEM_FRAME_CAPS:
    case TANDEM_FRAME_ERROR:
      max_payload = TANDEM_FRAME_MAX_CONTROL_PAYLOAD;
      break;
    case TANDEM_FRAME_BUFFER:
      max_header = self->limits.max_header;
      max_payload = self->limits.max_payload;
      break;
    case TANDEM_FRAME_EVENT:
      /* Only a gradient's payload is wanted; that of another kind is skipped. */
      max_payload = MAX (self->limits.max_payload, TANDEM_FRAME_MAX_CONTROL_PAYLOAD);
      break;
    default:
      if ((frame->flags & TANDEM_FRAME_FLAG_REQUIRED) != 0) {
        g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_VERSION,
                     "a frame of the unknown type %u cannot be skipped", frame->type);
        return FALSE;
      }
      max_payload = MAX (self->limits.max_payload, TANDEM_FRAME_MAX_CONTROL_PAYLOAD);
      self->skip = TRUE;
  }
  if (frame->header_size > max_header || frame->payload_size > max_payload) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_TOO_LARGE,
                 "a frame of type %u has a header of %u and a payload of %u bytes; "
                 "at most %u and %u are taken", frame->type, frame->header_size,
                 frame->payload_size, max_header, max_payload);
    return FALSE;
  }
  return TRUE;
}

/**
 * tandem_frame_decoder_get_space: (skip)
 * @decoder: a decoder that waits for bytes
 * @size: (out): how many bytes the space has, at least 1
 *
 * Returns: (transfer none): where the next bytes go
 */
guint8 *
tandem_frame_decoder_get_space (TandemFrameDecoder *decoder, gsize *size)
{
  gsize left;

  if (decoder->state == COMPLETE) {
    decoder->state = IN_FIXED;
    decoder->done = 0;
  }
  switch (decoder->state) {
    case IN_FIXED:
      *size = sizeof decoder->fixed - decoder->done;
      return decoder->fixed + decoder->done;
    case IN_HEADER:
      left = decoder->frame.header_size - decoder->done;
      if (decoder->skip)
        break;
      *size = left;
      return decoder->header->data + decoder->done;
    case IN_PAYLOAD:
      left = decoder->frame.payload_size - decoder->done;
      if (decoder->payload == NULL)
        break;
      *size = left;
      return decoder->payload + decoder->done;
    default:
      g_return_val_if_reached (NULL);
  }
  *size = MIN (left, sizeof decoder->scratch);
  return decoder->scratch;
}

static TandemDecodeStatus
finish_frame (TandemFrameDecoder *self, GError **error)
{
  if (self->crc != self->expected_crc) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_CORRUPT,
                 "the checksum of a frame of type %u is %08x, it should be %08x",
                 self->frame.type, self->expected_crc, self->crc);
    self->state = FAILED;
    return TANDEM_DECODE_ERROR;
  }
  if (self->skip) {
    self->state = IN_FIXED;
    self->done = 0;
    return TANDEM_DECODE_MORE;
  }
  self->frame.payload = self->payload;
  self->greeted = TRUE;
  self->state = COMPLETE;
  return TANDEM_DECODE_FRAME;
}

static gboolean
is_gradient (const TandemFrame *frame)
{
  guint kind;

  return frame->type == TANDEM_FRAME_EVENT && tandem_frame_parse_event (frame, &kind, NULL) &&
      kind == TANDEM_FRAME_EVENT_GRADIENT;
}

static TandemDecodeStatus
finish_header (TandemFrameDecoder *self, GError **error)
{
  self->done = 0;
  self->payload = NULL;
  self->frame.header = self->skip ? NULL : self->header->data;
  if (self->frame.payload_size == 0)
    return finish_frame (self, error);
  self->state = IN_PAYLOAD;
  if (self->frame.type == TANDEM_FRAME_BUFFER || is_gradient (&self->frame)) {
    self->state = WANT_PAYLOAD;
    return TANDEM_DECODE_PAYLOAD;
  }
  if (self->frame.type == TANDEM_FRAME_CAPS || self->frame.type == TANDEM_FRAME_ERROR) {
    g_byte_array_set_size (self->control, self->frame.payload_size);
    self->payload = self->control->data;
  }
  return TANDEM_DECODE_MORE;
}

static TandemDecodeStatus
finish_fixed (TandemFrameDecoder *self, GError **error)
{
  if (!check_lengths (self, error)) {
    self->state = FAILED;
    return TANDEM_DECODE_ERROR;
  }
  self->crc = 0;
  self->done = 0;
  if (self->frame.header_size == 0)
    return finish_header (self, error);
  if (!self->skip)
    g_byte_array_set_size (self->header, self->frame.header_size);
  self->state = IN_HEADER;
  return TANDEM_DECODE_MORE;
}

/**
 * tandem_frame_decoder_advance: (skip)
 * @decoder: a decoder that waits for bytes
 * @size: how many bytes were put into the space, at most its size
 * @error: return location for a #TandemNetError
 *
 * Returns: how far the decoder is
 */
TandemDecodeStatus
tandem_frame_decoder_advance (TandemFrameDecoder *decoder, gsize size, GError **error)
{
  gsize before = decoder->done;

  decoder->done += size;
  switch (decoder->state) {
    case IN_FIXED:
      if (!tandem_frame_parse_fixed (decoder->fixed, decoder->done, &decoder->frame,
                                     &decoder->expected_crc, error)) {
        /* Nobody changes the language in the middle: the bytes were spoiled on the way. */
        if (decoder->greeted && error != NULL)
          (*error)->code = TANDEM_NET_ERROR_CORRUPT;
        decoder->state = FAILED;
        return TANDEM_DECODE_ERROR;
      }
      return decoder->done < sizeof decoder->fixed ? TANDEM_DECODE_MORE
                                                   : finish_fixed (decoder, error);
    case IN_HEADER:
      decoder->crc = tandem_crc32c (
          decoder->crc, decoder->skip ? decoder->scratch : decoder->header->data + before, size);
      return decoder->done < decoder->frame.header_size ? TANDEM_DECODE_MORE
                                                        : finish_header (decoder, error);
    case IN_PAYLOAD:
      decoder->crc = tandem_crc32c (
          decoder->crc, decoder->payload == NULL ? decoder->scratch : decoder->payload + before,
          size);
      return decoder->done < decoder->frame.payload_size ? TANDEM_DECODE_MORE
                                                         : finish_frame (decoder, error);
    default:
      g_return_val_if_reached (TANDEM_DECODE_ERROR);
  }
}

/**
 * tandem_frame_decoder_set_payload: (skip)
 * @decoder: a decoder that returned %TANDEM_DECODE_PAYLOAD
 * @memory: (nullable): room for the whole payload, until the frame is complete;
 *   %NULL reads past it
 */
void
tandem_frame_decoder_set_payload (TandemFrameDecoder *decoder, guint8 *memory)
{
  g_return_if_fail (decoder->state == WANT_PAYLOAD);
  decoder->payload = memory;
  decoder->state = IN_PAYLOAD;
}

/**
 * tandem_frame_decoder_get_frame: (skip)
 * @decoder: a decoder that returned %TANDEM_DECODE_PAYLOAD or %TANDEM_DECODE_FRAME
 *
 * Returns: (transfer none): the frame, until the next bytes
 */
const TandemFrame *
tandem_frame_decoder_get_frame (TandemFrameDecoder *decoder)
{
  return &decoder->frame;
}

/**
 * tandem_frame_decoder_is_idle: (skip)
 * @decoder: a decoder
 *
 * Returns: whether it is between two frames, where a connection may end
 */
gboolean
tandem_frame_decoder_is_idle (TandemFrameDecoder *decoder)
{
  return decoder->state == COMPLETE || (decoder->state == IN_FIXED && decoder->done == 0);
}
