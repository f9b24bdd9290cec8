/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Stage files: the tensors of a range of layers, in a safetensors file that is
 * enough by itself to run them.
 *
 * Metadata (all values are strings):
 *   format            "pt", which transformers asks for
 *   tandem.version    "1", or "2" where tensors are quantized or sparse, which version 1 cannot read
 *   tandem.model      the fingerprint of the whole model
 *   tandem.layers     "0-0": first and last layer
 *   tandem.config     the text of config.json
 *   tandem.tokenizer  how the text is treated ("lower-case,strip-accents"), where
 *                     there is a vocabulary
 *   tandem.quantization  what I8 tensors mean, where the model has any
 *   tandem.stage      SHA-256 over the other metadata and all tensors of this file
 *
 * Tensors have the names that BertForSequenceClassification or
 * AlbertForSequenceClassification has, whatever the source called them. Weights that
 * several of the layers share are there once. The stage with layer 0 also holds the vocabulary, one
 * entry a line, as the U8 tensor "tandem.vocabulary". */

#include "config.h"

#include <string.h>

#include "tandem-model-private.h"
#include "tensor/tandem-safetensors-private.h"

#define VERSION 2
#define VERSION_PLAIN 1

static const struct
{
  TandemTokenizerFlags flag;
  const char *name;
} tokenizer_flags[] = {
  { TANDEM_TOKENIZER_LOWER_CASE, "lower-case" },
  { TANDEM_TOKENIZER_STRIP_ACCENTS, "strip-accents" },
  { TANDEM_TOKENIZER_SPLIT_CJK, "split-cjk" },
  { TANDEM_TOKENIZER_CLEAN_TEXT, "clean-text" },
  { TANDEM_TOKENIZER_CUT_START, "cut-start" },
};

static char *
flags_to_string (TandemTokenizerFlags flags)
{
  GString *text = g_string_new (NULL);
  guint i;

  for (i = 0; i < G_N_ELEMENTS (tokenizer_flags); i++)
    if (flags & tokenizer_flags[i].flag)
      g_string_append_printf (text, "%s%s", text->len > 0 ? "," : "", tokenizer_flags[i].name);
  return g_string_free (text, FALSE);
}

static gboolean
flags_from_string (TandemModel *self, const char *text, TandemTokenizerFlags *flags,
                   GError **error)
{
  g_auto (GStrv) names = g_strsplit (text, ",", -1);
  guint i, known;

  *flags = TANDEM_TOKENIZER_NONE;
  for (i = 0; names[i] != NULL; i++) {
    if (*names[i] == '\0')
      continue;
    for (known = 0; known < G_N_ELEMENTS (tokenizer_flags); known++)
      if (g_str_equal (names[i], tokenizer_flags[known].name))
        break;
    if (known == G_N_ELEMENTS (tokenizer_flags)) {
      g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_VERSION,
                   "%s: its tokenizer needs \"%s\", which this version does not know; update "
                   "Tandem", self->display_path, names[i]);
      return FALSE;
    }
    *flags |= tokenizer_flags[known].flag;
  }
  return TRUE;
}

/* What the digest of a stage covers beside its tensors: all metadata but itself,
 * each value with its length in bytes. */
static char *
make_preamble (GHashTable *metadata)
{
  g_autoptr (GList) keys = g_list_sort (g_hash_table_get_keys (metadata), (GCompareFunc) strcmp);
  GString *text = g_string_new ("tandem stage 1\n");
  GList *l;

  for (l = keys; l != NULL; l = l->next) {
    const char *value = g_hash_table_lookup (metadata, l->data);

    if (!g_str_equal (l->data, TANDEM_STAGE_DIGEST))
      g_string_append_printf (text, "metadata %s %" G_GSIZE_FORMAT " %s\n", (char *) l->data,
                              strlen (value), value);
  }
  return g_string_free (text, FALSE);
}

static const char *
require_metadata (TandemModel *self, TandemSafetensors *file, const char *key, GError **error)
{
  const char *value = tandem_safetensors_get_metadata (file, key);

  if (value == NULL)
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_CONFIG,
                 "%s: a stage file without \"%s\" in its metadata; cut it again with \"tandem "
                 "split\"", self->display_path, key);
  return value;
}

