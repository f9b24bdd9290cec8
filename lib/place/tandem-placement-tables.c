/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "place/tandem-placement-private.h"

static guint64
to_ticks (double seconds)
{
  /* The other way round for what is not a number. */
  if (!(seconds <= TANDEM_PLACE_MAX_SECONDS))
    return TANDEM_TICKS_NEVER;
  return (guint64) llround (seconds * TANDEM_TICKS_PER_SECOND);
}

static guint64
cost_to_ticks (const TandemPlacementTables *self, const TandemCost *cost)
{
  return to_ticks (tandem_cost_evaluate (cost, &self->problem->shape));
}

static const TandemDevice *
get_device (const TandemPlacementTables *self, guint rank)
{
  return g_ptr_array_index (self->problem->devices, self->devices[rank]);
}

static guint64
link_to_ticks (const TandemPlacementTables *self, guint from, guint to, double payload)
{
  const TandemBatchShape *shape = &self->problem->shape;
  const TandemNetworkLink *link =
      &self->problem->links[self->devices[from] * TANDEM_PLACEMENT_MAX_DEVICES +
                            self->devices[to]];
  double bytes = TANDEM_PLACE_FRAME_BYTES + payload +
                 (double) TANDEM_PLACE_SEQUENCE_BYTES * shape->n_sequences;

  if (from == to)
    return 0;
  return link->bandwidth > 0 ? to_ticks (bytes / link->bandwidth) : TANDEM_TICKS_NEVER;
}

static double
get_rows_size (const TandemPlacementTables *self, guint format)
{
  return (double) self->problem->shape.n_tokens *
      tandem_wire_format_get_row_size (1u << format, self->problem->width);
}

/* Whether @better is nowhere slower than @format. */
static gboolean
is_dominated (const TandemPlacementTables *self, guint format, guint better)
{
  guint i;

  if (get_rows_size (self, better) > get_rows_size (self, format))
    return FALSE;
  for (i = 0; i < self->n_devices; i++) {
    const TandemDevice *device = get_device (self, i);

    if (cost_to_ticks (self, &device->send[better]) >
            cost_to_ticks (self, &device->send[format]) ||
        cost_to_ticks (self, &device->receive[better]) >
            cost_to_ticks (self, &device->receive[format]))
      return FALSE;
  }
  return TRUE;
}

static void
choose_formats (TandemPlacementTables *self, gboolean keep)
{
  guint allowed[TANDEM_N_WIRE_FORMATS], n = 0, i, k;

  for (i = 0; i < TANDEM_N_WIRE_FORMATS; i++)
    if (self->problem->formats & 1u << i)
      allowed[n++] = i;
  for (i = 0; i < n; i++) {
    gboolean useful = TRUE;

    for (k = 0; k < n && useful; k++) {
      /* Of two that dominate each other the first one stays. */
      if (k == i || !is_dominated (self, allowed[i], allowed[k]))
        continue;
      useful = i < k && is_dominated (self, allowed[k], allowed[i]);
    }
    if (useful || keep)
      self->formats[self->n_formats++] = allowed[i];
  }
}

static int
compare_names (gconstpointer a, gconstpointer b, gpointer data)
{
  const TandemPlacementProblem *problem = data;
  const TandemDevice *left = g_ptr_array_index (problem->devices, *(const guint *) a);
  const TandemDevice *right = g_ptr_array_index (problem->devices, *(const guint *) b);

  return strcmp (left->name, right->name);
}

static void
fill_device (TandemPlacementTables *self, guint rank)
{
  const TandemDevice *device = get_device (self, rank);
  guint64 *sums = self->layers + rank * (self->n_layers + 1);
  guint i;

  self->embeddings[rank] = cost_to_ticks (self, &device->embeddings);
  for (i = 0; i < self->n_layers; i++)
    sums[i + 1] = sums[i] + cost_to_ticks (self, &device->layers[i]);
  for (i = 0; i < self->n_formats; i++) {
    guint format = self->formats[i];

    self->send[rank * self->n_formats + i] = cost_to_ticks (self, &device->send[format]);
    self->receive[rank * self->n_formats + i] = cost_to_ticks (self, &device->receive[format]);
  }
}

static void
fill_links (TandemPlacementTables *self, guint from)
{
  const TandemPlacementProblem *problem = self->problem;
  guint to, i;

  for (to = 0; to < self->n_devices; to++) {
    const TandemNetworkLink *link =
        &problem->links[self->devices[from] * TANDEM_PLACEMENT_MAX_DEVICES + self->devices[to]];

    self->delay[from * self->n_devices + to] = from == to ? 0 : to_ticks (link->delay);
    for (i = 0; i < self->n_formats; i++)
      self->transfer[(from * self->n_devices + to) * self->n_formats + i] =
          link_to_ticks (self, from, to, get_rows_size (self, self->formats[i]));
  }
  self->logits[from] = link_to_ticks (self, from, self->asking,
                                      4.0 * problem->n_classes * problem->shape.n_sequences);
  self->tokens[from] = link_to_ticks (self, self->asking, from, 4.0 * problem->shape.n_tokens);
}

TandemPlacementTables *
tandem_placement_tables_new (TandemPlacementProblem *problem, const guint *devices,
                             guint n_devices, gboolean keep_formats)
{
  TandemPlacementTables *self = g_new0 (TandemPlacementTables, 1);
  guint i;

  self->problem = g_object_ref (problem);
  self->n_devices = n_devices;
  self->n_layers = problem->n_layers;
  memcpy (self->devices, devices, n_devices * sizeof *devices);
  g_qsort_with_data (self->devices, n_devices, sizeof *devices, compare_names, problem);
  choose_formats (self, keep_formats);
  self->embeddings = g_new0 (guint64, n_devices);
  self->layers = g_new0 (guint64, n_devices * (self->n_layers + 1));
  self->send = g_new0 (guint64, n_devices * self->n_formats);
  self->receive = g_new0 (guint64, n_devices * self->n_formats);
  self->delay = g_new0 (guint64, n_devices * n_devices);
  self->transfer = g_new0 (guint64, n_devices * n_devices * self->n_formats);
  self->tokens = g_new0 (guint64, n_devices);
  self->logits = g_new0 (guint64, n_devices);
  for (i = 0; i < n_devices; i++)
    if (self->devices[i] == problem->asking)
      self->asking = i;
  self->tokenize = cost_to_ticks (self, &get_device (self, self->asking)->tokenize);
  for (i = 0; i < n_devices; i++) {
    fill_device (self, i);
    fill_links (self, i);
  }
  return self;
}

void
tandem_placement_tables_free (TandemPlacementTables *self)
{
  g_object_unref (self->problem);
  g_free (self->embeddings);
  g_free (self->layers);
  g_free (self->send);
  g_free (self->receive);
  g_free (self->delay);
  g_free (self->transfer);
  g_free (self->tokens);
  g_free (self->logits);
  g_free (self);
}

guint64
tandem_placement_tables_compute (const TandemPlacementTables *self, guint device, guint first,
                                 guint last)
{
  const guint64 *sums = self->layers + device * (self->n_layers + 1);

  return sums[last + 1] - sums[first] + (first == 0 ? self->embeddings[device] : 0) +
      (device == self->asking ? self->tokenize : 0);
}

gboolean
tandem_placement_tables_fits (const TandemPlacementTables *self, guint device, guint first,
                              guint last)
{
  const TandemDevice *of = get_device (self, device);

  return of->memory == 0 ||
      tandem_placement_problem_get_memory (self->problem, self->devices[device], first, last) <=
          of->memory;
}
