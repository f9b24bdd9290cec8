/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * SECTION:element-lineparse
 * @title: lineparse
 *
 * Cuts any stream of bytes into lines. Each line, without its LF or CRLF, becomes one
 * buffer of text as soon as its end has arrived; an empty line becomes an empty buffer, so
 * that documents are numbered as lines are; a last line without an end counts too.
 *
 * A line that, but for white space around it, equals the property "stop-word" ends the
 * stream: nothing after it is taken, and the source is told to stop.
 *
 * |[
 * gst-launch-1.0 fdsrc ! lineparse stop-word=done ! tokenize vocab=vocab.txt ! fakesink
 * ]|
 */

#include "config.h"

#include <glib/gi18n-lib.h>
#include <gst/base/gstbaseparse.h>
#include <string.h>

#include "stream/tandem-fields.h"
#include "tandem.h"

#include "gsttandemtext.h"

GST_DEBUG_CATEGORY_STATIC (gst_line_parse_debug);
#define GST_CAT_DEFAULT gst_line_parse_debug

#define DEFAULT_STOP_WORD NULL
#define DEFAULT_SKIP_EMPTY FALSE
#define DEFAULT_MAX_LINE (4 << 20)

enum
{
  PROP_0,
  PROP_STOP_WORD,
  PROP_SKIP_EMPTY,
  PROP_MAX_LINE,
};

static GstStaticPadTemplate sink_template =
GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);

static GstStaticPadTemplate src_template =
GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS (TANDEM_CAPS_TEXT));

#define GST_TYPE_LINE_PARSE (gst_line_parse_get_type ())
G_DECLARE_FINAL_TYPE (GstLineParse, gst_line_parse, GST, LINE_PARSE, GstBaseParse)

struct _GstLineParse
{
  GstBaseParse parent;

  /* object lock */
  char *stop_word;
  gboolean skip_empty;
  guint max_line;

  /* streaming thread only: the line that has begun, up to max_line bytes of it */
  GByteArray *line;
  gboolean begun;
  gboolean cut;
  gboolean stopped;
  /* whether GstBaseParse has sent anything, and with it the segment */
  gboolean pushed;
  guint64 line_number;
};

G_DEFINE_FINAL_TYPE_WITH_CODE (GstLineParse, gst_line_parse, GST_TYPE_BASE_PARSE,
    GST_DEBUG_CATEGORY_INIT (gst_line_parse_debug, "lineparse", 0, "bytes to lines"))

GST_ELEMENT_REGISTER_DEFINE (lineparse, "lineparse", GST_RANK_NONE, GST_TYPE_LINE_PARSE)

static void gst_line_parse_set_property (GObject *object, guint id, const GValue *value,
                                         GParamSpec *pspec);
static void gst_line_parse_get_property (GObject *object, guint id, GValue *value,
                                         GParamSpec *pspec);
static void gst_line_parse_finalize (GObject *object);
static gboolean gst_line_parse_start (GstBaseParse *parse);
static gboolean gst_line_parse_activate (GstPad *pad, GstObject *parent);
static gboolean gst_line_parse_set_sink_caps (GstBaseParse *parse, GstCaps *caps);
static gboolean gst_line_parse_sink_event (GstBaseParse *parse, GstEvent *event);
static GstFlowReturn gst_line_parse_handle_frame (GstBaseParse *parse, GstBaseParseFrame *frame,
                                                  int *skip);
static GstFlowReturn gst_line_parse_pre_push_frame (GstBaseParse *parse,
                                                    GstBaseParseFrame *frame);

static void
gst_line_parse_class_init (GstLineParseClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GstBaseParseClass *parse_class = GST_BASE_PARSE_CLASS (klass);
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_CONSTRUCT | G_PARAM_STATIC_STRINGS |
      GST_PARAM_MUTABLE_PLAYING;

  object_class->set_property = gst_line_parse_set_property;
  object_class->get_property = gst_line_parse_get_property;
  object_class->finalize = gst_line_parse_finalize;

  g_object_class_install_property (object_class, PROP_STOP_WORD,
      g_param_spec_string ("stop-word", "Stop word",
          "A line that ends the stream, without white space around it (NULL: none)",
          DEFAULT_STOP_WORD, flags));
  g_object_class_install_property (object_class, PROP_SKIP_EMPTY,
      g_param_spec_boolean ("skip-empty", "Skip empty lines",
          "Leave out lines without any byte, so that documents are numbered without them",
          DEFAULT_SKIP_EMPTY, flags));
  g_object_class_install_property (object_class, PROP_MAX_LINE,
      g_param_spec_uint ("max-line", "Longest line",
          "Bytes at which a line is cut, with a warning; bounds the memory that a stream without "
          "line ends takes", 1, G_MAXINT, DEFAULT_MAX_LINE, flags));

  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_element_class_set_static_metadata (element_class, "Line parser", "Codec/Parser/Text",
      "Makes each line of a stream of bytes a document", "Tandem");

  parse_class->start = gst_line_parse_start;
  parse_class->set_sink_caps = gst_line_parse_set_sink_caps;
  parse_class->sink_event = gst_line_parse_sink_event;
  parse_class->handle_frame = gst_line_parse_handle_frame;
  parse_class->pre_push_frame = gst_line_parse_pre_push_frame;
}

