/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The wire format: what is streamed: CAPS, SEGMENT and BUFFER. See tandem-frame.c. */

#include "config.h"

#include "tandem-frame-private.h"

#include <math.h>

#include "stream/tandem-batch-meta.h"

#define CAPS_SIZE 52
#define SEGMENT_SIZE 80
#define BUFFER_SIZE 32
#define SEQUENCE_SIZE 16

static const struct
{
  guint32 bit;
  GstBufferFlags flag;
} buffer_flags[] = {
  { 1u << 0, GST_BUFFER_FLAG_DISCONT },   { 1u << 1, GST_BUFFER_FLAG_RESYNC },
  { 1u << 2, GST_BUFFER_FLAG_CORRUPTED }, { 1u << 3, GST_BUFFER_FLAG_MARKER },
  { 1u << 4, GST_BUFFER_FLAG_HEADER },    { 1u << 5, GST_BUFFER_FLAG_GAP },
  { 1u << 6, GST_BUFFER_FLAG_DROPPABLE }, { 1u << 7, GST_BUFFER_FLAG_DELTA_UNIT },
};

/* The index is the number on the wire. */
static const GstFormat segment_formats[] = {
  GST_FORMAT_UNDEFINED, GST_FORMAT_DEFAULT, GST_FORMAT_BYTES, GST_FORMAT_TIME, GST_FORMAT_BUFFERS,
};

/* --- CAPS --- */

/**
 * tandem_frame_append_caps: (skip)
 * @out: where to
 * @info: the stream; names of labels beyond 65,535 bytes are cut
 */
void
tandem_frame_append_caps (GByteArray *out, const TandemStreamInfo *info)
{
  const guint8 head[4] = { info->kind, info->format, 0, 0 };
  guint start = tandem_frame_begin (out, TANDEM_FRAME_CAPS, TANDEM_FRAME_FLAG_REQUIRED, 0);
  g_autoptr (GByteArray) names = g_byte_array_new ();
  GOutputVector payload;
  guint i, n_labels = info->labels != NULL ? g_strv_length (info->labels) : 0;

  for (i = 0; i < n_labels; i++) {
    gsize size = MIN (strlen (info->labels[i]), G_MAXUINT16);

    put_u16 (names, size);
    g_byte_array_append (names, (const guint8 *) info->labels[i], size);
  }
  /* A receiver can do without names, not with a part of them. */
  if (names->len > TANDEM_FRAME_MAX_CONTROL_PAYLOAD) {
    g_byte_array_set_size (names, 0);
    n_labels = 0;
  }
  g_byte_array_append (out, head, sizeof head);
  put_u32 (out, info->layer);
  put_u32 (out, info->width);
  put_u32 (out, info->classes);
  put_u32 (out, n_labels);
  tandem_frame_put_fingerprint (out, info->fingerprint);
  payload.buffer = names->data;
  payload.size = names->len;
  tandem_frame_end (out, start, &payload, 1);
  g_byte_array_append (out, names->data, names->len);
}

static gboolean
parse_labels (const TandemFrame *frame, guint n_labels, TandemStreamInfo *info, GError **error)
{
  const guint8 *p = frame->payload;
  gsize left = frame->payload_size;
  guint i;

  info->labels = g_new0 (char *, (gsize) n_labels + 1);
  for (i = 0; i < n_labels; i++) {
    gsize size;

    if (left < 2 || (size = get_u16 (p)) > left - 2)
      return tandem_frame_malformed (error, "CAPS", "a label's name ends beyond the payload");
    if (!g_utf8_validate_len ((const char *) p + 2, size, NULL))
      return tandem_frame_malformed (error, "CAPS", "a label's name is not UTF-8 text");
    info->labels[i] = g_strndup ((const char *) p + 2, size);
    p += 2 + size;
    left -= 2 + size;
  }
  return TRUE;
}

/**
 * tandem_frame_parse_caps: (skip)
 * @frame: a CAPS frame
 * @info: (out caller-allocates): the stream; zeros on failure
 * @error: return location for a #TandemNetError
 *
 * Returns: %FALSE on %TANDEM_NET_ERROR_PROTOCOL
 */
