/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One run of the pipeline that trains, from a checkpoint to the next one:
 *
 *   appsrc ! tokenize ! microbatch ! queue ! bertstage ! [queue ! bertstage ! ...] sentimentloss
 *
 * (a masked language model: fakesink in place of the loss).
 *
 * A thread of its own feeds it. The reviews of all epochs are one stream, in which position p is
 * review order[p modulo n] of epoch p / n; micro-batches and steps are counted from its start.
 * Where a checkpoint was, the first stage passes over the micro-batches that were done; for these
 * the texts are empty, since only their number matters. */

#include "config.h"

#include "tandem-train-pipeline.h"

#include <glib/gi18n-lib.h>
#include <gst/app/gstappsrc.h>
#include <math.h>

#include "tandem-train-prune.h"
#include "tandem.h"

/* How long a signal may go unnoticed. */
#define POLL_TIME (100 * GST_MSECOND)

typedef struct
{
  const TrainSetup *setup;
  GstElement *pipeline;
  GstAppSrc *source;
  GPtrArray *stages;            /* of GstElement, borrowed from the pipeline */
  guint64 done, end;            /* positions in the stream */
  gboolean failed;              /* the pipeline did not start */
  gint stop;                    /* atomic: end behind the step that was begun */
} Run;

char *
train_pipeline_get_file (const char *work, guint index)
{
  g_autofree char *name = g_strdup_printf ("stage-%u.safetensors", index);

  return g_build_filename (work, name, NULL);
}

static gpointer
feed (gpointer user_data)
{
  Run *run = user_data;
  const TrainData *data = run->setup->data;
  guint step_size = train_options_get_step_size (run->setup->options);
  guint64 n = data->train->len, epoch = G_MAXUINT64, p;
  g_autofree guint32 *order = NULL;

  for (p = 0; p < run->end; p++) {
    GstBuffer *buffer;
    gint32 label = 0;
    guint64 id = 0;

    if (p < run->done) {
      buffer = gst_buffer_new ();
    } else {
      const TrainReview *review;

      if (p % step_size == 0 && g_atomic_int_get (&run->stop))
        break;
      if (p / n != epoch) {
        epoch = p / n;
        g_free (order);
        order = train_data_shuffle (data, run->setup->options->seed, epoch);
      }
      review = &g_array_index (data->train, TrainReview, order[p % n]);
      buffer = g_bytes_get_size (review->text) > 0 ? gst_buffer_new_wrapped_bytes (review->text)
                                                   : gst_buffer_new ();
      label = review->label;
      /* Dropout differs from epoch to epoch; the teacher's rows do not. */
      id = epoch * n + order[p % n];
    }
    tandem_buffer_add_batch_meta (buffer, 1, NULL, &id, &label);
    if (gst_app_src_push_buffer (run->source, buffer) != GST_FLOW_OK)
      return NULL;
  }
  gst_app_src_end_of_stream (run->source);
  return NULL;
}

/* Adds an element behind *last. */
static GstElement *
add (Run *run, GstElement **last, const char *factory, GError **error)
{
  GstElement *element = gst_element_factory_make (factory, NULL);

  if (element == NULL) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                 _("there is no GStreamer element \"%s\"; see that GST_PLUGIN_PATH names its "
                   "plugin"), factory);
    return NULL;
  }
  gst_bin_add (GST_BIN (run->pipeline), element);
  if (*last != NULL && !gst_element_link (*last, element)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s does not link", factory);
    return NULL;
  }
  *last = element;
  return element;
}

static GstElement *
add_queue (Run *run, GstElement **last, GError **error)
{
  GstElement *queue = add (run, last, "queue", error);

  if (queue != NULL)
    g_object_set (queue, "max-size-buffers", 2u, "max-size-bytes", 0u, "max-size-time",
                  G_GUINT64_CONSTANT (0), NULL);
  return queue;
}

