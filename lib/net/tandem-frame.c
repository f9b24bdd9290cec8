/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The wire format, version 1: every offset and every width of it is in this file, and the same
 * tables stand in docs/wire-format.md. All integers are little-endian and written one by one.
 * Each parse function accepts a header that is longer than it knows: that is where later minor
 * versions add their fields. */

#include "config.h"

#include "tandem-frame.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

#include "net/tandem-crc32c.h"
#include "stream/tandem-batch-meta.h"

#define MAGIC "TNDM"
#define HELLO_SIZE 120
#define CAPS_SIZE 52
#define SEGMENT_SIZE 80
#define BUFFER_SIZE 32
#define SEQUENCE_SIZE 16
#define EVENT_SIZE 4
#define ACK_SIZE 16
#define CREDIT_SIZE 16
#define ERROR_SIZE 4
#define DIGEST_SIZE 32

G_DEFINE_QUARK (tandem-net-error-quark, tandem_net_error)

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

/* --- integers --- */

static void
put_u16 (GByteArray *out, guint16 v)
{
  v = GUINT16_TO_LE (v);
  g_byte_array_append (out, (const guint8 *) &v, sizeof v);
}

static void
put_u32 (GByteArray *out, guint32 v)
{
  v = GUINT32_TO_LE (v);
  g_byte_array_append (out, (const guint8 *) &v, sizeof v);
}

static void
put_u64 (GByteArray *out, guint64 v)
{
  v = GUINT64_TO_LE (v);
  g_byte_array_append (out, (const guint8 *) &v, sizeof v);
}

static void
put_f64 (GByteArray *out, double v)
{
  guint64 bits;

  memcpy (&bits, &v, sizeof bits);
  put_u64 (out, bits);
}

static guint16
get_u16 (const guint8 *p)
{
  return (guint16) (p[0] | p[1] << 8);
}

static guint32
get_u32 (const guint8 *p)
{
  guint32 v;

  memcpy (&v, p, sizeof v);
  return GUINT32_FROM_LE (v);
}

static guint64
get_u64 (const guint8 *p)
{
  guint64 v;

  memcpy (&v, p, sizeof v);
  return GUINT64_FROM_LE (v);
}

static double
get_f64 (const guint8 *p)
{
  guint64 bits = get_u64 (p);
  double v;

  memcpy (&v, &bits, sizeof v);
  return v;
}

static void
set_u32 (guint8 *p, guint32 v)
{
  v = GUINT32_TO_LE (v);
  memcpy (p, &v, sizeof v);
}

/* --- fingerprints --- */

static void
put_fingerprint (GByteArray *out, const char *hex)
{
  guint i;

  for (i = 0; i < DIGEST_SIZE; i++) {
    guint8 byte = 0;

    if (hex[0] != '\0')
      byte = g_ascii_xdigit_value (hex[2 * i]) << 4 | g_ascii_xdigit_value (hex[2 * i + 1]);
    g_byte_array_append (out, &byte, 1);
  }
}

static void
get_fingerprint (const guint8 *p, char hex[65])
{
  static const char digits[] = "0123456789abcdef";
  guint i;

  for (i = 0; i < DIGEST_SIZE; i++) {
    hex[2 * i] = digits[p[i] >> 4];
    hex[2 * i + 1] = digits[p[i] & 15];
  }
  hex[64] = '\0';
}

static gboolean
is_zero (const guint8 *p, gsize size)
{
  while (size > 0 && *p == 0)
    p++, size--;
  return size == 0;
}

/* --- the fixed header --- */

static guint
frame_begin (GByteArray *out, TandemFrameType type, guint8 flags, guint64 sequence)
{
  guint start = out->len;
  const guint8 version[] = { TANDEM_FRAME_MAJOR, TANDEM_FRAME_MINOR, type, flags };

  g_byte_array_append (out, (const guint8 *) MAGIC, 4);
  g_byte_array_append (out, version, sizeof version);
  put_u32 (out, 0);
  put_u32 (out, 0);
  put_u32 (out, 0);
  put_u32 (out, 0);
  put_u64 (out, sequence);
  put_u32 (out, 0);
  put_u32 (out, 0);
  return start;
}

