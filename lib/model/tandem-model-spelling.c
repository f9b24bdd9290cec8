/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What files call tensors, and what this library calls them. Its canonical names are
 * BERT's without the prefix "bert."; ALBERT's tensors go by the names of what does the
 * same work in BERT, with groups of layers in place of layers:
 *
 *   albert.encoder.albert_layer_groups.0.albert_layers.0.ffn.weight
 *   encoder.group.0.intermediate.dense.weight
 */

#include "config.h"

#include <string.h>

#include "tandem-model-private.h"

#define ALBERT_GROUPS "encoder.albert_layer_groups."
#define ALBERT_INNER ".albert_layers.0."
#define CANONICAL_GROUPS "encoder.group."

typedef struct
{
  const char *canonical;
  const char *albert;
} Spelling;

/* Of modules, which have a weight and a bias each. */
static const Spelling albert_modules[] = {
  { "embeddings.projection", "encoder.embedding_hidden_mapping_in" },
  { "pooler.dense", "pooler" },
  { "cls.predictions.transform.dense", "predictions.dense" },
  { "cls.predictions.transform.LayerNorm", "predictions.LayerNorm" },
  { "cls.predictions", "predictions" },
};

static const Spelling albert_layer_modules[] = {
  { "attention.self.query", "attention.query" },
  { "attention.self.key", "attention.key" },
  { "attention.self.value", "attention.value" },
  { "attention.output.dense", "attention.dense" },
  { "attention.output.LayerNorm", "attention.LayerNorm" },
  { "intermediate.dense", "ffn" },
  { "output.dense", "ffn_output" },
  { "output.LayerNorm", "full_layer_layer_norm" },
};

/* Appends @name with its module in the other spelling, or as it is. */
static void
append_spelled (GString *out, const char *name, const Spelling *spellings, guint n,
                gboolean to_canonical)
{
  const char *dot = strrchr (name, '.');
  gsize length = dot != NULL ? (gsize) (dot - name) : strlen (name);
  guint i;

  for (i = 0; i < n; i++) {
    const char *from = to_canonical ? spellings[i].albert : spellings[i].canonical;

    if (strlen (from) == length && memcmp (from, name, length) == 0) {
      g_string_append (out, to_canonical ? spellings[i].canonical : spellings[i].albert);
      g_string_append (out, name + length);
      return;
    }
  }
  g_string_append (out, name);
}

/* Returns @name, which stands without its prefix, in the other spelling. */
static char *
spell_albert (const char *name, gboolean to_canonical)
{
  const char *groups = to_canonical ? ALBERT_GROUPS : CANONICAL_GROUPS;
  const char *inner = to_canonical ? ALBERT_INNER : ".";
  GString *out = g_string_new (NULL);

  if (g_str_has_prefix (name, groups)) {
    const char *number = name + strlen (groups);
    gsize digits = strspn (number, "0123456789");

    if (digits > 0 && g_str_has_prefix (number + digits, inner)) {
      g_string_append (out, to_canonical ? CANONICAL_GROUPS : ALBERT_GROUPS);
      g_string_append_len (out, number, digits);
      g_string_append (out, to_canonical ? "." : ALBERT_INNER);
      append_spelled (out, number + digits + strlen (inner), albert_layer_modules,
                      G_N_ELEMENTS (albert_layer_modules), to_canonical);
      return g_string_free (out, FALSE);
    }
  }
  append_spelled (out, name, albert_modules, G_N_ELEMENTS (albert_modules), to_canonical);
  return g_string_free (out, FALSE);
}

static const char *
get_prefix (TandemModelType type)
{
  return type == TANDEM_MODEL_ALBERT ? "albert." : "bert.";
}

static gboolean
is_scale (const char *name)
{
  return g_str_has_suffix (name, ".weight" TANDEM_SCALE_SUFFIX);
}

/* Scales go by the name of what they scale. */
static char *
respell_scale (TandemModelType type, const char *name,
               char *(*respell) (TandemModelType type, const char *name))
{
  g_autofree char *base = g_strndup (name, strlen (name) - strlen (TANDEM_SCALE_SUFFIX));
  g_autofree char *spelled = respell (type, base);

  return g_strconcat (spelled, TANDEM_SCALE_SUFFIX, NULL);
}

/* Returns the name without the prefix that task models have, and with the
 * PyTorch names of what TensorFlow checkpoints call gamma and beta. */
char *
tandem_model_name_to_canonical (TandemModelType type, const char *name)
{
  g_autofree char *torch = NULL;

  if (is_scale (name))
    return respell_scale (type, name, tandem_model_name_to_canonical);

  if (g_str_has_prefix (name, get_prefix (type)))
    name += strlen (get_prefix (type));
  if (g_str_has_suffix (name, ".LayerNorm.gamma"))
    torch = g_strdup_printf ("%.*s.weight", (int) (strlen (name) - strlen (".gamma")), name);
  else if (g_str_has_suffix (name, ".LayerNorm.beta"))
    torch = g_strdup_printf ("%.*s.bias", (int) (strlen (name) - strlen (".beta")), name);
  else
    torch = g_strdup (name);
  return type == TANDEM_MODEL_ALBERT ? spell_albert (torch, TRUE) : g_steal_pointer (&torch);
}

/* Returns the name as a BertForSequenceClassification or an
 * AlbertForSequenceClassification of transformers has it, which is how stage files
 * spell it. */
char *
tandem_model_name_from_canonical (TandemModelType type, const char *name)
{
  g_autofree char *spelled = NULL;

  if (is_scale (name))
    return respell_scale (type, name, tandem_model_name_from_canonical);
  if (g_str_has_prefix (name, "classifier."))
    return g_strdup (name);
  spelled = type == TANDEM_MODEL_ALBERT ? spell_albert (name, FALSE) : g_strdup (name);
  return g_strconcat (get_prefix (type), spelled, NULL);
}

/* Returns which weights a layer has: layers of the same group share them. Ascends
 * with the layer. */
guint
tandem_model_config_get_group (const TandemModelConfig *config, guint layer)
{
  /* In floating point, rounding included, as transformers computes it. */
  return (guint) (layer / ((double) config->n_layers / config->n_groups));
}

/* Returns the canonical name of a tensor of a layer: "encoder.layer.3." or, where
 * groups of layers share weights, "encoder.group.0." before @part. */
char *
tandem_model_config_get_layer_name (const TandemModelConfig *config, guint layer,
                                    const char *part)
{
  if (config->type == TANDEM_MODEL_ALBERT)
    return g_strdup_printf (CANONICAL_GROUPS "%u.%s",
                            tandem_model_config_get_group (config, layer), part);
  return g_strdup_printf ("encoder.layer.%u.%s", layer, part);
}
