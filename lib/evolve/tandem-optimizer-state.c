/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A search as a file: its space, its properties, and what each evaluation gave. The algorithm's own
 * state is not written; it comes again when the same outcomes are received in the same order.
 * Candidates are written too, and compared, so that a file of another program is refused. */

#include "config.h"

#include <math.h>
#include <string.h>

#include "evolve/tandem-evolve-math-private.h"
#include "evolve/tandem-optimizer-private.h"
#include "base/tandem-json-private.h"

#define VERSION 1

/* The properties of a search, but for the space. */
static GParamSpec **
list_properties (TandemOptimizer *self, guint *n)
{
  return g_object_class_list_properties (G_OBJECT_GET_CLASS (self), n);
}

static gboolean
is_kept (const GParamSpec *pspec)
{
  return pspec->value_type != TANDEM_TYPE_SEARCH_SPACE && (pspec->flags & G_PARAM_WRITABLE) != 0;
}

static void
append_property (TandemOptimizer *self, GParamSpec *pspec, GString *text)
{
  g_auto (GValue) value = G_VALUE_INIT, as_text = G_VALUE_INIT;

  g_value_init (&value, pspec->value_type);
  g_object_get_property (G_OBJECT (self), pspec->name, &value);
  g_string_append_printf (text, ",\n  \"%s\": ", pspec->name);
  if (G_VALUE_HOLDS_DOUBLE (&value)) {
    if (isfinite (g_value_get_double (&value)))
      tandem_evolve_append_number (text, g_value_get_double (&value));
    else
      g_string_append (text, "null");
  } else if (G_VALUE_HOLDS_BOOLEAN (&value)) {
    g_string_append (text, g_value_get_boolean (&value) ? "true" : "false");
  } else if (G_VALUE_HOLDS_ENUM (&value)) {
    g_string_append_printf (text, "%d", g_value_get_enum (&value));
  } else {
    /* As text: JSON's readers take numbers of 63 bits at most. */
    g_value_init (&as_text, G_TYPE_STRING);
    g_value_transform (&value, &as_text);
    tandem_evolve_append_string (text, g_value_get_string (&as_text));
  }
}

static void
append_outcome (TandemOptimizerPrivate *priv, const TandemOutcome *outcome, GString *text)
{
  guint i;

  g_string_append (text, "{\"values\": [");
  for (i = 0; i < priv->n_objectives; i++) {
    g_string_append (text, i > 0 ? ", " : "");
    tandem_evolve_append_number (text, outcome->values[i]);
  }
  g_string_append (text, "], \"violation\": ");
  tandem_evolve_append_number (text, outcome->violation);
  if (outcome->gradient != NULL) {
    g_string_append (text, ", \"gradient\": [");
    for (i = 0; i < priv->space->parameters->len; i++) {
      g_string_append (text, i > 0 ? ", " : "");
      tandem_evolve_append_number (text, outcome->gradient[i]);
    }
    g_string_append_c (text, ']');
  }
  g_string_append_c (text, '}');
}

static void
append_candidate (TandemOptimizerPrivate *priv, guint64 number, GString *text)
{
  const TandemRecord *record = tandem_optimizer_get_record (priv, number);
  double *values = (double *) (gpointer) priv->values->data;
  guint n_lower = record->lower != NULL ? record->lower->len : 0, i;

  tandem_search_space_decode (priv->space, tandem_optimizer_get_point (priv, number), values);
  g_string_append_printf (text, "{\"number\": %" G_GUINT64_FORMAT ", \"parameters\": ", number);
  tandem_search_space_append_values (priv->space, values, text);
  g_string_append (text, ", \"outcomes\": [");
  for (i = 0; i < n_lower; i++) {
    g_string_append (text, i > 0 ? ", " : "");
    append_outcome (priv, &g_array_index (record->lower, TandemOutcome, i), text);
  }
  if (record->state == TANDEM_RECORD_TOLD || record->state == TANDEM_RECORD_FINAL) {
    g_string_append (text, n_lower > 0 ? ", " : "");
    if (record->outcome.failed) {
      g_string_append (text, "{\"failure\": ");
      tandem_evolve_append_string (text, record->reason);
      g_string_append_c (text, '}');
    } else {
      append_outcome (priv, &record->outcome, text);
    }
  }
  g_string_append (text, "]}");
}

