/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private to tandem-frame*.c: the integers of the wire format, written one by one, and what every
 * type of frame has in common. */

#include <string.h>

#include "net/tandem-frame.h"

G_BEGIN_DECLS

#define TANDEM_FRAME_DIGEST_SIZE 32

guint tandem_frame_begin (GByteArray *out, TandemFrameType type, guint8 flags, guint64 sequence);
void tandem_frame_end (GByteArray *out, guint start, const GOutputVector *payload,
                       guint n_vectors);
void tandem_frame_put_fingerprint (GByteArray *out, const char *hex);
void tandem_frame_get_fingerprint (const guint8 *p, char hex[65]);
gboolean tandem_frame_malformed (GError **error, const char *type, const char *what);
gboolean tandem_frame_check_size (const TandemFrame *frame, const char *type, gsize size,
                                  GError **error);

static inline void
put_u16 (GByteArray *out, guint16 v)
{
  v = GUINT16_TO_LE (v);
  g_byte_array_append (out, (const guint8 *) &v, sizeof v);
}

static inline void
put_u32 (GByteArray *out, guint32 v)
{
  v = GUINT32_TO_LE (v);
  g_byte_array_append (out, (const guint8 *) &v, sizeof v);
}

static inline void
put_u64 (GByteArray *out, guint64 v)
{
  v = GUINT64_TO_LE (v);
  g_byte_array_append (out, (const guint8 *) &v, sizeof v);
}

static inline void
put_f64 (GByteArray *out, double v)
{
  guint64 bits;

  memcpy (&bits, &v, sizeof bits);
  put_u64 (out, bits);
}

static inline guint16
get_u16 (const guint8 *p)
{
  return (guint16) (p[0] | p[1] << 8);
}

static inline guint32
get_u32 (const guint8 *p)
{
  guint32 v;

  memcpy (&v, p, sizeof v);
  return GUINT32_FROM_LE (v);
}

static inline guint64
get_u64 (const guint8 *p)
{
  guint64 v;

  memcpy (&v, p, sizeof v);
  return GUINT64_FROM_LE (v);
}

static inline double
get_f64 (const guint8 *p)
{
  guint64 bits = get_u64 (p);
  double v;

  memcpy (&v, &bits, sizeof v);
  return v;
}

G_END_DECLS
