/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tandem-tune-options.h"
#include "tandem.h"

G_BEGIN_DECLS

typedef struct _TuneProgress TuneProgress;

/* Tells people how a search goes: one line that changes on a terminal, elsewhere a line for each
 * candidate that is better than all before it, and for each that failed. */
TuneProgress *tune_progress_new (const TuneOptions *options, TandemOptimizer *optimizer);

void tune_progress_free (TuneProgress *self);

/* After an evaluation; failure: why there is no outcome, or NULL. */
void tune_progress_add (TuneProgress *self, guint64 number, const char *failure);

/* (transfer full): a measure's value of what was made small, for people: "89.20 %". */
char *tune_describe_value (TandemMeasure measure, double cost);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TuneProgress, tune_progress_free)

G_END_DECLS
