/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What goes into the bin and comes out of it. The streaming thread of the sink pad writes
 * micro-batches into the book and waits while there is no room; each chain reads what it is asked
 * from the book, and writes its answers there; a task of the source pad takes what is next in the
 * order of the stream. So nobody pushes while somebody else is waited for. */

#include "config.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "bert-chain.h"
#include "bert-worker.h"
#include "gstbertbin-private.h"

#define GST_CAT_DEFAULT gst_bert_bin_debug
GST_DEBUG_CATEGORY_EXTERN (gst_bert_bin_debug);

/* --- in --- */

static gboolean
check_caps (GstBertBin *self, const GstCaps *caps)
{
  g_auto (TandemStreamInfo) info = { 0 };
  g_autofree char *got = NULL, *wanted = NULL;
  g_autoptr (GError) error = NULL;

  if (!tandem_stream_info_from_caps (&info, caps, &error)) {
    GST_ELEMENT_ERROR (self, STREAM, FORMAT, (_("The stream before this stage is not valid.")),
                       ("%s", error->message));
    return FALSE;
  }
  if (tandem_stream_info_is_equal (&info, &self->input))
    return TRUE;
  got = tandem_stream_info_describe (&info);
  wanted = tandem_stream_info_describe (&self->input);
  if (info.kind == TANDEM_STREAM_TOKENS)
    GST_ELEMENT_ERROR (self, STREAM, WRONG_TYPE,
                       (_("The vocabulary of the tokens is not this model's: give tokenize the "
                          "same model.")), ("this stage takes %s; it gets %s", wanted, got));
  else
    GST_ELEMENT_ERROR (self, STREAM, WRONG_TYPE,
                       (_("This stage takes %s, but the one before it gives %s."), wanted, got),
                       ("check model= of both"));
  return FALSE;
}

/* What a stage would choke on is refused here, where it is known whose fault it is: another chain
 * would fail at it, too. */
static gboolean
check_tokens (GstBertBin *self, GstBuffer *buffer, const TandemBatchMeta *meta, GError **error)
{
  const TandemModelConfig *config = tandem_model_get_config (self->model);
  gsize n_rows = tandem_batch_meta_get_n_rows (meta), i;
  GstMapInfo map;
  gboolean ok = TRUE;

  if (gst_buffer_get_size (buffer) != n_rows * sizeof (gint32)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 _("%u tokens in a buffer of %u bytes"), (guint) n_rows,
                 (guint) gst_buffer_get_size (buffer));
    return FALSE;
  }
  for (i = 0; i < meta->n_sequences; i++) {
    guint length = meta->offsets[i + 1] - meta->offsets[i];

    if (length < 1 || length > config->max_positions) {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                   _("a sequence of %u tokens; the model takes 1 to %u"), length,
                   config->max_positions);
      return FALSE;
    }
  }
  if (!gst_buffer_map (buffer, &map, GST_MAP_READ)) {
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED,
                         _("the memory of a buffer cannot be reached"));
    return FALSE;
  }
  for (i = 0; ok && i < n_rows; i++) {
    gint32 id = ((const gint32 *) map.data)[i];

    ok = id >= 0 && (guint) id < config->vocab_size;
    if (!ok)
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                   _("token %d; the vocabulary has %u"), id, config->vocab_size);
  }
  gst_buffer_unmap (buffer, &map);
  return ok;
}

/* Returns what to tell upstream instead of taking anything. */
static GstFlowReturn
get_refusal (GstBertBin *self)
{
  if (!self->takes)
    return GST_FLOW_FLUSHING;
  return self->has_failed ? GST_FLOW_ERROR : self->flow;
}