/**
 * tandem_optimizer_save:
 * @self: an optimizer
 * @path: (type filename): where to write; an earlier state there is replaced
 * @error: return location for a #GFileError
 *
 * Writes all that tandem_optimizer_load() needs to go on to the same results, as JSON. The file
 * appears whole or not at all, whenever the process dies. Trials that are being evaluated will be
 * asked for again.
 *
 * Returns: whether the state is on the disk
 */
gboolean
tandem_optimizer_save (TandemOptimizer *self, const char *path, GError **error)
{
  TandemOptimizerPrivate *priv;
  g_autofree char *space = NULL;
  g_autofree GParamSpec **pspecs = NULL;
  g_autoptr (GString) text = NULL;
  gboolean first = TRUE;
  guint64 number;
  guint n, i;

  g_return_val_if_fail (TANDEM_IS_OPTIMIZER (self) && path != NULL, FALSE);

  priv = tandem_optimizer_get_private (self);
  text = g_string_new (NULL);
  g_string_append_printf (text, "{\"tandem-search\": %d,\n\"type\": \"%s\",\n\"seconds\": ",
                          VERSION, G_OBJECT_TYPE_NAME (self));
  tandem_evolve_append_number (text, tandem_optimizer_get_seconds (self));
  space = tandem_search_space_to_json (priv->space);
  g_string_append_printf (text, ",\n\"space\": %s,\n\"properties\": {", space);
  pspecs = list_properties (self, &n);
  for (i = 0; i < n; i++)
    if (is_kept (pspecs[i]))
      append_property (self, pspecs[i], text);
  /* The comma before the first one. */
  g_string_erase (text, strstr (text->str, "\"properties\": {,") - text->str + 15, 1);
  g_string_append (text, "},\n\"candidates\": [");
  for (number = 0; number < priv->records->len; number++) {
    if (tandem_optimizer_get_record (priv, number)->original != number)
      continue;
    g_string_append (text, first ? "\n  " : ",\n  ");
    append_candidate (priv, number, text);
    first = FALSE;
  }
  g_string_append (text, "\n]}\n");
  return g_file_set_contents_full (path, text->str, text->len, G_FILE_SET_CONTENTS_CONSISTENT, 0666,
                                   error);
}

/* Reading. */
typedef struct
{
  const char *file;
  GError **error;
} Reader;

static gboolean G_GNUC_PRINTF (2, 3)
fail (const Reader *reader, const char *format, ...)
{
  g_autofree char *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (reader->error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_STATE, "%s: %s",
               reader->file, what);
  return FALSE;
}

static gboolean
is_number (JsonNode *node)
{
  GType type = node != NULL ? json_node_get_value_type (node) : G_TYPE_INVALID;

  return type == G_TYPE_INT64 || type == G_TYPE_DOUBLE;
}

/* Exactly n finite numbers. */
static gboolean
read_numbers (JsonObject *object, const char *member, guint n, double *values)
{
  JsonNode *node = json_object_get_member (object, member);
  guint i;

  if (node == NULL || !JSON_NODE_HOLDS_ARRAY (node) ||
      json_array_get_length (json_node_get_array (node)) != n)
    return FALSE;
  for (i = 0; i < n; i++) {
    JsonNode *element = json_array_get_element (json_node_get_array (node), i);

    if (!is_number (element))
      return FALSE;
    values[i] = json_node_get_double (element);
  }
  return TRUE;
}

