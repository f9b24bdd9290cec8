/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * SECTION:element-microbatch
 * @title: microbatch
 *
 * Packs the token sequences of several buffers into one, whole and in order, without
 * padding: [tokens] to [tokens]. The #TandemBatchMeta lists all of them and answers for the
 * receipts of all inputs. The packed buffer has the timestamps of its first input.
 *
 * A batch goes on when the next input would not fit into it ("size" sequences, "max-tokens"
 * tokens), when it is full, at the end of the stream, before any other event in order, and
 * "max-latency" after its first sequence came. An input that is larger than a batch passes
 * alone.
 *
 * |[
 * gst-launch-1.0 fdsrc ! lineparse ! tokenize vocab=vocab.txt ! microbatch max-latency=20 ! fakesink dump=true
 * ]|
 */

/* Two threads push: the streaming thread, and with a max-latency the timer. Both do so
 * with the stream lock of the sink pad. Lock order: stream lock, then self->lock. */

#include "config.h"

#include <glib/gi18n-lib.h>
#include <gst/gst.h>

#include "stream/tandem-fields.h"
#include "tandem.h"

#include "gsttandembert.h"

GST_DEBUG_CATEGORY_STATIC (gst_micro_batch_debug);
#define GST_CAT_DEFAULT gst_micro_batch_debug

#define DEFAULT_SIZE 32
#define DEFAULT_MAX_TOKENS 1024
#define DEFAULT_MAX_LATENCY 0

enum
{
  PROP_0,
  PROP_SIZE,
  PROP_MAX_TOKENS,
  PROP_MAX_LATENCY,
};

static GstStaticPadTemplate sink_template =
GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK, GST_PAD_ALWAYS,
    GST_STATIC_CAPS (TANDEM_CAPS_TOKENS));

static GstStaticPadTemplate src_template =
GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC, GST_PAD_ALWAYS,
    GST_STATIC_CAPS (TANDEM_CAPS_TOKENS));

#define GST_TYPE_MICRO_BATCH (gst_micro_batch_get_type ())
G_DECLARE_FINAL_TYPE (GstMicroBatch, gst_micro_batch, GST, MICRO_BATCH, GstElement)

struct _GstMicroBatch
{
  GstElement parent;

  GstPad *sink;
  GstPad *src;

  /* object lock */
  guint size;
  guint max_tokens;
  guint max_latency;

  /* stream lock of the sink pad: the inputs of the batch that fills */
  GPtrArray *inputs;
  guint n_sequences;
  guint n_tokens;
  /* what the timer's push returned, for the next chain call */
  GstFlowReturn flow;

  /* lock: when the timer has to push, 0 for never, and which batch that is about */
  GMutex lock;
  GCond cond;
  gint64 deadline;
  gboolean stopping;

  /* set before start */
  GThread *timer;
};

G_DEFINE_FINAL_TYPE_WITH_CODE (GstMicroBatch, gst_micro_batch, GST_TYPE_ELEMENT,
    GST_DEBUG_CATEGORY_INIT (gst_micro_batch_debug, "microbatch", 0, "packs sequences"))

GST_ELEMENT_REGISTER_DEFINE (microbatch, "microbatch", GST_RANK_NONE, GST_TYPE_MICRO_BATCH)

static void gst_micro_batch_set_property (GObject *object, guint id, const GValue *value,
                                          GParamSpec *pspec);
static void gst_micro_batch_get_property (GObject *object, guint id, GValue *value,
                                          GParamSpec *pspec);
static void gst_micro_batch_finalize (GObject *object);
static GstStateChangeReturn gst_micro_batch_change_state (GstElement *element,
                                                          GstStateChange transition);
static GstFlowReturn gst_micro_batch_chain (GstPad *pad, GstObject *parent, GstBuffer *buffer);
static gboolean gst_micro_batch_sink_event (GstPad *pad, GstObject *parent, GstEvent *event);
static gboolean gst_micro_batch_src_query (GstPad *pad, GstObject *parent, GstQuery *query);

