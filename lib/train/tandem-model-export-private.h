/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "model/tandem-model-private.h"

G_BEGIN_DECLS

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TandemModelConfig, tandem_model_config_clear)

/* What the weights of an export say of themselves, so that they may be replaced. */
#define TANDEM_EXPORT_KEY "tandem.export"

#define TANDEM_EXPORT_VOCABULARY_FILE "vocab.txt"
#define TANDEM_EXPORT_TOKENIZER_FILE "tokenizer.json"
#define TANDEM_EXPORT_TOKENIZER_CONFIG_FILE "tokenizer_config.json"

/* tandem-model-export-folder.c: a folder that takes another's place when it is complete. */
typedef struct
{
  char *target;                 /* where it is to be, symbolic links resolved */
  char *temporary;              /* where it is, beside that */
  gboolean replaces;
} TandemExportFolder;

TandemExportFolder *tandem_export_folder_new (const char *path, gboolean replace,
                                              GError **error);
gboolean tandem_export_folder_add (TandemExportFolder *self, const char *name, const char *text,
                                   gssize length, GError **error);

/* Puts it in its place; what was there is removed. */
gboolean tandem_export_folder_commit (TandemExportFolder *self, GError **error);

/* Removes what was not put in place. */
void tandem_export_folder_free (TandemExportFolder *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemExportFolder, tandem_export_folder_free)

/* tandem-model-export-config.c: the configuration of a model with these tensors, as
 * transformers writes it; labels: NULL for those that it names. */
char *tandem_export_make_config (const char *config_text, GHashTable *tensors,
                                 const char *const *labels, TandemDtype dtype, GError **error);
char *tandem_export_make_tokenizer_config (TandemTokenizerFlags flags, guint max_positions);

G_END_DECLS
