/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/stat.h>

#include "tandem-safetensors.h"

G_BEGIN_DECLS

/* Takes @length bytes from @offset of the tensor @name into @buffer, without
 * touching the mapping: hashing a large model this way costs a buffer, not the
 * model's size, of memory. */
gboolean tandem_safetensors_read (TandemSafetensors *self, const char *name, guint64 offset,
                                  gpointer buffer, gsize length, GError **error);

/* How tensors are stored other than dense; see tandem-safetensors-sparse.c. */
#define TANDEM_SPARSE_PREFIX "tandem.sparse."
#define TANDEM_SPARSE_MASK ".mask"
#define TANDEM_SPARSE_VALUES ".values"

char *tandem_safetensors_get_sparse_base (TandemSafetensors *self, const char *name);

/* See tandem_tensor_release_pages(). */
void tandem_tensor_mark_mapped (TandemTensor *tensor);

/* What fstat() said of the file when it was opened, or NULL for memory; and
 * whether it says the same now. */
const struct stat *tandem_safetensors_get_stat (TandemSafetensors *self);
gboolean tandem_safetensors_is_unchanged (TandemSafetensors *self);

/* Called when the data of a tensor was written and its memory is not needed by
 * the writer any more. */
typedef void (*TandemSafetensorsWrittenFunc) (const char *name, const TandemTensor *tensor);

gboolean tandem_safetensors_write_full (const char *path, GHashTable *metadata,
                                        GHashTable *tensors, TandemSafetensorsWrittenFunc written,
                                        GCancellable *cancellable, GError **error);

G_END_DECLS