/* With the lock. */
static void
note_shape (GstBertBin *self, const TandemBatchMeta *meta)
{
  guint n_tokens = tandem_batch_meta_get_n_rows (meta), i;

  self->n_batches++;
  self->sum.n_sequences += meta->n_sequences;
  self->sum.n_tokens += n_tokens;
  for (i = 0; i < meta->n_sequences; i++) {
    guint64 length = meta->offsets[i + 1] - meta->offsets[i];

    self->sum.n_squares += length * length;
  }
  if (meta->n_sequences <= self->largest.n_sequences && n_tokens <= self->largest.n_tokens)
    return;
  self->largest.n_sequences = MAX (self->largest.n_sequences, meta->n_sequences);
  self->largest.n_tokens = MAX (self->largest.n_tokens, n_tokens);
  bert_worker_grown (self->worker);
}

static GstFlowReturn
on_buffer (GstPad *pad, GstObject *parent, GstBuffer *buffer)
{
  GstBertBin *self = GST_BERT_BIN (parent);
  TandemBatchMeta *meta = tandem_buffer_get_batch_meta (buffer);
  gsize size = gst_buffer_get_size (buffer);
  g_autoptr (GError) error = NULL;
  GstFlowReturn ret;

  if (meta == NULL) {
    GST_ELEMENT_ERROR (self, STREAM, FORMAT,
                       (_("A buffer does not say which sequences it holds.")),
                       ("it lacks a TandemBatchMeta"));
    gst_buffer_unref (buffer);
    return GST_FLOW_ERROR;
  }
  if (!check_tokens (self, buffer, meta, &error)) {
    GST_ELEMENT_ERROR (self, STREAM, DECODE,
                       (_("A micro-batch cannot be run: %s"), error->message),
                       ("first sequence: id %" G_GUINT64_FORMAT, meta->ids[0]));
    gst_buffer_unref (buffer);
    return GST_FLOW_ERROR;
  }
  g_mutex_lock (&self->lock);
  while ((ret = get_refusal (self)) == GST_FLOW_OK &&
         !tandem_answer_book_has_room (self->book, size))
    g_cond_wait (&self->changed, &self->lock);
  if (ret == GST_FLOW_OK) {
    note_shape (self, meta);
    tandem_answer_book_add_buffer (self->book, buffer);
    g_cond_broadcast (&self->changed);
  } else {
    gst_buffer_unref (buffer);
  }
  g_mutex_unlock (&self->lock);
  return ret;
}

