/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Peers that mean no good, or nothing at all, against a listening tcpactsrc. After each of them
 * a proper client is served. */

#include "net-harness.h"
#include "stranger-harness.h"

#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

/* The ERROR frame at the end of what the peer said. */
static GError *
last_error (GByteArray *bytes)
{
  const TandemFrameLimits limits = { 4096, 0, 1 };
  g_autoptr (TandemFrameDecoder) decoder = tandem_frame_decoder_new (&limits);
  GError *told = NULL;
  gsize done = 0;

  while (done < bytes->len) {
    g_autoptr (GError) error = NULL;
    gsize space, n;
    guint8 *to = tandem_frame_decoder_get_space (decoder, &space);

    n = MIN (space, bytes->len - done);
    memcpy (to, bytes->data + done, n);
    done += n;
    if (tandem_frame_decoder_advance (decoder, n, &error) == TANDEM_DECODE_FRAME &&
        tandem_frame_decoder_get_frame (decoder)->type == TANDEM_FRAME_ERROR) {
      g_clear_error (&told);
      told = tandem_frame_parse_error (tandem_frame_decoder_get_frame (decoder));
    }
    g_assert_no_error (error);
  }
  return told;
}

static void
append_hello (GByteArray *out, guint8 id)
{
  TandemHello hello = { .role = TANDEM_ROLE_SENDER, .kind = TANDEM_FRAME_ANY_KIND };

  hello.max_payload = 1 << 20;
  hello.max_sequences = 100;
  hello.resume = 1;
  memset (hello.stream_id, id, sizeof hello.stream_id);
  tandem_frame_append_hello (out, &hello);
}

static void
append_caps (GByteArray *out)
{
  g_autoptr (GstCaps) caps = activation_caps (2);
  g_auto (TandemStreamInfo) info = { 0 };

  tandem_stream_info_from_caps (&info, caps, NULL);
  tandem_frame_append_caps (out, &info);
}

static void
append_buffer (GByteArray *out, guint64 sequence, guint rows)
{
  g_autoptr (GstCaps) caps = activation_caps (2);
  g_auto (TandemStreamInfo) info = { 0 };
  g_autoptr (GstBuffer) buffer = numbered_buffer (sequence, rows);
  g_autoptr (GError) error = NULL;
  GOutputVector vector;
  GstMapInfo map;

  tandem_stream_info_from_caps (&info, caps, NULL);
  gst_buffer_map (buffer, &map, GST_MAP_READ);
  vector.buffer = map.data;
  vector.size = map.size;
  tandem_frame_append_buffer (out, sequence, &info, buffer, &vector, 1, &error);
  g_assert_no_error (error);
  g_byte_array_append (out, map.data, map.size);
  gst_buffer_unmap (buffer, &map);
}

static void
seal (GByteArray *bytes, guint start)
{
  guint32 crc = GUINT32_TO_LE (tandem_crc32c (0, bytes->data + start, 36));

  memcpy (bytes->data + start + 36, &crc, 4);
}

static void
hostile_src_new (Side *src)
{
  src_make (src);
  g_object_set (src->element, "handshake-timeout", 400, "timeout", 400, "max-payload", 100000,
                NULL);
  gst_harness_play (src->harness);
}

/* The pipeline goes on as if nothing had been, and a proper client still ends it. */
static void
then_serve (Side *src)
{
  Side sink;

  assert_no_message (src, GST_MESSAGE_ERROR);
  sink_new (&sink, side_port (src));
  run_stream (src, &sink, 0, 5);
  WAIT_UNTIL (GST_PAD_IS_EOS (src->harness->sinkpad));
  assert_no_message (src, GST_MESSAGE_ERROR);
  side_clear (&sink);
  side_clear (src);
}

