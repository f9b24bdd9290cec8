/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-model.h"

#include <string.h>

#include "tandem-model-private.h"
#include "tensor/tandem-safetensors-private.h"

G_DEFINE_FINAL_TYPE (TandemModel, tandem_model, G_TYPE_OBJECT)

G_DEFINE_QUARK (tandem-model-error-quark, tandem_model_error)

static void
entry_free (gpointer data)
{
  TandemModelEntry *entry = data;

  g_clear_pointer (&entry->sparse, tandem_sparse_tensor_unref);
  g_free (entry->name);
  g_free (entry);
}

static void
tandem_model_finalize (GObject *object)
{
  TandemModel *self = TANDEM_MODEL (object);

  tandem_model_config_clear (&self->config);
  g_clear_pointer (&self->entries, g_hash_table_unref);
  g_clear_pointer (&self->files, g_ptr_array_unref);
  g_free (self->path);
  g_free (self->display_path);
  g_free (self->folder);
  g_free (self->config_text);
  g_free (self->fingerprint);
  G_OBJECT_CLASS (tandem_model_parent_class)->finalize (object);
}

static void
tandem_model_class_init (TandemModelClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tandem_model_finalize;
}

static void
tandem_model_init (TandemModel *self)
{
  self->files = g_ptr_array_new_with_free_func (g_object_unref);
  self->entries = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, entry_free);
}

/* Notes that the tensor @name of @file exists. The mask of a sparse tensor stands for all of it. */
gboolean
tandem_model_add_entry (TandemModel *self, TandemSafetensors *file, const char *name,
                        GError **error)
{
  g_autofree char *base = tandem_safetensors_get_sparse_base (file, name);
  g_autofree char *canonical = NULL;
  TandemModelEntry *entry;

  if (base != NULL && g_str_has_suffix (name, TANDEM_SPARSE_VALUES))
    return TRUE;
  if (base != NULL)
    name = base;
  canonical = tandem_model_name_to_canonical (self->config.type, name);

  entry = g_hash_table_lookup (self->entries, canonical);
  if (entry != NULL) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR,
                 "%s: holds both \"%s\" and \"%s\", which mean the same tensor",
                 self->display_path, entry->name, name);
    return FALSE;
  }
  entry = g_new0 (TandemModelEntry, 1);
  entry->file = file;
  entry->name = g_strdup (name);
  g_hash_table_insert (self->entries, g_steal_pointer (&canonical), entry);
  if (base == NULL)
    return TRUE;
  entry->sparse = tandem_safetensors_get_sparse_tensor (file, base, error);
  if (entry->sparse == NULL)
    g_prefix_error (error, "%s: ", self->display_path);
  return entry->sparse != NULL;
}

static char *
shape_to_string (guint n_dims, const guint64 *shape)
{
  GString *text = g_string_new ("[");
  guint i;

  for (i = 0; i < n_dims; i++)
    g_string_append_printf (text, "%s%" G_GUINT64_FORMAT, i > 0 ? ", " : "", shape[i]);
  g_string_append_c (text, ']');
  return g_string_free (text, FALSE);
}

static gboolean
check_tensor (TandemModel *self, const TandemModelSpec *spec, GError **error)
{
  const TandemModelEntry *entry = g_hash_table_lookup (self->entries, spec->name);
  guint64 sparse_shape[TANDEM_TENSOR_MAX_DIMS];
  const guint64 *shape = sparse_shape;
  const char *dtype;
  guint n_dims, dim;

  if (entry == NULL) {
    g_autofree char *name = tandem_model_name_from_canonical (self->config.type, spec->name);

    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR,
                 "%s: tensor \"%s\" is missing, one of layers %u-%u of %u", self->display_path,
                 name, self->first, self->last, self->config.n_layers);
    return FALSE;
  }
  if (entry->sparse != NULL) {
    dtype = tandem_dtype_to_string (tandem_sparse_tensor_get_dtype (entry->sparse));
    n_dims = tandem_sparse_tensor_get_n_dims (entry->sparse);
    for (dim = 0; dim < n_dims; dim++)
      sparse_shape[dim] = tandem_sparse_tensor_get_dim (entry->sparse, dim);
  } else {
    tandem_safetensors_get_info (entry->file, entry->name, &dtype, &n_dims, &shape, NULL);
  }
  if (g_str_equal (dtype, "I8") && !tandem_model_check_quantized (self, spec, entry, error))
    return FALSE;
  if (!g_str_equal (dtype, "F32") && !g_str_equal (dtype, "F16") && !g_str_equal (dtype, "BF16") &&
      !g_str_equal (dtype, "I8")) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR,
                 "%s: tensor \"%s\" is stored as %s; F32, F16, BF16 and I8 with scales are supported",
                 self->display_path, entry->name, dtype);
    return FALSE;
  }
  if (n_dims != spec->n_dims || memcmp (shape, spec->shape, n_dims * sizeof *shape) != 0) {
    g_autofree char *found = shape_to_string (n_dims, shape);
    g_autofree char *expected = shape_to_string (spec->n_dims, spec->shape);

    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR,
                 "%s: tensor \"%s\" has the shape %s, its configuration says %s%s",
                 self->display_path, entry->name, found, expected,
                 g_str_has_prefix (spec->name, "classifier.")
                   ? " (as many rows as \"id2label\" names classes)" : "");
    return FALSE;
  }
  return TRUE;
}

