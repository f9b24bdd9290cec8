/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What one hop over loopback adds: the time from a buffer's push into tcpactsink to its arrival
 * at the pad behind tcpactsrc, one buffer at a time, as for a review that somebody typed. The
 * same number of bytes over a bare socket is measured in turn, in the same run. */

#include "tandem.h"

#include <fcntl.h>
#include <gio/gio.h>
#include <gst/check/gstharness.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WIDTH 128
#define N 3000
#define WARM 200
#define ROUNDS 4

#define FINGERPRINT "3f2a1b0c0123456789abcdef0123456789abcdef0123456789abcdef01234567"

static gint64 arrived;          /* nanoseconds; written before the receipt is completed */

static gint64
now_ns (void)
{
  struct timespec t;

  clock_gettime (CLOCK_MONOTONIC, &t);
  return t.tv_sec * G_GINT64_CONSTANT (1000000000) + t.tv_nsec;
}

static GstPadProbeReturn
arrive (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  arrived = now_ns ();
  tandem_batch_meta_complete (
      tandem_buffer_get_batch_meta (GST_PAD_PROBE_INFO_BUFFER (info)));
  return GST_PAD_PROBE_DROP;
}

typedef struct
{
  GMutex lock;
  GCond cond;
  gboolean done;
} Waiter;

static void
settled (gboolean completed, gpointer data)
{
  Waiter *waiter = data;

  g_assert_true (completed);
  g_mutex_lock (&waiter->lock);
  waiter->done = TRUE;
  g_cond_signal (&waiter->cond);
  g_mutex_unlock (&waiter->lock);
}

static int
compare (gconstpointer a, gconstpointer b)
{
  double x = *(const double *) a, y = *(const double *) b;

  return x < y ? -1 : x > y;
}

static void
report (const char *name, guint rows, double *us, guint n)
{
  qsort (us, n, sizeof *us, compare);
  g_print ("%-12s %4u rows x %u, %7u bytes: median %6.1f us, 95th percentile %6.1f us\n", name,
           rows, WIDTH, rows * WIDTH * 4, us[n / 2], us[n * 95 / 100]);
}

typedef struct
{
  int fd;
  gsize size;
} Echo;

static gpointer
echo (gpointer data)
{
  Echo *e = data;
  g_autofree char *buffer = g_malloc (e->size);

  for (;;) {
    gint64 t;

    if (recv (e->fd, buffer, e->size, MSG_WAITALL) != (gssize) e->size)
      return NULL;
    t = now_ns ();
    if (write (e->fd, &t, sizeof t) != sizeof t)
      return NULL;
  }
}

static void
bare_socket_pair (int fds[2])
{
  g_autoptr (GSocketListener) listener = g_socket_listener_new ();
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  guint16 port = g_socket_listener_add_any_inet_port (listener, NULL, NULL);
  GSocketConnection *a = g_socket_client_connect_to_host (client, "localhost", port, NULL, NULL);
  GSocketConnection *b = g_socket_listener_accept (listener, NULL, NULL, NULL);

  g_socket_set_option (g_socket_connection_get_socket (a), 6, 1, 1, NULL);
  g_socket_set_option (g_socket_connection_get_socket (b), 6, 1, 1, NULL);
  fds[0] = dup (g_socket_get_fd (g_socket_connection_get_socket (a)));
  fds[1] = dup (g_socket_get_fd (g_socket_connection_get_socket (b)));
  for (guint i = 0; i < 2; i++)
    fcntl (fds[i], F_SETFL, fcntl (fds[i], F_GETFL) & ~O_NONBLOCK);
  g_object_unref (a);
  g_object_unref (b);
}