static void
gst_line_parse_init (GstLineParse *self)
{
  self->line = g_byte_array_new ();
  /* Lines are passed on as they arrive, so the source has to push: a puller would not
   * hear of the end of the stream before the last line. */
  gst_pad_set_activate_function (GST_BASE_PARSE_SINK_PAD (self), gst_line_parse_activate);
}

static void
gst_line_parse_finalize (GObject *object)
{
  GstLineParse *self = GST_LINE_PARSE (object);

  g_byte_array_unref (self->line);
  g_free (self->stop_word);
  G_OBJECT_CLASS (gst_line_parse_parent_class)->finalize (object);
}

static const TandemField fields[] = {
  TANDEM_FIELD (PROP_STOP_WORD, GstLineParse, stop_word),
  TANDEM_FIELD (PROP_SKIP_EMPTY, GstLineParse, skip_empty),
  TANDEM_FIELD (PROP_MAX_LINE, GstLineParse, max_line),
  { 0 }
};

static void
gst_line_parse_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  GST_OBJECT_LOCK (object);
  if (!tandem_fields_set (fields, object, id, value))
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  GST_OBJECT_UNLOCK (object);
}

static void
gst_line_parse_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  GST_OBJECT_LOCK (object);
  if (!tandem_fields_get (fields, object, id, value))
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  GST_OBJECT_UNLOCK (object);
}

static void
start_line (GstLineParse *self)
{
  g_byte_array_set_size (self->line, 0);
  self->begun = self->cut = FALSE;
}

static gboolean
gst_line_parse_start (GstBaseParse *parse)
{
  GstLineParse *self = GST_LINE_PARSE (parse);

  start_line (self);
  self->stopped = self->pushed = FALSE;
  self->line_number = 0;
  gst_base_parse_set_min_frame_size (parse, 1);
  gst_base_parse_set_syncable (parse, FALSE);
  gst_base_parse_set_infer_ts (parse, FALSE);
  return TRUE;
}

static gboolean
gst_line_parse_activate (GstPad *pad, GstObject *parent)
{
  return gst_pad_activate_mode (pad, GST_PAD_MODE_PUSH, TRUE);
}

static void
ensure_caps (GstLineParse *self)
{
  GstPad *pad = GST_BASE_PARSE_SRC_PAD (self);
  g_autoptr (GstCaps) caps = NULL;

  if (gst_pad_has_current_caps (pad))
    return;
  caps = gst_static_pad_template_get_caps (&src_template);
  gst_pad_push_event (pad, gst_event_new_caps (caps));
}

/* Without this, GstBaseParse would pass the caps of the bytes on. */
static gboolean
gst_line_parse_set_sink_caps (GstBaseParse *parse, GstCaps *caps)
{
  ensure_caps (GST_LINE_PARSE (parse));
  return TRUE;
}

/* Keeps @size bytes of the line that has begun, as far as it may grow. */
static void
extend_line (GstLineParse *self, const guint8 *data, gsize size)
{
  guint max_line;
  gsize room;

  GST_OBJECT_LOCK (self);
  max_line = self->max_line;
  GST_OBJECT_UNLOCK (self);

  self->begun = TRUE;
  room = max_line > self->line->len ? max_line - self->line->len : 0;
  g_byte_array_append (self->line, data, MIN (size, room));
  /* A single byte too many may still be the CR of the line end. */
  if (size > room && !self->cut && !(size == room + 1 && data[room] == '\r')) {
    /* As a string: the macro of the number's format would cut the sentence for translators. */
    g_autofree char *number = g_strdup_printf ("%" G_GUINT64_FORMAT, self->line_number + 1);

    self->cut = TRUE;
    GST_ELEMENT_WARNING (self, STREAM, DECODE,
                         (_("Line %s is longer than %u bytes; the rest of it is left out."), number,
                          max_line), (NULL));
  }
}

static gboolean
is_stop_word (GstLineParse *self)
{
  const guint8 *start = self->line->data;
  const guint8 *end = start + self->line->len;
  gboolean equal;

  while (start < end && g_ascii_isspace (*start))
    start++;
  while (end > start && g_ascii_isspace (end[-1]))
    end--;
  GST_OBJECT_LOCK (self);
  equal = self->stop_word != NULL && strlen (self->stop_word) == (gsize) (end - start) &&
      (end == start || memcmp (self->stop_word, start, end - start) == 0);
  GST_OBJECT_UNLOCK (self);
  return equal;
}

