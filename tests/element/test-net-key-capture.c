/* SPDX-License-Identifier: LGPL-2.1-or-later */

#define _GNU_SOURCE

/* What somebody on the way between two devices sees: a relay writes down each byte of both
 * directions. */

#include "net-harness.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

/* The text that "device 1" read: token ids, as the vocabulary has them. */
static const gint32 token_ids[] = { 101, 2054, 1037, 6919, 2143, 1010, 2061, 2204, 1012, 102 };
/* And its activations. */
static const float activations[] = { 0.123456f, -7.654321f, 3.141593f, -0.577216f };

typedef struct
{
  GSocket *listener;
  guint port, target;
  GByteArray *seen[2];          /* from the sender, from the receiver; after the join */
  GThread *thread;
} Tap;

static gpointer
tap_run (gpointer data)
{
  Tap *tap = data;
  g_autoptr (GSocketAddress) address =
      g_inet_socket_address_new_from_string ("127.0.0.1", tap->target);
  g_autoptr (GSocket) a = g_socket_accept (tap->listener, NULL, NULL);
  g_autoptr (GSocket) b =
      g_socket_new (G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, NULL);
  struct pollfd fds[2];
  guint8 bytes[4096];

  g_assert_true (g_socket_connect (b, address, NULL, NULL));
  fds[0] = (struct pollfd) { g_socket_get_fd (a), POLLIN, 0 };
  fds[1] = (struct pollfd) { g_socket_get_fd (b), POLLIN, 0 };
  while (fds[0].fd >= 0 || fds[1].fd >= 0) {
    guint i;

    poll (fds, 2, -1);
    for (i = 0; i < 2; i++) {
      gssize n, sent;

      if (fds[i].fd < 0 || fds[i].revents == 0)
        continue;
      n = recv (fds[i].fd, bytes, sizeof bytes, 0);
      if (n <= 0) {
        g_socket_shutdown (i == 0 ? b : a, FALSE, TRUE, NULL);
        fds[i].fd = -1;
        continue;
      }
      g_byte_array_append (tap->seen[i], bytes, n);
      for (sent = 0; sent < n;) {
        gssize m = send (g_socket_get_fd (i == 0 ? b : a), bytes + sent, n - sent, MSG_NOSIGNAL);

        if (m <= 0)
          break;
        sent += m;
      }
    }
  }
  return NULL;
}

static void
tap_start (Tap *tap, guint target)
{
  g_autoptr (GSocketAddress) any = g_inet_socket_address_new_from_string ("127.0.0.1", 0);
  g_autoptr (GSocketAddress) bound = NULL;

  tap->listener =
      g_socket_new (G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, NULL);
  g_assert_true (g_socket_bind (tap->listener, any, TRUE, NULL));
  g_assert_true (g_socket_listen (tap->listener, NULL));
  bound = g_socket_get_local_address (tap->listener, NULL);
  tap->port = g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (bound));
  tap->target = target;
  tap->seen[0] = g_byte_array_new ();
  tap->seen[1] = g_byte_array_new ();
  tap->thread = g_thread_new ("tap", tap_run, tap);
}

static void
tap_clear (Tap *tap)
{
  g_object_unref (tap->listener);
  g_byte_array_unref (tap->seen[0]);
  g_byte_array_unref (tap->seen[1]);
}

static gboolean
has_seen (Tap *tap, gconstpointer bytes, gsize size)
{
  guint i;

  for (i = 0; i < 2; i++)
    if (memmem (tap->seen[i]->data, tap->seen[i]->len, bytes, size) != NULL)
      return TRUE;
  return FALSE;
}

static GstBuffer *
make_buffer (gboolean tokens)
{
  const guint32 offsets[] = { 0, tokens ? G_N_ELEMENTS (token_ids) : 1 };
  const guint64 id = 0x1122334455667788;
  const gint32 label = -1;
  GstBuffer *buffer = tokens
      ? gst_buffer_new_memdup (token_ids, sizeof token_ids)
      : gst_buffer_new_memdup (activations, sizeof activations);

  tandem_buffer_add_batch_meta (buffer, 1, offsets, &id, &label);
  return buffer;
}

