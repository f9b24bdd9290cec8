/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "bert-trainer-private.h"

#include <math.h>

typedef struct
{
  guint64 micro_batch;
  guint n_rows;
  guint n_sequences;
} Shape;

void
bert_trainer_settings_clear (BertTrainerSettings *settings)
{
  g_clear_pointer (&settings->checkpoint, g_free);
  g_clear_pointer (&settings->hidden_teacher, g_free);
  g_clear_pointer (&settings->hidden_layers, g_free);
  g_clear_pointer (&settings->mask, g_free);
}

void
bert_trainer_settings_copy (const BertTrainerSettings *settings, BertTrainerSettings *copy)
{
  *copy = *settings;
  copy->checkpoint = g_strdup (settings->checkpoint);
  copy->hidden_teacher = g_strdup (settings->hidden_teacher);
  copy->hidden_layers = g_strdup (settings->hidden_layers);
  copy->mask = g_strdup (settings->mask);
}

static TandemTrainStage *
open_stage (TandemModel *model, guint first, guint last, const BertTrainerSettings *settings,
            GError **error)
{
  TandemTrainOptions options = settings->options;
  g_autoptr (TandemModel) teacher = NULL;
  g_autoptr (TandemMasks) masks = NULL;

  if (settings->hidden_teacher != NULL && *settings->hidden_teacher != '\0') {
    teacher = tandem_model_open (settings->hidden_teacher, NULL, error);
    if (teacher == NULL) {
      g_prefix_error (error, "the teacher: ");
      return NULL;
    }
  }
  if (settings->mask != NULL && *settings->mask != '\0') {
    masks = tandem_masks_load (settings->mask, model, error);
    if (masks == NULL)
      return NULL;
  }
  options.masks = masks;
  options.teacher = teacher;
  options.teacher_layers = settings->hidden_layers;
  options.teacher_weight = settings->hidden_weight;
  return tandem_train_stage_new (model, first, last, &options, error);
}

BertTrainer *
bert_trainer_new (TandemModel *model, guint first, guint last, const BertTrainerSettings *settings,
                  const BertTrainerCallbacks *callbacks, gpointer user_data, GError **error)
{
  g_autoptr (BertTrainer) self = g_new0 (BertTrainer, 1);

  g_mutex_init (&self->lock);
  g_cond_init (&self->cond);
  g_queue_init (&self->gradients);
  g_queue_init (&self->shapes);
  bert_trainer_settings_copy (settings, &self->settings);
  self->callbacks = *callbacks;
  self->user_data = user_data;
  self->stage = open_stage (model, first, last, settings, error);
  if (self->stage == NULL)
    return NULL;
  if (!tandem_train_stage_takes_tokens (self->stage))
    self->row_size = tandem_model_get_config (model)->hidden_size * sizeof (float);
  return g_steal_pointer (&self);
}

void
bert_trainer_free (BertTrainer *self)
{
  if (self == NULL)
    return;
  g_queue_clear_full (&self->gradients, (GDestroyNotify) gst_event_unref);
  g_queue_clear_full (&self->shapes, g_free);
  g_clear_object (&self->stage);
  bert_trainer_settings_clear (&self->settings);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->cond);
  g_free (self);
}

gboolean
bert_trainer_is_masked_lm (BertTrainer *self)
{
  return self->settings.options.masked_lm;
}

TandemTrainStage *
bert_trainer_get_stage (BertTrainer *self)
{
  return self->stage;
}

void
bert_trainer_add_gradient (BertTrainer *self, GstEvent *event)
{
  TandemGradientInfo info;
  GstBuffer *rows;

  if (tandem_event_parse_gradient (event, &info, &rows) &&
      info.micro_batch == TANDEM_GRADIENT_ANNOUNCEMENT) {
    bert_trainer_take_announcement (self, info);
    return;
  }
  g_mutex_lock (&self->lock);
  g_queue_push_tail (&self->gradients, gst_event_ref (event));
  g_cond_signal (&self->cond);
  g_mutex_unlock (&self->lock);
}

void
bert_trainer_set_flushing (BertTrainer *self, gboolean flushing)
{
  g_mutex_lock (&self->lock);
  self->flushing = flushing;
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->lock);
}

static void
clear_step (BertTrainer *self)
{
  self->n_in_step = 0;
  self->sequences_in_step = 0;
  self->loss_in_step = 0.0;
  self->correct_in_step = 0;
  self->tokens_in_step = 0;
  self->squared_norm = 0.0;
}

