/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tandem-tokenizer.h"

G_BEGIN_DECLS

/* The contents of a file of at most @limit bytes, with a zero byte behind them. */
char *tandem_tokenizer_read_file (const char *path, gsize limit, gsize *length, GError **error);

/* The vocabulary of a tokenizer.json, one entry a line in the order of their ids;
 * changes @flags as the file says. */
GBytes *tandem_tokenizer_load_json (const char *path, TandemTokenizerFlags *flags, GError **error);

/* Changes @flags as tokenizer_config.json of @folder says, where there is one. */
gboolean tandem_tokenizer_apply_config (const char *folder, TandemTokenizerFlags *flags,
                                        GError **error);

G_END_DECLS
