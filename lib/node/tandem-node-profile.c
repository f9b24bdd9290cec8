/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How fast a model of some shape would be here, measured without its weights: a model with the same
 * layers, but only as many of them as are measured, is made of random numbers, and pruned and
 * quantized where the model is. The result is kept by shape, kind of weights and device. */

#include "config.h"

#include "tandem-node-private.h"

#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <string.h>

#include "model/tandem-model-private.h"
#include "net/tandem-device-id.h"
#include "place/tandem-placement-problem.h"
#include "prune/tandem-prune.h"
#include "quantize/tandem-quantize.h"
#include "tandem-init.h"
#include "base/tandem-json-private.h"
#include "train/tandem-model-init.h"

/* The first layer is embeddings beside it, and the last one ends otherwise. */
#define MEASURED_LAYERS 2
#define SEED 1
#define MIN_SECONDS 0.1
#define MAX_SECONDS 60
#define MOST_ZEROS 0.99

typedef struct
{
  TandemNodeRequest *request;
  char *config;                 /* with fewer layers */
  guint n_layers;               /* of the whole model */
  TandemModelConfig shape;      /* with fewer layers */
  TandemQuantization quantization;
  double zeros;                 /* share of the weights of linear layers */
  TandemPrecision precision;
  guint n_threads;
  double seconds;
  guint64 memory_left;          /* bytes */
  char *path;                   /* of what is kept */
  char *digest;                 /* of the shape */
  TandemProfile *profile;       /* (nullable) */
  gboolean kept;                /* it was not measured now */
} Measure;

static void
measure_free (Measure *self)
{
  tandem_model_config_clear (&self->shape);
  g_clear_pointer (&self->profile, tandem_profile_free);
  g_free (self->config);
  g_free (self->path);
  g_free (self->digest);
  g_free (self);
}

/* --- what is kept --- */

static void
choose_path (Measure *self)
{
  g_autofree char *canonical = tandem_model_config_to_canonical (&self->shape);
  g_autofree char *key = NULL;
  g_autofree char *digest = NULL;
  g_autofree char *name = NULL;

  self->digest = g_compute_checksum_for_string (G_CHECKSUM_SHA256, canonical, -1);
  key = g_strdup_printf ("shape 3\n%s\n%s\n%u cores\n%s\n%u threads\n%d %d %d\n", self->digest,
                         tandem_device_id_get (), g_get_num_processors (), tandem_version (),
                         self->n_threads, self->precision, self->quantization,
                         (int) (100 * self->zeros + 0.5));
  digest = g_compute_checksum_for_string (G_CHECKSUM_SHA256, key, -1);
  name = g_strdup_printf ("shape-%s.json", digest);
  self->path = g_build_filename (g_get_user_cache_dir (), "tandem", "profiles", name, NULL);
}

static gboolean
load (Measure *self)
{
  TandemProfile *profile = tandem_profile_read (self->path, NULL);

  if (profile == NULL)
    return FALSE;
  profile->n_layers = self->n_layers;
  self->profile = profile;
  self->kept = TRUE;
  return TRUE;
}

/* What cannot be kept is measured again the next time. */
static void
store (Measure *self)
{
  g_autofree char *folder = g_path_get_dirname (self->path);
  g_autofree char *text = tandem_profile_to_json (self->profile);

  g_mkdir_with_parents (folder, 0700);
  g_file_set_contents (self->path, text, -1, NULL);
}

/* --- the model --- */

static guint64
count_bytes (const TandemModelConfig *config)
{
  g_autoptr (GPtrArray) specs =
      tandem_model_list_specs (config, 0, config->n_layers - 1, TRUE, TRUE);
  guint64 sum = 0;
  guint i;

  for (i = 0; i < specs->len; i++) {
    const TandemModelSpec *spec = g_ptr_array_index (specs, i);

    sum += sizeof (float) * spec->shape[0] * (spec->n_dims > 1 ? spec->shape[1] : 1);
  }
  return sum;
}

