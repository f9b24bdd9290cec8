/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "stream/tandem-caps.h"
#include "stream/tandem-row-pool.h"

G_BEGIN_DECLS

/* Names of #TandemRowFormat for people: f32, bf16, f16, q8. */
GType tcpact_wire_format_get_type (void);

/* Whether rows of @info are float32 activations, which can be sent in another format. */
gboolean tcpact_rows_can_encode (const TandemStreamInfo *info);

/* Returns (transfer full) a buffer like @buffer, whose rows are float32, with its rows as @info
 * says; NULL when its memory cannot be read or is not whole rows. */
GstBuffer *tcpact_rows_encode (TandemRowPool *pool, const TandemStreamInfo *info,
                               GstBuffer *buffer);

/* The other way: the rows of @buffer are as @info says. */
GstBuffer *tcpact_rows_decode (TandemRowPool *pool, const TandemStreamInfo *info,
                               GstBuffer *buffer);

G_END_DECLS
