/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Sparse tensors: in memory, in files, and in models that run. */

#include "tandem-test-sparse.h"

#include <string.h>

static TandemTensor *
make_dense (GRand *rand, TandemDtype dtype, guint64 rows, guint64 columns, double sparsity)
{
  gsize size = tandem_dtype_get_size (dtype), n = rows * columns, i;
  guint8 *data = g_malloc0 (n * size);
  guint64 shape[] = { rows, columns };
  g_autoptr (GBytes) bytes = g_bytes_new_take (data, n * size);

  for (i = 0; i < n; i++) {
    guint32 value = g_rand_int (rand) | 1;

    if (g_rand_double (rand) >= sparsity)
      memcpy (data + i * size, &value, size);
  }
  return tandem_tensor_new (dtype, 2, shape, bytes, NULL);
}

/* Every range of a few tensors against the dense one. */
static void
test_expand (void)
{
  static const TandemDtype dtypes[] = { TANDEM_DTYPE_F32, TANDEM_DTYPE_F16, TANDEM_DTYPE_BF16 };
  static const double sparsities[] = { 0, 0.5, 0.97, 1 };
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);
  guint d, s, i;

  for (d = 0; d < G_N_ELEMENTS (dtypes); d++) {
    for (s = 0; s < G_N_ELEMENTS (sparsities); s++) {
      g_autoptr (TandemTensor) dense = make_dense (rand, dtypes[d], 37, 53, sparsities[s]);
      g_autoptr (TandemSparseTensor) sparse = tandem_sparse_tensor_new_from_dense (dense, NULL);
      g_autoptr (TandemTensor) again = tandem_sparse_tensor_to_dense (sparse, NULL);
      gsize size = tandem_dtype_get_size (dtypes[d]);
      const guint8 *data = tandem_tensor_get_data (dense, NULL);
      guint8 out[37 * 53 * 4];

      g_assert_true (g_bytes_equal (tandem_tensor_get_bytes (dense),
                                    tandem_tensor_get_bytes (again)));
      g_assert_cmpuint (tandem_sparse_tensor_get_dim (sparse, 1), ==, 53);
      for (i = 0; i < 200; i++) {
        guint first = g_rand_int_range (rand, 0, 37 * 53);
        guint count = g_rand_int_range (rand, 0, 37 * 53 - first + 1);

        tandem_sparse_tensor_expand (sparse, first, count, out);
        g_assert_cmpmem (out, count * size, data + first * size, count * size);
      }
    }
  }
}

/* A negative zero is a value, and a mask may keep zeros and drop others. */
static void
test_zeros (void)
{
  const float values[] = { -0.0f, 0.0f, 3.0f, 0.0f };
  const float kept[] = { 0.0f, 0.0f, 3.0f, 0.0f };
  const guint8 mask = 0x6;
  guint64 shape[] = { 2, 2 };
  g_autoptr (GBytes) bytes = g_bytes_new_static (values, sizeof values);
  g_autoptr (TandemTensor) dense = tandem_tensor_new (TANDEM_DTYPE_F32, 2, shape, bytes, NULL);
  g_autoptr (TandemSparseTensor) sparse = tandem_sparse_tensor_new_from_dense (dense, NULL);
  g_autoptr (TandemSparseTensor) masked = tandem_sparse_tensor_new_from_dense (dense, &mask);
  float out[4];

  g_assert_cmpuint (tandem_sparse_tensor_get_n_values (sparse), ==, 2);
  tandem_sparse_tensor_expand (sparse, 0, 4, out);
  g_assert_cmpmem (out, sizeof out, values, sizeof values);
  g_assert_cmpuint (tandem_sparse_tensor_get_n_values (masked), ==, 2);
  tandem_sparse_tensor_expand (masked, 0, 4, out);
  g_assert_cmpmem (out, sizeof out, kept, sizeof kept);
}

static TandemTensor *
make_flat (TandemDtype dtype, gconstpointer data, guint64 n)
{
  g_autoptr (GBytes) bytes = g_bytes_new (data, n * tandem_dtype_get_size (dtype));

  return tandem_tensor_new (dtype, 1, &n, bytes, NULL);
}

static void
assert_refused (guint64 n, const guint8 *bits, guint n_bits, TandemDtype dtype, guint n_values,
                const char *why)
{
  guint64 values[8] = { 0 };
  g_autoptr (TandemTensor) mask = make_flat (TANDEM_DTYPE_U8, bits, n_bits);
  g_autoptr (TandemTensor) tensor = make_flat (dtype, values, n_values);
  g_autoptr (GError) error = NULL;

  g_assert_null (tandem_sparse_tensor_new (mask, tensor, 1, &n, &error));
  g_assert_error (error, TANDEM_SAFETENSORS_ERROR, TANDEM_SAFETENSORS_ERROR_TENSOR);
  g_assert_nonnull (strstr (error->message, why));
}

