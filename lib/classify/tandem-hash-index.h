/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Numbers for 64-bit hashes: 0 for the first one that was added, 1 for the second, and so on. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define TANDEM_HASH_INDEX_NONE G_MAXUINT32

typedef struct
{
  guint64 *keys;                /* [n_slots], a power of two */
  guint32 *numbers;             /* TANDEM_HASH_INDEX_NONE: a free slot */
  gsize n_slots;
  guint64 secret;               /* another one in each index */
  guint n;
} TandemHashIndex;

TandemHashIndex *tandem_hash_index_new (void);

void tandem_hash_index_free (TandemHashIndex *self);

/* The number of a hash, which is new or known. */
guint32 tandem_hash_index_add (TandemHashIndex *self, guint64 hash);

/* TANDEM_HASH_INDEX_NONE: unknown. */
guint32 tandem_hash_index_find (const TandemHashIndex *self, guint64 hash);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemHashIndex, tandem_hash_index_free)

G_END_DECLS
