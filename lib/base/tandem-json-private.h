/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* Parses UTF-8 text that holds one JSON object. The errors are
 * G_IO_ERROR_INVALID_DATA and name no file: that is the caller's part. */
JsonNode *tandem_json_parse_object (const char *text, GError **error);

G_END_DECLS
