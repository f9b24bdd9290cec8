/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The wire format: the EVENT frames of training. See tandem-frame.c. */

#include "config.h"

#include "tandem-frame-private.h"

#define TRAINING_SIZE 88
#define NUMBERED_SIZE 12
#define STEP_SIZE 24
#define GRADIENT_SIZE 40

/* With the last field, which is left out where it is 0. */
#define TRAINING_LONG_SIZE 96
#define GRADIENT_LONG_SIZE 48

#define TRAINING_FLAG_COSINE (1u << 0)

/**
 * tandem_frame_get_gradient_size: (skip)
 * @info: the caps of a stream
 * @n_rows: rows of one of its micro-batches
 *
 * Returns: bytes of the gradient of that micro-batch: float32 for each element,
 *   whatever the format of the rows is; nothing for tokens
 */
guint64
tandem_frame_get_gradient_size (const TandemStreamInfo *info, guint n_rows)
{
  guint64 n = info->kind == TANDEM_STREAM_ACTIVATIONS ? info->width
      : info->kind == TANDEM_STREAM_LOGITS ? info->classes : 0;

  return n * n_rows * sizeof (float);
}

static guint
begin (GByteArray *out, guint64 sequence, TandemFrameEvent kind)
{
  guint start = tandem_frame_begin (out, TANDEM_FRAME_EVENT, 0, sequence);

  put_u16 (out, kind);
  put_u16 (out, 0);
  return start;
}

static void
append_training (GByteArray *out, guint64 sequence, const TandemTrainingInfo *info)
{
  guint start = begin (out, sequence, TANDEM_FRAME_EVENT_TRAINING);

  put_u32 (out, info->schedule);
  put_u32 (out, info->micro_batches);
  put_u32 (out, info->cosine ? TRAINING_FLAG_COSINE : 0);
  put_f64 (out, info->learning_rate);
  put_f64 (out, info->weight_decay);
  put_f64 (out, info->beta1);
  put_f64 (out, info->beta2);
  put_f64 (out, info->epsilon);
  put_f64 (out, info->max_norm);
  put_u64 (out, info->warmup_steps);
  put_u64 (out, info->total_steps);
  put_u64 (out, info->first_step);
  if (info->earlier_step > 0)
    put_u64 (out, info->earlier_step);
  tandem_frame_end (out, start, NULL, 0);
}

static void
append_numbered (GByteArray *out, guint64 sequence, TandemFrameEvent kind, guint64 step)
{
  guint start = begin (out, sequence, kind);

  put_u64 (out, step);
  tandem_frame_end (out, start, NULL, 0);
}

static void
append_step (GByteArray *out, guint64 sequence, const TandemStepInfo *info)
{
  guint start = begin (out, sequence, TANDEM_FRAME_EVENT_STEP);

  put_u32 (out, info->n_sequences);
  put_u64 (out, info->step);
  put_f64 (out, info->squared_norm);
  tandem_frame_end (out, start, NULL, 0);
}

/**
 * tandem_frame_append_training_event: (skip)
 * @out: where to
 * @sequence: its sequence number
 * @event: any event
 *
 * Appends the frame of an event that goes down a pipeline that trains.
 *
 * Returns: %FALSE when @event is none of tandem_event_new_training(),
 *   tandem_event_new_drain(), tandem_event_new_step() and tandem_event_new_checkpoint();
 *   nothing is appended then
 */
gboolean
tandem_frame_append_training_event (GByteArray *out, guint64 sequence, GstEvent *event)
{
  TandemTrainingInfo training;
  TandemStepInfo step;
  guint64 number;

  if (tandem_event_parse_training (event, &training))
    append_training (out, sequence, &training);
  else if (tandem_event_parse_step (event, &step))
    append_step (out, sequence, &step);
  else if (tandem_event_parse_drain (event, &number))
    append_numbered (out, sequence, TANDEM_FRAME_EVENT_DRAIN, number);
  else if (tandem_event_parse_checkpoint (event, &number))
    append_numbered (out, sequence, TANDEM_FRAME_EVENT_CHECKPOINT, number);
  else
    return FALSE;
  return TRUE;
}

static GstEvent *
parse_training (const TandemFrame *frame, GError **error)
{
  const guint8 *p = frame->header;
  TandemTrainingInfo info;

  if (!tandem_frame_check_size (frame, "EVENT TRAINING", TRAINING_SIZE, error))
    return NULL;
  info.schedule = MIN (get_u32 (p + 4), G_MAXINT);
  info.micro_batches = get_u32 (p + 8);
  info.cosine = (get_u32 (p + 12) & TRAINING_FLAG_COSINE) != 0;
  info.learning_rate = get_f64 (p + 16);
  info.weight_decay = get_f64 (p + 24);
  info.beta1 = get_f64 (p + 32);
  info.beta2 = get_f64 (p + 40);
  info.epsilon = get_f64 (p + 48);
  info.max_norm = get_f64 (p + 56);
  info.warmup_steps = get_u64 (p + 64);
  info.total_steps = get_u64 (p + 72);
  info.first_step = get_u64 (p + 80);
  info.earlier_step = frame->header_size >= TRAINING_LONG_SIZE ? get_u64 (p + 88) : 0;
  if (!tandem_training_info_is_valid (&info)) {
    tandem_frame_malformed (error, "EVENT TRAINING", "a field is out of range");
    return NULL;
  }
  return tandem_event_new_training (&info);
}

