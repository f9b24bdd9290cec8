/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tandem-tokenizer.h"
#include "tandem-word-trie-private.h"

G_BEGIN_DECLS

enum
{
  TANDEM_TOKENIZER_INITIAL,
  TANDEM_TOKENIZER_CONTINUATION,
};

/* The special tokens; a vocabulary has to have the first ones. */
enum
{
  TANDEM_TOKENIZER_UNK,
  TANDEM_TOKENIZER_CLS,
  TANDEM_TOKENIZER_SEP,
  TANDEM_TOKENIZER_N_REQUIRED,
  TANDEM_TOKENIZER_PAD = TANDEM_TOKENIZER_N_REQUIRED,
  TANDEM_TOKENIZER_MASK,
  TANDEM_TOKENIZER_N_SPECIALS,
};

/* What a byte of text is. */
enum
{
  TANDEM_TOKENIZER_WORD,
  TANDEM_TOKENIZER_SPACE,
  TANDEM_TOKENIZER_PUNCTUATION,
  TANDEM_TOKENIZER_REMOVED,
  /* part of a character beyond ASCII */
  TANDEM_TOKENIZER_WIDE,
};

/* Immutable once made. */
struct _TandemTokenizer
{
  GObject parent;

  TandemTokenizerFlags flags;
  guint size;
  /* size entries, all of them in storage */
  const char **tokens;
  char *storage;
  gsize storage_size;
  char *fingerprint;

  TandemWordTrie trie;
  struct
  {
    const char *name;
    gsize length;
    gint32 id;
  } specials[TANDEM_TOKENIZER_N_SPECIALS];
  guint8 classes[256];
  guint8 lower[256];
};

G_END_DECLS
