/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private to lib/net. */

#include <glib.h>

G_BEGIN_DECLS

/* For translated sentences, which xgettext ends where the macro of a format stands. */
static inline char *
tandem_net_number_to_string (guint64 number)
{
  return g_strdup_printf ("%" G_GUINT64_FORMAT, number);
}

/* Nothing that moves a terminal's cursor or turns the direction of writing. */
static inline gboolean
tandem_net_is_printable (gunichar c)
{
  GUnicodeType type = g_unichar_type (c);

  return g_unichar_isprint (c) && type != G_UNICODE_LINE_SEPARATOR &&
      type != G_UNICODE_PARAGRAPH_SEPARATOR;
}

/* What is not text that can be shown becomes "?". */
static inline char *
tandem_net_make_printable (const char *text)
{
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  GString *shown = g_string_new (NULL);
  const char *p;

  for (p = valid; *p != '\0'; p = g_utf8_next_char (p)) {
    gunichar c = g_utf8_get_char (p);

    g_string_append_unichar (shown, tandem_net_is_printable (c) ? c : '?');
  }
  return g_string_free (shown, FALSE);
}

G_END_DECLS