/* The numbers, as oneDNN lays them out, and once more on the way to the file, or two. */
static gboolean
check_memory (Measure *self, GError **error)
{
  guint n_copies = self->quantization == TANDEM_QUANTIZATION_NONE && self->zeros == 0 ? 2 : 3;
  guint64 needed = n_copies * count_bytes (&self->shape);
  g_autofree char *wanted = NULL, *left = NULL;

  if (needed <= self->memory_left)
    return TRUE;
  wanted = g_format_size (needed);
  left = g_format_size (self->memory_left);
  g_set_error (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_MEMORY,
               _("to measure a model of this shape takes %s of memory; %s are left"), wanted, left);
  return FALSE;
}

/* Zeros where the smallest of the numbers are. Takes @tensors. */
static GHashTable *
prune (Measure *self, GHashTable *tensors, GError **error)
{
  g_autoptr (GHashTable) dense = tensors;
  g_autoptr (TandemMasks) masks =
      tandem_prune_magnitude (dense, TANDEM_PRUNE_LINEAR, TANDEM_PRUNE_SCOPE_TENSOR, self->zeros,
                              error);

  return masks != NULL ? tandem_masks_apply (masks, dense, error) : NULL;
}

static gboolean
write_weights (Measure *self, const char *folder, GCancellable *cancellable, GError **error)
{
  g_autofree char *path = g_build_filename (folder, TANDEM_MODEL_WEIGHTS_FILE, NULL);
  g_autoptr (GHashTable) tensors =
      tandem_model_init_random (self->config, TANDEM_MODEL_INIT_CLASSIFIER,
                                self->shape.n_classes, SEED, error);
  g_autoptr (GHashTable) files = NULL;
  GHashTableIter iter;
  gpointer name, tensor;

  if (tensors != NULL && self->zeros > 0)
    tensors = prune (self, tensors, error);
  if (tensors == NULL)
    return FALSE;
  files = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_hash_table_iter_init (&iter, tensors);
  while (g_hash_table_iter_next (&iter, &name, &tensor))
    g_hash_table_insert (files, tandem_model_name_from_canonical (self->shape.type, name),
                         tensor);
  return tandem_safetensors_write (path, NULL, files, cancellable, error);
}

static gboolean
write_model (Measure *self, const char *folder, GCancellable *cancellable, GError **error)
{
  g_autofree char *path = g_build_filename (folder, TANDEM_MODEL_CONFIG_FILE, NULL);

  return g_file_set_contents (path, self->config, -1, error) &&
      write_weights (self, folder, cancellable, error);
}

/* Returns a model of which nothing is in memory. */
static TandemModel *
quantize (Measure *self, TandemModel *model, const char *folder, GCancellable *cancellable,
          GError **error)
{
  TandemQuantizeFormat format = self->quantization == TANDEM_QUANTIZATION_INT8
      ? TANDEM_QUANTIZE_INT8 : TANDEM_QUANTIZE_INT8_WEIGHTS;

  if (!tandem_quantize_model (model, format, NULL, folder, TANDEM_MODEL_EXPORT_NONE, cancellable,
                              error))
    return NULL;
  return tandem_model_open (folder, cancellable, error);
}

/* An open model keeps its files: their names may go. */
static void
remove_model (const char *folder)
{
  g_autofree char *config = g_build_filename (folder, TANDEM_MODEL_CONFIG_FILE, NULL);
  g_autofree char *weights = g_build_filename (folder, TANDEM_MODEL_WEIGHTS_FILE, NULL);

  g_unlink (config);
  g_unlink (weights);
  g_rmdir (folder);
}

