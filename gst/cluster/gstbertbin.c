/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * SECTION:element-bertbin
 * @title: bertbin
 * @see_also: bertstage, tcpactsink, tcpactsrc
 *
 * Runs all layers of a BERT model, on this device and on others of the local network on which
 * `tandem node` runs. It finds them, plans which device runs which layers, has them set up, and
 * brings results back; when a device leaves, slows down or joins, it plans again. With no other
 * device it runs all layers itself.
 *
 * In: tokens, int32 [tokens]. Out: logits, float32 [sequences, classes], in the order of the
 * stream.
 *
 * Each micro-batch is kept until its result came; whoever is asked when a device died is asked
 * for all that is unanswered. So each result comes exactly once. With activations in float32 they
 * are the same to the bit however the model is split, between processors of the same kind.
 *
 * |[
 * gst-launch-1.0 -m fdsrc ! lineparse ! tokenize model=M ! bertbin model=M ! sentimentsink
 * ]|
 *
 * Element messages `tandem-plan` say which layers run where, `tandem-moved` why that changed.
 */

#include "config.h"

#include "gstbertbin-private.h"

#include <glib/gi18n-lib.h>

#include "bert-chain.h"
#include "bert-planner.h"
#include "bert-worker.h"
#include "tandem-enums.h"

GST_DEBUG_CATEGORY (gst_bert_bin_debug);
#define GST_CAT_DEFAULT gst_bert_bin_debug

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE (
    "sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS (TANDEM_CAPS_TOKENS));

static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE (
    "src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS (TANDEM_CAPS_LOGITS));

G_DEFINE_FINAL_TYPE_WITH_CODE (GstBertBin, gst_bert_bin, GST_TYPE_BIN,
    GST_DEBUG_CATEGORY_INIT (gst_bert_bin_debug, "bertbin", 0, "bertbin element"))
GST_ELEMENT_REGISTER_DEFINE (bertbin, "bertbin", GST_RANK_NONE, GST_TYPE_BERT_BIN)

/* --- settings --- */

static void
settings_clear (BertSettings *settings)
{
  g_clear_pointer (&settings->model, g_free);
  g_clear_pointer (&settings->nodes, g_free);
  g_clear_pointer (&settings->key, g_free);
  g_clear_pointer (&settings->formats, g_free);
  g_clear_pointer (&settings->placement, g_free);
}

static void
settings_copy (const BertSettings *from, BertSettings *to)
{
  settings_clear (to);
  *to = *from;
  to->model = g_strdup (from->model);
  to->nodes = g_strdup (from->nodes);
  to->key = g_strdup (from->key);
  to->formats = g_strdup (from->formats);
  to->placement = g_strdup (from->placement);
}

/* --- messages --- */

void
gst_bert_bin_fail (GstBertBin *self, const GError *error, const char *debug)
{
  if (!g_atomic_int_compare_and_exchange (&self->was_told, 0, 1))
    return;
  /* Before upstream hears that nothing more is taken, and says so itself. */
  GST_ELEMENT_ERROR (self, RESOURCE, FAILED, ("%s", error->message), ("%s", debug));
  g_mutex_lock (&self->lock);
  self->has_failed = TRUE;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

/* What happens in a chain is the chain's affair. */
static void
gst_bert_bin_handle_message (GstBin *bin, GstMessage *message)
{
  GstBertBin *self = GST_BERT_BIN (bin);
  GstObject *source = GST_MESSAGE_SRC (message);
  g_autoptr (GError) error = NULL;
  g_autofree char *debug = NULL;
  BertChain *chain = source != GST_OBJECT (self) ? bert_chain_of (self, source) : NULL;

  if (chain == NULL) {
    GST_BIN_CLASS (gst_bert_bin_parent_class)->handle_message (bin, message);
    return;
  }
  if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_ERROR) {
    gst_message_parse_error (message, &error, &debug);
    GST_INFO_OBJECT (self, "%" GST_PTR_FORMAT ": %s (%s)", source, error->message, debug);
    bert_chain_element_failed (chain, error);
  } else if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_WARNING) {
    gst_message_parse_warning (message, &error, &debug);
    GST_INFO_OBJECT (self, "%" GST_PTR_FORMAT ": %s (%s)", source, error->message, debug);
  }
  gst_message_unref (message);
}

/* --- start and stop --- */

static gboolean
describe_streams (GstBertBin *self, GError **error)
{
  const TandemModelConfig *config = tandem_model_get_config (self->model);
  g_autoptr (TandemTokenizer) tokenizer = tandem_model_get_tokenizer (self->model, error);
  guint first, last;

  if (tokenizer == NULL)
    return FALSE;
  tandem_model_get_layers (self->model, &first, &last);
  if (first > 0 || last + 1 < config->n_layers || !tandem_model_has_classifier (self->model)) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_LAYERS,
                 _("it holds layers %u-%u; all of %u with their classifier are needed"), first,
                 last, config->n_layers);
    return FALSE;
  }
  self->input.kind = TANDEM_STREAM_TOKENS;
  g_strlcpy (self->input.fingerprint, tandem_tokenizer_get_fingerprint (tokenizer),
             sizeof self->input.fingerprint);
  self->output.kind = TANDEM_STREAM_LOGITS;
  g_strlcpy (self->output.fingerprint, tandem_model_get_fingerprint (self->model),
             sizeof self->output.fingerprint);
  self->output.classes = config->n_classes;
  self->output.labels = g_strdupv (config->labels);
  return TRUE;
}