static void
test_refused (void)
{
  const guint8 bits[] = { 0x81, 0x08, 0 };
  guint64 huge[] = { G_MAXUINT32, G_MAXUINT32, G_MAXUINT32 };
  g_autoptr (TandemTensor) mask = make_flat (TANDEM_DTYPE_U8, bits, 2);
  g_autoptr (TandemTensor) values = make_flat (TANDEM_DTYPE_F32, huge, 3);
  g_autoptr (GError) error = NULL;

  assert_refused (12, bits, 2, TANDEM_DTYPE_F32, 2, "3 bits set, there are 2 values");
  assert_refused (12, bits, 2, TANDEM_DTYPE_F32, 4, "3 bits set, there are 4 values");
  assert_refused (12, bits, 3, TANDEM_DTYPE_F32, 3, "its mask is 3 elements");
  assert_refused (17, bits, 2, TANDEM_DTYPE_F32, 3, "its mask is 2 elements");
  assert_refused (11, bits, 2, TANDEM_DTYPE_F32, 3, "behind that of the last of 11");
  assert_refused (12, bits, 2, TANDEM_DTYPE_I32, 3, "of type I32");
  g_assert_null (tandem_sparse_tensor_new (mask, values, 3, huge, &error));
  g_assert_error (error, TANDEM_SAFETENSORS_ERROR, TANDEM_SAFETENSORS_ERROR_TENSOR);
}

typedef struct
{
  char *folder;
  TandemModel *source;
  TandemMasks *masks;
  GHashTable *tensors;
  TandemModel *dense;
  TandemModel *sparse;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  const TandemTestModel *given = data;
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  g_autofree char *dense = NULL;
  g_autofree char *sparse = NULL;

  if (given != NULL)
    spec = *given;
  else
    spec.n_layers = 3;
  fixture->folder = tandem_test_make_folder ();
  tandem_test_model_write (&spec, fixture->folder);
  fixture->source = tandem_model_open (fixture->folder, NULL, NULL);
  fixture->tensors = tandem_test_prune (fixture->source, 0.6, &fixture->masks);
  dense = g_build_filename (fixture->folder, "dense", NULL);
  sparse = g_build_filename (fixture->folder, "sparse", NULL);
  fixture->dense = tandem_test_export (fixture->source, NULL, fixture->tensors, NULL, dense);
  fixture->sparse = tandem_test_export (fixture->source, NULL, fixture->tensors, fixture->masks,
                                        sparse);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_object_unref (fixture->source);
  g_object_unref (fixture->dense);
  g_object_unref (fixture->sparse);
  g_hash_table_unref (fixture->tensors);
  tandem_masks_unref (fixture->masks);
  tandem_test_remove_folder (fixture->folder);
}

/* The file is smaller, the model the same to the bit, whole and split. */
static void
test_model (Fixture *fixture, gconstpointer data)
{
  g_auto (GStrv) names = tandem_model_list_tensors (fixture->dense);
  g_autofree float *expected = tandem_test_run (fixture->dense, 0, NULL);
  g_autofree float *found = tandem_test_run (fixture->sparse, 0, NULL);
  gsize size = 3 * tandem_model_get_config (fixture->dense)->n_classes * sizeof (float);
  guint i, n_sparse = 0;

  g_assert_cmpstr (tandem_model_get_fingerprint (fixture->sparse), ==,
                   tandem_model_get_fingerprint (fixture->dense));
  for (i = 0; names[i] != NULL; i++) {
    g_autoptr (TandemTensor) left = tandem_model_get_tensor (fixture->dense, names[i], NULL);
    g_autoptr (TandemTensor) right = tandem_model_get_tensor (fixture->sparse, names[i], NULL);
    g_autoptr (TandemSparseTensor) sparse =
        tandem_model_get_sparse_tensor (fixture->sparse, names[i]);

    g_assert_true (g_bytes_equal (tandem_tensor_get_bytes (left),
                                  tandem_tensor_get_bytes (right)));
    g_assert_true ((sparse != NULL) ==
                   (tandem_masks_get (fixture->masks, names[i], NULL) != NULL));
    n_sparse += sparse != NULL;
  }
  g_assert_cmpuint (n_sparse, >=, 8);
  g_assert_cmpmem (found, size, expected, size);
  tandem_test_assert_splits (fixture->sparse, fixture->folder);
}

/* Masks come out of the files as they went in, and only for the model that they are of. */
static void
test_masks (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemMasks) of_model = tandem_masks_new_from_model (fixture->sparse);
  g_autofree char *path = g_build_filename (fixture->folder, "masks.safetensors", NULL);
  g_auto (GStrv) names = tandem_masks_list (fixture->masks);
  g_auto (GStrv) found = tandem_masks_list (of_model);
  g_autoptr (TandemMasks) loaded = NULL;
  g_autoptr (GError) error = NULL;
  guint i;

  tandem_masks_save (fixture->masks, fixture->sparse, path, NULL, &error);
  g_assert_no_error (error);
  loaded = tandem_masks_load (path, fixture->dense, &error);
  g_assert_no_error (error);
  g_assert_cmpstrv (names, found);
  for (i = 0; names[i] != NULL; i++) {
    guint64 n;
    const guint8 *bits = tandem_masks_get (fixture->masks, names[i], &n);

    g_assert_cmpmem (tandem_masks_get (of_model, names[i], NULL), (n + 7) / 8, bits, (n + 7) / 8);
    g_assert_cmpmem (tandem_masks_get (loaded, names[i], NULL), (n + 7) / 8, bits, (n + 7) / 8);
  }
  g_assert_null (tandem_masks_load (path, fixture->source, &error));
  g_assert_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_TENSOR);
  g_assert_nonnull (strstr (error->message, "the masks are those of the model"));
}

