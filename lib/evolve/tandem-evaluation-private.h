/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Lines between who asks and who evaluates. Not a part of the public API. */
#pragma once

#include "evolve/tandem-evaluation.h"

G_BEGIN_DECLS

/* The longest line that is taken from a worker: a gradient of a million numbers fits. */
#define TANDEM_EVALUATION_MAX_LINE (64 * 1024 * 1024)

/* The answer that says that there is nothing. */
char *tandem_evaluation_error_to_json (TandemTrial *trial, const char *message);

/* What the log has of an evaluation, or of a failure (evaluation NULL). */
char *tandem_evaluation_log_line (const TandemEvaluation *self, TandemTrial *trial,
                                  const char *failure, double seconds);

G_END_DECLS
