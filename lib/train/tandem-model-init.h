/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "model/tandem-model.h"
#include "tandem-export.h"

G_BEGIN_DECLS

/**
 * TandemModelInitFlags:
 * @TANDEM_MODEL_INIT_NONE: embeddings and encoder layers alone
 * @TANDEM_MODEL_INIT_CLASSIFIER: pooler and classifier too
 * @TANDEM_MODEL_INIT_MASKED_LM: the head that predicts masked tokens too: "cls.predictions.…"
 *
 * Which parts a new model has.
 */
typedef enum /*< flags >*/
{
  TANDEM_MODEL_INIT_NONE = 0,
  TANDEM_MODEL_INIT_CLASSIFIER = 1 << 0,
  TANDEM_MODEL_INIT_MASKED_LM = 1 << 1,
} TandemModelInitFlags;

TANDEM_API
GHashTable *tandem_model_init_random (const char *config_text, TandemModelInitFlags flags,
                                      guint n_classes, guint64 seed, GError **error);

TANDEM_API
GHashTable *tandem_model_init_from (TandemModel *source, const char *config_text,
                                    TandemModelInitFlags flags, guint n_classes, guint64 seed,
                                    GError **error);

G_END_DECLS
