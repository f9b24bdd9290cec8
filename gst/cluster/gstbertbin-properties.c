/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The properties of bertbin. */

#include "config.h"

#include "gstbertbin-private.h"
#include "stream/tandem-fields.h"
#include "tandem-enums.h"

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

static const TandemField fields[] = {
  TANDEM_FIELD (PROP_MODEL, GstBertBin, settings.model),
  TANDEM_FIELD (PROP_NODES, GstBertBin, settings.nodes),
  TANDEM_FIELD (PROP_KEY, GstBertBin, settings.key),
  TANDEM_FIELD (PROP_INSECURE, GstBertBin, settings.insecure),
  TANDEM_FIELD (PROP_PRECISION, GstBertBin, settings.precision),
  TANDEM_FIELD (PROP_THREADS, GstBertBin, settings.n_threads),
  TANDEM_FIELD (PROP_FORMATS, GstBertBin, settings.formats),
  TANDEM_FIELD (PROP_OBJECTIVE, GstBertBin, settings.objective),
  TANDEM_FIELD (PROP_PLACEMENT, GstBertBin, settings.placement),
  TANDEM_FIELD (PROP_DISCOVERY_TIMEOUT, GstBertBin, settings.discovery_timeout),
  TANDEM_FIELD (PROP_TIMEOUT, GstBertBin, settings.timeout),
  TANDEM_FIELD (PROP_MEMORY, GstBertBin, settings.memory),
  TANDEM_FIELD (PROP_LOCAL, GstBertBin, settings.local),
  TANDEM_FIELD (PROP_MAX_UNANSWERED, GstBertBin, settings.max_unanswered),
  TANDEM_FIELD (PROP_MAX_UNANSWERED_BYTES, GstBertBin, settings.max_unanswered_bytes),
  TANDEM_FIELD (PROP_CACHE_LIMIT, GstBertBin, settings.cache_limit),
  TANDEM_FIELD (PROP_CURRENT_PLACEMENT, GstBertBin, current_placement),
  { 0 }
};

static void
gst_bert_bin_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  GST_OBJECT_LOCK (object);
  if (!tandem_fields_set (fields, object, id, value))
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  GST_OBJECT_UNLOCK (object);
}

static void
gst_bert_bin_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  GST_OBJECT_LOCK (object);
  if (!tandem_fields_get (fields, object, id, value))
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  GST_OBJECT_UNLOCK (object);
}

void
gst_bert_bin_install_properties (GObjectClass *object_class)
{
  const GParamFlags flags =
      G_PARAM_READWRITE | G_PARAM_CONSTRUCT | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY;

  object_class->set_property = gst_bert_bin_set_property;
  object_class->get_property = gst_bert_bin_get_property;

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
