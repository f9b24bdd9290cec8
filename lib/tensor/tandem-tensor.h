/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib-object.h>

#include "tandem-export.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_TENSOR (tandem_tensor_get_type ())

/**
 * TANDEM_TENSOR_MAX_DIMS:
 *
 * The most dimensions that a tensor may have.
 */
#define TANDEM_TENSOR_MAX_DIMS 8

/**
 * TandemDtype:
 * @TANDEM_DTYPE_F32: 32-bit float
 * @TANDEM_DTYPE_F16: IEEE half
 * @TANDEM_DTYPE_BF16: bfloat16
 * @TANDEM_DTYPE_F64: 64-bit float
 * @TANDEM_DTYPE_I8: signed 8-bit integer
 * @TANDEM_DTYPE_U8: unsigned 8-bit integer
 * @TANDEM_DTYPE_I16: signed 16-bit integer
 * @TANDEM_DTYPE_I32: signed 32-bit integer
 * @TANDEM_DTYPE_I64: signed 64-bit integer
 * @TANDEM_DTYPE_BOOL: one byte, 0 or 1
 *
 * The type of a tensor's elements; little-endian, as in safetensors files.
 */
typedef enum
{
  TANDEM_DTYPE_F32,
  TANDEM_DTYPE_F16,
  TANDEM_DTYPE_BF16,
  TANDEM_DTYPE_F64,
  TANDEM_DTYPE_I8,
  TANDEM_DTYPE_U8,
  TANDEM_DTYPE_I16,
  TANDEM_DTYPE_I32,
  TANDEM_DTYPE_I64,
  TANDEM_DTYPE_BOOL,
} TandemDtype;

/**
 * TandemTensor:
 *
 * An immutable, dense, row-major array: shape, element type, and memory that
 * may be a part of a mapped file.
 */
typedef struct _TandemTensor TandemTensor;

TANDEM_API
GType tandem_tensor_get_type (void);

TANDEM_API
gsize tandem_dtype_get_size (TandemDtype dtype);

TANDEM_API
const char *tandem_dtype_to_string (TandemDtype dtype);

TANDEM_API
gboolean tandem_dtype_from_string (const char *name, TandemDtype *dtype);

TANDEM_API
TandemTensor *tandem_tensor_new (TandemDtype dtype, guint n_dims, const guint64 *shape,
                                 GBytes *bytes, GError **error);

TANDEM_API
TandemTensor *tandem_tensor_ref (TandemTensor *tensor);

TANDEM_API
void tandem_tensor_unref (TandemTensor *tensor);

TANDEM_API
TandemDtype tandem_tensor_get_dtype (const TandemTensor *tensor);

TANDEM_API
guint tandem_tensor_get_n_dims (const TandemTensor *tensor);

TANDEM_API
guint64 tandem_tensor_get_dim (const TandemTensor *tensor, guint index);

TANDEM_API
guint64 tandem_tensor_get_n_elements (const TandemTensor *tensor);

TANDEM_API
gconstpointer tandem_tensor_get_data (const TandemTensor *tensor, gsize *size);

TANDEM_API
GBytes *tandem_tensor_get_bytes (const TandemTensor *tensor);

TANDEM_API
gboolean tandem_tensor_copy_f32 (const TandemTensor *tensor, guint64 first, guint64 count,
                                 float *out);

TANDEM_API
void tandem_tensor_release_pages (const TandemTensor *tensor);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemTensor, tandem_tensor_unref)

G_END_DECLS
