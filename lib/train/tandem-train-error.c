/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-train-error.h"

G_DEFINE_QUARK (tandem-train-error-quark, tandem_train_error)
