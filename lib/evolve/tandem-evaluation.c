/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What an evaluation gives, and the lines in which it is asked for and answered. */

#include "config.h"

#include "evolve/tandem-evaluation-private.h"

#include <math.h>

#include "evolve/tandem-evolve-math-private.h"
#include "evolve/tandem-optimizer-private.h"
#include "base/tandem-json-private.h"

/**
 * tandem_evaluation_new: (skip)
 * @n_values: how many objectives there are, 1 or 2
 * @values: (array length=n_values): a value for each
 *
 * Returns: (transfer full): an evaluation that violates nothing, without gradient and metrics
 */
TandemEvaluation *
tandem_evaluation_new (guint n_values, const double *values)
{
  TandemEvaluation *self = g_new0 (TandemEvaluation, 1);
  guint i;

  g_return_val_if_fail (n_values >= 1 && n_values <= TANDEM_OPTIMIZER_MAX_OBJECTIVES, self);

  self->n_values = n_values;
  for (i = 0; i < n_values; i++)
    self->values[i] = values[i];
  return self;
}

/**
 * tandem_evaluation_free: (skip)
 * @self: (transfer full): an evaluation
 *
 * Frees an evaluation.
 */
void
tandem_evaluation_free (TandemEvaluation *self)
{
  g_free (self->gradient);
  g_free (self->metrics);
  g_free (self);
}

static GString *
begin_line (TandemTrial *trial)
{
  GString *line = g_string_new (NULL);

  g_string_printf (line, "{\"trial\": %" G_GUINT64_FORMAT ", \"rung\": %u", trial->number,
                   trial->rung);
  return line;
}

/**
 * tandem_trial_to_json:
 * @trial: a trial
 *
 * Writes what a worker is sent: `{"trial": 7, "rung": 0, "fidelity": 1, "seed": 5, "parameters":
 * {...}}`, without the end of the line.
 *
 * Returns: (transfer full): one line of JSON
 */
char *
tandem_trial_to_json (TandemTrial *trial)
{
  g_autofree char *parameters = NULL;
  GString *line;

  g_return_val_if_fail (trial != NULL, NULL);

  line = begin_line (trial);
  parameters = tandem_parameter_set_to_json (trial->candidate);
  g_string_append (line, ", \"fidelity\": ");
  tandem_evolve_append_number (line, trial->fidelity);
  g_string_append_printf (line, ", \"seed\": %" G_GUINT64_FORMAT ", \"parameters\": %s}",
                          trial->seed, parameters);
  return g_string_free (line, FALSE);
}

static void
append_double (GString *line, double value)
{
  /* JSON has no other numbers; what is none is told so. */
  if (isfinite (value))
    tandem_evolve_append_number (line, value);
  else
    g_string_append (line, "null");
}

static void
append_evaluation (const TandemEvaluation *self, TandemTrial *trial, GString *line)
{
  TandemSearchSpace *space = tandem_parameter_set_get_space (trial->candidate);
  gboolean first = TRUE;
  guint i;

  g_string_append (line, ", \"values\": [");
  for (i = 0; i < self->n_values; i++) {
    g_string_append (line, i > 0 ? ", " : "");
    append_double (line, self->values[i]);
  }
  g_string_append (line, "], \"violation\": ");
  append_double (line, self->violation);
  if (self->gradient != NULL) {
    g_string_append (line, ", \"gradient\": {");
    for (i = 0; i < space->parameters->len; i++) {
      if (self->gradient[i] == 0)
        continue;
      g_string_append_printf (line, "%s\"%s\": ", first ? "" : ", ",
                              tandem_search_space_get_name (space, i));
      append_double (line, self->gradient[i]);
      first = FALSE;
    }
    g_string_append_c (line, '}');
  }
  if (self->metrics != NULL)
    g_string_append_printf (line, ", \"metrics\": %s", self->metrics);
}

/**
 * tandem_evaluation_to_json: (skip)
 * @self: an evaluation
 * @trial: what was evaluated
 *
 * Writes what a worker answers: `{"trial": 7, "rung": 0, "values": [0.12], "violation": 0,
 * "gradient": {...}, "metrics": {...}}`, without the end of the line. What is not finite is written
 * as `null`.
 *
 * Returns: (transfer full): one line of JSON
 */
