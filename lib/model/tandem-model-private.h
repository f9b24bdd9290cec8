/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tandem-model.h"
#include "tensor/tandem-safetensors.h"
#include "tensor/tandem-sparse-tensor.h"

G_BEGIN_DECLS

/* The names of the files of a Hugging Face folder. */
#define TANDEM_MODEL_CONFIG_FILE "config.json"
#define TANDEM_MODEL_WEIGHTS_FILE "model.safetensors"
#define TANDEM_MODEL_INDEX_FILE "model.safetensors.index.json"

/* What stage files hold beside the tensors of their layers. */
#define TANDEM_STAGE_VERSION "tandem.version"
#define TANDEM_STAGE_MODEL "tandem.model"
#define TANDEM_STAGE_LAYERS "tandem.layers"
#define TANDEM_STAGE_CONFIG "tandem.config"
#define TANDEM_STAGE_TOKENIZER "tandem.tokenizer"
#define TANDEM_STAGE_DIGEST "tandem.stage"
#define TANDEM_STAGE_VOCABULARY "tandem.vocabulary"

/* What a file with I8 tensors has in its metadata, and what the scales of such a tensor are called
 * after; tandem-model-quantized.c says more. */
#define TANDEM_QUANTIZATION_KEY "tandem.quantization"
#define TANDEM_SCALE_SUFFIX ".scale"

/* Where a tensor lies. */
typedef struct
{
  TandemSafetensors *file;      /* owned by the model's list of files */
  char *name;                   /* what the file calls it */
  TandemSparseTensor *sparse;   /* of the file's NAME.mask and NAME.values; NULL: it is dense */
} TandemModelEntry;

struct _TandemModel
{
  GObject parent;

  char *path;
  char *display_path;           /* UTF-8, for messages */
  char *folder;                 /* where the tokenizer's files are, or NULL in a stage file */
  TandemModelConfig config;
  char *config_text;
  char *fingerprint;
  gboolean is_stage;
  guint first, last;
  gboolean has_pooler;
  gboolean has_classifier;
  TandemQuantization quantization;
  GPtrArray *files;             /* TandemSafetensors */
  GHashTable *entries;          /* canonical name -> TandemModelEntry */
};

/* tandem-model-config.c */
gboolean tandem_model_config_parse (TandemModelConfig *config, const char *text,
                                    const char *file, GError **error);
void tandem_model_config_clear (TandemModelConfig *config);
char *tandem_model_config_to_canonical (const TandemModelConfig *config);
gboolean tandem_model_config_load (TandemModelConfig *config, const char *path, char **text,
                                   GError **error);

guint tandem_model_config_get_heads (const TandemModelConfig *config, guint layer);
guint tandem_model_config_get_intermediate (const TandemModelConfig *config, guint layer);

/* tandem-model-config-layers.c */
gboolean tandem_model_config_parse_layers (TandemModelConfig *config, gpointer object,
                                           const char *file, GError **error);
void tandem_model_config_append_layers (const TandemModelConfig *config, GString *text);

/* tandem-model-json.c */
char *tandem_model_read_text (const char *path, gsize *length, GError **error);
gpointer tandem_model_parse_json (const char *text, const char *file, GError **error);

/* tandem-model-spelling.c */
char *tandem_model_name_to_canonical (TandemModelType type, const char *name);
char *tandem_model_name_from_canonical (TandemModelType type, const char *name);
guint tandem_model_config_get_group (const TandemModelConfig *config, guint layer);
char *tandem_model_config_get_layer_name (const TandemModelConfig *config, guint layer,
                                          const char *part);

/* tandem-model-names.c */
typedef struct
{
  char *name;
  guint n_dims;
  guint64 shape[2];
} TandemModelSpec;

GPtrArray *tandem_model_list_specs (const TandemModelConfig *config, guint first, guint last,
                                    gboolean pooler, gboolean classifier);

/* tandem-model-quantized.c */
const char *tandem_quantization_to_metadata (TandemQuantization quantization);
gboolean tandem_model_read_quantization (TandemModel *self, TandemSafetensors *file,
                                         GError **error);
gboolean tandem_model_check_quantized (TandemModel *self, const TandemModelSpec *spec,
                                       const TandemModelEntry *entry, GError **error);
float *tandem_model_load_scales (TandemModel *self, const char *name, GError **error);
gboolean tandem_model_copy_f32 (TandemModel *self, const char *name, float *out, GError **error);

/* tandem-model-digest.c */
typedef struct _TandemDigest TandemDigest;

TandemDigest *tandem_digest_new (const char *preamble);
void tandem_digest_free (TandemDigest *digest);
void tandem_digest_add_tensor (TandemDigest *digest, const char *name, TandemSafetensors *file,
                               const char *file_name);
void tandem_digest_add_sparse (TandemDigest *digest, const char *name, TandemSafetensors *file,
                               const char *file_name, TandemSparseTensor *sparse);
void tandem_digest_add_bytes (TandemDigest *digest, const char *name, GBytes *bytes);
char *tandem_digest_compute (TandemDigest *digest, GCancellable *cancellable, GError **error);
char *tandem_digest_compute_cached (TandemDigest *digest, GCancellable *cancellable,
                                    GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemDigest, tandem_digest_free)

/* tandem-model-folder.c */
gboolean tandem_model_load_folder (TandemModel *self, TandemSafetensors *file,
                                   GCancellable *cancellable, GError **error);

/* tandem-model-stage.c */
gboolean tandem_model_load_stage (TandemModel *self, TandemSafetensors *file,
                                  GCancellable *cancellable, GError **error);
TandemTokenizer *tandem_model_load_stage_tokenizer (TandemModel *self, GError **error);

/* tandem-model.c */
gboolean tandem_model_add_entry (TandemModel *self, TandemSafetensors *file, const char *name,
                                 GError **error);
gboolean tandem_model_check_sparse (TandemModel *self, TandemSafetensors *file, GError **error);
gboolean tandem_model_check_tensors (TandemModel *self, GError **error);

G_END_DECLS
