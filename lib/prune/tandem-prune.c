/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Unstructured pruning by magnitude (Han et al. 2015, section 3). */

#include "config.h"

#include "prune/tandem-prune.h"

#include <math.h>
#include <string.h>

#include "model/tandem-model-private.h"

G_DEFINE_QUARK (tandem-prune-error-quark, tandem_prune_error)

/* A magnitude is compared by the bits of its float without the sign, which ascend with it. The
 * threshold is found in two passes: the upper bits first, then the lower ones of those that tie. */
#define LOWER_BITS 16
#define N_UPPER (1 << (31 - LOWER_BITS))
#define N_LOWER (1 << LOWER_BITS)

typedef struct
{
  const char *name;
  guint64 n;
  guint32 *keys;                /* [n] */
} Tensor;

static void
tensor_clear (gpointer data)
{
  g_free (((Tensor *) data)->keys);
}

static gboolean
is_target (const char *name, const TandemTensor *tensor, TandemPruneTargets targets)
{
  if (tandem_tensor_get_n_dims (tensor) != 2 || !g_str_has_suffix (name, ".weight"))
    return FALSE;
  if (g_str_equal (name, "embeddings.word_embeddings.weight"))
    return (targets & TANDEM_PRUNE_EMBEDDINGS) != 0;
  return (targets & TANDEM_PRUNE_LINEAR) != 0 &&
      (g_str_has_prefix (name, "encoder.") || g_str_has_prefix (name, "pooler.") ||
       g_str_equal (name, "embeddings.projection.weight"));
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (((const Tensor *) a)->name, ((const Tensor *) b)->name);
}

static GArray *
collect (GHashTable *tensors, TandemPruneTargets targets, GError **error)
{
  g_autoptr (GArray) list = g_array_new (FALSE, FALSE, sizeof (Tensor));
  GHashTableIter iter;
  gpointer name, value;

  g_array_set_clear_func (list, tensor_clear);
  g_hash_table_iter_init (&iter, tensors);
  while (g_hash_table_iter_next (&iter, &name, &value)) {
    Tensor tensor = { name, tandem_tensor_get_n_elements (value), NULL };
    guint64 i;

    if (!is_target (name, value, targets))
      continue;
    tensor.keys = g_new (guint32, tensor.n);
    g_array_append_val (list, tensor);
    if (!tandem_tensor_copy_f32 (value, 0, tensor.n, (float *) tensor.keys)) {
      g_set_error (error, TANDEM_PRUNE_ERROR, TANDEM_PRUNE_ERROR_MODEL,
                   "tensor \"%s\" is of type %s, which has no magnitudes to compare",
                   (char *) name, tandem_dtype_to_string (tandem_tensor_get_dtype (value)));
      return NULL;
    }
    for (i = 0; i < tensor.n; i++)
      tensor.keys[i] &= 0x7fffffff;
  }
  if (list->len == 0) {
    g_set_error_literal (error, TANDEM_PRUNE_ERROR, TANDEM_PRUNE_ERROR_MODEL,
                         "there is no tensor of those that are to be pruned");
    return NULL;
  }
  g_array_sort (list, compare_names);
  return g_steal_pointer (&list);
}

/* Returns the key of which there are fewer than @count smaller ones, and in *@n_ties how many of
 * those that equal it belong to the smallest @count. @count is not 0. */
static guint32
find_threshold (const Tensor *tensors, guint n_tensors, guint64 count, guint64 *n_ties)
{
  g_autofree guint64 *upper = g_new0 (guint64, N_UPPER);
  g_autofree guint64 *lower = g_new0 (guint64, N_LOWER);
  guint32 high = 0, low = 0;
  guint64 i;
  guint t;

  for (t = 0; t < n_tensors; t++)
    for (i = 0; i < tensors[t].n; i++)
      upper[tensors[t].keys[i] >> LOWER_BITS]++;
  for (; upper[high] < count; high++)
    count -= upper[high];
  for (t = 0; t < n_tensors; t++)
    for (i = 0; i < tensors[t].n; i++)
      if (tensors[t].keys[i] >> LOWER_BITS == high)
        lower[tensors[t].keys[i] & (N_LOWER - 1)]++;
  for (; lower[low] < count; low++)
    count -= lower[low];
  *n_ties = count;
  return high << LOWER_BITS | low;
}

/* Drops the smallest @count elements; of equal ones those that come first. */
static void
drop (const Tensor *tensors, guint n_tensors, guint64 count, TandemMasks *masks)
{
  guint64 n_ties = 0, i;
  guint32 threshold = count > 0 ? find_threshold (tensors, n_tensors, count, &n_ties) : 0;
  guint t;

  for (t = 0; t < n_tensors; t++) {
    g_autofree guint8 *bits = g_malloc0 ((tensors[t].n + 7) / 8);

    for (i = 0; i < tensors[t].n; i++) {
      guint32 key = tensors[t].keys[i];

      if (key == threshold && n_ties > 0)
        n_ties--;
      else if (key >= threshold)
        bits[i >> 3] |= 1 << (i & 7);
    }
    tandem_masks_add (masks, tensors[t].name, bits, tensors[t].n);
  }
}

static guint64
get_count (guint64 n, double sparsity)
{
  return (guint64) floor (sparsity * (double) n + 0.5);
}

/**
 * tandem_prune_magnitude:
 * @tensors: (element-type utf8 TandemTensor): tensors of a model by canonical name
 * @targets: which of them lose elements
 * @scope: what magnitudes are compared with
 * @sparsity: the share of their elements that is to be zero, 0 to 1
 * @error: return location for %TANDEM_PRUNE_ERROR_MODEL
 *
 * Chooses the elements of smallest magnitude (Han et al. 2015). How many these are is rounded to the
 * nearest; of equal ones those go first that come first, by the name of the tensor and then
 * row-major, so that the same model always gives the same masks. What is zero already goes first.
 *
 * Returns: (transfer full): the masks of all tensors that were looked at, or %NULL with @error set
 */
