/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-word-trie-private.h"

/* Makes room for @max_nodes nodes at half load or less. */
void
tandem_word_trie_init (TandemWordTrie *trie, gsize max_nodes)
{
  guint bits = 4;
  guint32 i;

  g_assert (max_nodes <= TANDEM_WORD_TRIE_MAX_BYTES);
  while (((gsize) 1 << bits) < max_nodes * 2)
    bits++;
  trie->mask = ((guint32) 1 << bits) - 1;
  trie->shift = 32 - bits;
  trie->n_nodes = 0;
  trie->slots = g_new (TandemWordTrieSlot, (gsize) trie->mask + 1);
  for (i = 0; i <= trie->mask; i++) {
    trie->slots[i].key = TANDEM_WORD_TRIE_EMPTY;
    trie->slots[i].value = TANDEM_WORD_TRIE_NONE;
  }
}

void
tandem_word_trie_clear (TandemWordTrie *trie)
{
  g_clear_pointer (&trie->slots, g_free);
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
    if (trie->slots[i].key == TANDEM_WORD_TRIE_EMPTY) {
      trie->slots[i].key = key;
      trie->n_nodes++;
    }
    node = i;
  }
  if (trie->slots[node].value != TANDEM_WORD_TRIE_NONE)
    return FALSE;
  trie->slots[node].value = value;
  return TRUE;
}
