/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The parameters of a stage in training: float32, all but the word embeddings in one block.
 * Not a part of the public API. */
#pragma once

#include "model/tandem-masks.h"
#include "model/tandem-model.h"
#include "nn/tandem-training.h"

G_BEGIN_DECLS

/* Weights at one moment. A micro-batch keeps those of its forward pass for its backward
 * pass: an update leaves them alone while anybody holds them. */
typedef struct
{
  guint ref_count;              /* one thread */
  float *data;                  /* [n] */
} TandemWeights;

/* One tensor of the block. */
typedef struct
{
  char *name;                   /* canonical */
  guint n_dims;
  guint64 shape[2];
  gsize offset;
  gsize n;
  gboolean decays;              /* matrices do, biases and layer norms do not */
  gboolean is_optional;         /* random where the model does not have it */
  const guint8 *mask;           /* bits of what is kept, in masks; NULL: all of it */
} TandemParameter;

typedef struct
{
  GArray *list;                 /* of TandemParameter, in the order of the block */
  gsize n;                      /* floats of the block */
  guint64 seed;                 /* of what is random, as is the next */
  double deviation;             /* of matrices; biases are 0, factors of layer norms 1 */
  TandemWeights *current;
  float *gradient;              /* [n] */
  float *m, *v;                 /* [n]: AdamW's moments */

  /* Word embeddings, or no rows. Only rows that occurred have gradients, and only these are
   * updated: the others keep their moments until they occur again. */
  guint n_words;
  guint width;
  float *words;                 /* [n_words, width], as are the next three */
  float *word_gradient;
  float *word_m, *word_v;
  guint8 *touched;              /* [n_words] */
  const guint8 *word_mask;

  TandemMasks *masks;           /* what they do not keep is zero, and stays so; or NULL */
} TandemParameters;

TandemParameters *tandem_parameters_new (void);

void tandem_parameters_free (TandemParameters *self);

/* Before load: the next tensor of the block. Returns its offset. */
gsize tandem_parameters_add (TandemParameters *self, const char *name, guint n_dims, guint64 rows,
                             guint64 columns);

/* The same for a tensor that may be missing in the model; seed and deviation are to be set. */
gsize tandem_parameters_add_optional (TandemParameters *self, const char *name, guint n_dims,
                                      guint64 rows, guint64 columns);

void tandem_parameters_set_words (TandemParameters *self, guint n_words, guint width);

/* Reads all values from the model; afterwards no more can be added. */
gboolean tandem_parameters_load (TandemParameters *self, TandemModel *model, GError **error);

/* After load: takes a reference to masks. Sets to zero what they do not keep, AdamW's moments
 * included. */
gboolean tandem_parameters_set_masks (TandemParameters *self, TandemMasks *masks, GError **error);

/* The same once more, after values came from elsewhere. */
void tandem_parameters_mask (TandemParameters *self);

/* Sets the gradients of what is not kept to zero, to be called before they are used: with it and the
 * moments at zero AdamW leaves a zero as it is. */
void tandem_parameters_mask_gradient (TandemParameters *self);

TandemWeights *tandem_parameters_hold (TandemParameters *self);

void tandem_weights_release (TandemWeights *weights);

/* Adds the squares of all gradients to sum, from the last tensor to the first: in this order
 * the sum of a model is the same to the bit however it is split. */
double tandem_parameters_add_squares (const TandemParameters *self, double sum);

/* step's decay is for matrices. */
void tandem_parameters_update (TandemParameters *self, const TandemAdamWStep *step);

void tandem_parameters_clear_gradient (TandemParameters *self);

/* What of a parameter tandem_parameters_get() gives. */
typedef enum
{
  TANDEM_PARAMETER_VALUE,
  TANDEM_PARAMETER_GRADIENT,
  TANDEM_PARAMETER_M,
  TANDEM_PARAMETER_V,
} TandemParameterPart;

/* Calls func for each tensor with the place of its numbers, word embeddings first. */
typedef void (*TandemParameterFunc) (const char *name, guint n_dims, const guint64 *shape,
                                     float *data, gpointer user_data);

void tandem_parameters_foreach (TandemParameters *self, TandemParameterPart part,
                                TandemParameterFunc func, gpointer user_data);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemParameters, tandem_parameters_free)

G_END_DECLS