char *
tandem_evaluation_to_json (const TandemEvaluation *self, TandemTrial *trial)
{
  GString *line;

  g_return_val_if_fail (self != NULL && trial != NULL, NULL);

  line = begin_line (trial);
  append_evaluation (self, trial, line);
  g_string_append_c (line, '}');
  return g_string_free (line, FALSE);
}

char *
tandem_evaluation_error_to_json (TandemTrial *trial, const char *message)
{
  g_autofree char *valid = g_utf8_make_valid (message, -1);
  GString *line = begin_line (trial);

  g_string_append (line, ", \"error\": ");
  tandem_evolve_append_string (line, valid);
  g_string_append_c (line, '}');
  return g_string_free (line, FALSE);
}

char *
tandem_evaluation_log_line (const TandemEvaluation *self, TandemTrial *trial, const char *failure,
                            double seconds)
{
  g_autofree char *parameters = tandem_parameter_set_to_json (trial->candidate);
  GString *line = begin_line (trial);

  g_string_append (line, ", \"fidelity\": ");
  tandem_evolve_append_number (line, trial->fidelity);
  g_string_append_printf (line, ", \"seconds\": ");
  tandem_evolve_append_number (line, floor (seconds * 1e3 + 0.5) / 1e3);
  g_string_append_printf (line, ", \"parameters\": %s", parameters);
  if (failure != NULL) {
    g_autofree char *valid = g_utf8_make_valid (failure, -1);

    g_string_append (line, ", \"failure\": ");
    tandem_evolve_append_string (line, valid);
  } else {
    append_evaluation (self, trial, line);
  }
  g_string_append (line, "}\n");
  return g_string_free (line, FALSE);
}

static gboolean G_GNUC_PRINTF (2, 3)
fail (GError **error, const char *format, ...)
{
  g_autofree char *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error_literal (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_WORKER, what);
  return FALSE;
}

static gboolean
is_number (JsonNode *node)
{
  GType type = node != NULL ? json_node_get_value_type (node) : G_TYPE_INVALID;

  return type == G_TYPE_INT64 || type == G_TYPE_DOUBLE;
}

static gboolean
read_values (TandemEvaluation *self, JsonObject *object, GError **error)
{
  JsonNode *node = json_object_get_member (object, "values");
  JsonArray *array;
  guint i;

  if (node == NULL || !JSON_NODE_HOLDS_ARRAY (node))
    return fail (error, "the answer has no array \"values\"");
  array = json_node_get_array (node);
  self->n_values = json_array_get_length (array);
  if (self->n_values < 1 || self->n_values > TANDEM_OPTIMIZER_MAX_OBJECTIVES)
    return fail (error, "the answer has %u values", self->n_values);
  for (i = 0; i < self->n_values; i++) {
    JsonNode *element = json_array_get_element (array, i);

    /* That is how NaN is written: the worker is well, the candidate is not. */
    if (JSON_NODE_HOLDS_NULL (element)) {
      g_set_error_literal (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_CANDIDATE,
                           "a value is not finite");
      return FALSE;
    }
    if (!is_number (element))
      return fail (error, "a value is no number");
    self->values[i] = json_node_get_double (element);
  }
  node = json_object_get_member (object, "violation");
  if (node != NULL && !is_number (node))
    return fail (error, "the violation is no number");
  self->violation = node != NULL ? json_node_get_double (node) : 0.0;
  return TRUE;
}

static gboolean
read_gradient (TandemEvaluation *self, TandemSearchSpace *space, JsonObject *object,
               GError **error)
{
  JsonNode *node = json_object_get_member (object, "gradient");
  JsonObjectIter iter;
  const char *name;
  JsonNode *element;

  if (node == NULL)
    return TRUE;
  if (!JSON_NODE_HOLDS_OBJECT (node))
    return fail (error, "the gradient is no object");
  self->gradient = g_new0 (double, space->parameters->len);
  json_object_iter_init (&iter, json_node_get_object (node));
  while (json_object_iter_next (&iter, &name, &element)) {
    int index = tandem_search_space_find (space, name);

    if (index < 0 || !is_number (element))
      return fail (error, "the gradient's \"%s\" is no number of a parameter", name);
    self->gradient[index] = json_node_get_double (element);
  }
  return TRUE;
}

