/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the planner's files share. Times are whole picoseconds here: their sums are exact in any
 * order, so that ties are ties on every processor. Not a part of the public API. */
#pragma once

#include "place/tandem-placement-problem.h"

G_BEGIN_DECLS

/* No such way; also what takes longer than TANDEM_PLACE_MAX_SECONDS. */
#define TANDEM_TICKS_NEVER G_MAXUINT64
#define TANDEM_TICKS_PER_SECOND 1e12

/* The longest time of a part or a hop, in seconds: sums over all parts fit into 64 bits. */
#define TANDEM_PLACE_MAX_SECONDS 1e4

/* Bytes of a micro-batch on the wire beside its rows: the frame's header, that of a BUFFER,
 * and its entry for each sequence. */
#define TANDEM_PLACE_FRAME_BYTES 72
#define TANDEM_PLACE_SEQUENCE_BYTES 16

struct _TandemPlacementProblem
{
  GObject parent_instance;

  char *model;                  /* fingerprint, or NULL */
  guint n_layers;
  guint width;
  guint n_classes;
  TandemBatchShape shape;
  TandemWireFormats formats;
  guint asking;
  GPtrArray *devices;           /* TandemDevice */
  TandemNetworkLink *links;     /* [TANDEM_PLACEMENT_MAX_DEVICES][the same] */
  guint64 *memory;              /* of weights: [first layer][last layer] */
  guint64 per_thread;
  guint64 activations;
};

/* Stages by the ranks of their devices; the last one ends with the last layer. */
typedef struct
{
  guint n_stages;
  guint device[TANDEM_PLACEMENT_MAX_LAYERS];
  guint first[TANDEM_PLACEMENT_MAX_LAYERS];
} TandemSplit;

/* A problem in ticks. Devices have ranks here: their place in the order of names. */
typedef struct
{
  TandemPlacementProblem *problem;
  guint n_devices, n_layers, n_formats;
  guint asking;                 /* a rank */
  guint devices[TANDEM_PLACEMENT_MAX_DEVICES];  /* numbers in the problem, by rank */
  guint formats[TANDEM_N_WIRE_FORMATS];         /* numbers of those worth a thought */
  guint64 tokenize;
  guint64 *embeddings;          /* [device] */
  guint64 *layers;              /* [device][layers before], summed up; n_layers + 1 of them */
  guint64 *send;                /* [device][format], as is receive */
  guint64 *receive;
  guint64 *delay;               /* [from][to] */
  guint64 *transfer;            /* of activations: [from][to][format] */
  guint64 *tokens;              /* from the device that asks: [to] */
  guint64 *logits;              /* to the device that asks: [from] */
} TandemPlacementTables;

/* tandem-placement-tables.c */

/* keep_formats: consider also those that another one is at least as good as. */
TandemPlacementTables *tandem_placement_tables_new (TandemPlacementProblem *problem,
                                                    const guint *devices, guint n_devices,
                                                    gboolean keep_formats);
void tandem_placement_tables_free (TandemPlacementTables *self);

/* The time of a stage on a device but for sending and receiving rows. */
guint64 tandem_placement_tables_compute (const TandemPlacementTables *self, guint device,
                                         guint first, guint last);
gboolean tandem_placement_tables_fits (const TandemPlacementTables *self, guint device,
                                       guint first, guint last);

static inline guint64
tandem_placement_tables_transfer (const TandemPlacementTables *self, guint from, guint to,
                                  guint format)
{
  return self->transfer[(from * self->n_devices + to) * self->n_formats + format];
}

static inline guint64
tandem_placement_tables_delay (const TandemPlacementTables *self, guint from, guint to)
{
  return self->delay[from * self->n_devices + to];
}

/* tandem-placement-evaluate.c */

/* What becomes of a split in the best formats for an objective: for throughput those of the
 * shortest period, and of them the ones of the lowest latency; for latency the latter alone.
 * Of equal ones the first counts. allowed: NULL, or the index of the format of each hop between
 * stages. FALSE: a device cannot be reached. */
gboolean tandem_placement_tables_measure (const TandemPlacementTables *self,
                                          const TandemSplit *split,
                                          TandemPlacementObjective objective,
                                          const guint *allowed, guint *formats, guint64 *period,
                                          guint64 *latency);
TandemPlacement *tandem_placement_tables_describe (const TandemPlacementTables *self,
                                                   const TandemSplit *split,
                                                   TandemPlacementObjective objective,
                                                   const guint *allowed);

/* tandem-placement-search.c */

/* Finds the best and the second-best split. Returns how many there are, 0 to 2; or -1 with
 * @error set when cancelled. */
int tandem_placement_tables_search (const TandemPlacementTables *self,
                                    TandemPlacementObjective objective, TandemSplit splits[2],
                                    GCancellable *cancellable, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemPlacementTables, tandem_placement_tables_free)

G_END_DECLS
