/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What tells that a chain does not answer any more: its elements, the nodes and their connections,
 * and silence. */

#include "config.h"

#include "bert-chain-private.h"

#include <glib/gi18n-lib.h>

/* A node that is waited for is asked now and then whether it is there; a thread of it that does not
 * compute answers. Silence is counted in looks: of a device that was held up itself nobody can say
 * that the others were silent meanwhile. */
#define WATCH_MS 100
#define PING_LOOKS 2
#define SILENT_LOOKS 10
/* A file goes out over the same connection, and pings wait behind pieces of it. */
#define OCCUPIED_LOOKS 20
#define MAX_PINGS 4
/* Nor has the chain answered for this long: what was behind the node goes on for a while. */
#define QUIET_US (600 * G_TIME_SPAN_MILLISECOND)
/* A chain whose nodes say that they run, and that gives no answer, is of no use either. */
#define STALL_US (20 * G_USEC_PER_SEC)

/* Of fewer it is not said how long they took. */
#define LEAST_SEQUENCES 32

GQuark
bert_chain_quark (void)
{
  return g_quark_from_static_string ("bert-chain");
}

BertChain *
bert_chain_of (GstBertBin *bin, GstObject *object)
{
  while (object != NULL && GST_OBJECT_PARENT (object) != GST_OBJECT (bin))
    object = GST_OBJECT_PARENT (object);
  return object != NULL ? g_object_get_qdata (G_OBJECT (object), bert_chain_quark ()) : NULL;
}

/* --- counts, with the bin's lock --- */

void
bert_chain_asked (BertChain *self)
{
  if (tandem_answer_book_get_n_asked (self->bin->book) == 1)
    self->progress = g_get_monotonic_time ();
}

void
bert_chain_answered (BertChain *self, guint n_sequences)
{
  self->n_answered += n_sequences;
  self->progress = g_get_monotonic_time ();
}

/* A stage elsewhere was granted memory for micro-batches of some shape, and ends when one is
 * larger. */
gboolean
bert_chain_fits (BertChain *self, const TandemBatchShape *shape)
{
  const BertRoute *route = self->route;

  return bert_route_is_local (route) || (shape->n_sequences <= route->shape.n_sequences &&
                                         shape->n_tokens <= route->shape.n_tokens);
}

guint64
bert_chain_get_n_answered (BertChain *self)
{
  return self->n_answered;
}

gint64
bert_chain_get_progress (BertChain *self)
{
  return self->progress;
}

/* --- elements --- */

typedef struct
{
  BertChain *chain;
  GError *error;
} Failure;

/* Whose fault it is that an element here failed: of the only other device, or, when it is about
 * what came, of the last one; NULL: it cannot be told. */
static TandemNodeClient *
find_culprit (BertChain *self, const GError *error)
{
  TandemNodeClient *last = NULL;
  guint n = 0, i;

  for (i = 0; i < self->route->n_stops; i++)
    if (self->route->stops[i].client != NULL) {
      last = self->route->stops[i].client;
      n++;
    }
  return n == 1 || error->domain == GST_STREAM_ERROR ? last : NULL;
}

static gboolean
on_failure (gpointer data)
{
  Failure *failure = data;
  BertChain *self = failure->chain;

  if (self->error == NULL)
    self->error = g_error_copy (failure->error);
  /* While it is built, whoever started the element hears of it, too. */
  if (self->is_built)
    bert_chain_fail (self, find_culprit (self, failure->error), failure->error);
  return G_SOURCE_REMOVE;
}

static void
failure_free (gpointer data)
{
  Failure *failure = data;

  bert_chain_unref (failure->chain);
  g_error_free (failure->error);
  g_free (failure);
}

void
bert_chain_element_failed (BertChain *self, const GError *error)
{
  g_autoptr (GSource) source = g_idle_source_new ();
  Failure *failure = g_new (Failure, 1);

  failure->chain = bert_chain_ref (self);
  failure->error = g_error_copy (error);
  g_source_set_priority (source, G_PRIORITY_HIGH);
  g_source_set_callback (source, on_failure, failure, failure_free);
  g_source_attach (source, self->context);
}

/* --- nodes --- */

