/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-node-error.h"

G_DEFINE_QUARK (tandem-node-error-quark, tandem_node_error)
