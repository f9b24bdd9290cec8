/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What BERT's basic tokenizer asks of Unicode, answered by GLib's tables.
 *
 * Ids have to be the ones that the model was trained on, whatever version of
 * Unicode this device's GLib knows. Hugging Face's tokenizers, the reference, take
 * general categories from Unicode 8, decompositions and combining classes from
 * Unicode 9 and lower case from Unicode 17. The short tables below undo what GLib
 * knows better and add what it does not know yet, so that the answers equal the
 * reference's for every code point. */

#include "config.h"

#include "tandem-unicode-private.h"

typedef struct
{
  gunichar first;
  gunichar last;
} Range;

/* Marks, punctuation and format characters that Unicode 8 had not assigned. */
static const Range newer[] = {
  { 0x061D, 0x061D }, { 0x07FD, 0x07FD }, { 0x0890, 0x089F }, { 0x08CA, 0x08E2 },
  { 0x09FD, 0x09FE }, { 0x0A76, 0x0A76 }, { 0x0AFA, 0x0AFF }, { 0x0B55, 0x0B55 },
  { 0x0C04, 0x0C04 }, { 0x0C3C, 0x0C3C }, { 0x0C77, 0x0C77 }, { 0x0C84, 0x0C84 },
  { 0x0D00, 0x0D00 }, { 0x0D3B, 0x0D3C }, { 0x0D81, 0x0D81 }, { 0x0EBA, 0x0EBA },
  { 0x0ECE, 0x0ECE }, { 0x180F, 0x180F }, { 0x1885, 0x1886 }, { 0x1ABF, 0x1ACE },
  { 0x1B7D, 0x1B7E }, { 0x1DF6, 0x1DFB }, { 0x2E43, 0x2E5D }, { 0xA82C, 0xA82C },
  { 0xA8C5, 0xA8C5 }, { 0xA8FF, 0xA8FF }, { 0xA9BD, 0xA9BD }, { 0x10D24, 0x10D27 },
  { 0x10EAB, 0x10EAD }, { 0x10EFD, 0x10EFF }, { 0x10F46, 0x10F59 }, { 0x10F82, 0x10F89 },
  { 0x11070, 0x11074 }, { 0x110C2, 0x110CD }, { 0x111CF, 0x111CF }, { 0x1123E, 0x11241 },
  { 0x1133B, 0x1133B }, { 0x11438, 0x1145E }, { 0x11660, 0x1166C }, { 0x116B9, 0x116B9 },
  { 0x1182F, 0x1183B }, { 0x1193B, 0x11946 }, { 0x119D4, 0x119E2 }, { 0x11A01, 0x11A0A },
  { 0x11A33, 0x11A5B }, { 0x11A8A, 0x11AA2 }, { 0x11B00, 0x11B09 }, { 0x11C30, 0x11C45 },
  { 0x11C70, 0x11C71 }, { 0x11C92, 0x11CB6 }, { 0x11D31, 0x11D47 }, { 0x11D90, 0x11D97 },
  { 0x11EF3, 0x11F01 }, { 0x11F36, 0x11F4F }, { 0x11FFF, 0x11FFF }, { 0x12FF1, 0x12FF2 },
  { 0x13430, 0x13455 }, { 0x16E97, 0x16E9A }, { 0x16F4F, 0x16F4F }, { 0x16FE2, 0x16FE4 },
  { 0x1CF00, 0x1CF46 }, { 0x1E000, 0x1E02A }, { 0x1E08F, 0x1E08F }, { 0x1E130, 0x1E136 },
  { 0x1E2AE, 0x1E2AE }, { 0x1E2EC, 0x1E2EF }, { 0x1E4EC, 0x1E4EF }, { 0x1E944, 0x1E95F },
};

/* Those of them to which Unicode 9 gave a combining class. */
static const Range newer_with_class[] = {
  { 0x08D4, 0x08E1 }, { 0x1DFB, 0x1DFB }, { 0x11442, 0x11442 }, { 0x11446, 0x11446 },
  { 0x11C3F, 0x11C3F }, { 0x1E000, 0x1E02A }, { 0x1E944, 0x1E94A },
};

/* Decompositions that came after Unicode 9. */
static const Range newer_decompositions[] = {
  { 0x105C9, 0x105E4 }, { 0x11383, 0x11391 }, { 0x113C5, 0x113C8 },
  { 0x11938, 0x11938 }, { 0x16121, 0x16128 }, { 0x16D68, 0x16D6A },
};

typedef struct
{
  gunichar first;
  gunichar last;
  int offset;
} LowerRange;

/* Capitals that are no letters (Roman numerals, circled letters), which GLib
 * leaves as they are, and those of Unicode 16 and 17. */
static const LowerRange lower_ranges[] = {
  { 0x1C89, 0x1C89, 1 },    { 0x2160, 0x216F, 16 },      { 0x24B6, 0x24CF, 26 },
  { 0xA7CB, 0xA7CB, -42343 }, { 0xA7CC, 0xA7CC, 1 },     { 0xA7CE, 0xA7CE, 1 },
  { 0xA7D2, 0xA7D2, 1 },    { 0xA7D4, 0xA7D4, 1 },       { 0xA7DA, 0xA7DA, 1 },
  { 0xA7DC, 0xA7DC, -42561 }, { 0x10D50, 0x10D65, 32 },  { 0x16EA0, 0x16EB8, 27 },
};

