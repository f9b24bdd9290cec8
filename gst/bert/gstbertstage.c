/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * SECTION:element-bertstage
 *
 * Runs consecutive layers of a BERT model, so that a model can be spread over
 * the elements of a pipeline and over devices. The stage with layer 0 takes
 * packed tokens, any other the rows that the stage before it gives; the stage
 * with the last layer gives logits. Results are the same to the bit however the
 * model is split and whichever sequences share a buffer.
 *
 * In: tokens, int32 [tokens], or activations, float32 [tokens, width].
 * Out: activations, float32 [tokens, width], or logits, float32 [sequences, classes].
 *
 * |[
 * gst-launch-1.0 fdsrc ! lineparse ! tokenize model=M ! bertstage model=M layers=0-0 ! queue ! bertstage model=M layers=1- ! sentimentsink
 * ]|
 *
 * With #GstBertStage:trainable it trains its layers, in a pipeline that ends with
 * `sentimentloss`. After each step the first stage posts an element message `tandem-step`:
 * `step` (guint64, from 1), `sequences` (guint64), `loss` (double, their mean), `correct`
 * (gint64, -1 when some have no label), `learning-rate` and `norm` (double, of the gradient of
 * the mean loss before it was clipped) and `in-flight` (guint, the most micro-batches that the
 * stage kept at once).
 *
 * With #GstBertStage:hidden-teacher the stage that takes tokens learns hidden states of that model,
 * too, and `hidden-loss` (double, the mean over the sequences) in `tandem-step` says how far they are.
 *
 * With #GstBertStage:task masked-lm it is a masked language model, with all layers in one stage
 * and nothing behind it: it masks tokens itself and learns to predict them, needs no labels, and
 * gives no buffers. In `tandem-step` `loss` is then the mean over masked tokens, `correct` how many
 * of them were right, and `tokens` (guint64) how many there were.
 *
 * |[
 * gst-launch-1.0 -m reviewsrc location=R ! tokenize model=M ! microbatch ! bertstage model=M trainable=true task=masked-lm checkpoint=C ! fakesink
 * ]|
 */

#include "config.h"

#include "gstbertstage-private.h"
#include "bert-properties.h"
#include "gsttandembert.h"

#include <glib/gi18n-lib.h>
#include <string.h>
#include <tandem.h>

#include "tandem-enums.h"

GST_DEBUG_CATEGORY_STATIC (bert_stage_debug);
#define GST_CAT_DEFAULT bert_stage_debug

#define DEFAULT_MODEL NULL
#define DEFAULT_LAYERS NULL
#define DEFAULT_THREADS 1
#define DEFAULT_PRECISION TANDEM_PRECISION_F32

enum
{
  PROP_0,
  PROP_MODEL,
  PROP_LAYERS,
  PROP_THREADS,
  PROP_PRECISION,
  PROP_INT8,
  PROP_SPARSE,
  PROP_TRAIN_STAGE,
};

#define ACTIVATIONS_CAPS                                                              \
  TANDEM_CAPS_ACTIVATIONS ", layer=(int)[ 1, " G_STRINGIFY (TANDEM_CAPS_MAX_LAYERS) " ], " \
  "width=(int)[ 1, " G_STRINGIFY (TANDEM_CAPS_MAX_WIDTH) " ], format=(string)F32LE"

static GstStaticPadTemplate sink_template =
    GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK, GST_PAD_ALWAYS,
                             GST_STATIC_CAPS (TANDEM_CAPS_TOKENS "; " ACTIVATIONS_CAPS));

static GstStaticPadTemplate src_template =
    GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC, GST_PAD_ALWAYS,
                             GST_STATIC_CAPS (ACTIVATIONS_CAPS "; " TANDEM_CAPS_LOGITS));

G_DEFINE_FINAL_TYPE_WITH_CODE (GstBertStage, gst_bert_stage, GST_TYPE_BASE_TRANSFORM,
                               GST_DEBUG_CATEGORY_INIT (bert_stage_debug, "bertstage", 0,
                                                        "layers of a BERT model"))
GST_ELEMENT_REGISTER_DEFINE (bertstage, "bertstage", GST_RANK_NONE, GST_TYPE_BERT_STAGE)

