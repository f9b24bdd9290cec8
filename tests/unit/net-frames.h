/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One frame of each type, as version 1.0 wrote it. The bytes are kept in
 * tests/fuzz/corpus/frame/v1-NAME.bin and must never change. */

#include "tandem.h"

#include <string.h>

#define FINGERPRINT "3f2a1b0c0123456789abcdef0123456789abcdef0123456789abcdef01234567"
#define SAMPLE_WIDTH 3

static const char *const sample_names[] = {
  "hello-sender", "hello-receiver", "caps-tokens", "caps-activations", "caps-logits", "segment",
  "buffer", "event-keepalive", "event-done", "event-flush", "ack", "credit", "eos", "error",
  "hello-training", "event-training", "event-drain", "event-step", "event-checkpoint",
  "event-gradient", "event-training-earlier", "event-gradient-step",
};

static inline void
sample_stream_info (TandemStreamInfo *info, TandemStreamKind kind)
{
  static const char *const labels[] = { "negative", "positiv \303\244", NULL };

  memset (info, 0, sizeof *info);
  info->kind = kind;
  strcpy (info->fingerprint, FINGERPRINT);
  if (kind == TANDEM_STREAM_ACTIVATIONS) {
    info->layer = 2;
    info->width = SAMPLE_WIDTH;
  } else if (kind == TANDEM_STREAM_LOGITS) {
    info->classes = 2;
    info->labels = g_strdupv ((char **) labels);
  }
}

static inline GstBuffer *
sample_buffer (void)
{
  const guint32 offsets[] = { 0, 2, 3 };
  const guint64 ids[] = { 7, G_MAXUINT64 - 1 };
  const gint32 labels[] = { 1, -1 };
  float rows[3 * SAMPLE_WIDTH];
  GstBuffer *buffer;
  guint i;

  for (i = 0; i < G_N_ELEMENTS (rows); i++)
    rows[i] = (float) i / 8 - 0.5f;
  buffer = gst_buffer_new_memdup (rows, sizeof rows);
  GST_BUFFER_PTS (buffer) = 5 * GST_SECOND;
  GST_BUFFER_DURATION (buffer) = 17;
  GST_BUFFER_FLAG_SET (buffer, GST_BUFFER_FLAG_DISCONT | GST_BUFFER_FLAG_MARKER);
  tandem_buffer_add_batch_meta (buffer, 2, offsets, ids, labels);
  return buffer;
}

static inline void
sample_hello (TandemHello *hello, guint8 role)
{
  guint i;

  memset (hello, 0, sizeof *hello);
  hello->role = role;
  hello->max_payload = 1 << 20;
  hello->max_sequences = 512;
  for (i = 0; i < sizeof hello->stream_id; i++)
    hello->stream_id[i] = i + 1;
  hello->kind = TANDEM_STREAM_ACTIVATIONS;
  hello->formats = 1 << TANDEM_ROW_FORMAT_F32LE;
  hello->first_layer = 2;
  hello->width = SAMPLE_WIDTH;
  strcpy (hello->fingerprint, FINGERPRINT);
  if (role == TANDEM_ROLE_RECEIVER) {
    hello->keepalive = 1000;
    hello->resume = 41;
    hello->credit_frames = 8;
    hello->credit_bytes = 2 << 20;
    hello->last_layer = 11;
  } else {
    hello->resume = 42;
  }
}

static inline void
sample_append_buffer (GByteArray *out, guint64 sequence)
{
  g_autoptr (GstBuffer) buffer = sample_buffer ();
  g_auto (TandemStreamInfo) info = { 0 };
  g_autoptr (GError) error = NULL;
  GOutputVector vector;
  GstMapInfo map;

  sample_stream_info (&info, TANDEM_STREAM_ACTIVATIONS);
  gst_buffer_map (buffer, &map, GST_MAP_READ);
  vector.buffer = map.data;
  vector.size = map.size;
  tandem_frame_append_buffer (out, sequence, &info, buffer, &vector, 1, &error);
  g_assert_no_error (error);
  g_byte_array_append (out, map.data, map.size);
  gst_buffer_unmap (buffer, &map);
}

static inline void
sample_training (TandemTrainingInfo *info)
{
  *info = (TandemTrainingInfo) {
    .schedule = TANDEM_SCHEDULE_1F1B, .micro_batches = 16, .learning_rate = 0.0005,
    .weight_decay = 0.01, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .max_norm = 1.0,
    .warmup_steps = 100, .total_steps = 5000, .cosine = TRUE, .first_step = 250,
  };
}

static inline void
sample_gradient (TandemGradientInfo *info)
{
  *info = (TandemGradientInfo) {
    .micro_batch = 40, .depth = 1, .squared_norm = 0.1, .n_sequences = 2, .loss = 1.0 / 3,
    .n_correct = -1,
  };
}

