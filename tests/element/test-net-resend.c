/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A relay between the two elements cuts the connection, or spoils a byte, where nobody expects
 * it. Every micro-batch has to arrive once, in order. */

#include "net-harness.h"
#include "pusher-harness.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct
{
  GSocket *listener;
  guint port;
  gint target;                  /* atomic: another one ends the connection to the old one */
  guint cuts;                   /* how many more */
  guint max_bytes;              /* a cut comes after 1 to this many bytes, both ways together */
  gboolean spoil;               /* flip a bit instead of cutting */
  GRand *rand;
  GThread *thread;
  gint stop;                    /* atomic */
  guint connections;
} Relay;

static GSocket *
relay_connect (guint port)
{
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new_from_string ("127.0.0.1", port);
  GSocket *socket =
      g_socket_new (G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, NULL);

  if (!g_socket_connect (socket, address, NULL, NULL))
    g_clear_object (&socket);
  return socket;
}

static gboolean
relay_write (int fd, const guint8 *data, gsize size)
{
  while (size > 0) {
    gssize n = send (fd, data, size, MSG_NOSIGNAL);

    if (n <= 0)
      return FALSE;
    data += n;
    size -= n;
  }
  return TRUE;
}

/* Carries bytes until one side ends or `left` are gone. Returns whether it was cut. */
static gboolean
relay_carry (Relay *relay, int target, int a, int b, gsize left)
{
  struct pollfd fds[2] = { { a, POLLIN, 0 }, { b, POLLIN, 0 } };
  guint8 data[3000];
  guint i;

  while (!g_atomic_int_get (&relay->stop) && g_atomic_int_get (&relay->target) == target) {
    if (poll (fds, 2, 100) <= 0)
      continue;
    for (i = 0; i < 2; i++) {
      gssize n;

      if (fds[i].revents == 0)
        continue;
      n = recv (fds[i].fd, data, MIN (sizeof data, left), 0);
      if (n <= 0)
        return FALSE;
      left -= n;
      if (left == 0 && relay->spoil) {
        data[n - 1] ^= 0x10;
        left = G_MAXSSIZE;
      }
      if (!relay_write (fds[1 - i].fd, data, n))
        return FALSE;
      if (left == 0)
        return TRUE;
    }
  }
  return FALSE;
}

static gpointer
relay_run (gpointer data)
{
  Relay *relay = data;

  while (!g_atomic_int_get (&relay->stop)) {
    g_autoptr (GSocket) a = NULL, b = NULL;
    gsize left = G_MAXSSIZE;
    int target;

    if (!g_socket_condition_timed_wait (relay->listener, G_IO_IN, 100 * 1000, NULL, NULL))
      continue;
    a = g_socket_accept (relay->listener, NULL, NULL);
    target = g_atomic_int_get (&relay->target);
    b = relay_connect (target);
    if (a == NULL || b == NULL)
      continue;
    relay->connections++;
    if (relay->cuts > 0) {
      relay->cuts--;
      /* A spoiled first frame is no frame: only what follows both HELLOs can be sent again. */
      left = g_rand_int_range (relay->rand, relay->spoil ? 400 : 1, relay->max_bytes + 1);
    }
    relay_carry (relay, target, g_socket_get_fd (a), g_socket_get_fd (b), left);
  }
  return NULL;
}

static void
relay_start (Relay *relay, guint target, guint cuts, guint max_bytes, gboolean spoil)
{
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new_from_string ("127.0.0.1", 0);
  g_autoptr (GSocketAddress) bound = NULL;
  g_autoptr (GError) error = NULL;

  memset (relay, 0, sizeof *relay);
  relay->listener =
      g_socket_new (G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, &error);
  g_socket_bind (relay->listener, address, TRUE, &error);
  g_socket_listen (relay->listener, &error);
  bound = g_socket_get_local_address (relay->listener, &error);
  g_assert_no_error (error);
  relay->port = g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (bound));
  relay->target = target;
  relay->cuts = cuts;
  relay->max_bytes = max_bytes;
  relay->spoil = spoil;
  relay->rand = g_rand_new_with_seed (g_test_rand_int ());
  relay->thread = g_thread_new ("relay", relay_run, relay);
}

static void
relay_stop (Relay *relay)
{
  g_atomic_int_set (&relay->stop, 1);
  g_thread_join (relay->thread);
  g_object_unref (relay->listener);
  g_rand_free (relay->rand);
}

static guint
rows_of (guint i)
{
  return 1 + i * 37 % 90;
}