static BertLeg *
find_leg (BertChain *self, TandemNodeClient *client, guint stage)
{
  guint i;

  for (i = 0; i < self->route->n_stops; i++)
    if (self->route->stops[i].client == client && self->legs[i].stage == stage)
      return &self->legs[i];
  return NULL;
}

static void
on_closed (TandemNodeClient *client, const GError *error, gpointer data)
{
  bert_chain_fail (data, client, error);
}

static void
on_stage_failed (TandemNodeClient *client, guint stage, const GError *error, gpointer data)
{
  if (find_leg (data, client, stage) != NULL)
    bert_chain_fail (data, client, error);
}

static void
on_stage_finished (TandemNodeClient *client, guint stage, guint64 sequences, guint64 tokens,
                   gpointer data)
{
  g_autoptr (GError) error = NULL;

  if (find_leg (data, client, stage) == NULL)
    return;
  error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CLOSED, _("its stage ended"));
  bert_chain_fail (data, client, error);
}

static void
on_stage_report (TandemNodeClient *client, guint stage, guint64 sequences, guint64 tokens,
                 double sequence_rate, double token_rate, double busy, gpointer data)
{
  BertLeg *leg = find_leg (data, client, stage);

  if (leg == NULL)
    return;
  leg->n_silent = 0;
  g_mutex_lock (&((BertChain *) data)->bin->lock);
  leg->n_sequences = busy >= 0 ? sequences : 0;
  leg->busy = busy;
  g_mutex_unlock (&((BertChain *) data)->bin->lock);
}

void
bert_chain_watch_node (BertChain *self, guint stop)
{
  TandemNodeClient *client = self->route->stops[stop].client;
  gulong *signals = self->legs[stop].signals;

  signals[0] = g_signal_connect (client, "closed", G_CALLBACK (on_closed), self);
  signals[1] = g_signal_connect (client, "stage-failed", G_CALLBACK (on_stage_failed), self);
  signals[2] = g_signal_connect (client, "stage-finished", G_CALLBACK (on_stage_finished), self);
  signals[3] = g_signal_connect (client, "stage-report", G_CALLBACK (on_stage_report), self);
}

/* --- how long it takes --- */

typedef struct
{
  BertChain *chain;             /* borrowed: it is longer there than its elements run */
  guint stop;
} Clock;

static GstPadProbeReturn
on_input (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  Clock *clock = data;
  BertChain *self = clock->chain;
  BertLeg *leg = &self->legs[clock->stop];
  TandemBatchMeta *meta = tandem_buffer_get_batch_meta (GST_PAD_PROBE_INFO_BUFFER (info));

  g_mutex_lock (&self->bin->lock);
  leg->n_sequences += meta != NULL ? meta->n_sequences : 0;
  leg->began = g_get_monotonic_time ();
  g_mutex_unlock (&self->bin->lock);
  return GST_PAD_PROBE_OK;
}

static GstPadProbeReturn
on_output (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  Clock *clock = data;
  BertChain *self = clock->chain;
  BertLeg *leg = &self->legs[clock->stop];

  g_mutex_lock (&self->bin->lock);
  leg->busy += (double) (g_get_monotonic_time () - leg->began) / G_USEC_PER_SEC;
  g_mutex_unlock (&self->bin->lock);
  return GST_PAD_PROBE_OK;
}

static void
add_probe (BertChain *self, guint stop, GstElement *stage, const char *name,
           GstPadProbeCallback func)
{
  g_autoptr (GstPad) pad = gst_element_get_static_pad (stage, name);
  Clock *clock = g_new (Clock, 1);

  clock->chain = self;
  clock->stop = stop;
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, func, clock, g_free);
}

void
bert_chain_watch_stage (BertChain *self, guint stop, GstElement *stage)
{
  add_probe (self, stop, stage, "sink", on_input);
  add_probe (self, stop, stage, "src", on_output);
}

