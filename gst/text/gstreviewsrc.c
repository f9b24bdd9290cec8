/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * SECTION:element-reviewsrc
 * @title: reviewsrc
 *
 * Reads a data set of labelled reviews: the folder aclImdb, Kaggle's CSV, TSV or JSON
 * lines, also gzipped. Each buffer is one review, UTF-8 as the file has it, with a
 * #TandemBatchMeta of one sequence: its id counts from 0 in the order of the stream, its
 * label is 0 for negative, 1 for positive, -1 for unknown.
 *
 * A row that cannot be read ends the stream with an error that names file and line.
 *
 * |[
 * gst-launch-1.0 reviewsrc location=aclImdb split=test ! tokenize vocab=vocab.txt ! fakesink
 * ]|
 */

#include "config.h"

#include <glib/gi18n-lib.h>
#include <gst/base/gstpushsrc.h>

#include "stream/tandem-fields.h"
#include "tandem.h"
#include "tandem-enums.h"

#include "gsttandemtext.h"

GST_DEBUG_CATEGORY_STATIC (gst_review_src_debug);
#define GST_CAT_DEFAULT gst_review_src_debug

#define DEFAULT_LOCATION NULL
#define DEFAULT_SPLIT TANDEM_REVIEW_SPLIT_TEST
#define DEFAULT_SHUFFLE FALSE
#define DEFAULT_SEED 0
#define DEFAULT_EPOCHS 1
#define DEFAULT_LIMIT 0
#define DEFAULT_MAX_ROW (16 << 20)

enum
{
  PROP_0,
  PROP_LOCATION,
  PROP_SPLIT,
  PROP_SHUFFLE,
  PROP_SEED,
  PROP_EPOCHS,
  PROP_LIMIT,
  PROP_MAX_ROW,
};

static GstStaticPadTemplate src_template =
GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS (TANDEM_CAPS_TEXT));

#define GST_TYPE_REVIEW_SRC (gst_review_src_get_type ())
G_DECLARE_FINAL_TYPE (GstReviewSrc, gst_review_src, GST, REVIEW_SRC, GstPushSrc)

struct _GstReviewSrc
{
  GstPushSrc parent;

  /* object lock; read in start() */
  char *location;
  TandemReviewSplit split;
  gboolean shuffle;
  guint seed;
  guint epochs;
  guint64 limit;
  guint max_row;

  /* any thread */
  GCancellable *cancellable;

  /* streaming thread only */
  TandemReviewReader *reader;
  guint epochs_left;
  gboolean endless;
  guint64 n_wanted;
  guint64 next_id;
  /* texts of this epoch, so that an empty file does not loop for ever */
  guint64 n_in_epoch;
};

G_DEFINE_FINAL_TYPE_WITH_CODE (GstReviewSrc, gst_review_src, GST_TYPE_PUSH_SRC,
    GST_DEBUG_CATEGORY_INIT (gst_review_src_debug, "reviewsrc", 0, "reads reviews"))

GST_ELEMENT_REGISTER_DEFINE (reviewsrc, "reviewsrc", GST_RANK_NONE, GST_TYPE_REVIEW_SRC)

static void gst_review_src_set_property (GObject *object, guint id, const GValue *value,
                                         GParamSpec *pspec);
static void gst_review_src_get_property (GObject *object, guint id, GValue *value,
                                         GParamSpec *pspec);
static void gst_review_src_finalize (GObject *object);
static gboolean gst_review_src_start (GstBaseSrc *base);
static gboolean gst_review_src_stop (GstBaseSrc *base);
static gboolean gst_review_src_unlock (GstBaseSrc *base);
static gboolean gst_review_src_unlock_stop (GstBaseSrc *base);
static GstFlowReturn gst_review_src_create (GstPushSrc *push, GstBuffer **buffer);

static void
gst_review_src_class_init (GstReviewSrcClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GstBaseSrcClass *base_class = GST_BASE_SRC_CLASS (klass);
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_CONSTRUCT | G_PARAM_STATIC_STRINGS |
      GST_PARAM_MUTABLE_READY;

  object_class->set_property = gst_review_src_set_property;
  object_class->get_property = gst_review_src_get_property;
  object_class->finalize = gst_review_src_finalize;

  g_object_class_install_property (object_class, PROP_LOCATION,
      g_param_spec_string ("location", "Location",
          "Folder (aclImdb) or file (CSV, TSV, JSON lines; also .gz) to read",
          DEFAULT_LOCATION, flags));
  g_object_class_install_property (object_class, PROP_SPLIT,
      g_param_spec_enum ("split", "Split", "Which part of a folder to read",
          TANDEM_TYPE_REVIEW_SPLIT, DEFAULT_SPLIT, flags));
  g_object_class_install_property (object_class, PROP_SHUFFLE,
      g_param_spec_boolean ("shuffle", "Shuffle",
          "Random order, another one each epoch; not for .gz", DEFAULT_SHUFFLE, flags));
  g_object_class_install_property (object_class, PROP_SEED,
      g_param_spec_uint ("seed", "Seed", "Seed of the random order; the same seed gives the same "
          "order", 0, G_MAXUINT, DEFAULT_SEED, flags));
  g_object_class_install_property (object_class, PROP_EPOCHS,
      g_param_spec_uint ("epochs", "Epochs", "How often to read everything (0: without end)",
          0, G_MAXUINT, DEFAULT_EPOCHS, flags));
  g_object_class_install_property (object_class, PROP_LIMIT,
      g_param_spec_uint64 ("limit", "Limit", "The most reviews to read, in all epochs together "
          "(0: all)", 0, G_MAXUINT64, DEFAULT_LIMIT, flags));
  g_object_class_install_property (object_class, PROP_MAX_ROW,
      g_param_spec_uint ("max-row", "Longest row", "The most bytes that a row may have; bounds the "
          "memory that a damaged file takes", 1, G_MAXINT, DEFAULT_MAX_ROW, flags));

  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_element_class_set_static_metadata (element_class, "Review reader", "Source/File/Text",
      "Reads labelled reviews from a data set", "Tandem");

  base_class->start = gst_review_src_start;
  base_class->stop = gst_review_src_stop;
  base_class->unlock = gst_review_src_unlock;
  base_class->unlock_stop = gst_review_src_unlock_stop;
  GST_PUSH_SRC_CLASS (klass)->create = gst_review_src_create;
}

