/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

GST_ELEMENT_REGISTER_DECLARE (lineparse);
GST_ELEMENT_REGISTER_DECLARE (reviewsrc);
GST_ELEMENT_REGISTER_DECLARE (tokenize);

G_END_DECLS
