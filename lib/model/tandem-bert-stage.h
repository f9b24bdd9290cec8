/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "tandem-export.h"
#include "model/tandem-model.h"

G_BEGIN_DECLS

/**
 * TandemPrecision:
 * @TANDEM_PRECISION_F32: 32-bit floats; int8 where the model is quantized for it
 *   (%TANDEM_QUANTIZATION_INT8) and the processor gains by it
 * @TANDEM_PRECISION_BF16: products of bfloat16 numbers, summed in 32-bit floats;
 *   everything else stays in 32-bit floats
 *
 * What the linear layers of a stage compute with.
 */
typedef enum
{
  TANDEM_PRECISION_F32,
  TANDEM_PRECISION_BF16,
} TandemPrecision;

/**
 * TandemBertStageFlags:
 * @TANDEM_BERT_STAGE_NONE: a stage with the model's last layer ends in logits
 * @TANDEM_BERT_STAGE_HIDDEN: give the rows of the last layer instead, and need
 *   no pooler and classifier
 *
 * Options of a stage.
 */
typedef enum /*< flags >*/
{
  TANDEM_BERT_STAGE_NONE = 0,
  TANDEM_BERT_STAGE_HIDDEN = 1 << 0,
} TandemBertStageFlags;

/**
 * TANDEM_BERT_STAGE_MAX_THREADS:
 *
 * The most threads that one stage may use.
 */
#define TANDEM_BERT_STAGE_MAX_THREADS 256

#define TANDEM_TYPE_BERT_STAGE (tandem_bert_stage_get_type ())

TANDEM_API
G_DECLARE_FINAL_TYPE (TandemBertStage, tandem_bert_stage, TANDEM, BERT_STAGE, GObject)

TANDEM_API
gboolean tandem_precision_is_supported (TandemPrecision precision);

TANDEM_API
gboolean tandem_int8_is_used (void);

TANDEM_API
TandemBertStage *tandem_bert_stage_new (TandemModel *model, guint first_layer, guint last_layer,
                                        TandemPrecision precision, guint n_threads,
                                        TandemBertStageFlags flags, GError **error);

TANDEM_API
TandemModel *tandem_bert_stage_get_model (TandemBertStage *self);

TANDEM_API
void tandem_bert_stage_get_layers (TandemBertStage *self, guint *first, guint *last);

TANDEM_API
gboolean tandem_bert_stage_runs_int8 (TandemBertStage *self);

TANDEM_API
char **tandem_bert_stage_list_sparse (TandemBertStage *self);

TANDEM_API
gboolean tandem_bert_stage_takes_tokens (TandemBertStage *self);

TANDEM_API
gboolean tandem_bert_stage_gives_logits (TandemBertStage *self);

TANDEM_API
gboolean tandem_bert_stage_forward_tokens (TandemBertStage *self, const gint32 *ids,
                                           guint n_sequences, const guint32 *offsets,
                                           float *output, GCancellable *cancellable,
                                           GError **error);

TANDEM_API
gboolean tandem_bert_stage_forward_rows (TandemBertStage *self, const float *rows,
                                         guint n_sequences, const guint32 *offsets,
                                         float *output, GCancellable *cancellable,
                                         GError **error);

G_END_DECLS
