/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Memory of one micro-batch in flight, used again by a later one: pages that come fresh from the
 * system for each micro-batch cost a fifth of the time of a small model's step. Not a part of
 * the public API. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _TandemTrainArena TandemTrainArena;

TandemTrainArena *tandem_train_arena_new (void);

void tandem_train_arena_free (TandemTrainArena *arena);

/* n floats at a multiple of 64 bytes, until the arena is emptied or freed. Their contents are not
 * defined. */
float *tandem_train_arena_take (TandemTrainArena *arena, gsize n);

/* Takes back all pieces. The memory stays, unless it was too little or far too much. */
void tandem_train_arena_empty (TandemTrainArena *arena);

G_END_DECLS
