/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The links between all devices, as many at a time as do not disturb each other: each device takes
 * part in one measurement at a time, as in the rounds of a tournament. */

#include "config.h"

#include "tandem-cluster-private.h"

#include <glib/gi18n-lib.h>

#include "base/tandem-source-private.h"
#include "net/tandem-net-error.h"

/* A node that measures with somebody else is asked again. */
#define BUSY_MIN_MS 50
#define BUSY_MAX_MS 200
/* In all, and more for each device: what is not measured by then is not used. */
#define TIMEOUT_MS 5000
#define TIMEOUT_DEVICE_MS 300

typedef enum { PAIR_OPEN, PAIR_RUNS, PAIR_WAITS, PAIR_DONE } PairState;

typedef struct
{
  gpointer owner;               /* Links */
  guint a, b;                   /* devices; a asks */
  PairState state;
  GSource *again;               /* (nullable) */
} Pair;

typedef struct
{
  TandemCluster *cluster;
  GPtrArray *devices;           /* of TandemClusterEntry; the first one, this device, is NULL */
  gboolean *is_busy;            /* by device */
  Pair *pairs;
  guint n_pairs, n_running;
  GCancellable *cancellable;
  GCancellable *outer;
  gulong handler;
  gboolean is_late;
  GSource *deadline, *ending;   /* (nullable) */
  void (*done) (gpointer data);
  gpointer data;
} Links;

static void advance (Links *self);

static GSource *
add_timeout (Links *self, guint ms, GSourceFunc func, gpointer data)
{
  GSource *source = g_timeout_source_new (ms);

  g_source_set_callback (source, func, data, NULL);
  g_source_attach (source, self->cluster->context);
  return source;
}

static const char *
get_identity (const TandemClusterEntry *entry)
{
  return entry != NULL ? entry->identity : "here";
}

char *
tandem_cluster_make_link_key (const TandemClusterEntry *from, const TandemClusterEntry *to)
{
  return g_strdup_printf ("%s>%s", get_identity (from), get_identity (to));
}

/* --- the end --- */

static gboolean
on_end (gpointer data)
{
  Links *self = data;
  guint i;

  for (i = 0; i < self->n_pairs; i++)
    tandem_clear_source (&self->pairs[i].again);
  tandem_clear_source (&self->deadline);
  g_clear_pointer (&self->ending, g_source_unref);
  g_cancellable_disconnect (self->outer, self->handler);
  self->done (self->data);
  g_ptr_array_unref (self->devices);
  g_object_unref (self->cancellable);
  g_clear_object (&self->outer);
  g_object_unref (self->cluster);
  g_free (self->is_busy);
  g_free (self->pairs);
  g_free (self);
  return G_SOURCE_REMOVE;
}

static void
end_later (Links *self)
{
  if (self->ending == NULL)
    self->ending = add_timeout (self, 0, on_end, self);
}

static gboolean
on_deadline (gpointer data)
{
  Links *self = data;

  self->is_late = TRUE;
  g_cancellable_cancel (self->cancellable);
  return G_SOURCE_REMOVE;
}

static void
on_cancelled (GCancellable *cancellable, gpointer data)
{
  g_cancellable_cancel (data);
}

/* --- one pair --- */

static void
keep (Links *self, const TandemClusterEntry *from, const TandemClusterEntry *to,
      const TandemNetworkLink *link)
{
  g_hash_table_insert (self->cluster->links, tandem_cluster_make_link_key (from, to),
                       g_memdup2 (link, sizeof *link));
}

static gboolean
on_again (gpointer data)
{
  Pair *pair = data;

  g_clear_pointer (&pair->again, g_source_unref);
  pair->state = PAIR_OPEN;
  advance (pair->owner);
  return G_SOURCE_REMOVE;
}

