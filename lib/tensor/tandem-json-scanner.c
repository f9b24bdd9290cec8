/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-json-scanner.h"

#include <string.h>

#include "tandem-safetensors.h"

/* How deeply a value that is skipped may be nested. */
#define MAX_DEPTH 64

gboolean
tandem_scanner_fail (TandemScanner *scanner, const char *format, ...)
{
  g_autofree char *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (scanner->error, TANDEM_SAFETENSORS_ERROR, TANDEM_SAFETENSORS_ERROR_HEADER,
               "%s: %s is not valid at byte %" G_GSIZE_FORMAT ": %s", scanner->file, scanner->what,
               (gsize) (scanner->next - scanner->start) + scanner->offset, what);
  return FALSE;
}

void
tandem_scanner_skip_space (TandemScanner *scanner)
{
  while (scanner->next < scanner->end &&
         (*scanner->next == ' ' || *scanner->next == '\t' || *scanner->next == '\n' ||
          *scanner->next == '\r'))
    scanner->next++;
}

/* Takes @c after white space, if it is there. */
gboolean
tandem_scanner_accept (TandemScanner *scanner, char c)
{
  tandem_scanner_skip_space (scanner);
  if (scanner->next == scanner->end || *scanner->next != c)
    return FALSE;
  scanner->next++;
  return TRUE;
}

gboolean
tandem_scanner_expect (TandemScanner *scanner, char c)
{
  return tandem_scanner_accept (scanner, c) || tandem_scanner_fail (scanner, "'%c' expected", c);
}

static gboolean
scan_hex4 (TandemScanner *scanner, guint *unit)
{
  guint i;

  if (scanner->end - scanner->next < 4)
    return tandem_scanner_fail (scanner, "a string ends inside of \\u");
  *unit = 0;
  for (i = 0; i < 4; i++) {
    int digit = g_ascii_xdigit_value (scanner->next[i]);

    if (digit < 0)
      return tandem_scanner_fail (scanner, "\\u needs four hexadecimal digits");
    *unit = *unit * 16 + digit;
  }
  scanner->next += 4;
  return TRUE;
}

static gboolean
scan_escape (TandemScanner *scanner, GString *out)
{
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  const char *known;
  guint unit, low;
  char c;

  if (scanner->next == scanner->end)
    return tandem_scanner_fail (scanner, "a string does not end");
  c = *scanner->next++;
  known = c != '\0' ? strchr (from, c) : NULL;
  if (known != NULL) {
    g_string_append_c (out, to[known - from]);
    return TRUE;
  }
  if (c != 'u')
    return tandem_scanner_fail (scanner, "an escape that JSON does not have");
  if (!scan_hex4 (scanner, &unit))
    return FALSE;
  if (unit >= 0xd800 && unit < 0xdc00) {
    if (scanner->end - scanner->next < 2 || scanner->next[0] != '\\' || scanner->next[1] != 'u')
      return tandem_scanner_fail (scanner, "half of a surrogate pair");
    scanner->next += 2;
    if (!scan_hex4 (scanner, &low))
      return FALSE;
    if (low < 0xdc00 || low > 0xdfff)
      return tandem_scanner_fail (scanner, "half of a surrogate pair");
    unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
  } else if (unit >= 0xdc00 && unit < 0xe000) {
    return tandem_scanner_fail (scanner, "half of a surrogate pair");
  } else if (unit == 0) {
    return tandem_scanner_fail (scanner, "a string holds a null character");
  }
  g_string_append_unichar (out, unit);
  return TRUE;
}

/* The text was found to be UTF-8 before: only quotes, escapes and control
 * characters matter here. */
