/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What travels through a pipeline that trains, beside its buffers: custom events, each a structure
 * of a name and of named fields. */

#include "config.h"

#include "tandem-training-events.h"

#include <math.h>

#define TRAINING "tandem-training"
#define DRAIN "tandem-drain"
#define STEP "tandem-step"
#define CHECKPOINT "tandem-checkpoint"
#define GRADIENT "tandem-gradient"

static const GstStructure *
get_structure (GstEvent *event, GstEventType type, const char *name)
{
  const GstStructure *s;

  if (event == NULL || GST_EVENT_TYPE (event) != type)
    return NULL;
  s = gst_event_get_structure (event);
  return s != NULL && gst_structure_has_name (s, name) ? s : NULL;
}

static GstEvent *
new_numbered (const char *name, guint64 step)
{
  return gst_event_new_custom (GST_EVENT_CUSTOM_DOWNSTREAM,
                               gst_structure_new (name, "step", G_TYPE_UINT64, step, NULL));
}

static gboolean
parse_numbered (GstEvent *event, const char *name, guint64 *step)
{
  const GstStructure *s = get_structure (event, GST_EVENT_CUSTOM_DOWNSTREAM, name);

  return s != NULL && gst_structure_get (s, "step", G_TYPE_UINT64, step, NULL);
}

/**
 * tandem_training_info_is_valid:
 * @info: what stages are to agree on
 *
 * A rate, a decay, an epsilon and a norm are finite and not negative, betas are
 * below 1, a step has a micro-batch, an earlier step is one before the first, and
 * the schedule is one of #TandemScheduleKind.
 *
 * Returns: whether stages can train so
 */
gboolean
tandem_training_info_is_valid (const TandemTrainingInfo *info)
{
  const double values[] = {
    info->learning_rate, info->weight_decay, info->beta1, info->beta2, info->epsilon,
    info->max_norm,
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (values); i++) {
    if (!isfinite (values[i]) || values[i] < 0.0)
      return FALSE;
  }
  return (guint) info->schedule <= TANDEM_SCHEDULE_1F1B && info->micro_batches >= 1 &&
      info->beta1 < 1.0 && info->beta2 < 1.0 &&
      (info->earlier_step == 0 || info->earlier_step < info->first_step);
}

/**
 * tandem_event_new_training:
 * @info: what all stages agree on; see tandem_training_info_is_valid()
 *
 * Makes the event that goes down the pipeline before the first micro-batch of a
 * stream that trains. It is serialized with the buffers, and it is sticky: an
 * element that is linked later gets it too.
 *
 * Returns: (transfer full): the event
 */
GstEvent *
tandem_event_new_training (const TandemTrainingInfo *info)
{
  g_return_val_if_fail (tandem_training_info_is_valid (info), NULL);
  return gst_event_new_custom (GST_EVENT_CUSTOM_DOWNSTREAM_STICKY,
      gst_structure_new (TRAINING,
          "schedule", G_TYPE_UINT, (guint) info->schedule,
          "micro-batches", G_TYPE_UINT, info->micro_batches,
          "learning-rate", G_TYPE_DOUBLE, info->learning_rate,
          "weight-decay", G_TYPE_DOUBLE, info->weight_decay,
          "beta1", G_TYPE_DOUBLE, info->beta1,
          "beta2", G_TYPE_DOUBLE, info->beta2,
          "epsilon", G_TYPE_DOUBLE, info->epsilon,
          "max-norm", G_TYPE_DOUBLE, info->max_norm,
          "warmup-steps", G_TYPE_UINT64, info->warmup_steps,
          "total-steps", G_TYPE_UINT64, info->total_steps,
          "cosine", G_TYPE_BOOLEAN, info->cosine != FALSE,
          "first-step", G_TYPE_UINT64, info->first_step,
          "earlier-step", G_TYPE_UINT64, info->earlier_step, NULL));
}

/**
 * tandem_event_parse_training:
 * @event: any event
 * @info: (out caller-allocates): what all stages agree on; undefined on failure
 *
 * Returns: whether @event is a valid one of tandem_event_new_training(): with every
 *   field, of its type, and within its range
 */
gboolean
tandem_event_parse_training (GstEvent *event, TandemTrainingInfo *info)
{
  const GstStructure *s = get_structure (event, GST_EVENT_CUSTOM_DOWNSTREAM_STICKY, TRAINING);
  guint schedule;

  if (s == NULL ||
      !gst_structure_get (s, "schedule", G_TYPE_UINT, &schedule,
                          "micro-batches", G_TYPE_UINT, &info->micro_batches,
                          "learning-rate", G_TYPE_DOUBLE, &info->learning_rate,
                          "weight-decay", G_TYPE_DOUBLE, &info->weight_decay,
                          "beta1", G_TYPE_DOUBLE, &info->beta1,
                          "beta2", G_TYPE_DOUBLE, &info->beta2,
                          "epsilon", G_TYPE_DOUBLE, &info->epsilon,
                          "max-norm", G_TYPE_DOUBLE, &info->max_norm,
                          "warmup-steps", G_TYPE_UINT64, &info->warmup_steps,
                          "total-steps", G_TYPE_UINT64, &info->total_steps,
                          "cosine", G_TYPE_BOOLEAN, &info->cosine,
                          "first-step", G_TYPE_UINT64, &info->first_step,
                          "earlier-step", G_TYPE_UINT64, &info->earlier_step, NULL) ||
      schedule > TANDEM_SCHEDULE_1F1B)
    return FALSE;
  info->schedule = schedule;
  return tandem_training_info_is_valid (info);
}

