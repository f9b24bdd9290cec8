/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>
#include <gst/gst.h>

#include "tandem-export.h"
#include "net/tandem-net-error.h"
#include "stream/tandem-caps.h"
#include "stream/tandem-training-events.h"

G_BEGIN_DECLS

/**
 * TANDEM_FRAME_MAJOR:
 *
 * Major version of the wire format; another one is refused.
 */
#define TANDEM_FRAME_MAJOR 1

/**
 * TANDEM_FRAME_MINOR:
 *
 * Minor version; what a higher one adds can be skipped.
 */
#define TANDEM_FRAME_MINOR 0

/**
 * TANDEM_FRAME_FIXED_SIZE:
 *
 * Bytes of the fixed header that begins every frame.
 */
#define TANDEM_FRAME_FIXED_SIZE 40

/**
 * TANDEM_FRAME_MAX_CONTROL_HEADER:
 *
 * The longest header, in bytes, of every type but BUFFER.
 */
#define TANDEM_FRAME_MAX_CONTROL_HEADER 4096

/**
 * TANDEM_FRAME_MAX_CONTROL_PAYLOAD:
 *
 * The longest payload, in bytes, of CAPS and ERROR.
 */
#define TANDEM_FRAME_MAX_CONTROL_PAYLOAD (1024 * 1024)

/**
 * TANDEM_FRAME_MAX_SENTENCE:
 *
 * The longest sentence, in bytes, of an ERROR frame.
 */
#define TANDEM_FRAME_MAX_SENTENCE 1024

/**
 * TANDEM_FRAME_MAX_SEQUENCES:
 *
 * The most sequences of one buffer that this implementation offers to take.
 */
#define TANDEM_FRAME_MAX_SEQUENCES 16384

/**
 * TANDEM_FRAME_MAX_SEQUENCE_NUMBER:
 *
 * The highest sequence number of a stream.
 */
#define TANDEM_FRAME_MAX_SEQUENCE_NUMBER G_MAXINT64

/**
 * TANDEM_FRAME_STREAM_ID_SIZE:
 *
 * Bytes of the random name of a stream.
 */
#define TANDEM_FRAME_STREAM_ID_SIZE 16

/**
 * TandemFrameType:
 * @TANDEM_FRAME_HELLO: who speaks, about which stream
 * @TANDEM_FRAME_CAPS: what the buffers that follow hold
 * @TANDEM_FRAME_SEGMENT: the segment of the buffers that follow
 * @TANDEM_FRAME_BUFFER: one micro-batch
 * @TANDEM_FRAME_EVENT: anything else that happens, in both directions
 * @TANDEM_FRAME_ACK: what became of micro-batches
 * @TANDEM_FRAME_CREDIT: how much more may be sent
 * @TANDEM_FRAME_EOS: the stream is complete
 * @TANDEM_FRAME_ERROR: a refusal, with its reason
 *
 * The types of frames.
 */
typedef enum
{
  TANDEM_FRAME_HELLO = 1,
  TANDEM_FRAME_CAPS = 2,
  TANDEM_FRAME_SEGMENT = 3,
  TANDEM_FRAME_BUFFER = 4,
  TANDEM_FRAME_EVENT = 5,
  TANDEM_FRAME_ACK = 6,
  TANDEM_FRAME_CREDIT = 7,
  TANDEM_FRAME_EOS = 8,
  TANDEM_FRAME_ERROR = 9,
} TandemFrameType;

/**
 * TandemFrameFlags:
 * @TANDEM_FRAME_FLAG_REQUIRED: a receiver that does not know the type must
 *   refuse the frame instead of skipping it
 *
 * The flags of a frame.
 */
typedef enum
{
  TANDEM_FRAME_FLAG_REQUIRED = 1 << 0,
} TandemFrameFlags;

/**
 * TandemFrameEvent:
 * @TANDEM_FRAME_EVENT_KEEPALIVE: the sender of the event is alive
 * @TANDEM_FRAME_EVENT_DONE: every acknowledgement came; the connection ends
 * @TANDEM_FRAME_EVENT_FLUSH: what was sent before is no longer wanted
 * @TANDEM_FRAME_EVENT_TRAINING: see tandem_event_new_training()
 * @TANDEM_FRAME_EVENT_DRAIN: see tandem_event_new_drain()
 * @TANDEM_FRAME_EVENT_STEP: see tandem_event_new_step()
 * @TANDEM_FRAME_EVENT_CHECKPOINT: see tandem_event_new_checkpoint()
 * @TANDEM_FRAME_EVENT_GRADIENT: see tandem_event_new_gradient(); from the receiver
 *
 * The kinds of EVENT frames. Kinds from 16 to 31 are those of training.
 */
