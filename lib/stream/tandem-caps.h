/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gst/gst.h>

#include "tandem-export.h"

G_BEGIN_DECLS

/**
 * TANDEM_CAPS_TEXT:
 *
 * One document a buffer, UTF-8 without a terminating zero.
 */
#define TANDEM_CAPS_TEXT "text/x-raw, format=(string)utf8"

/**
 * TANDEM_CAPS_TOKENS:
 *
 * int32 ids in the device's byte order, packed: shape [tokens].
 */
#define TANDEM_CAPS_TOKENS "application/x-tandem-tokens"

/**
 * TANDEM_CAPS_ACTIVATIONS:
 *
 * The input of one layer, packed: shape [tokens, width].
 */
#define TANDEM_CAPS_ACTIVATIONS "application/x-tandem-activations"

/**
 * TANDEM_CAPS_LOGITS:
 *
 * float32 scores before softmax: shape [sequences, classes].
 */
#define TANDEM_CAPS_LOGITS "application/x-tandem-logits"

/**
 * TANDEM_CAPS_MAX_WIDTH:
 *
 * The widest row of activations that caps may promise, in elements.
 */
#define TANDEM_CAPS_MAX_WIDTH 65536

/**
 * TANDEM_CAPS_MAX_LAYERS:
 *
 * The highest layer number that caps may name.
 */
#define TANDEM_CAPS_MAX_LAYERS 4096

/**
 * TANDEM_CAPS_MAX_CLASSES:
 *
 * The most classes that logits caps may name.
 */
#define TANDEM_CAPS_MAX_CLASSES 65536

/**
 * TandemStreamKind:
 * @TANDEM_STREAM_TOKENS: packed token ids
 * @TANDEM_STREAM_ACTIVATIONS: packed rows of activations
 * @TANDEM_STREAM_LOGITS: one row of scores a sequence
 *
 * What the buffers of a stream between stages hold.
 */
typedef enum
{
  TANDEM_STREAM_TOKENS,
  TANDEM_STREAM_ACTIVATIONS,
  TANDEM_STREAM_LOGITS,
} TandemStreamKind;

/**
 * TandemRowFormat:
 * @TANDEM_ROW_FORMAT_F32LE: 32-bit float, bit-exact
 * @TANDEM_ROW_FORMAT_BF16LE: bfloat16
 * @TANDEM_ROW_FORMAT_F16LE: IEEE half
 * @TANDEM_ROW_FORMAT_Q8: int8 by row, with its scale
 *
 * How one row of activations is stored.
 */
typedef enum
{
  TANDEM_ROW_FORMAT_F32LE,
  TANDEM_ROW_FORMAT_BF16LE,
  TANDEM_ROW_FORMAT_F16LE,
  TANDEM_ROW_FORMAT_Q8,
} TandemRowFormat;

typedef struct _TandemStreamInfo TandemStreamInfo;

/**
 * TandemStreamInfo:
 * @kind: what the buffers hold
 * @fingerprint: 64 hexadecimal digits: the model's fingerprint, or for tokens
 *   the vocabulary's
 * @layer: activations: the layer whose input the rows are
 * @width: activations: elements a row
 * @format: activations: how a row is stored
 * @classes: logits: scores a row
 * @labels: (array zero-terminated=1) (nullable): logits: @classes names, in the
 *   order of the scores; %NULL when the model names none
 *
 * What the caps of a stream say, parsed and checked.
 */
struct _TandemStreamInfo
{
  TandemStreamKind kind;
  char fingerprint[65];
  guint layer;
  guint width;
  TandemRowFormat format;
  guint classes;
  char **labels;
};

TANDEM_API
void tandem_stream_info_clear (TandemStreamInfo *info);

TANDEM_API
gboolean tandem_stream_info_from_caps (TandemStreamInfo *info, const GstCaps *caps,
                                       GError **error);

TANDEM_API
GstCaps *tandem_stream_info_to_caps (const TandemStreamInfo *info);

TANDEM_API
gboolean tandem_stream_info_is_equal (const TandemStreamInfo *a, const TandemStreamInfo *b);

TANDEM_API
gsize tandem_stream_info_get_row_size (const TandemStreamInfo *info);

TANDEM_API
char *tandem_stream_info_describe (const TandemStreamInfo *info);

TANDEM_API
const char *tandem_row_format_to_string (TandemRowFormat format);

TANDEM_API
gboolean tandem_row_format_from_string (const char *name, TandemRowFormat *format);

TANDEM_API
GstQuery *tandem_query_new_accepted (void);

TANDEM_API
gboolean tandem_query_is_accepted (GstQuery *query);

TANDEM_API
void tandem_query_set_accepted (GstQuery *query, const GstCaps *caps, guint last_layer);

TANDEM_API
gboolean tandem_query_parse_accepted (GstQuery *query, GstCaps **caps, guint *last_layer);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TandemStreamInfo, tandem_stream_info_clear)

G_END_DECLS