gboolean
tandem_frame_parse_caps (const TandemFrame *frame, TandemStreamInfo *info, GError **error)
{
  const guint8 *p = frame->header;
  guint n_labels;
  gboolean valid;

  memset (info, 0, sizeof *info);
  if (!tandem_frame_check_size (frame, "CAPS", CAPS_SIZE, error))
    return FALSE;
  if (p[0] > TANDEM_STREAM_LOGITS)
    return tandem_frame_malformed (error, "CAPS", "unknown kind of stream");
  info->kind = p[0];
  tandem_frame_get_fingerprint (p + 20, info->fingerprint);
  n_labels = get_u32 (p + 16);

  switch (info->kind) {
    case TANDEM_STREAM_TOKENS:
      valid = n_labels == 0;
      break;
    case TANDEM_STREAM_ACTIVATIONS:
      info->format = p[1];
      info->layer = get_u32 (p + 4);
      info->width = get_u32 (p + 8);
      valid = p[1] <= TANDEM_ROW_FORMAT_Q8 && info->layer >= 1 &&
          info->layer <= TANDEM_CAPS_MAX_LAYERS && info->width >= 1 &&
          info->width <= TANDEM_CAPS_MAX_WIDTH && n_labels == 0;
      break;
    case TANDEM_STREAM_LOGITS:
      info->classes = get_u32 (p + 12);
      valid = info->classes >= 1 && info->classes <= TANDEM_CAPS_MAX_CLASSES &&
          (n_labels == 0 || n_labels == info->classes);
      break;
    default:
      valid = FALSE;
  }
  if (!valid)
    tandem_frame_malformed (error, "CAPS", "a field is out of range");
  else if (n_labels > 0)
    valid = parse_labels (frame, n_labels, info, error);
  if (!valid)
    tandem_stream_info_clear (info);
  return valid;
}

/* --- SEGMENT --- */

/**
 * tandem_frame_append_segment: (skip)
 * @out: where to
 * @segment: a segment
 */
void
tandem_frame_append_segment (GByteArray *out, const GstSegment *segment)
{
  guint start = tandem_frame_begin (out, TANDEM_FRAME_SEGMENT, TANDEM_FRAME_FLAG_REQUIRED, 0);
  guint32 format = 0;
  guint i;

  for (i = 0; i < G_N_ELEMENTS (segment_formats); i++) {
    if (segment->format == segment_formats[i])
      format = i;
  }
  put_u32 (out, format);
  put_u32 (out, 0);
  put_f64 (out, segment->rate);
  put_f64 (out, segment->applied_rate);
  put_u64 (out, segment->base);
  put_u64 (out, segment->offset);
  put_u64 (out, segment->start);
  put_u64 (out, segment->stop);
  put_u64 (out, segment->time);
  put_u64 (out, segment->position);
  put_u64 (out, segment->duration);
  tandem_frame_end (out, start, NULL, 0);
}

/**
 * tandem_frame_parse_segment: (skip)
 * @frame: a SEGMENT frame
 * @segment: (out caller-allocates): the segment
 * @error: return location for a #TandemNetError
 *
 * Returns: %FALSE on %TANDEM_NET_ERROR_PROTOCOL
 */
gboolean
tandem_frame_parse_segment (const TandemFrame *frame, GstSegment *segment, GError **error)
{
  const guint8 *p = frame->header;
  guint32 format;

  if (!tandem_frame_check_size (frame, "SEGMENT", SEGMENT_SIZE, error))
    return FALSE;
  format = get_u32 (p);
  if (format >= G_N_ELEMENTS (segment_formats))
    return tandem_frame_malformed (error, "SEGMENT", "unknown format");
  gst_segment_init (segment, segment_formats[format]);
  segment->rate = get_f64 (p + 8);
  segment->applied_rate = get_f64 (p + 16);
  segment->base = get_u64 (p + 24);
  segment->offset = get_u64 (p + 32);
  segment->start = get_u64 (p + 40);
  segment->stop = get_u64 (p + 48);
  segment->time = get_u64 (p + 56);
  segment->position = get_u64 (p + 64);
  segment->duration = get_u64 (p + 72);
  if (!isfinite (segment->rate) || segment->rate == 0.0 || !isfinite (segment->applied_rate) ||
      segment->applied_rate == 0.0)
    return tandem_frame_malformed (error, "SEGMENT", "a rate is zero or not a number");
  if (segment->start == GST_CLOCK_TIME_NONE || segment->start > segment->stop)
    return tandem_frame_malformed (error, "SEGMENT", "it starts after its end");
  return TRUE;
}

