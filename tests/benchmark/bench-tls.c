/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a cluster key costs on loopback: a stream over tcpactsink and tcpactsrc in clear and with
 * TLS, in turn in one run. Throughput of many micro-batches in flight, and the time of a hop with one
 * at a time; what counts are the ratios. Both sides encrypt, or decrypt, in this process: with one
 * core they share it. */

#include "../element/key-harness.h"

#include <gst/check/gstharness.h>
#include <stdlib.h>

#define WIDTH 128
#define ROUNDS 6
#define WARM 50
#define HOPS 300
#define STREAM_BYTES (64 * 1024 * 1024)
#define FINGERPRINT "3f2a1b0c0123456789abcdef0123456789abcdef0123456789abcdef01234567"

typedef struct
{
  GstElement *src, *sink;
  GstHarness *in, *out;
  GMutex lock;
  GCond cond;
  guint n_settled;
  gint64 arrived;               /* monotonic; written before the receipt is completed */
} Hop;

static GstPadProbeReturn
arrive (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  Hop *hop = data;

  hop->arrived = g_get_monotonic_time ();
  tandem_batch_meta_complete (
      tandem_buffer_get_batch_meta (GST_PAD_PROBE_INFO_BUFFER (info)));
  return GST_PAD_PROBE_DROP;
}

static void
settled (gboolean completed, gpointer data)
{
  Hop *hop = data;

  g_assert_true (completed);
  g_mutex_lock (&hop->lock);
  hop->n_settled++;
  g_cond_signal (&hop->cond);
  g_mutex_unlock (&hop->lock);
}

static void
hop_open (Hop *hop, const char *key)
{
  guint port;

  memset (hop, 0, sizeof *hop);
  g_mutex_init (&hop->lock);
  g_cond_init (&hop->cond);
  hop->src = gst_element_factory_make ("tcpactsrc", NULL);
  hop->sink = gst_element_factory_make ("tcpactsink", NULL);
  g_object_set (hop->src, "port", 0, "key", key, NULL);
  hop->out = gst_harness_new_with_element (hop->src, NULL, "src");
  gst_pad_add_probe (hop->out->sinkpad, GST_PAD_PROBE_TYPE_BUFFER, arrive, hop, NULL);
  gst_harness_play (hop->out);
  g_object_get (hop->src, "current-port", &port, NULL);
  g_object_set (hop->sink, "host", "127.0.0.1", "port", port, "key", key, NULL);
  hop->in = gst_harness_new_with_element (hop->sink, "sink", NULL);
  gst_harness_set_src_caps (hop->in, gst_caps_from_string (
      TANDEM_CAPS_ACTIVATIONS ",model=" FINGERPRINT ",layer=1,width=128,format=F32LE"));
}

static void
hop_close (Hop *hop)
{
  gst_harness_teardown (hop->in);
  gst_harness_teardown (hop->out);
  gst_object_unref (hop->sink);
  gst_object_unref (hop->src);
  g_mutex_clear (&hop->lock);
  g_cond_clear (&hop->cond);
}

static void
push (Hop *hop, guint rows)
{
  const guint32 offsets[] = { 0, rows };
  GstBuffer *buffer = gst_buffer_new_allocate (NULL, (gsize) rows * WIDTH * 4, NULL);
  TandemReceipt *receipt = tandem_receipt_new (settled, hop, NULL);

  gst_buffer_memset (buffer, 0, rows, (gsize) rows * WIDTH * 4);
  tandem_batch_meta_add_receipt (
      tandem_buffer_add_batch_meta (buffer, 1, offsets, NULL, NULL), receipt);
  tandem_receipt_unref (receipt);
  g_assert_cmpint (gst_harness_push (hop->in, buffer), ==, GST_FLOW_OK);
}

static void
wait_settled (Hop *hop, guint n)
{
  g_mutex_lock (&hop->lock);
  while (hop->n_settled < n)
    g_cond_wait (&hop->cond, &hop->lock);
  g_mutex_unlock (&hop->lock);
}

