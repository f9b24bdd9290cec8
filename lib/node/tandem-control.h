/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private: the control protocol of nodes, byte for byte, as docs/node-protocol.md says. Exported
 * for the tests only. */

#include <json-glib/json-glib.h>

#include "tandem-export.h"

G_BEGIN_DECLS

/* The first bytes of each direction: "TNDMN", major, minor, 0. */
#define TANDEM_CONTROL_PREAMBLE_SIZE 8
#define TANDEM_CONTROL_MAJOR 1
#define TANDEM_CONTROL_MINOR 3

/* Kind and length before the content of a frame. */
#define TANDEM_CONTROL_HEADER_SIZE 5
#define TANDEM_CONTROL_MAX_JSON (64 * 1024)
#define TANDEM_CONTROL_MAX_DATA (1024 * 1024)

/* The most that is sent only to be timed, at once. */
#define TANDEM_CONTROL_MAX_TRANSFER (64 * 1024 * 1024)

/* Whole numbers in JSON are to survive readers that know doubles only. */
#define TANDEM_CONTROL_MAX_NUMBER G_GINT64_CONSTANT (9007199254740991)

typedef enum
{
  TANDEM_CONTROL_MORE,          /* nothing is complete */
  TANDEM_CONTROL_PREAMBLE,      /* the other side's preamble came */
  TANDEM_CONTROL_JSON,          /* see tandem_control_decoder_get_object() */
  TANDEM_CONTROL_DATA,          /* see tandem_control_decoder_take_data() */
  TANDEM_CONTROL_ERROR,
} TandemControlStatus;

typedef struct _TandemControlDecoder TandemControlDecoder;

TANDEM_API
TandemControlDecoder *tandem_control_decoder_new (void);

TANDEM_API
void tandem_control_decoder_free (TandemControlDecoder *self);

TANDEM_API
void tandem_control_decoder_set_max_data (TandemControlDecoder *self, gsize max_data);

TANDEM_API
guint8 *tandem_control_decoder_get_space (TandemControlDecoder *self, gsize *size);

TANDEM_API
TandemControlStatus tandem_control_decoder_advance (TandemControlDecoder *self, gsize size,
                                                    GError **error);

TANDEM_API
JsonObject *tandem_control_decoder_get_object (TandemControlDecoder *self);

TANDEM_API
GBytes *tandem_control_decoder_take_data (TandemControlDecoder *self);

TANDEM_API
gboolean tandem_control_decoder_is_idle (TandemControlDecoder *self);

TANDEM_API
void tandem_control_append_preamble (GByteArray *bytes);

TANDEM_API
gboolean tandem_control_append_json (GByteArray *bytes, JsonNode *node);

TANDEM_API
void tandem_control_append_data (GByteArray *bytes, const void *data, gsize size);

/* Returns (transfer full) the next piece of data that is sent only to be timed: `done` of `size`
 * bytes have gone. */
GBytes *tandem_control_make_filling (guint64 done, guint64 size);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemControlDecoder, tandem_control_decoder_free)

G_END_DECLS