static gboolean
add_stages (Run *run, GstElement **last, const char *work, GError **error)
{
  const TrainSetup *setup = run->setup;
  const TrainOptions *options = setup->options;
  g_autofree char *masks = train_prune_get_file (work);
  guint i;

  for (i = 0; i < setup->layers->len; i++) {
    g_autofree char *file = train_pipeline_get_file (work, i);
    GstElement *stage;

    if (add_queue (run, last, error) == NULL ||
        (stage = add (run, last, "bertstage", error)) == NULL)
      return FALSE;
    g_object_set (stage, "model", setup->model, "layers",
                  (const char *) g_ptr_array_index (setup->layers, i), "trainable", TRUE,
                  "learning-rate", options->learning_rate, "weight-decay", options->weight_decay,
                  "max-norm", options->max_norm, "warmup-steps",
                  (guint64) ceil (options->warmup * setup->total_steps), "total-steps",
                  setup->total_steps, "cosine", g_str_equal (options->decay, "cosine"), "dropout",
                  options->dropout, "seed", options->seed, "checkpoint", file, "resume", TRUE,
                  "micro-batches",
                  (guint) (train_options_get_step_size (options) / options->micro_batch), NULL);
    gst_util_set_object_arg (G_OBJECT (stage), "schedule", options->schedule);
    if (train_options_is_masked_lm (options))
      gst_util_set_object_arg (G_OBJECT (stage), "task", "masked-lm");
    if (g_file_test (masks, G_FILE_TEST_EXISTS))
      g_object_set (stage, "mask", masks, NULL);
    /* Only the first stage has tokens, which the teacher needs, too. */
    if (i == 0 && options->hidden > 0.0)
      g_object_set (stage, "hidden-teacher", options->teacher, "hidden-layers",
                    options->hidden_layers, "hidden-weight", options->hidden, NULL);
    g_ptr_array_add (run->stages, stage);
  }
  return TRUE;
}

static gboolean
build (Run *run, const char *work, GError **error)
{
  const TrainOptions *options = run->setup->options;
  g_autoptr (GstCaps) caps = gst_caps_from_string (TANDEM_CAPS_TEXT);
  GstElement *element, *last = NULL;

  if ((element = add (run, &last, "appsrc", error)) == NULL)
    return FALSE;
  run->source = GST_APP_SRC (element);
  g_object_set (element, "caps", caps, "format", GST_FORMAT_TIME, "block", TRUE, "max-bytes",
                G_GUINT64_CONSTANT (0), "max-buffers", options->micro_batch, NULL);
  if ((element = add (run, &last, "tokenize", error)) == NULL)
    return FALSE;
  g_object_set (element, "model", run->setup->model, "max-length", (guint) options->max_length,
                NULL);
  if ((element = add (run, &last, "microbatch", error)) == NULL)
    return FALSE;
  /* By number alone: empty texts must make the same micro-batches as the real ones did. */
  g_object_set (element, "size", (guint) options->micro_batch, "max-tokens", (guint) G_MAXINT,
                NULL);
  if (!add_stages (run, &last, work, error))
    return FALSE;
  if (train_options_is_masked_lm (options))
    return add (run, &last, "fakesink", error) != NULL;
  if ((element = add (run, &last, "sentimentloss", error)) == NULL)
    return FALSE;
  g_object_set (element, "label-smoothing", options->label_smoothing, NULL);
  if (run->setup->teacher != NULL)
    g_object_set (element, "teacher", run->setup->teacher, "alpha", options->alpha, "temperature",
                  options->temperature, NULL);
  return TRUE;
}

static gboolean
parse_step (GstMessage *message, TrainStep *step)
{
  const GstStructure *s = gst_message_get_structure (message);

  if (s == NULL || !gst_structure_has_name (s, "tandem-step") ||
      !gst_structure_get (s, "step", G_TYPE_UINT64, &step->step, "sequences", G_TYPE_UINT64,
                          &step->n_sequences, "loss", G_TYPE_DOUBLE, &step->loss, "correct",
                          G_TYPE_INT64, &step->n_correct, "learning-rate", G_TYPE_DOUBLE,
                          &step->learning_rate, "norm", G_TYPE_DOUBLE, &step->norm, "in-flight",
                          G_TYPE_UINT, &step->in_flight, NULL))
    return FALSE;
  if (!gst_structure_get_uint64 (s, "tokens", &step->n_judged))
    step->n_judged = step->n_sequences;
  if (!gst_structure_get_double (s, "hidden-loss", &step->hidden_loss))
    step->hidden_loss = -1.0;
  if (step->n_judged == 0)
    step->n_correct = -1;
  return TRUE;
}

