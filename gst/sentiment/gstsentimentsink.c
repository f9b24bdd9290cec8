/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * SECTION:element-sentimentsink
 * @title: sentimentsink
 *
 * The end of a pipeline: turns the scores of the last stage into a verdict for each
 * review, writes it to a file or to standard output and posts it on the bus.
 *
 * Takes float32 scores, shape [sequences, classes], with a #TandemBatchMeta that
 * gives each its id and, where the data set names it, its class. Results come out in
 * the order of the ids, which count from 0. One that came too early waits for those before
 * it, but with at most #GstSentimentSink:reorder-window others and no longer than
 * #GstSentimentSink:reorder-timeout; an id that comes after that is written at
 * once. At the end of the stream what still waits is written in the order of the ids.
 *
 * The receipts of a batch are completed when all its results were handed to the
 * system, so that a result which a sender saw acknowledged cannot get lost in this
 * process.
 *
 * An element message `tandem-result` for each result holds `id` (guint64), `label` (string),
 * `class` (int), `probability` (double), `logits` (#GstValueArray of float) and, where
 * known, `expected` (string). It is posted from a streaming thread after the result was
 * written. At the end of the stream follows `tandem-summary` with `reviews`, `labelled` and
 * `correct` (guint64), `accuracy` (double from 0 to 1, only with labelled reviews) and
 * `reviews-per-second` (double, only when more than one buffer came).
 *
 * |[
 * gst-launch-1.0 -q reviewsrc location=aclImdb split=test ! tokenize model=M ! microbatch ! bertstage model=M ! sentimentsink format=json location=results.jsonl
 * ]|
 */

#include "config.h"

#include "gstsentimentsink-private.h"

#include <glib/gi18n-lib.h>

#include "stream/tandem-fields.h"

GST_DEBUG_CATEGORY (gst_sentiment_sink_debug);
#define GST_CAT_DEFAULT gst_sentiment_sink_debug

#define DEFAULT_FORMAT SENTIMENT_FORMAT_TEXT
#define DEFAULT_LOCATION NULL
#define DEFAULT_ORDERED TRUE
#define DEFAULT_REORDER_WINDOW 1024
#define DEFAULT_REORDER_TIMEOUT (2 * GST_SECOND)
#define DEFAULT_SUMMARY TRUE
#define DEFAULT_POST_MESSAGES TRUE

enum
{
  PROP_0,
  PROP_FORMAT,
  PROP_LOCATION,
  PROP_ORDERED,
  PROP_REORDER_WINDOW,
  PROP_REORDER_TIMEOUT,
  PROP_SUMMARY,
  PROP_POST_MESSAGES,
  N_PROPERTIES
};

static GParamSpec *properties[N_PROPERTIES];

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK,
    GST_PAD_ALWAYS, GST_STATIC_CAPS (TANDEM_CAPS_LOGITS ", classes = (int) [ 1, 65536 ]"));

G_DEFINE_FINAL_TYPE_WITH_CODE (GstSentimentSink, gst_sentiment_sink, GST_TYPE_BASE_SINK,
    GST_DEBUG_CATEGORY_INIT (gst_sentiment_sink_debug, "sentimentsink", 0, "Tandem sentiment sink"))
GST_ELEMENT_REGISTER_DEFINE (sentimentsink, "sentimentsink", GST_RANK_NONE,
                             GST_TYPE_SENTIMENT_SINK)

GType
gst_sentiment_format_get_type (void)
{
  static gsize type = 0;

  if (g_once_init_enter (&type)) {
    static const GEnumValue values[] = {
      { SENTIMENT_FORMAT_TEXT, "A line for people: id, label, probability", "text" },
      { SENTIMENT_FORMAT_JSON, "A JSON object a line", "json" },
      { SENTIMENT_FORMAT_CSV, "Comma-separated values with a header line (RFC 4180)", "csv" },
      { 0, NULL, NULL },
    };

    g_once_init_leave (&type, g_enum_register_static ("GstSentimentFormat", values));
  }
  return type;
}

static void gst_sentiment_sink_finalize (GObject *object);
static void gst_sentiment_sink_set_property (GObject *object, guint id, const GValue *value,
                                             GParamSpec *pspec);
static void gst_sentiment_sink_get_property (GObject *object, guint id, GValue *value,
                                             GParamSpec *pspec);
