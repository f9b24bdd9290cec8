/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "model/tandem-masks.h"
#include "model/tandem-model.h"
#include "tandem-export.h"
#include "tensor/tandem-tensor.h"
#include "text/tandem-tokenizer.h"

G_BEGIN_DECLS

/**
 * TandemModelExportFlags:
 * @TANDEM_MODEL_EXPORT_NONE: replace nothing but an earlier export
 * @TANDEM_MODEL_EXPORT_REPLACE: replace any folder that holds nothing but files
 * @TANDEM_MODEL_EXPORT_KEEP_DTYPES: write each tensor in the type that it has, F32, F16 or BF16
 *
 * What the folder of a model may replace, and how its tensors are written.
 */
typedef enum /*< flags >*/
{
  TANDEM_MODEL_EXPORT_NONE = 0,
  TANDEM_MODEL_EXPORT_REPLACE = 1 << 0,
  TANDEM_MODEL_EXPORT_KEEP_DTYPES = 1 << 1,
} TandemModelExportFlags;

TANDEM_API
gboolean tandem_model_export_check (const char *folder, TandemModelExportFlags flags,
                                    GError **error);

TANDEM_API
gboolean tandem_model_export (TandemModel *self, const char *config_text, GHashTable *tensors,
                              const char *const *labels, TandemDtype dtype, const char *folder,
                              TandemModelExportFlags flags, GCancellable *cancellable,
                              GError **error);

TANDEM_API
gboolean tandem_model_export_sparse (TandemModel *self, const char *config_text,
                                     GHashTable *tensors, TandemMasks *masks,
                                     TandemTokenizer *tokenizer,
                                     const char *const *labels, TandemDtype dtype,
                                     const char *folder, TandemModelExportFlags flags,
                                     GCancellable *cancellable, GError **error);

TANDEM_API
gboolean tandem_model_create (const char *config_text, TandemTokenizer *tokenizer,
                              GHashTable *tensors, const char *const *labels, TandemDtype dtype,
                              const char *folder, TandemModelExportFlags flags,
                              GCancellable *cancellable, GError **error);

G_END_DECLS
