/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * TandemSearchSpace:
 *
 * The parameters that a search may choose, and what values each may take. Optimizers work in the
 * unit cube, one coordinate a parameter; a point of it is decoded to a [struct@ParameterSet]. A
 * parameter may be *conditional*: it is only there when an earlier one has one of some values,
 * and its coordinate means nothing otherwise.
 *
 * A space is made by functions, read from JSON, or from a short text; docs/evolution.md says how to
 * write both. It belongs to one thread until an optimizer takes it, and does not change after.
 */

#include "config.h"

#include "tandem-search-space-private.h"

#include <math.h>
#include <string.h>

#include "evolve/tandem-evolve-error.h"
#include "evolve/tandem-evolve-math-private.h"

#define MAX_NAME 64
#define MAX_CATEGORIES 65536
/* Whole numbers that a double holds exactly. */
#define MAX_INTEGER 9007199254740992.0

G_DEFINE_FINAL_TYPE (TandemSearchSpace, tandem_search_space, G_TYPE_OBJECT)

static void
parameter_free (gpointer data)
{
  TandemParameter *parameter = data;

  g_free (parameter->name);
  g_strfreev (parameter->categories);
  g_clear_pointer (&parameter->when, g_array_unref);
  g_free (parameter);
}

static void
tandem_search_space_finalize (GObject *object)
{
  TandemSearchSpace *self = TANDEM_SEARCH_SPACE (object);

  g_hash_table_unref (self->indices);
  g_ptr_array_unref (self->parameters);
  G_OBJECT_CLASS (tandem_search_space_parent_class)->finalize (object);
}

static void
tandem_search_space_class_init (TandemSearchSpaceClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tandem_search_space_finalize;
}

static void
tandem_search_space_init (TandemSearchSpace *self)
{
  self->parameters = g_ptr_array_new_with_free_func (parameter_free);
  self->indices = g_hash_table_new (g_str_hash, g_str_equal);
}

/**
 * tandem_search_space_new:
 *
 * Returns: (transfer full): a space without parameters
 */
TandemSearchSpace *
tandem_search_space_new (void)
{
  return g_object_new (TANDEM_TYPE_SEARCH_SPACE, NULL);
}

static gboolean G_GNUC_PRINTF (2, 3)
fail (GError **error, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  if (error != NULL)
    *error = g_error_new_valist (TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_SPACE, format, args);
  va_end (args);
  return FALSE;
}

/* Names are words in command lines, JSON and pictures. */
static gboolean
check_name (TandemSearchSpace *self, const char *name, GError **error)
{
  gsize length = strlen (name), i;

  if (length == 0 || length > MAX_NAME || !g_ascii_isalpha (*name))
    return fail (error, "\"%.80s\" is no name; one begins with a letter and has 1 to %d bytes",
                 name, MAX_NAME);
  for (i = 0; i < length; i++)
    if (!g_ascii_isalnum (name[i]) && strchr ("-_.", name[i]) == NULL)
      return fail (error, "\"%s\" is no name; letters, digits, '-', '_' and '.' make one", name);
  if (g_hash_table_contains (self->indices, name))
    return fail (error, "there are two parameters called \"%s\"", name);
  if (self->parameters->len >= TANDEM_SEARCH_SPACE_MAX_PARAMETERS)
    return fail (error, "there are more than %d parameters", TANDEM_SEARCH_SPACE_MAX_PARAMETERS);
  return TRUE;
}

static TandemParameter *
add (TandemSearchSpace *self, const char *name, TandemParameterKind kind, double low, double high)
{
  TandemParameter *parameter = g_new0 (TandemParameter, 1);

  parameter->name = g_strdup (name);
  parameter->kind = kind;
  parameter->low = low;
  parameter->high = high;
  parameter->parent = -1;
  g_ptr_array_add (self->parameters, parameter);
  g_hash_table_insert (self->indices, parameter->name, GUINT_TO_POINTER (self->parameters->len));
  return parameter;
}

/**
 * tandem_search_space_add_number:
 * @self: a space
 * @name: a name: letters, digits, "-", "_" and ".", a letter first
 * @kind: any but %TANDEM_PARAMETER_KIND_CATEGORICAL
 * @low: the least value; above 0 for %TANDEM_PARAMETER_KIND_LOG
 * @high: the highest value, which it may take, too; above @low
 * @error: return location for %TANDEM_EVOLVE_ERROR_SPACE
 *
 * Adds a parameter that is a number. Bounds are finite, those of whole numbers whole and at
 * most 2^53.
 *
 * Returns: whether it was added
 */