/* Finds out whether there are pooler and classifier, and whether each tensor of
 * the layers is there in the shape that the configuration says. */
gboolean
tandem_model_check_tensors (TandemModel *self, GError **error)
{
  gboolean at_end = self->last == self->config.n_layers - 1;
  g_autoptr (GPtrArray) specs = NULL;
  guint i;

  self->has_pooler = at_end && g_hash_table_contains (self->entries, "pooler.dense.weight");
  /* A token classifier has no pooler; its weights are not those of a text's label. */
  self->has_classifier = self->has_pooler &&
                         g_hash_table_contains (self->entries, "classifier.weight");
  specs = tandem_model_list_specs (&self->config, self->first, self->last, self->has_pooler,
                                   self->has_classifier);
  for (i = 0; i < specs->len; i++)
    if (!check_tensor (self, g_ptr_array_index (specs, i), error))
      return FALSE;
  return TRUE;
}

static gboolean
load_file (TandemModel *self, GCancellable *cancellable, GError **error)
{
  g_autoptr (TandemSafetensors) file = tandem_safetensors_open (self->path, error);
  g_autofree char *config = NULL;

  if (file == NULL)
    return FALSE;
  if (tandem_safetensors_get_metadata (file, TANDEM_STAGE_VERSION) != NULL) {
    g_ptr_array_add (self->files, g_object_ref (file));
    return tandem_model_load_stage (self, file, cancellable, error);
  }
  self->folder = g_path_get_dirname (self->path);
  config = g_build_filename (self->folder, TANDEM_MODEL_CONFIG_FILE, NULL);
  if (!g_file_test (config, G_FILE_TEST_EXISTS)) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_CONFIG,
                 "%s: neither a stage file, nor is there a config.json beside it",
                 self->display_path);
    return FALSE;
  }
  return tandem_model_load_folder (self, file, cancellable, error);
}

/**
 * tandem_model_open:
 * @path: (type filename): a Hugging Face folder (config.json, model.safetensors
 *   or its shards with model.safetensors.index.json, vocab.txt or
 *   tokenizer.json), the safetensors file of such a folder, or a stage file
 * @cancellable: (nullable): a cancellable
 * @error: return location for a #TandemModelError, a #TandemSafetensorsError or
 *   a #GIOErrorEnum
 *
 * Opens a model. Its configuration and the shape of every tensor that it uses
 * are checked; the files are mapped, and no weight is loaded.
 *
 * The first time that a model is opened each byte of it is read once, through a
 * small buffer, for its fingerprint or, with a stage file, to find damage. The
 * outcome is kept in the user's cache folder, so that later calls are instant
 * until a file changes.
 *
 * Returns: (transfer full): the model, or %NULL with @error set
 */
TandemModel *
tandem_model_open (const char *path, GCancellable *cancellable, GError **error)
{
  g_autoptr (TandemModel) self = NULL;
  gboolean ok;

  g_return_val_if_fail (path != NULL, NULL);

  self = g_object_new (TANDEM_TYPE_MODEL, NULL);
  self->path = g_strdup (path);
  self->display_path = g_filename_display_name (path);
  if (g_file_test (path, G_FILE_TEST_IS_DIR)) {
    self->folder = g_strdup (path);
    ok = tandem_model_load_folder (self, NULL, cancellable, error);
  } else {
    ok = load_file (self, cancellable, error);
  }
  return ok ? g_steal_pointer (&self) : NULL;
}

/**
 * tandem_model_get_path:
 * @self: a model
 *
 * Returns: (transfer none) (type filename): the path that it was opened by
 */
const char *
tandem_model_get_path (TandemModel *self)
{
  g_return_val_if_fail (TANDEM_IS_MODEL (self), NULL);
  return self->path;
}

/**
 * tandem_model_get_config:
 * @self: a model
 *
 * Returns: (transfer none): the configuration of the whole model, also for a
 *   stage file
 */
const TandemModelConfig *
tandem_model_get_config (TandemModel *self)
{
  g_return_val_if_fail (TANDEM_IS_MODEL (self), NULL);
  return &self->config;
}

