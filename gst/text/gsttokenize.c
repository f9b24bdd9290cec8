/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * SECTION:element-tokenize
 * @title: tokenize
 *
 * Turns each document into the ids of a BERT vocabulary: [CLS], the text's WordPieces,
 * [SEP]. A buffer of text becomes a buffer of int32 ids, shape [tokens], with a
 * #TandemBatchMeta of one sequence. It keeps the id, label and receipts of an incoming
 * meta; without one, documents are numbered from 0 since the start of the stream.
 *
 * Bytes that are not UTF-8 are taken as U+FFFD and counted. At the end of the stream an
 * element message "tandem-tokenize" says how many `documents` (uint64) there were, how many
 * `tokens` (uint64) they became and how many sequences of bytes were `replaced` (uint64).
 *
 * |[
 * echo "A fine film." | gst-launch-1.0 fdsrc ! lineparse ! tokenize vocab=vocab.txt ! fakesink dump=true
 * ]|
 */

#include "config.h"

#include <glib/gi18n-lib.h>
#include <gst/base/gstbasetransform.h>

#include "stream/tandem-fields.h"
#include "tandem.h"

#include "gsttandemtext.h"

GST_DEBUG_CATEGORY_STATIC (gst_tokenize_debug);
#define GST_CAT_DEFAULT gst_tokenize_debug

#define DEFAULT_MODEL NULL
#define DEFAULT_VOCAB NULL
#define DEFAULT_MAX_LENGTH 0

/* Positions of every BERT that says nothing else. */
#define BERT_MAX_LENGTH 512

enum
{
  PROP_0,
  PROP_MODEL,
  PROP_VOCAB,
  PROP_MAX_LENGTH,
  PROP_REPLACED,
};

static GstStaticPadTemplate sink_template =
GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS (TANDEM_CAPS_TEXT));

static GstStaticPadTemplate src_template =
GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC, GST_PAD_ALWAYS,
    GST_STATIC_CAPS (TANDEM_CAPS_TOKENS));

#define GST_TYPE_TOKENIZE (gst_tokenize_get_type ())
G_DECLARE_FINAL_TYPE (GstTokenize, gst_tokenize, GST, TOKENIZE, GstBaseTransform)

struct _GstTokenize
{
  GstBaseTransform parent;

  /* object lock */
  char *model;
  char *vocab;
  guint max_length;
  guint64 n_replaced;
  /* set in start(), read where caps are negotiated */
  TandemTokenizer *tokenizer;

  /* streaming thread only */
  guint limit;
  guint64 next_id;
  guint64 n_documents;
  guint64 n_tokens;
  GArray *ids;
};

G_DEFINE_FINAL_TYPE_WITH_CODE (GstTokenize, gst_tokenize, GST_TYPE_BASE_TRANSFORM,
    GST_DEBUG_CATEGORY_INIT (gst_tokenize_debug, "tokenize", 0, "text to tokens"))

GST_ELEMENT_REGISTER_DEFINE (tokenize, "tokenize", GST_RANK_NONE, GST_TYPE_TOKENIZE)

static void gst_tokenize_set_property (GObject *object, guint id, const GValue *value,
                                       GParamSpec *pspec);
static void gst_tokenize_get_property (GObject *object, guint id, GValue *value,
                                       GParamSpec *pspec);
static void gst_tokenize_finalize (GObject *object);
static gboolean gst_tokenize_start (GstBaseTransform *trans);
static gboolean gst_tokenize_stop (GstBaseTransform *trans);
static GstCaps *gst_tokenize_transform_caps (GstBaseTransform *trans, GstPadDirection direction,
                                             GstCaps *caps, GstCaps *filter);
static gboolean gst_tokenize_sink_event (GstBaseTransform *trans, GstEvent *event);
static GstFlowReturn gst_tokenize_generate_output (GstBaseTransform *trans, GstBuffer **output);

static void
gst_tokenize_class_init (GstTokenizeClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GstBaseTransformClass *trans_class = GST_BASE_TRANSFORM_CLASS (klass);
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_CONSTRUCT | G_PARAM_STATIC_STRINGS |
      GST_PARAM_MUTABLE_READY;

  object_class->set_property = gst_tokenize_set_property;
  object_class->get_property = gst_tokenize_get_property;
  object_class->finalize = gst_tokenize_finalize;

  g_object_class_install_property (object_class, PROP_MODEL,
      g_param_spec_string ("model", "Model",
          "Hugging Face model folder whose vocabulary to use", DEFAULT_MODEL, flags));
  g_object_class_install_property (object_class, PROP_VOCAB,
      g_param_spec_string ("vocab", "Vocabulary",
          "vocab.txt, tokenizer.json or their folder; instead of model", DEFAULT_VOCAB, flags));
  g_object_class_install_property (object_class, PROP_MAX_LENGTH,
      g_param_spec_uint ("max-length", "Longest sequence",
          "The most tokens that a document becomes, [CLS] and [SEP] included (0: as many as the "
          "model has positions, 512 with vocab; 1 counts as 2)", 0, G_MAXINT, DEFAULT_MAX_LENGTH,
          flags));
  g_object_class_install_property (object_class, PROP_REPLACED,
      g_param_spec_uint64 ("replaced", "Replaced",
          "Sequences of bytes in this stream that were not UTF-8", 0, G_MAXUINT64, 0,
          G_PARAM_READABLE | G_PARAM_STATIC_STRINGS));

  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_element_class_set_static_metadata (element_class, "BERT tokenizer", "Converter/Text",
      "Turns text into the token ids of a BERT model", "Tandem");

  trans_class->start = gst_tokenize_start;
  trans_class->stop = gst_tokenize_stop;
  trans_class->transform_caps = gst_tokenize_transform_caps;
  trans_class->sink_event = gst_tokenize_sink_event;
  trans_class->generate_output = gst_tokenize_generate_output;
}

