/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "model/tandem-model.h"
#include "tandem-export.h"
#include "tensor/tandem-tensor.h"
#include "text/tandem-tokenizer.h"

G_BEGIN_DECLS

/**
 * TandemModelExportFlags:
 * @TANDEM_MODEL_EXPORT_NONE: replace nothing but an earlier export
 * @TANDEM_MODEL_EXPORT_REPLACE: replace any folder that holds nothing but files
 *
 * What the folder of a model may replace.
 */
typedef enum /*< flags >*/
{
  TANDEM_MODEL_EXPORT_NONE = 0,
  TANDEM_MODEL_EXPORT_REPLACE = 1 << 0,
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
gboolean tandem_model_create (const char *config_text, TandemTokenizer *tokenizer,
                              GHashTable *tensors, const char *const *labels, TandemDtype dtype,
                              const char *folder, TandemModelExportFlags flags,
                              GCancellable *cancellable, GError **error);

G_END_DECLS
