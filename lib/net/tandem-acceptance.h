/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private: what the stage behind a receiver takes, and why a stream is not it. */

#include <gst/gst.h>

#include "net/tandem-frame.h"

G_BEGIN_DECLS

gboolean tandem_acceptance_check (const GstCaps *accepted, guint last_layer,
                                  const TandemStreamInfo *info, GError **error);
void tandem_acceptance_fill_hello (const GstCaps *accepted, guint last_layer, TandemHello *hello);
gboolean tandem_acceptance_info_from_hello (const TandemHello *hello, TandemStreamInfo *info);

G_END_DECLS