/* --- BUFFER --- */

/**
 * tandem_frame_max_header:
 * @max_sequences: the most sequences of one buffer
 *
 * Returns: bytes of the header of a BUFFER with that many sequences, with room
 *   for what later minor versions may add
 */
guint32
tandem_frame_max_header (guint32 max_sequences)
{
  return MIN (max_sequences, G_MAXUINT32 / SEQUENCE_SIZE - TANDEM_FRAME_MAX_CONTROL_HEADER) *
      SEQUENCE_SIZE + TANDEM_FRAME_MAX_CONTROL_HEADER;
}

/**
 * tandem_frame_append_buffer: (skip)
 * @out: where to
 * @sequence: its sequence number, from 1
 * @info: the caps in force
 * @buffer: a micro-batch with its #TandemBatchMeta
 * @payload: (array length=n_vectors): the memory of @buffer
 * @n_vectors: how many pieces it has
 * @error: return location for a #TandemNetError
 *
 * Appends the frame without the payload, whose bytes are to follow it on the
 * wire.
 *
 * Returns: %FALSE on %TANDEM_NET_ERROR_FORMAT when @buffer is not what @info
 *   says, or on %TANDEM_NET_ERROR_TOO_LARGE; nothing is appended then
 */
gboolean
tandem_frame_append_buffer (GByteArray *out, guint64 sequence, const TandemStreamInfo *info,
                            GstBuffer *buffer, const GOutputVector *payload, guint n_vectors,
                            GError **error)
{
  TandemBatchMeta *meta = tandem_buffer_get_batch_meta (buffer);
  gsize row_size = tandem_stream_info_get_row_size (info);
  guint64 size = 0, rows;
  guint32 flags = 0;
  guint i, start;

  if (meta == NULL) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_FORMAT,
                 "a buffer of %" G_GSIZE_FORMAT " bytes does not say which sequences it holds "
                 "(it carries no batch meta)", gst_buffer_get_size (buffer));
    return FALSE;
  }
  for (i = 0; i < n_vectors; i++)
    size += payload[i].size;
  rows = tandem_batch_meta_get_n_rows (meta);
  if (size != rows * row_size) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_FORMAT,
                 "a buffer has %" G_GUINT64_FORMAT " bytes, but its %" G_GUINT64_FORMAT
                 " rows of %" G_GSIZE_FORMAT " bytes need %" G_GUINT64_FORMAT, size, rows,
                 row_size, rows * row_size);
    return FALSE;
  }
  if (size > G_MAXUINT32) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_TOO_LARGE,
                 "a micro-batch of %" G_GUINT64_FORMAT " bytes does not fit into one frame", size);
    return FALSE;
  }
  for (i = 0; i < meta->n_sequences; i++) {
    if (meta->offsets[i + 1] <= meta->offsets[i] ||
        (info->kind == TANDEM_STREAM_LOGITS && meta->offsets[i + 1] - meta->offsets[i] != 1)) {
      g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_FORMAT,
                   "sequence %u of a buffer goes from row %u to %u", i, meta->offsets[i],
                   meta->offsets[i + 1]);
      return FALSE;
    }
  }

  for (i = 0; i < G_N_ELEMENTS (buffer_flags); i++) {
    if (GST_BUFFER_FLAG_IS_SET (buffer, buffer_flags[i].flag))
      flags |= buffer_flags[i].bit;
  }
  start = tandem_frame_begin (out, TANDEM_FRAME_BUFFER, TANDEM_FRAME_FLAG_REQUIRED, sequence);
  put_u64 (out, GST_BUFFER_PTS (buffer));
  put_u64 (out, GST_BUFFER_DTS (buffer));
  put_u64 (out, GST_BUFFER_DURATION (buffer));
  put_u32 (out, flags);
  put_u32 (out, meta->n_sequences);
  for (i = 0; i < meta->n_sequences; i++) {
    put_u32 (out, meta->offsets[i + 1] - meta->offsets[i]);
    put_u32 (out, (guint32) meta->labels[i]);
    put_u64 (out, meta->ids[i]);
  }
  tandem_frame_end (out, start, payload, n_vectors);
  return TRUE;
}

