/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Hugging Face folders: config.json, and the weights in one file or in shards. */

#include "config.h"

#include <json-glib/json-glib.h>
#include <string.h>

#include "tandem-model-private.h"

/* More shards than any model has; each is an open file. */
#define MAX_SHARDS 256

/* Reads FOLDER/config.json. */
static gboolean
load_config (TandemModel *self, GError **error)
{
  if (!tandem_model_config_load (&self->config, self->folder, &self->config_text, error))
    return FALSE;
  self->first = 0;
  self->last = self->config.n_layers - 1;
  return TRUE;
}

static gboolean
add_file (TandemModel *self, TandemSafetensors *file, GError **error)
{
  g_auto (GStrv) names = tandem_safetensors_list_tensors (file);
  guint i;

  g_ptr_array_add (self->files, g_object_ref (file));
  for (i = 0; names[i] != NULL; i++)
    if (!tandem_model_add_entry (self, file, names[i], error))
      return FALSE;
  return tandem_model_check_sparse (self, file, error);
}

/* Returns the shard @name of the folder, opened once. */
static TandemSafetensors *
open_shard (TandemModel *self, GHashTable *shards, const char *name, const char *index,
            GError **error)
{
  TandemSafetensors *file = g_hash_table_lookup (shards, name);
  g_autofree char *path = NULL;

  if (file != NULL)
    return file;
  /* An index names files beside itself; a path out of the folder is no shard. */
  if (*name == '\0' || strchr (name, '/') != NULL) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_CONFIG,
                 "%s: \"%s\" is not the name of a file in this folder", index, name);
    return NULL;
  }
  if (self->files->len == MAX_SHARDS) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_CONFIG,
                 "%s: more than %d files", index, MAX_SHARDS);
    return NULL;
  }
  path = g_build_filename (self->folder, name, NULL);
  file = tandem_safetensors_open (path, error);
  if (file == NULL)
    return NULL;
  g_ptr_array_add (self->files, file);
  g_hash_table_insert (shards, g_strdup (name), file);
  return file;
}

static gboolean
load_shards (TandemModel *self, const char *path, GError **error)
{
  g_autofree char *display = g_filename_display_name (path);
  g_autofree char *text = tandem_model_read_text (path, NULL, error);
  g_autoptr (JsonObject) object = NULL;
  g_autoptr (GHashTable) shards = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  JsonNode *node;
  JsonObjectIter iter;
  const char *name;
  guint i;

  if (text == NULL)
    return FALSE;
  object = tandem_model_parse_json (text, display, error);
  if (object == NULL)
    return FALSE;
  node = json_object_get_member (object, "weight_map");
  if (node == NULL || !JSON_NODE_HOLDS_OBJECT (node)) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_CONFIG,
                 "%s: \"weight_map\" is missing", display);
    return FALSE;
  }
  json_object_iter_init (&iter, json_node_get_object (node));
  while (json_object_iter_next (&iter, &name, &node)) {
    TandemSafetensors *file;

    if (json_node_get_value_type (node) != G_TYPE_STRING) {
      g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_CONFIG,
                   "%s: the file of \"%s\" is not a string", display, name);
      return FALSE;
    }
    file = open_shard (self, shards, json_node_get_string (node), display, error);
    if (file == NULL)
      return FALSE;
    if (!tandem_safetensors_get_info (file, name, NULL, NULL, NULL, NULL)) {
      g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR,
                   "%s: tensor \"%s\" is not in %s", display, name, json_node_get_string (node));
      return FALSE;
    }
    if (!tandem_model_add_entry (self, file, name, error))
      return FALSE;
  }
  for (i = 0; i < self->files->len; i++)
    if (!tandem_model_check_sparse (self, g_ptr_array_index (self->files, i), error))
      return FALSE;
  return TRUE;
}

/* Opens the weights of the folder: one file, or shards with an index. */
static gboolean
load_weights (TandemModel *self, GError **error)
{
  g_autofree char *single = g_build_filename (self->folder, TANDEM_MODEL_WEIGHTS_FILE, NULL);
  g_autofree char *index = g_build_filename (self->folder, TANDEM_MODEL_INDEX_FILE, NULL);
  g_autofree char *pickled = g_build_filename (self->folder, "pytorch_model.bin", NULL);
  g_autoptr (TandemSafetensors) file = NULL;

  if (g_file_test (single, G_FILE_TEST_EXISTS)) {
    file = tandem_safetensors_open (single, error);
    return file != NULL && add_file (self, file, error);
  }
  if (g_file_test (index, G_FILE_TEST_EXISTS))
    return load_shards (self, index, error);
  if (g_file_test (pickled, G_FILE_TEST_EXISTS))
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR,
                 "%s: holds pytorch_model.bin, which is a program and not loaded; save the model "
                 "with save_pretrained (safe_serialization=True)", self->display_path);
  else
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR,
                 "%s: there is no model.safetensors", self->display_path);
  return FALSE;
}

/* The fingerprint covers what the results depend on, under the canonical names:
 * neither the prefix nor the files that a model is stored in change it, nor
 * whether its zeros are stored. */
static gboolean
compute_fingerprint (TandemModel *self, GCancellable *cancellable, GError **error)
{
  g_autofree char *shape = tandem_model_config_to_canonical (&self->config);
  const char *quantization = tandem_quantization_to_metadata (self->quantization);
  g_autofree char *preamble = quantization == NULL ? g_strdup (shape)
      : g_strdup_printf ("%squantization %s\n", shape, quantization);
  g_autoptr (TandemDigest) digest = tandem_digest_new (preamble);
  g_auto (GStrv) names = tandem_model_list_tensors (self);
  guint i;

  for (i = 0; names[i] != NULL; i++) {
    const TandemModelEntry *entry = g_hash_table_lookup (self->entries, names[i]);

    if (entry->sparse != NULL)
      tandem_digest_add_sparse (digest, names[i], entry->file, entry->name, entry->sparse);
    else
      tandem_digest_add_tensor (digest, names[i], entry->file, entry->name);
  }
  self->fingerprint = tandem_digest_compute_cached (digest, cancellable, error);
  return self->fingerprint != NULL;
}

/* Fills @self from the folder that it names; @file is the file of weights that was
 * asked for, or NULL for what the folder holds. */
gboolean
tandem_model_load_folder (TandemModel *self, TandemSafetensors *file, GCancellable *cancellable,
                          GError **error)
{
  if (!load_config (self, error))
    return FALSE;
  if (file != NULL ? !add_file (self, file, error) : !load_weights (self, error))
    return FALSE;
  return tandem_model_check_tensors (self, error) &&
         compute_fingerprint (self, cancellable, error);
}