static GstStateChangeReturn gst_sentiment_sink_change_state (GstElement *element,
                                                             GstStateChange transition);
static gboolean gst_sentiment_sink_set_caps (GstBaseSink *base, GstCaps *caps);
static gboolean gst_sentiment_sink_query (GstBaseSink *base, GstQuery *query);
static gboolean gst_sentiment_sink_event (GstBaseSink *base, GstEvent *event);
static gboolean gst_sentiment_sink_unlock (GstBaseSink *base);
static gboolean gst_sentiment_sink_unlock_stop (GstBaseSink *base);
static GstFlowReturn gst_sentiment_sink_render (GstBaseSink *base, GstBuffer *buffer);

/* A position in time means nothing here, and gst-launch-1.0 would write one over what is typed. */
static gboolean
gst_sentiment_sink_element_query (GstElement *element, GstQuery *query)
{
  if (GST_QUERY_TYPE (query) == GST_QUERY_POSITION)
    return FALSE;
  return GST_ELEMENT_CLASS (gst_sentiment_sink_parent_class)->query (element, query);
}

static void
gst_sentiment_sink_class_init (GstSentimentSinkClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GstBaseSinkClass *base_class = GST_BASE_SINK_CLASS (klass);
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_CONSTRUCT | G_PARAM_STATIC_STRINGS |
      GST_PARAM_MUTABLE_READY;

  object_class->finalize = gst_sentiment_sink_finalize;
  object_class->set_property = gst_sentiment_sink_set_property;
  object_class->get_property = gst_sentiment_sink_get_property;

  properties[PROP_FORMAT] = g_param_spec_enum ("format", "Format",
      "How results are written", GST_TYPE_SENTIMENT_FORMAT, DEFAULT_FORMAT, flags);
  properties[PROP_LOCATION] = g_param_spec_string ("location", "Location",
      "File to write results to; an existing one is replaced when the element goes to PAUSED. "
      "NULL or - is standard output", DEFAULT_LOCATION, flags);
  properties[PROP_ORDERED] = g_param_spec_boolean ("ordered", "Ordered",
      "Write results in the order of their ids, which count from 0, instead of as they come",
      DEFAULT_ORDERED, flags);
  properties[PROP_REORDER_WINDOW] = g_param_spec_uint ("reorder-window", "Reorder window",
      "Results that wait at most for an earlier id when ordered; 0 lets none wait",
      0, G_MAXINT, DEFAULT_REORDER_WINDOW, flags);
  properties[PROP_REORDER_TIMEOUT] = g_param_spec_uint64 ("reorder-timeout", "Reorder timeout",
      "How long a result waits at most for an earlier id, in nanoseconds; 0 is without limit. "
      "A sender that waits for acknowledgement is blocked that long when an id never comes",
      0, G_MAXINT64, DEFAULT_REORDER_TIMEOUT, flags);
  properties[PROP_SUMMARY] = g_param_spec_boolean ("summary", "Summary",
      "Write one line about the whole stream to standard error when it ends",
      DEFAULT_SUMMARY, flags);
  properties[PROP_POST_MESSAGES] = g_param_spec_boolean ("post-messages", "Post messages",
      "Post an element message tandem-result for each result", DEFAULT_POST_MESSAGES, flags);
  g_object_class_install_properties (object_class, N_PROPERTIES, properties);

  element_class->change_state = GST_DEBUG_FUNCPTR (gst_sentiment_sink_change_state);
  element_class->query = GST_DEBUG_FUNCPTR (gst_sentiment_sink_element_query);

  gst_element_class_set_static_metadata (element_class, "Sentiment sink", "Sink/Analyzer",
      "Writes what the model says about each review", "Tandem contributors");
  gst_element_class_add_static_pad_template (element_class, &sink_template);

  base_class->set_caps = GST_DEBUG_FUNCPTR (gst_sentiment_sink_set_caps);
  base_class->query = GST_DEBUG_FUNCPTR (gst_sentiment_sink_query);
  base_class->event = GST_DEBUG_FUNCPTR (gst_sentiment_sink_event);
  base_class->unlock = GST_DEBUG_FUNCPTR (gst_sentiment_sink_unlock);
  base_class->unlock_stop = GST_DEBUG_FUNCPTR (gst_sentiment_sink_unlock_stop);
  base_class->render = GST_DEBUG_FUNCPTR (gst_sentiment_sink_render);

  gst_type_mark_as_plugin_api (GST_TYPE_SENTIMENT_FORMAT, 0);
}

