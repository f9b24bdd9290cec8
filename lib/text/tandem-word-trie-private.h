/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The most bytes that all words of a trie may have together: node numbers
 * leave 8 bits of a 32-bit key to the next byte, at up to twice as many slots. */
#define TANDEM_WORD_TRIE_MAX_BYTES (4u << 20)

/* No word ends at this node. */
#define TANDEM_WORD_TRIE_NONE (-1)

/* A byte trie in one open-addressed hash table: a node's number is the slot of the
 * edge that leads to it, so that one probe gives both the next node and its word. */
typedef struct
{
  /* parent << 8 | byte, or TANDEM_WORD_TRIE_EMPTY */
  guint32 key;
  gint32 value;
} TandemWordTrieSlot;

#define TANDEM_WORD_TRIE_EMPTY G_MAXUINT32

typedef struct
{
  TandemWordTrieSlot *slots;
  guint32 mask;
  guint shift;
} TandemWordTrie;

void tandem_word_trie_init (TandemWordTrie *trie, gsize max_nodes);

void tandem_word_trie_clear (TandemWordTrie *trie);

gboolean tandem_word_trie_insert (TandemWordTrie *trie, guint root, const guint8 *word,
                                  gsize length, gint32 value);

/* The roots of two tries that share the table. */
static inline guint32
tandem_word_trie_root (const TandemWordTrie *trie, guint root)
{
  return trie->mask + 1 + root;
}

/* Follows @byte from @node. Returns the slot, whose number is the next node, or NULL. */
static inline const TandemWordTrieSlot *
tandem_word_trie_next (const TandemWordTrie *trie, guint32 node, guint8 byte)
{
  guint32 key = node << 8 | byte;
  guint32 i = (key * 0x9E3779B1u) >> trie->shift;

  while (trie->slots[i].key != key) {
    if (trie->slots[i].key == TANDEM_WORD_TRIE_EMPTY)
      return NULL;
    i = (i + 1) & trie->mask;
  }
  return &trie->slots[i];
}

G_END_DECLS