/**
 * tandem_model_get_n_heads:
 * @self: a model
 * @layer: a layer
 *
 * Returns: how many attention heads the layer has
 */
guint
tandem_model_get_n_heads (TandemModel *self, guint layer)
{
  g_return_val_if_fail (TANDEM_IS_MODEL (self) && layer < self->config.n_layers, 0);
  return tandem_model_config_get_heads (&self->config, layer);
}

/**
 * tandem_model_get_intermediate_size:
 * @self: a model
 * @layer: a layer
 *
 * Returns: the width inside its feed-forward block, in elements
 */
guint
tandem_model_get_intermediate_size (TandemModel *self, guint layer)
{
  g_return_val_if_fail (TANDEM_IS_MODEL (self) && layer < self->config.n_layers, 0);
  return tandem_model_config_get_intermediate (&self->config, layer);
}

/**
 * tandem_model_get_config_text:
 * @self: a model
 *
 * Returns: (transfer none): the text of its config.json
 */
const char *
tandem_model_get_config_text (TandemModel *self)
{
  g_return_val_if_fail (TANDEM_IS_MODEL (self), NULL);
  return self->config_text;
}

/**
 * tandem_model_get_fingerprint:
 * @self: a model
 *
 * The fingerprint is a SHA-256 over what the results depend on: the
 * configuration, and name, element type, shape and elements of every tensor
 * that is used, scales of quantized tensors included. Buffers, and heads that only pretraining uses, do not count;
 * neither does how the file spells names, or whether it is in shards. A stage
 * file carries the fingerprint of the whole model.
 *
 * Returns: (transfer none): 64 lower-case hexadecimal digits
 */
const char *
tandem_model_get_fingerprint (TandemModel *self)
{
  g_return_val_if_fail (TANDEM_IS_MODEL (self), NULL);
  return self->fingerprint;
}

/**
 * tandem_model_is_stage:
 * @self: a model
 *
 * Returns: whether it was opened from a stage file
 */
gboolean
tandem_model_is_stage (TandemModel *self)
{
  g_return_val_if_fail (TANDEM_IS_MODEL (self), FALSE);
  return self->is_stage;
}

/**
 * tandem_model_get_layers:
 * @self: a model
 * @first: (out) (optional): the first layer that the files hold
 * @last: (out) (optional): the last one, itself included
 *
 * Tells which layers are there: all, or those of the stage file.
 */
void
tandem_model_get_layers (TandemModel *self, guint *first, guint *last)
{
  g_return_if_fail (TANDEM_IS_MODEL (self));

  if (first != NULL)
    *first = self->first;
  if (last != NULL)
    *last = self->last;
}

/**
 * tandem_model_has_classifier:
 * @self: a model
 *
 * Returns: whether the files hold pooler and classifier of a sequence
 *   classifier; a stage file without the last layer never does
 */
gboolean
tandem_model_has_classifier (TandemModel *self)
{
  g_return_val_if_fail (TANDEM_IS_MODEL (self), FALSE);
  return self->has_classifier;
}

/* ALBERT was published with SentencePiece vocabularies; of a folder that has nothing else,
 * saying that vocab.txt is missing would be half the truth. */
static void
explain_no_tokenizer (TandemModel *self, GError **error)
{
  g_autofree char *why = g_strdup ((*error)->message);

  if (self->config.type != TANDEM_MODEL_ALBERT || self->is_stage ||
      !(g_error_matches (*error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND) ||
        g_error_matches (*error, TANDEM_TOKENIZER_ERROR, TANDEM_TOKENIZER_ERROR_UNSUPPORTED)))
    return;
  g_clear_error (error);
  g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_VOCABULARY,
               "%s; the SentencePiece vocabularies of ALBERT (spiece.model) are not supported, a "
               "model over a WordPiece vocabulary (vocab.txt) is", why);
}

/**
 * tandem_model_get_tokenizer:
 * @self: a model
 * @error: return location for %TANDEM_MODEL_ERROR_VOCABULARY when there is no
 *   vocabulary or it does not fit, a #TandemTokenizerError or a #GIOErrorEnum
 *
 * Makes the tokenizer of the model from its folder or from its stage file. Only
 * a stage file with layer 0 has one. A vocabulary with more entries than the
 * word embeddings have rows is refused.
 *
 * Returns: (transfer full): a new tokenizer, or %NULL with @error set
 */