static void
measure_bare (gsize size, double *us, guint n)
{
  int fds[2];
  g_autofree char *data = g_malloc0 (size);
  GThread *thread;
  Echo e;
  guint i;

  bare_socket_pair (fds);
  e.fd = fds[1];
  e.size = size;
  thread = g_thread_new ("echo", echo, &e);
  for (i = 0; i < n + WARM; i++) {
    gint64 begin = now_ns (), end;

    g_assert_true (write (fds[0], data, size) == (gssize) size);
    g_assert_true (read (fds[0], &end, sizeof end) == sizeof end);
    if (i >= WARM)
      us[i - WARM] = (end - begin) / 1000.0;
  }
  shutdown (fds[0], SHUT_RDWR);
  close (fds[0]);
  g_thread_join (thread);
  close (fds[1]);
}

static void
measure_hop (guint rows, double *us, guint n)
{
  GstElement *src = gst_element_factory_make ("tcpactsrc", NULL);
  GstElement *sink = gst_element_factory_make ("tcpactsink", NULL);
  GstHarness *in, *out;
  Waiter waiter = { 0 };
  const guint32 offsets[] = { 0, rows };
  guint port, i;

  g_object_set (src, "port", 0, NULL);
  out = gst_harness_new_with_element (src, NULL, "src");
  gst_pad_add_probe (out->sinkpad, GST_PAD_PROBE_TYPE_BUFFER, arrive, NULL, NULL);
  gst_harness_play (out);
  g_object_get (src, "current-port", &port, NULL);
  g_object_set (sink, "host", "127.0.0.1", "port", port, NULL);
  in = gst_harness_new_with_element (sink, "sink", NULL);
  gst_harness_set_src_caps (in, gst_caps_from_string (
      TANDEM_CAPS_ACTIVATIONS ",model=" FINGERPRINT ",layer=1,width=128,format=F32LE"));

  g_mutex_init (&waiter.lock);
  g_cond_init (&waiter.cond);
  for (i = 0; i < n + WARM; i++) {
    GstBuffer *buffer = gst_buffer_new_allocate (NULL, (gsize) rows * WIDTH * 4, NULL);
    TandemReceipt *receipt = tandem_receipt_new (settled, &waiter, NULL);
    gint64 begin;

    gst_buffer_memset (buffer, 0, i, (gsize) rows * WIDTH * 4);
    tandem_batch_meta_add_receipt (
        tandem_buffer_add_batch_meta (buffer, 1, offsets, NULL, NULL), receipt);
    tandem_receipt_unref (receipt);
    waiter.done = FALSE;
    begin = now_ns ();
    g_assert_cmpint (gst_harness_push (in, buffer), ==, GST_FLOW_OK);
    g_mutex_lock (&waiter.lock);
    while (!waiter.done)
      g_cond_wait (&waiter.cond, &waiter.lock);
    g_mutex_unlock (&waiter.lock);
    if (i >= WARM)
      us[i - WARM] = (arrived - begin) / 1000.0;
  }
  gst_harness_teardown (in);
  gst_harness_teardown (out);
  gst_object_unref (sink);
  gst_object_unref (src);
}

int
main (int argc, char **argv)
{
  static const guint rows[] = { 1, 128, 512, 2048 };
  g_autofree double *hop = g_new (double, N);
  g_autofree double *bare = g_new (double, N);
  guint i, round, n = N / ROUNDS;

  gst_init (&argc, &argv);
  tandem_init ();
  for (i = 0; i < G_N_ELEMENTS (rows); i++) {
    for (round = 0; round < ROUNDS; round++) {
      measure_bare ((gsize) rows[i] * WIDTH * 4, bare + round * n, n);
      measure_hop (rows[i], hop + round * n, n);
    }
    report ("bare socket", rows[i], bare, N);
    report ("hop", rows[i], hop, N);
  }
  {
    g_autofree guint8 *data = g_malloc0 (1 << 16);
    gint64 begin = now_ns ();
    guint32 crc = 0;

    for (i = 0; i < 2000; i++)
      crc = tandem_crc32c (crc, data, 1 << 16);
    g_print ("CRC32C of 64 KiB: %.1f us (%08x)\n", (now_ns () - begin) / 2000 / 1000.0, crc);
  }
  return 0;
}
