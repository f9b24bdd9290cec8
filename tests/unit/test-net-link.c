/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A link under stress: on each side one thread reads while another one writes, through sockets with
 * small buffers, in clear and with TLS. The writer has new small frames for the head of its queue
 * whenever the connection takes no more, as a receiver has that acknowledges between gradients. */

#include "../element/key-harness.h"

#include "net/tandem-link.h"

#include <string.h>
#include <sys/socket.h>

#define WIDTH 16
#define N_BUFFERS 100
#define MAX_ROWS 3000
#define FINGERPRINT "3f2a1b0c0123456789abcdef0123456789abcdef0123456789abcdef01234567"

typedef struct
{
  TandemLink *link;
  guint seed;
  guint n_buffers, n_acks;      /* that came */
  guint sent_acks;
  gint failed;                  /* atomic: either thread of this end */
} End;

static const TandemFrameLimits limits = {
  .max_header = 4096, .max_payload = MAX_ROWS * WIDTH * 4, .max_sequences = 4,
};

static void
fill_info (TandemStreamInfo *info)
{
  memset (info, 0, sizeof *info);
  info->kind = TANDEM_STREAM_ACTIVATIONS;
  info->layer = 1;
  info->width = WIDTH;
  strcpy (info->fingerprint, FINGERPRINT);
}

static void
append_buffer (GByteArray *out, guint64 sequence, guint rows)
{
  const guint32 offsets[] = { 0, rows };
  g_autoptr (GstBuffer) buffer = gst_buffer_new_allocate (NULL, rows * WIDTH * 4, NULL);
  TandemStreamInfo info;
  GOutputVector vector;
  GstMapInfo map;
  gsize i;

  fill_info (&info);
  tandem_buffer_add_batch_meta (buffer, 1, offsets, &sequence, NULL);
  gst_buffer_map (buffer, &map, GST_MAP_READWRITE);
  for (i = 0; i < map.size; i++)
    map.data[i] = (guint8) (sequence * 7 + i);
  vector.buffer = map.data;
  vector.size = map.size;
  g_assert_true (tandem_frame_append_buffer (out, sequence, &info, buffer, &vector, 1, NULL));
  g_byte_array_append (out, map.data, map.size);
  gst_buffer_unmap (buffer, &map);
}

static void
check_buffer (GstBuffer *buffer, guint64 sequence)
{
  GstMapInfo map;
  gsize i;

  gst_buffer_map (buffer, &map, GST_MAP_READ);
  for (i = 0; i < map.size; i++)
    g_assert_cmpuint (map.data[i], ==, (guint8) (sequence * 7 + i));
  gst_buffer_unmap (buffer, &map);
}

static void
append_ack (End *end, GByteArray *acks)
{
  const TandemAck ack = { ++end->sent_acks, end->sent_acks, TANDEM_ACK_CONSUMED };

  tandem_frame_append_ack (acks, &ack);
}

/* Buffers in pieces; before one of them acknowledgements, and one more whenever nothing goes. */
static gpointer
write_all (gpointer data)
{
  End *end = data;
  g_autoptr (GRand) rand = g_rand_new_with_seed (end->seed);
  g_autoptr (GByteArray) acks = g_byte_array_new ();
  guint i;

  for (i = 1; i <= N_BUFFERS; i++) {
    g_autoptr (GByteArray) bytes = g_byte_array_new ();
    gsize offset = 0;

    append_buffer (bytes, i, g_rand_int_range (rand, 1, MAX_ROWS));
    if (tandem_link_has_pending (end->link))
      append_ack (end, acks);
    while (offset < bytes->len || (i == N_BUFFERS && tandem_link_has_pending (end->link))) {
      GOutputVector vectors[4];
      gsize written, middle = g_rand_int_range (rand, 1, 40000);
      guint n = 0;

      if (offset == 0 && acks->len > 0)
        vectors[n++] = (GOutputVector) { acks->data, acks->len };
      if (offset < bytes->len)
        vectors[n++] = (GOutputVector) { bytes->data + offset, MIN (middle, bytes->len - offset) };
      if (offset + middle < bytes->len)
        vectors[n++] =
            (GOutputVector) { bytes->data + offset + middle, bytes->len - offset - middle };
      if (!tandem_link_write (end->link, vectors, n, &written, NULL)) {
        g_atomic_int_set (&end->failed, TRUE);
        return NULL;
      }
      if (offset == 0) {
        gsize gone = MIN (written, acks->len);

        g_byte_array_remove_range (acks, 0, gone);
        written -= gone;
      }
      offset += written;
      if (offset == 0)
        append_ack (end, acks);
      if ((written == 0 || tandem_link_has_pending (end->link)) &&
          !tandem_link_wait (end->link, G_IO_OUT, 10 * G_USEC_PER_SEC, NULL, NULL)) {
        g_atomic_int_set (&end->failed, TRUE);
        return NULL;
      }
    }
  }
  return NULL;
}

