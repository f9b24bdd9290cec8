/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ARFF: names and types of attributes, then rows. */

#include "config.h"

#include <string.h>

#include "tandem-data-table-private.h"

static char *
skip_space (char *p)
{
  while (*p == ' ' || *p == '\t')
    p++;
  return p;
}

/* Takes a word from *at, up to one of stops or the end, or a quoted one, in which a backslash goes
 * before what is not to end it; unquotes in place. NULL when a quote is missing. *stop: what ended
 * it; *at: behind that. */
static char *
take_word (char **at, const char *stops, char *stop, gboolean *quoted)
{
  char *p = skip_space (*at), *word, *out;
  char quote = *p == '\'' || *p == '"' ? *p : '\0';

  *quoted = quote != '\0';
  if (quote != '\0') {
    word = out = ++p;
    while (*p != '\0' && *p != quote) {
      if (*p == '\\' && p[1] != '\0')
        p++;
      *out++ = *p++;
    }
    if (*p != quote)
      return NULL;
    p = skip_space (p + 1);
  } else {
    word = p;
    p += strcspn (p, stops);
    out = p;
    while (out > word && (out[-1] == ' ' || out[-1] == '\t'))
      out--;
  }
  *stop = *p;
  *at = *p != '\0' ? p + 1 : p;
  *out = '\0';
  return word;
}

static gboolean
parse_values (TandemDataTable *self, guint64 line, TandemDataColumn *column, char *p,
              GError **error)
{
  char stop = ',';
  gboolean quoted;

  while (stop == ',') {
    char *value = take_word (&p, ",}", &stop, &quoted);

    if (value == NULL || (*value == '\0' && !quoted) || (stop != ',' && stop != '}'))
      return tandem_data_table_fail (self, line, error,
                                     "the values of \"%.80s\" are not a list in braces",
                                     column->name);
    if (!tandem_data_table_add_value (self, line, column, value, TRUE, error))
      return FALSE;
  }
  p = skip_space (p);
  return *p == '\0' || *p == '%' ||
      tandem_data_table_fail (self, line, error, "\"%.80s\" behind the values of \"%.80s\"", p,
                              column->name);
}

static gboolean
parse_attribute (TandemDataTable *self, guint64 line, char *p, GError **error)
{
  static const char *const numeric[] = { "numeric", "real", "integer" };
  char stop;
  gboolean quoted;
  char *name = take_word (&p, " \t{", &stop, &quoted), *type;
  TandemDataColumn *column;
  guint i;

  if (name == NULL)
    return tandem_data_table_fail (self, line, error, "the name lacks a closing quote");
  type = skip_space (stop == '{' || stop == '\0' || !quoted ? p : p - 1);
  if (stop != '{' && *type == '{') {
    stop = '{';
    type++;
  }
  column = tandem_data_table_add_column (self, line, name, stop == '{', error);
  if (column == NULL)
    return FALSE;
  if (stop == '{')
    return parse_values (self, line, column, type, error);
  type[strcspn (type, " \t%")] = '\0';
  for (i = 0; i < G_N_ELEMENTS (numeric); i++)
    if (g_ascii_strcasecmp (type, numeric[i]) == 0)
      return TRUE;
  return tandem_data_table_fail (self, line, error,
                                 "\"%.80s\" is of type \"%.80s\"; numeric and nominal are read",
                                 name, type);
}

static gboolean
parse_row (TandemDataTable *self, guint64 line, char *p, GError **error)
{
  char stop = ',';
  guint n = 0;
  gboolean quoted;

  if (*p == '{')
    return tandem_data_table_fail (self, line, error, "the row is a sparse one, which is not read");
  while (stop == ',') {
    char *value = take_word (&p, ",", &stop, &quoted);

    if (value == NULL)
      return tandem_data_table_fail (self, line, error, "value %u lacks a closing quote", n + 1);
    if (stop != ',' && stop != '\0')
      return tandem_data_table_fail (self, line, error, "no comma behind value %u", n + 1);
    if (n == self->columns->len)
      return tandem_data_table_fail (self, line, error, "more than %u values", n);
    if (!tandem_data_table_add_cell (self, line, n++, !quoted && g_str_equal (value, "?") ? NULL
                                     : value, error))
      return FALSE;
  }
  return n == self->columns->len ||
      tandem_data_table_fail (self, line, error, "%u values where %u are needed", n,
                              self->columns->len);
}

static gboolean
has_keyword (char **p, const char *keyword)
{
  gsize length = strlen (keyword);

  if (g_ascii_strncasecmp (*p, keyword, length) != 0 || strchr (" \t'\"", (*p)[length]) == NULL)
    return FALSE;
  *p = skip_space (*p + length);
  return TRUE;
}

gboolean
tandem_data_table_parse_arff (TandemDataTable *self, char *text, GError **error)
{
  gboolean in_rows = FALSE;
  guint64 line = 0;
  char *p;

  while ((p = tandem_data_table_next_line (&text)) != NULL) {
    line++;
    p = skip_space (p);
    if (*p == '\0' || *p == '%')
      continue;
    if (in_rows) {
      if (!parse_row (self, line, p, error))
        return FALSE;
    } else if (has_keyword (&p, "@attribute")) {
      if (!parse_attribute (self, line, p, error))
        return FALSE;
    } else if (has_keyword (&p, "@data")) {
      in_rows = TRUE;
      if (self->columns->len == 0)
        return tandem_data_table_fail (self, line, error, "no @attribute before @data");
    } else if (!has_keyword (&p, "@relation")) {
      return tandem_data_table_fail (self, line, error,
                                     "\"%.40s\" where @relation, @attribute or @data may stand", p);
    }
  }
  return self->numbers->len > 0 ||
      tandem_data_table_fail (self, MAX (line, 1), error,
                              in_rows ? "no rows behind @data" : "the file ends without @data");
}