/**
 * tandem_evaluation_new_from_json: (skip)
 * @trial: what was asked for
 * @json: the answer
 * @error: return location for %TANDEM_EVOLVE_ERROR_WORKER when it is no answer, and for
 *   %TANDEM_EVOLVE_ERROR_CANDIDATE when it says that there is nothing
 *
 * Reads the answer of a worker. `violation`, `gradient` and `metrics` may be missing; an answer
 * with a member `error` is one that says that there is nothing.
 *
 * Returns: (transfer full): the evaluation, or %NULL with @error set
 */
TandemEvaluation *
tandem_evaluation_new_from_json (TandemTrial *trial, const char *json, GError **error)
{
  g_autoptr (TandemEvaluation) self = g_new0 (TandemEvaluation, 1);
  g_autoptr (JsonNode) root = NULL;
  g_autoptr (GError) inner = NULL;
  JsonObject *object;
  JsonNode *node;

  g_return_val_if_fail (trial != NULL && json != NULL, NULL);

  root = tandem_json_parse_object (json, &inner);
  if (root == NULL) {
    fail (error, "the answer is %s", inner->message);
    return NULL;
  }
  object = json_node_get_object (root);
  node = json_object_get_member (object, "trial");
  if (node == NULL || json_node_get_value_type (node) != G_TYPE_INT64 ||
      (guint64) json_node_get_int (node) != trial->number) {
    fail (error, "the answer is not to trial %" G_GUINT64_FORMAT, trial->number);
    return NULL;
  }
  node = json_object_get_member (object, "error");
  if (node != NULL) {
    g_set_error_literal (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_CANDIDATE,
                         json_node_get_value_type (node) == G_TYPE_STRING
                         ? json_node_get_string (node) : "the worker says no reason");
    return NULL;
  }
  if (!read_values (self, object, error) ||
      !read_gradient (self, tandem_parameter_set_get_space (trial->candidate), object, error))
    return NULL;
  node = json_object_get_member (object, "metrics");
  if (node != NULL)
    self->metrics = json_to_string (node, FALSE);
  return g_steal_pointer (&self);
}

/**
 * tandem_trial_new_from_json:
 * @space: what candidates are from
 * @json: what tandem_trial_to_json() wrote
 * @error: return location for %TANDEM_EVOLVE_ERROR_WORKER when it is no request, for
 *   %TANDEM_EVOLVE_ERROR_CANDIDATE when its parameters are not of @space, and for
 *   %G_IO_ERROR_INVALID_DATA when it is no JSON
 *
 * Reads a request, for who evaluates or lets somebody else do it. No optimizer knows the trial.
 *
 * Returns: (transfer full): the trial, or %NULL with @error set
 */
TandemTrial *
tandem_trial_new_from_json (TandemSearchSpace *space, const char *json, GError **error)
{
  g_autoptr (TandemParameterSet) parameters = NULL;
  g_autoptr (JsonNode) root = tandem_json_parse_object (json, error);
  g_autofree char *text = NULL;
  JsonObject *object;
  JsonNode *node;
  static const char *const numbers[] = { "trial", "rung", "seed" };
  guint64 values[G_N_ELEMENTS (numbers)];
  guint i;

  if (root == NULL)
    return NULL;
  object = json_node_get_object (root);
  for (i = 0; i < G_N_ELEMENTS (numbers); i++) {
    node = json_object_get_member (object, numbers[i]);
    if (node == NULL || json_node_get_value_type (node) != G_TYPE_INT64 ||
        json_node_get_int (node) < 0) {
      fail (error, "%s: is no number", numbers[i]);
      return NULL;
    }
    values[i] = json_node_get_int (node);
  }
  node = json_object_get_member (object, "fidelity");
  if (!is_number (node) || !(json_node_get_double (node) > 0) || json_node_get_double (node) > 1) {
    fail (error, "fidelity: is no number above 0 to 1");
    return NULL;
  }
  node = json_object_get_member (object, "parameters");
  text = node != NULL ? json_to_string (node, FALSE) : g_strdup ("");
  parameters = tandem_parameter_set_new_from_json (space, text, error);
  if (parameters == NULL)
    return NULL;
  return tandem_trial_new (g_steal_pointer (&parameters), values[0],
                           (guint) MIN (values[1], G_MAXUINT),
                           json_object_get_double_member (object, "fidelity"), values[2]);
}