static void
gst_sentiment_sink_init (GstSentimentSink *self)
{
  GstBaseSink *base = GST_BASE_SINK (self);

  /* Results are written when they come, not when a clock says, and a pipeline that waits for a
   * first review to be typed is already playing. */
  gst_base_sink_set_sync (base, FALSE);
  gst_base_sink_set_async_enabled (base, FALSE);
  /* The last buffer would keep the receipts of its batch alive. */
  gst_base_sink_set_last_sample_enabled (base, FALSE);

  g_mutex_init (&self->lock);
  self->cancellable = g_cancellable_new ();
  self->clock = gst_system_clock_obtain ();
}

static void
gst_sentiment_sink_finalize (GObject *object)
{
  GstSentimentSink *self = GST_SENTIMENT_SINK (object);

  gst_object_unref (self->clock);
  g_object_unref (self->cancellable);
  g_mutex_clear (&self->lock);
  g_free (self->location);
  G_OBJECT_CLASS (gst_sentiment_sink_parent_class)->finalize (object);
}

static const TandemField fields[] = {
  TANDEM_FIELD (PROP_FORMAT, GstSentimentSink, format),
  TANDEM_FIELD (PROP_LOCATION, GstSentimentSink, location),
  TANDEM_FIELD (PROP_ORDERED, GstSentimentSink, ordered),
  TANDEM_FIELD (PROP_REORDER_WINDOW, GstSentimentSink, reorder_window),
  TANDEM_FIELD (PROP_REORDER_TIMEOUT, GstSentimentSink, reorder_timeout),
  TANDEM_FIELD (PROP_SUMMARY, GstSentimentSink, summary),
  TANDEM_FIELD (PROP_POST_MESSAGES, GstSentimentSink, post_messages),
  { 0 }
};

static void
gst_sentiment_sink_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  GST_OBJECT_LOCK (object);
  if (!tandem_fields_set (fields, object, id, value))
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  GST_OBJECT_UNLOCK (object);
}

static void
gst_sentiment_sink_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  GST_OBJECT_LOCK (object);
  if (!tandem_fields_get (fields, object, id, value))
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  GST_OBJECT_UNLOCK (object);
}

static gboolean
gst_sentiment_sink_open (GstSentimentSink *self)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *location = NULL;
  SentimentOutput *output;
  SentimentFormat format;
  guint window;
  GstClockTime timeout;

  GST_OBJECT_LOCK (self);
  location = g_strdup (self->location);
  format = self->format;
  window = self->ordered ? self->reorder_window : 0;
  timeout = self->reorder_timeout;
  GST_OBJECT_UNLOCK (self);

  output = sentiment_output_open (location, &error);
  if (output == NULL) {
    g_autofree char *name = g_filename_display_name (location);

    GST_ELEMENT_ERROR (self, RESOURCE, OPEN_WRITE,
        (_("Could not open %s for writing results: %s"), name, error->message), (NULL));
    return FALSE;
  }
  g_mutex_lock (&self->lock);
  /* A limit below the timer's resolution still is one. */
  self->stream = sentiment_stream_new (output, format, window,
      timeout > 0 ? (gint64) MAX (1, timeout / GST_USECOND) : 0, gst_sentiment_sink_post_result,
      self);
  self->summed_up = FALSE;
  self->failed = FALSE;
  self->timer_deadline = -1;
  g_mutex_unlock (&self->lock);
  return TRUE;
}

static void
gst_sentiment_sink_close (GstSentimentSink *self)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *name = NULL;

  g_mutex_lock (&self->lock);
  if (self->stream != NULL) {
    name = g_strdup (sentiment_stream_get_name (self->stream));
    gst_sentiment_sink_disarm_timer (self);
    sentiment_stream_free (g_steal_pointer (&self->stream), &error);
  }
  g_clear_pointer (&self->stream_id, g_free);
  g_mutex_unlock (&self->lock);

  if (error != NULL)
    GST_ELEMENT_WARNING (self, RESOURCE, CLOSE,
        (_("Results may be missing in %s: %s"), name, error->message), (NULL));
}

