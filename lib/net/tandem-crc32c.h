/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

#include "tandem-export.h"

G_BEGIN_DECLS

TANDEM_API
guint32 tandem_crc32c (guint32 crc, gconstpointer data, gsize size);

TANDEM_API
guint32 tandem_crc32c_reference (guint32 crc, gconstpointer data, gsize size);

G_END_DECLS