static inline void
sample_append_gradient (GByteArray *out, guint64 sequence, guint64 step)
{
  g_autoptr (GstBuffer) buffer = sample_buffer ();
  TandemGradientInfo info;
  GOutputVector vector;
  GstMapInfo map;

  sample_gradient (&info);
  info.step = step;
  gst_buffer_map (buffer, &map, GST_MAP_READ);
  vector.buffer = map.data;
  vector.size = map.size;
  tandem_frame_append_gradient (out, sequence, &info, &vector, 1);
  g_byte_array_append (out, map.data, map.size);
  gst_buffer_unmap (buffer, &map);
}

static inline GstEvent *
sample_training_event (const char *name)
{
  const TandemStepInfo step = { .step = 250, .n_sequences = 512, .squared_norm = 2.0 / 3 };
  TandemTrainingInfo training;

  sample_training (&training);
  if (g_str_equal (name, "event-training"))
    return tandem_event_new_training (&training);
  training.earlier_step = 240;
  if (g_str_equal (name, "event-training-earlier"))
    return tandem_event_new_training (&training);
  if (g_str_equal (name, "event-drain"))
    return tandem_event_new_drain (250);
  if (g_str_equal (name, "event-step"))
    return tandem_event_new_step (&step);
  if (g_str_equal (name, "event-checkpoint"))
    return tandem_event_new_checkpoint (G_MAXUINT64 - 1);
  return NULL;
}

static inline GByteArray *
sample_frame (const char *name)
{
  GByteArray *out = g_byte_array_new ();
  g_auto (TandemStreamInfo) info = { 0 };
  const TandemAck ack = { .first = 3, .last = 5, .status = TANDEM_ACK_DROPPED };
  GstSegment segment;
  TandemHello hello;
  g_autoptr (GstEvent) event = sample_training_event (name);

  if (event != NULL) {
    g_assert_true (tandem_frame_append_training_event (out, 45, event));
  } else if (g_str_equal (name, "event-gradient")) {
    sample_append_gradient (out, 42, 0);
  } else if (g_str_equal (name, "event-gradient-step")) {
    sample_append_gradient (out, 42, 240);
  } else if (g_str_equal (name, "hello-training")) {
    sample_hello (&hello, TANDEM_ROLE_SENDER);
    hello.features = hello.features_required = TANDEM_FRAME_FEATURE_TRAINING;
    tandem_frame_append_hello (out, &hello);
  } else if (g_str_equal (name, "hello-sender")) {
    sample_hello (&hello, TANDEM_ROLE_SENDER);
    tandem_frame_append_hello (out, &hello);
  } else if (g_str_equal (name, "hello-receiver")) {
    sample_hello (&hello, TANDEM_ROLE_RECEIVER);
    tandem_frame_append_hello (out, &hello);
  } else if (g_str_equal (name, "caps-tokens")) {
    sample_stream_info (&info, TANDEM_STREAM_TOKENS);
    tandem_frame_append_caps (out, &info);
  } else if (g_str_equal (name, "caps-activations")) {
    sample_stream_info (&info, TANDEM_STREAM_ACTIVATIONS);
    tandem_frame_append_caps (out, &info);
  } else if (g_str_equal (name, "caps-logits")) {
    sample_stream_info (&info, TANDEM_STREAM_LOGITS);
    tandem_frame_append_caps (out, &info);
  } else if (g_str_equal (name, "segment")) {
    gst_segment_init (&segment, GST_FORMAT_TIME);
    segment.start = 3 * GST_SECOND;
    segment.stop = 9 * GST_SECOND;
    segment.time = 1;
    segment.rate = 1.5;
    tandem_frame_append_segment (out, &segment);
  } else if (g_str_equal (name, "buffer")) {
    sample_append_buffer (out, 42);
  } else if (g_str_equal (name, "event-keepalive")) {
    tandem_frame_append_event (out, 0, TANDEM_FRAME_EVENT_KEEPALIVE);
  } else if (g_str_equal (name, "event-done")) {
    tandem_frame_append_event (out, 0, TANDEM_FRAME_EVENT_DONE);
  } else if (g_str_equal (name, "event-flush")) {
    tandem_frame_append_event (out, 43, TANDEM_FRAME_EVENT_FLUSH);
  } else if (g_str_equal (name, "ack")) {
    tandem_frame_append_ack (out, &ack);
  } else if (g_str_equal (name, "credit")) {
    tandem_frame_append_credit (out, 9, G_GUINT64_CONSTANT (1) << 40);
  } else if (g_str_equal (name, "eos")) {
    tandem_frame_append_eos (out, 44);
  } else if (g_str_equal (name, "error")) {
    tandem_frame_append_error (out, TANDEM_NET_ERROR_LAYER,
                               "this device serves layers 2-11 of 3f2a1b0c; you sent layer 1");
  } else {
    g_assert_not_reached ();
  }
  return out;
}