typedef enum
{
  TANDEM_FRAME_EVENT_KEEPALIVE = 0,
  TANDEM_FRAME_EVENT_DONE = 1,
  TANDEM_FRAME_EVENT_FLUSH = 2,
  TANDEM_FRAME_EVENT_TRAINING = 16,
  TANDEM_FRAME_EVENT_DRAIN = 17,
  TANDEM_FRAME_EVENT_STEP = 18,
  TANDEM_FRAME_EVENT_CHECKPOINT = 19,
  TANDEM_FRAME_EVENT_GRADIENT = 20,
} TandemFrameEvent;

/**
 * TandemAckStatus:
 * @TANDEM_ACK_CONSUMED: the consumer at the end of the stream is done with it
 * @TANDEM_ACK_DROPPED: it was dropped before it got there
 *
 * What became of a micro-batch.
 */
typedef enum
{
  TANDEM_ACK_CONSUMED = 0,
  TANDEM_ACK_DROPPED = 1,
} TandemAckStatus;

/**
 * TandemFrameRole:
 * @TANDEM_ROLE_SENDER: the side that sends buffers
 * @TANDEM_ROLE_RECEIVER: the side that takes them
 *
 * Who says HELLO.
 */
typedef enum
{
  TANDEM_ROLE_SENDER = 0,
  TANDEM_ROLE_RECEIVER = 1,
} TandemFrameRole;

/**
 * TANDEM_FRAME_FEATURE_TRAINING:
 *
 * Feature bit of HELLO: the events of training are known. A sender that trains
 * requires it.
 */
#define TANDEM_FRAME_FEATURE_TRAINING (1u << 8)

/**
 * TANDEM_FRAME_ANY_KIND:
 *
 * In #TandemHello: the kind of stream is not known yet, or any is taken.
 */
#define TANDEM_FRAME_ANY_KIND 0xff

typedef struct _TandemFrameLimits TandemFrameLimits;
typedef struct _TandemFrame TandemFrame;
typedef struct _TandemHello TandemHello;
typedef struct _TandemAck TandemAck;

/**
 * TandemFrameLimits:
 * @max_header: bytes of the header of a BUFFER; other types may have
 *   %TANDEM_FRAME_MAX_CONTROL_HEADER
 * @max_payload: bytes of the payload of a BUFFER or EVENT
 * @max_sequences: sequences of one BUFFER
 *
 * What a decoder takes. Everything is checked before memory is taken.
 */
struct _TandemFrameLimits
{
  guint32 max_header;
  guint32 max_payload;
  guint32 max_sequences;
};

/**
 * TandemFrame:
 * @major: major version
 * @minor: minor version
 * @type: a #TandemFrameType
 * @flags: #TandemFrameFlags
 * @header_size: bytes of @header
 * @payload_size: bytes of @payload
 * @stream: number of the stream in the connection; 0
 * @sequence: sequence number, or 0 where the type has none
 * @header: the header of the type
 * @payload: (nullable): the payload
 *
 * A decoded frame. The memory belongs to the decoder, but the payload of a
 * BUFFER or a gradient to whoever gave it.
 */
struct _TandemFrame
{
  guint8 major;
  guint8 minor;
  guint8 type;
  guint8 flags;
  guint32 header_size;
  guint32 payload_size;
  guint32 stream;
  guint64 sequence;
  const guint8 *header;
  const guint8 *payload;
};

/**
 * TandemHello:
 * @role: who speaks
 * @searching: sender: it looks for a device and asks another one when it is refused
 * @features: feature bits that the speaker has
 * @features_required: feature bits that it cannot do without
 * @max_payload: the largest payload that it takes (or sends), in bytes
 * @max_sequences: the most sequences of one buffer that it takes (or sends)
 * @keepalive: milliseconds after which it says something at the latest; 0: never
 * @stream_id: random name of the stream, chosen by the sender
 * @resume: sender: the first sequence number not acknowledged yet; receiver:
 *   the last one received
 * @credit_frames: receiver: BUFFER frames that may be sent in this connection
 * @credit_bytes: receiver: payload bytes that may be sent in this connection
 * @kind: a #TandemStreamKind, or %TANDEM_FRAME_ANY_KIND
 * @formats: bit n set: row format n is sent or taken; 0: any
 * @first_layer: the layer whose input is sent or taken; 0: none or any
 * @last_layer: receiver: the last layer that it runs; 0: none
 * @width: elements of a row; 0: none or any
 * @classes: scores of a row; 0: none or any
 * @fingerprint: 64 hexadecimal digits, or "" for any
 *
 * The first frame of both sides.
 */
