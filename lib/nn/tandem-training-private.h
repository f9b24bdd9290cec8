/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "nn/tandem-kernels-training.h"

G_BEGIN_DECLS

/* FALSE where nothing is dropped; dropout may be NULL. */
gboolean tandem_dropout_get_bits (const TandemDropout *dropout, guint head,
                                  TandemDropoutBits *bits);

G_END_DECLS
