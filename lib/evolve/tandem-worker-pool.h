/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "evolve/tandem-evaluator.h"

G_BEGIN_DECLS

#define TANDEM_TYPE_WORKER_POOL (tandem_worker_pool_get_type ())

TANDEM_API
G_DECLARE_FINAL_TYPE (TandemWorkerPool, tandem_worker_pool, TANDEM, WORKER_POOL, GObject)

TANDEM_API
TandemWorkerPool *tandem_worker_pool_new (const char *const *command, guint n_workers,
                                          double time_limit);

TANDEM_API
guint64 tandem_worker_pool_get_n_started (TandemWorkerPool *self);

G_END_DECLS