static void
gst_bert_stage_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  GstBertStage *self = GST_BERT_STAGE (object);

  GST_OBJECT_LOCK (self);
  switch (id) {
    case PROP_MODEL:
      g_free (self->model_path);
      self->model_path = g_value_dup_string (value);
      break;
    case PROP_LAYERS:
      g_free (self->layers);
      self->layers = g_value_dup_string (value);
      break;
    case PROP_THREADS:
      self->n_threads = g_value_get_uint (value);
      break;
    case PROP_PRECISION:
      self->precision = g_value_get_enum (value);
      break;
    default:
      if (!bert_properties_set (&self->training, id, value))
        G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
      break;
  }
  GST_OBJECT_UNLOCK (self);
}

static void
gst_bert_stage_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  GstBertStage *self = GST_BERT_STAGE (object);

  GST_OBJECT_LOCK (self);
  switch (id) {
    case PROP_MODEL:
      g_value_set_string (value, self->model_path);
      break;
    case PROP_LAYERS:
      g_value_set_string (value, self->layers);
      break;
    case PROP_THREADS:
      g_value_set_uint (value, self->n_threads);
      break;
    case PROP_PRECISION:
      g_value_set_enum (value, self->precision);
      break;
    case PROP_INT8:
      g_value_set_boolean (value,
                           self->stage != NULL && tandem_bert_stage_runs_int8 (self->stage));
      break;
    case PROP_SPARSE:
      g_value_take_boxed (value, self->stage != NULL ? tandem_bert_stage_list_sparse (self->stage)
                                                     : NULL);
      break;
    case PROP_TRAIN_STAGE:
      g_value_set_object (value, self->trainer != NULL ? bert_trainer_get_stage (self->trainer)
                                                       : NULL);
      break;
    default:
      if (!bert_properties_get (&self->training, id, value))
        G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
      break;
  }
  GST_OBJECT_UNLOCK (self);
}

static void
gst_bert_stage_finalize (GObject *object)
{
  GstBertStage *self = GST_BERT_STAGE (object);

  g_free (self->model_path);
  g_free (self->layers);
  bert_trainer_settings_clear (&self->training);
  g_clear_object (&self->cancellable);
  G_OBJECT_CLASS (gst_bert_stage_parent_class)->finalize (object);
}

static gboolean
open_stage (GstBertStage *self, const char *path, const char *layers, guint n_threads,
            TandemPrecision precision, const BertTrainerSettings *training, GError **error)
{
  g_autoptr (TandemModel) model = tandem_model_open (path, NULL, error);
  guint first, last;

  if (model == NULL)
    return FALSE;
  tandem_model_get_layers (model, &first, &last);
  if (layers != NULL && *layers != '\0' &&
      !tandem_model_parse_layers (layers, tandem_model_get_config (model)->n_layers, &first,
                                  &last, error))
    return FALSE;
  self->last_layer = last;
  if (training->trainable) {
    if (!gst_bert_stage_open_trainer (self, model, first, last, training, error))
      return FALSE;
  } else {
    TandemBertStage *stage = tandem_bert_stage_new (model, first, last, precision, n_threads,
                                                    TANDEM_BERT_STAGE_NONE, error);

    if (stage == NULL)
      return FALSE;
    GST_OBJECT_LOCK (self);
    self->stage = stage;
    GST_OBJECT_UNLOCK (self);
  }
  return gst_bert_stage_describe_streams (self, model, first, last, error);
}

static gboolean
gst_bert_stage_stop (GstBaseTransform *trans)
{
  GstBertStage *self = GST_BERT_STAGE (trans);
  BertTrainer *trainer;

  GST_OBJECT_LOCK (self);
  g_clear_object (&self->stage);
  trainer = g_steal_pointer (&self->trainer);
  GST_OBJECT_UNLOCK (self);
  bert_trainer_free (trainer);
  g_clear_pointer (&self->rows, tandem_row_pool_free);
  tandem_stream_info_clear (&self->input);
  tandem_stream_info_clear (&self->output);
  return TRUE;
}