void
bert_trainer_reset (BertTrainer *self)
{
  g_mutex_lock (&self->lock);
  g_queue_clear_full (&self->gradients, (GDestroyNotify) gst_event_unref);
  g_mutex_unlock (&self->lock);
  g_queue_clear_full (&self->shapes, g_free);
  tandem_train_stage_forget (self->stage);
  clear_step (self);
  /* Whoever sends gradients counts from 0 again, too; those before were of this training. */
  self->n_to_skip += self->next_micro_batch;
  self->n_skipped += self->next_micro_batch;
  self->next_micro_batch = 0;
}

/* Waits for the next gradient. */
static GstEvent *
next_gradient (BertTrainer *self, GError **error)
{
  GstEvent *event;

  g_mutex_lock (&self->lock);
  while (g_queue_is_empty (&self->gradients) && !self->flushing)
    g_cond_wait (&self->cond, &self->lock);
  event = self->flushing ? NULL : g_queue_pop_head (&self->gradients);
  if (self->flushing)
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "the pipeline was flushed");
  g_mutex_unlock (&self->lock);
  return event;
}

/* Weights change by the gradients of the mean loss, over sequences or masked tokens. */
static gboolean
update (BertTrainer *self, guint64 n_sequences, double squared_norm, GError **error)
{
  /* Of short texts nothing may have been masked. */
  guint64 n = bert_trainer_is_masked_lm (self) ? MAX (self->tokens_in_step, 1) : n_sequences;
  double norm = sqrt (squared_norm) / n;
  TandemTrainUpdate step = {
    .step = self->step + 1,
    .learning_rate =
        tandem_schedule_get_rate (self->info.learning_rate, self->info.warmup_steps,
                                  self->info.total_steps, self->info.cosine, self->step),
    .beta1 = self->info.beta1, .beta2 = self->info.beta2, .epsilon = self->info.epsilon,
    .weight_decay = self->info.weight_decay,
    .scale = tandem_schedule_get_clip_scale (norm, self->info.max_norm) / n
  };
  BertTrainerReport report = {
    .step = step.step, .n_sequences = n_sequences, .loss = self->loss_in_step / n,
    .n_tokens = self->tokens_in_step, .n_correct = self->correct_in_step,
    .has_teacher = tandem_train_stage_has_teacher (self->stage),
    .hidden_loss = tandem_train_stage_get_hidden_loss (self->stage) / n,
    .learning_rate = step.learning_rate, .norm = norm, .max_in_flight = self->max_in_flight
  };

  if (!isfinite (squared_norm)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 "the gradients of step %" G_GUINT64_FORMAT " are not finite: training diverged; "
                 "lower the learning rate", step.step);
    return FALSE;
  }
  tandem_train_stage_update (self->stage, &step);
  self->step++;
  clear_step (self);
  if (self->is_first)
    self->callbacks.report (&report, self->user_data);
  return TRUE;
}

static gboolean
save (BertTrainer *self, GError **error)
{
  BertCheckpoint at = { self->step, self->n_to_skip + self->next_micro_batch };

  self->saved_step = self->step;
  return self->settings.checkpoint == NULL ||
      bert_checkpoint_write (self->stage, self->settings.checkpoint, &at, error);
}

/* The first stage decides when all of them write. */
static gboolean
is_save_due (BertTrainer *self)
{
  guint64 interval = self->settings.checkpoint_interval;

  return interval > 0 && self->step >= self->saved_step + interval;
}

static gboolean
save_all (BertTrainer *self, GError **error)
{
  if (self->saved_step == self->step)
    return TRUE;
  if (!bert_trainer_is_masked_lm (self) &&
      !self->callbacks.push_down (tandem_event_new_checkpoint (self->step), self->user_data)) {
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "the pipeline does not run");
    return FALSE;
  }
  return save (self, error);
}

static Shape *
take_shape (BertTrainer *self, guint64 micro_batch)
{
  GList *l;

  for (l = self->shapes.head; l != NULL; l = l->next) {
    Shape *shape = l->data;

    if (shape->micro_batch != micro_batch)
      continue;
    g_queue_delete_link (&self->shapes, l);
    return shape;
  }
  return NULL;
}

/* Runs the backward pass that event asks for and sends the gradient on. last: it may be the last
 * one of its step, so that the norm goes with it. */
