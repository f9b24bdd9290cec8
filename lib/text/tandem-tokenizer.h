/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "tandem-export.h"

G_BEGIN_DECLS

#define TANDEM_TOKENIZER_ERROR (tandem_tokenizer_error_quark ())

/**
 * TandemTokenizerError:
 * @TANDEM_TOKENIZER_ERROR_MISSING_TOKEN: the vocabulary lacks a special token
 * @TANDEM_TOKENIZER_ERROR_VOCABULARY: the vocabulary is not valid
 * @TANDEM_TOKENIZER_ERROR_UNSUPPORTED: a tokenizer.json of another kind
 *
 * What can be wrong with a tokenizer's files.
 */
typedef enum
{
  TANDEM_TOKENIZER_ERROR_MISSING_TOKEN,
  TANDEM_TOKENIZER_ERROR_VOCABULARY,
  TANDEM_TOKENIZER_ERROR_UNSUPPORTED,
} TandemTokenizerError;

TANDEM_API
GQuark tandem_tokenizer_error_quark (void);

/**
 * TandemTokenizerFlags:
 * @TANDEM_TOKENIZER_NONE: cased, nothing changed
 * @TANDEM_TOKENIZER_LOWER_CASE: lower-case the text
 * @TANDEM_TOKENIZER_STRIP_ACCENTS: remove combining marks after NFD
 * @TANDEM_TOKENIZER_SPLIT_CJK: make every CJK ideograph a word of its own
 * @TANDEM_TOKENIZER_CLEAN_TEXT: remove control characters, unify white space
 * @TANDEM_TOKENIZER_CUT_START: of a text that is too long, leave out the beginning and
 *   not the end ("truncation_side": "left")
 *
 * How BERT's basic tokenizer treats text.
 */
typedef enum /*< flags >*/
{
  TANDEM_TOKENIZER_NONE = 0,
  TANDEM_TOKENIZER_LOWER_CASE = 1 << 0,
  TANDEM_TOKENIZER_STRIP_ACCENTS = 1 << 1,
  TANDEM_TOKENIZER_SPLIT_CJK = 1 << 2,
  TANDEM_TOKENIZER_CLEAN_TEXT = 1 << 3,
  TANDEM_TOKENIZER_CUT_START = 1 << 4,
} TandemTokenizerFlags;

/**
 * TANDEM_TOKENIZER_MAX_TEXT:
 *
 * The longest text that is encoded at once, in bytes.
 */
#define TANDEM_TOKENIZER_MAX_TEXT (256 << 20)

#define TANDEM_TYPE_TOKENIZER (tandem_tokenizer_get_type ())

TANDEM_API
G_DECLARE_FINAL_TYPE (TandemTokenizer, tandem_tokenizer, TANDEM, TOKENIZER, GObject)

TANDEM_API
TandemTokenizer *tandem_tokenizer_new (GBytes *vocabulary, TandemTokenizerFlags flags,
                                       GError **error);

TANDEM_API
TandemTokenizer *tandem_tokenizer_new_from_path (const char *path, GError **error);

TANDEM_API
TandemTokenizerFlags tandem_tokenizer_get_flags (TandemTokenizer *self);

TANDEM_API
guint tandem_tokenizer_get_size (TandemTokenizer *self);

TANDEM_API
const char *tandem_tokenizer_get_fingerprint (TandemTokenizer *self);

TANDEM_API
GBytes *tandem_tokenizer_get_vocabulary (TandemTokenizer *self);

TANDEM_API
const char *tandem_tokenizer_get_token (TandemTokenizer *self, guint id);

TANDEM_API
gsize tandem_tokenizer_encode_into (TandemTokenizer *self, const char *text, gssize length,
                                    guint max_length, GArray *ids, guint *n_replaced);

TANDEM_API
gsize tandem_tokenizer_encode (TandemTokenizer *self, const char *text, gssize length,
                               guint max_length, gint32 **ids, guint *n_replaced);

TANDEM_API
void tandem_tokenizer_mark_used (TandemTokenizer *self, const char *text, gssize length,
                                 guint8 *used);

G_END_DECLS