static const char *
get_text (JsonObject *object, const char *member)
{
  JsonNode *node = json_object_get_member (object, member);

  return node != NULL && json_node_get_value_type (node) == G_TYPE_STRING
      ? json_node_get_string (node) : NULL;
}

static gboolean
read_property (TandemOptimizer *self, const Reader *reader, JsonObject *object, GParamSpec *pspec)
{
  JsonNode *node = json_object_get_member (object, pspec->name);
  g_auto (GValue) value = G_VALUE_INIT;
  const char *text = get_text (object, pspec->name);
  guint64 number;

  if (node == NULL)
    return fail (reader, "properties.%s: is missing", pspec->name);
  g_value_init (&value, pspec->value_type);
  if (G_VALUE_HOLDS_DOUBLE (&value) && is_number (node))
    g_value_set_double (&value, json_node_get_double (node));
  else if (G_VALUE_HOLDS_DOUBLE (&value) && JSON_NODE_HOLDS_NULL (node))
    g_value_set_double (&value, -INFINITY);
  else if (G_VALUE_HOLDS_BOOLEAN (&value) && json_node_get_value_type (node) == G_TYPE_BOOLEAN)
    g_value_set_boolean (&value, json_node_get_boolean (node));
  else if (G_VALUE_HOLDS_ENUM (&value) && json_node_get_value_type (node) == G_TYPE_INT64)
    g_value_set_enum (&value, (int) CLAMP (json_node_get_int (node), G_MININT, G_MAXINT));
  else if (text != NULL && g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT64, &number, NULL) &&
           G_VALUE_HOLDS_UINT64 (&value))
    g_value_set_uint64 (&value, number);
  else if (text != NULL && g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT, &number, NULL) &&
           G_VALUE_HOLDS_UINT (&value))
    g_value_set_uint (&value, (guint) number);
  else
    return fail (reader, "properties.%s: is of another type", pspec->name);
  if (g_param_value_validate (pspec, &value))
    return fail (reader, "properties.%s: is out of range", pspec->name);
  g_object_set_property (G_OBJECT (self), pspec->name, &value);
  return TRUE;
}

static gboolean
read_properties (TandemOptimizer *self, const Reader *reader, JsonObject *root)
{
  JsonNode *node = json_object_get_member (root, "properties");
  g_autofree GParamSpec **pspecs = NULL;
  guint n, i;

  if (node == NULL || !JSON_NODE_HOLDS_OBJECT (node))
    return fail (reader, "properties: is no object");
  pspecs = list_properties (self, &n);
  for (i = 0; i < n; i++)
    if (is_kept (pspecs[i]) &&
        !read_property (self, reader, json_node_get_object (node), pspecs[i]))
      return FALSE;
  return TRUE;
}

/* Tells what the file has for this trial; *told: whether it has something. */
static gboolean
tell_again (TandemOptimizer *self, const Reader *reader, TandemTrial *trial, JsonObject *candidate,
            gboolean *told)
{
  TandemOptimizerPrivate *priv = tandem_optimizer_get_private (self);
  JsonNode *list = json_object_get_member (candidate, "outcomes"), *node;
  guint n = priv->space->parameters->len;
  g_autofree double *gradient = NULL;
  TandemOutcome outcome = { 0 };
  const char *failure;
  JsonObject *object;

  if (list == NULL || !JSON_NODE_HOLDS_ARRAY (list))
    return fail (reader, "candidate %" G_GUINT64_FORMAT ": outcomes: is no array", trial->number);
  *told = trial->rung < json_array_get_length (json_node_get_array (list));
  if (!*told)
    return TRUE;
  node = json_array_get_element (json_node_get_array (list), trial->rung);
  if (!JSON_NODE_HOLDS_OBJECT (node))
    return fail (reader, "candidate %" G_GUINT64_FORMAT ": an outcome is no object", trial->number);
  object = json_node_get_object (node);
  failure = get_text (object, "failure");
  if (failure != NULL)
    return tandem_optimizer_tell_failure (self, trial, failure, reader->error);
  if (!read_numbers (object, "values", priv->n_objectives, outcome.values) ||
      !is_number (json_object_get_member (object, "violation")))
    return fail (reader, "candidate %" G_GUINT64_FORMAT ": an outcome is none", trial->number);
  outcome.violation = json_object_get_double_member (object, "violation");
  if (json_object_has_member (object, "gradient")) {
    gradient = g_new (double, n);
    if (!read_numbers (object, "gradient", n, gradient))
      return fail (reader, "candidate %" G_GUINT64_FORMAT ": gradient: has not %u numbers",
                   trial->number, n);
    outcome.gradient = gradient;
  }
  return tandem_optimizer_tell (self, trial, &outcome, reader->error);
}

