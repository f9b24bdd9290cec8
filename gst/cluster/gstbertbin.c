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

#define DEFAULT_MODEL NULL
#define DEFAULT_NODES NULL
#define DEFAULT_KEY NULL
#define DEFAULT_INSECURE FALSE
#define DEFAULT_PRECISION TANDEM_PRECISION_F32
#define DEFAULT_THREADS 1
#define DEFAULT_FORMATS "f32"
#define DEFAULT_OBJECTIVE TANDEM_PLACEMENT_THROUGHPUT
#define DEFAULT_PLACEMENT NULL
#define DEFAULT_DISCOVERY_TIMEOUT 2000
#define DEFAULT_TIMEOUT 30000
#define DEFAULT_MEMORY 0
#define DEFAULT_LOCAL TRUE
#define DEFAULT_MAX_UNANSWERED 32
#define DEFAULT_MAX_UNANSWERED_BYTES (4 * 1024 * 1024)
#define DEFAULT_CACHE_LIMIT TANDEM_NODE_DEFAULT_CACHE_LIMIT

enum
{
  PROP_0,
  PROP_MODEL,
  PROP_NODES,
  PROP_KEY,
  PROP_INSECURE,
  PROP_PRECISION,
  PROP_THREADS,
  PROP_FORMATS,
  PROP_OBJECTIVE,
  PROP_PLACEMENT,
  PROP_DISCOVERY_TIMEOUT,
  PROP_TIMEOUT,
  PROP_MEMORY,
  PROP_LOCAL,
  PROP_MAX_UNANSWERED,
  PROP_MAX_UNANSWERED_BYTES,
  PROP_CACHE_LIMIT,
  PROP_CURRENT_PLACEMENT,
};

static GParamSpec *current_placement_pspec;

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

static void
take_text (char **text, const GValue *value)
{
  g_free (*text);
  *text = g_value_dup_string (value);
}

static void
gst_bert_bin_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  GstBertBin *self = GST_BERT_BIN (object);
  BertSettings *settings = &self->settings;

  GST_OBJECT_LOCK (self);
  switch (id) {
    case PROP_MODEL:
      take_text (&settings->model, value);
      break;
    case PROP_NODES:
      take_text (&settings->nodes, value);
      break;
    case PROP_KEY:
      take_text (&settings->key, value);
      break;
    case PROP_INSECURE:
      settings->insecure = g_value_get_boolean (value);
      break;
    case PROP_PRECISION:
      settings->precision = g_value_get_enum (value);
      break;
    case PROP_THREADS:
      settings->n_threads = g_value_get_uint (value);
      break;
    case PROP_FORMATS:
      take_text (&settings->formats, value);
      break;
    case PROP_OBJECTIVE:
      settings->objective = g_value_get_enum (value);
      break;
    case PROP_PLACEMENT:
      take_text (&settings->placement, value);
      break;
    case PROP_DISCOVERY_TIMEOUT:
      settings->discovery_timeout = g_value_get_uint (value);
      break;
    case PROP_TIMEOUT:
      settings->timeout = g_value_get_uint (value);
      break;
    case PROP_MEMORY:
      settings->memory = g_value_get_uint64 (value);
      break;
    case PROP_LOCAL:
      settings->local = g_value_get_boolean (value);
      break;
    case PROP_MAX_UNANSWERED:
      settings->max_unanswered = g_value_get_uint (value);
      break;
    case PROP_MAX_UNANSWERED_BYTES:
      settings->max_unanswered_bytes = g_value_get_uint64 (value);
      break;
    case PROP_CACHE_LIMIT:
      settings->cache_limit = g_value_get_uint64 (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  }
  GST_OBJECT_UNLOCK (self);
}

static void
gst_bert_bin_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  GstBertBin *self = GST_BERT_BIN (object);
  const BertSettings *settings = &self->settings;

  GST_OBJECT_LOCK (self);
  switch (id) {
    case PROP_MODEL:
      g_value_set_string (value, settings->model);
      break;
    case PROP_NODES:
      g_value_set_string (value, settings->nodes);
      break;
    case PROP_KEY:
      g_value_set_string (value, settings->key);
      break;
    case PROP_INSECURE:
      g_value_set_boolean (value, settings->insecure);
      break;
    case PROP_PRECISION:
      g_value_set_enum (value, settings->precision);
      break;
    case PROP_THREADS:
      g_value_set_uint (value, settings->n_threads);
      break;
    case PROP_FORMATS:
      g_value_set_string (value, settings->formats);
      break;
    case PROP_OBJECTIVE:
      g_value_set_enum (value, settings->objective);
      break;
    case PROP_PLACEMENT:
      g_value_set_string (value, settings->placement);
      break;
    case PROP_DISCOVERY_TIMEOUT:
      g_value_set_uint (value, settings->discovery_timeout);
      break;
    case PROP_TIMEOUT:
      g_value_set_uint (value, settings->timeout);
      break;
    case PROP_MEMORY:
      g_value_set_uint64 (value, settings->memory);
      break;
    case PROP_LOCAL:
      g_value_set_boolean (value, settings->local);
      break;
    case PROP_MAX_UNANSWERED:
      g_value_set_uint (value, settings->max_unanswered);
      break;
    case PROP_MAX_UNANSWERED_BYTES:
      g_value_set_uint64 (value, settings->max_unanswered_bytes);
      break;
    case PROP_CACHE_LIMIT:
      g_value_set_uint64 (value, settings->cache_limit);
      break;
    case PROP_CURRENT_PLACEMENT:
      g_value_set_string (value, self->current_placement);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  }
  GST_OBJECT_UNLOCK (self);
}

