/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-evolve-error.h"

G_DEFINE_QUARK (tandem-evolve-error-quark, tandem_evolve_error)