static gpointer
read_all (gpointer data)
{
  End *end = data;
  g_autoptr (GError) error = NULL;
  const TandemFrame *frame;

  while (end->n_buffers < N_BUFFERS) {
    switch (tandem_link_read (end->link, &frame, &error)) {
      case TANDEM_LINK_FRAME:
        if (frame->type == TANDEM_FRAME_BUFFER) {
          g_autoptr (GstBuffer) buffer = tandem_link_take_buffer (end->link);

          g_assert_cmpuint (frame->sequence, ==, ++end->n_buffers);
          check_buffer (buffer, end->n_buffers);
        } else {
          TandemAck ack;

          g_assert_true (tandem_frame_parse_ack (frame, &ack, NULL));
          g_assert_cmpuint (ack.first, ==, ++end->n_acks);
        }
        break;
      case TANDEM_LINK_AGAIN:
        if (!tandem_link_wait (end->link, G_IO_IN, 10 * G_USEC_PER_SEC, NULL, NULL)) {
          g_atomic_int_set (&end->failed, TRUE);
          return NULL;
        }
        break;
      default:
        g_atomic_int_set (&end->failed, TRUE);
        return NULL;
    }
  }
  return NULL;
}

static gpointer
shake (gpointer link)
{
  return GINT_TO_POINTER (tandem_link_handshake (link, 10 * G_USEC_PER_SEC, NULL, NULL));
}

/* Two ends of one connection. */
static void
open_pair (TandemLink *links[2], gboolean tls)
{
  g_autoptr (GSocketListener) listener = g_socket_listener_new ();
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  guint16 port = g_socket_listener_add_any_inet_port (listener, NULL, NULL);
  GSocketConnection *connections[2];
  TandemStreamInfo info;
  guint i;

  connections[0] = g_socket_client_connect_to_host (client, "127.0.0.1", port, NULL, NULL);
  connections[1] = g_socket_listener_accept (listener, NULL, NULL, NULL);
  fill_info (&info);
  for (i = 0; i < 2; i++) {
    GSocket *socket = g_socket_connection_get_socket (connections[i]);

    g_socket_set_option (socket, SOL_SOCKET, SO_SNDBUF, 8192, NULL);
    if (tls) {
      g_autofree char *path = keys_make ("home", 3600);
      g_autoptr (TandemClusterKey) key = tandem_cluster_key_load (path, NULL);

      links[i] = tandem_link_new_tls (connections[i], key, i == 1, 0, &limits, NULL);
    } else {
      links[i] = tandem_link_new (connections[i], &limits);
    }
    g_assert_nonnull (links[i]);
    tandem_link_set_stream (links[i], &info);
    g_object_unref (connections[i]);
  }
  if (tls) {
    GThread *thread = g_thread_new ("shake", shake, links[1]);

    g_assert_true (GPOINTER_TO_INT (shake (links[0])));
    g_assert_true (GPOINTER_TO_INT (g_thread_join (thread)));
  }
}

