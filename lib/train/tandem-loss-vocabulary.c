/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Logits over a vocabulary are the widest rows of all, and most tokens are not to be
 * predicted: the rows that have a label are gathered, and a block of them is taken from
 * logits to gradients before the next. */

#include "config.h"

#include <math.h>
#include <string.h>

#include "nn/tandem-kernels.h"
#include "nn/tandem-training.h"
#include "tandem-loss-private.h"
#include "tandem-loss.h"
#include "tandem-train-error.h"
#include "tensor/tandem-memory.h"

/* Bytes of a block of logits: small enough for caches, large enough for the products. */
#define BLOCK_BYTES (16 << 20)

typedef struct
{
  const float *x;
  guint width;
  const float *weight;
  const float *bias;
  guint vocab_size;
  const gint32 *labels;
  float *d_x;
  float *d_weight;
  float *d_bias;
} Problem;

/* In place: logits become gradients. rows: where in labels each one is. */
static gboolean
compute_gradients (const Problem *problem, const gsize *rows, gsize n, float *logits,
                   TandemLoss *loss, GError **error)
{
  const TandemLossRows *kernels = tandem_loss_rows_lookup (tandem_kernels_get ()->name);
  gsize r;

  for (r = 0; r < n; r++) {
    float *row = logits + r * problem->vocab_size, max, at_label, inverse;
    guint label = problem->labels[rows[r]];
    gsize highest = 0;
    double sum;

    max = kernels->max (row, problem->vocab_size, &highest);
    if (isnan (max))
      return tandem_loss_fail_row ("the logits", rows[r], error);
    at_label = row[label] - max;
    sum = kernels->exp (row, problem->vocab_size, max);
    loss->sum += log (sum) - at_label;
    loss->n_rows++;
    loss->n_labelled++;
    loss->n_correct += highest == label;
    if (problem->d_weight == NULL)
      continue;
    inverse = (float) (1.0 / sum);
    tandem_scale (inverse, problem->vocab_size, row);
    row[label] -= 1.0f;
  }
  return TRUE;
}

static gboolean
run_block (const Problem *problem, const gsize *rows, gsize n, float *x, float *logits,
           TandemLoss *loss, GError **error)
{
  gsize size = problem->width * sizeof (float), r;

  for (r = 0; r < n; r++)
    memcpy (x + r * problem->width, problem->x + rows[r] * problem->width, size);
  if (!tandem_linear_train_forward (x, n, problem->weight, problem->bias, problem->width,
                                    problem->vocab_size, logits, error) ||
      !compute_gradients (problem, rows, n, logits, loss, error))
    return FALSE;
  if (problem->d_weight == NULL)
    return TRUE;
  /* d_weight needs the rows of x, which d_x then replaces. */
  if (!tandem_linear_train_backward (x, n, problem->weight, problem->width, problem->vocab_size,
                                     logits, NULL, FALSE, problem->d_weight, problem->d_bias,
                                     error) ||
      !tandem_gemm (FALSE, FALSE, n, problem->width, problem->vocab_size, logits,
                    problem->vocab_size, problem->weight, problem->width, 0.0f, x, problem->width,
                    error))
    return FALSE;
  for (r = 0; r < n; r++)
    memcpy (problem->d_x + rows[r] * problem->width, x + r * problem->width, size);
  return TRUE;
}

/**
 * tandem_loss_vocabulary: (skip)
 * @loss: what to add to
 * @x: [@n_rows, @width]
 * @n_rows: rows
 * @width: their width, 1 at least
 * @weight: [@vocab_size, @width]: the decoder's, which in BERT are the word embeddings
 * @bias: [@vocab_size]
 * @vocab_size: entries of the vocabulary, 1 at least
 * @labels: [@n_rows]: the token of each row, or -1: the row is left out
 * @d_x: (nullable): [@n_rows, @width], the gradient of the *sum* of the losses; 0 in rows that
 *   are left out; may not be @x
 * @d_weight: (nullable): [@vocab_size, @width], added to
 * @d_bias: (nullable): [@vocab_size], added to
 * @error: return location for %TANDEM_TRAIN_ERROR_NOT_FINITE or %TANDEM_TRAIN_ERROR_LABEL,
 *   which name the row, or an error of a matrix product
 *
 * The loss of a masked language model (Devlin et al. 2018, section 3.1): cross-entropy of the
 * softmax of x W' + b. Logits exist for some rows at a time: however many rows there are, no
 * more than 16 MiB of them, or one row. The three gradients are all given or all %NULL; after
 * an error @d_weight and @d_bias may hold a part of the sum. Computed in single precision, sums
 * of losses in double precision.
 *
 * Returns: whether all labels and the logits of all rows with a label are usable
 */
gboolean
tandem_loss_vocabulary (TandemLoss *loss, const float *x, gsize n_rows, guint width,
                        const float *weight, const float *bias, guint vocab_size,
                        const gint32 *labels, float *d_x, float *d_weight, float *d_bias,
                        GError **error)
{
  Problem problem = { x, width, weight, bias, vocab_size, labels, d_x, d_weight, d_bias };
  TandemLoss total = *loss;
  g_autofree gsize *rows = NULL;
  g_autoptr (TandemFloats) gathered = NULL;
  g_autoptr (TandemFloats) logits = NULL;
  gsize row, n = 0, first, block;

  g_return_val_if_fail (width > 0 && vocab_size > 0, FALSE);
  g_return_val_if_fail ((d_x == NULL) == (d_weight == NULL), FALSE);
  g_return_val_if_fail ((d_x == NULL) == (d_bias == NULL), FALSE);

  if (!tandem_loss_check_labels (labels, n_rows, vocab_size, error))
    return FALSE;
  if (d_x != NULL)
    memset (d_x, 0, n_rows * width * sizeof *d_x);
  rows = g_new (gsize, n_rows);
  for (row = 0; row < n_rows; row++)
    if (labels[row] >= 0)
      rows[n++] = row;
  if (n == 0)
    return TRUE;

  block = CLAMP (BLOCK_BYTES / (vocab_size * sizeof (float)), 1, n);
  gathered = tandem_memory_new (block * width, sizeof (float));
  logits = tandem_memory_new (block * vocab_size, sizeof (float));
  for (first = 0; first < n; first += block)
    if (!run_block (&problem, rows + first, MIN (block, n - first), gathered, logits, &total,
                    error))
      return FALSE;
  *loss = total;
  return TRUE;
}