/* Both halves of an element's error: its sentence, and the detail behind the first line. */
static void
take_error (GstMessage *message, guint64 step, GError **error)
{
  g_autoptr (GError) local = NULL;
  g_autofree char *debug = NULL;
  const char *detail;

  gst_message_parse_error (message, &local, &debug);
  detail = debug != NULL ? strchr (debug, '\n') : NULL;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, _("in step %u: %s%s%s%s"), (guint) step,
               local->message, detail != NULL ? " (" : "", detail != NULL ? detail + 1 : "",
               detail != NULL ? ")" : "");
}

/* Takes messages until the stream has ended. */
static gboolean
watch (Run *run, guint64 *step, TrainStepFunc report, gpointer user_data,
       GCancellable *cancellable, GError **error)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (run->pipeline);

  for (;;) {
    g_autoptr (GstMessage) message = NULL;
    TrainStep now;

    if (g_cancellable_is_cancelled (cancellable))
      g_atomic_int_set (&run->stop, TRUE);
    message = gst_bus_timed_pop_filtered (bus, POLL_TIME, GST_MESSAGE_ELEMENT |
                                          GST_MESSAGE_ERROR | GST_MESSAGE_EOS);
    if (message == NULL && run->failed) {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED, _("the pipeline does not start"));
      return FALSE;
    }
    if (message == NULL)
      continue;
    if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_EOS)
      return TRUE;
    if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_ERROR) {
      take_error (message, *step + 1, error);
      return FALSE;
    }
    if (!parse_step (message, &now))
      continue;
    if (!isfinite (now.loss) || !isfinite (now.norm)) {
      g_set_error (error, TANDEM_TRAIN_ERROR, TANDEM_TRAIN_ERROR_NOT_FINITE,
                   _("in step %u: training diverged (loss %g, norm of the gradients %g); try a "
                     "lower --learning-rate"), (guint) now.step, now.loss, now.norm);
      return FALSE;
    }
    *step = now.step;
    report (&now, user_data);
  }
}

static GHashTable *
gather (Run *run)
{
  GHashTable *all = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                           (GDestroyNotify) tandem_tensor_unref);
  guint i;

  for (i = 0; i < run->stages->len; i++) {
    g_autoptr (TandemTrainStage) stage = NULL;
    g_autoptr (GHashTable) tensors = NULL;
    GHashTableIter iter;
    gpointer name, tensor;

    g_object_get (g_ptr_array_index (run->stages, i), "train-stage", &stage, NULL);
    tensors = tandem_train_stage_get_tensors (stage);
    g_hash_table_iter_init (&iter, tensors);
    while (g_hash_table_iter_next (&iter, &name, &tensor))
      g_hash_table_insert (all, g_strdup (name), tandem_tensor_ref (tensor));
  }
  return all;
}

gboolean
train_pipeline_run (const TrainSetup *setup, const char *work, guint64 *step, guint64 end,
                    TrainStepFunc report, gpointer user_data, GHashTable **tensors,
                    GCancellable *cancellable, GError **error)
{
  guint64 step_size = train_options_get_step_size (setup->options);
  guint64 n = setup->data->train->len * setup->options->epochs;
  g_autoptr (GstElement) pipeline = gst_object_ref_sink (gst_pipeline_new (NULL));
  g_autoptr (GPtrArray) stages = g_ptr_array_new ();
  Run run = {
    .setup = setup, .pipeline = pipeline, .stages = stages, .done = MIN (*step * step_size, n),
    .end = MIN (end * step_size, n)
  };
  GThread *feeder = NULL;
  gboolean ok;

  if (!build (&run, work, error))
    return FALSE;
  run.failed = gst_element_set_state (pipeline, GST_STATE_PLAYING) == GST_STATE_CHANGE_FAILURE;
  /* A source that was never started would let a push wait for ever. */
  if (!run.failed)
    feeder = g_thread_new ("feed", feed, &run);
  ok = watch (&run, step, report, user_data, cancellable, error);
  if (ok && tensors != NULL)
    *tensors = gather (&run);
  /* Ends a push that waits. */
  gst_element_set_state (pipeline, GST_STATE_NULL);
  if (feeder != NULL)
    g_thread_join (feeder);
  return ok;
}
