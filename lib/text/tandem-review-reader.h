/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "tandem-export.h"

G_BEGIN_DECLS

/**
 * TandemReviewSplit:
 * @TANDEM_REVIEW_SPLIT_TRAIN: what models learn from
 * @TANDEM_REVIEW_SPLIT_TEST: what they are reported on
 * @TANDEM_REVIEW_SPLIT_UNSUP: texts without labels
 *
 * Which part of a data set that lies in a folder.
 */
typedef enum
{
  TANDEM_REVIEW_SPLIT_TRAIN,
  TANDEM_REVIEW_SPLIT_TEST,
  TANDEM_REVIEW_SPLIT_UNSUP,
} TandemReviewSplit;

#define TANDEM_TYPE_REVIEW_READER (tandem_review_reader_get_type ())

TANDEM_API
G_DECLARE_FINAL_TYPE (TandemReviewReader, tandem_review_reader, TANDEM, REVIEW_READER, GObject)

TANDEM_API
TandemReviewReader *tandem_review_reader_open (const char *path, TandemReviewSplit split,
                                               guint max_row, GCancellable *cancellable,
                                               GError **error);

TANDEM_API
gboolean tandem_review_reader_shuffle (TandemReviewReader *self, guint32 seed,
                                       GCancellable *cancellable, GError **error);

TANDEM_API
gboolean tandem_review_reader_rewind (TandemReviewReader *self, GCancellable *cancellable,
                                      GError **error);

TANDEM_API
gboolean tandem_review_reader_next (TandemReviewReader *self, GBytes **text, int *label,
                                    GCancellable *cancellable, GError **error);

TANDEM_API
char *tandem_review_reader_describe (TandemReviewReader *self);

TANDEM_API
guint64 tandem_review_reader_get_line (TandemReviewReader *self);

TANDEM_API
char *tandem_review_reader_dup_name (TandemReviewReader *self);

G_END_DECLS
