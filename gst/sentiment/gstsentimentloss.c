/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * SECTION:element-sentimentloss
 * @title: sentimentloss
 *
 * The end of a pipeline that trains: compares the scores of the last stage with the labels of
 * the reviews, and sends the gradient of the loss back up the pipeline, where each trainable
 * `bertstage` takes it in turn.
 *
 * Takes float32 scores, shape [sequences, classes], with a #TandemBatchMeta that says each
 * sequence's label. The loss is the cross-entropy, with #GstSentimentLoss:label-smoothing
 * (Szegedy et al. 2016, section 7). With #GstSentimentLoss:teacher it is mixed with the
 * divergence from the scores of a teacher (Hinton et al. 2015); then a review without a label
 * learns from the teacher alone.
 *
 * At the end of the stream an element message `tandem-training-summary` says `sequences`
 * (guint64), `loss` (double, their mean), and `labelled` and `correct` (guint64).
 *
 * |[
 * gst-launch-1.0 reviewsrc location=train.tsv shuffle=true ! tokenize model=M ! microbatch size=8 ! bertstage model=M trainable=true micro-batches=4 checkpoint=trained.safetensors ! sentimentloss
 * ]|
 */

#include "config.h"

#include "gstsentimentloss.h"

#include <glib/gi18n-lib.h>
#include <string.h>
#include <tandem.h>

#include "stream/tandem-fields.h"

GST_DEBUG_CATEGORY_STATIC (sentiment_loss_debug);
#define GST_CAT_DEFAULT sentiment_loss_debug

#define DEFAULT_LABEL_SMOOTHING 0.0
#define DEFAULT_TEACHER NULL
#define DEFAULT_ALPHA 0.5
#define DEFAULT_TEMPERATURE 1.0

/* The tensor of a teacher's file. */
#define TEACHER_LOGITS "logits"

enum
{
  PROP_0,
  PROP_LABEL_SMOOTHING,
  PROP_TEACHER,
  PROP_ALPHA,
  PROP_TEMPERATURE,
};

static GstStaticPadTemplate sink_template =
    GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK, GST_PAD_ALWAYS,
                             GST_STATIC_CAPS (TANDEM_CAPS_LOGITS));

struct _GstSentimentLoss
{
  GstBaseSink parent_instance;

  /* object lock */
  double label_smoothing;
  char *teacher_path;
  double alpha;
  double temperature;

  /* set in start() */
  TandemTensor *teacher;        /* [reviews, classes], or NULL */
  double smoothing_used, alpha_used, temperature_used;

  /* streaming thread only */
  guint classes;
  guint64 next_micro_batch;
  gboolean trains;              /* a tandem-training event came */
  gboolean is_step_each;        /* each micro-batch is a step */
  guint64 n_steps;              /* done before the next micro-batch, of all runs */
  TandemLoss total;
};

G_DEFINE_FINAL_TYPE_WITH_CODE (GstSentimentLoss, gst_sentiment_loss, GST_TYPE_BASE_SINK,
                               GST_DEBUG_CATEGORY_INIT (sentiment_loss_debug, "sentimentloss", 0,
                                                        "loss of a classifier"))
GST_ELEMENT_REGISTER_DEFINE (sentimentloss, "sentimentloss", GST_RANK_NONE,
                             GST_TYPE_SENTIMENT_LOSS)

static const TandemField fields[] = {
  TANDEM_FIELD (PROP_LABEL_SMOOTHING, GstSentimentLoss, label_smoothing),
  TANDEM_FIELD (PROP_TEACHER, GstSentimentLoss, teacher_path),
  TANDEM_FIELD (PROP_ALPHA, GstSentimentLoss, alpha),
  TANDEM_FIELD (PROP_TEMPERATURE, GstSentimentLoss, temperature),
  { 0 }
};

static void
gst_sentiment_loss_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  GST_OBJECT_LOCK (object);
  if (!tandem_fields_set (fields, object, id, value))
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  GST_OBJECT_UNLOCK (object);
}

static void
gst_sentiment_loss_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  GST_OBJECT_LOCK (object);
  if (!tandem_fields_get (fields, object, id, value))
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  GST_OBJECT_UNLOCK (object);
}

static void
gst_sentiment_loss_finalize (GObject *object)
{
  GstSentimentLoss *self = GST_SENTIMENT_LOSS (object);

  g_free (self->teacher_path);
  G_OBJECT_CLASS (gst_sentiment_loss_parent_class)->finalize (object);
}