static void
gst_tokenize_init (GstTokenize *self)
{
  self->ids = g_array_new (FALSE, FALSE, sizeof (gint32));
}

static void
gst_tokenize_finalize (GObject *object)
{
  GstTokenize *self = GST_TOKENIZE (object);

  g_array_unref (self->ids);
  g_clear_object (&self->tokenizer);
  g_free (self->model);
  g_free (self->vocab);
  G_OBJECT_CLASS (gst_tokenize_parent_class)->finalize (object);
}

static const TandemField fields[] = {
  TANDEM_FIELD (PROP_MODEL, GstTokenize, model),
  TANDEM_FIELD (PROP_VOCAB, GstTokenize, vocab),
  TANDEM_FIELD (PROP_MAX_LENGTH, GstTokenize, max_length),
  TANDEM_FIELD (PROP_REPLACED, GstTokenize, n_replaced),
  { 0 }
};

static void
gst_tokenize_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  GST_OBJECT_LOCK (object);
  if (!tandem_fields_set (fields, object, id, value))
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  GST_OBJECT_UNLOCK (object);
}

static void
gst_tokenize_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  GST_OBJECT_LOCK (object);
  if (!tandem_fields_get (fields, object, id, value))
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  GST_OBJECT_UNLOCK (object);
}

/* The tokenizer of a model, and how long its sequences may be. */
static TandemTokenizer *
open_model_tokenizer (const char *model, guint *max_length, GError **error)
{
  g_autoptr (TandemModel) opened = tandem_model_open (model, NULL, error);

  if (opened == NULL)
    return NULL;
  *max_length = tandem_model_get_config (opened)->max_positions;
  return tandem_model_get_tokenizer (opened, error);
}

static gboolean
gst_tokenize_start (GstBaseTransform *trans)
{
  GstTokenize *self = GST_TOKENIZE (trans);
  g_autoptr (TandemTokenizer) tokenizer = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *model = NULL;
  g_autofree char *vocab = NULL;
  guint max_length;

  GST_OBJECT_LOCK (self);
  model = g_strdup (self->model);
  vocab = g_strdup (self->vocab);
  max_length = self->max_length;
  self->n_replaced = 0;
  GST_OBJECT_UNLOCK (self);

  if ((model == NULL) == (vocab == NULL)) {
    GST_ELEMENT_ERROR (self, RESOURCE, SETTINGS,
                       (_("The tokenizer needs either a model or a vocabulary.")),
                       ("set one of the properties \"model\" and \"vocab\""));
    return FALSE;
  }
  self->limit = BERT_MAX_LENGTH;
  if (model != NULL)
    tokenizer = open_model_tokenizer (model, &self->limit, &error);
  else
    tokenizer = tandem_tokenizer_new_from_path (vocab, &error);
  if (tokenizer == NULL) {
    GST_ELEMENT_ERROR (self, RESOURCE, OPEN_READ, (_("Could not read the vocabulary of \"%s\": %s"),
                       model != NULL ? model : vocab, error->message), (NULL));
    return FALSE;
  }
  if (model != NULL && max_length > self->limit) {
    GST_ELEMENT_ERROR (self, RESOURCE, SETTINGS,
                       (_("Sequences of %u tokens do not fit the model, which has %u positions."),
                        max_length, self->limit), ("%s", model));
    return FALSE;
  }
  if (max_length != 0)
    self->limit = max_length;
  self->next_id = self->n_documents = self->n_tokens = 0;

  GST_OBJECT_LOCK (self);
  self->tokenizer = g_steal_pointer (&tokenizer);
  GST_OBJECT_UNLOCK (self);
  return TRUE;
}

static gboolean
gst_tokenize_stop (GstBaseTransform *trans)
{
  GstTokenize *self = GST_TOKENIZE (trans);
  g_autoptr (TandemTokenizer) tokenizer = NULL;

  GST_OBJECT_LOCK (self);
  tokenizer = g_steal_pointer (&self->tokenizer);
  GST_OBJECT_UNLOCK (self);
  g_array_set_size (self->ids, 0);
  return TRUE;
}