static void
test_http (void)
{
  Side src;
  g_autoptr (GSocket) socket = NULL;
  g_autoptr (GByteArray) heard = NULL;

  hostile_src_new (&src);
  socket = stranger_connect (NULL, side_port (&src));
  stranger_send (socket, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
  heard = stranger_read_all (socket);
  g_assert_cmpuint (heard->len, ==, 0);
  then_serve (&src);
}

static void
test_other_version (void)
{
  Side src;
  g_autoptr (GSocket) socket = NULL;
  g_autoptr (GByteArray) heard = NULL, hello = g_byte_array_new ();
  g_autoptr (GError) told = NULL;

  hostile_src_new (&src);
  socket = stranger_connect (NULL, side_port (&src));
  append_hello (hello, 1);
  hello->data[4] = 2;
  seal (hello, 0);
  stranger_send (socket, hello->data, hello->len);
  heard = stranger_read_all (socket);
  told = last_error (heard);
  g_assert_error (told, TANDEM_NET_ERROR, TANDEM_NET_ERROR_VERSION);
  assert_contains (told->message, "version 1 of the wire format; you sent version 2");
  then_serve (&src);
}

/* HELLO byte by byte is fine when it comes in time. */
static void
test_byte_at_a_time (void)
{
  Side src;
  g_autoptr (GSocket) socket = NULL;
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  guint i;

  hostile_src_new (&src);
  socket = stranger_connect (NULL, side_port (&src));
  g_socket_set_option (socket, 6, 1, 1, NULL);
  append_hello (bytes, 1);
  append_caps (bytes);
  append_buffer (bytes, 1, 2);
  tandem_frame_append_eos (bytes, 2);
  for (i = 0; i < bytes->len; i++)
    g_assert_cmpuint (stranger_send (socket, bytes->data + i, 1), ==, 1);
  consume (gst_harness_pull (src.harness));
  WAIT_UNTIL (GST_PAD_IS_EOS (src.harness->sinkpad));
  assert_no_message (&src, GST_MESSAGE_ERROR);
  g_clear_object (&socket);
  side_clear (&src);
}

/* Too slow, or silent: out, while others are answered. */
static void
test_slow_hello (void)
{
  Side src, sink;
  g_autoptr (GSocket) silent = NULL, slow = NULL;
  g_autoptr (GByteArray) hello = g_byte_array_new (), heard = NULL, nothing = NULL;
  gint64 begin;
  guint i;

  hostile_src_new (&src);
  silent = stranger_connect (NULL, side_port (&src));
  slow = stranger_connect (NULL, side_port (&src));
  append_hello (hello, 1);
  begin = g_get_monotonic_time ();
  for (i = 0; i < 100 && stranger_send (slow, hello->data + i, 1) == 1; i++)
    g_usleep (10 * 1000);
  g_assert_cmpuint (i, <, 100);
  heard = stranger_read_all (slow);
  nothing = stranger_read_all (silent);
  g_assert_cmpuint (nothing->len, ==, 0);
  g_assert_cmpint (g_get_monotonic_time () - begin, <, 3 * G_USEC_PER_SEC);

  g_clear_object (&silent);
  silent = stranger_connect (NULL, side_port (&src));
  begin = g_get_monotonic_time ();
  sink_new (&sink, side_port (&src));
  gst_harness_push (sink.harness, numbered_buffer (0, 3));
  consume (gst_harness_pull (src.harness));
  g_assert_cmpint (g_get_monotonic_time () - begin, <, 350 * 1000);
  run_stream (&src, &sink, 1, 2);
  side_clear (&sink);
  side_clear (&src);
}

static void
test_crowd (void)
{
  Side src;
  GSocket *sockets[200];
  guint i;

  hostile_src_new (&src);
  for (i = 0; i < G_N_ELEMENTS (sockets); i++)
    sockets[i] = stranger_connect (NULL, side_port (&src));
  WAIT_UNTIL (count_entries ("/proc/self/fd") < G_N_ELEMENTS (sockets) + 60);
  for (i = 0; i < G_N_ELEMENTS (sockets); i++)
    g_object_unref (sockets[i]);
  then_serve (&src);
}

static void
test_flood (void)
{
  Side src;
  g_autoptr (GSocket) socket = NULL;
  g_autofree guint8 *data = g_malloc (1 << 20);
  struct rusage before, after;
  guint i;

  hostile_src_new (&src);
  memset (data, 'x', 1 << 20);
  getrusage (RUSAGE_SELF, &before);
  socket = stranger_connect (NULL, side_port (&src));
  for (i = 0; i < 64 && stranger_send (socket, data, 1 << 20) == 1 << 20; i++);
  g_assert_cmpuint (i, <, 64);
  getrusage (RUSAGE_SELF, &after);
  g_assert_cmpint (after.ru_maxrss - before.ru_maxrss, <, 16 * 1024);
  then_serve (&src);
}

/* Reads its refusal only when it likes, and goes on sending. */
static void
test_flood_after_refusal (void)
{
  Side src;
  g_autoptr (GSocket) socket = NULL;
  g_autofree guint8 *data = g_malloc0 (1 << 20);
  g_autoptr (GByteArray) hello = g_byte_array_new ();
  gint64 end = g_get_monotonic_time () + 5 * G_USEC_PER_SEC;

  hostile_src_new (&src);
  socket = stranger_connect (NULL, side_port (&src));
  append_hello (hello, 1);
  hello->data[4] = 9;
  stranger_send (socket, hello->data, hello->len);
  while (stranger_send (socket, data, 1 << 20) == 1 << 20)
    g_assert_cmpint (g_get_monotonic_time (), <, end);
  then_serve (&src);
}

/* Lengths that are not true, each sealed with a true checksum. */
static void
test_lies (void)
{
  static const struct
  {
    gsize offset;
    guint32 value;
    guint before;               /* 0: in HELLO, 1: in the first BUFFER */
  } lies[] = {
    { 8, 0xffffffff, 0 }, { 12, 0xffffffff, 0 }, { 8, 5000, 0 }, { 12, 1, 0 }, { 8, 4, 0 },
    { 8, 0xffffffff, 1 }, { 12, 0xffffffff, 1 }, { 12, 100001, 1 }, { 12, 100000, 1 },
    { 12, 33, 1 }, { 8, 40, 1 }, { 16, 7, 1 }, { 24, 77, 1 }, { 24, 0, 1 },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (lies); i++) {
    Side src;
    g_autoptr (GSocket) socket = NULL;
    g_autoptr (GByteArray) bytes = g_byte_array_new (), heard = NULL;
    g_autoptr (GError) told = NULL;
    guint32 value = GUINT32_TO_LE (lies[i].value);
    guint start = 0;

    hostile_src_new (&src);
    socket = stranger_connect (NULL, side_port (&src));
    append_hello (bytes, 1);
    if (lies[i].before == 1) {
      append_caps (bytes);
      start = bytes->len;
      append_buffer (bytes, 1, 2);
    }
    memcpy (bytes->data + start + lies[i].offset, &value, 4);
    seal (bytes, start);
    stranger_send (socket, bytes->data, bytes->len);
    shutdown (g_socket_get_fd (socket), SHUT_WR);
    heard = stranger_read_all (socket);
    told = last_error (heard);
    g_test_message ("lie %u: %s", i, told != NULL ? told->message : "no answer");
    g_assert_cmpuint (gst_harness_buffers_received (src.harness), ==, 0);
    then_serve (&src);
  }
}

/* The begin of a proper stream, cut after every byte. */
static void
test_cut_anywhere (void)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  Side src;
  gsize whole, n;

  append_hello (bytes, 1);
  append_caps (bytes);
  whole = bytes->len;
  append_buffer (bytes, 1, 2);
  hostile_src_new (&src);
  for (n = 0; n < bytes->len; n += n < whole ? 7 : 3) {
    g_autoptr (GSocket) socket = stranger_connect (NULL, side_port (&src));

    stranger_send (socket, bytes->data, n);
  }
  then_serve (&src);
}

