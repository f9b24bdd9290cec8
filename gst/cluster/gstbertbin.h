/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

#define GST_TYPE_BERT_BIN (gst_bert_bin_get_type ())
G_DECLARE_FINAL_TYPE (GstBertBin, gst_bert_bin, GST, BERT_BIN, GstBin)

GST_ELEMENT_REGISTER_DECLARE (bertbin)

G_END_DECLS
