/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "model/tandem-model.h"
#include "tandem-export.h"
#include "tensor/tandem-tensor.h"
#include "train/tandem-model-export.h"

G_BEGIN_DECLS

/**
 * TandemQuantizeFormat:
 * @TANDEM_QUANTIZE_INT8: int8 weights with a scale for each row; linear layers round what comes in
 *   to int8, too, where the processor gains by it
 * @TANDEM_QUANTIZE_INT8_WEIGHTS: int8 weights with a scale for each row; linear layers compute with
 *   floats
 * @TANDEM_QUANTIZE_BF16: bfloat16 weights
 * @TANDEM_QUANTIZE_F16: IEEE half weights
 *
 * What tandem_quantize_model() makes of the weights of a model.
 */
typedef enum
{
  TANDEM_QUANTIZE_INT8,
  TANDEM_QUANTIZE_INT8_WEIGHTS,
  TANDEM_QUANTIZE_BF16,
  TANDEM_QUANTIZE_F16,
} TandemQuantizeFormat;

TANDEM_API
TandemTensor *tandem_quantize_rows (const TandemTensor *tensor, gboolean half_scales,
                                    TandemTensor **scales, GError **error);

TANDEM_API
char **tandem_quantize_list_tensors (TandemModel *model);

TANDEM_API
gboolean tandem_quantize_model (TandemModel *model, TandemQuantizeFormat format,
                                const char *const *kept, const char *folder,
                                TandemModelExportFlags flags, GCancellable *cancellable,
                                GError **error);

G_END_DECLS