static void
gst_bert_bin_stop (GstBertBin *self)
{
  g_clear_pointer (&self->worker, bert_worker_free);
  g_clear_pointer (&self->book, tandem_answer_book_free);
  self->fed = NULL;
  g_clear_object (&self->model);
  tandem_stream_info_clear (&self->input);
  tandem_stream_info_clear (&self->output);
  settings_clear (&self->used);
  gst_bert_bin_set_current_placement (self, NULL);
}

static gboolean
gst_bert_bin_start (GstBertBin *self)
{
  g_autoptr (GError) error = NULL;
  TandemWireFormats formats;

  GST_OBJECT_LOCK (self);
  settings_copy (&self->settings, &self->used);
  GST_OBJECT_UNLOCK (self);
  if (self->used.model == NULL || *self->used.model == '\0') {
    GST_ELEMENT_ERROR (self, RESOURCE, NOT_FOUND,
                       (_("No model is set: give bertbin model=FOLDER or a stage file.")), (NULL));
    gst_bert_bin_stop (self);
    return FALSE;
  }
  if (!tandem_wire_formats_from_string (self->used.formats != NULL ? self->used.formats
                                                                   : "f32",
                                        &formats, &error)) {
    GST_ELEMENT_ERROR (self, RESOURCE, SETTINGS, ("%s", error->message), (NULL));
    gst_bert_bin_stop (self);
    return FALSE;
  }
  self->model = tandem_model_open (self->used.model, NULL, &error);
  if (self->model == NULL || !describe_streams (self, &error)) {
    if (g_error_matches (error, G_FILE_ERROR, G_FILE_ERROR_NOENT))
      GST_ELEMENT_ERROR (self, RESOURCE, NOT_FOUND,
                         (_("The model \"%s\" could not be opened: %s"), self->used.model,
                          error->message), (NULL));
    else
      GST_ELEMENT_ERROR (self, RESOURCE, SETTINGS,
                         (_("The model \"%s\" cannot be used: %s"), self->used.model,
                          error->message), (NULL));
    gst_bert_bin_stop (self);
    return FALSE;
  }
  if (self->used.placement != NULL && !bert_planner_check_placement (self, &error)) {
    GST_ELEMENT_ERROR (self, RESOURCE, SETTINGS,
                       (_("The placement cannot be used: %s"), error->message), (NULL));
    gst_bert_bin_stop (self);
    return FALSE;
  }
  self->book = tandem_answer_book_new (self->used.max_unanswered,
                                       self->used.max_unanswered_bytes, self->output.classes);
  self->has_failed = self->drains = FALSE;
  g_atomic_int_set (&self->was_told, 0);
  self->flow = GST_FLOW_OK;
  self->largest = self->sum = (TandemBatchShape) { 0 };
  self->n_batches = 0;
  self->worker = bert_worker_new (self);
  return TRUE;
}

static GstStateChangeReturn
gst_bert_bin_change_state (GstElement *element, GstStateChange transition)
{
  GstBertBin *self = GST_BERT_BIN (element);
  GstStateChangeReturn ret;

  if (transition == GST_STATE_CHANGE_READY_TO_PAUSED && !gst_bert_bin_start (self))
    return GST_STATE_CHANGE_FAILURE;
  ret = GST_ELEMENT_CLASS (gst_bert_bin_parent_class)->change_state (element, transition);
  /* The pads are not active any more. */
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY ||
      (transition == GST_STATE_CHANGE_READY_TO_PAUSED && ret == GST_STATE_CHANGE_FAILURE))
    gst_bert_bin_stop (self);
  return ret;
}

/* --- the class --- */

static void
gst_bert_bin_finalize (GObject *object)
{
  GstBertBin *self = GST_BERT_BIN (object);

  settings_clear (&self->settings);
  g_free (self->current_placement);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->changed);
  G_OBJECT_CLASS (gst_bert_bin_parent_class)->finalize (object);
}

static void
gst_bert_bin_class_init (GstBertBinClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);

  object_class->finalize = gst_bert_bin_finalize;
  gst_bert_bin_install_properties (object_class);
  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_element_class_set_static_metadata (element_class, "BERT on a cluster",
      "Filter/Analyzer/Text", "Runs a BERT model on the devices of the local network",
      "The Tandem developers");
  gst_type_mark_as_plugin_api (TANDEM_TYPE_PRECISION, 0);
  gst_type_mark_as_plugin_api (TANDEM_TYPE_PLACEMENT_OBJECTIVE, 0);
  element_class->change_state = gst_bert_bin_change_state;
  GST_BIN_CLASS (klass)->handle_message = gst_bert_bin_handle_message;
}

static void
gst_bert_bin_init (GstBertBin *self)
{
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  /* The ends of chains are neither ends nor clocks of the pipeline. */
  gst_bin_set_suppressed_flags (GST_BIN (self),
                                GST_ELEMENT_FLAG_SOURCE | GST_ELEMENT_FLAG_SINK |
                                GST_ELEMENT_FLAG_PROVIDE_CLOCK | GST_ELEMENT_FLAG_REQUIRE_CLOCK);
  gst_bert_bin_add_pads (self, GST_ELEMENT_GET_CLASS (self));
}
