/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "tandem-export.h"
#include "model/tandem-model.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_MASKS (tandem_masks_get_type ())

/**
 * TandemMasks:
 *
 * Which elements of a model's tensors are kept, and which are zero and stay so: for some of its
 * tensors a bit for each element.
 */
typedef struct _TandemMasks TandemMasks;

TANDEM_API
GType tandem_masks_get_type (void);

TANDEM_API
TandemMasks *tandem_masks_new (void);

TANDEM_API
TandemMasks *tandem_masks_new_from_model (TandemModel *model);

TANDEM_API
TandemMasks *tandem_masks_load (const char *path, TandemModel *model, GError **error);

TANDEM_API
gboolean tandem_masks_save (TandemMasks *self, TandemModel *model, const char *path,
                            GCancellable *cancellable, GError **error);

TANDEM_API
TandemMasks *tandem_masks_ref (TandemMasks *self);

TANDEM_API
void tandem_masks_unref (TandemMasks *self);

TANDEM_API
void tandem_masks_add (TandemMasks *self, const char *name, const guint8 *bits,
                       guint64 n_elements);

TANDEM_API
void tandem_masks_add_all (TandemMasks *self, const TandemMasks *others);

TANDEM_API
const guint8 *tandem_masks_get (const TandemMasks *self, const char *name, guint64 *n_elements);

TANDEM_API
char **tandem_masks_list (const TandemMasks *self);

TANDEM_API
void tandem_masks_count (const TandemMasks *self, guint64 *n_elements, guint64 *n_kept);

TANDEM_API
GHashTable *tandem_masks_apply (const TandemMasks *self, GHashTable *tensors, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemMasks, tandem_masks_unref)

G_END_DECLS