void
gst_bert_bin_set_current_placement (GstBertBin *self, const char *text)
{
  gboolean changed;

  GST_OBJECT_LOCK (self);
  changed = g_strcmp0 (self->current_placement, text) != 0;
  if (changed) {
    g_free (self->current_placement);
    self->current_placement = g_strdup (text);
  }
  GST_OBJECT_UNLOCK (self);
  if (changed)
    g_object_notify_by_pspec (G_OBJECT (self), current_placement_pspec);
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
                                                                   : DEFAULT_FORMATS,
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
install_properties (GObjectClass *object_class)
{
  const GParamFlags flags =
      G_PARAM_READWRITE | G_PARAM_CONSTRUCT | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY;

  g_object_class_install_property (object_class, PROP_MODEL,
      g_param_spec_string ("model", "Model",
          "Hugging Face model folder, or stage file with all layers", DEFAULT_MODEL, flags));
  g_object_class_install_property (object_class, PROP_NODES,
      g_param_spec_string ("nodes", "Nodes",
          "Devices to use beside those that mDNS finds, as \"host:port,host:port\"",
          DEFAULT_NODES, flags));
  g_object_class_install_property (object_class, PROP_KEY,
      g_param_spec_string ("key", "Cluster key",
          "File with the cluster key that the nodes have to have, too (empty: on loopback "
          "none, beyond it that of TANDEM_KEY or ~/.config/tandem/cluster.key)", DEFAULT_KEY,
          flags));
  g_object_class_install_property (object_class, PROP_INSECURE,
      g_param_spec_boolean ("insecure", "Insecure",
          "Use nodes beyond loopback without a key although anybody can read along and answer",
          DEFAULT_INSECURE, flags));
  g_object_class_install_property (object_class, PROP_PRECISION,
      g_param_spec_enum ("precision", "Precision", "What linear layers compute with",
          TANDEM_TYPE_PRECISION, DEFAULT_PRECISION, flags));
  g_object_class_install_property (object_class, PROP_THREADS,
      g_param_spec_uint ("threads", "Threads", "Threads of the stage on this device",
          1, TANDEM_BERT_STAGE_MAX_THREADS, DEFAULT_THREADS, flags));
  g_object_class_install_property (object_class, PROP_FORMATS,
      g_param_spec_string ("formats", "Wire formats",
          "How rows of activations may be sent, as \"f32,q8\": all but f32 save bytes and cost "
          "accuracy", DEFAULT_FORMATS, flags));
  g_object_class_install_property (object_class, PROP_OBJECTIVE,
      g_param_spec_enum ("objective", "Objective", "What the placement is chosen for",
          TANDEM_TYPE_PLACEMENT_OBJECTIVE, DEFAULT_OBJECTIVE, flags));
  g_object_class_install_property (object_class, PROP_PLACEMENT,
      g_param_spec_string ("placement", "Placement",
          "File that says which device runs which layers (NULL = the planner decides)",
          DEFAULT_PLACEMENT, flags));
  g_object_class_install_property (object_class, PROP_DISCOVERY_TIMEOUT,
      g_param_spec_uint ("discovery-timeout", "Discovery timeout",
          "Milliseconds to wait for other devices before the work begins (0 = begin here at "
          "once, and move later)", 0, G_MAXINT, DEFAULT_DISCOVERY_TIMEOUT, flags));
  g_object_class_install_property (object_class, PROP_TIMEOUT,
      g_param_spec_uint ("timeout", "Timeout",
          "Milliseconds without any device that can run the model after which to give up "
          "(0 = never)", 0, G_MAXINT, DEFAULT_TIMEOUT, flags));
  g_object_class_install_property (object_class, PROP_MEMORY,
      g_param_spec_uint64 ("memory", "Memory",
          "Bytes that the layers on this device may take (0 = no limit)",
          0, G_MAXUINT64, DEFAULT_MEMORY, flags));
  g_object_class_install_property (object_class, PROP_LOCAL,
      g_param_spec_boolean ("local", "Local",
          "Run all layers here, where they fit, while the planned devices are not there",
          DEFAULT_LOCAL, flags));
  g_object_class_install_property (object_class, PROP_MAX_UNANSWERED,
      g_param_spec_uint ("max-unanswered", "Maximum unanswered",
          "Micro-batches that may be without a result before the pipeline waits",
          1, G_MAXUINT16, DEFAULT_MAX_UNANSWERED, flags));
  g_object_class_install_property (object_class, PROP_MAX_UNANSWERED_BYTES,
      g_param_spec_uint64 ("max-bytes", "Maximum of unanswered bytes",
          "Bytes of tokens that may be without a result before the pipeline waits; one "
          "micro-batch may be in any case (0 = no limit)",
          0, G_MAXUINT64, DEFAULT_MAX_UNANSWERED_BYTES, flags));
  g_object_class_install_property (object_class, PROP_CACHE_LIMIT,
      g_param_spec_uint64 ("cache-limit", "Cache limit",
          "Bytes of stage files that were cut for other devices to keep at the most; what is in "
          "use stays (0 = keep no others)", 0, G_MAXUINT64, DEFAULT_CACHE_LIMIT, flags));
  current_placement_pspec = g_param_spec_string ("current-placement", "Current placement",
      "Which layers run where, while the element runs", NULL,
      G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_property (object_class, PROP_CURRENT_PLACEMENT,
                                   current_placement_pspec);
}

static void
gst_bert_bin_class_init (GstBertBinClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);

  object_class->set_property = gst_bert_bin_set_property;
  object_class->get_property = gst_bert_bin_get_property;
  object_class->finalize = gst_bert_bin_finalize;
  install_properties (object_class);
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
