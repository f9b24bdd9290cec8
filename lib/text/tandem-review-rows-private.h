/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef enum
{
  TANDEM_REVIEW_FORMAT_CSV,
  TANDEM_REVIEW_FORMAT_TSV,
  TANDEM_REVIEW_FORMAT_JSON,
} TandemReviewFormat;

/* Where a row begins. */
typedef struct
{
  goffset offset;
  guint64 line;
} TandemReviewPosition;

typedef struct _TandemReviewRows TandemReviewRows;

TandemReviewRows *tandem_review_rows_open (const char *path, gsize max_row,
                                           GCancellable *cancellable, GError **error);

void tandem_review_rows_free (TandemReviewRows *self);

gboolean tandem_review_rows_is_seekable (TandemReviewRows *self);

gboolean tandem_review_rows_seek (TandemReviewRows *self, const TandemReviewPosition *position,
                                  GCancellable *cancellable, GError **error);

gboolean tandem_review_rows_skip (TandemReviewRows *self, TandemReviewPosition *position,
                                  GCancellable *cancellable, GError **error);

gboolean tandem_review_rows_next (TandemReviewRows *self, GBytes **text, int *label,
                                  GCancellable *cancellable, GError **error);

guint64 tandem_review_rows_get_line (TandemReviewRows *self);

char *tandem_review_rows_dup_name (TandemReviewRows *self, const char *split);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemReviewRows, tandem_review_rows_free)

G_END_DECLS
