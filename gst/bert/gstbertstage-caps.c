/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which streams bertstage takes and gives. */

#include "config.h"

#include <glib/gi18n-lib.h>

#include "gstbertstage-private.h"

gboolean
gst_bert_stage_describe_streams (GstBertStage *self, TandemModel *model, guint first, guint last,
                                 GError **error)
{
  const TandemModelConfig *config = tandem_model_get_config (model);
  const char *fingerprint = tandem_model_get_fingerprint (model);

  if (first == 0) {
    g_autoptr (TandemTokenizer) tokenizer = tandem_model_get_tokenizer (model, error);

    if (tokenizer == NULL)
      return FALSE;
    self->input.kind = TANDEM_STREAM_TOKENS;
    g_strlcpy (self->input.fingerprint, tandem_tokenizer_get_fingerprint (tokenizer),
               sizeof self->input.fingerprint);
  } else {
    self->input.kind = TANDEM_STREAM_ACTIVATIONS;
    g_strlcpy (self->input.fingerprint, fingerprint, sizeof self->input.fingerprint);
    self->input.layer = first;
    self->input.width = config->hidden_size;
    self->input.format = TANDEM_ROW_FORMAT_F32LE;
  }

  g_strlcpy (self->output.fingerprint, fingerprint, sizeof self->output.fingerprint);
  if (last + 1 == config->n_layers) {
    self->output.kind = TANDEM_STREAM_LOGITS;
    self->output.classes = config->n_classes;
    self->output.labels = g_strdupv (config->labels);
  } else {
    self->output.kind = TANDEM_STREAM_ACTIVATIONS;
    self->output.layer = last + 1;
    self->output.width = config->hidden_size;
    self->output.format = TANDEM_ROW_FORMAT_F32LE;
  }
  return TRUE;
}

GstCaps *
gst_bert_stage_transform_caps (GstBaseTransform *trans, GstPadDirection direction, GstCaps *caps,
                               GstCaps *filter)
{
  GstBertStage *self = GST_BERT_STAGE (trans);
  GstPad *other = direction == GST_PAD_SINK ? GST_BASE_TRANSFORM_SRC_PAD (trans)
      : GST_BASE_TRANSFORM_SINK_PAD (trans);
  GstCaps *result;

  /* The sink takes any stream here, and set_caps() refuses the wrong one with a
   * sentence, where a caps query could only say no. */
  if (direction == GST_PAD_SINK && (self->stage != NULL || self->trainer != NULL))
    result = tandem_stream_info_to_caps (&self->output);
  else
    result = gst_pad_get_pad_template_caps (other);
  if (filter != NULL) {
    GstCaps *both = gst_caps_intersect_full (filter, result, GST_CAPS_INTERSECT_FIRST);

    gst_caps_unref (result);
    result = both;
  }
  return result;
}

gboolean
gst_bert_stage_set_caps (GstBaseTransform *trans, GstCaps *in_caps, GstCaps *out_caps)
{
  GstBertStage *self = GST_BERT_STAGE (trans);
  g_auto (TandemStreamInfo) info = { 0 };
  g_autofree char *got = NULL;
  g_autofree char *wanted = tandem_stream_info_describe (&self->input);
  g_autoptr (GError) error = NULL;

  if (!tandem_stream_info_from_caps (&info, in_caps, &error)) {
    GST_ELEMENT_ERROR (self, STREAM, FORMAT, (_("The stream before this stage is not valid.")),
                       ("%s", error->message));
    return FALSE;
  }
  if (tandem_stream_info_is_equal (&info, &self->input))
    return TRUE;

  got = tandem_stream_info_describe (&info);
  if (info.kind == TANDEM_STREAM_TOKENS && self->input.kind == TANDEM_STREAM_TOKENS)
    GST_ELEMENT_ERROR (self, STREAM, WRONG_TYPE,
                       (_("The vocabulary of the tokens is not this model's: give tokenize the "
                          "same model.")), ("this stage takes %s; it gets %s", wanted, got));
  else
    GST_ELEMENT_ERROR (self, STREAM, WRONG_TYPE,
                       (_("This stage takes %s, but the one before it gives %s."), wanted, got),
                       ("check model= and layers= of both"));
  return FALSE;
}

gboolean
gst_bert_stage_answer_accepted (GstBertStage *self, GstQuery *query)
{
  g_autoptr (GstCaps) caps = NULL;
  gboolean is_open;

  GST_OBJECT_LOCK (self);
  is_open = self->stage != NULL || self->trainer != NULL;
  GST_OBJECT_UNLOCK (self);
  if (!is_open)
    return FALSE;
  caps = tandem_stream_info_to_caps (&self->input);
  tandem_query_set_accepted (query, caps, self->last_layer);
  return TRUE;
}
