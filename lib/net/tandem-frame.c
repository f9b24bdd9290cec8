/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The wire format, version 1: the fixed header that begins every frame. The headers of the types
 * are in tandem-frame-stream.c (CAPS, SEGMENT, BUFFER), tandem-frame-training.c (EVENT in training)
 * and tandem-frame-session.c (the others). Every offset and every width of the format is in these
 * four files and nowhere else, and the same tables stand in docs/wire-format.md. All integers are
 * little-endian and written one by one. Each parse function accepts a header that is longer than it
 * knows: that is where later minor versions add their fields. */

#include "config.h"

#include "tandem-frame-private.h"

#include <glib/gi18n-lib.h>

#include "net/tandem-crc32c.h"

#define MAGIC "TNDM"
/* The type of the first record of a connection with TLS (RFC 8446, 5.1). */
#define TLS_HANDSHAKE 22

G_DEFINE_QUARK (tandem-net-error-quark, tandem_net_error)

static void
set_u32 (guint8 *p, guint32 v)
{
  v = GUINT32_TO_LE (v);
  memcpy (p, &v, sizeof v);
}

guint
tandem_frame_begin (GByteArray *out, TandemFrameType type, guint8 flags, guint64 sequence)
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

/* The type's header is everything appended since tandem_frame_begin(); the payload follows
 * elsewhere. */
void
tandem_frame_end (GByteArray *out, guint start, const GOutputVector *payload, guint n_vectors)
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
 * Returns: %FALSE on %TANDEM_NET_ERROR_NOT_TANDEM, %TANDEM_NET_ERROR_INSECURE when TLS begins,
 *   %TANDEM_NET_ERROR_VERSION or %TANDEM_NET_ERROR_CORRUPT
 */
gboolean
tandem_frame_parse_fixed (const guint8 *bytes, gsize size, TandemFrame *frame, guint32 *body_crc,
                          GError **error)
{
  if (bytes[0] == TLS_HANDSHAKE) {
    g_set_error_literal (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_INSECURE,
                         _("the bytes begin a handshake of TLS, not a frame"));
    return FALSE;
  }
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

/* --- what the types share --- */

gboolean
tandem_frame_malformed (GError **error, const char *type, const char *what)
{
  g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL, "%s frame: %s", type, what);
  return FALSE;
}

gboolean
tandem_frame_check_size (const TandemFrame *frame, const char *type, gsize size, GError **error)
{
  if (frame->header_size >= size)
    return TRUE;
  g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL,
               "%s frame: its header has %u bytes, it needs %" G_GSIZE_FORMAT, type,
               frame->header_size, size);
  return FALSE;
}

void
tandem_frame_put_fingerprint (GByteArray *out, const char *hex)
{
  guint i;

  for (i = 0; i < TANDEM_FRAME_DIGEST_SIZE; i++) {
    guint8 byte = 0;

    if (hex[0] != '\0')
      byte = g_ascii_xdigit_value (hex[2 * i]) << 4 | g_ascii_xdigit_value (hex[2 * i + 1]);
    g_byte_array_append (out, &byte, 1);
  }
}

void
tandem_frame_get_fingerprint (const guint8 *p, char hex[65])
{
  static const char digits[] = "0123456789abcdef";
  guint i;

  for (i = 0; i < TANDEM_FRAME_DIGEST_SIZE; i++) {
    hex[2 * i] = digits[p[i] >> 4];
    hex[2 * i + 1] = digits[p[i] & 15];
  }
  hex[64] = '\0';
}