static gboolean
check_candidate (TandemOptimizer *self, const Reader *reader, TandemTrial *trial,
                 JsonObject *candidate)
{
  TandemOptimizerPrivate *priv = tandem_optimizer_get_private (self);
  double *values = (double *) (gpointer) priv->values->data;
  double *others = (double *) (gpointer) priv->other_values->data;
  JsonNode *node = json_object_get_member (candidate, "parameters");

  if (node == NULL || !JSON_NODE_HOLDS_OBJECT (node) ||
      !tandem_search_space_parse_values (priv->space, json_node_get_object (node), others, NULL))
    return fail (reader, "candidate %" G_GUINT64_FORMAT ": is none of this space", trial->number);
  tandem_search_space_decode (priv->space, tandem_optimizer_get_point (priv, trial->number),
                              values);
  return tandem_search_space_same (priv->space, values, others) ||
      fail (reader, "candidate %" G_GUINT64_FORMAT " is not the one that this program would "
            "evaluate: the file comes from another version or machine", trial->number);
}

/* The candidates of the file by their numbers. */
static GHashTable *
index_candidates (const Reader *reader, JsonObject *root)
{
  g_autoptr (GHashTable) table = g_hash_table_new (NULL, NULL);
  JsonNode *list = json_object_get_member (root, "candidates");
  guint i;

  if (list == NULL || !JSON_NODE_HOLDS_ARRAY (list)) {
    fail (reader, "candidates: is no array");
    return NULL;
  }
  for (i = 0; i < json_array_get_length (json_node_get_array (list)); i++) {
    JsonNode *node = json_array_get_element (json_node_get_array (list), i), *number = NULL;

    if (JSON_NODE_HOLDS_OBJECT (node))
      number = json_object_get_member (json_node_get_object (node), "number");
    if (number == NULL || json_node_get_value_type (number) != G_TYPE_INT64 ||
        json_node_get_int (number) < 0 ||
        !g_hash_table_insert (table, GSIZE_TO_POINTER (json_node_get_int (number) + 1),
                              json_node_get_object (node))) {
      fail (reader, "candidates[%u]: has no number of its own", i);
      return NULL;
    }
  }
  return g_steal_pointer (&table);
}

