/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib-object.h>

#include "tandem-export.h"
#include "place/tandem-cost.h"

G_BEGIN_DECLS

/**
 * TANDEM_N_WIRE_FORMATS:
 *
 * How many formats activations may have on the wire.
 */
#define TANDEM_N_WIRE_FORMATS 4

/**
 * TandemWireFormats:
 * @TANDEM_WIRE_FORMAT_NONE: none of them: tokens and logits have no choice
 * @TANDEM_WIRE_FORMAT_F32: 32-bit floats, 4 bytes an element: nothing is lost
 * @TANDEM_WIRE_FORMAT_BF16: bfloat16, 2 bytes an element
 * @TANDEM_WIRE_FORMAT_F16: IEEE half, 2 bytes an element
 * @TANDEM_WIRE_FORMAT_Q8: int8, 1 byte an element and 4 a row for its scale
 *
 * A set of formats that rows of activations may have between devices. Bit n is the format that
 * #TandemRowFormat gives the number n.
 */
typedef enum /*< flags >*/
{
  TANDEM_WIRE_FORMAT_NONE = 0,
  TANDEM_WIRE_FORMAT_F32 = 1 << 0,
  TANDEM_WIRE_FORMAT_BF16 = 1 << 1,
  TANDEM_WIRE_FORMAT_F16 = 1 << 2,
  TANDEM_WIRE_FORMAT_Q8 = 1 << 3,
} TandemWireFormats;

typedef struct _TandemNetworkLink TandemNetworkLink;
typedef struct _TandemDevice TandemDevice;

/**
 * TandemNetworkLink:
 * @bandwidth: bytes a second of payload in this direction; 0: there is no way
 * @delay: seconds that a byte is on its way in this direction, beside its transmission
 *
 * How one device reaches another. The way back is another link.
 */
struct _TandemNetworkLink
{
  double bandwidth;
  double delay;
};

/**
 * TandemDevice:
 * @name: what people call it; no two devices of a problem have the same name
 * @host: (nullable): the name or address that others reach it by, or %NULL for loopback
 * @port: the TCP port that it listens on; 0: the usual one
 * @memory: bytes that a stage may take there; 0: as many as it wants
 * @n_threads: threads that a stage has there, at least 1
 * @tokenize: what it takes to make tokens of texts; counts on the device that asks
 * @embeddings: what the embeddings take, with layer 0
 * @n_layers: how many layers @layers describes
 * @layers: (array length=n_layers): what each layer takes; the last one with pooler and
 *   classifier
 * @send: (array fixed-size=4): what it takes to send activations on, by the number of their
 *   format
 * @receive: (array fixed-size=4): what it takes to receive them
 *
 * What a device can do for one model.
 */
struct _TandemDevice
{
  char *name;
  char *host;
  guint port;
  guint64 memory;
  guint n_threads;
  TandemCost tokenize;
  TandemCost embeddings;
  guint n_layers;
  TandemCost *layers;
  TandemCost send[TANDEM_N_WIRE_FORMATS];
  TandemCost receive[TANDEM_N_WIRE_FORMATS];
};

#define TANDEM_TYPE_DEVICE (tandem_device_get_type ())

TANDEM_API
GType tandem_device_get_type (void);

TANDEM_API
TandemDevice *tandem_device_new (const char *name, guint n_layers);

TANDEM_API
TandemDevice *tandem_device_copy (const TandemDevice *self);

TANDEM_API
void tandem_device_free (TandemDevice *self);

TANDEM_API
const char *tandem_wire_format_to_string (TandemWireFormats format);

TANDEM_API
gboolean tandem_wire_formats_from_string (const char *names, TandemWireFormats *formats,
                                          GError **error);

TANDEM_API
gsize tandem_wire_format_get_row_size (TandemWireFormats format, guint width);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemDevice, tandem_device_free)

G_END_DECLS