static void
run_through_relay (guint n, guint cuts, guint max_bytes, gboolean spoil, guint hold)
{
  Side src, sink;
  Relay relay;
  Pusher pusher = { &sink, n, rows_of, { 0, 0 } };
  GQueue held = G_QUEUE_INIT;
  GThread *thread;
  guint i;

  src_new (&src, FALSE);
  relay_start (&relay, side_port (&src), cuts, max_bytes, spoil);
  sink_make (&sink, relay.port);
  g_object_set (sink.element, "reconnect-timeout", 20000, NULL);
  sink_play (&sink, 2);
  thread = g_thread_new ("push", push_all, &pusher);
  for (i = 0; i < n; i++) {
    GstBuffer *buffer = gst_harness_pull (src.harness);

    check_numbered (buffer, i, rows_of (i));
    g_queue_push_tail (&held, buffer);
    /* Some are consumed while there is no connection, and not in order. */
    if (held.length > hold)
      consume (i % 2 ? g_queue_pop_head (&held) : g_queue_pop_tail (&held));
  }
  while (held.length > 0)
    consume (g_queue_pop_head (&held));
  g_thread_join (thread);
  wait_message (&sink, GST_MESSAGE_EOS);
  WAIT_UNTIL (GST_PAD_IS_EOS (src.harness->sinkpad));
  g_assert_null (gst_harness_try_pull (src.harness));
  g_assert_cmpint (pusher.counts[1], ==, n);
  g_assert_cmpint (pusher.counts[0], ==, 0);
  assert_no_message (&sink, GST_MESSAGE_ERROR);
  assert_no_message (&src, GST_MESSAGE_ERROR | GST_MESSAGE_WARNING);
  side_clear (&sink);
  side_clear (&src);
  relay_stop (&relay);
  g_assert_cmpuint (relay.connections, >, cuts > 0 ? cuts / 2 : 0);
  g_test_message ("%u connections, %u cuts left", relay.connections, relay.cuts);
}

static void
test_relay_alone (void)
{
  run_through_relay (100, 0, 0, FALSE, 0);
}

static void
test_cuts (void)
{
  run_through_relay (500, 50, 15000, FALSE, 0);
}

static void
test_cuts_with_slow_consumer (void)
{
  run_through_relay (500, 50, 15000, FALSE, 5);
}

/* Also in the middle of HELLO, and again and again before anything gets through. */
static void
test_early_cuts (void)
{
  run_through_relay (20, 12, 400, FALSE, 3);
}

static void
test_spoiled_bytes (void)
{
  run_through_relay (300, 15, 20000, TRUE, 2);
}

/* The receiver's device dies, and another one without memory of the stream takes its place: what
 * the first one did not acknowledge goes to its successor. */
static void
test_successor (void)
{
  Side src, successor, sink;
  Relay relay;
  GstBuffer *lost[3];
  guint i;

  src_new (&src, FALSE);
  src_new (&successor, FALSE);
  relay_start (&relay, side_port (&src), 0, 0, FALSE);
  sink_new (&sink, relay.port);
  for (i = 0; i < 5; i++)
    gst_harness_push (sink.harness, numbered_buffer (i, 3));
  consume (gst_harness_pull (src.harness));
  consume (gst_harness_pull (src.harness));
  for (i = 0; i < 3; i++)
    lost[i] = gst_harness_pull (src.harness);
  /* The acknowledgements of the first two are through when others can come. */
  for (i = 5; i < 10; i++)
    gst_harness_push (sink.harness, numbered_buffer (i, 3));
  g_atomic_int_set (&relay.target, side_port (&successor));
  for (i = 2; i < 10; i++) {
    GstBuffer *buffer = gst_harness_pull (successor.harness);

    check_numbered (buffer, i, 3);
    consume (buffer);
  }
  run_stream (&successor, &sink, 10, 5);
  for (i = 0; i < 3; i++)
    gst_buffer_unref (lost[i]);
  side_clear (&sink);
  relay_stop (&relay);
  side_clear (&successor);
  side_clear (&src);
}

/* A client that vanishes in mid-stream is given up after a while, and the next one is served. */
static void
test_client_vanishes (void)
{
  Side src, sink;
  Relay relay;
  g_autofree char *text = NULL;

  src_make (&src);
  g_object_set (src.element, "keep-listening", TRUE, "timeout", 300, NULL);
  gst_harness_play (src.harness);
  relay_start (&relay, side_port (&src), 0, 0, FALSE);
  sink_new (&sink, relay.port);
  gst_harness_push (sink.harness, numbered_buffer (0, 3));
  consume (gst_harness_pull (src.harness));
  relay_stop (&relay);
  text = wait_message (&src, GST_MESSAGE_WARNING);
  assert_contains (text, "vanished in mid-stream after 1 micro-batches");
  side_clear (&sink);
  sink_new (&sink, side_port (&src));
  run_stream (&src, &sink, 1, 5);
  side_clear (&sink);
  side_clear (&src);
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  gst_init (&argc, &argv);
  tandem_init ();
  g_test_add_func ("/net/resend/relay-alone", test_relay_alone);
  g_test_add_func ("/net/resend/cuts", test_cuts);
  g_test_add_func ("/net/resend/cuts-with-slow-consumer", test_cuts_with_slow_consumer);
  g_test_add_func ("/net/resend/early-cuts", test_early_cuts);
  g_test_add_func ("/net/resend/spoiled-bytes", test_spoiled_bytes);
  g_test_add_func ("/net/resend/successor", test_successor);
  g_test_add_func ("/net/resend/client-vanishes", test_client_vanishes);
  status = g_test_run ();
  gst_deinit ();
  return status;
}
