/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The frames of the control protocol, byte for byte. */

#include "tandem.h"

#include <string.h>

#include "node/tandem-control.h"

#define PREAMBLE "TNDMN\1\0\0"

typedef struct
{
  guint preambles, messages, data;
  gsize data_bytes;
  char *last;                   /* JSON */
} Seen;

/* Feeds bytes in pieces; returns how it ended. */
static TandemControlStatus
feed (TandemControlDecoder *decoder, const void *bytes, gsize size, gsize piece, Seen *seen,
      GError **error)
{
  const guint8 *from = bytes;

  while (size > 0) {
    gsize space;
    guint8 *to = tandem_control_decoder_get_space (decoder, &space);
    gsize n = MIN (MIN (space, piece), size);
    TandemControlStatus status;
    g_autoptr (GBytes) data = NULL;

    g_assert_cmpuint (space, >, 0);
    memcpy (to, from, n);
    from += n;
    size -= n;
    status = tandem_control_decoder_advance (decoder, n, error);
    switch (status) {
      case TANDEM_CONTROL_PREAMBLE:
        seen->preambles++;
        break;
      case TANDEM_CONTROL_JSON: {
        g_autoptr (JsonNode) node = json_node_new (JSON_NODE_OBJECT);

        seen->messages++;
        json_node_set_object (node, tandem_control_decoder_get_object (decoder));
        g_free (seen->last);
        seen->last = json_to_string (node, FALSE);
        break;
      }
      case TANDEM_CONTROL_DATA:
        data = tandem_control_decoder_take_data (decoder);
        seen->data++;
        seen->data_bytes += g_bytes_get_size (data);
        break;
      case TANDEM_CONTROL_MORE:
        break;
      case TANDEM_CONTROL_ERROR:
        return status;
    }
  }
  return TANDEM_CONTROL_MORE;
}

static JsonNode *
parse (const char *text)
{
  JsonNode *node = json_from_string (text, NULL);

  g_assert_nonnull (node);
  return node;
}

static void
test_bytes (void)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autoptr (JsonNode) node = parse ("{\"id\":1}");
  static const guint8 expected[] = "TNDMN\1\3\0" "J\10\0\0\0{\"id\":1}D\3\0\0\0abc";

  tandem_control_append_preamble (bytes);
  g_assert_true (tandem_control_append_json (bytes, node));
  tandem_control_append_data (bytes, "abc", 3);
  g_assert_cmpmem (bytes->data, bytes->len, expected, sizeof expected - 1);
}

static void
test_pieces (void)
{
  static const char stream[] =
      PREAMBLE "J\10\0\0\0{\"id\":1}" "D\3\0\0\0abc" "J\2\0\0\0{}" "D\1\0\0\0x";
  gsize piece;

  for (piece = 1; piece <= sizeof stream; piece++) {
    g_autoptr (TandemControlDecoder) decoder = tandem_control_decoder_new ();
    g_autoptr (GError) error = NULL;
    Seen seen = { 0 };

    tandem_control_decoder_set_max_data (decoder, 3);
    feed (decoder, stream, sizeof stream - 1, piece, &seen, &error);
    g_assert_no_error (error);
    g_assert_true (tandem_control_decoder_is_idle (decoder));
    g_assert_cmpuint (seen.preambles, ==, 1);
    g_assert_cmpuint (seen.messages, ==, 2);
    g_assert_cmpuint (seen.data, ==, 2);
    g_assert_cmpuint (seen.data_bytes, ==, 4);
    g_assert_cmpstr (seen.last, ==, "{}");
    g_free (seen.last);
  }
}

typedef struct
{
  const char *name;
  const char *bytes;
  gsize size;
  gsize max_data;
  int code;
} Bad;

#define BAD(name, text, max_data, code) { name, text, sizeof (text) - 1, max_data, code }

