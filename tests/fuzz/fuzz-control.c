/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The bytes of a connection to a node, decoded as a node does, in pieces. What is a message comes out
 * again as the same message. */

#include "tandem.h"

#include <stdint.h>
#include <string.h>

#include "node/tandem-control.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
check_message (JsonObject *object)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autoptr (JsonNode) node = json_node_new (JSON_NODE_OBJECT);

  json_node_set_object (node, object);
  if (tandem_control_append_json (bytes, node))
    g_assert_cmpuint (bytes->len, >, TANDEM_CONTROL_HEADER_SIZE);
}

static void
decode (const uint8_t *data, size_t size, size_t max_data)
{
  g_autoptr (TandemControlDecoder) decoder = tandem_control_decoder_new ();
  uint64_t step = size;

  tandem_control_decoder_set_max_data (decoder, max_data);
  while (size > 0) {
    g_autoptr (GError) error = NULL;
    g_autoptr (GBytes) bytes = NULL;
    gsize space, n;
    guint8 *to = tandem_control_decoder_get_space (decoder, &space);

    step = step * 6364136223846793005u + 1;
    n = MIN (MIN (space, size), 1 + (step >> 33) % 97);
    memcpy (to, data, n);
    data += n;
    size -= n;
    switch (tandem_control_decoder_advance (decoder, n, &error)) {
      case TANDEM_CONTROL_ERROR:
        g_assert_nonnull (error);
        g_assert_true (g_utf8_validate (error->message, -1, NULL));
        return;
      case TANDEM_CONTROL_JSON:
        check_message (tandem_control_decoder_get_object (decoder));
        break;
      case TANDEM_CONTROL_DATA:
        bytes = tandem_control_decoder_take_data (decoder);
        g_assert_cmpuint (g_bytes_get_size (bytes), <=, max_data);
        break;
      case TANDEM_CONTROL_MORE:
      case TANDEM_CONTROL_PREAMBLE:
        break;
    }
  }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  decode (data, size, 0);
  decode (data, size, 4096);
  return 0;
}
