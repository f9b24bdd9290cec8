/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The most code points that one code point becomes in tandem_unicode_decompose(). */
#define TANDEM_UNICODE_MAX_DECOMPOSITION 4

/* Set in what tandem_unicode_decode() returns for bytes that are not UTF-8. */
#define TANDEM_UNICODE_INVALID 0x80u

gboolean tandem_unicode_is_space (gunichar c);

gboolean tandem_unicode_is_control (gunichar c);

gboolean tandem_unicode_is_punctuation (gunichar c);

gboolean tandem_unicode_is_nonspacing_mark (gunichar c);

gboolean tandem_unicode_is_cjk (gunichar c);

gunichar tandem_unicode_lower (gunichar c);

guint tandem_unicode_decompose (gunichar c, gunichar *out);

guint tandem_unicode_combining_class (gunichar c);

guint tandem_unicode_decode (const guint8 *p, const guint8 *end, gunichar *c);

G_END_DECLS