gboolean
tandem_search_space_add_number (TandemSearchSpace *self, const char *name,
                                TandemParameterKind kind, double low, double high, GError **error)
{
  TandemParameter *parameter;

  g_return_val_if_fail (TANDEM_IS_SEARCH_SPACE (self) && !self->sealed, FALSE);
  g_return_val_if_fail (name != NULL && kind != TANDEM_PARAMETER_KIND_CATEGORICAL, FALSE);

  if (!check_name (self, name, error))
    return FALSE;
  if (!isfinite (low) || !isfinite (high) || !isfinite (high - low) || !(low < high))
    return fail (error, "%s: from %g to %g is no range", name, low, high);
  if (kind == TANDEM_PARAMETER_KIND_LOG && !(low > 0))
    return fail (error, "%s: a logarithmic range begins above 0, not at %g", name, low);
  if (kind == TANDEM_PARAMETER_KIND_INTEGER &&
      (floor (low) != low || floor (high) != high || fabs (low) > MAX_INTEGER ||
       fabs (high) > MAX_INTEGER))
    return fail (error, "%s: %g and %g are to be whole numbers up to 2^53", name, low, high);
  parameter = add (self, name, kind, low, high);
  if (kind == TANDEM_PARAMETER_KIND_LOG) {
    parameter->log_low = tandem_evolve_log (low);
    parameter->log_range = tandem_evolve_log (high) - parameter->log_low;
  }
  return TRUE;
}

/**
 * tandem_search_space_add_categorical:
 * @self: a space
 * @name: a name
 * @values: (array zero-terminated=1): the texts that it may be, each once
 * @error: return location for %TANDEM_EVOLVE_ERROR_SPACE
 *
 * Adds a parameter that is one of some texts.
 *
 * Returns: whether it was added
 */
gboolean
tandem_search_space_add_categorical (TandemSearchSpace *self, const char *name,
                                     const char *const *values, GError **error)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
  guint n = g_strv_length ((char **) values), i;

  g_return_val_if_fail (TANDEM_IS_SEARCH_SPACE (self) && !self->sealed, FALSE);
  g_return_val_if_fail (name != NULL && values != NULL, FALSE);

  if (!check_name (self, name, error))
    return FALSE;
  if (n == 0 || n > MAX_CATEGORIES)
    return fail (error, "%s: has %u values; it is to be 1 to %d", name, n, MAX_CATEGORIES);
  for (i = 0; i < n; i++) {
    if (*values[i] == '\0' || strlen (values[i]) > 255 || !g_utf8_validate (values[i], -1, NULL))
      return fail (error, "%s: a value is to be 1 to 255 bytes of UTF-8", name);
    if (!g_hash_table_add (seen, (gpointer) values[i]))
      return fail (error, "%s: has \"%s\" twice", name, values[i]);
  }
  add (self, name, TANDEM_PARAMETER_KIND_CATEGORICAL, 0, n - 1)->categories =
    g_strdupv ((char **) values);
  return TRUE;
}

static gboolean
parse_condition (const TandemParameter *parent, const char *text, double *value)
{
  char *end;
  guint i;

  if (parent->kind == TANDEM_PARAMETER_KIND_INTEGER) {
    *value = g_ascii_strtod (text, &end);
    return *text != '\0' && *end == '\0' && floor (*value) == *value && *value >= parent->low &&
        *value <= parent->high;
  }
  for (i = 0; parent->categories[i] != NULL; i++) {
    if (g_str_equal (parent->categories[i], text)) {
      *value = i;
      return TRUE;
    }
  }
  return FALSE;
}

/**
 * tandem_search_space_set_condition:
 * @self: a space
 * @name: the parameter that is not always there
 * @parent: one that was added before it, whole or categorical
 * @values: (array zero-terminated=1): with which of its values @name is there
 * @error: return location for %TANDEM_EVOLVE_ERROR_SPACE
 *
 * Makes a parameter conditional. Where @parent is not there itself, @name is not either.
 *
 * Returns: whether the condition was set
 */
gboolean
tandem_search_space_set_condition (TandemSearchSpace *self, const char *name, const char *parent,
                                   const char *const *values, GError **error)
{
  g_autoptr (GArray) when = g_array_new (FALSE, FALSE, sizeof (double));
  int child_index, parent_index;
  const TandemParameter *of;
  TandemParameter *child;
  guint i;

  g_return_val_if_fail (TANDEM_IS_SEARCH_SPACE (self) && !self->sealed, FALSE);
  g_return_val_if_fail (name != NULL && parent != NULL && values != NULL, FALSE);

  child_index = tandem_search_space_find (self, name);
  parent_index = tandem_search_space_find (self, parent);
  if (child_index < 0 || parent_index < 0)
    return fail (error, "%s: no parameter is called \"%s\"", name, child_index < 0 ? name : parent);
  if (parent_index >= child_index)
    return fail (error, "%s: depends on \"%s\", which is to come before it", name, parent);
  of = tandem_search_space_get (self, parent_index);
  if (of->kind != TANDEM_PARAMETER_KIND_INTEGER && of->kind != TANDEM_PARAMETER_KIND_CATEGORICAL)
    return fail (error, "%s: depends on \"%s\", which is neither whole nor categorical", name,
                 parent);
  for (i = 0; values[i] != NULL; i++) {
    double value;

    if (!parse_condition (of, values[i], &value))
      return fail (error, "%s: \"%s\" is never \"%s\"", name, parent, values[i]);
    g_array_append_val (when, value);
  }
  if (when->len == 0)
    return fail (error, "%s: depends on no value of \"%s\"", name, parent);
  child = tandem_search_space_get (self, child_index);
  child->parent = parent_index;
  g_clear_pointer (&child->when, g_array_unref);
  child->when = g_steal_pointer (&when);
  return TRUE;
}

