/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

/* What tandem run says on standard error: sentences and a line of progress on a terminal, or one
 * line of JSON each. Results go elsewhere. */
typedef struct _RunReport RunReport;

/* total: where the number of reviews will be, once somebody has counted them; atomic; 0: not known
 * */
RunReport *run_report_new (gboolean json, const gint *total);
void run_report_free (RunReport *self);

/* From any thread: so many results went on. */
void run_report_count (RunReport *self, guint n);

/* A message of an element, if it is one that tells something. */
void run_report_message (RunReport *self, const GstStructure *message);

/* What it does is long; to be called now and then. */
void run_report_progress (RunReport *self);

/* Takes the line of progress away, before somebody else says something. */
void run_report_clear (RunReport *self);

void run_report_end (RunReport *self, gboolean interrupted);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RunReport, run_report_free)

G_END_DECLS
