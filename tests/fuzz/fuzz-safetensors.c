/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A safetensors file from a stranger: the header is read, and each tensor and
 * entry of metadata that it promises is looked at. */

#include "tandem.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
look_at_tensor (TandemSafetensors *file, const char *name)
{
  g_autoptr (TandemTensor) tensor = NULL;
  g_autoptr (GError) error = NULL;
  const guint64 *shape;
  const char *dtype;
  guint64 expected;
  guint n_dims;
  gsize size;
  const guint8 *bytes;
  volatile guint8 touched = 0;

  g_assert_true (tandem_safetensors_get_info (file, name, &dtype, &n_dims, &shape, &expected));
  tensor = tandem_safetensors_get_tensor (file, name, &error);
  g_assert_true ((tensor == NULL) == (error != NULL));
  if (tensor == NULL)
    return;
  bytes = tandem_tensor_get_data (tensor, &size);
  g_assert_cmpuint (size, ==, expected);
  g_assert_cmpuint (tandem_tensor_get_n_dims (tensor), ==, n_dims);
  if (size > 0)
    touched = bytes[0] ^ bytes[size - 1];
  (void) touched;
}

/* A tensor that is stored as bits and values. */
static void
look_at_sparse (TandemSafetensors *file, const char *name)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemSparseTensor) sparse =
      tandem_safetensors_get_sparse_tensor (file, name, &error);
  g_autoptr (TandemTensor) dense = NULL;

  g_assert_true ((sparse == NULL) == (error != NULL));
  if (sparse == NULL) {
    g_assert_true (g_utf8_validate (error->message, -1, NULL));
    return;
  }
  dense = tandem_sparse_tensor_to_dense (sparse, NULL);
  if (dense != NULL)
    g_assert_cmpuint (tandem_tensor_get_n_elements (dense), ==,
                      tandem_sparse_tensor_get_n_elements (sparse));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GBytes) bytes = g_bytes_new_static (data, size);
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemSafetensors) file = tandem_safetensors_new_from_bytes (bytes, "fuzz", &error);
  g_auto (GStrv) names = NULL;
  g_auto (GStrv) keys = NULL;
  guint i;

  g_assert_true ((file == NULL) == (error != NULL));
  if (file == NULL) {
    g_assert_true (g_utf8_validate (error->message, -1, NULL));
    return 0;
  }
  names = tandem_safetensors_list_tensors (file);
  for (i = 0; names[i] != NULL; i++)
    look_at_tensor (file, names[i]);
  keys = tandem_safetensors_list_metadata (file);
  for (i = 0; keys[i] != NULL; i++) {
    g_assert_nonnull (tandem_safetensors_get_metadata (file, keys[i]));
    if (g_str_has_prefix (keys[i], "tandem.sparse."))
      look_at_sparse (file, keys[i] + strlen ("tandem.sparse."));
  }
  return 0;
}
