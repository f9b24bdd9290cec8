/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The ends of a chain: a source of what is to be asked, and a sink of answers. They are not
 * registered: only a chain has them, and it lives longer than they are active. */

#include "config.h"

#include "bert-ends.h"

#include <glib/gi18n-lib.h>
#include <gst/base/gstbasesink.h>
#include <gst/base/gstpushsrc.h>

static void
describe (GstElementClass *klass, GstStaticPadTemplate *pad, const char *name, const char *kind,
          const char *what)
{
  gst_element_class_add_static_pad_template (klass, pad);
  gst_element_class_set_static_metadata (klass, name, kind, what, "The Tandem developers");
}

/* --- the entry --- */

#define BERT_TYPE_ENTRY (bert_entry_get_type ())
G_DECLARE_FINAL_TYPE (BertEntry, bert_entry, BERT, ENTRY, GstPushSrc)

struct _BertEntry
{
  GstPushSrc parent;

  GstBertBin *owner;            /* borrowed */
  BertChain *chain;             /* borrowed */
  gboolean flushing;            /* the owner's lock */
};

G_DEFINE_FINAL_TYPE (BertEntry, bert_entry, GST_TYPE_PUSH_SRC)

static GstStaticPadTemplate entry_template = GST_STATIC_PAD_TEMPLATE (
    "src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS (TANDEM_CAPS_TOKENS));

static void
bert_entry_set_flushing (BertEntry *self, gboolean flushing)
{
  g_mutex_lock (&self->owner->lock);
  self->flushing = flushing;
  g_cond_broadcast (&self->owner->changed);
  g_mutex_unlock (&self->owner->lock);
}

static gboolean
bert_entry_unlock (GstBaseSrc *base)
{
  bert_entry_set_flushing (BERT_ENTRY (base), TRUE);
  return TRUE;
}

static gboolean
bert_entry_unlock_stop (GstBaseSrc *base)
{
  bert_entry_set_flushing (BERT_ENTRY (base), FALSE);
  return TRUE;
}

static gboolean
bert_entry_negotiate (GstBaseSrc *base)
{
  g_autoptr (GstCaps) caps = tandem_stream_info_to_caps (&BERT_ENTRY (base)->owner->input);

  return gst_base_src_set_caps (base, caps);
}

static gboolean
bert_entry_is_seekable (GstBaseSrc *base)
{
  return FALSE;
}

static GstFlowReturn
bert_entry_create (GstPushSrc *push, GstBuffer **buffer)
{
  BertEntry *self = BERT_ENTRY (push);

  *buffer = gst_bert_bin_wait_question (self->owner, self->chain, &self->flushing);
  return *buffer != NULL ? GST_FLOW_OK : GST_FLOW_FLUSHING;
}

static void
bert_entry_class_init (BertEntryClass *klass)
{
  GstBaseSrcClass *base_class = GST_BASE_SRC_CLASS (klass);

  describe (GST_ELEMENT_CLASS (klass), &entry_template, "Entry of a chain", "Source",
            "Asks the stages behind it");
  base_class->unlock = bert_entry_unlock;
  base_class->unlock_stop = bert_entry_unlock_stop;
  base_class->negotiate = bert_entry_negotiate;
  base_class->is_seekable = bert_entry_is_seekable;
  GST_PUSH_SRC_CLASS (klass)->create = bert_entry_create;
}

static void
bert_entry_init (BertEntry *self)
{
  gst_base_src_set_format (GST_BASE_SRC (self), GST_FORMAT_TIME);
}

GstElement *
bert_entry_new (GstBertBin *owner, BertChain *chain)
{
  BertEntry *self = g_object_new (BERT_TYPE_ENTRY, NULL);

  self->owner = owner;
  self->chain = chain;
  return GST_ELEMENT (self);
}

/* --- the exit --- */

#define BERT_TYPE_EXIT (bert_exit_get_type ())
G_DECLARE_FINAL_TYPE (BertExit, bert_exit, BERT, EXIT, GstBaseSink)

struct _BertExit
{
  GstBaseSink parent;

  GstBertBin *owner;            /* borrowed */
  BertChain *chain;             /* borrowed */
};

G_DEFINE_FINAL_TYPE (BertExit, bert_exit, GST_TYPE_BASE_SINK)

static GstStaticPadTemplate exit_template = GST_STATIC_PAD_TEMPLATE (
    "sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS (TANDEM_CAPS_LOGITS));

static gboolean
bert_exit_set_caps (GstBaseSink *base, GstCaps *caps)
{
  BertExit *self = BERT_EXIT (base);
  g_auto (TandemStreamInfo) info = { 0 };
  g_autofree char *got = NULL;
  g_autofree char *wanted = tandem_stream_info_describe (&self->owner->output);
  g_autoptr (GError) error = NULL;

  if (tandem_stream_info_from_caps (&info, caps, &error) &&
      tandem_stream_info_is_equal (&info, &self->owner->output))
    return TRUE;
  got = error == NULL ? tandem_stream_info_describe (&info) : g_strdup (error->message);
  GST_ELEMENT_ERROR (self, STREAM, WRONG_TYPE,
                     (_("The answers are not those of the model that was asked.")),
                     ("%s instead of %s", got, wanted));
  return FALSE;
}

/* Answers of another model are refused before they are sent. */
static gboolean
bert_exit_query (GstBaseSink *base, GstQuery *query)
{
  BertExit *self = BERT_EXIT (base);
  g_autoptr (GstCaps) caps = NULL;

  if (!tandem_query_is_accepted (query))
    return GST_BASE_SINK_CLASS (bert_exit_parent_class)->query (base, query);
  caps = tandem_stream_info_to_caps (&self->owner->output);
  tandem_query_set_accepted (query, caps, 0);
  return TRUE;
}

static GstFlowReturn
bert_exit_render (GstBaseSink *base, GstBuffer *buffer)
{
  BertExit *self = BERT_EXIT (base);
  g_autoptr (GError) error = NULL;

  switch (gst_bert_bin_take_answer (self->owner, self->chain, buffer, &error)) {
    case TANDEM_ANSWER_TAKEN:
      break;
    case TANDEM_ANSWER_REPEATED:
      GST_DEBUG_OBJECT (self, "dropped an answer that nobody waits for");
      break;
    case TANDEM_ANSWER_WRONG:
      GST_ELEMENT_ERROR (self, STREAM, DECODE, (_("A device answers wrongly: %s"), error->message),
                         (NULL));
      return GST_FLOW_ERROR;
  }
  return GST_FLOW_OK;
}

static void
bert_exit_class_init (BertExitClass *klass)
{
  GstBaseSinkClass *base_class = GST_BASE_SINK_CLASS (klass);

  describe (GST_ELEMENT_CLASS (klass), &exit_template, "Exit of a chain", "Sink", "Takes answers");
  base_class->set_caps = bert_exit_set_caps;
  base_class->query = bert_exit_query;
  base_class->render = bert_exit_render;
}

static void
bert_exit_init (BertExit *self)
{
  gst_base_sink_set_sync (GST_BASE_SINK (self), FALSE);
  gst_base_sink_set_async_enabled (GST_BASE_SINK (self), FALSE);
  gst_base_sink_set_last_sample_enabled (GST_BASE_SINK (self), FALSE);
}

GstElement *
bert_exit_new (GstBertBin *owner, BertChain *chain)
{
  BertExit *self = g_object_new (BERT_TYPE_EXIT, NULL);

  self->owner = owner;
  self->chain = chain;
  return GST_ELEMENT (self);
}