/**
 * tandem_frame_parse_training_event: (skip)
 * @frame: an EVENT frame of one of the kinds from %TANDEM_FRAME_EVENT_TRAINING to
 *   %TANDEM_FRAME_EVENT_CHECKPOINT
 * @error: return location for a #TandemNetError
 *
 * Returns: (transfer full) (nullable): the event, or %NULL on
 *   %TANDEM_NET_ERROR_PROTOCOL
 */
GstEvent *
tandem_frame_parse_training_event (const TandemFrame *frame, GError **error)
{
  const guint8 *p = frame->header;
  TandemStepInfo info;
  guint kind;

  if (!tandem_frame_parse_event (frame, &kind, error))
    return NULL;
  switch (kind) {
    case TANDEM_FRAME_EVENT_TRAINING:
      return parse_training (frame, error);
    case TANDEM_FRAME_EVENT_DRAIN:
    case TANDEM_FRAME_EVENT_CHECKPOINT:
      if (!tandem_frame_check_size (frame, "EVENT", NUMBERED_SIZE, error))
        return NULL;
      return kind == TANDEM_FRAME_EVENT_DRAIN ? tandem_event_new_drain (get_u64 (p + 4))
                                              : tandem_event_new_checkpoint (get_u64 (p + 4));
    case TANDEM_FRAME_EVENT_STEP:
      if (!tandem_frame_check_size (frame, "EVENT STEP", STEP_SIZE, error))
        return NULL;
      info.n_sequences = get_u32 (p + 4);
      info.step = get_u64 (p + 8);
      info.squared_norm = get_f64 (p + 16);
      return tandem_event_new_step (&info);
    default:
      tandem_frame_malformed (error, "EVENT", "its kind is not one of training");
      return NULL;
  }
}

/**
 * tandem_frame_append_gradient: (skip)
 * @out: where to
 * @sequence: sequence number of the BUFFER whose gradient it is
 * @info: what goes with it
 * @payload: (array length=n_vectors): its rows
 * @n_vectors: how many pieces they have
 *
 * Appends the frame without the payload, whose bytes are to follow it on the
 * wire; they must be fewer than 2^32.
 */
void
tandem_frame_append_gradient (GByteArray *out, guint64 sequence, const TandemGradientInfo *info,
                              const GOutputVector *payload, guint n_vectors)
{
  guint start = begin (out, sequence, TANDEM_FRAME_EVENT_GRADIENT);

  put_u32 (out, info->depth);
  put_u64 (out, info->micro_batch);
  put_u32 (out, info->n_sequences);
  put_u32 (out, (guint32) info->n_correct);
  put_f64 (out, info->squared_norm);
  put_f64 (out, info->loss);
  if (info->step > 0)
    put_u64 (out, info->step);
  tandem_frame_end (out, start, payload, n_vectors);
}

/**
 * tandem_frame_parse_gradient: (skip)
 * @frame: an EVENT frame of the kind %TANDEM_FRAME_EVENT_GRADIENT, of which only
 *   the header need be there
 * @info: (out caller-allocates): what goes with the gradient
 * @error: return location for a #TandemNetError
 *
 * Returns: %FALSE on %TANDEM_NET_ERROR_PROTOCOL
 */
gboolean
tandem_frame_parse_gradient (const TandemFrame *frame, TandemGradientInfo *info, GError **error)
{
  const guint8 *p = frame->header;

  if (!tandem_frame_check_size (frame, "EVENT GRADIENT", GRADIENT_SIZE, error))
    return FALSE;
  info->depth = get_u32 (p + 4);
  info->micro_batch = get_u64 (p + 8);
  info->n_sequences = get_u32 (p + 16);
  info->n_correct = (gint32) get_u32 (p + 20);
  info->squared_norm = get_f64 (p + 24);
  info->loss = get_f64 (p + 32);
  info->step = frame->header_size >= GRADIENT_LONG_SIZE ? get_u64 (p + 40) : 0;
  if (get_u16 (p) != TANDEM_FRAME_EVENT_GRADIENT)
    return tandem_frame_malformed (error, "EVENT GRADIENT", "its kind is another");
  if (frame->sequence == 0)
    return tandem_frame_malformed (error, "EVENT GRADIENT", "it belongs to no micro-batch");
  if (info->n_correct < -1)
    return tandem_frame_malformed (error, "EVENT GRADIENT", "a field is out of range");
  return TRUE;
}
