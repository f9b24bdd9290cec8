/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The short text form of a space:
 *
 *   rate=log(1e-5,0.1); units=integer(8,512); kernel={linear,rbf}; gamma=log(1e-4,10) if kernel=rbf
 *
 * Statements end at a semicolon or at the end of the line; a hash begins a comment. */

#include "config.h"

#include <string.h>

#include "evolve/tandem-evolve-error.h"
#include "evolve/tandem-search-space-private.h"

static gboolean G_GNUC_PRINTF (3, 4)
fail (GError **error, guint line, const char *format, ...)
{
  g_autofree char *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_SPACE, "line %u: %s", line, what);
  return FALSE;
}

static char **
split (const char *text, const char *delimiter)
{
  char **parts = g_strsplit (text, delimiter, -1), **part;

  for (part = parts; *part != NULL; part++)
    g_strstrip (*part);
  return parts;
}

/* What is between the first and the last character, which are brackets. */
static char *
get_inside (const char *text, char open, char close)
{
  gsize length = strlen (text);

  if (length < 2 || text[0] != open || text[length - 1] != close)
    return NULL;
  return g_strndup (text + 1, length - 2);
}

static gboolean
parse_number (const char *text, double *value)
{
  char *end;

  *value = g_ascii_strtod (text, &end);
  return *text != '\0' && *end == '\0';
}

static gboolean
read_number (TandemSearchSpace *self, guint line, const char *name, const char *type,
             GError **error)
{
  static const char *const kinds[] = { "real", "log", "integer" };
  g_autoptr (GError) inner = NULL;
  g_autofree char *inside = NULL;
  g_auto (GStrv) bounds = NULL;
  double low, high;
  guint kind;

  for (kind = 0; kind < G_N_ELEMENTS (kinds); kind++) {
    gsize length = strlen (kinds[kind]);

    if (strncmp (type, kinds[kind], length) == 0 &&
        (inside = get_inside (type + length, '(', ')')) != NULL)
      break;
  }
  if (inside == NULL)
    return fail (error, line, "%s: \"%s\" is not real(LOW,HIGH), log(LOW,HIGH), integer(LOW,HIGH) "
                 "or {A,B,...}", name, type);
  bounds = split (inside, ",");
  if (g_strv_length (bounds) != 2 || !parse_number (bounds[0], &low) ||
      !parse_number (bounds[1], &high))
    return fail (error, line, "%s: \"%s\" are not two numbers", name, inside);
  return tandem_search_space_add_number (self, name, kind, low, high, &inner) ||
      fail (error, line, "%s", inner->message);
}

static gboolean
read_condition (TandemSearchSpace *self, guint line, const char *name, const char *text,
                GError **error)
{
  g_auto (GStrv) sides = split (text, "="), values = NULL;
  g_autoptr (GError) inner = NULL;

  if (g_strv_length (sides) != 2)
    return fail (error, line, "%s: \"%s\" is not PARAMETER=VALUE|VALUE...", name, text);
  values = split (sides[1], "|");
  return tandem_search_space_set_condition (self, name, sides[0], (const char *const *) values,
                                            &inner) ||
      fail (error, line, "%s", inner->message);
}

static gboolean
read_statement (TandemSearchSpace *self, guint line, char *statement, GError **error)
{
  char *type = strchr (statement, '='), *condition;
  g_autofree char *inside = NULL;
  g_autoptr (GError) inner = NULL;

  if (type == NULL)
    return fail (error, line, "\"%s\" is not NAME=RANGE", statement);
  *type++ = '\0';
  g_strstrip (statement);
  condition = strstr (type, " if ");
  if (condition != NULL) {
    *condition = '\0';
    condition = g_strstrip (condition + 4);
  }
  g_strstrip (type);
  inside = get_inside (type, '{', '}');
  if (inside != NULL) {
    g_auto (GStrv) values = split (inside, ",");

    if (!tandem_search_space_add_categorical (self, statement, (const char *const *) values,
                                              &inner))
      return fail (error, line, "%s", inner->message);
  } else if (!read_number (self, line, statement, type, error)) {
    return FALSE;
  }
  return condition == NULL || read_condition (self, line, statement, condition, error);
}

/**
 * tandem_search_space_new_from_text:
 * @text: statements, each on its line or with semicolons between them: `NAME=real(LOW,HIGH)`,
 *   `NAME=log(LOW,HIGH)`, `NAME=integer(LOW,HIGH)` or `NAME={A,B,...}`, each of which may go on
 *   with ` if OTHER=VALUE|VALUE`; a `#` begins a comment
 * @error: return location for %TANDEM_EVOLVE_ERROR_SPACE, which names the line
 *
 * Reads a space from the form for command lines.
 *
 * Returns: (transfer full): the space, or %NULL with @error set
 */
TandemSearchSpace *
tandem_search_space_new_from_text (const char *text, GError **error)
{
  g_autoptr (TandemSearchSpace) self = tandem_search_space_new ();
  g_auto (GStrv) lines = NULL;
  guint i, k;

  g_return_val_if_fail (text != NULL, NULL);

  lines = g_strsplit (text, "\n", -1);
  for (i = 0; lines[i] != NULL; i++) {
    g_auto (GStrv) statements = NULL;
    char *comment = strchr (lines[i], '#');

    if (comment != NULL)
      *comment = '\0';
    statements = split (lines[i], ";");
    for (k = 0; statements[k] != NULL; k++)
      if (*statements[k] != '\0' && !read_statement (self, i + 1, statements[k], error))
        return NULL;
  }
  if (self->parameters->len == 0) {
    g_set_error_literal (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_SPACE,
                         "there is no parameter");
    return NULL;
  }
  return g_steal_pointer (&self);
}