static void
test_both_ways (gconstpointer data)
{
  TandemLink *links[2];
  End ends[2];
  GThread *threads[4];
  guint i;

  open_pair (links, GPOINTER_TO_INT (data));
  for (i = 0; i < 2; i++) {
    ends[i] = (End) { .link = links[i], .seed = g_test_rand_int () };
    threads[2 * i] = g_thread_new ("write", write_all, &ends[i]);
    threads[2 * i + 1] = g_thread_new ("read", read_all, &ends[i]);
  }
  for (i = 0; i < 4; i++)
    g_thread_join (threads[i]);
  for (i = 0; i < 2; i++) {
    g_assert_false (ends[i].failed);
    g_assert_cmpuint (ends[i].n_buffers, ==, N_BUFFERS);
    g_assert_false (tandem_link_has_pending (links[i]));
  }
  g_test_message ("%u and %u acknowledgements", ends[0].n_acks, ends[1].n_acks);
  g_assert_cmpuint (ends[0].n_acks + ends[1].n_acks, >, 0);
  for (i = 0; i < 2; i++)
    tandem_link_unref (links[i]);
}

/* The end comes while all four threads are at it: each of them sees it. */
static void
test_shutdown (gconstpointer data)
{
  guint round;

  for (round = 0; round < 10; round++) {
    TandemLink *links[2];
    End ends[2];
    GThread *threads[4];
    guint i;

    open_pair (links, GPOINTER_TO_INT (data));
    for (i = 0; i < 2; i++) {
      ends[i] = (End) { .link = links[i], .seed = g_test_rand_int () };
      threads[2 * i] = g_thread_new ("write", write_all, &ends[i]);
      threads[2 * i + 1] = g_thread_new ("read", read_all, &ends[i]);
    }
    g_usleep (g_test_rand_int_range (0, 5000));
    tandem_link_shutdown (links[round % 2]);
    for (i = 0; i < 4; i++)
      g_thread_join (threads[i]);
    for (i = 0; i < 2; i++) {
      g_assert_true (ends[i].failed || ends[i].n_buffers == N_BUFFERS);
      tandem_link_unref (links[i]);
    }
  }
}

/* A handshake with nobody ends by the clock, and by a cancellable. */
static gpointer
cancel (gpointer cancellable)
{
  g_cancellable_cancel (cancellable);
  return NULL;
}

static void
test_silent_peer (void)
{
  g_autoptr (GSocketListener) listener = g_socket_listener_new ();
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  guint16 port = g_socket_listener_add_any_inet_port (listener, NULL, NULL);
  g_autofree char *path = keys_make ("home", 3600);
  g_autoptr (TandemClusterKey) key = tandem_cluster_key_load (path, NULL);
  guint i;

  for (i = 0; i < 2; i++) {
    g_autoptr (GSocketConnection) ours =
        g_socket_client_connect_to_host (client, "127.0.0.1", port, NULL, NULL);
    g_autoptr (GSocketConnection) theirs = g_socket_listener_accept (listener, NULL, NULL, NULL);
    g_autoptr (TandemLink) link = tandem_link_new_tls (ours, key, FALSE, 0, &limits, NULL);
    g_autoptr (GCancellable) cancellable = g_cancellable_new ();
    g_autoptr (GError) error = NULL;
    GThread *thread = i == 1 ? g_thread_new ("cancel", cancel, cancellable) : NULL;

    g_assert_false (tandem_link_handshake (link, i == 0 ? 50 * 1000 : 600 * G_USEC_PER_SEC,
                                           cancellable, &error));
    if (i == 0)
      g_assert_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_TIMEOUT);
    else
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    if (thread != NULL)
      g_thread_join (thread);
  }
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  gst_init (&argc, &argv);
  tandem_net_init_debug ();
  g_test_add_data_func ("/net/link/both-ways/plain", GINT_TO_POINTER (FALSE), test_both_ways);
  g_test_add_data_func ("/net/link/both-ways/tls", GINT_TO_POINTER (TRUE), test_both_ways);
  g_test_add_data_func ("/net/link/shutdown/plain", GINT_TO_POINTER (FALSE), test_shutdown);
  g_test_add_data_func ("/net/link/shutdown/tls", GINT_TO_POINTER (TRUE), test_shutdown);
  g_test_add_func ("/net/link/silent-peer", test_silent_peer);
  status = g_test_run ();
  gst_deinit ();
  return status;
}
