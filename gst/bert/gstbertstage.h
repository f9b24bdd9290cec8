/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gst/base/gstbasetransform.h>

G_BEGIN_DECLS

#define GST_TYPE_BERT_STAGE (gst_bert_stage_get_type ())
G_DECLARE_FINAL_TYPE (GstBertStage, gst_bert_stage, GST, BERT_STAGE, GstBaseTransform)

G_END_DECLS