/* One micro-batch and EOS through a tap. */
static void
run_tapped (Tap *tap, const char *key, gboolean tokens)
{
  Side src, sink;
  GThread *thread;

  src_make (&src);
  g_object_set (src.element, "key", key, NULL);
  gst_harness_play (src.harness);
  tap_start (tap, side_port (&src));
  sink_make (&sink, tap->port);
  g_object_set (sink.element, "key", key, NULL);
  sink.harness = gst_harness_new_with_element (sink.element, "sink", NULL);
  if (tokens)
    gst_harness_set_src_caps (sink.harness,
        gst_caps_new_simple (TANDEM_CAPS_TOKENS, "vocab", G_TYPE_STRING, FINGERPRINT, NULL));
  else
    gst_harness_set_src_caps (sink.harness, activation_caps (2));
  g_assert_cmpint (gst_harness_push (sink.harness, make_buffer (tokens)), ==, GST_FLOW_OK);
  consume (gst_harness_pull (src.harness));
  thread = g_thread_new ("eos", push_eos, &sink);
  g_thread_join (thread);
  wait_message (&sink, GST_MESSAGE_EOS);
  side_clear (&sink);
  side_clear (&src);
  g_thread_join (tap->thread);
  g_assert_cmpuint (tap->seen[0]->len, >, 200);
  g_assert_cmpuint (tap->seen[1]->len, >, 200);
}

static gboolean
sees_anything (Tap *tap, gboolean tokens)
{
  const guint64 id = GUINT64_TO_LE (0x1122334455667788);
  guint i;

  if (has_seen (tap, "TNDM", 4) || has_seen (tap, &id, sizeof id) ||
      has_seen (tap, "\x3f\x2a\x1b\x0c\x01\x23\x45\x67", 8))
    return TRUE;
  for (i = 0; tokens && i + 2 <= G_N_ELEMENTS (token_ids); i++)
    if (has_seen (tap, &token_ids[i], 2 * sizeof token_ids[0]))
      return TRUE;
  /* Four bytes occur by chance once in a million such recordings. */
  for (i = 0; !tokens && i < G_N_ELEMENTS (activations); i++)
    if (has_seen (tap, &activations[i], sizeof activations[i]))
      return TRUE;
  return FALSE;
}

static void
test_capture (gconstpointer data)
{
  gboolean tokens = GPOINTER_TO_INT (data);
  g_autofree char *path = keys_make ("home", 3600);
  g_autoptr (TandemClusterKey) key = tandem_cluster_key_load (path, NULL);
  g_autoptr (GByteArray) der = NULL;
  Tap tap;

  /* Whoever looks for these things finds them where nothing protects them. */
  run_tapped (&tap, NULL, tokens);
  g_assert_true (has_seen (&tap, "TNDM", 4));
  g_assert_true (has_seen (&tap, tokens ? (gconstpointer) token_ids : activations,
                           tokens ? sizeof token_ids : sizeof activations));
  g_assert_true (sees_anything (&tap, tokens));
  tap_clear (&tap);

  run_tapped (&tap, path, tokens);
  g_assert_false (sees_anything (&tap, tokens));
  /* Who belongs to which cluster is not to be seen either. */
  g_assert_false (has_seen (&tap, "home", 4));
  g_object_get (tandem_cluster_key_get_certificate (key), "certificate", &der, NULL);
  g_assert_false (has_seen (&tap, der->data + der->len - 32, 32));
  tap_clear (&tap);
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  gst_init (&argc, &argv);
  tandem_init ();
  g_test_add_data_func ("/net/key-capture/tokens", GINT_TO_POINTER (TRUE), test_capture);
  g_test_add_data_func ("/net/key-capture/activations", GINT_TO_POINTER (FALSE), test_capture);
  status = g_test_run ();
  gst_deinit ();
  return status;
}