static GstStateChangeReturn
gst_sentiment_sink_change_state (GstElement *element, GstStateChange transition)
{
  GstSentimentSink *self = GST_SENTIMENT_SINK (element);
  GstStateChangeReturn result;

  /* Not in start(), which runs on the way to READY: a pipeline that goes to READY and plays
   * again begins a new file. */
  if (transition == GST_STATE_CHANGE_READY_TO_PAUSED && !gst_sentiment_sink_open (self))
    return GST_STATE_CHANGE_FAILURE;
  result = GST_ELEMENT_CLASS (gst_sentiment_sink_parent_class)->change_state (element, transition);
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY ||
      (transition == GST_STATE_CHANGE_READY_TO_PAUSED && result == GST_STATE_CHANGE_FAILURE))
    gst_sentiment_sink_close (self);
  return result;
}

static gboolean
gst_sentiment_sink_set_caps (GstBaseSink *base, GstCaps *caps)
{
  GstSentimentSink *self = GST_SENTIMENT_SINK (base);
  g_autoptr (GError) error = NULL;
  g_auto (TandemStreamInfo) info = { 0 };

  if (!tandem_stream_info_from_caps (&info, caps, &error)) {
    GST_ELEMENT_ERROR (self, STREAM, FORMAT,
        (_("The stream of scores is not described completely.")), ("%s", error->message));
    return FALSE;
  }
  g_mutex_lock (&self->lock);
  sentiment_stream_set_info (self->stream, &info);
  g_mutex_unlock (&self->lock);
  return TRUE;
}

static gboolean
gst_sentiment_sink_query (GstBaseSink *base, GstQuery *query)
{
  if (tandem_query_is_accepted (query)) {
    g_autoptr (GstCaps) caps = gst_caps_new_empty_simple (TANDEM_CAPS_LOGITS);

    tandem_query_set_accepted (query, caps, 0);
    return TRUE;
  }
  return GST_BASE_SINK_CLASS (gst_sentiment_sink_parent_class)->query (base, query);
}

/* A source that serves one sender after the other begins a stream for each, and may say that one is
 * done before the next begins. */
static gboolean
begin_stream (GstSentimentSink *self, GstEvent *event)
{
  const char *stream_id;
  gboolean is_new;

  gst_event_parse_stream_start (event, &stream_id);
  g_mutex_lock (&self->lock);
  is_new = g_strcmp0 (self->stream_id, stream_id) != 0 &&
      sentiment_stream_get_summary (self->stream)->buffers > 0;
  g_free (self->stream_id);
  self->stream_id = g_strdup (stream_id);
  g_mutex_unlock (&self->lock);
  return !is_new || gst_sentiment_sink_finish_stream (self) == GST_FLOW_OK;
}

static gboolean
gst_sentiment_sink_event (GstBaseSink *base, GstEvent *event)
{
  GstSentimentSink *self = GST_SENTIMENT_SINK (base);
  gboolean ok = TRUE;

  switch (GST_EVENT_TYPE (event)) {
    case GST_EVENT_STREAM_START:
      ok = begin_stream (self, event);
      break;
    case GST_EVENT_STREAM_GROUP_DONE:
    case GST_EVENT_EOS:
      ok = gst_sentiment_sink_finish_stream (self) == GST_FLOW_OK;
      break;
    case GST_EVENT_FLUSH_STOP:
      g_mutex_lock (&self->lock);
      gst_sentiment_sink_forget_stream (self);
      g_mutex_unlock (&self->lock);
      break;
    default:
      break;
  }
  if (!ok) {
    gst_event_unref (event);
    return FALSE;
  }
  return GST_BASE_SINK_CLASS (gst_sentiment_sink_parent_class)->event (base, event);
}

static gboolean
gst_sentiment_sink_unlock (GstBaseSink *base)
{
  g_cancellable_cancel (GST_SENTIMENT_SINK (base)->cancellable);
  return TRUE;
}

static gboolean
gst_sentiment_sink_unlock_stop (GstBaseSink *base)
{
  g_cancellable_reset (GST_SENTIMENT_SINK (base)->cancellable);
  return TRUE;
}

static GstFlowReturn
gst_sentiment_sink_render (GstBaseSink *base, GstBuffer *buffer)
{
  GstSentimentSink *self = GST_SENTIMENT_SINK (base);
  GstFlowReturn flow;

  g_mutex_lock (&self->lock);
  flow = gst_sentiment_sink_take_buffer (self, buffer);
  gst_sentiment_sink_arm_timer (self);
  g_mutex_unlock (&self->lock);
  return flow;
}