static gboolean
gst_bert_stage_start (GstBaseTransform *trans)
{
  GstBertStage *self = GST_BERT_STAGE (trans);
  g_autofree char *path = NULL, *layers = NULL;
  g_autoptr (GError) error = NULL;
  g_auto (BertTrainerSettings) training = { 0 };
  TandemPrecision precision;
  guint n_threads;

  GST_OBJECT_LOCK (self);
  path = g_strdup (self->model_path);
  layers = g_strdup (self->layers);
  n_threads = self->n_threads;
  precision = self->precision;
  bert_trainer_settings_copy (&self->training, &training);
  GST_OBJECT_UNLOCK (self);

  if (path == NULL || *path == '\0') {
    GST_ELEMENT_ERROR (self, RESOURCE, NOT_FOUND,
                       (_("No model is set: give bertstage model=FOLDER or a stage file.")),
                       (NULL));
    return FALSE;
  }
  if (!gst_bert_stage_check_training (&training, precision, n_threads, &error)) {
    GST_ELEMENT_ERROR (self, RESOURCE, SETTINGS,
                       (_("The properties of bertstage do not go together: %s"), error->message),
                       (NULL));
    return FALSE;
  }
  g_cancellable_reset (self->cancellable);
  self->rows = tandem_row_pool_new ();
  if (!open_stage (self, path, layers, n_threads, precision, &training, &error)) {
    if (g_error_matches (error, G_FILE_ERROR, G_FILE_ERROR_NOENT))
      GST_ELEMENT_ERROR (self, RESOURCE, NOT_FOUND,
                         (_("The model \"%s\" could not be opened: %s"), path, error->message),
                         (NULL));
    else
      GST_ELEMENT_ERROR (self, RESOURCE, SETTINGS,
                         (_("The model \"%s\" cannot be used: %s"), path, error->message),
                         ("layers=%s", layers != NULL ? layers : "all"));
    gst_bert_stage_stop (trans);
    return FALSE;
  }
  if (self->trainer != NULL && !gst_bert_stage_resume (self)) {
    gst_bert_stage_stop (trans);
    return FALSE;
  }
  return TRUE;
}

static TandemBatchMeta *
get_checked_meta (GstBertStage *self, GstBuffer *buffer)
{
  TandemBatchMeta *meta = tandem_buffer_get_batch_meta (buffer);
  gsize expected;

  if (meta == NULL) {
    GST_ELEMENT_ERROR (self, STREAM, FORMAT,
                       (_("A buffer does not say which sequences it holds.")),
                       ("it lacks a TandemBatchMeta"));
    return NULL;
  }
  expected = tandem_batch_meta_get_n_rows (meta) * tandem_stream_info_get_row_size (&self->input);
  if (gst_buffer_get_size (buffer) != expected) {
    GST_ELEMENT_ERROR (self, STREAM, FORMAT,
                       (_("A buffer is of another size than its sequences need.")),
                       ("it has %" G_GSIZE_FORMAT " bytes; %u rows need %" G_GSIZE_FORMAT,
                        gst_buffer_get_size (buffer), tandem_batch_meta_get_n_rows (meta),
                        expected));
    return NULL;
  }
  return meta;
}

static GstFlowReturn
gst_bert_stage_prepare_output_buffer (GstBaseTransform *trans, GstBuffer *input,
                                      GstBuffer **output)
{
  GstBertStage *self = GST_BERT_STAGE (trans);
  TandemBatchMeta *meta = get_checked_meta (self, input), *out_meta;
  GstMemory *memory;
  gboolean logits = self->output.kind == TANDEM_STREAM_LOGITS;
  gsize n_rows;

  if (meta == NULL)
    return GST_FLOW_ERROR;
  n_rows = logits ? meta->n_sequences : tandem_batch_meta_get_n_rows (meta);
  memory = tandem_row_pool_take (self->rows,
                                 n_rows * tandem_stream_info_get_row_size (&self->output));
  if (memory == NULL) {
    GST_ELEMENT_ERROR (self, RESOURCE, NO_SPACE_LEFT, (_("Out of memory.")),
                       ("%" G_GSIZE_FORMAT " rows", n_rows));
    return GST_FLOW_ERROR;
  }
  *output = gst_buffer_new ();
  gst_buffer_append_memory (*output, memory);
  gst_buffer_copy_into (*output, input, GST_BUFFER_COPY_FLAGS | GST_BUFFER_COPY_TIMESTAMPS, 0, -1);
  out_meta = tandem_buffer_add_batch_meta (*output, meta->n_sequences,
                                           logits ? NULL : meta->offsets, meta->ids,
                                           meta->labels);
  tandem_batch_meta_take_receipts_from (out_meta, meta);
  return GST_FLOW_OK;
}

