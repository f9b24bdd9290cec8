/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The wire format: what the two sides say about their connection and about what was sent over it:
 * HELLO, EVENT, ACK, CREDIT, EOS and ERROR. See tandem-frame.c. */

#include "config.h"

#include "tandem-frame-private.h"

#define HELLO_SIZE 120
#define HELLO_SEARCHING (1 << 0)
#define EVENT_SIZE 4
#define ACK_SIZE 16
#define CREDIT_SIZE 16
#define ERROR_SIZE 4

/* --- HELLO --- */

static gboolean
is_zero (const guint8 *p, gsize size)
{
  while (size > 0 && *p == 0)
    p++, size--;
  return size == 0;
}

/**
 * tandem_frame_append_hello: (skip)
 * @out: where to
 * @hello: what to say
 */
void
tandem_frame_append_hello (GByteArray *out, const TandemHello *hello)
{
  const guint8 role[4] = { hello->role, hello->searching ? HELLO_SEARCHING : 0, 0, 0 };
  const guint8 kind[2] = { hello->kind, 0 };
  guint start = tandem_frame_begin (out, TANDEM_FRAME_HELLO, TANDEM_FRAME_FLAG_REQUIRED, 0);

  g_byte_array_append (out, role, sizeof role);
  put_u32 (out, hello->features);
  put_u32 (out, hello->features_required);
  put_u32 (out, hello->max_payload);
  put_u32 (out, hello->max_sequences);
  put_u32 (out, hello->keepalive);
  g_byte_array_append (out, hello->stream_id, sizeof hello->stream_id);
  put_u64 (out, hello->resume);
  put_u64 (out, hello->credit_frames);
  put_u64 (out, hello->credit_bytes);
  g_byte_array_append (out, kind, sizeof kind);
  put_u16 (out, hello->formats);
  put_u32 (out, hello->first_layer);
  put_u32 (out, hello->last_layer);
  put_u32 (out, hello->width);
  put_u32 (out, hello->classes);
  put_u32 (out, 0);
  tandem_frame_put_fingerprint (out, hello->fingerprint);
  tandem_frame_end (out, start, NULL, 0);
}

/**
 * tandem_frame_parse_hello: (skip)
 * @frame: a HELLO frame
 * @hello: (out caller-allocates): what it says
 * @error: return location for a #TandemNetError
 *
 * Returns: %FALSE on %TANDEM_NET_ERROR_PROTOCOL
 */
gboolean
tandem_frame_parse_hello (const TandemFrame *frame, TandemHello *hello, GError **error)
{
  const guint8 *p = frame->header;

  if (!tandem_frame_check_size (frame, "HELLO", HELLO_SIZE, error))
    return FALSE;
  memset (hello, 0, sizeof *hello);
  hello->role = p[0];
  hello->searching = (p[1] & HELLO_SEARCHING) != 0;
  hello->features = get_u32 (p + 4);
  hello->features_required = get_u32 (p + 8);
  hello->max_payload = get_u32 (p + 12);
  hello->max_sequences = get_u32 (p + 16);
  hello->keepalive = get_u32 (p + 20);
  memcpy (hello->stream_id, p + 24, TANDEM_FRAME_STREAM_ID_SIZE);
  hello->resume = get_u64 (p + 40);
  hello->credit_frames = get_u64 (p + 48);
  hello->credit_bytes = get_u64 (p + 56);
  hello->kind = p[64];
  hello->formats = get_u16 (p + 66);
  hello->first_layer = get_u32 (p + 68);
  hello->last_layer = get_u32 (p + 72);
  hello->width = get_u32 (p + 76);
  hello->classes = get_u32 (p + 80);
  if (!is_zero (p + 88, TANDEM_FRAME_DIGEST_SIZE))
    tandem_frame_get_fingerprint (p + 88, hello->fingerprint);
  if (hello->role > TANDEM_ROLE_RECEIVER)
    return tandem_frame_malformed (error, "HELLO", "unknown role");
  if (hello->max_sequences == 0)
    return tandem_frame_malformed (error, "HELLO", "it takes no sequences");
  return TRUE;
}

/* --- EVENT --- */

/**
 * tandem_frame_append_event: (skip)
 * @out: where to
 * @sequence: its sequence number, or 0 for one that is not acknowledged
 * @event: its kind
 */
void
tandem_frame_append_event (GByteArray *out, guint64 sequence, TandemFrameEvent event)
{
  guint start = tandem_frame_begin (out, TANDEM_FRAME_EVENT, 0, sequence);

  put_u16 (out, event);
  put_u16 (out, 0);
  tandem_frame_end (out, start, NULL, 0);
}

/**
 * tandem_frame_parse_event: (skip)
 * @frame: an EVENT frame
 * @kind: (out): a #TandemFrameEvent, or a number that this version does not know
 * @error: return location for a #TandemNetError
 *
 * Returns: %FALSE on %TANDEM_NET_ERROR_PROTOCOL
 */
gboolean
tandem_frame_parse_event (const TandemFrame *frame, guint *kind, GError **error)
{
  if (!tandem_frame_check_size (frame, "EVENT", EVENT_SIZE, error))
    return FALSE;
  *kind = get_u16 (frame->header);
  return TRUE;
}

/* --- ACK and CREDIT --- */