static const Bad bad[] = {
  BAD ("other-protocol", "GET / HTTP/1.1\r\n", 0, TANDEM_NET_ERROR_NOT_TANDEM),
  BAD ("first-byte", "X", 0, TANDEM_NET_ERROR_NOT_TANDEM),
  BAD ("wire-frame", "TNDM\1\0\1\1", 0, TANDEM_NET_ERROR_PROTOCOL),
  BAD ("tls", "\26\3\1\2\0\1\0\1", 0, TANDEM_NET_ERROR_INSECURE),
  BAD ("major", "TNDMN\2\0\0", 0, TANDEM_NET_ERROR_VERSION),
  BAD ("kind", PREAMBLE "K\1\0\0\0x", 0, TANDEM_NET_ERROR_PROTOCOL),
  BAD ("empty", PREAMBLE "J\0\0\0\0", 0, TANDEM_NET_ERROR_TOO_LARGE),
  BAD ("long-json", PREAMBLE "J\1\0\1\0", 0, TANDEM_NET_ERROR_TOO_LARGE),
  BAD ("huge", PREAMBLE "J\377\377\377\377", 0, TANDEM_NET_ERROR_TOO_LARGE),
  BAD ("no-data", PREAMBLE "D", 0, TANDEM_NET_ERROR_PROTOCOL),
  BAD ("long-data", PREAMBLE "D\1\0\20\0", G_MAXSIZE, TANDEM_NET_ERROR_TOO_LARGE),
  BAD ("not-utf8", PREAMBLE "J\4\0\0\0{\"\377\"", 0, TANDEM_NET_ERROR_PROTOCOL),
  BAD ("nul", PREAMBLE "J\3\0\0\0{}\0", 0, TANDEM_NET_ERROR_PROTOCOL),
  BAD ("array", PREAMBLE "J\2\0\0\0[]", 0, TANDEM_NET_ERROR_PROTOCOL),
  BAD ("no-json", PREAMBLE "J\2\0\0\0{,", 0, TANDEM_NET_ERROR_PROTOCOL),
};

static void
test_bad (gconstpointer data)
{
  const Bad *b = data;
  g_autoptr (TandemControlDecoder) decoder = tandem_control_decoder_new ();
  g_autoptr (GError) error = NULL;
  Seen seen = { 0 };

  tandem_control_decoder_set_max_data (decoder, b->max_data);
  g_assert_cmpint (feed (decoder, b->bytes, b->size, 1, &seen, &error), ==,
                   TANDEM_CONTROL_ERROR);
  g_assert_error (error, TANDEM_NET_ERROR, b->code);
  g_assert_cmpuint (seen.messages + seen.data, ==, 0);
}

/* Brackets alone are not to overflow the stack. */
static void
test_deep (void)
{
  g_autoptr (TandemControlDecoder) decoder = tandem_control_decoder_new ();
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autoptr (GError) error = NULL;
  guint8 header[] = { 'J', 0, 0, 1, 0 };
  Seen seen = { 0 };

  tandem_control_append_preamble (bytes);
  g_byte_array_append (bytes, header, sizeof header);
  g_byte_array_set_size (bytes, bytes->len + TANDEM_CONTROL_MAX_JSON);
  memset (bytes->data + bytes->len - TANDEM_CONTROL_MAX_JSON, '[', TANDEM_CONTROL_MAX_JSON);
  g_assert_cmpint (feed (decoder, bytes->data, bytes->len, G_MAXSIZE, &seen, &error), ==,
                   TANDEM_CONTROL_ERROR);
  g_assert_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL);
}

/* What would be refused on the other side is not sent. */
static void
test_too_long (void)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autofree char *text = g_strnfill (TANDEM_CONTROL_MAX_JSON, 'x');
  g_autofree char *json = g_strdup_printf ("{\"a\":\"%s\"}", text);
  g_autoptr (JsonNode) node = parse (json);

  g_assert_false (tandem_control_append_json (bytes, node));
  g_assert_cmpuint (bytes->len, ==, 0);
}

int
main (int argc, char **argv)
{
  guint i;

  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/node/control/bytes", test_bytes);
  g_test_add_func ("/node/control/pieces", test_pieces);
  g_test_add_func ("/node/control/deep", test_deep);
  g_test_add_func ("/node/control/too-long", test_too_long);
  for (i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autofree char *path = g_strconcat ("/node/control/bad/", bad[i].name, NULL);

    g_test_add_data_func (path, &bad[i], test_bad);
  }
  return g_test_run ();
}
