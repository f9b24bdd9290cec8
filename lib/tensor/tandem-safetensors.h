/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "tandem-export.h"
#include "tensor/tandem-sparse-tensor.h"
#include "tensor/tandem-tensor.h"

G_BEGIN_DECLS

#define TANDEM_SAFETENSORS_ERROR (tandem_safetensors_error_quark ())

/**
 * TandemSafetensorsError:
 * @TANDEM_SAFETENSORS_ERROR_TRUNCATED: the file ends before what its header promises
 * @TANDEM_SAFETENSORS_ERROR_HEADER: the header is not valid
 * @TANDEM_SAFETENSORS_ERROR_TENSOR: the entry of a tensor is not valid
 * @TANDEM_SAFETENSORS_ERROR_LIMIT: a number is beyond what this reader takes
 *
 * What can be wrong with a safetensors file.
 */
typedef enum
{
  TANDEM_SAFETENSORS_ERROR_TRUNCATED,
  TANDEM_SAFETENSORS_ERROR_HEADER,
  TANDEM_SAFETENSORS_ERROR_TENSOR,
  TANDEM_SAFETENSORS_ERROR_LIMIT,
} TandemSafetensorsError;

TANDEM_API
GQuark tandem_safetensors_error_quark (void);

#define TANDEM_TYPE_SAFETENSORS (tandem_safetensors_get_type ())

TANDEM_API
G_DECLARE_FINAL_TYPE (TandemSafetensors, tandem_safetensors, TANDEM, SAFETENSORS, GObject)

TANDEM_API
TandemSafetensors *tandem_safetensors_open (const char *path, GError **error);

TANDEM_API
TandemSafetensors *tandem_safetensors_new_from_bytes (GBytes *bytes, const char *name,
                                                      GError **error);

TANDEM_API
char **tandem_safetensors_list_tensors (TandemSafetensors *self);

TANDEM_API
gboolean tandem_safetensors_get_info (TandemSafetensors *self, const char *name,
                                      const char **dtype, guint *n_dims, const guint64 **shape,
                                      guint64 *size);

TANDEM_API
TandemTensor *tandem_safetensors_get_tensor (TandemSafetensors *self, const char *name,
                                             GError **error);

TANDEM_API
TandemSparseTensor *tandem_safetensors_get_sparse_tensor (TandemSafetensors *self,
                                                          const char *name, GError **error);

TANDEM_API
char **tandem_safetensors_list_metadata (TandemSafetensors *self);

TANDEM_API
const char *tandem_safetensors_get_metadata (TandemSafetensors *self, const char *key);

TANDEM_API
gboolean tandem_safetensors_write (const char *path, GHashTable *metadata, GHashTable *tensors,
                                   GCancellable *cancellable, GError **error);

G_END_DECLS