static gboolean
check_version (TandemModel *self, TandemSafetensors *file, GError **error)
{
  const char *text = tandem_safetensors_get_metadata (file, TANDEM_STAGE_VERSION);
  guint64 version;

  if (!g_ascii_string_to_unsigned (text, 10, 1, G_MAXUINT, &version, NULL)) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_CONFIG,
                 "%s: \"%s\" is no version of a stage file", self->display_path, text);
    return FALSE;
  }
  if (version > VERSION) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_VERSION,
                 "%s: a stage file of version %" G_GUINT64_FORMAT ", this program reads up to "
                 "%d; update Tandem", self->display_path, version, VERSION);
    return FALSE;
  }
  return TRUE;
}

static gboolean
check_digest (TandemModel *self, TandemSafetensors *file, GCancellable *cancellable,
              GError **error)
{
  const char *promised = require_metadata (self, file, TANDEM_STAGE_DIGEST, error);
  g_autoptr (GHashTable) metadata = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_auto (GStrv) keys = tandem_safetensors_list_metadata (file);
  g_auto (GStrv) names = tandem_safetensors_list_tensors (file);
  g_autoptr (TandemDigest) digest = NULL;
  g_autofree char *preamble = NULL;
  g_autofree char *found = NULL;
  guint i;

  if (promised == NULL)
    return FALSE;
  for (i = 0; keys[i] != NULL; i++)
    g_hash_table_insert (metadata, g_strdup (keys[i]),
                         (char *) tandem_safetensors_get_metadata (file, keys[i]));
  preamble = make_preamble (metadata);
  digest = tandem_digest_new (preamble);
  for (i = 0; names[i] != NULL; i++)
    tandem_digest_add_tensor (digest, names[i], file, names[i]);
  found = tandem_digest_compute_cached (digest, cancellable, error);
  if (found == NULL)
    return FALSE;
  if (!g_str_equal (found, promised)) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR,
                 "%s: the stage file is damaged: its SHA-256 is %.12s..., it should be %.12s...; "
                 "copy it again", self->display_path, found, promised);
    return FALSE;
  }
  return TRUE;
}

/* Fills @self from a file that has TANDEM_STAGE_VERSION in its metadata. */
gboolean
tandem_model_load_stage (TandemModel *self, TandemSafetensors *file, GCancellable *cancellable,
                         GError **error)
{
  g_auto (GStrv) names = tandem_safetensors_list_tensors (file);
  const char *fingerprint, *layers, *config;
  guint i;

  self->is_stage = TRUE;
  if (!check_version (self, file, error))
    return FALSE;
  fingerprint = require_metadata (self, file, TANDEM_STAGE_MODEL, error);
  layers = fingerprint ? require_metadata (self, file, TANDEM_STAGE_LAYERS, error) : NULL;
  config = layers ? require_metadata (self, file, TANDEM_STAGE_CONFIG, error) : NULL;
  if (config == NULL)
    return FALSE;
  if (strlen (fingerprint) != 64 || strspn (fingerprint, "0123456789abcdef") != 64) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_CONFIG,
                 "%s: \"%s\" is no fingerprint of 64 hexadecimal digits", self->display_path,
                 fingerprint);
    return FALSE;
  }
  self->fingerprint = g_strdup (fingerprint);
  self->config_text = g_strdup (config);
  if (!tandem_model_config_parse (&self->config, config, self->display_path, error) ||
      !tandem_model_read_quantization (self, file, error))
    return FALSE;
  if (!tandem_model_parse_layers (layers, self->config.n_layers, &self->first, &self->last,
                                  error)) {
    g_prefix_error (error, "%s: ", self->display_path);
    return FALSE;
  }
  for (i = 0; names[i] != NULL; i++)
    if (!tandem_model_add_entry (self, file, names[i], error))
      return FALSE;
  if (!tandem_model_check_sparse (self, file, error))
    return FALSE;
  return tandem_model_check_tensors (self, error) &&
         check_digest (self, file, cancellable, error);
}