/* A device that cannot be measured from here is not used: what went wrong is its problem. */
static void
pair_end (Pair *pair, gboolean ok, const TandemNetworkLink *out, const TandemNetworkLink *in,
          const GError *error)
{
  Links *self = pair->owner;
  TandemClusterEntry *a = g_ptr_array_index (self->devices, pair->a);
  TandemClusterEntry *b = g_ptr_array_index (self->devices, pair->b);

  self->n_running--;
  self->is_busy[pair->a] = self->is_busy[pair->b] = FALSE;
  pair->state = PAIR_DONE;
  if (ok) {
    keep (self, a, b, out);
    keep (self, b, a, in);
  } else if (!g_cancellable_is_cancelled (self->cancellable) &&
             g_error_matches (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_BUSY)) {
    pair->state = PAIR_WAITS;
    pair->again = add_timeout (self, g_random_int_range (BUSY_MIN_MS, BUSY_MAX_MS), on_again, pair);
  } else if (a == NULL && b->unfit == NULL) {
    b->unfit = self->is_late
        ? g_error_new_literal (TANDEM_NET_ERROR, TANDEM_NET_ERROR_TIMEOUT,
                               _("The link to the node could not be measured in time."))
        : g_error_copy (error);
  }
  advance (self);
}

static void
on_own (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;
  TandemNetworkLink out, in;
  gboolean ok = tandem_node_client_measure_link_finish (TANDEM_NODE_CLIENT (source), result, &out,
                                                        &in, &error);

  pair_end (data, ok, &out, &in, error);
}

static void
on_others (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;
  TandemNetworkLink out, in;
  gboolean ok = tandem_node_client_measure_finish (TANDEM_NODE_CLIENT (source), result, &out, &in,
                                                   &error);

  pair_end (data, ok, &out, &in, error);
}

/* Returns whether the two are there. */
static gboolean
pair_begin (Links *self, Pair *pair)
{
  TandemClusterEntry *a = g_ptr_array_index (self->devices, pair->a);
  TandemClusterEntry *b = g_ptr_array_index (self->devices, pair->b);

  if ((a != NULL && a->client == NULL) || b->client == NULL)
    return FALSE;
  self->n_running++;
  self->is_busy[pair->a] = self->is_busy[pair->b] = TRUE;
  pair->state = PAIR_RUNS;
  if (a == NULL)
    tandem_node_client_measure_link_async (b->client, self->cancellable, on_own, pair);
  else
    tandem_node_client_measure_async (a->client, tandem_node_client_get_address (b->client),
                                      tandem_node_client_get_port (b->client), self->cancellable,
                                      on_others, pair);
  return TRUE;
}

static void
advance (Links *self)
{
  gboolean is_over = g_cancellable_is_cancelled (self->cancellable);
  guint i, n_left = 0;

  for (i = 0; i < self->n_pairs; i++) {
    Pair *pair = &self->pairs[i];

    if (pair->state == PAIR_OPEN && !is_over && !self->is_busy[pair->a] &&
        !self->is_busy[pair->b] && !pair_begin (self, pair))
      pair->state = PAIR_DONE;
    n_left += pair->state != PAIR_DONE;
  }
  if (self->n_running == 0 && (n_left == 0 || is_over))
    end_later (self);
}

void
tandem_cluster_measure_links (TandemCluster *cluster, GPtrArray *entries,
                              GCancellable *cancellable, void (*done) (gpointer data),
                              gpointer data)
{
  Links *self = g_new0 (Links, 1);
  guint n = entries->len + 1, i, j;

  self->cluster = g_object_ref (cluster);
  self->devices = g_ptr_array_new ();
  g_ptr_array_add (self->devices, NULL);
  for (i = 0; i < entries->len; i++)
    g_ptr_array_add (self->devices, g_ptr_array_index (entries, i));
  self->is_busy = g_new0 (gboolean, n);
  self->pairs = g_new0 (Pair, n * (n - 1) / 2);
  for (i = 0; i < n; i++) {
    for (j = i + 1; j < n; j++) {
      g_autofree char *key = tandem_cluster_make_link_key (self->devices->pdata[i],
                                                           self->devices->pdata[j]);

      if (g_hash_table_contains (cluster->links, key))
        continue;
      self->pairs[self->n_pairs].owner = self;
      self->pairs[self->n_pairs].a = i;
      self->pairs[self->n_pairs++].b = j;
    }
  }
  self->done = done;
  self->data = data;
  self->cancellable = g_cancellable_new ();
  self->outer = g_object_ref (cancellable);
  self->handler = g_cancellable_connect (cancellable, G_CALLBACK (on_cancelled), self->cancellable,
                                         NULL);
  self->deadline = add_timeout (self, TIMEOUT_MS + n * TIMEOUT_DEVICE_MS, on_deadline, self);
  advance (self);
}
