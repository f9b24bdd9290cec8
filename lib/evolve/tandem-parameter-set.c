/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <math.h>

#include "evolve/tandem-evolve-error.h"
#include "evolve/tandem-evolve-math-private.h"
#include "evolve/tandem-search-space-private.h"
#include "base/tandem-json-private.h"

struct _TandemParameterSet
{
  grefcount n_refs;
  TandemSearchSpace *space;
  double values[];              /* NaN: not there */
};

G_DEFINE_BOXED_TYPE (TandemParameterSet, tandem_parameter_set, tandem_parameter_set_ref,
                     tandem_parameter_set_unref)

static TandemParameterSet *
candidate_new (TandemSearchSpace *space)
{
  TandemParameterSet *self =
    g_malloc0 (sizeof *self + space->parameters->len * sizeof self->values[0]);

  g_ref_count_init (&self->n_refs);
  self->space = g_object_ref (space);
  return self;
}

/**
 * tandem_parameter_set_new_from_point: (skip)
 * @space: a space
 * @point: (array): as many coordinates, 0 to 1, as @space has parameters
 *
 * Decodes a point of the unit cube.
 *
 * Returns: (transfer full): the candidate
 */
TandemParameterSet *
tandem_parameter_set_new_from_point (TandemSearchSpace *space, const double *point)
{
  TandemParameterSet *self;

  g_return_val_if_fail (TANDEM_IS_SEARCH_SPACE (space) && point != NULL, NULL);

  self = candidate_new (space);
  tandem_search_space_decode (space, point, self->values);
  return self;
}

/**
 * tandem_parameter_set_new_from_json:
 * @space: a space
 * @json: an object with a member for each parameter that is there
 * @error: return location for %TANDEM_EVOLVE_ERROR_CANDIDATE
 *
 * Reads what tandem_parameter_set_to_json() writes.
 *
 * Returns: (transfer full): the candidate, or %NULL with @error set
 */
TandemParameterSet *
tandem_parameter_set_new_from_json (TandemSearchSpace *space, const char *json, GError **error)
{
  g_autoptr (TandemParameterSet) self = NULL;
  g_autoptr (JsonNode) root = NULL;
  g_autoptr (GError) inner = NULL;

  g_return_val_if_fail (TANDEM_IS_SEARCH_SPACE (space) && json != NULL, NULL);

  root = tandem_json_parse_object (json, &inner);
  if (root == NULL) {
    g_set_error_literal (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_CANDIDATE,
                         inner->message);
    return NULL;
  }
  self = candidate_new (space);
  if (!tandem_search_space_parse_values (space, json_node_get_object (root), self->values, error))
    return NULL;
  return g_steal_pointer (&self);
}

/**
 * tandem_parameter_set_ref:
 * @self: a candidate
 *
 * Returns: (transfer full): the same, with one more reference
 */
TandemParameterSet *
tandem_parameter_set_ref (TandemParameterSet *self)
{
  g_ref_count_inc (&self->n_refs);
  return self;
}

/**
 * tandem_parameter_set_unref:
 * @self: (transfer full): a candidate
 *
 * Gives back a reference.
 */
void
tandem_parameter_set_unref (TandemParameterSet *self)
{
  if (!g_ref_count_dec (&self->n_refs))
    return;
  g_object_unref (self->space);
  g_free (self);
}

/**
 * tandem_parameter_set_get_space:
 * @self: a candidate
 *
 * Returns: (transfer none): its space
 */
TandemSearchSpace *
tandem_parameter_set_get_space (TandemParameterSet *self)
{
  return self->space;
}

/**
 * tandem_parameter_set_has:
 * @self: a candidate
 * @index: which parameter
 *
 * Returns: whether the parameter is there: always, unless it is conditional
 */
gboolean
tandem_parameter_set_has (TandemParameterSet *self, guint index)
{
  g_return_val_if_fail (index < self->space->parameters->len, FALSE);

  return !isnan (self->values[index]);
}

/**
 * tandem_parameter_set_get_number:
 * @self: a candidate
 * @index: which parameter
 *
 * Returns: its value, of a categorical one the number of the category from 0, or NaN where it
 *   is not there
 */
double
tandem_parameter_set_get_number (TandemParameterSet *self, guint index)
{
  g_return_val_if_fail (index < self->space->parameters->len, NAN);

  return self->values[index];
}

/**
 * tandem_parameter_set_get_text:
 * @self: a candidate
 * @index: which parameter, a categorical one
 *
 * Returns: (transfer none) (nullable): its value, or %NULL where it is not there
 */
const char *
tandem_parameter_set_get_text (TandemParameterSet *self, guint index)
{
  const TandemParameter *parameter;

  g_return_val_if_fail (index < self->space->parameters->len, NULL);

  parameter = tandem_search_space_get (self->space, index);
  g_return_val_if_fail (parameter->kind == TANDEM_PARAMETER_KIND_CATEGORICAL, NULL);
  return isnan (self->values[index]) ? NULL : parameter->categories[(guint) self->values[index]];
}

/**
 * tandem_parameter_set_equal:
 * @a: a candidate
 * @b: another one of the same space
 *
 * Returns: whether the same parameters are there with the same values
 */
gboolean
tandem_parameter_set_equal (TandemParameterSet *a, TandemParameterSet *b)
{
  g_return_val_if_fail (a->space == b->space, FALSE);

  return tandem_search_space_same (a->space, a->values, b->values);
}

/**
 * tandem_parameter_set_to_point: (skip)
 * @self: a candidate
 * @point: (array) (out caller-allocates): as many coordinates as the space has parameters
 *
 * Encodes a candidate: a point of the unit cube that decodes to it, whole and categorical values
 * to the middle of their part, and 0.5 where a parameter is not there.
 */
void
tandem_parameter_set_to_point (TandemParameterSet *self, double *point)
{
  guint i;

  for (i = 0; i < self->space->parameters->len; i++) {
    const TandemParameter *parameter = tandem_search_space_get (self->space, i);
    double value = self->values[i], range = parameter->high - parameter->low;

    if (isnan (value))
      point[i] = 0.5;
    else if (parameter->kind == TANDEM_PARAMETER_KIND_REAL)
      point[i] = (value - parameter->low) / range;
    else if (parameter->kind == TANDEM_PARAMETER_KIND_LOG)
      point[i] = CLAMP ((tandem_evolve_log (value) - parameter->log_low) / parameter->log_range,
                        0.0, 1.0);
    else
      point[i] = (value - parameter->low + 0.5) / (range + 1.0);
  }
}

/**
 * tandem_parameter_set_to_json:
 * @self: a candidate
 *
 * Returns: (transfer full): a JSON object, one member for each parameter that is there; numbers
 *   have as many digits as they need
 */
char *
tandem_parameter_set_to_json (TandemParameterSet *self)
{
  GString *text = g_string_new (NULL);

  tandem_search_space_append_values (self->space, self->values, text);
  return g_string_free (text, FALSE);
}