/* prepare_output_buffer() did it: the meta of a buffer of logits counts rows in
 * another way, so that no copy of it would do. */
static gboolean
gst_bert_stage_copy_metadata (GstBaseTransform *trans, GstBuffer *input, GstBuffer *output)
{
  return TRUE;
}

static GstFlowReturn
gst_bert_stage_transform (GstBaseTransform *trans, GstBuffer *input, GstBuffer *output)
{
  GstBertStage *self = GST_BERT_STAGE (trans);
  TandemBatchMeta *meta = tandem_buffer_get_batch_meta (input);
  GstMapInfo in = GST_MAP_INFO_INIT, out = GST_MAP_INFO_INIT;
  g_autoptr (GError) error = NULL;
  GstFlowReturn flow = GST_FLOW_OK;
  gboolean ok;

  if (!gst_buffer_map (input, &in, GST_MAP_READ))
    goto no_map;
  if (!gst_buffer_map (output, &out, GST_MAP_WRITE)) {
    gst_buffer_unmap (input, &in);
    goto no_map;
  }

  if (self->trainer != NULL) {
    flow = gst_bert_stage_train (self, in.data, meta, (float *) out.data);
    ok = TRUE;
  } else if (self->input.kind == TANDEM_STREAM_TOKENS)
    ok = tandem_bert_stage_forward_tokens (self->stage, (const gint32 *) in.data,
                                           meta->n_sequences, meta->offsets, (float *) out.data,
                                           self->cancellable, &error);
  else
    ok = tandem_bert_stage_forward_rows (self->stage, (const float *) in.data, meta->n_sequences,
                                         meta->offsets, (float *) out.data, self->cancellable,
                                         &error);
  if (!ok && g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
    flow = GST_FLOW_FLUSHING;
  } else if (!ok) {
    GST_ELEMENT_ERROR (self, STREAM, DECODE, (_("A micro-batch cannot be run: %s"), error->message),
                       ("first sequence: id %" G_GUINT64_FORMAT, meta->ids[0]));
    flow = GST_FLOW_ERROR;
  }
  gst_buffer_unmap (output, &out);
  gst_buffer_unmap (input, &in);
  return flow;

no_map:
  GST_ELEMENT_ERROR (self, RESOURCE, READ, (_("The memory of a buffer cannot be reached.")),
                     (NULL));
  return GST_FLOW_ERROR;
}

/* The base class asks until there is nothing more, the last time when the output has gone on. */
static GstFlowReturn
gst_bert_stage_generate_output (GstBaseTransform *trans, GstBuffer **output)
{
  GstBertStage *self = GST_BERT_STAGE (trans);
  GstFlowReturn flow =
      GST_BASE_TRANSFORM_CLASS (gst_bert_stage_parent_class)->generate_output (trans, output);

  if (flow == GST_FLOW_OK && *output == NULL && self->trainer != NULL)
    return gst_bert_stage_train_end (self);
  return flow;
}

static gboolean
gst_bert_stage_sink_event (GstBaseTransform *trans, GstEvent *event)
{
  GstBertStage *self = GST_BERT_STAGE (trans);
  gboolean ok;

  if (!gst_bert_stage_train_event (self, event, &ok)) {
    gst_event_unref (event);
    return ok;
  }
  switch (GST_EVENT_TYPE (event)) {
    case GST_EVENT_FLUSH_START:
      g_cancellable_cancel (self->cancellable);
      break;
    case GST_EVENT_FLUSH_STOP:
      g_cancellable_reset (self->cancellable);
      break;
    default:
      break;
  }
  return GST_BASE_TRANSFORM_CLASS (gst_bert_stage_parent_class)->sink_event (trans, event);
}

static gboolean
gst_bert_stage_src_event (GstBaseTransform *trans, GstEvent *event)
{
  if (!gst_bert_stage_take_gradient (GST_BERT_STAGE (trans), event))
    return GST_BASE_TRANSFORM_CLASS (gst_bert_stage_parent_class)->src_event (trans, event);
  gst_event_unref (event);
  return TRUE;
}

static GstStateChangeReturn
gst_bert_stage_change_state (GstElement *element, GstStateChange transition)
{
  GstBertStage *self = GST_BERT_STAGE (element);

  /* The streaming thread may wait for a gradient that nobody will send. */
  if (self->trainer != NULL && transition == GST_STATE_CHANGE_PAUSED_TO_READY)
    bert_trainer_set_flushing (self->trainer, TRUE);
  return GST_ELEMENT_CLASS (gst_bert_stage_parent_class)->change_state (element, transition);
}