/* Stops in the middle of a frame and stays: it is given up and the next one is served. */
static void
test_stops_in_mid_frame (void)
{
  Side src;
  g_autoptr (GSocket) socket = NULL;
  g_autoptr (GByteArray) bytes = g_byte_array_new (), heard = NULL;

  hostile_src_new (&src);
  socket = stranger_connect (NULL, side_port (&src));
  append_hello (bytes, 1);
  append_caps (bytes);
  append_buffer (bytes, 1, 2);
  stranger_send (socket, bytes->data, bytes->len - 5);
  heard = stranger_read_all (socket);
  g_assert_cmpuint (heard->len, >, 0);
  then_serve (&src);
}

/* Sends more than its credit. */
static void
test_beyond_credit (void)
{
  Side src;
  g_autoptr (GSocket) socket = NULL;
  g_autoptr (GByteArray) bytes = g_byte_array_new (), heard = NULL;
  g_autoptr (GError) told = NULL;
  g_autofree char *text = NULL;
  guint i;

  src_make (&src);
  g_object_set (src.element, "window", 4, "timeout", 300, NULL);
  gst_harness_play (src.harness);
  socket = stranger_connect (NULL, side_port (&src));
  append_hello (bytes, 1);
  append_caps (bytes);
  for (i = 1; i <= 6; i++)
    append_buffer (bytes, i, 2);
  stranger_send (socket, bytes->data, bytes->len);
  heard = stranger_read_all (socket);
  told = last_error (heard);
  g_assert_error (told, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL);
  g_assert_cmpuint (gst_harness_buffers_received (src.harness), ==, 4);
  /* It had begun a stream: this one is lost, and that is said. */
  text = wait_message (&src, GST_MESSAGE_ERROR);
  assert_contains (text, "did not come back");
  side_clear (&src);
}

