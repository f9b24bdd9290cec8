/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Masks by magnitude against sorting. */

#include "tandem-test-sparse.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct
{
  const char *name;
  guint64 index;
  float magnitude;
} Element;

static int
compare (const void *a, const void *b)
{
  const Element *left = a, *right = b;
  int names = strcmp (left->name, right->name);

  if (left->magnitude != right->magnitude)
    return left->magnitude < right->magnitude ? -1 : 1;
  return names != 0 ? names : (left->index > right->index) - (left->index < right->index);
}

static const char *const targets[] = {
  "embeddings.word_embeddings.weight", "encoder.layer.0.output.dense.weight",
  "encoder.layer.1.attention.self.key.weight", "pooler.dense.weight",
};

/* Few different magnitudes, so that many are equal. */
static GHashTable *
make_tensors (GRand *rand)
{
  GHashTable *tensors = g_hash_table_new_full (g_str_hash, g_str_equal, NULL,
                                               (GDestroyNotify) tandem_tensor_unref);
  static const char *const others[] = { "classifier.weight", "encoder.layer.0.output.dense.bias",
                                        "embeddings.position_embeddings.weight" };
  guint i, k;

  for (i = 0; i < G_N_ELEMENTS (targets) + G_N_ELEMENTS (others); i++) {
    const char *name = i < G_N_ELEMENTS (targets) ? targets[i] : others[i - G_N_ELEMENTS (targets)];
    guint64 shape[] = { 11 + i, 7 };
    gsize n = shape[0] * shape[1];
    float *data = g_new (float, n);
    g_autoptr (GBytes) bytes = g_bytes_new_take (data, n * sizeof (float));

    for (k = 0; k < n; k++)
      data[k] = (float) g_rand_int_range (rand, -9, 10) / 16;
    g_hash_table_insert (tensors, (gpointer) name,
                         tandem_tensor_new (TANDEM_DTYPE_F32, 2, shape, bytes, NULL));
  }
  return tensors;
}

/* The names from @first on, in one list. */
static void
check (GHashTable *tensors, TandemMasks *masks, guint first, guint n_names, double sparsity)
{
  g_autoptr (GArray) all = g_array_new (FALSE, FALSE, sizeof (Element));
  guint64 n_dropped, i;
  guint t;

  for (t = first; t < first + n_names; t++) {
    TandemTensor *tensor = g_hash_table_lookup (tensors, targets[t]);
    const float *data = tandem_tensor_get_data (tensor, NULL);

    for (i = 0; i < tandem_tensor_get_n_elements (tensor); i++) {
      Element element = { targets[t], i, fabsf (data[i]) };

      g_array_append_val (all, element);
    }
  }
  n_dropped = (guint64) floor (sparsity * all->len + 0.5);
  qsort (all->data, all->len, sizeof (Element), compare);
  for (i = 0; i < all->len; i++) {
    const Element *element = &g_array_index (all, Element, i);
    const guint8 *bits = tandem_masks_get (masks, element->name, NULL);

    g_assert_nonnull (bits);
    g_assert_cmpint (bits[element->index / 8] >> (element->index % 8) & 1, ==, i >= n_dropped);
  }
}

static void
test_scopes (void)
{
  static const double sparsities[] = { 0, 0.1, 0.5, 0.777, 0.9, 1 };
  g_autoptr (GRand) rand = g_rand_new_with_seed (3);
  guint round, s, t;

  for (round = 0; round < 5; round++) {
    g_autoptr (GHashTable) tensors = make_tensors (rand);

    for (s = 0; s < G_N_ELEMENTS (sparsities); s++) {
      g_autoptr (TandemMasks) global = tandem_prune_magnitude (
          tensors, TANDEM_PRUNE_LINEAR | TANDEM_PRUNE_EMBEDDINGS, TANDEM_PRUNE_SCOPE_GLOBAL,
          sparsities[s], NULL);
      g_autoptr (TandemMasks) each = tandem_prune_magnitude (
          tensors, TANDEM_PRUNE_LINEAR, TANDEM_PRUNE_SCOPE_TENSOR, sparsities[s], NULL);
      g_auto (GStrv) names = tandem_masks_list (global);

      g_assert_cmpuint (g_strv_length (names), ==, G_N_ELEMENTS (targets));
      check (tensors, global, 0, G_N_ELEMENTS (targets), sparsities[s]);
      g_assert_null (tandem_masks_get (each, targets[0], NULL));
      for (t = 1; t < G_N_ELEMENTS (targets); t++)
        check (tensors, each, t, 1, sparsities[s]);
    }
  }
}

static void
test_apply (void)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (4);
  g_autoptr (GHashTable) tensors = make_tensors (rand);
  g_autoptr (TandemMasks) masks = tandem_prune_magnitude (
      tensors, TANDEM_PRUNE_LINEAR, TANDEM_PRUNE_SCOPE_GLOBAL, 0.5, NULL);
  g_autoptr (GHashTable) pruned = tandem_masks_apply (masks, tensors, NULL);
  guint64 n_elements, n_kept, i;
  guint t;

  g_assert_cmpuint (g_hash_table_size (pruned), ==, g_hash_table_size (tensors));
  for (t = 0; t < G_N_ELEMENTS (targets); t++) {
    TandemTensor *before = g_hash_table_lookup (tensors, targets[t]);
    TandemTensor *after = g_hash_table_lookup (pruned, targets[t]);
    const float *left = tandem_tensor_get_data (before, NULL);
    const float *right = tandem_tensor_get_data (after, NULL);
    const guint8 *bits = tandem_masks_get (masks, targets[t], NULL);

    for (i = 0; i < tandem_tensor_get_n_elements (before); i++)
      g_assert_true (right[i] == (bits == NULL || bits[i / 8] >> (i % 8) & 1 ? left[i] : 0));
  }
  tandem_masks_count (masks, &n_elements, &n_kept);
  g_assert_cmpuint (n_kept, ==, n_elements - (guint64) floor (0.5 * n_elements + 0.5));
}

static void
test_schedule (void)
{
  double last = 0.1;
  guint i;

  g_assert_cmpfloat_with_epsilon (tandem_prune_schedule (0.1, 0.9, -1), 0.1, 1e-12);
  g_assert_cmpfloat (tandem_prune_schedule (0.1, 0.9, 2), ==, 0.9);
  g_assert_cmpfloat_with_epsilon (tandem_prune_schedule (0, 0.8, 0.5), 0.7, 1e-12);
  for (i = 1; i <= 10; i++) {
    double now = tandem_prune_schedule (0.1, 0.9, i / 10.0);

    g_assert_cmpfloat (now, >, last);
    last = now;
  }
}

static void
test_nothing (void)
{
  g_autoptr (GHashTable) tensors = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GError) error = NULL;

  g_assert_null (tandem_prune_magnitude (tensors, TANDEM_PRUNE_LINEAR, TANDEM_PRUNE_SCOPE_GLOBAL,
                                         0.5, &error));
  g_assert_error (error, TANDEM_PRUNE_ERROR, TANDEM_PRUNE_ERROR_MODEL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/prune/magnitude/scopes", test_scopes);
  g_test_add_func ("/prune/magnitude/apply", test_apply);
  g_test_add_func ("/prune/magnitude/schedule", test_schedule);
  g_test_add_func ("/prune/magnitude/nothing", test_nothing);
  return g_test_run ();
}