static void
gst_micro_batch_class_init (GstMicroBatchClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_CONSTRUCT | G_PARAM_STATIC_STRINGS;

  object_class->set_property = gst_micro_batch_set_property;
  object_class->get_property = gst_micro_batch_get_property;
  object_class->finalize = gst_micro_batch_finalize;

  g_object_class_install_property (object_class, PROP_SIZE,
      g_param_spec_uint ("size", "Size", "The most sequences in a batch", 1, 65536, DEFAULT_SIZE,
          flags | GST_PARAM_MUTABLE_PLAYING));
  g_object_class_install_property (object_class, PROP_MAX_TOKENS,
      g_param_spec_uint ("max-tokens", "Most tokens",
          "The most tokens in a batch; a longer input passes alone", 1, G_MAXINT,
          DEFAULT_MAX_TOKENS, flags | GST_PARAM_MUTABLE_PLAYING));
  g_object_class_install_property (object_class, PROP_MAX_LATENCY,
      g_param_spec_uint ("max-latency", "Longest wait",
          "Milliseconds that a sequence waits for others (0: until the batch is full or the "
          "stream ends)", 0, G_MAXINT, DEFAULT_MAX_LATENCY, flags | GST_PARAM_MUTABLE_READY));

  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_element_class_set_static_metadata (element_class, "Micro-batches", "Filter/Text",
      "Packs token sequences into micro-batches", "Tandem");

  element_class->change_state = gst_micro_batch_change_state;
}

static void
gst_micro_batch_init (GstMicroBatch *self)
{
  g_mutex_init (&self->lock);
  g_cond_init (&self->cond);
  self->inputs = g_ptr_array_new_with_free_func ((GDestroyNotify) gst_buffer_unref);

  self->sink = gst_pad_new_from_static_template (&sink_template, "sink");
  gst_pad_set_chain_function (self->sink, gst_micro_batch_chain);
  gst_pad_set_event_function (self->sink, gst_micro_batch_sink_event);
  GST_PAD_SET_PROXY_CAPS (self->sink);
  gst_element_add_pad (GST_ELEMENT (self), self->sink);

  self->src = gst_pad_new_from_static_template (&src_template, "src");
  gst_pad_set_query_function (self->src, gst_micro_batch_src_query);
  GST_PAD_SET_PROXY_CAPS (self->src);
  gst_element_add_pad (GST_ELEMENT (self), self->src);
}

static void
gst_micro_batch_finalize (GObject *object)
{
  GstMicroBatch *self = GST_MICRO_BATCH (object);

  g_ptr_array_unref (self->inputs);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->cond);
  G_OBJECT_CLASS (gst_micro_batch_parent_class)->finalize (object);
}

static const TandemField fields[] = {
  TANDEM_FIELD (PROP_SIZE, GstMicroBatch, size),
  TANDEM_FIELD (PROP_MAX_TOKENS, GstMicroBatch, max_tokens),
  TANDEM_FIELD (PROP_MAX_LATENCY, GstMicroBatch, max_latency),
  { 0 }
};

static void
gst_micro_batch_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  GST_OBJECT_LOCK (object);
  if (!tandem_fields_set (fields, object, id, value))
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  GST_OBJECT_UNLOCK (object);
}

static void
gst_micro_batch_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  GST_OBJECT_LOCK (object);
  if (!tandem_fields_get (fields, object, id, value))
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  GST_OBJECT_UNLOCK (object);
}

static void
set_deadline (GstMicroBatch *self, gint64 deadline)
{
  g_mutex_lock (&self->lock);
  self->deadline = deadline;
  g_cond_signal (&self->cond);
  g_mutex_unlock (&self->lock);
}

/* With the stream lock: forgets the batch that fills. */
static void
clear_batch (GstMicroBatch *self)
{
  g_ptr_array_set_size (self->inputs, 0);
  self->n_sequences = self->n_tokens = 0;
  if (self->timer != NULL)
    set_deadline (self, 0);
}