static gboolean
in_ranges (gunichar c, const Range *ranges, guint n)
{
  guint low = 0, high = n;

  while (low < high) {
    guint middle = (low + high) / 2;

    if (c > ranges[middle].last)
      low = middle + 1;
    else if (c < ranges[middle].first)
      high = middle;
    else
      return TRUE;
  }
  return FALSE;
}

#define IN_RANGES(c, ranges) in_ranges ((c), (ranges), G_N_ELEMENTS (ranges))

/* Whether @c has the property White_Space, which has not changed since Unicode 6.3. */
gboolean
tandem_unicode_is_space (gunichar c)
{
  if (c < 0x80)
    return c == ' ' || (c >= '\t' && c <= '\r');
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
      c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

/* Whether cleaning removes @c: control, format and private use characters. */
gboolean
tandem_unicode_is_control (gunichar c)
{
  if (c == '\t' || c == '\n' || c == '\r')
    return FALSE;
  switch (g_unichar_type (c)) {
    case G_UNICODE_CONTROL:
    case G_UNICODE_FORMAT:
    case G_UNICODE_PRIVATE_USE:
    case G_UNICODE_SURROGATE:
      return !IN_RANGES (c, newer);
    default:
      return FALSE;
  }
}

/* Whether @c is a word of its own: punctuation and, in ASCII, symbols too. */
gboolean
tandem_unicode_is_punctuation (gunichar c)
{
  if (c < 0x80)
    return g_ascii_ispunct (c);
  /* Two that Unicode reclassified. */
  if (c == 0x166D || c == 0x111C9)
    return TRUE;
  switch (g_unichar_type (c)) {
    case G_UNICODE_CONNECT_PUNCTUATION:
    case G_UNICODE_DASH_PUNCTUATION:
    case G_UNICODE_CLOSE_PUNCTUATION:
    case G_UNICODE_FINAL_PUNCTUATION:
    case G_UNICODE_INITIAL_PUNCTUATION:
    case G_UNICODE_OTHER_PUNCTUATION:
    case G_UNICODE_OPEN_PUNCTUATION:
      return !IN_RANGES (c, newer);
    default:
      return FALSE;
  }
}

/* Whether @c is what stripping accents removes. */
gboolean
tandem_unicode_is_nonspacing_mark (gunichar c)
{
  if (c < 0x300)
    return FALSE;
  /* Reclassified, both ways. */
  if (c == 0x1734)
    return TRUE;
  if (c == 0x111C9)
    return FALSE;
  return g_unichar_type (c) == G_UNICODE_NON_SPACING_MARK && !IN_RANGES (c, newer);
}

/* Whether @c is an ideograph by BERT's own list of blocks. */
gboolean
tandem_unicode_is_cjk (gunichar c)
{
  if (c < 0x3400)
    return FALSE;
  return c <= 0x4DBF || (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0xF900 && c <= 0xFAFF) ||
      (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B81F) ||
      (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

/* The lower case of @c. U+0130 alone has one of two code points, "i" and U+0307:
 * the caller appends the second. */
gunichar
tandem_unicode_lower (gunichar c)
{
  guint i;

  for (i = 0; i < G_N_ELEMENTS (lower_ranges) && c >= lower_ranges[i].first; i++) {
    if (c <= lower_ranges[i].last)
      return c + lower_ranges[i].offset;
  }
  return g_unichar_tolower (c);
}

/* The canonical decomposition of @c, itself when it has none. Returns its length,
 * at most TANDEM_UNICODE_MAX_DECOMPOSITION. */
guint
tandem_unicode_decompose (gunichar c, gunichar *out)
{
  if (c < 0xC0 || IN_RANGES (c, newer_decompositions)) {
    out[0] = c;
    return 1;
  }
  return g_unichar_fully_decompose (c, FALSE, out, TANDEM_UNICODE_MAX_DECOMPOSITION);
}

/* The canonical combining class of @c. */
guint
tandem_unicode_combining_class (gunichar c)
{
  if (c < 0x300 || c == 0x1715 || c == 0x16FF0 || c == 0x16FF1)
    return 0;
  if (IN_RANGES (c, newer) && !IN_RANGES (c, newer_with_class))
    return 0;
  return g_unichar_combining_class (c);
}

/* Decodes the code point at @p, which is before @end, and returns its bytes. What is
 * not UTF-8 becomes U+FFFD, one for each maximal part of a character (Unicode 15,
 * section 3.9, "U+FFFD Substitution of Maximal Subparts"), as Python and browsers
 * do; the return value then has its highest bit set. */
guint
tandem_unicode_decode (const guint8 *p, const guint8 *end, gunichar *c)
{
  guint8 lead = p[0];
  guint8 low = 0x80, high = 0xBF;
  guint length, i;
  gunichar value;

  if (lead < 0x80) {
    *c = lead;
    return 1;
  }
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
    value = lead & 0x1F;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    value = lead & 0x0F;
    /* Neither overlong forms nor surrogates. */
    if (lead == 0xE0)
      low = 0xA0;
    else if (lead == 0xED)
      high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    value = lead & 0x07;
    if (lead == 0xF0)
      low = 0x90;
    else if (lead == 0xF4)
      high = 0x8F;
  } else {
    *c = 0xFFFD;
    return 1 | TANDEM_UNICODE_INVALID;
  }

  for (i = 1; i < length; i++) {
    if (p + i == end || p[i] < low || p[i] > high) {
      *c = 0xFFFD;
      return i | TANDEM_UNICODE_INVALID;
    }
    value = value << 6 | (p[i] & 0x3F);
    low = 0x80;
    high = 0xBF;
  }
  *c = value;
  return length;
}