/* The type's header is everything appended since frame_begin(); the payload follows elsewhere. */
static void
frame_end (GByteArray *out, guint start, const GOutputVector *payload, guint n_vectors)
{
  guint32 header_size = out->len - start - TANDEM_FRAME_FIXED_SIZE;
  guint32 crc =
      tandem_crc32c (0, out->data + start + TANDEM_FRAME_FIXED_SIZE, header_size);
  guint32 payload_size = 0;
  guint8 *fixed = out->data + start;
  guint i;

  for (i = 0; i < n_vectors; i++) {
    crc = tandem_crc32c (crc, payload[i].buffer, payload[i].size);
    payload_size += payload[i].size;
  }
  set_u32 (fixed + 8, header_size);
  set_u32 (fixed + 12, payload_size);
  set_u32 (fixed + 32, crc);
  set_u32 (fixed + 36, tandem_crc32c (0, fixed, 36));
}

/**
 * tandem_frame_parse_fixed: (skip)
 * @bytes: the first bytes of a frame
 * @size: how many there are, at most %TANDEM_FRAME_FIXED_SIZE count
 * @frame: (out caller-allocates): the fields, when all bytes are there
 * @body_crc: (out): the checksum of header and payload
 * @error: return location for a #TandemNetError
 *
 * Reads the fixed header, or as much of it as is there: bytes that cannot begin
 * a frame, and another major version, are found as early as possible.
 *
 * Returns: %FALSE on %TANDEM_NET_ERROR_NOT_TANDEM, %TANDEM_NET_ERROR_VERSION or
 *   %TANDEM_NET_ERROR_CORRUPT
 */
gboolean
tandem_frame_parse_fixed (const guint8 *bytes, gsize size, TandemFrame *frame, guint32 *body_crc,
                          GError **error)
{
  if (memcmp (bytes, MAGIC, MIN (size, 4)) != 0) {
    g_autofree char *raw = g_strndup ((const char *) bytes, MIN (size, 8));
    g_autofree char *begin = g_strescape (raw, NULL);

    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_NOT_TANDEM,
                 _("the bytes \"%s\" do not begin a frame of Tandem's wire format"), begin);
    return FALSE;
  }
  if (size >= 5 && bytes[4] != TANDEM_FRAME_MAJOR) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_VERSION,
                 _("this device speaks version %u of the wire format; you sent version %u"),
                 TANDEM_FRAME_MAJOR, bytes[4]);
    return FALSE;
  }
  if (size < TANDEM_FRAME_FIXED_SIZE)
    return TRUE;
  if (get_u32 (bytes + 36) != tandem_crc32c (0, bytes, 36)) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_CORRUPT,
                 "the checksum of a frame's fixed header is %08x, it should be %08x",
                 get_u32 (bytes + 36), tandem_crc32c (0, bytes, 36));
    return FALSE;
  }
  frame->major = bytes[4];
  frame->minor = bytes[5];
  frame->type = bytes[6];
  frame->flags = bytes[7];
  frame->header_size = get_u32 (bytes + 8);
  frame->payload_size = get_u32 (bytes + 12);
  frame->stream = get_u32 (bytes + 16);
  frame->sequence = get_u64 (bytes + 24);
  frame->header = NULL;
  frame->payload = NULL;
  *body_crc = get_u32 (bytes + 32);
  return TRUE;
}

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

static gboolean
malformed (GError **error, const char *type, const char *what)
{
  g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL, "%s frame: %s", type, what);
  return FALSE;
}

static gboolean
check_size (const TandemFrame *frame, const char *type, gsize size, GError **error)
{
  if (frame->header_size >= size)
    return TRUE;
  g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
               "%s frame: its header has %u bytes, it needs %" G_GSIZE_FORMAT, type,
               frame->header_size, size);
  return FALSE;
}

/* --- HELLO --- */

/**
 * tandem_frame_append_hello: (skip)
 * @out: where to
 * @hello: what to say
 */
