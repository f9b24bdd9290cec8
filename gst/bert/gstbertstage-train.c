/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How bertstage and its trainer meet. */

#include "config.h"

#include <glib/gi18n-lib.h>

#include "gstbertstage-private.h"

static gboolean
push_up (GstEvent *event, gpointer user_data)
{
  return gst_pad_push_event (GST_BASE_TRANSFORM_SINK_PAD (user_data), event);
}

static gboolean
push_down (GstEvent *event, gpointer user_data)
{
  return gst_pad_push_event (GST_BASE_TRANSFORM_SRC_PAD (user_data), event);
}

static void
report (const BertTrainerReport *report, gpointer user_data)
{
  GstStructure *s = gst_structure_new (
      "tandem-step", "step", G_TYPE_UINT64, report->step, "sequences", G_TYPE_UINT64,
      report->n_sequences, "loss", G_TYPE_DOUBLE, report->loss, "correct", G_TYPE_INT64,
      report->n_correct, "learning-rate", G_TYPE_DOUBLE, report->learning_rate, "norm",
      G_TYPE_DOUBLE, report->norm, "in-flight", G_TYPE_UINT, report->max_in_flight, NULL);

  if (report->has_teacher)
    gst_structure_set (s, "hidden-loss", G_TYPE_DOUBLE, report->hidden_loss, NULL);
  if (bert_trainer_is_masked_lm (GST_BERT_STAGE (user_data)->trainer))
    gst_structure_set (s, "tokens", G_TYPE_UINT64, report->n_tokens, NULL);
  gst_element_post_message (user_data, gst_message_new_element (GST_OBJECT (user_data), s));
}

static void
went_back (guint64 from, guint64 to, gpointer user_data)
{
  g_autofree char *newest = g_strdup_printf ("%" G_GUINT64_FORMAT, from);
  g_autofree char *step = g_strdup_printf ("%" G_GUINT64_FORMAT, to);

  GST_ELEMENT_INFO (user_data, RESOURCE, SYNC,
                    (_("Training goes on after step %s: of step %s not every stage has a "
                       "checkpoint."), step, newest), (NULL));
}

gboolean
gst_bert_stage_check_training (const BertTrainerSettings *settings, TandemPrecision precision,
                               guint n_threads, GError **error)
{
  gboolean has_teacher = settings->hidden_teacher != NULL && *settings->hidden_teacher != '\0';
  gboolean has_mask = settings->mask != NULL && *settings->mask != '\0';

  if (!settings->trainable && (has_teacher || has_mask || settings->options.masked_lm)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                 "%s: set trainable=true, too", has_teacher ? "hidden-teacher is for training"
                 : has_mask ? "mask is for training" : "task=masked-lm is a task of training");
    return FALSE;
  }
  if (settings->trainable && (precision != TANDEM_PRECISION_F32 || n_threads != 1)) {
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                         "a stage trains in float32 and on one thread: leave precision and "
                         "threads alone, and split the layers over more stages instead");
    return FALSE;
  }
  return TRUE;
}

gboolean
gst_bert_stage_open_trainer (GstBertStage *self, TandemModel *model, guint first, guint last,
                             const BertTrainerSettings *settings, GError **error)
{
  static const BertTrainerCallbacks callbacks = { push_up, push_down, report, went_back };
  BertTrainer *trainer =
      bert_trainer_new (model, first, last, settings, &callbacks, self, error);

  GST_OBJECT_LOCK (self);
  self->trainer = trainer;
  GST_OBJECT_UNLOCK (self);
  return trainer != NULL;
}

gboolean
gst_bert_stage_resume (GstBertStage *self)
{
  g_autoptr (GError) error = NULL;

  if (bert_trainer_resume (self->trainer, &error))
    return TRUE;
  GST_ELEMENT_ERROR (self, RESOURCE, READ,
                     (_("The checkpoint to resume cannot be used: %s"), error->message), (NULL));
  return FALSE;
}

static GstFlowReturn
fail (GstBertStage *self, const GError *error)
{
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return GST_FLOW_FLUSHING;
  if (error->domain == G_IO_ERROR && error->code == G_IO_ERROR_NO_SPACE)
    GST_ELEMENT_ERROR (self, RESOURCE, NO_SPACE_LEFT,
                       (_("The checkpoint could not be written: %s"), error->message), (NULL));
  else
    GST_ELEMENT_ERROR (self, STREAM, FAILED,
                       (_("Training cannot go on: %s"), error->message), (NULL));
  return GST_FLOW_ERROR;
}

GstFlowReturn
gst_bert_stage_train (GstBertStage *self, gconstpointer input, TandemBatchMeta *meta,
                      float *output)
{
  g_autoptr (GError) error = NULL;
  gboolean skip;

  if (!bert_trainer_begin (self->trainer, &skip, &error))
    return fail (self, error);
  if (skip)
    return GST_BASE_TRANSFORM_FLOW_DROPPED;
  if (bert_trainer_is_masked_lm (self->trainer)) {
    if (!bert_trainer_masked_step (self->trainer, input, meta, &error))
      return fail (self, error);
    tandem_batch_meta_complete (meta);
    return GST_BASE_TRANSFORM_FLOW_DROPPED;
  }
  if (!bert_trainer_forward (self->trainer, input, meta, output, &error))
    return fail (self, error);
  return GST_FLOW_OK;
}

GstFlowReturn
gst_bert_stage_train_end (GstBertStage *self)
{
  g_autoptr (GError) error = NULL;

  return bert_trainer_end (self->trainer, &error) ? GST_FLOW_OK : fail (self, error);
}

/* A stage that only runs would change what those that train learn from. */
static gboolean
refuse_training (GstBertStage *self, GstEvent *event)
{
  TandemTrainingInfo info;

  if (!tandem_event_parse_training (event, &info))
    return FALSE;
  GST_ELEMENT_ERROR (self, STREAM, WRONG_TYPE,
                     (_("The stage before this one trains, this one does not: set trainable=true "
                        "here, too.")), (NULL));
  return TRUE;
}

gboolean
gst_bert_stage_train_event (GstBertStage *self, GstEvent *event, gboolean *ok)
{
  g_autoptr (GError) error = NULL;
  gboolean not_mine = TRUE;

  if (self->trainer == NULL) {
    *ok = !refuse_training (self, event);
    return *ok;
  }
  *ok = TRUE;
  switch (GST_EVENT_TYPE (event)) {
    case GST_EVENT_EOS:
      *ok = bert_trainer_finish (self->trainer, &error);
      break;
    case GST_EVENT_CUSTOM_DOWNSTREAM:
    case GST_EVENT_CUSTOM_DOWNSTREAM_STICKY:
      *ok = bert_trainer_take_event (self->trainer, event, &not_mine, &error);
      break;
    case GST_EVENT_FLUSH_START:
      bert_trainer_set_flushing (self->trainer, TRUE);
      break;
    case GST_EVENT_FLUSH_STOP:
      bert_trainer_set_flushing (self->trainer, FALSE);
      bert_trainer_reset (self->trainer);
      break;
    default:
      break;
  }
  if (error != NULL)
    fail (self, error);
  return *ok && not_mine;
}

gboolean
gst_bert_stage_take_gradient (GstBertStage *self, GstEvent *event)
{
  TandemGradientInfo info;
  GstBuffer *rows;

  if (self->trainer == NULL || !tandem_event_parse_gradient (event, &info, &rows))
    return FALSE;
  bert_trainer_add_gradient (self->trainer, event);
  return TRUE;
}