static TandemTensor *
open_teacher (const char *path, GError **error)
{
  g_autoptr (TandemSafetensors) file = tandem_safetensors_open (path, error);
  TandemTensor *tensor;

  if (file == NULL)
    return NULL;
  tensor = tandem_safetensors_get_tensor (file, TEACHER_LOGITS, error);
  if (tensor != NULL &&
      (tandem_tensor_get_dtype (tensor) != TANDEM_DTYPE_F32 ||
       tandem_tensor_get_n_dims (tensor) != 2 || tandem_tensor_get_n_elements (tensor) == 0)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 "%s: the tensor \"" TEACHER_LOGITS "\" is not F32 [reviews, classes]", path);
    g_clear_pointer (&tensor, tandem_tensor_unref);
  }
  return tensor;
}

static gboolean
gst_sentiment_loss_start (GstBaseSink *base)
{
  GstSentimentLoss *self = GST_SENTIMENT_LOSS (base);
  g_autoptr (GError) error = NULL;
  g_autofree char *path = NULL;

  GST_OBJECT_LOCK (self);
  path = g_strdup (self->teacher_path);
  self->smoothing_used = self->label_smoothing;
  self->alpha_used = self->alpha;
  self->temperature_used = self->temperature;
  GST_OBJECT_UNLOCK (self);

  self->next_micro_batch = 0;
  self->trains = FALSE;
  self->total = (TandemLoss) { 0 };
  if (path == NULL)
    return TRUE;
  self->teacher = open_teacher (path, &error);
  if (self->teacher == NULL) {
    GST_ELEMENT_ERROR (self, RESOURCE, OPEN_READ,
                       (_("The teacher's scores in \"%s\" cannot be used: %s"), path,
                        error->message), (NULL));
    return FALSE;
  }
  return TRUE;
}

static gboolean
gst_sentiment_loss_stop (GstBaseSink *base)
{
  GstSentimentLoss *self = GST_SENTIMENT_LOSS (base);

  g_clear_pointer (&self->teacher, tandem_tensor_unref);
  return TRUE;
}

static gboolean
gst_sentiment_loss_set_caps (GstBaseSink *base, GstCaps *caps)
{
  GstSentimentLoss *self = GST_SENTIMENT_LOSS (base);
  g_auto (TandemStreamInfo) info = { 0 };
  g_autoptr (GError) error = NULL;

  if (!tandem_stream_info_from_caps (&info, caps, &error)) {
    GST_ELEMENT_ERROR (self, STREAM, FORMAT,
                       (_("The stream of scores is not described completely.")),
                       ("%s", error->message));
    return FALSE;
  }
  self->classes = info.classes;
  if (self->teacher != NULL && tandem_tensor_get_dim (self->teacher, 1) != info.classes) {
    GST_ELEMENT_ERROR (self, STREAM, FORMAT,
                       (_("The teacher knows %u classes, the model %u."),
                        (guint) tandem_tensor_get_dim (self->teacher, 1), info.classes), (NULL));
    return FALSE;
  }
  return TRUE;
}

/* The teacher's scores for the sequences of a batch. */
static float *
get_teacher (GstSentimentLoss *self, const TandemBatchMeta *meta)
{
  const float *all = tandem_tensor_get_data (self->teacher, NULL);
  guint64 n = tandem_tensor_get_dim (self->teacher, 0);
  float *rows = g_new (float, (gsize) meta->n_sequences * self->classes);
  guint i;

  for (i = 0; i < meta->n_sequences; i++)
    memcpy (rows + (gsize) i * self->classes, all + meta->ids[i] % n * self->classes,
            self->classes * sizeof (float));
  return rows;
}

static gboolean
check_batch (GstSentimentLoss *self, GstBuffer *buffer, const TandemBatchMeta *meta)
{
  guint i;

  if (meta == NULL ||
      gst_buffer_get_size (buffer) != (gsize) meta->n_sequences * self->classes * sizeof (float)) {
    GST_ELEMENT_ERROR (self, STREAM, FORMAT,
                       (_("A buffer does not say which sequences it holds.")),
                       ("%" G_GSIZE_FORMAT " bytes for %u classes", gst_buffer_get_size (buffer),
                        self->classes));
    return FALSE;
  }
  for (i = 0; i < meta->n_sequences; i++) {
    if (meta->labels[i] >= (gint64) self->classes ||
        (meta->labels[i] < 0 && self->teacher == NULL)) {
      g_autofree char *id = g_strdup_printf ("%" G_GUINT64_FORMAT, meta->ids[i]);

      if (meta->labels[i] < 0)
        GST_ELEMENT_ERROR (self, STREAM, FORMAT,
                           (_("Review %s has no label to learn from; read a labelled data set "
                              "with reviewsrc."), id), (NULL));
      else
        GST_ELEMENT_ERROR (self, STREAM, FORMAT,
                           (_("Review %s is of class %d; the model knows %u."), id,
                            meta->labels[i], self->classes), (NULL));
      return FALSE;
    }
  }
  return TRUE;
}