/* Packs self->inputs into one buffer. */
static GstBuffer *
pack (GstMicroBatch *self)
{
  g_autofree guint32 *offsets = g_new (guint32, (gsize) self->n_sequences + 1);
  g_autofree guint64 *ids = g_new (guint64, self->n_sequences);
  g_autofree gint32 *labels = g_new (gint32, self->n_sequences);
  GstBuffer *output = gst_buffer_new_allocate (NULL, (gsize) self->n_tokens * sizeof (gint32),
                                               NULL);
  TandemBatchMeta *meta;
  GstMapInfo map;
  guint i, j, n = 0, row = 0;

  gst_buffer_map (output, &map, GST_MAP_WRITE);
  for (i = 0; i < self->inputs->len; i++) {
    GstBuffer *input = g_ptr_array_index (self->inputs, i);
    const TandemBatchMeta *part = tandem_buffer_get_batch_meta (input);

    gst_buffer_extract (input, 0, map.data + (gsize) row * sizeof (gint32),
                        map.size - (gsize) row * sizeof (gint32));
    for (j = 0; j < part->n_sequences; j++, n++) {
      offsets[n] = row + part->offsets[j];
      ids[n] = part->ids[j];
      labels[n] = part->labels[j];
    }
    row += tandem_batch_meta_get_n_rows (part);
  }
  offsets[n] = row;
  gst_buffer_unmap (output, &map);

  gst_buffer_copy_into (output, g_ptr_array_index (self->inputs, 0),
                        GST_BUFFER_COPY_FLAGS | GST_BUFFER_COPY_TIMESTAMPS, 0, -1);
  meta = tandem_buffer_add_batch_meta (output, n, offsets, ids, labels);
  for (i = 0; i < self->inputs->len; i++)
    tandem_batch_meta_take_receipts_from (
        meta, tandem_buffer_get_batch_meta (g_ptr_array_index (self->inputs, i)));
  return output;
}

/* With the stream lock: pushes what there is. */
static GstFlowReturn
push_batch (GstMicroBatch *self)
{
  GstBuffer *output;

  if (self->inputs->len == 0)
    return GST_FLOW_OK;
  if (self->inputs->len == 1)
    output = gst_buffer_ref (g_ptr_array_index (self->inputs, 0));
  else
    output = pack (self);
  GST_LOG_OBJECT (self, "%u sequences, %u tokens", self->n_sequences, self->n_tokens);
  clear_batch (self);
  return gst_pad_push (self->src, output);
}

static gpointer
run_timer (gpointer data)
{
  GstMicroBatch *self = data;

  g_mutex_lock (&self->lock);
  while (!self->stopping) {
    gboolean due;

    if (self->deadline == 0)
      g_cond_wait (&self->cond, &self->lock);
    else
      g_cond_wait_until (&self->cond, &self->lock, self->deadline);
    due = self->deadline != 0 && g_get_monotonic_time () >= self->deadline;
    if (self->stopping || !due)
      continue;

    g_mutex_unlock (&self->lock);
    GST_PAD_STREAM_LOCK (self->sink);
    /* The streaming thread may have pushed that batch and begun another one. */
    g_mutex_lock (&self->lock);
    due = !self->stopping && self->deadline != 0 && g_get_monotonic_time () >= self->deadline;
    g_mutex_unlock (&self->lock);
    if (due) {
      GstFlowReturn flow = push_batch (self);

      if (self->flow == GST_FLOW_OK)
        self->flow = flow;
    }
    GST_PAD_STREAM_UNLOCK (self->sink);
    g_mutex_lock (&self->lock);
  }
  g_mutex_unlock (&self->lock);
  return NULL;
}

static void
stop_timer (GstMicroBatch *self)
{
  g_mutex_lock (&self->lock);
  self->stopping = TRUE;
  g_cond_signal (&self->cond);
  g_mutex_unlock (&self->lock);
}

static GstStateChangeReturn
gst_micro_batch_change_state (GstElement *element, GstStateChange transition)
{
  GstMicroBatch *self = GST_MICRO_BATCH (element);
  GstStateChangeReturn ret;
  guint max_latency;

  if (transition == GST_STATE_CHANGE_READY_TO_PAUSED) {
    GST_OBJECT_LOCK (self);
    max_latency = self->max_latency;
    GST_OBJECT_UNLOCK (self);
    self->flow = GST_FLOW_OK;
    self->stopping = FALSE;
    self->deadline = 0;
    if (max_latency > 0)
      self->timer = g_thread_new ("microbatch", run_timer, self);
  } else if (transition == GST_STATE_CHANGE_PAUSED_TO_READY) {
    stop_timer (self);
  }

  ret = GST_ELEMENT_CLASS (gst_micro_batch_parent_class)->change_state (element, transition);

  /* Only now: a push of the timer returns when the pads have been deactivated. */
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY ||
      (transition == GST_STATE_CHANGE_READY_TO_PAUSED && ret == GST_STATE_CHANGE_FAILURE)) {
    stop_timer (self);
    g_clear_pointer (&self->timer, g_thread_join);
    clear_batch (self);
  }
  return ret;
}

