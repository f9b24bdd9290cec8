/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tandem-train-state.h"

G_BEGIN_DECLS

/* Writes the folder of the model before the first step. */
gboolean train_make_initial (const TrainOptions *options, const char *folder,
                             GCancellable *cancellable, GError **error);

/* Reads "0-0,1-", which must name each layer once, in order. Returns (transfer container)
 * "0-0" and "1-5", for a model of six. name: of the option, for messages. */
GPtrArray *train_parse_stages (const char *name, const char *text, guint n_layers,
                               GError **error);

/* Puts the best weights and the learning curve, and stage files with --split, into OUTPUT. */
gboolean train_publish (const TrainOptions *options, const TrainState *state,
                        GCancellable *cancellable, GError **error);

G_END_DECLS