/* Microseconds of each hop, one at a time. */
static void
measure_latency (const char *key, guint rows, double *us)
{
  Hop hop;
  guint i;

  hop_open (&hop, key);
  for (i = 0; i < WARM + HOPS; i++) {
    gint64 begin = g_get_monotonic_time ();

    push (&hop, rows);
    wait_settled (&hop, i + 1);
    if (i >= WARM)
      us[i - WARM] = hop.arrived - begin;
  }
  hop_close (&hop);
}

/* Seconds for many in flight. */
static double
measure_throughput (const char *key, guint rows)
{
  guint i, n = STREAM_BYTES / (rows * WIDTH * 4);
  gint64 begin;
  double seconds;
  Hop hop;

  hop_open (&hop, key);
  for (i = 0; i < WARM; i++)
    push (&hop, rows);
  wait_settled (&hop, WARM);
  begin = g_get_monotonic_time ();
  for (i = 0; i < n; i++)
    push (&hop, rows);
  wait_settled (&hop, WARM + n);
  seconds = (g_get_monotonic_time () - begin) / 1e6;
  hop_close (&hop);
  return seconds;
}

/* Until the first micro-batch is acknowledged: connection, handshake, HELLO. */
static double
measure_begin (const char *key)
{
  gint64 begin;
  double ms;
  Hop hop;

  begin = g_get_monotonic_time ();
  hop_open (&hop, key);
  push (&hop, 1);
  wait_settled (&hop, 1);
  ms = (g_get_monotonic_time () - begin) / 1e3;
  hop_close (&hop);
  return ms;
}

static int
compare (gconstpointer a, gconstpointer b)
{
  double x = *(const double *) a, y = *(const double *) b;

  return x < y ? -1 : x > y;
}

static double
median (double *values, guint n)
{
  qsort (values, n, sizeof *values, compare);
  return values[n / 2];
}

int
main (int argc, char **argv)
{
  static const guint rows[] = { 1, 128, 512, 2048 };
  g_autofree char *path = keys_make ("home", 3600);
  const char *keys[] = { NULL, path };
  g_autofree double *us = g_new (double, 2 * ROUNDS * HOPS);
  double values[2][ROUNDS];
  guint i, k, round;

  gst_init (&argc, &argv);
  tandem_init ();
  for (i = 0; i < G_N_ELEMENTS (rows); i++) {
    double plain, tls;

    for (round = 0; round < ROUNDS; round++)
      for (k = 0; k < 2; k++)
        measure_latency (keys[k], rows[i], us + (k * ROUNDS + round) * HOPS);
    plain = median (us, ROUNDS * HOPS);
    tls = median (us + ROUNDS * HOPS, ROUNDS * HOPS);
    g_print ("hop of %7u bytes: plain %7.1f us, TLS %7.1f us, %+7.1f us, ratio %.2f\n",
             rows[i] * WIDTH * 4, plain, tls, tls - plain, tls / plain);
  }
  for (i = 1; i < G_N_ELEMENTS (rows); i++) {
    double plain, tls;

    for (round = 0; round < ROUNDS; round++)
      for (k = 0; k < 2; k++)
        values[k][round] = STREAM_BYTES / 1e6 / measure_throughput (keys[k], rows[i]);
    plain = median (values[0], ROUNDS);
    tls = median (values[1], ROUNDS);
    g_print ("stream of %7u bytes each: plain %6.0f MB/s, TLS %6.0f MB/s, ratio %.2f\n",
             rows[i] * WIDTH * 4, plain, tls, tls / plain);
  }
  for (round = 0; round < ROUNDS; round++)
    for (k = 0; k < 2; k++)
      values[k][round] = measure_begin (keys[k]);
  g_print ("until the first acknowledgement: plain %.1f ms, TLS %.1f ms\n",
           median (values[0], ROUNDS), median (values[1], ROUNDS));
  return 0;
}