struct _TandemHello
{
  guint8 role;
  gboolean searching;
  guint32 features;
  guint32 features_required;
  guint32 max_payload;
  guint32 max_sequences;
  guint32 keepalive;
  guint8 stream_id[TANDEM_FRAME_STREAM_ID_SIZE];
  guint64 resume;
  guint64 credit_frames;
  guint64 credit_bytes;
  guint8 kind;
  guint16 formats;
  guint32 first_layer;
  guint32 last_layer;
  guint32 width;
  guint32 classes;
  char fingerprint[65];
};

/**
 * TandemAck:
 * @first: the first sequence number it is about
 * @last: the last one
 * @status: what became of them
 *
 * The content of an ACK frame.
 */
struct _TandemAck
{
  guint64 first;
  guint64 last;
  TandemAckStatus status;
};

/* Writing: each appends one whole frame. */

TANDEM_API
void tandem_frame_append_hello (GByteArray *out, const TandemHello *hello);

TANDEM_API
void tandem_frame_append_caps (GByteArray *out, const TandemStreamInfo *info);

TANDEM_API
void tandem_frame_append_segment (GByteArray *out, const GstSegment *segment);

TANDEM_API
gboolean tandem_frame_append_buffer (GByteArray *out, guint64 sequence,
                                     const TandemStreamInfo *info, GstBuffer *buffer,
                                     const GOutputVector *payload, guint n_vectors,
                                     GError **error);

TANDEM_API
void tandem_frame_append_event (GByteArray *out, guint64 sequence, TandemFrameEvent event);

TANDEM_API
gboolean tandem_frame_append_training_event (GByteArray *out, guint64 sequence, GstEvent *event);

TANDEM_API
void tandem_frame_append_gradient (GByteArray *out, guint64 sequence,
                                   const TandemGradientInfo *info, const GOutputVector *payload,
                                   guint n_vectors);

TANDEM_API
guint64 tandem_frame_get_gradient_size (const TandemStreamInfo *info, guint n_rows);

TANDEM_API
void tandem_frame_append_ack (GByteArray *out, const TandemAck *ack);

TANDEM_API
void tandem_frame_append_credit (GByteArray *out, guint64 frames, guint64 bytes);

TANDEM_API
void tandem_frame_append_eos (GByteArray *out, guint64 sequence);

TANDEM_API
void tandem_frame_append_error (GByteArray *out, int code, const char *sentence);

/* Reading: each checks every field of one decoded frame. */

TANDEM_API
gboolean tandem_frame_parse_hello (const TandemFrame *frame, TandemHello *hello, GError **error);

TANDEM_API
gboolean tandem_frame_parse_caps (const TandemFrame *frame, TandemStreamInfo *info,
                                  GError **error);

TANDEM_API
gboolean tandem_frame_parse_segment (const TandemFrame *frame, GstSegment *segment,
                                     GError **error);

TANDEM_API
GstBuffer *tandem_frame_parse_buffer (const TandemFrame *frame, const TandemStreamInfo *info,
                                      const TandemFrameLimits *limits, GError **error);

TANDEM_API
gboolean tandem_frame_parse_event (const TandemFrame *frame, guint *kind, GError **error);

TANDEM_API
GstEvent *tandem_frame_parse_training_event (const TandemFrame *frame, GError **error);

TANDEM_API
gboolean tandem_frame_parse_gradient (const TandemFrame *frame, TandemGradientInfo *info,
                                      GError **error);

TANDEM_API
gboolean tandem_frame_parse_ack (const TandemFrame *frame, TandemAck *ack, GError **error);

TANDEM_API
gboolean tandem_frame_parse_credit (const TandemFrame *frame, guint64 *frames, guint64 *bytes,
                                    GError **error);

TANDEM_API
GError *tandem_frame_parse_error (const TandemFrame *frame);

TANDEM_API
gboolean tandem_frame_parse_fixed (const guint8 *bytes, gsize size, TandemFrame *frame,
                                   guint32 *body_crc, GError **error);

TANDEM_API
guint32 tandem_frame_max_header (guint32 max_sequences);

G_END_DECLS