static gboolean
run_backward (BertTrainer *self, GstEvent *event, gboolean last, GError **error)
{
  TandemGradientInfo info;
  g_autofree Shape *shape = NULL;
  g_autoptr (GstBuffer) up = NULL;
  GstBuffer *rows;
  GstMapInfo in, out = GST_MAP_INFO_INIT;
  double behind;
  gboolean ok;

  if (!tandem_event_parse_gradient (event, &info, &rows) ||
      (shape = take_shape (self, info.micro_batch)) == NULL ||
      shape->n_sequences != info.n_sequences) {
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                         "a gradient came that belongs to no micro-batch in flight");
    return FALSE;
  }
  if (self->row_size > 0) {
    up = gst_buffer_new_allocate (NULL, shape->n_rows * self->row_size, NULL);
    gst_buffer_map (up, &out, GST_MAP_WRITE);
  }
  gst_buffer_map (rows, &in, GST_MAP_READ);
  ok = tandem_train_stage_backward (self->stage, info.micro_batch, (const float *) in.data,
                                    in.size / sizeof (float), (float *) out.data, error);
  gst_buffer_unmap (rows, &in);
  if (up != NULL)
    gst_buffer_unmap (up, &out);
  if (!ok) {
    g_prefix_error (error, "step %" G_GUINT64_FORMAT ": ", self->step + 1);
    return FALSE;
  }

  self->loss_in_step += info.loss;
  /* One micro-batch without labels, and nobody knows it of the step. */
  self->correct_in_step = info.n_correct < 0 || self->correct_in_step < 0
      ? -1 : self->correct_in_step + info.n_correct;
  behind = info.squared_norm;
  if (last)
    self->squared_norm = tandem_train_stage_add_squared_norm (self->stage, behind);
  if (up != NULL) {
    info.depth++;
    info.squared_norm = last ? self->squared_norm : 0.0;
    if (!self->callbacks.push_up (tandem_event_new_gradient (&info, up), self->user_data)) {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE,
                   "nobody before this stage takes the gradient of micro-batch %"
                   G_GUINT64_FORMAT, info.micro_batch);
      return FALSE;
    }
  }
  if (self->info.schedule != TANDEM_SCHEDULE_1F1B)
    return TRUE;
  /* Each backward pass is a step; the norm is this stage's own. */
  return update (self, info.n_sequences,
                 tandem_train_stage_add_squared_norm (self->stage, 0.0), error);
}

/* Backward passes until no more than most micro-batches are in flight, and no others: what a
 * stage does must not depend on when gradients arrive. */
static gboolean
reduce (BertTrainer *self, guint most, GError **error)
{
  guint in_flight;

  while ((in_flight = tandem_train_stage_get_n_in_flight (self->stage)) > most) {
    g_autoptr (GstEvent) event = next_gradient (self, error);

    /* With nothing left in flight it may have been the last one. */
    if (event == NULL || !run_backward (self, event, in_flight == 1, error))
      return FALSE;
  }
  return TRUE;
}

/* All stages finish what is in flight and change their weights together. */
static gboolean
finish_step (BertTrainer *self, GError **error)
{
  TandemStepInfo info;

  if (self->n_in_step == 0 && tandem_train_stage_get_n_in_flight (self->stage) == 0)
    return TRUE;
  if (bert_trainer_is_masked_lm (self))
    return update (self, self->sequences_in_step,
                   tandem_train_stage_add_squared_norm (self->stage, 0.0), error);
  if (!self->callbacks.push_down (tandem_event_new_drain (self->step), self->user_data)) {
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "the pipeline does not run");
    return FALSE;
  }
  if (!reduce (self, 0, error))
    return FALSE;
  if (self->info.schedule == TANDEM_SCHEDULE_1F1B)
    return TRUE;
  info = (TandemStepInfo) { self->step, self->sequences_in_step, self->squared_norm };
  self->callbacks.push_down (tandem_event_new_step (&info), self->user_data);
  return update (self, info.n_sequences, info.squared_norm, error);
}

/* Whether the step has all of its micro-batches. */
static gboolean
is_step_full (BertTrainer *self)
{
  if (self->info.schedule == TANDEM_SCHEDULE_1F1B)
    return bert_trainer_is_masked_lm (self) && self->n_in_step > 0;
  return self->n_in_step == self->info.micro_batches;
}

/* Whether one more micro-batch may be in flight, with what it takes until it may. */
static gboolean
make_room (BertTrainer *self, GError **error)
{
  guint most;

  if (self->info.schedule == TANDEM_SCHEDULE_GPIPE) {
    if (tandem_train_stage_get_n_in_flight (self->stage) <= self->info.micro_batches)
      return TRUE;
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 "more micro-batches came than the %u that a step has", self->info.micro_batches);
    return FALSE;
  }
  /* The limit came before the first buffer: the first stage waited for it. */
  g_mutex_lock (&self->lock);
  most = MAX (self->limit, 1) - 1;
  g_mutex_unlock (&self->lock);
  return reduce (self, most, error);
}

