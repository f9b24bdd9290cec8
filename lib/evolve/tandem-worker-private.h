/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A process that evaluates. Not a part of the public API. */
#pragma once

#include "evolve/tandem-evaluation.h"

G_BEGIN_DECLS

typedef struct _TandemWorker TandemWorker;

/* Starts the process. */
TandemWorker *tandem_worker_new (const char *const *command, GError **error);

/* Ends the process, which evaluates nothing, and waits until it is gone. */
void tandem_worker_free (TandemWorker *self);

gboolean tandem_worker_is_busy (TandemWorker *self);

/* Whether it may be asked again: it did not die, and was not ended. */
gboolean tandem_worker_is_alive (TandemWorker *self);

/* Whether it is dead and nothing of it is to come any more. */
gboolean tandem_worker_is_gone (TandemWorker *self);

/* Asks for a trial; the task (transfer full) returns what it gave, or an error that costs the
 * candidate. time_limit: seconds; 0: none. */
void tandem_worker_ask (TandemWorker *self, TandemTrial *trial, double time_limit, GTask *task);

G_END_DECLS
