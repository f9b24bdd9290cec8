/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What of a chain runs on this device. */

#include "config.h"

#include "bert-chain-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "bert-ends.h"

typedef struct
{
  BertChain *chain;
  gboolean has_entry, has_exit;
  const BertStop *stop;         /* (nullable): the layers in it */
  const char *listen;           /* without an entry */
  const char *host;             /* without an exit */
  guint16 port;
  TandemWireFormats format;
} Segment;

static GstElement *
make (Segment *segment, const char *factory, GError **error)
{
  GstElement *element = gst_element_factory_make (factory, NULL);

  if (element == NULL)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                 _("there is no element \"%s\"; are Tandem's plugins installed?"), factory);
  else
    gst_bin_add (GST_BIN (segment->chain->element), element);
  return element;
}

static GstElement *
make_source (Segment *segment, GError **error)
{
  const BertSettings *used = &segment->chain->bin->used;
  GstElement *element;

  if (segment->has_entry) {
    element = bert_entry_new (segment->chain->bin, segment->chain);
    gst_bin_add (GST_BIN (segment->chain->element), element);
    return element;
  }
  element = make (segment, "tcpactsrc", error);
  if (element != NULL)
    g_object_set (element, "address", segment->listen, "port", 0, "key", used->key, "insecure",
                  used->insecure, NULL);
  return element;
}

static GstElement *
make_sink (Segment *segment, GError **error)
{
  const BertSettings *used = &segment->chain->bin->used;
  GstElement *element;

  if (segment->has_exit) {
    element = bert_exit_new (segment->chain->bin, segment->chain);
    gst_bin_add (GST_BIN (segment->chain->element), element);
    return element;
  }
  element = make (segment, "tcpactsink", error);
  if (element == NULL)
    return NULL;
  g_object_set (element, "async", FALSE, "host", segment->host, "port", (guint) segment->port,
                "key", used->key, "insecure", used->insecure, NULL);
  if (segment->format != TANDEM_WIRE_FORMAT_NONE)
    gst_util_set_object_arg (G_OBJECT (element), "wire-format",
                             tandem_wire_format_to_string (segment->format));
  return element;
}

static GstElement *
make_stage (Segment *segment, GError **error)
{
  const BertSettings *used = &segment->chain->bin->used;
  g_autofree char *layers =
      g_strdup_printf ("%u-%u", segment->stop->first, segment->stop->last);
  GstElement *element = make (segment, "bertstage", error);

  if (element != NULL)
    g_object_set (element, "model", used->model, "layers", layers, "threads",
                  segment->stop->n_threads, "precision", used->precision, NULL);
  return element;
}

/* Its own words came as a message, which has more to say. */
static gboolean
start (GstElement *element, GError **error)
{
  if (gst_element_set_state (element, GST_STATE_PLAYING) != GST_STATE_CHANGE_FAILURE)
    return TRUE;
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED, _("a stage does not start"));
  return FALSE;
}

static void
start_segment (GTask *task, gpointer source_object, gpointer data, GCancellable *cancellable)
{
  Segment *segment = data;
  GstElement *source, *stage = NULL, *sink;
  GError *error = NULL;
  guint port = 0;
  gboolean ok;

  if ((source = make_source (segment, &error)) == NULL ||
      (segment->stop != NULL && (stage = make_stage (segment, &error)) == NULL) ||
      (sink = make_sink (segment, &error)) == NULL) {
    g_task_return_error (task, error);
    return;
  }
  if (stage != NULL)
    bert_chain_watch_stage (segment->chain, segment->stop - segment->chain->route->stops, stage);
  ok = stage != NULL ? gst_element_link_many (source, stage, sink, NULL)
                     : gst_element_link (source, sink);
  g_assert (ok);
  if (!start (sink, &error) || (stage != NULL && !start (stage, &error)) ||
      !start (source, &error)) {
    g_task_return_error (task, error);
    return;
  }
  if (!segment->has_entry)
    g_object_get (source, "current-port", &port, NULL);
  g_task_return_int (task, port);
}

static void
on_segment (GObject *source, GAsyncResult *result, gpointer data)
{
  BertChain *self = data;
  g_autoptr (GError) error = NULL;
  gssize port = g_task_propagate_int (G_TASK (result), &error);
  Segment *segment = g_task_get_task_data (G_TASK (result));

  bert_chain_touch (self);
  if (error != NULL) {
    bert_chain_build_failed (self, NULL, self->error != NULL ? self->error : error);
  } else if (!bert_chain_is_over (self)) {
    self->next_port = port;
    self->has_tail = TRUE;
    self->has_entry = segment->has_entry;
    bert_chain_build_next (self);
  }
  bert_chain_leave (self);
}

/* On which address a device can reach us whose own is this. */
static const char *
get_listen (const char *host)
{
  gboolean is_v4 = g_hostname_is_ip_address (host) && strchr (host, ':') == NULL;

  if (bert_chain_is_loopback (host))
    return strchr (host, ':') != NULL ? "::1" : "127.0.0.1";
  return is_v4 ? "0.0.0.0" : "::";
}

/* stop: the layers of the segment, or -1; next: the stop behind it, n_stops for the exit. */
void
bert_chain_build_segment (BertChain *self, int stop, guint next)
{
  const BertRoute *route = self->route;
  Segment *segment = g_new0 (Segment, 1);
  guint before = stop >= 0 ? (guint) stop : next;       /* layers or not: who sends to us */
  g_autoptr (GTask) task = NULL;

  segment->chain = self;
  segment->stop = stop >= 0 ? &route->stops[stop] : NULL;
  segment->has_entry = before == 0;
  if (!segment->has_entry)
    segment->listen = get_listen (route->stops[before - 1].host);
  segment->has_exit = next == route->n_stops;
  if (!segment->has_exit) {
    segment->host = route->stops[next].host;
    segment->port = self->next_port;
  }
  if (segment->stop != NULL && !segment->has_exit)
    segment->format = segment->stop->format;
  bert_chain_enter (self);
  task = g_task_new (NULL, NULL, on_segment, self);
  g_task_set_task_data (task, segment, g_free);
  g_task_run_in_thread (task, start_segment);
}
