/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-word-trie-private.h"
#include "tensor/tandem-memory.h"

/* Makes room for @max_nodes nodes at a load of three quarters or less: the smaller the
 * table, the more of it the caches keep. */
void
tandem_word_trie_init (TandemWordTrie *trie, gsize max_nodes)
{
  guint bits = 4;
  guint32 i;

  g_assert (max_nodes <= TANDEM_WORD_TRIE_MAX_BYTES);
  while (((gsize) 3 << bits) / 4 < max_nodes)
    bits++;
  trie->mask = ((guint32) 1 << bits) - 1;
  trie->shift = 32 - bits;
  trie->slots = tandem_memory_new ((gsize) trie->mask + 1, sizeof *trie->slots);
  for (i = 0; i <= trie->mask; i++) {
    trie->slots[i].key = TANDEM_WORD_TRIE_EMPTY;
    trie->slots[i].value = TANDEM_WORD_TRIE_NONE;
  }
}

void
tandem_word_trie_clear (TandemWordTrie *trie)
{
  g_clear_pointer (&trie->slots, tandem_memory_free);
}

/* Adds a word of at least one byte. Returns FALSE when it is there already. */
gboolean
tandem_word_trie_insert (TandemWordTrie *trie, guint root, const guint8 *word, gsize length,
                         gint32 value)
{
  guint32 node = tandem_word_trie_root (trie, root);
  gsize n;

  for (n = 0; n < length; n++) {
    guint32 key = node << 8 | word[n];
    guint32 i = (key * 0x9E3779B1u) >> trie->shift;

    while (trie->slots[i].key != key && trie->slots[i].key != TANDEM_WORD_TRIE_EMPTY)
      i = (i + 1) & trie->mask;
    trie->slots[i].key = key;
    node = i;
  }
  if (trie->slots[node].value != TANDEM_WORD_TRIE_NONE)
    return FALSE;
  trie->slots[node].value = value;
  return TRUE;
}