static void
set_takes (GstBertBin *self, gboolean takes)
{
  g_mutex_lock (&self->lock);
  self->takes = takes;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

static void give (gpointer data);

static void
stop_giving (GstBertBin *self)
{
  g_mutex_lock (&self->lock);
  self->gives = FALSE;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

static gboolean
start_giving (GstBertBin *self)
{
  g_mutex_lock (&self->lock);
  self->gives = TRUE;
  self->flow = GST_FLOW_OK;
  g_mutex_unlock (&self->lock);
  return gst_pad_start_task (self->srcpad, give, self, NULL);
}

static gboolean
on_flush_start (GstBertBin *self, GstEvent *event)
{
  gboolean ok;

  set_takes (self, FALSE);
  stop_giving (self);
  ok = gst_pad_push_event (self->srcpad, event);
  gst_pad_pause_task (self->srcpad);
  return ok;
}

/* What chains still answer is for nobody: the book knows it by its numbers. */
static gboolean
on_flush_stop (GstBertBin *self, GstEvent *event)
{
  gboolean ok;

  g_mutex_lock (&self->lock);
  tandem_answer_book_flush (self->book);
  if (self->drains) {
    self->drains = FALSE;
    bert_worker_drained (self->worker);
  }
  g_mutex_unlock (&self->lock);
  ok = gst_pad_push_event (self->srcpad, event);
  set_takes (self, TRUE);
  return start_giving (self) && ok;
}

/* All that goes on in order goes through the book; so EOS comes after the last answer. */
static gboolean
on_event (GstPad *pad, GstObject *parent, GstEvent *event)
{
  GstBertBin *self = GST_BERT_BIN (parent);
  GstCaps *caps;
  gboolean ok;

  if (GST_EVENT_TYPE (event) == GST_EVENT_FLUSH_START)
    return on_flush_start (self, event);
  if (GST_EVENT_TYPE (event) == GST_EVENT_FLUSH_STOP)
    return on_flush_stop (self, event);
  if (!GST_EVENT_IS_SERIALIZED (event))
    return gst_pad_event_default (pad, parent, event);
  if (GST_EVENT_TYPE (event) == GST_EVENT_CAPS) {
    gst_event_parse_caps (event, &caps);
    ok = check_caps (self, caps);
    gst_event_unref (event);
    if (!ok)
      return FALSE;
    caps = tandem_stream_info_to_caps (&self->output);
    event = gst_event_new_caps (caps);
    gst_caps_unref (caps);
  }
  g_mutex_lock (&self->lock);
  ok = get_refusal (self) == GST_FLOW_OK;
  if (ok) {
    tandem_answer_book_add_event (self->book, event);
    g_cond_broadcast (&self->changed);
  } else {
    gst_event_unref (event);
  }
  g_mutex_unlock (&self->lock);
  return ok;
}

static gboolean
on_sink_query (GstPad *pad, GstObject *parent, GstQuery *query)
{
  GstBertBin *self = GST_BERT_BIN (parent);
  g_autoptr (GstCaps) caps = NULL;
  GstCaps *filter;

  /* Any stream of tokens comes as far as its caps event, which is refused with a sentence. */
  if (GST_QUERY_TYPE (query) == GST_QUERY_CAPS) {
    gst_query_parse_caps (query, &filter);
    caps = gst_pad_get_pad_template_caps (pad);
    if (filter != NULL) {
      GstCaps *both = gst_caps_intersect_full (filter, caps, GST_CAPS_INTERSECT_FIRST);

      gst_caps_unref (caps);
      caps = both;
    }
    gst_query_set_caps_result (query, caps);
    return TRUE;
  }
  if (tandem_query_is_accepted (query)) {
    if (self->model == NULL)
      return FALSE;
    caps = tandem_stream_info_to_caps (&self->input);
    tandem_query_set_accepted (query, caps, tandem_model_get_config (self->model)->n_layers - 1);
    return TRUE;
  }
  /* Memory and order of buffers are not the same on both sides. */
  if (GST_QUERY_IS_SERIALIZED (query))
    return FALSE;
  return gst_pad_query_default (pad, parent, query);
}

static gboolean
on_src_query (GstPad *pad, GstObject *parent, GstQuery *query)
{
  GstBertBin *self = GST_BERT_BIN (parent);
  g_autoptr (GstCaps) caps = NULL;
  GstCaps *filter;

  if (GST_QUERY_TYPE (query) != GST_QUERY_CAPS)
    return gst_pad_query_default (pad, parent, query);
  gst_query_parse_caps (query, &filter);
  caps = self->model != NULL ? tandem_stream_info_to_caps (&self->output)
                             : gst_pad_get_pad_template_caps (pad);
  if (filter != NULL) {
    GstCaps *both = gst_caps_intersect_full (filter, caps, GST_CAPS_INTERSECT_FIRST);

    gst_caps_unref (caps);
    caps = both;
  }
  gst_query_set_caps_result (query, caps);
  return TRUE;
}

static gboolean
on_sink_mode (GstPad *pad, GstObject *parent, GstPadMode mode, gboolean active)
{
  if (mode != GST_PAD_MODE_PUSH)
    return FALSE;
  set_takes (GST_BERT_BIN (parent), active);
  return TRUE;
}

/* --- out --- */

/* In the task of the source pad. */
static void
give (gpointer data)
{
  GstBertBin *self = data;
  GstMiniObject *object = NULL;
  GstFlowReturn ret;

  g_mutex_lock (&self->lock);
  while (self->gives && (object = tandem_answer_book_take (self->book)) == NULL)
    g_cond_wait (&self->changed, &self->lock);
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
  if (object == NULL) {
    gst_pad_pause_task (self->srcpad);
    return;
  }
  if (GST_IS_EVENT (object)) {
    gst_pad_push_event (self->srcpad, GST_EVENT (object));
    return;
  }
  ret = gst_pad_push (self->srcpad, GST_BUFFER (object));
  if (ret == GST_FLOW_OK)
    return;
  GST_INFO_OBJECT (self, "downstream says %s", gst_flow_get_name (ret));
  g_mutex_lock (&self->lock);
  self->flow = ret;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
  if (ret == GST_FLOW_EOS) {
    gst_pad_push_event (self->srcpad, gst_event_new_eos ());
  } else if (ret == GST_FLOW_NOT_LINKED || ret < GST_FLOW_EOS) {
    GST_ELEMENT_FLOW_ERROR (self, ret);
    gst_pad_push_event (self->srcpad, gst_event_new_eos ());
  }
  gst_pad_pause_task (self->srcpad);
}

static gboolean
on_src_mode (GstPad *pad, GstObject *parent, GstPadMode mode, gboolean active)
{
  GstBertBin *self = GST_BERT_BIN (parent);

  if (mode != GST_PAD_MODE_PUSH)
    return FALSE;
  if (active)
    return start_giving (self);
  stop_giving (self);
  return gst_pad_stop_task (pad);
}

void
gst_bert_bin_add_pads (GstBertBin *self, GstElementClass *klass)
{
  self->sinkpad = gst_pad_new_from_template (gst_element_class_get_pad_template (klass, "sink"),
                                             "sink");
  gst_pad_set_chain_function (self->sinkpad, on_buffer);
  gst_pad_set_event_function (self->sinkpad, on_event);
  gst_pad_set_query_function (self->sinkpad, on_sink_query);
  gst_pad_set_activatemode_function (self->sinkpad, on_sink_mode);
  gst_element_add_pad (GST_ELEMENT (self), self->sinkpad);

  self->srcpad = gst_pad_new_from_template (gst_element_class_get_pad_template (klass, "src"),
                                            "src");
  gst_pad_set_query_function (self->srcpad, on_src_query);
  gst_pad_set_activatemode_function (self->srcpad, on_src_mode);
  gst_element_add_pad (GST_ELEMENT (self), self->srcpad);
}

/* --- chains --- */

GstBuffer *
gst_bert_bin_wait_question (GstBertBin *self, BertChain *chain, const gboolean *flushing)
{
  GstBuffer *question = NULL;

  g_mutex_lock (&self->lock);
  while (!*flushing &&
         (self->fed != chain || !bert_chain_fits (chain, &self->largest) ||
          (question = tandem_answer_book_ask (self->book)) == NULL))
    g_cond_wait (&self->changed, &self->lock);
  if (question != NULL)
    bert_chain_asked (chain);
  g_mutex_unlock (&self->lock);
  return question;
}

TandemAnswerResult
gst_bert_bin_take_answer (GstBertBin *self, BertChain *chain, GstBuffer *logits, GError **error)
{
  TandemBatchMeta *meta = tandem_buffer_get_batch_meta (logits);
  TandemAnswerResult result;

  g_mutex_lock (&self->lock);
  result = tandem_answer_book_answer (self->book, logits, error);
  if (result == TANDEM_ANSWER_TAKEN)
    bert_chain_answered (chain, meta->n_sequences);
  if (self->drains && tandem_answer_book_get_n_asked (self->book) == 0) {
    self->drains = FALSE;
    bert_worker_drained (self->worker);
  }
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
  /* It was taken or is not wanted: nobody is to send it again. */
  if (meta != NULL)
    tandem_batch_meta_complete (meta);
  return result;
}

void
gst_bert_bin_feed (GstBertBin *self, BertChain *chain)
{
  g_mutex_lock (&self->lock);
  self->fed = chain;
  self->drains = FALSE;
  tandem_answer_book_ask_again (self->book);
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

gboolean
gst_bert_bin_drain (GstBertBin *self)
{
  gboolean done;

  g_mutex_lock (&self->lock);
  self->fed = NULL;
  done = tandem_answer_book_get_n_asked (self->book) == 0;
  self->drains = !done;
  g_mutex_unlock (&self->lock);
  return done;
}