gboolean
bert_trainer_begin (BertTrainer *self, gboolean *skip, GError **error)
{
  *skip = FALSE;
  if (!self->has_info ? !bert_trainer_lead (self, error) : !bert_trainer_settle (self, error))
    return FALSE;
  if (self->is_first && self->n_skipped < self->n_to_skip) {
    self->n_skipped++;
    *skip = TRUE;
    return TRUE;
  }
  if (self->is_first && is_step_full (self) && !finish_step (self, error))
    return FALSE;
  if (self->is_first && is_save_due (self) &&
      (!finish_step (self, error) || !save_all (self, error)))
    return FALSE;
  return TRUE;
}

/* Where in the training the next forward pass is. With 1f1b micro-batches before it may be in
 * flight, each of which will be a step. */
static void
prefix_place (BertTrainer *self, GError **error)
{
  guint64 ahead = self->info.schedule == TANDEM_SCHEDULE_1F1B
      ? tandem_train_stage_get_n_in_flight (self->stage) : 0;

  g_prefix_error (error, "step %" G_GUINT64_FORMAT ", micro-batch %" G_GUINT64_FORMAT ": ",
                  self->step + ahead + 1, self->next_micro_batch);
}

gboolean
bert_trainer_end (BertTrainer *self, GError **error)
{
  return make_room (self, error);
}

gboolean
bert_trainer_forward (BertTrainer *self, gconstpointer input, const TandemBatchMeta *meta,
                      float *output, GError **error)
{
  Shape *shape;

  if (!tandem_train_stage_forward (self->stage, self->next_micro_batch, input, meta->n_sequences,
                                   meta->offsets, meta->ids, output, error)) {
    prefix_place (self, error);
    return FALSE;
  }
  shape = g_new (Shape, 1);
  *shape = (Shape) { self->next_micro_batch, meta->offsets[meta->n_sequences], meta->n_sequences };
  g_queue_push_tail (&self->shapes, shape);
  self->next_micro_batch++;
  self->n_in_step++;
  self->sequences_in_step += meta->n_sequences;
  self->max_in_flight = MAX (self->max_in_flight,
                             tandem_train_stage_get_n_in_flight (self->stage));
  return TRUE;
}

gboolean
bert_trainer_masked_step (BertTrainer *self, const gint32 *ids, const TandemBatchMeta *meta,
                          GError **error)
{
  TandemLoss loss = { 0 };

  if (!tandem_train_stage_masked_step (self->stage, ids, meta->n_sequences, meta->offsets,
                                       meta->ids, &loss, error)) {
    prefix_place (self, error);
    return FALSE;
  }
  self->next_micro_batch++;
  self->n_in_step++;
  self->sequences_in_step += meta->n_sequences;
  self->loss_in_step += loss.sum;
  self->tokens_in_step += loss.n_rows;
  self->correct_in_step += loss.n_correct;
  self->max_in_flight = 1;
  return TRUE;
}

gboolean
bert_trainer_take_event (BertTrainer *self, GstEvent *event, gboolean *not_mine, GError **error)
{
  TandemTrainingInfo info;
  TandemStepInfo step;
  guint64 number;

  *not_mine = FALSE;
  if (tandem_event_parse_training (event, &info))
    return bert_trainer_follow (self, info, error);
  if (tandem_event_parse_drain (event, &number))
    /* Those behind begin to drain at once; their gradients come meanwhile. */
    return bert_trainer_settle (self, error) &&
        self->callbacks.push_down (gst_event_ref (event), self->user_data) &&
        reduce (self, 0, error);
  if (tandem_event_parse_step (event, &step)) {
    if (step.n_sequences == 0) {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "a step has no sequences");
      return FALSE;
    }
    if (!bert_trainer_settle (self, error) ||
        !update (self, step.n_sequences, step.squared_norm, error))
      return FALSE;
    return self->callbacks.push_down (gst_event_ref (event), self->user_data);
  }
  if (tandem_event_parse_checkpoint (event, &number))
    return bert_trainer_settle (self, error) &&
        self->callbacks.push_down (gst_event_ref (event), self->user_data) &&
        save (self, error);
  *not_mine = TRUE;
  return TRUE;
}

gboolean
bert_trainer_finish (BertTrainer *self, GError **error)
{
  if (!self->is_first)
    return reduce (self, 0, error);
  return finish_step (self, error) && save_all (self, error);
}