static void
gst_review_src_init (GstReviewSrc *self)
{
  self->cancellable = g_cancellable_new ();
  gst_base_src_set_format (GST_BASE_SRC (self), GST_FORMAT_TIME);
}

static void
gst_review_src_finalize (GObject *object)
{
  GstReviewSrc *self = GST_REVIEW_SRC (object);

  g_clear_object (&self->reader);
  g_clear_object (&self->cancellable);
  g_free (self->location);
  G_OBJECT_CLASS (gst_review_src_parent_class)->finalize (object);
}

static const TandemField fields[] = {
  TANDEM_FIELD (PROP_LOCATION, GstReviewSrc, location),
  TANDEM_FIELD (PROP_SPLIT, GstReviewSrc, split),
  TANDEM_FIELD (PROP_SHUFFLE, GstReviewSrc, shuffle),
  TANDEM_FIELD (PROP_SEED, GstReviewSrc, seed),
  TANDEM_FIELD (PROP_EPOCHS, GstReviewSrc, epochs),
  TANDEM_FIELD (PROP_LIMIT, GstReviewSrc, limit),
  TANDEM_FIELD (PROP_MAX_ROW, GstReviewSrc, max_row),
  { 0 }
};

static void
gst_review_src_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  GST_OBJECT_LOCK (object);
  if (!tandem_fields_set (fields, object, id, value))
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  GST_OBJECT_UNLOCK (object);
}

static void
gst_review_src_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  GST_OBJECT_LOCK (object);
  if (!tandem_fields_get (fields, object, id, value))
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  GST_OBJECT_UNLOCK (object);
}

static gboolean
gst_review_src_start (GstBaseSrc *base)
{
  GstReviewSrc *self = GST_REVIEW_SRC (base);
  g_autoptr (GError) error = NULL;
  g_autofree char *location = NULL;
  TandemReviewSplit split;
  gboolean shuffle;
  guint seed, max_row;

  GST_OBJECT_LOCK (self);
  location = g_strdup (self->location);
  split = self->split;
  shuffle = self->shuffle;
  seed = self->seed;
  max_row = self->max_row;
  self->epochs_left = self->epochs;
  self->endless = self->epochs == 0;
  self->n_wanted = self->limit != 0 ? self->limit : G_MAXUINT64;
  GST_OBJECT_UNLOCK (self);
  self->next_id = 0;
  self->n_in_epoch = 0;

  if (location == NULL) {
    GST_ELEMENT_ERROR (self, RESOURCE, SETTINGS, (_("No data set to read was given.")),
                       ("set the property \"location\""));
    return FALSE;
  }
  self->reader = tandem_review_reader_open (location, split, max_row, self->cancellable, &error);
  if (self->reader == NULL ||
      (shuffle && !tandem_review_reader_shuffle (self->reader, seed, self->cancellable, &error))) {
    g_clear_object (&self->reader);
    GST_ELEMENT_ERROR (self, RESOURCE, OPEN_READ, (_("Could not open the reviews in \"%s\": %s"),
                       location, error->message), (NULL));
    return FALSE;
  }
  return TRUE;
}

static gboolean
gst_review_src_stop (GstBaseSrc *base)
{
  GstReviewSrc *self = GST_REVIEW_SRC (base);

  g_clear_object (&self->reader);
  return TRUE;
}

static gboolean
gst_review_src_unlock (GstBaseSrc *base)
{
  g_cancellable_cancel (GST_REVIEW_SRC (base)->cancellable);
  return TRUE;
}

static gboolean
gst_review_src_unlock_stop (GstBaseSrc *base)
{
  g_cancellable_reset (GST_REVIEW_SRC (base)->cancellable);
  return TRUE;
}

static GstFlowReturn
gst_review_src_fail (GstReviewSrc *self, const GError *error)
{
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return GST_FLOW_FLUSHING;
  GST_ELEMENT_ERROR (self, RESOURCE, READ, (_("Could not read the next review.")),
                     ("%s", error->message));
  return GST_FLOW_ERROR;
}

static GstFlowReturn
gst_review_src_create (GstPushSrc *push, GstBuffer **buffer)
{
  GstReviewSrc *self = GST_REVIEW_SRC (push);
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) text = NULL;
  gint32 label;

  if (self->next_id == self->n_wanted)
    return GST_FLOW_EOS;
  while (!tandem_review_reader_next (self->reader, &text, &label, self->cancellable, &error)) {
    if (error != NULL)
      return gst_review_src_fail (self, error);
    if (self->n_in_epoch == 0 || (!self->endless && --self->epochs_left == 0))
      return GST_FLOW_EOS;
    if (!tandem_review_reader_rewind (self->reader, self->cancellable, &error))
      return gst_review_src_fail (self, error);
    self->n_in_epoch = 0;
  }

  *buffer = g_bytes_get_size (text) > 0 ? gst_buffer_new_wrapped_bytes (text) : gst_buffer_new ();
  tandem_buffer_add_batch_meta (*buffer, 1, NULL, &self->next_id, &label);
  self->next_id++;
  self->n_in_epoch++;
  return GST_FLOW_OK;
}