/**
 * tandem_search_space_get_n_parameters:
 * @self: a space
 *
 * Returns: how many parameters there are, conditional ones too: the dimensions of the cube
 */
guint
tandem_search_space_get_n_parameters (TandemSearchSpace *self)
{
  g_return_val_if_fail (TANDEM_IS_SEARCH_SPACE (self), 0);

  return self->parameters->len;
}

/**
 * tandem_search_space_get_name:
 * @self: a space
 * @index: which parameter
 *
 * Returns: (transfer none): its name
 */
const char *
tandem_search_space_get_name (TandemSearchSpace *self, guint index)
{
  g_return_val_if_fail (TANDEM_IS_SEARCH_SPACE (self) && index < self->parameters->len, NULL);

  return tandem_search_space_get (self, index)->name;
}

/**
 * tandem_search_space_get_kind:
 * @self: a space
 * @index: which parameter
 *
 * Returns: what values it takes
 */
TandemParameterKind
tandem_search_space_get_kind (TandemSearchSpace *self, guint index)
{
  g_return_val_if_fail (TANDEM_IS_SEARCH_SPACE (self) && index < self->parameters->len, 0);

  return tandem_search_space_get (self, index)->kind;
}

/**
 * tandem_search_space_get_n_values:
 * @self: a space
 * @index: which parameter
 *
 * Returns: how many values it may take, or 0 for a real number
 */
guint64
tandem_search_space_get_n_values (TandemSearchSpace *self, guint index)
{
  const TandemParameter *parameter;

  g_return_val_if_fail (TANDEM_IS_SEARCH_SPACE (self) && index < self->parameters->len, 0);

  parameter = tandem_search_space_get (self, index);
  if (parameter->kind == TANDEM_PARAMETER_KIND_REAL ||
      parameter->kind == TANDEM_PARAMETER_KIND_LOG)
    return 0;
  return (guint64) (parameter->high - parameter->low) + 1;
}

/**
 * tandem_search_space_find:
 * @self: a space
 * @name: a name
 *
 * Returns: the index of the parameter of this name, or -1
 */
int
tandem_search_space_find (TandemSearchSpace *self, const char *name)
{
  g_return_val_if_fail (TANDEM_IS_SEARCH_SPACE (self) && name != NULL, -1);

  return (int) GPOINTER_TO_UINT (g_hash_table_lookup (self->indices, name)) - 1;
}

static gboolean
is_there (const TandemParameter *parameter, const double *values)
{
  guint i;

  if (parameter->parent < 0)
    return TRUE;
  for (i = 0; i < parameter->when->len; i++)
    if (g_array_index (parameter->when, double, i) == values[parameter->parent])
      return TRUE;
  return FALSE;
}

void
tandem_search_space_decode (TandemSearchSpace *self, const double *point, double *values)
{
  guint i;

  for (i = 0; i < self->parameters->len; i++) {
    const TandemParameter *parameter = tandem_search_space_get (self, i);
    double range = parameter->high - parameter->low, value;

    if (!is_there (parameter, values)) {
      values[i] = NAN;
      continue;
    }
    switch (parameter->kind) {
      case TANDEM_PARAMETER_KIND_REAL:
        value = parameter->low + range * point[i];
        break;
      case TANDEM_PARAMETER_KIND_LOG:
        value = tandem_evolve_exp (parameter->log_low + parameter->log_range * point[i]);
        break;
      default:
        value = parameter->low + floor ((range + 1.0) * point[i]);
        break;
    }
    /* Rounding may leave the range by a bit, 1.0 by a whole. No minus zero: it is the same. */
    values[i] = CLAMP (value, parameter->low, parameter->high) + 0.0;
  }
}

double
tandem_search_space_get_slope (TandemSearchSpace *self, guint index, double value)
{
  const TandemParameter *parameter = tandem_search_space_get (self, index);

  switch (parameter->kind) {
    case TANDEM_PARAMETER_KIND_REAL:
      return parameter->high - parameter->low;
    case TANDEM_PARAMETER_KIND_LOG:
      return value * parameter->log_range;
    default:
      return 0.0;
  }
}

guint64
tandem_search_space_hash (TandemSearchSpace *self, const double *values)
{
  guint64 hash = 0;
  guint i;

  for (i = 0; i < self->parameters->len; i++) {
    guint64 bits = G_MAXUINT64;

    if (!isnan (values[i]))
      memcpy (&bits, &values[i], sizeof bits);
    /* FNV-1a by words, with the high half brought down. */
    hash = (hash ^ bits) * G_GUINT64_CONSTANT (0x100000001b3);
    hash ^= hash >> 29;
  }
  return hash;
}

gboolean
tandem_search_space_same (TandemSearchSpace *self, const double *a, const double *b)
{
  guint i;

  for (i = 0; i < self->parameters->len; i++)
    if (a[i] != b[i] && !(isnan (a[i]) && isnan (b[i])))
      return FALSE;
  return TRUE;
}
