/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How stages begin: the first says how all train, and all agree after which step they go on. */

#include "config.h"

#include "bert-trainer-private.h"

/* Microseconds that those behind have to answer; another device may still connect. */
#define ANNOUNCEMENT_TIMEOUT (60 * G_TIME_SPAN_SECOND)

static gboolean
read_checkpoint (BertTrainer *self, guint64 step, GError **error)
{
  BertCheckpoint at;

  if (!bert_checkpoint_read (self->stage, self->settings.checkpoint, step, &at, error))
    return FALSE;
  self->step = self->saved_step = at.step;
  self->n_to_skip = at.micro_batches;
  return TRUE;
}

gboolean
bert_trainer_resume (BertTrainer *self, GError **error)
{
  if (!self->settings.resume || self->settings.checkpoint == NULL)
    return TRUE;
  return bert_checkpoint_find (self->stage, self->settings.checkpoint, &self->found, error) &&
      (self->found.n == 0 || read_checkpoint (self, self->found.steps[0], error));
}

void
bert_trainer_take_announcement (BertTrainer *self, TandemGradientInfo info)
{
  g_autoptr (GstBuffer) nothing = gst_buffer_new ();

  g_mutex_lock (&self->lock);
  self->limit = info.depth + 1;
  if (info.step > 0)
    self->agreed_step = info.step;
  info.step = self->agreed_step;
  g_cond_signal (&self->cond);
  g_mutex_unlock (&self->lock);
  info.depth++;
  if (self->row_size > 0)
    self->callbacks.push_up (tandem_event_new_gradient (&info, nothing), self->user_data);
}

static gboolean
wait_for_announcement (BertTrainer *self, GError **error)
{
  gint64 end = g_get_monotonic_time () + ANNOUNCEMENT_TIMEOUT;
  gboolean in_time = TRUE;

  g_mutex_lock (&self->lock);
  while (self->limit == 0 && !self->flushing && in_time)
    in_time = g_cond_wait_until (&self->cond, &self->lock, end);
  if (self->flushing)
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "the pipeline was flushed");
  else if (self->limit == 0)
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                         "no loss behind this stage says that it is there: end the pipeline with "
                         "sentimentloss");
  g_mutex_unlock (&self->lock);
  return error == NULL || *error == NULL;
}

/* Whether this stage can go on after a step; without a checkpoint it begins anew. */
static gboolean
has_step (BertTrainer *self, guint64 step)
{
  if (self->found.n == 0)
    return step == 0;
  return step == self->found.steps[0] || (self->found.n > 1 && step == self->found.steps[1]);
}

/* What the stages before this one said, and it too. Those behind it can say no to either step, and
 * the announcement which it is. */
static void
set_info (BertTrainer *self, const TandemTrainingInfo *info)
{
  self->info = *info;
  self->has_info = TRUE;
  g_mutex_lock (&self->lock);
  self->agreed_step = info->first_step;
  g_mutex_unlock (&self->lock);
}

gboolean
bert_trainer_settle (BertTrainer *self, GError **error)
{
  guint64 from = self->step, to;

  if (self->is_settled)
    return TRUE;
  g_mutex_lock (&self->lock);
  to = self->agreed_step;
  g_mutex_unlock (&self->lock);
  if (!has_step (self, to)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 "the stages behind this one go on after step %" G_GUINT64_FORMAT ", which it does "
                 "not have", to);
    return FALSE;
  }
  if (to != from) {
    if (!read_checkpoint (self, to, error))
      return FALSE;
    self->callbacks.went_back (from, to, self->user_data);
  }
  self->is_settled = TRUE;
  return TRUE;
}

gboolean
bert_trainer_lead (BertTrainer *self, GError **error)
{
  TandemTrainingInfo info;

  if (self->row_size > 0) {
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED,
                         "the stage before this one does not train: set trainable=true there, "
                         "too");
    return FALSE;
  }
  self->is_first = TRUE;
  info = self->settings.info;
  info.first_step = self->step;
  info.earlier_step = self->found.n > 1 ? self->found.steps[1] : 0;
  set_info (self, &info);
  if (bert_trainer_is_masked_lm (self))
    return bert_trainer_settle (self, error);
  if (!self->callbacks.push_down (tandem_event_new_training (&self->info), self->user_data)) {
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED,
                         "what is behind this stage does not train");
    return FALSE;
  }
  return wait_for_announcement (self, error) && bert_trainer_settle (self, error);
}

static char *
describe_steps (guint64 last, guint64 earlier)
{
  return earlier > 0 ? g_strdup_printf ("%" G_GUINT64_FORMAT " or %" G_GUINT64_FORMAT, last,
                                        earlier)
                     : g_strdup_printf ("%" G_GUINT64_FORMAT, last);
}

gboolean
bert_trainer_follow (BertTrainer *self, TandemTrainingInfo info, GError **error)
{
  gboolean last = has_step (self, info.first_step);
  gboolean earlier = info.earlier_step > 0 && has_step (self, info.earlier_step);

  if (!last && !earlier) {
    g_autofree char *theirs = describe_steps (info.first_step, info.earlier_step);
    g_autofree char *own =
        describe_steps (self->step, self->found.n > 1 ? self->found.steps[1] : 0);
    gboolean resumes = self->settings.resume && self->settings.checkpoint != NULL;

    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED,
                 "no step is in the checkpoints of all stages: those before this one can go on "
                 "after step %s, this one (%s) after step %s", theirs,
                 resumes ? self->settings.checkpoint : "no checkpoint to resume", own);
    return FALSE;
  }
  if (!last)
    info.first_step = info.earlier_step;
  if (!last || !earlier)
    info.earlier_step = 0;
  set_info (self, &info);
  return self->callbacks.push_down (tandem_event_new_training (&info), self->user_data);
}
