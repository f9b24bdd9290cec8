/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "stream/tandem-caps.h"

G_BEGIN_DECLS

TANDEM_API
void tandem_rows_encode (TandemRowFormat format, const float *rows, gsize n_rows, guint width,
                         guint8 *encoded);

TANDEM_API
void tandem_rows_decode (TandemRowFormat format, const guint8 *encoded, gsize n_rows, guint width,
                         float *rows);

G_END_DECLS
