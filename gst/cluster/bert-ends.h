/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gstbertbin-private.h"

G_BEGIN_DECLS

/* What stands before and behind the stages of a chain. */
GstElement *bert_entry_new (GstBertBin *owner, BertChain *chain);
GstElement *bert_exit_new (GstBertBin *owner, BertChain *chain);

G_END_DECLS