/* Fills the gradient and what goes with it. */
static gboolean
compute (GstSentimentLoss *self, const TandemBatchMeta *meta, const float *logits, float *gradient,
         TandemGradientInfo *info, GError **error)
{
  TandemLoss loss = { 0 };
  gboolean ok;

  if (self->teacher != NULL) {
    g_autofree float *teacher = get_teacher (self, meta);

    ok = tandem_loss_distillation (&loss, logits, teacher, meta->n_sequences, self->classes,
                                   meta->labels, self->smoothing_used, self->alpha_used,
                                   self->temperature_used, gradient, error);
  } else {
    ok = tandem_loss_cross_entropy (&loss, logits, meta->n_sequences, self->classes, meta->labels,
                                    self->smoothing_used, gradient, error);
  }
  if (!ok)
    return FALSE;
  self->total.sum += loss.sum;
  self->total.n_rows += meta->n_sequences;
  self->total.n_labelled += loss.n_labelled;
  self->total.n_correct += loss.n_correct;
  *info = (TandemGradientInfo) {
    .micro_batch = self->next_micro_batch++, .n_sequences = meta->n_sequences, .loss = loss.sum,
    .n_correct = loss.n_labelled == meta->n_sequences ? (gint) loss.n_correct : -1
  };
  return TRUE;
}

static GstFlowReturn
gst_sentiment_loss_render (GstBaseSink *base, GstBuffer *buffer)
{
  GstSentimentLoss *self = GST_SENTIMENT_LOSS (base);
  TandemBatchMeta *meta = tandem_buffer_get_batch_meta (buffer);
  g_autoptr (GstBuffer) gradient = NULL;
  g_autoptr (GError) error = NULL;
  TandemGradientInfo info;
  GstMapInfo in, out;
  gboolean ok;

  if (!self->trains) {
    GST_ELEMENT_ERROR (self, STREAM, FAILED,
                       (_("Nothing before the loss trains: set trainable=true on bertstage.")),
                       (NULL));
    return GST_FLOW_ERROR;
  }
  if (!check_batch (self, buffer, meta))
    return GST_FLOW_ERROR;
  gradient = gst_buffer_new_allocate (NULL, gst_buffer_get_size (buffer), NULL);
  gst_buffer_map (buffer, &in, GST_MAP_READ);
  gst_buffer_map (gradient, &out, GST_MAP_WRITE);
  ok = compute (self, meta, (const float *) in.data, (float *) out.data, &info, &error);
  gst_buffer_unmap (gradient, &out);
  gst_buffer_unmap (buffer, &in);
  /* The sender need not keep it: a stream that trains is not resumed. */
  tandem_batch_meta_complete (meta);
  if (!ok) {
    g_autofree char *step = g_strdup_printf ("%" G_GUINT64_FORMAT, self->n_steps + 1);
    g_autofree char *number = g_strdup_printf ("%" G_GUINT64_FORMAT, self->next_micro_batch);

    GST_ELEMENT_ERROR (self, STREAM, FAILED,
                       (_("The loss of step %s, micro-batch %s, cannot be computed: %s"), step,
                        number, error->message), (NULL));
    return GST_FLOW_ERROR;
  }
  self->n_steps += self->is_step_each;
  if (!gst_pad_push_event (GST_BASE_SINK_PAD (self),
                           tandem_event_new_gradient (&info, gradient))) {
    GST_ELEMENT_ERROR (self, STREAM, FAILED,
                       (_("Nobody takes the gradient: set trainable=true on each bertstage.")),
                       (NULL));
    return GST_FLOW_ERROR;
  }
  return GST_FLOW_OK;
}

static void
post_summary (GstSentimentLoss *self)
{
  GstStructure *s = gst_structure_new (
      "tandem-training-summary", "sequences", G_TYPE_UINT64, self->total.n_rows, "loss",
      G_TYPE_DOUBLE, self->total.n_rows > 0 ? self->total.sum / self->total.n_rows : 0.0,
      "labelled", G_TYPE_UINT64, self->total.n_labelled, "correct", G_TYPE_UINT64,
      self->total.n_correct, NULL);

  gst_element_post_message (GST_ELEMENT (self), gst_message_new_element (GST_OBJECT (self), s));
}

