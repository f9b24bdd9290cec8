/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Weights out of a model's files. Not a part of the public API. */
#pragma once

#include "model/tandem-bert-layer.h"
#include "tensor/tandem-memory.h"

G_BEGIN_DECLS

/* A copy of a whole tensor as floats, for tandem_memory_free(); the pages of the file
 * are given back. */
float *tandem_bert_load (TandemModel *model, const char *name, GError **error);

/* The rows of several linear layers with the same input, one below the other. */
TandemLinear *tandem_bert_load_linear (TandemModel *model, const char *const *names, guint n_names,
                                       guint n_in, guint n_out_each,
                                       TandemLinearPrecision precision, GError **error);

gboolean tandem_bert_load_norm (TandemModel *model, const char *name, TandemNorm *norm,
                                GError **error);

void tandem_bert_norm_clear (TandemNorm *norm);

G_END_DECLS