static void
edit (const char *path, void (*change) (GHashTable *metadata, GHashTable *tensors))
{
  g_autoptr (TandemSafetensors) file = tandem_safetensors_open (path, NULL);
  g_autoptr (GHashTable) metadata = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GHashTable) tensors = g_hash_table_new_full (
      g_str_hash, g_str_equal, NULL, (GDestroyNotify) tandem_tensor_unref);
  g_auto (GStrv) names = tandem_safetensors_list_tensors (file);
  g_auto (GStrv) keys = tandem_safetensors_list_metadata (file);
  g_autoptr (GError) error = NULL;
  guint i;

  for (i = 0; keys[i] != NULL; i++)
    g_hash_table_insert (metadata, keys[i],
                         (gpointer) tandem_safetensors_get_metadata (file, keys[i]));
  for (i = 0; names[i] != NULL; i++)
    g_hash_table_insert (tensors, names[i], tandem_safetensors_get_tensor (file, names[i], NULL));
  change (metadata, tensors);
  tandem_safetensors_write (path, metadata, tensors, NULL, &error);
  g_assert_no_error (error);
}

#define QUERY "bert.encoder.layer.0.attention.self.query.weight"

static void
drop_values (GHashTable *metadata, GHashTable *tensors)
{
  g_hash_table_remove (tensors, QUERY ".values");
}

static void
drop_mask (GHashTable *metadata, GHashTable *tensors)
{
  g_hash_table_remove (tensors, QUERY ".mask");
}

static void
change_shape (GHashTable *metadata, GHashTable *tensors)
{
  g_hash_table_insert (metadata, (gpointer) "tandem.sparse." QUERY, (gpointer) "bitmask 8,32");
}

static void
change_kind (GHashTable *metadata, GHashTable *tensors)
{
  g_hash_table_insert (metadata, (gpointer) "tandem.sparse." QUERY, (gpointer) "runs 16,16");
}

static void
add_dense (GHashTable *metadata, GHashTable *tensors)
{
  TandemTensor *any = g_hash_table_lookup (tensors, "classifier.weight");

  g_hash_table_insert (tensors, (gpointer) QUERY, tandem_tensor_ref (any));
}

/* Folders from strangers are refused by the name of what is wrong. */
static void
test_hostile (Fixture *fixture, gconstpointer data)
{
  static const struct
  {
    void (*change) (GHashTable *metadata, GHashTable *tensors);
    const char *why;
  } cases[] = {
    { drop_values, QUERY ".values" },
    { drop_mask, "there is no mask of it" },
    { change_shape, "has the shape [8, 32]" },
    { change_kind, "update Tandem" },
    { add_dense, "which mean the same tensor" },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *folder = g_strdup_printf ("%s/hostile-%u", fixture->folder, i);
    g_autofree char *path = g_build_filename (folder, "model.safetensors", NULL);
    g_autoptr (GError) error = NULL;
    TandemModel *model = tandem_test_export (fixture->source, NULL, fixture->tensors,
                                             fixture->masks, folder);

    g_object_unref (model);
    edit (path, cases[i].change);
    g_assert_null (tandem_model_open (folder, NULL, &error));
    g_test_message ("%s", error->message);
    g_assert_nonnull (strstr (error->message, cases[i].why));
  }
}

int
main (int argc, char **argv)
{
  static TandemTestModel albert = TANDEM_TEST_MODEL_INIT;
  static TandemTestModel half = TANDEM_TEST_MODEL_INIT;

  g_test_init (&argc, &argv, NULL);
  albert.albert = TRUE;
  albert.n_layers = 4;
  albert.n_groups = 2;
  albert.embedding_size = 8;
  half.dtype = TANDEM_DTYPE_F16;
  g_test_add_func ("/tensor/sparse/expand", test_expand);
  g_test_add_func ("/tensor/sparse/zeros", test_zeros);
  g_test_add_func ("/tensor/sparse/refused", test_refused);
  g_test_add ("/tensor/sparse/model/bert", Fixture, NULL, set_up, test_model, tear_down);
  g_test_add ("/tensor/sparse/model/albert", Fixture, &albert, set_up, test_model, tear_down);
  g_test_add ("/tensor/sparse/model/half", Fixture, &half, set_up, test_model, tear_down);
  g_test_add ("/tensor/sparse/masks", Fixture, NULL, set_up, test_masks, tear_down);
  g_test_add ("/tensor/sparse/hostile", Fixture, NULL, set_up, test_hostile, tear_down);
  return g_test_run ();
}