static GstCaps *
gst_tokenize_transform_caps (GstBaseTransform *trans, GstPadDirection direction, GstCaps *caps,
                             GstCaps *filter)
{
  GstTokenize *self = GST_TOKENIZE (trans);
  GstCaps *result;

  if (direction == GST_PAD_SRC) {
    result = gst_static_pad_template_get_caps (&sink_template);
  } else {
    result = gst_caps_new_empty_simple (TANDEM_CAPS_TOKENS);
    GST_OBJECT_LOCK (self);
    if (self->tokenizer != NULL)
      gst_caps_set_simple (result, "vocab", G_TYPE_STRING,
                           tandem_tokenizer_get_fingerprint (self->tokenizer), NULL);
    GST_OBJECT_UNLOCK (self);
  }
  if (filter != NULL) {
    GstCaps *all = result;

    result = gst_caps_intersect_full (filter, all, GST_CAPS_INTERSECT_FIRST);
    gst_caps_unref (all);
  }
  return result;
}

static void
post_summary (GstTokenize *self)
{
  guint64 n_replaced;

  GST_OBJECT_LOCK (self);
  n_replaced = self->n_replaced;
  GST_OBJECT_UNLOCK (self);
  gst_element_post_message (GST_ELEMENT (self),
      gst_message_new_element (GST_OBJECT (self),
          gst_structure_new ("tandem-tokenize", "documents", G_TYPE_UINT64, self->n_documents,
                             "tokens", G_TYPE_UINT64, self->n_tokens, "replaced", G_TYPE_UINT64,
                             n_replaced, NULL)));
}

static gboolean
gst_tokenize_sink_event (GstBaseTransform *trans, GstEvent *event)
{
  GstTokenize *self = GST_TOKENIZE (trans);

  if (GST_EVENT_TYPE (event) == GST_EVENT_STREAM_START) {
    self->next_id = self->n_documents = self->n_tokens = 0;
    GST_OBJECT_LOCK (self);
    self->n_replaced = 0;
    GST_OBJECT_UNLOCK (self);
  } else if (GST_EVENT_TYPE (event) == GST_EVENT_EOS) {
    post_summary (self);
  }
  return GST_BASE_TRANSFORM_CLASS (gst_tokenize_parent_class)->sink_event (trans, event);
}

/* Encodes the text of @input into self->ids. */
static gboolean
encode (GstTokenize *self, GstBuffer *input)
{
  GstMapInfo map;
  guint n_replaced;

  if (gst_buffer_get_size (input) > TANDEM_TOKENIZER_MAX_TEXT) {
    GST_ELEMENT_ERROR (self, STREAM, DECODE, (_("A document is too long.")),
                       ("%" G_GSIZE_FORMAT " bytes, up to %d are taken",
                        gst_buffer_get_size (input), TANDEM_TOKENIZER_MAX_TEXT));
    return FALSE;
  }
  if (!gst_buffer_map (input, &map, GST_MAP_READ)) {
    GST_ELEMENT_ERROR (self, RESOURCE, READ, (_("Could not read a document.")), (NULL));
    return FALSE;
  }
  g_array_set_size (self->ids, 0);
  tandem_tokenizer_encode_into (self->tokenizer, map.size > 0 ? (const char *) map.data : "",
                                map.size, self->limit, self->ids, &n_replaced);
  gst_buffer_unmap (input, &map);

  if (n_replaced > 0) {
    GST_OBJECT_LOCK (self);
    self->n_replaced += n_replaced;
    GST_OBJECT_UNLOCK (self);
  }
  return TRUE;
}

static GstFlowReturn
gst_tokenize_generate_output (GstBaseTransform *trans, GstBuffer **output)
{
  GstTokenize *self = GST_TOKENIZE (trans);
  GstBuffer *input = g_steal_pointer (&trans->queued_buf);
  TandemBatchMeta *meta, *old;
  guint32 offsets[2] = { 0 };
  gint32 label = TANDEM_LABEL_UNKNOWN;
  guint64 id;

  *output = NULL;
  if (input == NULL)
    return GST_FLOW_OK;
  if (!encode (self, input)) {
    gst_buffer_unref (input);
    return GST_FLOW_ERROR;
  }

  offsets[1] = self->ids->len;
  id = self->next_id++;
  old = tandem_buffer_get_batch_meta (input);
  if (old != NULL) {
    id = old->ids[0];
    label = old->labels[0];
  }
  *output = gst_buffer_new_memdup (self->ids->data, (gsize) self->ids->len * sizeof (gint32));
  gst_buffer_copy_into (*output, input, GST_BUFFER_COPY_FLAGS | GST_BUFFER_COPY_TIMESTAMPS, 0, -1);
  meta = tandem_buffer_add_batch_meta (*output, 1, offsets, &id, &label);
  if (old != NULL)
    tandem_batch_meta_take_receipts_from (meta, old);
  self->n_documents++;
  self->n_tokens += self->ids->len;
  gst_buffer_unref (input);
  return GST_FLOW_OK;
}
