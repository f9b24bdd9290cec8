/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private to tandem-cluster*.c. All of it belongs to the thread of the cluster. */

#include "cluster/tandem-cluster.h"
#include "net/tandem-candidate.h"
#include "net/tandem-discovery-private.h"
#include "net/tandem-places.h"

G_BEGIN_DECLS

typedef struct _TandemClusterEntry TandemClusterEntry;
typedef struct _TandemClusterPrepare TandemClusterPrepare;

/* A node, as long as it is announced or listed, or there is a connection to it. */
struct _TandemClusterEntry
{
  guint ref_count;
  TandemCluster *cluster;       /* (nullable): NULL when it has left */
  char *key;
  TandemCandidate *candidate;   /* (nullable): NULL when it is announced no more */
  gboolean was_tried;           /* to the end, at least once */

  GCancellable *trying;         /* (nullable): a connection is made */
  GSource *trying_timeout;      /* (nullable) */
  gboolean is_late;
  TandemNodeClient *client;     /* (nullable): known by its info, too */
  gulong closed_handler;
  char *identity;               /* (nullable): device, process and port */
  TandemNodeInfo *info;         /* (nullable): the last one */
  GError *problem;              /* (nullable): of the connection */
  GError *unfit;                /* (nullable): of the last preparation */
  gboolean is_twin;             /* another entry has a connection to the same node */

  guint n_failures;             /* in a row */
  GSource *retry;               /* (nullable) */
  GSource *heartbeat;           /* (nullable) */
  gint64 asked;                 /* monotonic: a ping that is not answered yet; 0: none */
  gboolean is_silent;

  GHashTable *profiles;         /* what it was measured with -> TandemProfile */
  TandemProfile *profile;       /* (nullable): borrowed: that of the last preparation */
};

struct _TandemCluster
{
  GObject parent;

  GMainContext *context;
  TandemClusterKey *key;        /* (nullable) */
  gboolean insecure;
  gboolean uses_mdns;
  gboolean is_running;
  TandemDiscovery *discovery;
  gulong discovery_handler;
  GPtrArray *entries;           /* of TandemClusterEntry */
  GPtrArray *candidates;        /* (nullable): the last ones */
  TandemPlaces *places;         /* of candidates: who has an entry */
  GSource *turn;                /* (nullable): others are to have their turn */
  GSource *changing;            /* (nullable): "changed" is about to be emitted */

  guint64 memory_limit;         /* bytes of this device; 0: what is available */
  guint n_threads;              /* of the last preparation */
  GHashTable *links;            /* "from>to" -> TandemNetworkLink */
  GHashTable *profiles;         /* of this device, as those of entries */
  TandemClusterPrepare *preparing;      /* (nullable) */
};

/* tandem-cluster.c */
/* Who is there now. Exported for the tests only. */
TANDEM_API
void tandem_cluster_take_candidates (TandemCluster *self, GPtrArray *candidates);
void tandem_cluster_changed (TandemCluster *self);
void tandem_cluster_lost_connection (TandemCluster *self, TandemClusterEntry *entry);

/* tandem-cluster-entry.c */
TandemClusterEntry *tandem_cluster_entry_new (TandemCluster *cluster, TandemCandidate *candidate);
TandemClusterEntry *tandem_cluster_entry_ref (TandemClusterEntry *self);
void tandem_cluster_entry_unref (TandemClusterEntry *self);
void tandem_cluster_entry_set_candidate (TandemClusterEntry *self, TandemCandidate *candidate);
void tandem_cluster_entry_connect (TandemClusterEntry *self);
void tandem_cluster_entry_leave (TandemClusterEntry *self);
/* Whether it tried and found nobody whom it did not know anyway: then others may have its place. */
gboolean tandem_cluster_entry_may_go (const TandemClusterEntry *self);
gboolean tandem_cluster_entry_is_usable (const TandemClusterEntry *self);
TandemClusterMember *tandem_cluster_entry_to_member (const TandemClusterEntry *self);

/* tandem-cluster-prepare.c */
void tandem_cluster_prepare_check (TandemCluster *self);
char *tandem_cluster_make_profile_key (TandemModel *model, TandemPrecision precision,
                                       guint n_threads);

/* tandem-cluster-links.c */
/* Measures what is not known of the links between this device and the entries; done is called
 * once, never from within. */
void tandem_cluster_measure_links (TandemCluster *self, GPtrArray *entries,
                                   GCancellable *cancellable, void (*done) (gpointer data),
                                   gpointer data);
char *tandem_cluster_make_link_key (const TandemClusterEntry *from, const TandemClusterEntry *to);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemClusterEntry, tandem_cluster_entry_unref)

G_END_DECLS
