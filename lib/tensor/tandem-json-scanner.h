/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* JSON from strangers, piece by piece: the grammar is taken strictly (no comments, whole
 * numbers only), nothing recurses, and an error says where it is. Nothing stays in memory
 * but what the caller keeps. Not a part of the public API. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct
{
  const char *start;            /* of the text: UTF-8 without null characters */
  const char *next;
  const char *end;
  const char *file;             /* for messages, as are the next two */
  const char *what;             /* "the header" */
  gsize offset;                 /* of start in the file */
  GError **error;
} TandemScanner;

/* Sets the error that the text is not valid here; returns FALSE. */
gboolean tandem_scanner_fail (TandemScanner *scanner, const char *format, ...)
  G_GNUC_PRINTF (2, 3);

/* Take what is named, after white space; the first asks whether it is there, the
 * others fail where it is not. */
void tandem_scanner_skip_space (TandemScanner *scanner);
gboolean tandem_scanner_accept (TandemScanner *scanner, char c);
gboolean tandem_scanner_expect (TandemScanner *scanner, char c);
char *tandem_scanner_string (TandemScanner *scanner);
gboolean tandem_scanner_number (TandemScanner *scanner, guint64 *value);

/* Takes any value, for a key that this version does not know. */
gboolean tandem_scanner_skip_value (TandemScanner *scanner);

G_END_DECLS
