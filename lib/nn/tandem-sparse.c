/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "nn/tandem-sparse.h"

#include <string.h>

#include "nn/tandem-kernels.h"
#include "tensor/tandem-memory.h"

extern const TandemSparseKernels tandem_sparse_kernels_generic;
#ifdef TANDEM_HAVE_X86
extern const TandemSparseKernels tandem_sparse_kernels_avx2;
extern const TandemSparseKernels tandem_sparse_kernels_avx512;
#endif

struct _TandemSparseLinear
{
  const TandemSparseKernels *kernels;
  TandemSparseWeights weights;
  gsize n_bytes;
  TandemSparseGroup *groups;
  TandemSparseStep *steps;
  float *bias;
};

const TandemSparseKernels *
tandem_sparse_kernels_lookup (const char *name)
{
  if (tandem_kernels_lookup (name) == NULL)
    return NULL;
#ifdef TANDEM_HAVE_X86
  if (strcmp (name, "avx512") == 0)
    return &tandem_sparse_kernels_avx512;
  if (strcmp (name, "avx2") == 0)
    return &tandem_sparse_kernels_avx2;
#endif
  return &tandem_sparse_kernels_generic;
}

const TandemSparseKernels *
tandem_sparse_kernels_get (void)
{
  return tandem_sparse_kernels_lookup (tandem_kernels_get ()->name);
}

gboolean
tandem_sparse_gains (const TandemSparseKernels *kernels, guint64 n_kept, guint64 n)
{
  return (double) n_kept <= kernels->most_dense * (double) n;
}

static guint
round_up (guint n, guint multiple)
{
  return (n + multiple - 1) / multiple * multiple;
}

/* The part of a matrix that a block has of a chunk. */
typedef struct
{
  const float *weight;          /* [n_out, n_in] */
  guint n_in, n_out;
  guint first_in, last_in;
  guint first_out, block;
} Part;

typedef struct
{
  guint output;                 /* within the block */
  guint n;
} Length;

static int
compare_lengths (gconstpointer a, gconstpointer b)
{
  const Length *one = a, *other = b;

  if (one->n != other->n)
    return one->n < other->n ? -1 : 1;
  return one->output < other->output ? -1 : 1;
}

static guint
count (const Part *part, guint output)
{
  guint n = 0, i;

  if (part->first_out + output >= part->n_out)
    return 0;
  for (i = part->first_in; i < part->last_in; i++)
    n += part->weight[(gsize) (part->first_out + output) * part->n_in + i] != 0.0f;
  return n;
}

/* Outputs of like length share a group, so that few zeros fill the others up. */
static void
pack_part (const Part *part, GArray *groups, GArray *steps)
{
  g_autofree Length *lengths = g_new (Length, part->block);
  guint first, k, i;

  for (k = 0; k < part->block; k++)
    lengths[k] = (Length) { k, count (part, k) };
  qsort (lengths, part->block, sizeof *lengths, compare_lengths);
  for (first = 0; first < part->block; first += TANDEM_SPARSE_GROUP) {
    TandemSparseGroup group = { .n_steps = lengths[first + TANDEM_SPARSE_GROUP - 1].n };
    guint start = steps->len;
    TandemSparseStep *own;

    g_array_set_size (steps, start + group.n_steps);
    own = &g_array_index (steps, TandemSparseStep, start);
    for (k = 0; k < TANDEM_SPARSE_GROUP; k++) {
      const float *row =
          part->weight + (gsize) (part->first_out + lengths[first + k].output) * part->n_in;
      guint n = 0;

      group.outputs[k] = lengths[first + k].output;
      for (i = part->first_in; lengths[first + k].n > 0 && i < part->last_in; i++) {
        if (row[i] != 0.0f) {
          own[n].inputs[k] = i;
          own[n++].weights[k] = row[i];
        }
      }
      for (; n < group.n_steps; n++) {
        own[n].inputs[k] = part->first_in;
        own[n].weights[k] = 0.0f;
      }
    }
    g_array_append_val (groups, group);
  }
}

/* Moves to memory that goes back to the system when it is freed. */
static gpointer
take (GArray *array, gsize *n_bytes)
{
  gsize size = (gsize) array->len * g_array_get_element_size (array);
  gpointer memory = tandem_memory_new (1, MAX (size, 1));

  if (size > 0)
    memcpy (memory, array->data, size);
  *n_bytes += size;
  return memory;
}

TandemSparseLinear *
tandem_sparse_linear_new (const TandemSparseKernels *kernels, const float *weight,
                          const float *bias, guint n_in, guint n_out)
{
  TandemSparseLinear *self = g_new0 (TandemSparseLinear, 1);
  g_autoptr (GArray) groups = g_array_new (FALSE, FALSE, sizeof (TandemSparseGroup));
  g_autoptr (GArray) steps = g_array_new (FALSE, FALSE, sizeof (TandemSparseStep));
  guint whole = round_up (n_out, kernels->block), in, out;

  g_assert (n_in <= TANDEM_SPARSE_MAX_INPUTS);
  self->kernels = kernels;
  for (in = 0; in < n_in; in += TANDEM_SPARSE_CHUNK)
    for (out = 0; out < n_out; out += kernels->block) {
      Part part = { weight, n_in, n_out, in, MIN (in + TANDEM_SPARSE_CHUNK, n_in), out,
                    kernels->block };

      pack_part (&part, groups, steps);
    }
  self->bias = tandem_memory_new (whole, sizeof (float));
  memset (self->bias, 0, whole * sizeof (float));
  memcpy (self->bias, bias, n_out * sizeof (float));
  self->n_bytes = whole * sizeof (float);
  self->groups = take (groups, &self->n_bytes);
  self->steps = take (steps, &self->n_bytes);
  self->weights = (TandemSparseWeights) { n_in, n_out, self->groups, self->steps, self->bias };
  return self;
}

void
tandem_sparse_linear_free (TandemSparseLinear *self)
{
  if (self == NULL)
    return;
  tandem_memory_free (self->groups);
  tandem_memory_free (self->steps);
  tandem_memory_free (self->bias);
  g_free (self);
}

gsize
tandem_sparse_linear_get_bytes (const TandemSparseLinear *self)
{
  return self->n_bytes;
}

gsize
tandem_sparse_linear_get_scratch (const TandemSparseLinear *self)
{
  gsize whole = round_up (self->weights.n_out, self->kernels->block);

  return self->kernels->tile * (self->weights.n_in + whole) * sizeof (float);
}

void
tandem_sparse_linear_forward (const TandemSparseLinear *self, const float *x, gsize n_rows,
                              float *out, gpointer scratch)
{
  while (n_rows > 0) {
    guint n = (guint) MIN (n_rows, self->kernels->tile);

    self->kernels->multiply (&self->weights, x, n, out, scratch);
    x += (gsize) n * self->weights.n_in;
    out += (gsize) n * self->weights.n_out;
    n_rows -= n;
  }
}