static gboolean
check_rows (const TandemFrame *frame, const TandemStreamInfo *info, guint32 n_sequences,
            GError **error)
{
  gsize row_size = tandem_stream_info_get_row_size (info);
  guint64 rows = 0;
  guint i;

  for (i = 0; i < n_sequences; i++) {
    guint32 n = get_u32 (frame->header + BUFFER_SIZE + (gsize) i * SEQUENCE_SIZE);

    if (n == 0 || (info->kind == TANDEM_STREAM_LOGITS && n != 1))
      return tandem_frame_malformed (error, "BUFFER",
                                     "a sequence has an impossible number of rows");
    rows += n;
  }
  /* At most 2^32 sequences of 2^32 rows: neither the sum nor the comparison can overflow. */
  if (rows > G_MAXUINT32 || rows * row_size != frame->payload_size) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
                 "BUFFER frame: %" G_GUINT64_FORMAT " rows of %" G_GSIZE_FORMAT
                 " bytes do not make a payload of %u bytes", rows, row_size,
                 frame->payload_size);
    return FALSE;
  }
  return TRUE;
}

/**
 * tandem_frame_parse_buffer: (skip)
 * @frame: a BUFFER frame, of which only the header need be there
 * @info: the caps in force
 * @limits: what was negotiated
 * @error: return location for a #TandemNetError
 *
 * Checks the table of sequences against the payload's length and @limits.
 *
 * Returns: (transfer full) (nullable): a buffer with all but its memory, or
 *   %NULL on %TANDEM_NET_ERROR_PROTOCOL or %TANDEM_NET_ERROR_TOO_LARGE
 */
GstBuffer *
tandem_frame_parse_buffer (const TandemFrame *frame, const TandemStreamInfo *info,
                           const TandemFrameLimits *limits, GError **error)
{
  const guint8 *p = frame->header;
  g_autofree guint32 *offsets = NULL;
  g_autofree guint64 *ids = NULL;
  g_autofree gint32 *labels = NULL;
  GstBuffer *buffer;
  guint32 i, n, flags;

  if (!tandem_frame_check_size (frame, "BUFFER", BUFFER_SIZE, error))
    return NULL;
  n = get_u32 (p + 28);
  if (n == 0) {
    tandem_frame_malformed (error, "BUFFER", "it holds no sequence");
    return NULL;
  }
  if (n > limits->max_sequences) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_TOO_LARGE,
                 "BUFFER frame: %u sequences, at most %u are taken", n, limits->max_sequences);
    return NULL;
  }
  if (!tandem_frame_check_size (frame, "BUFFER", BUFFER_SIZE + (gsize) n * SEQUENCE_SIZE,
                                error) ||
      !check_rows (frame, info, n, error))
    return NULL;

  offsets = g_new (guint32, (gsize) n + 1);
  ids = g_new (guint64, n);
  labels = g_new (gint32, n);
  offsets[0] = 0;
  for (i = 0; i < n; i++) {
    const guint8 *row = p + BUFFER_SIZE + (gsize) i * SEQUENCE_SIZE;

    offsets[i + 1] = offsets[i] + get_u32 (row);
    labels[i] = (gint32) get_u32 (row + 4);
    ids[i] = get_u64 (row + 8);
  }

  buffer = gst_buffer_new ();
  GST_BUFFER_PTS (buffer) = get_u64 (p);
  GST_BUFFER_DTS (buffer) = get_u64 (p + 8);
  GST_BUFFER_DURATION (buffer) = get_u64 (p + 16);
  flags = get_u32 (p + 24);
  for (i = 0; i < G_N_ELEMENTS (buffer_flags); i++) {
    if ((flags & buffer_flags[i].bit) != 0)
      GST_BUFFER_FLAG_SET (buffer, buffer_flags[i].flag);
  }
  tandem_buffer_add_batch_meta (buffer, n, offsets, ids, labels);
  return buffer;
}
