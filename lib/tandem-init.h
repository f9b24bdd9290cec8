/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

#include "tandem-export.h"

G_BEGIN_DECLS

TANDEM_API
void tandem_init (void);

TANDEM_API
const char *tandem_version (void);

G_END_DECLS
