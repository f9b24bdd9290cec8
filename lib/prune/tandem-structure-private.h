/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Shared by the files of structured pruning alone. */
#pragma once

#include "prune/tandem-structure.h"

G_BEGIN_DECLS

/* One layer of the model that is pruned. */
typedef struct
{
  gboolean is_kept;
  double norm;                  /* mean magnitude of its matrices */
  guint n_heads, n_neurons;     /* that it has */
  guint8 *heads;                /* [n_heads]: whether each is kept */
  guint8 *neurons;              /* [n_neurons] */
  double *head_norms;           /* sum of the magnitudes that go with each */
  double *neuron_norms;
} TandemStructureLayer;

struct _TandemStructure
{
  TandemModel *model;
  guint head_size;
  guint n_layers;
  TandemStructureLayer *layers; /* [n_layers] */
};

/* Returns the text of the configuration that goes with what is kept. */
char *tandem_structure_make_config (const TandemStructure *self, GError **error);

/* How many of the bytes are set. */
guint tandem_structure_count_kept (const guint8 *kept, guint n);

G_END_DECLS
