/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gst/gst.h>

#include "tandem-export.h"

G_BEGIN_DECLS

/**
 * TandemRowPool:
 *
 * Memory for the rows of one stream's micro-batches. What a buffer leaves is taken
 * for the next one, so that megabytes need not come from the system, and go back to
 * it, for each micro-batch.
 */
typedef struct _TandemRowPool TandemRowPool;

TANDEM_API
TandemRowPool *tandem_row_pool_new (void);

TANDEM_API
GstMemory *tandem_row_pool_take (TandemRowPool *pool, gsize size);

TANDEM_API
void tandem_row_pool_free (TandemRowPool *pool);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemRowPool, tandem_row_pool_free)

G_END_DECLS