/**
 * tandem_frame_append_ack: (skip)
 * @out: where to
 * @ack: what to acknowledge
 */
void
tandem_frame_append_ack (GByteArray *out, const TandemAck *ack)
{
  guint start = tandem_frame_begin (out, TANDEM_FRAME_ACK, TANDEM_FRAME_FLAG_REQUIRED, ack->last);

  put_u64 (out, ack->first);
  put_u32 (out, ack->status);
  put_u32 (out, 0);
  tandem_frame_end (out, start, NULL, 0);
}

/**
 * tandem_frame_parse_ack: (skip)
 * @frame: an ACK frame
 * @ack: (out caller-allocates): what it acknowledges
 * @error: return location for a #TandemNetError
 *
 * Returns: %FALSE on %TANDEM_NET_ERROR_PROTOCOL
 */
gboolean
tandem_frame_parse_ack (const TandemFrame *frame, TandemAck *ack, GError **error)
{
  guint32 status;

  if (!tandem_frame_check_size (frame, "ACK", ACK_SIZE, error))
    return FALSE;
  ack->first = get_u64 (frame->header);
  ack->last = frame->sequence;
  status = get_u32 (frame->header + 8);
  if (ack->first == 0 || ack->first > ack->last)
    return tandem_frame_malformed (error, "ACK", "its range of sequence numbers is empty");
  if (status > TANDEM_ACK_DROPPED)
    return tandem_frame_malformed (error, "ACK", "unknown status");
  ack->status = status;
  return TRUE;
}

/**
 * tandem_frame_append_credit: (skip)
 * @out: where to
 * @frames: BUFFER frames that may be sent in this connection, from its start
 * @bytes: payload bytes that may be sent in this connection, from its start
 */
void
tandem_frame_append_credit (GByteArray *out, guint64 frames, guint64 bytes)
{
  guint start = tandem_frame_begin (out, TANDEM_FRAME_CREDIT, TANDEM_FRAME_FLAG_REQUIRED, 0);

  put_u64 (out, frames);
  put_u64 (out, bytes);
  tandem_frame_end (out, start, NULL, 0);
}

/**
 * tandem_frame_parse_credit: (skip)
 * @frame: a CREDIT frame
 * @frames: (out): BUFFER frames that may be sent in this connection
 * @bytes: (out): payload bytes that may be sent in this connection
 * @error: return location for a #TandemNetError
 *
 * Returns: %FALSE on %TANDEM_NET_ERROR_PROTOCOL
 */
gboolean
tandem_frame_parse_credit (const TandemFrame *frame, guint64 *frames, guint64 *bytes,
                           GError **error)
{
  if (!tandem_frame_check_size (frame, "CREDIT", CREDIT_SIZE, error))
    return FALSE;
  *frames = get_u64 (frame->header);
  *bytes = get_u64 (frame->header + 8);
  return TRUE;
}

/* --- EOS and ERROR --- */

/**
 * tandem_frame_append_eos: (skip)
 * @out: where to
 * @sequence: its sequence number
 */
void
tandem_frame_append_eos (GByteArray *out, guint64 sequence)
{
  guint start = tandem_frame_begin (out, TANDEM_FRAME_EOS, TANDEM_FRAME_FLAG_REQUIRED, sequence);

  tandem_frame_end (out, start, NULL, 0);
}

/**
 * tandem_frame_append_error: (skip)
 * @out: where to
 * @code: a #TandemNetError below 100
 * @sentence: for people; cut to %TANDEM_FRAME_MAX_SENTENCE bytes
 */
void
tandem_frame_append_error (GByteArray *out, int code, const char *sentence)
{
  guint start = tandem_frame_begin (out, TANDEM_FRAME_ERROR, TANDEM_FRAME_FLAG_REQUIRED, 0);
  gsize size = MIN (strlen (sentence), TANDEM_FRAME_MAX_SENTENCE);
  const char *end;
  GOutputVector payload;

  g_utf8_validate_len (sentence, size, &end);
  payload.buffer = sentence;
  payload.size = end - sentence;
  put_u32 (out, code);
  tandem_frame_end (out, start, &payload, 1);
  g_byte_array_append (out, (const guint8 *) sentence, payload.size);
}

/**
 * tandem_frame_parse_error: (skip)
 * @frame: an ERROR frame
 *
 * Nothing in the sentence can harm a terminal: what is not text, and control
 * characters, are replaced.
 *
 * Returns: (transfer full): the peer's reason as a #TandemNetError; never %NULL
 */
GError *
tandem_frame_parse_error (const TandemFrame *frame)
{
  guint32 code = frame->header_size >= ERROR_SIZE ? get_u32 (frame->header) : 0;
  g_autofree char *sentence = NULL;
  char *p;

  if (code > TANDEM_NET_ERROR_DROPPED)
    code = TANDEM_NET_ERROR_FAILED;
  if (frame->payload_size == 0)
    return g_error_new_literal (TANDEM_NET_ERROR, code, "the other device gave no reason");
  sentence = g_utf8_make_valid ((const char *) frame->payload,
                                MIN (frame->payload_size, TANDEM_FRAME_MAX_SENTENCE));
  for (p = sentence; *p != '\0'; p++) {
    if (g_ascii_iscntrl (*p))
      *p = ' ';
  }
  return g_error_new_literal (TANDEM_NET_ERROR, code, sentence);
}
