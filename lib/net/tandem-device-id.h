/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private: how a device and a process are told from others in announcements. */

#include <glib.h>

G_BEGIN_DECLS

const char *tandem_device_id_get (void);
const char *tandem_device_id_get_instance (void);

G_END_DECLS
