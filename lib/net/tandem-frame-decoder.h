/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "net/tandem-frame.h"

G_BEGIN_DECLS

/**
 * TandemFrameDecoder: (skip)
 *
 * Makes frames from the bytes of one direction of a connection, however they are cut. It offers the
 * space that the next bytes go to, so that the payload of a BUFFER or a gradient is read straight
 * into the memory that the caller gave for it. One thread at a time.
 */
typedef struct _TandemFrameDecoder TandemFrameDecoder;

/**
 * TandemDecodeStatus:
 * @TANDEM_DECODE_ERROR: the bytes are not acceptable; the decoder is done for
 * @TANDEM_DECODE_MORE: more bytes are needed
 * @TANDEM_DECODE_PAYLOAD: the header of a BUFFER, or of an EVENT with a gradient, is there; give
 *   the decoder memory for the payload with tandem_frame_decoder_set_payload()
 * @TANDEM_DECODE_FRAME: a frame is complete
 *
 * How far a decoder is.
 */
typedef enum
{
  TANDEM_DECODE_ERROR,
  TANDEM_DECODE_MORE,
  TANDEM_DECODE_PAYLOAD,
  TANDEM_DECODE_FRAME,
} TandemDecodeStatus;

TANDEM_API
TandemFrameDecoder *tandem_frame_decoder_new (const TandemFrameLimits *limits);

TANDEM_API
void tandem_frame_decoder_free (TandemFrameDecoder *decoder);

TANDEM_API
void tandem_frame_decoder_set_limits (TandemFrameDecoder *decoder,
                                      const TandemFrameLimits *limits);

TANDEM_API
const TandemFrameLimits *tandem_frame_decoder_get_limits (TandemFrameDecoder *decoder);

TANDEM_API
guint8 *tandem_frame_decoder_get_space (TandemFrameDecoder *decoder, gsize *size);

TANDEM_API
TandemDecodeStatus tandem_frame_decoder_advance (TandemFrameDecoder *decoder, gsize size,
                                                 GError **error);

TANDEM_API
void tandem_frame_decoder_set_payload (TandemFrameDecoder *decoder, guint8 *memory);

TANDEM_API
const TandemFrame *tandem_frame_decoder_get_frame (TandemFrameDecoder *decoder);

TANDEM_API
gboolean tandem_frame_decoder_is_idle (TandemFrameDecoder *decoder);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemFrameDecoder, tandem_frame_decoder_free)

G_END_DECLS