/* Duplicates are acknowledged and forgotten, whoever sends them. */
static void
test_duplicates (void)
{
  Side src;
  g_autoptr (GSocket) socket = NULL;
  g_autoptr (GByteArray) bytes = g_byte_array_new ();

  hostile_src_new (&src);
  socket = stranger_connect (NULL, side_port (&src));
  append_hello (bytes, 1);
  append_caps (bytes);
  append_buffer (bytes, 1, 2);
  append_buffer (bytes, 1, 2);
  append_buffer (bytes, 2, 2);
  append_buffer (bytes, 1, 2);
  append_buffer (bytes, 2, 2);
  tandem_frame_append_eos (bytes, 3);
  stranger_send (socket, bytes->data, bytes->len);
  consume (gst_harness_pull (src.harness));
  consume (gst_harness_pull (src.harness));
  WAIT_UNTIL (GST_PAD_IS_EOS (src.harness->sinkpad));
  g_assert_null (gst_harness_try_pull (src.harness));
  g_clear_object (&socket);
  side_clear (&src);
}

/* A tcpactsink that finds something else behind the port says what it found. */
static gpointer
serve_http (gpointer data)
{
  GSocket *listener = data;
  g_autoptr (GSocket) socket = g_socket_accept (listener, NULL, NULL);

  stranger_send (socket, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
  g_usleep (50 * 1000);
  return NULL;
}

static void
test_sink_meets_http (void)
{
  Side sink;
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new_from_string ("127.0.0.1", 0);
  g_autoptr (GSocketAddress) bound = NULL;
  g_autoptr (GSocket) listener =
      g_socket_new (G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, NULL);
  g_autofree char *text = NULL;
  GThread *thread;

  g_socket_bind (listener, address, TRUE, NULL);
  g_socket_listen (listener, NULL);
  bound = g_socket_get_local_address (listener, NULL);
  thread = g_thread_new ("http", serve_http, listener);
  sink_new (&sink, g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (bound)));
  text = wait_message (&sink, GST_MESSAGE_ERROR);
  assert_contains (text, "HTTP/1.1");
  g_thread_join (thread);
  side_clear (&sink);
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  gst_init (&argc, &argv);
  tandem_init ();
  g_test_add_func ("/net/hostile/http", test_http);
  g_test_add_func ("/net/hostile/other-version", test_other_version);
  g_test_add_func ("/net/hostile/byte-at-a-time", test_byte_at_a_time);
  g_test_add_func ("/net/hostile/slow-hello", test_slow_hello);
  g_test_add_func ("/net/hostile/crowd", test_crowd);
  g_test_add_func ("/net/hostile/flood", test_flood);
  g_test_add_func ("/net/hostile/flood-after-refusal", test_flood_after_refusal);
  g_test_add_func ("/net/hostile/lies", test_lies);
  g_test_add_func ("/net/hostile/cut-anywhere", test_cut_anywhere);
  g_test_add_func ("/net/hostile/stops-in-mid-frame", test_stops_in_mid_frame);
  g_test_add_func ("/net/hostile/beyond-credit", test_beyond_credit);
  g_test_add_func ("/net/hostile/duplicates", test_duplicates);
  g_test_add_func ("/net/hostile/sink-meets-http", test_sink_meets_http);
  status = g_test_run ();
  gst_deinit ();
  return status;
}