static TandemModel *
make_model (Measure *self, GCancellable *cancellable, GError **error)
{
  g_autofree char *folder = g_dir_make_tmp ("tandem-profile-XXXXXX", error);
  TandemModel *model = NULL;

  if (folder == NULL)
    return NULL;
  if (write_model (self, folder, cancellable, error))
    model = tandem_model_open (folder, cancellable, error);
  if (model != NULL && self->quantization != TANDEM_QUANTIZATION_NONE) {
    g_autoptr (TandemModel) floats = g_steal_pointer (&model);
    g_autofree char *inner = g_build_filename (folder, "quantized", NULL);

    model = quantize (self, floats, inner, cancellable, error);
    remove_model (inner);
  }
  remove_model (folder);
  return model;
}

/* --- measuring --- */

static void
measure (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  Measure *self = data;
  g_autoptr (TandemModel) model = NULL;
  GError *error = NULL;

  if (load (self)) {
    g_task_return_boolean (task, TRUE);
    return;
  }
  if (check_memory (self, &error))
    model = make_model (self, cancellable, &error);
  if (model != NULL)
    self->profile = tandem_profile_measure (model, self->precision, self->n_threads,
                                            self->seconds, cancellable, &error);
  if (self->profile == NULL) {
    g_task_return_error (task, error);
    return;
  }
  g_free (self->profile->model);
  self->profile->model = g_strdup (self->digest);
  store (self);
  self->profile->n_layers = self->n_layers;
  g_task_return_boolean (task, TRUE);
}

/* Multiplications and additions of a layer for one token, without attention's pairs. */
static double
get_speed (const Measure *self)
{
  double width = self->shape.hidden_size, inner = self->shape.intermediate_size;
  double seconds = self->profile->costs[TANDEM_PROFILE_LAYER].per_token;

  return seconds > 0 ? 2 * width * (4 * width + 2 * inner) / seconds : 0;
}

static void
answer (Measure *self)
{
  JsonBuilder *json = tandem_node_request_begin (self->request);
  g_autofree char *text = tandem_profile_to_json (self->profile);
  g_autoptr (JsonNode) node = tandem_json_parse_object (text, NULL);

  json_builder_set_member_name (json, "kept");
  json_builder_add_boolean_value (json, self->kept);
  json_builder_set_member_name (json, "profile");
  json_builder_add_value (json, g_steal_pointer (&node));
  tandem_node_request_finish (self->request, json);
}

static void
on_measured (GObject *source, GAsyncResult *result, gpointer data)
{
  Measure *self = data;
  g_autoptr (TandemNode) node = g_object_ref (self->request->connection->node);
  g_autoptr (GError) error = NULL;

  node->is_measuring = FALSE;
  if (!g_task_propagate_boolean (G_TASK (result), &error)) {
    tandem_node_request_fail (self->request, error);
  } else {
    if (!self->kept)
      tandem_node_tell (node, "measured", tandem_link_get_peer (self->request->connection->link),
                        _("measured a model %u wide, with %u threads"), self->shape.hidden_size,
                        self->n_threads);
    node->speed = get_speed (self);
    tandem_node_changed (node);
    answer (self);
  }
  measure_free (self);
  tandem_node_ran (node);
}

/* --- the request --- */

/* A copy with as many layers as are measured: the configuration is valid, so that its numbers are
 * numbers. */
static char *
shorten (const char *text, GError **error)
{
  static const char *const counts[] = { "num_hidden_layers", "num_hidden_groups", NULL };
  g_autoptr (JsonNode) root = tandem_json_parse_object (text, error);
  g_autoptr (JsonObject) object = NULL;
  g_autoptr (JsonNode) copy = NULL;
  JsonObjectIter iter;
  const char *name;
  JsonNode *value;

  if (root == NULL)
    return NULL;
  object = json_object_new ();
  json_object_iter_init_ordered (&iter, json_node_get_object (root));
  while (json_object_iter_next_ordered (&iter, &name, &value)) {
    if (g_strv_contains (counts, name) && json_node_get_int (value) > MEASURED_LAYERS)
      json_object_set_int_member (object, name, MEASURED_LAYERS);
    else
      json_object_set_member (object, name, json_node_copy (value));
  }
  copy = json_node_init_object (json_node_alloc (), object);
  return json_to_string (copy, FALSE);
}