TandemTokenizer *
tandem_model_get_tokenizer (TandemModel *self, GError **error)
{
  g_autoptr (TandemTokenizer) tokenizer = NULL;
  g_autoptr (GError) inner = NULL;

  g_return_val_if_fail (TANDEM_IS_MODEL (self), NULL);

  tokenizer = self->is_stage ? tandem_model_load_stage_tokenizer (self, &inner)
                             : tandem_tokenizer_new_from_path (self->folder, &inner);
  if (tokenizer == NULL) {
    explain_no_tokenizer (self, &inner);
    if (g_error_matches (inner, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
      g_set_error_literal (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_VOCABULARY,
                           inner->message);
    else
      g_propagate_error (error, g_steal_pointer (&inner));
    return NULL;
  }
  if (tandem_tokenizer_get_size (tokenizer) > self->config.vocab_size) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_VOCABULARY,
                 "%s: the vocabulary has %u entries, the word embeddings %u rows; is it the "
                 "vocabulary of another model?", self->display_path,
                 tandem_tokenizer_get_size (tokenizer), self->config.vocab_size);
    return NULL;
  }
  return g_steal_pointer (&tokenizer);
}

/**
 * tandem_model_get_tensor:
 * @self: a model
 * @name: a canonical name, as tandem_model_list_tensors() gives it:
 *   "encoder.layer.0.output.dense.weight", without the prefix "bert."; for an ALBERT
 *   "encoder.group.0.output.dense.weight", "embeddings.projection.bias"
 * @error: return location for %TANDEM_MODEL_ERROR_TENSOR
 *
 * Gets a tensor whose memory is the mapping of the file, or memory of its own where the file
 * stores it sparse. Its shape is the one that the configuration says, its type F32, F16, BF16 or I8:
 * that was checked when the model was opened. An I8 tensor NAME has a scale for each row in
 * NAME.scale. It may outlive @self.
 *
 * Returns: (transfer full): the tensor, or %NULL with @error set
 */
TandemTensor *
tandem_model_get_tensor (TandemModel *self, const char *name, GError **error)
{
  const TandemModelEntry *entry;

  g_return_val_if_fail (TANDEM_IS_MODEL (self), NULL);
  g_return_val_if_fail (name != NULL, NULL);

  entry = g_hash_table_lookup (self->entries, name);
  if (entry == NULL) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR,
                 "%s: there is no tensor \"%s\"; it holds layers %u-%u", self->display_path, name,
                 self->first, self->last);
    return NULL;
  }
  if (entry->sparse != NULL)
    return tandem_sparse_tensor_to_dense (entry->sparse, error);
  return tandem_safetensors_get_tensor (entry->file, entry->name, error);
}

static gboolean
is_quantized (TandemModel *self, const char *name)
{
  const TandemModelEntry *entry = g_hash_table_lookup (self->entries, name);
  const char *dtype = NULL;

  if (entry != NULL && entry->sparse != NULL)
    return tandem_sparse_tensor_get_dtype (entry->sparse) == TANDEM_DTYPE_I8;
  return entry != NULL &&
         tandem_safetensors_get_info (entry->file, entry->name, &dtype, NULL, NULL, NULL) &&
         g_str_equal (dtype, "I8");
}

/**
 * tandem_model_list_tensors:
 * @self: a model
 *
 * Returns: (transfer full) (array zero-terminated=1): the canonical names of all
 *   tensors that the model uses and the files hold, from the embeddings up; the scales of a
 *   quantized tensor stand behind it
 */
char **
tandem_model_list_tensors (TandemModel *self)
{
  g_return_val_if_fail (TANDEM_IS_MODEL (self), NULL);
  return tandem_model_list_layer_tensors (self, self->first, self->last);
}

/**
 * tandem_model_list_layer_tensors:
 * @self: a model
 * @first: the first layer, not before those that @self holds
 * @last: the last one, itself included, not after those that @self holds
 *
 * Lists what a stage of these layers needs: with layer 0 the embeddings, with
 * the last layer pooler and classifier where the model has them.
 *
 * Returns: (transfer full) (array zero-terminated=1): canonical names
 */
char **
tandem_model_list_layer_tensors (TandemModel *self, guint first, guint last)
{
  g_autoptr (GStrvBuilder) names = g_strv_builder_new ();
  g_autoptr (GPtrArray) specs = NULL;
  guint i;

  g_return_val_if_fail (TANDEM_IS_MODEL (self), NULL);
  g_return_val_if_fail (self->first <= first && first <= last && last <= self->last, NULL);

  specs = tandem_model_list_specs (&self->config, first, last, self->has_pooler,
                                   self->has_classifier);
  for (i = 0; i < specs->len; i++) {
    const TandemModelSpec *spec = g_ptr_array_index (specs, i);

    g_strv_builder_add (names, spec->name);
    if (is_quantized (self, spec->name)) {
      g_autofree char *scale = g_strconcat (spec->name, TANDEM_SCALE_SUFFIX, NULL);

      g_strv_builder_add (names, scale);
    }
  }
  return g_strv_builder_end (names);
}