/* Makes the tokenizer of a stage file. */
TandemTokenizer *
tandem_model_load_stage_tokenizer (TandemModel *self, GError **error)
{
  TandemSafetensors *file = g_ptr_array_index (self->files, 0);
  const char *flags_text = tandem_safetensors_get_metadata (file, TANDEM_STAGE_TOKENIZER);
  g_autoptr (TandemTensor) vocabulary = NULL;
  TandemTokenizerFlags flags;

  if (!tandem_safetensors_get_info (file, TANDEM_STAGE_VOCABULARY, NULL, NULL, NULL, NULL)) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_VOCABULARY,
                 "%s: the stage file of layers %u-%u holds no vocabulary; the one with layer 0 "
                 "does where the model has one", self->display_path, self->first, self->last);
    return NULL;
  }
  vocabulary = tandem_safetensors_get_tensor (file, TANDEM_STAGE_VOCABULARY, error);
  if (vocabulary == NULL ||
      !flags_from_string (self, flags_text != NULL ? flags_text : "", &flags, error))
    return NULL;
  return tandem_tokenizer_new (tandem_tensor_get_bytes (vocabulary), flags, error);
}

/* Whether there is a vocabulary at all; one that is there must be right. */
static gboolean
has_vocabulary (TandemModel *self)
{
  static const char *const files[] = { "vocab.txt", "tokenizer.json" };
  guint i;

  if (self->is_stage)
    return tandem_safetensors_get_info (g_ptr_array_index (self->files, 0),
                                        TANDEM_STAGE_VOCABULARY, NULL, NULL, NULL, NULL);
  for (i = 0; i < G_N_ELEMENTS (files); i++) {
    g_autofree char *path = g_build_filename (self->folder, files[i], NULL);

    if (g_file_test (path, G_FILE_TEST_EXISTS))
      return TRUE;
  }
  return FALSE;
}

static gboolean
add_vocabulary (TandemModel *self, GHashTable *metadata, GHashTable *tensors, GError **error)
{
  g_autoptr (TandemTokenizer) tokenizer = tandem_model_get_tokenizer (self, error);
  g_autoptr (GBytes) vocabulary = NULL;
  TandemTensor *tensor;
  guint64 size;

  if (tokenizer == NULL)
    return FALSE;
  vocabulary = tandem_tokenizer_get_vocabulary (tokenizer);
  size = g_bytes_get_size (vocabulary);
  tensor = tandem_tensor_new (TANDEM_DTYPE_U8, 1, &size, vocabulary, error);
  if (tensor == NULL)
    return FALSE;
  g_hash_table_insert (tensors, g_strdup (TANDEM_STAGE_VOCABULARY), tensor);
  g_hash_table_insert (metadata, g_strdup (TANDEM_STAGE_TOKENIZER),
                       flags_to_string (tandem_tokenizer_get_flags (tokenizer)));
  return TRUE;
}

/* Adds the tensors of the layers under the names that the stage file gives them. */
static gboolean
add_layers (TandemModel *self, guint first, guint last, GHashTable *metadata, GHashTable *tensors,
            GError **error)
{
  g_auto (GStrv) names = tandem_model_list_layer_tensors (self, first, last);
  guint i;

  for (i = 0; names[i] != NULL; i++) {
    const TandemModelEntry *entry = g_hash_table_lookup (self->entries, names[i]);
    g_autofree char *name = tandem_model_name_from_canonical (self->config.type, names[i]);
    TandemTensor *tensor;

    if (entry->sparse != NULL) {
      tandem_sparse_tensor_store (entry->sparse, name, metadata, tensors);
      continue;
    }
    tensor = tandem_model_get_tensor (self, names[i], error);
    if (tensor == NULL)
      return FALSE;
    g_hash_table_insert (tensors, g_steal_pointer (&name), tensor);
  }
  return TRUE;
}

/* What a stage file's digest covers are its tensors as they are stored. */
static void
add_digests (TandemModel *self, guint first, guint last, GHashTable *tensors,
             TandemDigest *digest)
{
  g_auto (GStrv) names = tandem_model_list_layer_tensors (self, first, last);
  const TandemTensor *vocabulary = g_hash_table_lookup (tensors, TANDEM_STAGE_VOCABULARY);
  static const char *const parts[] = { TANDEM_SPARSE_MASK, TANDEM_SPARSE_VALUES };
  guint i, part;

  if (vocabulary != NULL)
    tandem_digest_add_bytes (digest, TANDEM_STAGE_VOCABULARY,
                             tandem_tensor_get_bytes (vocabulary));
  for (i = 0; names[i] != NULL; i++) {
    const TandemModelEntry *entry = g_hash_table_lookup (self->entries, names[i]);
    g_autofree char *name = tandem_model_name_from_canonical (self->config.type, names[i]);

    for (part = 0; entry->sparse != NULL && part < G_N_ELEMENTS (parts); part++) {
      g_autofree char *to = g_strconcat (name, parts[part], NULL);
      g_autofree char *from = g_strconcat (entry->name, parts[part], NULL);

      tandem_digest_add_tensor (digest, to, entry->file, from);
    }
    if (entry->sparse == NULL)
      tandem_digest_add_tensor (digest, name, entry->file, entry->name);
  }
}