/* Checks that @buffer holds what its meta says. */
static TandemBatchMeta *
check_input (GstMicroBatch *self, GstBuffer *buffer)
{
  TandemBatchMeta *meta = tandem_buffer_get_batch_meta (buffer);
  gsize size = gst_buffer_get_size (buffer);

  if (meta == NULL) {
    GST_ELEMENT_ERROR (self, STREAM, FORMAT,
                       (_("A buffer of tokens does not say which sequences it holds.")),
                       ("no TandemBatchMeta; is \"tokenize\" missing?"));
    return NULL;
  }
  if (size != (gsize) tandem_batch_meta_get_n_rows (meta) * sizeof (gint32)) {
    GST_ELEMENT_ERROR (self, STREAM, FORMAT,
                       (_("A buffer of tokens is not as long as its sequences are.")),
                       ("%" G_GSIZE_FORMAT " bytes, %u tokens", size,
                        tandem_batch_meta_get_n_rows (meta)));
    return NULL;
  }
  return meta;
}

static GstFlowReturn
gst_micro_batch_chain (GstPad *pad, GstObject *parent, GstBuffer *buffer)
{
  GstMicroBatch *self = GST_MICRO_BATCH (parent);
  const TandemBatchMeta *meta = check_input (self, buffer);
  guint size, max_tokens, max_latency, n_rows;
  GstFlowReturn flow = self->flow;

  if (meta == NULL || flow != GST_FLOW_OK) {
    gst_buffer_unref (buffer);
    return meta == NULL ? GST_FLOW_ERROR : flow;
  }
  GST_OBJECT_LOCK (self);
  size = self->size;
  max_tokens = self->max_tokens;
  max_latency = self->max_latency;
  GST_OBJECT_UNLOCK (self);
  n_rows = tandem_batch_meta_get_n_rows (meta);

  if (self->n_sequences + (guint64) meta->n_sequences > size ||
      self->n_tokens + (guint64) n_rows > max_tokens) {
    flow = push_batch (self);
    if (flow != GST_FLOW_OK) {
      gst_buffer_unref (buffer);
      return flow;
    }
  }

  if (self->timer != NULL && self->inputs->len == 0)
    set_deadline (self, g_get_monotonic_time () + max_latency * (gint64) 1000);
  self->n_sequences += meta->n_sequences;
  self->n_tokens += n_rows;
  g_ptr_array_add (self->inputs, buffer);
  if (self->n_sequences >= size || self->n_tokens >= max_tokens)
    flow = push_batch (self);
  return flow;
}

static gboolean
gst_micro_batch_sink_event (GstPad *pad, GstObject *parent, GstEvent *event)
{
  GstMicroBatch *self = GST_MICRO_BATCH (parent);

  if (GST_EVENT_TYPE (event) == GST_EVENT_FLUSH_STOP) {
    clear_batch (self);
    self->flow = GST_FLOW_OK;
  } else if (GST_EVENT_IS_SERIALIZED (event)) {
    push_batch (self);
    if (GST_EVENT_TYPE (event) == GST_EVENT_STREAM_START)
      self->flow = GST_FLOW_OK;
  }
  return gst_pad_event_default (pad, parent, event);
}

static gboolean
gst_micro_batch_src_query (GstPad *pad, GstObject *parent, GstQuery *query)
{
  GstMicroBatch *self = GST_MICRO_BATCH (parent);
  GstClockTime min, max, wait;
  gboolean live;

  if (GST_QUERY_TYPE (query) != GST_QUERY_LATENCY)
    return gst_pad_query_default (pad, parent, query);
  if (!gst_pad_peer_query (self->sink, query))
    return FALSE;
  GST_OBJECT_LOCK (self);
  wait = self->max_latency * GST_MSECOND;
  GST_OBJECT_UNLOCK (self);
  gst_query_parse_latency (query, &live, &min, &max);
  if (GST_CLOCK_TIME_IS_VALID (max))
    max += wait;
  gst_query_set_latency (query, live, min + wait, max);
  return TRUE;
}
