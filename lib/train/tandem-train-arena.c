/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "train/tandem-train-arena.h"

#include "tensor/tandem-memory.h"

/* Floats that pieces are a multiple of. */
#define PIECE 16

/* A block that was used for less than this part of it is given up. */
#define SMALL_PART 4

struct _TandemTrainArena
{
  float *block;
  gsize size;                   /* of the block */
  gsize taken;                  /* of the block */
  GPtrArray *others;            /* pieces that the block had no room for */
  gsize wanted;                 /* by all pieces together */
};

TandemTrainArena *
tandem_train_arena_new (void)
{
  TandemTrainArena *arena = g_new0 (TandemTrainArena, 1);

  arena->others = g_ptr_array_new_with_free_func (tandem_memory_free);
  return arena;
}

void
tandem_train_arena_free (TandemTrainArena *arena)
{
  if (arena == NULL)
    return;
  g_ptr_array_unref (arena->others);
  tandem_memory_free (arena->block);
  g_free (arena);
}

float *
tandem_train_arena_take (TandemTrainArena *arena, gsize n)
{
  gsize whole = (n + PIECE - 1) / PIECE * PIECE;
  float *piece;

  arena->wanted += whole;
  if (whole > arena->size - arena->taken) {
    piece = tandem_memory_new (whole, sizeof (float));
    g_ptr_array_add (arena->others, piece);
    return piece;
  }
  piece = arena->block + arena->taken;
  arena->taken += whole;
  return piece;
}

void
tandem_train_arena_empty (TandemTrainArena *arena)
{
#ifndef __SANITIZE_ADDRESS__
  /* Otherwise every piece is by itself, so that what lies beside it is watched. */
  if (arena->others->len > 0 || arena->wanted < arena->size / SMALL_PART) {
    tandem_memory_free (arena->block);
    /* With room for micro-batches that are a little larger: what is not touched costs nothing. */
    arena->size = arena->wanted + arena->wanted / 8;
    arena->block = tandem_memory_new (arena->size, sizeof (float));
  }
#endif
  g_ptr_array_set_size (arena->others, 0);
  arena->taken = 0;
  arena->wanted = 0;
}