gboolean
bert_chain_take_seconds (BertChain *self, guint stop, double *seconds, double *share)
{
  BertLeg *leg = &self->legs[stop];
  gint64 now = g_get_monotonic_time ();
  guint64 n;

  g_mutex_lock (&self->bin->lock);
  n = leg->n_sequences - MIN (leg->old_sequences, leg->n_sequences);
  *seconds = n > 0 ? (leg->busy - leg->old_busy) / n : 0;
  *share = CLAMP ((leg->busy - leg->old_busy) * G_USEC_PER_SEC / MAX (now - leg->looked_at, 1),
                  0, 1);
  if (n >= LEAST_SEQUENCES) {
    leg->looked_at = now;
    leg->old_sequences = leg->n_sequences;
    leg->old_busy = leg->busy;
  }
  g_mutex_unlock (&self->bin->lock);
  return n >= LEAST_SEQUENCES && *seconds > 0;
}

/* --- silence --- */

typedef struct
{
  BertChain *chain;
  guint stop;
} Ping;

static void
on_pong (GObject *source, GAsyncResult *result, gpointer data)
{
  Ping *ping = data;
  BertLeg *leg = &ping->chain->legs[ping->stop];

  leg->n_pings--;
  if (tandem_node_client_ping_finish (TANDEM_NODE_CLIENT (source), result, NULL))
    leg->n_silent = 0;
  bert_chain_unref (ping->chain);
  g_free (ping);
}

/* The next one does not wait for the answer of the one before: on a slow way they come late, but
 * they come. */
static void
ask (BertChain *self, guint stop)
{
  Ping *ping;

  if (self->legs[stop].n_pings >= MAX_PINGS)
    return;
  ping = g_new (Ping, 1);
  ping->chain = bert_chain_ref (self);
  ping->stop = stop;
  self->legs[stop].n_pings++;
  tandem_node_client_ping_async (self->route->stops[stop].client, self->cancellable, on_pong,
                                 ping);
}

/* Whether it has said nothing for too long. */
static gboolean
look_at_node (BertChain *self, guint stop)
{
  TandemNodeClient *client = self->route->stops[stop].client;
  BertLeg *leg = &self->legs[stop];

  if (self->n_looks % PING_LOOKS == 0)
    ask (self, stop);
  leg->n_silent++;
  return leg->n_silent >= (tandem_node_client_is_occupied (client) ? OCCUPIED_LOOKS
                                                                   : SILENT_LOOKS);
}

static gboolean
on_watch (gpointer data)
{
  BertChain *self = data;
  gint64 now = g_get_monotonic_time (), progress;
  g_autoptr (GError) error = NULL;
  gboolean waits;
  guint i, silent = G_MAXUINT;

  g_mutex_lock (&self->bin->lock);
  waits = self->bin->fed == self && tandem_answer_book_get_n_asked (self->bin->book) > 0;
  progress = self->progress;
  g_mutex_unlock (&self->bin->lock);
  for (i = 0; i < self->route->n_stops; i++) {
    if (!waits)
      self->legs[i].n_silent = 0;
    else if (self->route->stops[i].client != NULL && look_at_node (self, i) &&
             silent == G_MAXUINT)
      silent = i;
  }
  self->n_looks++;
  if (!waits || now - progress < QUIET_US)
    return G_SOURCE_CONTINUE;
  error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_TIMED_OUT, _("it does not answer"));
  if (silent != G_MAXUINT) {
    self->legs[silent].is_silent = TRUE;
    bert_chain_fail (self, self->route->stops[silent].client, error);
  } else if (now - progress >= STALL_US) {
    bert_chain_fail (self, NULL, error);
  }
  return G_SOURCE_CONTINUE;
}

void
bert_chain_watch_start (BertChain *self)
{
  guint i;

  for (i = 0; i < self->route->n_stops; i++)
    self->legs[i].looked_at = g_get_monotonic_time ();
  if (bert_route_is_local (self->route))
    return;                     /* nobody but the processor is waited for */
  self->watch = g_timeout_source_new (WATCH_MS);
  g_source_set_callback (self->watch, on_watch, self, NULL);
  g_source_attach (self->watch, self->context);
}

void
bert_chain_watch_stop (BertChain *self)
{
  guint i, k;

  if (self->watch != NULL)
    g_source_destroy (self->watch);
  g_clear_pointer (&self->watch, g_source_unref);
  for (i = 0; i < self->route->n_stops; i++)
    for (k = 0; k < G_N_ELEMENTS (self->legs[i].signals); k++)
      if (self->legs[i].signals[k] != 0)
        g_clear_signal_handler (&self->legs[i].signals[k], self->route->stops[i].client);
}