static gboolean
shrink (Measure *self, const char *text, GError **error)
{
  if (!tandem_model_config_parse (&self->shape, text, TANDEM_MODEL_CONFIG_FILE, error))
    return FALSE;
  self->n_layers = self->shape.n_layers;
  tandem_model_config_clear (&self->shape);
  memset (&self->shape, 0, sizeof self->shape);
  self->config = shorten (text, error);
  if (self->config == NULL ||
      !tandem_model_config_parse (&self->shape, self->config, TANDEM_MODEL_CONFIG_FILE, error))
    return FALSE;
  /* What classes are called makes no difference. */
  g_clear_pointer (&self->shape.labels, g_strfreev);
  return TRUE;
}

static const char *
get_config (const TandemPlaceObject *in)
{
  JsonNode *node = json_object_get_member (in->object, "config");

  if (node != NULL && json_node_get_value_type (node) == G_TYPE_STRING)
    return json_node_get_string (node);
  tandem_place_fail (in, "config", "is to be the text of a config.json");
  return NULL;
}

/* Which of two words a member is; the first one where there is none. */
static gboolean
get_word (const TandemPlaceObject *in, const char *name, const char *first, const char *second,
          gboolean *is_second)
{
  const char *word = first;

  if (tandem_place_has (in, name) && (word = tandem_place_get_text (in, name)) == NULL)
    return FALSE;
  *is_second = g_str_equal (word, second);
  return *is_second || g_str_equal (word, first) ||
      tandem_place_fail (in, name, "is \"%s\"; there are %s and %s", word, first, second);
}

static gboolean
get_quantization (const TandemPlaceObject *in, TandemQuantization *quantization)
{
  gboolean weights, activations;

  if (!get_word (in, "weights", "float", "int8", &weights) ||
      !get_word (in, "activations", "float", "int8", &activations))
    return FALSE;
  if (activations && !weights)
    return tandem_place_fail (in, "activations", "is \"int8\", and weights are not");
  *quantization = activations ? TANDEM_QUANTIZATION_INT8
      : weights ? TANDEM_QUANTIZATION_WEIGHTS : TANDEM_QUANTIZATION_NONE;
  return TRUE;
}

static gboolean
read_request (Measure *self, const TandemPlaceObject *in)
{
  TandemNode *node = self->request->connection->node;
  guint64 available = tandem_get_available_memory (), threads;
  const char *config = get_config (in);

  self->seconds = TANDEM_PROFILE_SECONDS;
  if (config == NULL ||
      !tandem_node_get_whole (in, "threads", 1, node->n_threads, 1, &threads) ||
      !get_quantization (in, &self->quantization) ||
      !tandem_node_get_precision (in, &self->precision) ||
      (tandem_place_has (in, "zeros") &&
       !tandem_place_get_number (in, "zeros", 0, MOST_ZEROS, &self->zeros)) ||
      (tandem_place_has (in, "seconds") &&
       !tandem_place_get_number (in, "seconds", MIN_SECONDS, MAX_SECONDS, &self->seconds)) ||
      !shrink (self, config, in->error))
    return FALSE;
  self->n_threads = threads;
  self->memory_left = node->memory_limit == 0 ? available
      : MIN (available, node->memory_limit - MIN (node->memory_limit, node->memory_used));
  if (node->is_measuring)
    g_set_error_literal (in->error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_BUSY,
                         _("this node measures another model just now"));
  return *in->error == NULL;
}

void
tandem_node_profile (TandemNodeRequest *request, const TandemPlaceObject *in)
{
  TandemNode *node = request->connection->node;
  Measure *self = g_new0 (Measure, 1);

  self->request = request;
  if (!read_request (self, in)) {
    tandem_node_request_fail (request, *in->error);
    measure_free (self);
    return;
  }
  choose_path (self);
  node->is_measuring = TRUE;
  tandem_node_run (node, request->cancellable, measure, on_measured, self);
}
