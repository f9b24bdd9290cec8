/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "tandem-export.h"
#include "tensor/tandem-tensor.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_CHECKPOINT (tandem_checkpoint_get_type ())

/**
 * TandemCheckpoint:
 *
 * A checkpoint that was opened. Immutable; any thread may read it.
 */
TANDEM_API
G_DECLARE_FINAL_TYPE (TandemCheckpoint, tandem_checkpoint, TANDEM, CHECKPOINT, GObject)

TANDEM_API
void tandem_checkpoint_set_uint64 (GHashTable *metadata, const char *key, guint64 value);

TANDEM_API
void tandem_checkpoint_set_double (GHashTable *metadata, const char *key, double value);

TANDEM_API
gboolean tandem_checkpoint_write (const char *path, GHashTable *metadata, GHashTable *tensors,
                                  GCancellable *cancellable, GError **error);

TANDEM_API
TandemCheckpoint *tandem_checkpoint_open (const char *path, GError **error);

TANDEM_API
gboolean tandem_checkpoint_check_names (TandemCheckpoint *self, const char *const *names,
                                        GError **error);

TANDEM_API
const char *tandem_checkpoint_get_string (TandemCheckpoint *self, const char *key,
                                          GError **error);

TANDEM_API
gboolean tandem_checkpoint_get_uint64 (TandemCheckpoint *self, const char *key, guint64 *value,
                                       GError **error);

TANDEM_API
gboolean tandem_checkpoint_get_double (TandemCheckpoint *self, const char *key, double *value,
                                       GError **error);

TANDEM_API
GHashTable *tandem_checkpoint_get_tensors (TandemCheckpoint *self, GError **error);

TANDEM_API
TandemTensor *tandem_checkpoint_get_tensor (TandemCheckpoint *self, const char *name,
                                            TandemDtype dtype, guint n_dims,
                                            const guint64 *shape, GError **error);

G_END_DECLS