static gboolean
replay (TandemOptimizer *self, const Reader *reader, JsonObject *root)
{
  g_autoptr (GHashTable) candidates = index_candidates (reader, root);
  TandemOptimizerPrivate *priv = tandem_optimizer_get_private (self);
  guint64 budget = priv->budget;
  double time_limit = priv->time_limit;
  g_autoptr (GPtrArray) running =
    g_ptr_array_new_with_free_func ((GDestroyNotify) tandem_trial_unref);
  guint n_seen = 0, n, i;

  if (candidates == NULL)
    return FALSE;
  n = g_hash_table_size (candidates);
  /* Neither ends what was done already. */
  priv->budget = budget > 0 ? MAX (budget, n) : 0;
  priv->time_limit = 0;
  while (n_seen < n || !g_queue_is_empty (&priv->ready)) {
    g_autoptr (TandemTrial) trial = tandem_optimizer_ask (self);
    JsonObject *candidate;
    gboolean told = FALSE;

    if (trial == NULL)
      break;
    candidate = g_hash_table_lookup (candidates, GSIZE_TO_POINTER (trial->number + 1));
    if (candidate != NULL) {
      n_seen += trial->rung == 0;
      if (!check_candidate (self, reader, trial, candidate) ||
          !tell_again (self, reader, trial, candidate, &told))
        return FALSE;
    }
    if (!told)
      g_ptr_array_add (running, g_steal_pointer (&trial));
  }
  if (n_seen < n)
    return fail (reader, "%u candidates are not what this program would evaluate", n - n_seen);
  for (i = 0; i < running->len; i++) {
    const TandemTrial *trial = g_ptr_array_index (running, i);

    tandem_optimizer_get_record (priv, trial->number)->state = TANDEM_RECORD_READY;
    g_queue_push_tail (&priv->ready, GSIZE_TO_POINTER (trial->number + 1));
  }
  priv->n_running = 0;
  priv->budget = budget;
  priv->time_limit = time_limit;
  return TRUE;
}

static TandemOptimizer *
read_state (const Reader *reader, JsonObject *root)
{
  const char *type_name = get_text (root, "type");
  GType type = type_name != NULL ? tandem_optimizer_find_type_by_name (type_name) : G_TYPE_INVALID;
  JsonNode *node = json_object_get_member (root, "space");
  g_autoptr (TandemSearchSpace) space = NULL;
  g_autoptr (TandemOptimizer) self = NULL;
  g_autoptr (GError) inner = NULL;
  g_autofree char *text = NULL;

  if (json_object_get_int_member_with_default (root, "tandem-search", 0) != VERSION) {
    fail (reader, "is no state of a search of version %d", VERSION);
    return NULL;
  }
  if (!g_type_is_a (type, TANDEM_TYPE_OPTIMIZER) || G_TYPE_IS_ABSTRACT (type)) {
    fail (reader, "type: \"%s\" is no optimizer", type_name != NULL ? type_name : "");
    return NULL;
  }
  text = node != NULL ? json_to_string (node, FALSE) : g_strdup ("");
  space = tandem_search_space_new_from_json (text, &inner);
  if (space == NULL) {
    fail (reader, "space: %s", inner->message);
    return NULL;
  }
  if (!is_number (json_object_get_member (root, "seconds"))) {
    fail (reader, "seconds: is no number");
    return NULL;
  }
  self = g_object_new (type, "space", space, NULL);
  if (!read_properties (self, reader, root) || !replay (self, reader, root))
    return NULL;
  tandem_optimizer_get_private (self)->seconds_before =
    json_object_get_double_member (root, "seconds");
  return g_steal_pointer (&self);
}

/**
 * tandem_optimizer_load:
 * @path: (type filename): a file that tandem_optimizer_save() wrote
 * @error: return location for %TANDEM_EVOLVE_ERROR_STATE or a #GFileError
 *
 * Goes on with a search where it was saved: what it proposes from there is what the other one would
 * have proposed. All is proposed again, which takes microseconds a candidate, and compared with
 * what the file has.
 *
 * Returns: (transfer full): the optimizer, or %NULL with @error set
 */
TandemOptimizer *
tandem_optimizer_load (const char *path, GError **error)
{
  g_autofree char *display = g_filename_display_name (path), *text = NULL;
  g_autoptr (JsonNode) root = NULL;
  g_autoptr (GError) inner = NULL;
  Reader reader = { display, error };
  gsize length;

  if (!g_file_get_contents (path, &text, &length, error))
    return NULL;
  if (strlen (text) != length || !g_utf8_validate (text, length, NULL)) {
    fail (&reader, "is no text in UTF-8");
    return NULL;
  }
  root = tandem_json_parse_object (text, &inner);
  if (root == NULL) {
    fail (&reader, "%s", inner->message);
    return NULL;
  }
  return read_state (&reader, json_node_get_object (root));
}