/* Ends the line. Returns its text, or NULL when it is none to pass on. */
static GstBuffer *
take_line (GstLineParse *self)
{
  GstBuffer *buffer = NULL;
  gboolean skip_empty;

  GST_OBJECT_LOCK (self);
  skip_empty = self->skip_empty;
  GST_OBJECT_UNLOCK (self);

  self->line_number++;
  if (!self->cut && self->line->len > 0 && self->line->data[self->line->len - 1] == '\r')
    g_byte_array_set_size (self->line, self->line->len - 1);
  if (is_stop_word (self))
    self->stopped = TRUE;
  else if (self->line->len > 0)
    buffer = gst_buffer_new_memdup (self->line->data, self->line->len);
  else if (!skip_empty)
    buffer = gst_buffer_new ();
  start_line (self);
  return buffer;
}

/* Takes everything up to the next line end: what belongs to an unfinished line is
 * kept here and dropped there, so that no byte is looked at twice. */
static GstFlowReturn
gst_line_parse_handle_frame (GstBaseParse *parse, GstBaseParseFrame *frame, int *skip)
{
  GstLineParse *self = GST_LINE_PARSE (parse);
  GstBuffer *line = NULL;
  const guint8 *end;
  GstFlowReturn flow;
  GstMapInfo map;
  gsize size;

  if (self->stopped)
    return GST_FLOW_EOS;
  ensure_caps (self);

  if (!gst_buffer_map (frame->buffer, &map, GST_MAP_READ)) {
    GST_ELEMENT_ERROR (self, RESOURCE, READ, (_("Could not read a line.")), (NULL));
    return GST_FLOW_ERROR;
  }
  end = memchr (map.data, '\n', map.size);
  size = end != NULL ? (gsize) (end - map.data) : map.size;
  extend_line (self, map.data, size);
  if (end != NULL) {
    size++;
    line = take_line (self);
  }
  gst_buffer_unmap (frame->buffer, &map);

  if (line != NULL) {
    GST_BUFFER_PTS (line) = GST_BUFFER_PTS (frame->buffer);
    gst_buffer_replace (&frame->out_buffer, line);
    gst_buffer_unref (line);
  } else {
    frame->flags |= GST_BASE_PARSE_FRAME_FLAG_DROP;
  }
  flow = gst_base_parse_finish_frame (parse, frame, size);
  return flow == GST_FLOW_OK && self->stopped ? GST_FLOW_EOS : flow;
}

/* GstBaseParse makes up times for frames; lines have none but the source's. */
static GstFlowReturn
gst_line_parse_pre_push_frame (GstBaseParse *parse, GstBaseParseFrame *frame)
{
  GST_BUFFER_DTS (frame->out_buffer != NULL ? frame->out_buffer : frame->buffer) =
      GST_CLOCK_TIME_NONE;
  GST_LINE_PARSE (parse)->pushed = TRUE;
  return GST_FLOW_OK;
}

/* The last line may lack its end. */
static void
push_rest (GstLineParse *self)
{
  GstBuffer *line = self->begun && !self->stopped ? take_line (self) : NULL;
  GstBaseParseFrame frame;

  if (line == NULL)
    return;
  gst_base_parse_frame_init (&frame);
  frame.buffer = line;
  gst_base_parse_push_frame (GST_BASE_PARSE (self), &frame);
}

/* Ends a stream without lines, which GstBaseParse would call an error. */
static gboolean
push_bare_eos (GstLineParse *self, GstEvent *event)
{
  GstPad *pad = GST_BASE_PARSE_SRC_PAD (self);
  GstSegment segment;

  ensure_caps (self);
  gst_segment_init (&segment, GST_FORMAT_TIME);
  gst_pad_push_event (pad, gst_event_new_segment (&segment));
  return gst_pad_push_event (pad, event);
}

static gboolean
gst_line_parse_sink_event (GstBaseParse *parse, GstEvent *event)
{
  GstLineParse *self = GST_LINE_PARSE (parse);

  switch (GST_EVENT_TYPE (event)) {
    case GST_EVENT_STREAM_START:
    case GST_EVENT_FLUSH_STOP:
      self->line_number = 0;
      start_line (self);
      self->stopped = self->pushed = FALSE;
      break;
    case GST_EVENT_EOS:
      push_rest (self);
      if (!self->pushed)
        return push_bare_eos (self, event);
      break;
    default:
      break;
  }
  return GST_BASE_PARSE_CLASS (gst_line_parse_parent_class)->sink_event (parse, event);
}