/* Tells all stages how many are behind them, and where all can go on: the last step that came
 * this far. */
static gboolean
announce (GstSentimentLoss *self, const TandemTrainingInfo *training)
{
  TandemGradientInfo info = {
    .micro_batch = TANDEM_GRADIENT_ANNOUNCEMENT, .n_correct = -1, .step = training->first_step
  };
  g_autoptr (GstBuffer) nothing = gst_buffer_new ();

  self->trains = TRUE;
  return gst_pad_push_event (GST_BASE_SINK_PAD (self), tandem_event_new_gradient (&info, nothing));
}

static gboolean
gst_sentiment_loss_event (GstBaseSink *base, GstEvent *event)
{
  GstSentimentLoss *self = GST_SENTIMENT_LOSS (base);
  TandemTrainingInfo info;
  TandemStepInfo step;

  if (tandem_event_parse_training (event, &info)) {
    self->is_step_each = info.schedule == TANDEM_SCHEDULE_1F1B;
    self->n_steps = info.first_step;
    if (!announce (self, &info))
      GST_WARNING_OBJECT (self, "nobody takes gradients");
  } else if (tandem_event_parse_step (event, &step)) {
    self->n_steps = step.step + 1;
  }
  if (GST_EVENT_TYPE (event) == GST_EVENT_EOS)
    post_summary (self);
  else if (GST_EVENT_TYPE (event) == GST_EVENT_FLUSH_STOP)
    self->next_micro_batch = 0;
  return GST_BASE_SINK_CLASS (gst_sentiment_loss_parent_class)->event (base, event);
}

static gboolean
gst_sentiment_loss_query (GstBaseSink *base, GstQuery *query)
{
  if (tandem_query_is_accepted (query)) {
    g_autoptr (GstCaps) caps = gst_caps_new_empty_simple (TANDEM_CAPS_LOGITS);

    tandem_query_set_accepted (query, caps, 0);
    return TRUE;
  }
  return GST_BASE_SINK_CLASS (gst_sentiment_loss_parent_class)->query (base, query);
}

static void
gst_sentiment_loss_class_init (GstSentimentLossClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GstBaseSinkClass *base_class = GST_BASE_SINK_CLASS (klass);
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_CONSTRUCT | G_PARAM_STATIC_STRINGS |
      GST_PARAM_MUTABLE_READY;

  object_class->set_property = gst_sentiment_loss_set_property;
  object_class->get_property = gst_sentiment_loss_get_property;
  object_class->finalize = gst_sentiment_loss_finalize;

  g_object_class_install_property (
      object_class, PROP_LABEL_SMOOTHING,
      g_param_spec_double ("label-smoothing", "Label smoothing",
                           "Share of the label that is spread over all classes (0: none)", 0.0, 0.999,
                           DEFAULT_LABEL_SMOOTHING, flags));
  g_object_class_install_property (
      object_class, PROP_TEACHER,
      g_param_spec_string ("teacher", "Teacher",
                           "Safetensors file whose tensor \"logits\" F32 [reviews, classes] holds a "
                           "teacher's scores; the row is the id modulo the reviews (unset: none)",
                           DEFAULT_TEACHER, flags));
  g_object_class_install_property (
      object_class, PROP_ALPHA,
      g_param_spec_double ("alpha", "Alpha",
                           "Share of the label in the loss where there is a teacher (0: the teacher "
                           "alone)", 0.0, 1.0, DEFAULT_ALPHA, flags));
  g_object_class_install_property (
      object_class, PROP_TEMPERATURE,
      g_param_spec_double ("temperature", "Temperature",
                           "What the teacher's and the model's scores are divided by before softmax "
                           "(1: as they are)", 0.01, 1000.0,
                           DEFAULT_TEMPERATURE, flags));

  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_set_static_metadata (element_class, "Loss of a classifier",
                                         "Sink/Analyzer/Text",
                                         "Compares scores with labels and sends gradients back",
                                         "The Tandem developers");
  base_class->start = gst_sentiment_loss_start;
  base_class->stop = gst_sentiment_loss_stop;
  base_class->set_caps = gst_sentiment_loss_set_caps;
  base_class->render = gst_sentiment_loss_render;
  base_class->event = gst_sentiment_loss_event;
  base_class->query = gst_sentiment_loss_query;
}

static void
gst_sentiment_loss_init (GstSentimentLoss *self)
{
  gst_base_sink_set_sync (GST_BASE_SINK (self), FALSE);
  /* A buffer that is kept keeps its receipts. */
  gst_base_sink_set_last_sample_enabled (GST_BASE_SINK (self), FALSE);
}