/**
 * tandem_event_new_drain:
 * @step: which step, counted from 0
 *
 * Makes the event that goes down the pipeline behind the last micro-batch of a
 * step: each stage finishes whatever it has in flight. Serialized.
 *
 * Returns: (transfer full): the event
 */
GstEvent *
tandem_event_new_drain (guint64 step)
{
  return new_numbered (DRAIN, step);
}

/**
 * tandem_event_parse_drain:
 * @event: any event
 * @step: (out): which step, counted from 0
 *
 * Returns: whether @event is a well-formed one of tandem_event_new_drain()
 */
gboolean
tandem_event_parse_drain (GstEvent *event, guint64 *step)
{
  return parse_numbered (event, DRAIN, step);
}

/**
 * tandem_event_new_step:
 * @info: what a stage needs to know to update its weights
 *
 * Makes the event that goes down the pipeline when all gradients of a step are
 * there: each stage updates its weights. Serialized.
 *
 * Returns: (transfer full): the event
 */
GstEvent *
tandem_event_new_step (const TandemStepInfo *info)
{
  return gst_event_new_custom (GST_EVENT_CUSTOM_DOWNSTREAM,
      gst_structure_new (STEP,
          "step", G_TYPE_UINT64, info->step,
          "n-sequences", G_TYPE_UINT, info->n_sequences,
          "squared-norm", G_TYPE_DOUBLE, info->squared_norm, NULL));
}

/**
 * tandem_event_parse_step:
 * @event: any event
 * @info: (out caller-allocates): what the step is; undefined on failure. Its norm may be
 *   infinite or not a number, when training diverged
 *
 * Returns: whether @event is a well-formed one of tandem_event_new_step()
 */
gboolean
tandem_event_parse_step (GstEvent *event, TandemStepInfo *info)
{
  const GstStructure *s = get_structure (event, GST_EVENT_CUSTOM_DOWNSTREAM, STEP);

  return s != NULL &&
      gst_structure_get (s, "step", G_TYPE_UINT64, &info->step,
                         "n-sequences", G_TYPE_UINT, &info->n_sequences,
                         "squared-norm", G_TYPE_DOUBLE, &info->squared_norm, NULL);
}

/**
 * tandem_event_new_checkpoint:
 * @step: how many steps are done
 *
 * Makes the event that goes down the pipeline behind a step: each stage writes
 * its checkpoint. Serialized.
 *
 * Returns: (transfer full): the event
 */
GstEvent *
tandem_event_new_checkpoint (guint64 step)
{
  return new_numbered (CHECKPOINT, step);
}

/**
 * tandem_event_parse_checkpoint:
 * @event: any event
 * @step: (out): how many steps are done
 *
 * Returns: whether @event is a well-formed one of tandem_event_new_checkpoint()
 */
gboolean
tandem_event_parse_checkpoint (GstEvent *event, guint64 *step)
{
  return parse_numbered (event, CHECKPOINT, step);
}

/**
 * tandem_event_new_gradient:
 * @info: what goes with the gradient
 * @rows: (transfer none): rows of float32, little-endian as all rows are; not
 *   copied, and they must not change any more
 *
 * Makes the event that goes up the pipeline: the gradient of the sum of the
 * losses with respect to the buffer that the receiver of the event sent. Any thread may
 * send it.
 *
 * Returns: (transfer full): the event, which keeps a reference to @rows
 */
GstEvent *
tandem_event_new_gradient (const TandemGradientInfo *info, GstBuffer *rows)
{
  g_return_val_if_fail (GST_IS_BUFFER (rows), NULL);
  return gst_event_new_custom (GST_EVENT_CUSTOM_UPSTREAM,
      gst_structure_new (GRADIENT,
          "micro-batch", G_TYPE_UINT64, info->micro_batch,
          "depth", G_TYPE_UINT, info->depth,
          "squared-norm", G_TYPE_DOUBLE, info->squared_norm,
          "n-sequences", G_TYPE_UINT, info->n_sequences,
          "loss", G_TYPE_DOUBLE, info->loss,
          "n-correct", G_TYPE_INT, info->n_correct,
          "step", G_TYPE_UINT64, info->step,
          "rows", GST_TYPE_BUFFER, rows, NULL));
}

/**
 * tandem_event_parse_gradient:
 * @event: any event
 * @info: (out caller-allocates): what goes with the gradient; undefined on failure. The
 *   loss and the norm may be infinite or not numbers, when training diverged
 * @rows: (out) (transfer none): rows of float32, as long as @event lives
 *
 * Returns: whether @event is a well-formed one of tandem_event_new_gradient()
 */
gboolean
tandem_event_parse_gradient (GstEvent *event, TandemGradientInfo *info, GstBuffer **rows)
{
  const GstStructure *s = get_structure (event, GST_EVENT_CUSTOM_UPSTREAM, GRADIENT);
  const GValue *value = s != NULL ? gst_structure_get_value (s, "rows") : NULL;

  if (value == NULL || !GST_VALUE_HOLDS_BUFFER (value))
    return FALSE;
  *rows = gst_value_get_buffer (value);
  return *rows != NULL &&
      gst_structure_get (s, "micro-batch", G_TYPE_UINT64, &info->micro_batch,
                         "depth", G_TYPE_UINT, &info->depth,
                         "squared-norm", G_TYPE_DOUBLE, &info->squared_norm,
                         "n-sequences", G_TYPE_UINT, &info->n_sequences,
                         "loss", G_TYPE_DOUBLE, &info->loss,
                         "n-correct", G_TYPE_INT, &info->n_correct,
                         "step", G_TYPE_UINT64, &info->step, NULL) &&
      info->n_correct >= -1;
}