char *
tandem_scanner_string (TandemScanner *scanner)
{
  g_autoptr (GString) out = NULL;

  if (!tandem_scanner_expect (scanner, '"'))
    return NULL;
  out = g_string_new (NULL);
  while (scanner->next < scanner->end) {
    const char *run = scanner->next;

    while (run < scanner->end && *run != '"' && *run != '\\' && (guchar) *run >= 0x20)
      run++;
    g_string_append_len (out, scanner->next, run - scanner->next);
    scanner->next = run;
    if (run == scanner->end)
      break;
    if ((guchar) *run < 0x20) {
      tandem_scanner_fail (scanner, "a control character in a string");
      return NULL;
    }
    scanner->next++;
    if (*run == '"')
      return g_string_free (g_steal_pointer (&out), FALSE);
    if (!scan_escape (scanner, out))
      return NULL;
  }
  tandem_scanner_fail (scanner, "a string does not end");
  return NULL;
}

gboolean
tandem_scanner_number (TandemScanner *scanner, guint64 *value)
{
  const char *digits;

  tandem_scanner_skip_space (scanner);
  digits = scanner->next;
  *value = 0;
  while (scanner->next < scanner->end && g_ascii_isdigit (*scanner->next)) {
    if (!g_uint64_checked_mul (value, *value, 10) ||
        !g_uint64_checked_add (value, *value, *scanner->next - '0'))
      return tandem_scanner_fail (scanner, "a number beyond 64 bits");
    scanner->next++;
  }
  if (scanner->next == digits)
    return tandem_scanner_fail (scanner, "a whole number, 0 or more, expected");
  if (*digits == '0' && scanner->next - digits > 1)
    return tandem_scanner_fail (scanner, "a number with a leading zero");
  if (scanner->next < scanner->end && strchr (".eE", *scanner->next) != NULL)
    return tandem_scanner_fail (scanner, "a whole number expected, not a fraction");
  return TRUE;
}

static gboolean
skip_scalar (TandemScanner *scanner)
{
  static const char *const words[] = { "true", "false", "null" };
  const char *word;
  guint i;

  if (scanner->next < scanner->end && *scanner->next == '"') {
    g_autofree char *text = tandem_scanner_string (scanner);

    return text != NULL;
  }
  word = scanner->next;
  while (scanner->next < scanner->end &&
         (g_ascii_isalnum (*scanner->next) || strchr ("+-.", *scanner->next) != NULL))
    scanner->next++;
  for (i = 0; i < G_N_ELEMENTS (words); i++)
    if ((gsize) (scanner->next - word) == strlen (words[i]) &&
        strncmp (word, words[i], strlen (words[i])) == 0)
      return TRUE;
  if (scanner->next > word && (*word == '-' || g_ascii_isdigit (*word))) {
    g_autofree char *number = g_strndup (word, scanner->next - word);
    char *end;

    g_ascii_strtod (number, &end);
    if (*end == '\0' && strpbrk (number, "xXnN") == NULL)
      return TRUE;
  }
  return tandem_scanner_fail (scanner, "a value expected");
}

/* Skips a value of a key that this version does not know. */
gboolean
tandem_scanner_skip_value (TandemScanner *scanner)
{
  char close[MAX_DEPTH];
  guint depth = 0;

  while (TRUE) {
    gboolean opened = FALSE;

    tandem_scanner_skip_space (scanner);
    if (tandem_scanner_accept (scanner, '{') || tandem_scanner_accept (scanner, '[')) {
      if (depth == MAX_DEPTH)
        return tandem_scanner_fail (scanner, "values nested deeper than %d", MAX_DEPTH);
      close[depth++] = scanner->next[-1] == '{' ? '}' : ']';
      opened = TRUE;
    } else if (!skip_scalar (scanner)) {
      return FALSE;
    }
    while (depth > 0 && tandem_scanner_accept (scanner, close[depth - 1])) {
      depth--;
      opened = FALSE;
    }
    if (depth == 0)
      return TRUE;
    if (!opened && !tandem_scanner_expect (scanner, ','))
      return FALSE;
    if (close[depth - 1] == '}') {
      g_autofree char *key = tandem_scanner_string (scanner);

      if (key == NULL || !tandem_scanner_expect (scanner, ':'))
        return FALSE;
    }
  }
}