static gboolean
gst_bert_stage_query (GstBaseTransform *trans, GstPadDirection direction, GstQuery *query)
{
  if (direction == GST_PAD_SINK && tandem_query_is_accepted (query))
    return gst_bert_stage_answer_accepted (GST_BERT_STAGE (trans), query);
  return GST_BASE_TRANSFORM_CLASS (gst_bert_stage_parent_class)->query (trans, direction, query);
}

static void
gst_bert_stage_class_init (GstBertStageClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GstBaseTransformClass *trans_class = GST_BASE_TRANSFORM_CLASS (klass);
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_CONSTRUCT | G_PARAM_STATIC_STRINGS |
      GST_PARAM_MUTABLE_READY;

  object_class->set_property = gst_bert_stage_set_property;
  object_class->get_property = gst_bert_stage_get_property;
  object_class->finalize = gst_bert_stage_finalize;

  g_object_class_install_property (
      object_class, PROP_MODEL,
      g_param_spec_string ("model", "Model",
                           "Hugging Face model folder, or stage file, that holds the layers",
                           DEFAULT_MODEL, flags));
  g_object_class_install_property (
      object_class, PROP_LAYERS,
      g_param_spec_string ("layers", "Layers",
                           "Layers to run, from 0, inclusive: \"0-1\", \"2\", or \"2-\" to the end; "
                           "unset: all that the model or stage file holds",
                           DEFAULT_LAYERS, flags));
  g_object_class_install_property (
      object_class, PROP_THREADS,
      g_param_spec_uint ("threads", "Threads",
                         "Threads that share the sequences of a buffer; results are the same "
                         "for any number", 1, TANDEM_BERT_STAGE_MAX_THREADS, DEFAULT_THREADS,
                         flags));
  g_object_class_install_property (
      object_class, PROP_PRECISION,
      g_param_spec_enum ("precision", "Precision", "What linear layers compute with",
                         TANDEM_TYPE_PRECISION, DEFAULT_PRECISION, flags));
  g_object_class_install_property (
      object_class, PROP_INT8,
      g_param_spec_boolean ("int8", "int8",
                            "Whether linear layers run in int8, while the element runs: the model is "
                            "quantized for it, and this processor gains by it",
                            FALSE, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS));
  g_object_class_install_property (
      object_class, PROP_SPARSE,
      g_param_spec_boxed ("sparse", "Sparse",
                          "Names of the matrices whose zeros are left out, while the element runs",
                          G_TYPE_STRV, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS));
  g_object_class_install_property (
      object_class, PROP_TRAIN_STAGE,
      g_param_spec_object ("train-stage", "Training stage",
                           "What trains, while trainable is set and the element runs",
                           TANDEM_TYPE_TRAIN_STAGE, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS));
  bert_properties_install (object_class, flags);

  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_element_class_set_static_metadata (element_class, "BERT stage", "Filter/Analyzer/Text",
                                         "Runs consecutive layers of a BERT model",
                                         "The Tandem developers");
  gst_type_mark_as_plugin_api (bert_task_get_type (), 0);
  gst_type_mark_as_plugin_api (TANDEM_TYPE_PRECISION, 0);
  gst_type_mark_as_plugin_api (TANDEM_TYPE_SCHEDULE_KIND, 0);

  trans_class->start = gst_bert_stage_start;
  trans_class->stop = gst_bert_stage_stop;
  trans_class->transform_caps = gst_bert_stage_transform_caps;
  trans_class->set_caps = gst_bert_stage_set_caps;
  trans_class->prepare_output_buffer = gst_bert_stage_prepare_output_buffer;
  trans_class->copy_metadata = gst_bert_stage_copy_metadata;
  trans_class->transform = gst_bert_stage_transform;
  trans_class->generate_output = gst_bert_stage_generate_output;
  trans_class->sink_event = gst_bert_stage_sink_event;
  trans_class->src_event = gst_bert_stage_src_event;
  element_class->change_state = gst_bert_stage_change_state;
  trans_class->query = gst_bert_stage_query;
}

static void
gst_bert_stage_init (GstBertStage *self)
{
  self->cancellable = g_cancellable_new ();
}
