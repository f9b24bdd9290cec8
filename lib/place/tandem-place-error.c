/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-place-error.h"

G_DEFINE_QUARK (tandem-place-error-quark, tandem_place_error)
