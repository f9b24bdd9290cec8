/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tandem-train-state.h"

G_BEGIN_DECLS

typedef struct _TrainProgress TrainProgress;

/* Tells people how a training goes: one line that changes on a terminal, plain lines now and
 * then elsewhere; and programs, as lines of JSON in the file @metrics, which may be NULL. Lines
 * there of steps after @step are of a run that did not get as far as its checkpoint, and go. */
TrainProgress *train_progress_new (const char *metrics, guint64 step, GError **error);

void train_progress_free (TrainProgress *self);

/* Before the steps of a run. */
void train_progress_begin (TrainProgress *self, guint64 total_steps, guint64 left);

void train_progress_step (TrainProgress *self, const TrainStep *step);

void train_progress_measured (TrainProgress *self, const TrainMeasurement *measurement,
                              gboolean best, guint n);

/* Some other work that takes time: done of n. what: a translated word or two. */
void train_progress_work (TrainProgress *self, const char *what, guint64 done, guint64 n);

/* A line that stays. */
void train_progress_say (TrainProgress *self, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* Whether everything could be written. */
gboolean train_progress_check (TrainProgress *self, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TrainProgress, train_progress_free)

G_END_DECLS
