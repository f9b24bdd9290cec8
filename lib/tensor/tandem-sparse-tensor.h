/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "tandem-export.h"
#include "tensor/tandem-tensor.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_SPARSE_TENSOR (tandem_sparse_tensor_get_type ())

/**
 * TandemSparseTensor:
 *
 * An immutable array most of whose elements may be zero: a mask with a bit for each element, and
 * the values of those whose bit is set. Ranges of elements are expanded as they are needed.
 */
typedef struct _TandemSparseTensor TandemSparseTensor;

TANDEM_API
GType tandem_sparse_tensor_get_type (void);

TANDEM_API
TandemSparseTensor *tandem_sparse_tensor_new (TandemTensor *mask, TandemTensor *values,
                                              guint n_dims, const guint64 *shape, GError **error);

TANDEM_API
TandemSparseTensor *tandem_sparse_tensor_new_from_dense (const TandemTensor *tensor,
                                                         const guint8 *mask);

TANDEM_API
TandemSparseTensor *tandem_sparse_tensor_ref (TandemSparseTensor *self);

TANDEM_API
void tandem_sparse_tensor_unref (TandemSparseTensor *self);

TANDEM_API
TandemDtype tandem_sparse_tensor_get_dtype (const TandemSparseTensor *self);

TANDEM_API
guint tandem_sparse_tensor_get_n_dims (const TandemSparseTensor *self);

TANDEM_API
guint64 tandem_sparse_tensor_get_dim (const TandemSparseTensor *self, guint index);

TANDEM_API
guint64 tandem_sparse_tensor_get_n_elements (const TandemSparseTensor *self);

TANDEM_API
guint64 tandem_sparse_tensor_get_n_values (const TandemSparseTensor *self);

TANDEM_API
guint64 tandem_sparse_tensor_get_n_bytes (const TandemSparseTensor *self);

TANDEM_API
TandemTensor *tandem_sparse_tensor_get_mask (const TandemSparseTensor *self);

TANDEM_API
TandemTensor *tandem_sparse_tensor_get_values (const TandemSparseTensor *self);

TANDEM_API
guint64 tandem_sparse_tensor_count_before (const TandemSparseTensor *self, guint64 first);

TANDEM_API
void tandem_sparse_tensor_expand (const TandemSparseTensor *self, guint64 first, guint64 count,
                                  gpointer out);

TANDEM_API
void tandem_sparse_tensor_store (const TandemSparseTensor *self, const char *name,
                                 GHashTable *metadata, GHashTable *tensors);

TANDEM_API
TandemTensor *tandem_sparse_tensor_to_dense (const TandemSparseTensor *self, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemSparseTensor, tandem_sparse_tensor_unref)

G_END_DECLS