TandemMasks *
tandem_prune_magnitude (GHashTable *tensors, TandemPruneTargets targets, TandemPruneScope scope,
                        double sparsity, GError **error)
{
  g_autoptr (GArray) list = NULL;
  g_autoptr (TandemMasks) masks = NULL;
  guint64 n = 0;
  guint i;

  g_return_val_if_fail (tensors != NULL, NULL);
  g_return_val_if_fail (sparsity >= 0 && sparsity <= 1, NULL);

  list = collect (tensors, targets, error);
  if (list == NULL)
    return NULL;
  masks = tandem_masks_new ();
  for (i = 0; i < list->len; i++) {
    const Tensor *tensor = &g_array_index (list, Tensor, i);

    n += tensor->n;
    if (scope == TANDEM_PRUNE_SCOPE_TENSOR)
      drop (tensor, 1, get_count (tensor->n, sparsity), masks);
  }
  if (scope == TANDEM_PRUNE_SCOPE_GLOBAL)
    drop ((const Tensor *) list->data, list->len, get_count (n, sparsity), masks);
  return g_steal_pointer (&masks);
}

/**
 * tandem_prune_schedule:
 * @initial: the sparsity at the beginning
 * @final: the sparsity at the end
 * @progress: how much of the way is done, 0 to 1; what is beyond counts as the nearer of these
 *
 * The sparsity of gradual pruning (Zhu and Gupta 2017, equation 1): it rises fast while there are
 * many elements that are not needed, and slowly at the end.
 *
 * Returns: the sparsity at that time
 */
double
tandem_prune_schedule (double initial, double final, double progress)
{
  double left = 1 - CLAMP (progress, 0, 1);

  return final + (initial - final) * left * left * left;
}

/* Numbers and scales as what they stand for; takes @tensor. */
static TandemTensor *
multiply (TandemModel *model, const char *name, TandemTensor *tensor, GError **error)
{
  g_autoptr (TandemTensor) numbers = tensor;
  const guint64 shape[] = { tandem_tensor_get_dim (numbers, 0), tandem_tensor_get_dim (numbers, 1) };
  gsize size = shape[0] * shape[1] * sizeof (float);
  g_autofree float *values = g_malloc (size);
  g_autoptr (GBytes) bytes = NULL;

  if (!tandem_model_copy_f32 (model, name, values, error))
    return NULL;
  bytes = g_bytes_new_take (g_steal_pointer (&values), size);
  return tandem_tensor_new (TANDEM_DTYPE_F32, 2, shape, bytes, error);
}

/* Scales of a tensor that becomes floats are no tensors of it any more. */
static gboolean
is_scale (TandemModel *model, const char *name)
{
  return tandem_model_get_quantization (model) != TANDEM_QUANTIZATION_NONE &&
      g_str_has_suffix (name, TANDEM_SCALE_SUFFIX);
}

/**
 * tandem_prune_get_tensors:
 * @model: a model
 * @error: return location for a #TandemModelError
 *
 * Returns: (transfer full) (element-type utf8 TandemTensor): all tensors that it uses and holds, by
 *   canonical name, those that are stored sparse as dense ones, and those that are quantized as the
 *   floats that they stand for; or %NULL with @error set
 */
GHashTable *
tandem_prune_get_tensors (TandemModel *model, GError **error)
{
  g_auto (GStrv) names = tandem_model_list_tensors (model);
  g_autoptr (GHashTable) tensors = g_hash_table_new_full (
      g_str_hash, g_str_equal, g_free, (GDestroyNotify) tandem_tensor_unref);
  guint i;

  for (i = 0; names[i] != NULL; i++) {
    TandemTensor *tensor;

    if (is_scale (model, names[i]))
      continue;
    tensor = tandem_model_get_tensor (model, names[i], error);
    if (tensor != NULL && tandem_tensor_get_dtype (tensor) == TANDEM_DTYPE_I8)
      tensor = multiply (model, names[i], tensor, error);
    if (tensor == NULL)
      return NULL;
    g_hash_table_insert (tensors, g_strdup (names[i]), tensor);
  }
  return g_steal_pointer (&tensors);
}

/**
 * tandem_prune_get_bytes:
 * @tensors: (element-type utf8 TandemTensor): tensors of a model by canonical name
 * @masks: (nullable): of those that are stored sparse
 * @element_size: bytes of an element, or 0 for what each tensor has
 *
 * Returns: how many bytes they take in a file; its header and the vocabulary come on top
 */
guint64
tandem_prune_get_bytes (GHashTable *tensors, TandemMasks *masks, guint element_size)
{
  GHashTableIter iter;
  gpointer name, tensor;
  guint64 sum = 0, i;

  g_hash_table_iter_init (&iter, tensors);
  while (g_hash_table_iter_next (&iter, &name, &tensor)) {
    guint64 n = tandem_tensor_get_n_elements (tensor), n_kept = n;
    gsize size = element_size > 0 ? element_size
        : tandem_dtype_get_size (tandem_tensor_get_dtype (tensor));
    const guint8 *bits = masks != NULL ? tandem_masks_get (masks, name, NULL) : NULL;

    if (bits != NULL)
      for (i = 0, n_kept = 0; i < (n + 7) / 8; i++)
        n_kept += __builtin_popcount (bits[i]);
    sum += n_kept * size + (bits != NULL ? (n + 7) / 8 : 0);
  }
  return sum;
}