void
tandem_frame_append_hello (GByteArray *out, const TandemHello *hello)
{
  const guint8 role[4] = { hello->role, 0, 0, 0 }, kind[2] = { hello->kind, 0 };
  guint start = frame_begin (out, TANDEM_FRAME_HELLO, TANDEM_FRAME_FLAG_REQUIRED, 0);

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
  put_fingerprint (out, hello->fingerprint);
  frame_end (out, start, NULL, 0);
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

  if (!check_size (frame, "HELLO", HELLO_SIZE, error))
    return FALSE;
  memset (hello, 0, sizeof *hello);
  hello->role = p[0];
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
  if (!is_zero (p + 88, DIGEST_SIZE))
    get_fingerprint (p + 88, hello->fingerprint);
  if (hello->role > TANDEM_ROLE_RECEIVER)
    return malformed (error, "HELLO", "unknown role");
  if (hello->max_sequences == 0)
    return malformed (error, "HELLO", "it takes no sequences");
  return TRUE;
}

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
  guint start = frame_begin (out, TANDEM_FRAME_CAPS, TANDEM_FRAME_FLAG_REQUIRED, 0);
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
  put_fingerprint (out, info->fingerprint);
  payload.buffer = names->data;
  payload.size = names->len;
  frame_end (out, start, &payload, 1);
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
      return malformed (error, "CAPS", "a label's name ends beyond the payload");
    if (!g_utf8_validate_len ((const char *) p + 2, size, NULL))
      return malformed (error, "CAPS", "a label's name is not UTF-8 text");
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
  if (!check_size (frame, "CAPS", CAPS_SIZE, error))
    return FALSE;
  if (p[0] > TANDEM_STREAM_LOGITS)
    return malformed (error, "CAPS", "unknown kind of stream");
  info->kind = p[0];
  get_fingerprint (p + 20, info->fingerprint);
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
    malformed (error, "CAPS", "a field is out of range");
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
  guint start = frame_begin (out, TANDEM_FRAME_SEGMENT, TANDEM_FRAME_FLAG_REQUIRED, 0);
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
  frame_end (out, start, NULL, 0);
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

  if (!check_size (frame, "SEGMENT", SEGMENT_SIZE, error))
    return FALSE;
  format = get_u32 (p);
  if (format >= G_N_ELEMENTS (segment_formats))
    return malformed (error, "SEGMENT", "unknown format");
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
    return malformed (error, "SEGMENT", "a rate is zero or not a number");
  if (segment->start == GST_CLOCK_TIME_NONE || segment->start > segment->stop)
    return malformed (error, "SEGMENT", "it starts after its end");
  return TRUE;
}

/* --- BUFFER --- */

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
  start = frame_begin (out, TANDEM_FRAME_BUFFER, TANDEM_FRAME_FLAG_REQUIRED, sequence);
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
  frame_end (out, start, payload, n_vectors);
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
      return malformed (error, "BUFFER", "a sequence has an impossible number of rows");
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

  if (!check_size (frame, "BUFFER", BUFFER_SIZE, error))
    return NULL;
  n = get_u32 (p + 28);
  if (n == 0) {
    malformed (error, "BUFFER", "it holds no sequence");
    return NULL;
  }
  if (n > limits->max_sequences) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_TOO_LARGE,
                 "BUFFER frame: %u sequences, at most %u are taken", n, limits->max_sequences);
    return NULL;
  }
  if (!check_size (frame, "BUFFER", BUFFER_SIZE + (gsize) n * SEQUENCE_SIZE, error) ||
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
  guint start = frame_begin (out, TANDEM_FRAME_EVENT, 0, sequence);

  put_u16 (out, event);
  put_u16 (out, 0);
  frame_end (out, start, NULL, 0);
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
  if (!check_size (frame, "EVENT", EVENT_SIZE, error))
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
  guint start = frame_begin (out, TANDEM_FRAME_ACK, TANDEM_FRAME_FLAG_REQUIRED, ack->last);

  put_u64 (out, ack->first);
  put_u32 (out, ack->status);
  put_u32 (out, 0);
  frame_end (out, start, NULL, 0);
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

  if (!check_size (frame, "ACK", ACK_SIZE, error))
    return FALSE;
  ack->first = get_u64 (frame->header);
  ack->last = frame->sequence;
  status = get_u32 (frame->header + 8);
  if (ack->first == 0 || ack->first > ack->last)
    return malformed (error, "ACK", "its range of sequence numbers is empty");
  if (status > TANDEM_ACK_DROPPED)
    return malformed (error, "ACK", "unknown status");
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
  guint start = frame_begin (out, TANDEM_FRAME_CREDIT, TANDEM_FRAME_FLAG_REQUIRED, 0);

  put_u64 (out, frames);
  put_u64 (out, bytes);
  frame_end (out, start, NULL, 0);
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
  if (!check_size (frame, "CREDIT", CREDIT_SIZE, error))
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
  frame_end (out, frame_begin (out, TANDEM_FRAME_EOS, TANDEM_FRAME_FLAG_REQUIRED, sequence),
             NULL, 0);
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
  guint start = frame_begin (out, TANDEM_FRAME_ERROR, TANDEM_FRAME_FLAG_REQUIRED, 0);
  gsize size = MIN (strlen (sentence), TANDEM_FRAME_MAX_SENTENCE);
  const char *end;
  GOutputVector payload;

  g_utf8_validate_len (sentence, size, &end);
  payload.buffer = sentence;
  payload.size = end - sentence;
  put_u32 (out, code);
  frame_end (out, start, &payload, 1);
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