static void
set (GHashTable *metadata, const char *key, const char *value)
{
  g_hash_table_insert (metadata, g_strdup (key), g_strdup (value));
}

/* The first version that can read it. */
static int
choose_version (TandemModel *self, GHashTable *metadata)
{
  GHashTableIter iter;
  gpointer key;

  g_hash_table_iter_init (&iter, metadata);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    if (g_str_has_prefix (key, TANDEM_SPARSE_PREFIX))
      return VERSION;
  return self->quantization != TANDEM_QUANTIZATION_NONE ? VERSION : VERSION_PLAIN;
}

static void
release_pages (const char *name, const TandemTensor *tensor)
{
  tandem_tensor_release_pages (tensor);
}

/**
 * tandem_model_write_stage:
 * @self: a model
 * @first: the first layer of the stage
 * @last: the last one, itself included
 * @path: (type filename): where to write
 * @cancellable: (nullable): a cancellable
 * @error: return location for %TANDEM_MODEL_ERROR_LAYERS when @self does not
 *   hold these layers, for what is wrong with its vocabulary, or for a
 *   #GIOErrorEnum
 *
 * Writes a stage file: the tensors of these layers as they are stored, the
 * configuration, the fingerprint of the whole model, and the vocabulary where
 * the stage begins at layer 0 and the model has one. The same layers of the
 * same model give the same bytes, whatever files the model came from.
 *
 * The file appears whole or not at all, as tandem_safetensors_write() says.
 *
 * Returns: whether the file was written
 */
gboolean
tandem_model_write_stage (TandemModel *self, guint first, guint last, const char *path,
                          GCancellable *cancellable, GError **error)
{
  g_autoptr (GHashTable) metadata = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_autoptr (GHashTable) tensors = NULL;
  g_autoptr (TandemDigest) digest = NULL;
  g_autofree char *preamble = NULL;
  char *sum;

  g_return_val_if_fail (TANDEM_IS_MODEL (self), FALSE);
  g_return_val_if_fail (path != NULL, FALSE);

  if (first > last || first < self->first || last > self->last) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_LAYERS,
                 "%s holds layers %u-%u, asked for %u-%u", self->display_path, self->first,
                 self->last, first, last);
    return FALSE;
  }
  tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                   (GDestroyNotify) tandem_tensor_unref);
  set (metadata, "format", "pt");
  /* That of the whole model, even if none of its I8 tensors is in this stage. */
  if (self->quantization != TANDEM_QUANTIZATION_NONE)
    set (metadata, TANDEM_QUANTIZATION_KEY, tandem_quantization_to_metadata (self->quantization));
  set (metadata, TANDEM_STAGE_MODEL, self->fingerprint);
  g_hash_table_insert (metadata, g_strdup (TANDEM_STAGE_LAYERS),
                       g_strdup_printf ("%u-%u", first, last));
  set (metadata, TANDEM_STAGE_CONFIG, self->config_text);
  if ((first == 0 && has_vocabulary (self) &&
       !add_vocabulary (self, metadata, tensors, error)) ||
      !add_layers (self, first, last, metadata, tensors, error))
    return FALSE;
  g_hash_table_insert (metadata, g_strdup (TANDEM_STAGE_VERSION),
                       g_strdup_printf ("%d", choose_version (self, metadata)));

  preamble = make_preamble (metadata);
  digest = tandem_digest_new (preamble);
  add_digests (self, first, last, tensors, digest);
  sum = tandem_digest_compute (digest, cancellable, error);
  if (sum == NULL)
    return FALSE;
  g_hash_table_insert (metadata, g_strdup (TANDEM_STAGE_DIGEST), sum);
  return tandem_safetensors_write_full (path, metadata, tensors, release_pages, cancellable,
                                        error);
}
