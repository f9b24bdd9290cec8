/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Strangers and liars at the port of a node, and keys that do not fit. With TANDEM_TEST_KEY in the
 * environment the node has a cluster key, which they have not. */

#include "node-harness.h"

#include <sys/socket.h>

#define PREAMBLE "TNDMN\1\0\0"
#define N_HOSTILE 1000
/* Where each handshake takes 35 times as long. */
#define N_HOSTILE_SANITIZED 100

static TandemClusterKey *
load_key (const char *name)
{
  g_autofree char *path = keys_make (name, 3600);
  g_autoptr (GError) error = NULL;
  TandemClusterKey *key = tandem_cluster_key_load (path, &error);

  g_assert_no_error (error);
  return key;
}

/* Who has the key is served, though not always at once: the crowd has the same address. */
static TandemNodeClient *
connect_friend (NodeProcess *node)
{
  gint64 end = g_get_monotonic_time () + 60 * G_USEC_PER_SEC;
  g_autoptr (TandemClusterKey) key = node_load_key ();
  g_autoptr (GError) error = NULL;
  TandemNodeClient *client;

  do {
    g_clear_error (&error);
    client = client_try (node->port, key, &error);
  } while (client == NULL && g_get_monotonic_time () < end);
  g_assert_no_error (error);
  return client;
}

static GSocketConnection *
connect_raw (guint port)
{
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  g_autoptr (GError) error = NULL;
  GSocketConnection *connection =
      g_socket_client_connect_to_host (client, "127.0.0.1", port, NULL, &error);

  g_assert_no_error (error);
  return connection;
}

static void
send_raw (GSocketConnection *connection, const void *bytes, gsize size)
{
  /* The node may have had enough already. */
  g_socket_send (g_socket_connection_get_socket (connection), bytes, size, NULL, NULL);
}

static void
send_json (GSocketConnection *connection, const char *text)
{
  guint32 size = GUINT32_TO_LE (strlen (text));

  send_raw (connection, "J", 1);
  send_raw (connection, &size, 4);
  send_raw (connection, text, strlen (text));
}

/* Reads until the node ends the connection. */
static char *
read_to_end (GSocketConnection *connection)
{
  GString *text = g_string_new (NULL);
  char buffer[4096];
  gssize n;

  while ((n = g_socket_receive (g_socket_connection_get_socket (connection), buffer,
                                sizeof buffer, NULL, NULL)) > 0)
    g_string_append_len (text, buffer, n);
  for (n = 0; n < (gssize) text->len; n++)
    if (text->str[n] == '\0')
      text->str[n] = '.';
  return g_string_free (text, FALSE);
}

/* --- 1,000 of them --- */

static guint
get_n_hostile (void)
{
  const char *sanitizer = g_getenv ("TANDEM_SANITIZE");
  guint n = g_strcmp0 (sanitizer, "thread") == 0 ? N_HOSTILE_SANITIZED : N_HOSTILE;

  g_test_message ("%u connections", n);
  return n;
}

static guint
count_files (NodeProcess *node)
{
  g_autofree char *path =
      g_strdup_printf ("/proc/%s/fd", g_subprocess_get_identifier (node->process));
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  guint n = 0;

  g_assert_nonnull (dir);
  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static guint64
get_memory (NodeProcess *node)
{
  g_autofree char *path =
      g_strdup_printf ("/proc/%s/status", g_subprocess_get_identifier (node->process));
  g_autofree char *text = NULL;
  const char *line;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  line = strstr (text, "VmRSS:");
  g_assert_nonnull (line);
  return g_ascii_strtoull (line + strlen ("VmRSS:"), NULL, 10) * 1024;
}

static const struct
{
  const char *bytes;
  gsize size;
} attacks[] = {
#define ATTACK(text) { text, sizeof (text) - 1 }
  ATTACK (""),
  ATTACK ("GET / HTTP/1.1\r\nHost: here\r\n\r\n"),
  ATTACK (PREAMBLE),
  ATTACK ("TND"),
  ATTACK (PREAMBLE "J\377\377\377\377"),
  ATTACK (PREAMBLE "J\0\0\1\0{\"id\":1,\"request\":\""),
  ATTACK (PREAMBLE "D\0\0\20\0xxxxxxxxxxxxxxxx"),
  ATTACK (PREAMBLE "J\21\0\0\0{\"id\":\"1\",\"x\":[]}"),
  ATTACK (PREAMBLE "J\10\0\0\0[[[[[[[["),
  ATTACK ("TNDM\1\0\1\1\170\0\0\0\0\0\0\0"),
  ATTACK ("\26\3\1\2\0\1\0\1\374\3\3"),
  ATTACK ("\26\3\1\0\5\1\0\0\1\0"),
  ATTACK ("\200\200\200\200\200\200\200\200\200\200"),
#undef ATTACK
};

static void
test_crowd (void)
{
  g_autoptr (GPtrArray) held = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (TandemNodeClient) before = NULL, after = NULL;
  g_autoptr (TandemNodeInfo) info = NULL;
  NodeProcess node = { 0 };
  guint files, most = 0, n = get_n_hostile (), i;
  guint64 memory;

  node_start_keyed (&node);
  before = connect_friend (&node);
  files = count_files (&node);
  memory = get_memory (&node);
  for (i = 0; i < n; i++) {
    guint kind = i % G_N_ELEMENTS (attacks);
    GSocketConnection *connection = connect_raw (node.port);

    send_raw (connection, attacks[kind].bytes, attacks[kind].size);
    g_ptr_array_add (held, connection);
    /* Some stay, some leave. */
    if (held->len > 200)
      g_ptr_array_remove_index_fast (held, i % 100);
    if (i % 10 == 0)
      most = MAX (most, count_files (&node));
    while (g_main_context_iteration (NULL, FALSE));
  }
  /* Sixteen at once, what their handshakes take, and one that is just accepted. */
  g_assert_cmpuint (most, <=, files + 64);
  after = connect_friend (&node);
  info = client_describe (after);
  g_assert_cmpuint (info->n_pipelines, ==, 0);
  g_clear_pointer (&info, tandem_node_info_free);
  info = client_describe (before);
  g_assert_cmpuint (get_memory (&node), <=, memory + (32 << 20));
  node_stop (&node);
}

/* --- what liars are told --- */

typedef struct
{
  const char *name;
  const char *messages[4];
  const char *data;             /* (nullable): a data frame behind them */
  const char *answer;
} Lie;

#define DIGEST "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define PING "{\"id\":1,\"request\":\"ping\"}"

/* The last message but for a ping ends with what is answered; then the connection goes on. */
static const Lie lies[] = {
  { "unknown", { "{\"id\":7,\"request\":\"dance\"}" }, NULL, "\"code\":\"unknown\"" },
  { "no-request", { "{\"id\":7}" }, NULL, "request: is missing" },
  { "no-id", { PING, "{\"request\":\"ping\"}" }, NULL, "id: is missing" },
  { "negative-id", { "{\"id\":-1,\"request\":\"ping\"}" }, NULL, "\"event\":\"refused\"" },
  { "data-unasked", { PING }, "x", "data came that nobody asked for" },
  { "path", { "{\"id\":7,\"request\":\"put\",\"digest\":\"../../../../etc/passwd\",\"size\":5}" },
    NULL, "is not a SHA-256" },
  { "build-path", { "{\"id\":7,\"request\":\"build\",\"digest\":\"../../stage\"}" }, NULL,
    "is not a SHA-256" },
  { "size-0", { "{\"id\":7,\"request\":\"put\",\"digest\":\"" DIGEST "\",\"size\":0}" }, NULL,
    "request: size: " },
  { "size-huge",
    { "{\"id\":7,\"request\":\"put\",\"digest\":\"" DIGEST "\",\"size\":9007199254740991}" }, NULL,
    "\"code\":\"no-space\"" },
  { "size-text", { "{\"id\":7,\"request\":\"put\",\"digest\":\"" DIGEST "\",\"size\":\"5\"}" },
    NULL, "is no whole number" },
  { "too-much",
    { "{\"id\":7,\"request\":\"put\",\"digest\":\"" DIGEST "\",\"size\":3}", "wait:continue" },
    "12345", "\"code\":\"invalid\"" },
  { "wrong-content",
    { "{\"id\":7,\"request\":\"put\",\"digest\":\"" DIGEST "\",\"size\":5}", "wait:continue" },
    "12345", "\"code\":\"corrupt\"" },
  { "absent", { "{\"id\":7,\"request\":\"build\",\"digest\":\"" DIGEST "\"}" }, NULL,
    "\"code\":\"not-found\"" },
  { "stop-nothing", { "{\"id\":7,\"request\":\"stop\",\"stage\":1}" }, NULL,
    "\"code\":\"not-found\"" },
  { "receive-too-much", { "{\"id\":7,\"request\":\"receive\",\"bytes\":67108865}" }, NULL,
    "request: bytes: " },
  { "receive-nothing", { "{\"id\":7,\"request\":\"receive\",\"bytes\":0}" }, NULL,
    "request: bytes: " },
  { "receive-more",
    { "{\"id\":7,\"request\":\"receive\",\"bytes\":3}", "wait:continue" }, "12345",
    "\"code\":\"invalid\"" },
  { "receive-twice",
    { "{\"id\":7,\"request\":\"receive\",\"bytes\":3}",
      "{\"id\":8,\"request\":\"receive\",\"bytes\":3}" }, NULL, "\"code\":\"busy\"" },
  { "receive-and-put",
    { "{\"id\":7,\"request\":\"receive\",\"bytes\":3}",
      "{\"id\":8,\"request\":\"put\",\"digest\":\"" DIGEST "\",\"size\":3}" }, NULL,
    "\"code\":\"busy\"" },
  { "send-too-much", { "{\"id\":7,\"request\":\"send\",\"bytes\":9007199254740991}" }, NULL,
    "request: bytes: " },
  { "measure-no-host", { "{\"id\":7,\"request\":\"measure\",\"port\":10301}" }, NULL,
    "request: host: " },
  { "measure-command",
    { "{\"id\":7,\"request\":\"measure\",\"host\":\"a;b\",\"port\":10301}" }, NULL,
    "is no name or address" },
  { "measure-port", { "{\"id\":7,\"request\":\"measure\",\"host\":\"127.0.0.1\",\"port\":0}" },
    NULL, "request: port: " },
  { "reach-port", { "{\"id\":7,\"request\":\"reach\",\"port\":65536}" }, NULL,
    "request: port: " },
  { "format",
    { "{\"id\":7,\"request\":\"build\",\"digest\":\"" DIGEST "\",\"format\":\"q4\"}" }, NULL,
    "\"code\":\"not-found\"" },
  { "config", { "{\"id\":7,\"request\":\"profile\",\"config\":\"{}\"}" }, NULL,
    "\"code\":\"model\"" },
  { "config-object", { "{\"id\":7,\"request\":\"profile\",\"config\":{}}" }, NULL,
    "request: config: " },
  { "weights",
    { "{\"id\":7,\"request\":\"profile\",\"config\":\"{}\",\"weights\":\"int4\"}" }, NULL,
    "request: weights: " },
  { "weights-number",
    { "{\"id\":7,\"request\":\"profile\",\"config\":\"{}\",\"weights\":8}" }, NULL,
    "request: weights: " },
  { "activations",
    { "{\"id\":7,\"request\":\"profile\",\"config\":\"{}\",\"weights\":\"int8\","
      "\"activations\":\"\"}" }, NULL, "request: activations: " },
  { "activations-alone",
    { "{\"id\":7,\"request\":\"profile\",\"config\":\"{}\",\"activations\":\"int8\"}" }, NULL,
    "and weights are not" },
  { "huge-model",
    { "{\"id\":7,\"request\":\"profile\",\"config\":\"{\\\"model_type\\\":\\\"bert\\\","
      "\\\"num_hidden_layers\\\":24,\\\"hidden_size\\\":65536,\\\"num_attention_heads\\\":64,"
      "\\\"intermediate_size\\\":65536,\\\"vocab_size\\\":1000000,\\\"hidden_act\\\":\\\"gelu\\\","
      "\\\"max_position_embeddings\\\":512}\"}" }, NULL, "\"code\":\"memory\"" },
  { "threads",
    { "{\"id\":7,\"request\":\"profile\",\"config\":\"{}\",\"threads\":100000}" }, NULL,
    "request: threads: " },
};

/* Reads until `part` has come. */
static void
read_until (GSocketConnection *connection, const char *part)
{
  g_autoptr (GString) text = g_string_new (NULL);
  char buffer[4096];

  while (strstr (text->str, part) == NULL) {
    gssize n = g_socket_receive (g_socket_connection_get_socket (connection), buffer,
                                 sizeof buffer, NULL, NULL), i;

    if (n <= 0)
      g_error ("the node ended before \"%s\": %s", part, text->str);
    for (i = 0; i < n; i++)
      g_string_append_c (text, buffer[i] != '\0' ? buffer[i] : '.');
  }
}

static void
test_lie (gconstpointer data)
{
  const Lie *lie = data;
  g_autoptr (GSocketConnection) connection = NULL;
  g_autoptr (TandemNodeClient) friend = NULL;
  NodeProcess node = { 0 };
  guint i;

  node_start_keyed (&node);
  connection = connect_raw (node.port);
  send_raw (connection, PREAMBLE, sizeof PREAMBLE - 1);
  for (i = 0; i < G_N_ELEMENTS (lie->messages) && lie->messages[i] != NULL; i++) {
    if (g_str_has_prefix (lie->messages[i], "wait:"))
      read_until (connection, lie->messages[i] + strlen ("wait:"));
    else
      send_json (connection, lie->messages[i]);
  }
  if (lie->data != NULL) {
    guint32 size = GUINT32_TO_LE (strlen (lie->data));

    send_raw (connection, "D", 1);
    send_raw (connection, &size, 4);
    send_raw (connection, lie->data, strlen (lie->data));
  }
  read_until (connection, lie->answer);
  friend = connect_friend (&node);
  node_stop (&node);
}

/* --- keys --- */

typedef struct
{
  const char *name, *node, *client;     /* "" for no key, or the name of one */
  int code;                     /* of TandemNetError */
  const char *says;
} Keys;

static const Keys keys[] = {
  { "same", "home", "home", -1, NULL },
  { "other", "home", "office", TANDEM_NET_ERROR_KEY, "\"home\"" },
  { "client-has-none", "home", "", TANDEM_NET_ERROR_INSECURE, "cluster key" },
  { "node-has-none", "", "home", TANDEM_NET_ERROR_INSECURE, "does not protect" },
};

static void
test_keys (gconstpointer data)
{
  const Keys *k = data;
  g_autofree char *path = k->node[0] != '\0' ? keys_make (k->node, 3600) : NULL;
  g_autoptr (TandemClusterKey) key = k->client[0] != '\0' ? load_key (k->client) : NULL;
  g_autoptr (TandemNodeClient) client = NULL;
  g_autoptr (GError) error = NULL;
  NodeProcess node = { 0 };

  if (path != NULL)
    node_start_with (&node, NULL, "--address=127.0.0.1", "--key", path, NULL);
  else
    node_start_with (&node, NULL, NULL);
  client = client_try (node.port, key, &error);
  if (k->code < 0) {
    g_autoptr (TandemNodeInfo) info = NULL;

    g_assert_no_error (error);
    info = client_describe (client);
  } else {
    g_assert_error (error, TANDEM_NET_ERROR, k->code);
    if (strstr (error->message, k->says) == NULL)
      g_error ("\"%s\" does not contain \"%s\"", error->message, k->says);
  }
  node_stop (&node);
}

/* Strangers see nothing of the protocol but the sentence that a key is needed. */
static void
test_stranger_learns_nothing (void)
{
  g_autofree char *path = keys_make ("home", 3600), *text = NULL;
  g_autoptr (GSocketConnection) connection = NULL;
  NodeProcess node = { 0 };

  node_start_with (&node, NULL, "--address=127.0.0.1", "--key", path, "--name=secret", NULL);
  connection = connect_raw (node.port);
  send_raw (connection, PREAMBLE, sizeof PREAMBLE - 1);
  send_json (connection, "{\"id\":1,\"request\":\"describe\"}");
  text = read_to_end (connection);
  g_assert_nonnull (strstr (text, "\"code\":\"insecure\""));
  g_assert_null (strstr (text, "secret"));
  g_assert_null (strstr (text, "reply"));
  node_stop (&node);
}

/* Without a key nobody listens where others reach it. */
static void
test_no_key (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL, *folder = tandem_test_make_folder ();
  g_autoptr (GSubprocess) process =
      g_subprocess_new (G_SUBPROCESS_FLAGS_STDERR_PIPE, &error, g_getenv ("TANDEM_TEST_TOOL"),
                        "node", "--address=0.0.0.0", "--port=0", "--cache", folder, NULL);

  g_assert_no_error (error);
  g_subprocess_communicate_utf8 (process, NULL, NULL, NULL, &text, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_subprocess_get_exit_status (process), ==, 1);
  g_assert_nonnull (strstr (text, "tandem key new"));
  tandem_test_remove_folder (g_steal_pointer (&folder));
}

int
main (int argc, char **argv)
{
  guint i;

  g_test_init (&argc, &argv, NULL);
  gst_init (NULL, NULL);
  tandem_init ();
  g_test_add_func ("/node/hostile/crowd", test_crowd);
  if (g_getenv ("TANDEM_TEST_KEY") != NULL) {
    g_test_add_func ("/node/hostile/stranger", test_stranger_learns_nothing);
    g_test_add_func ("/node/hostile/no-key", test_no_key);
    for (i = 0; i < G_N_ELEMENTS (keys); i++) {
      g_autofree char *path = g_strconcat ("/node/hostile/keys/", keys[i].name, NULL);

      g_test_add_data_func (path, &keys[i], test_keys);
    }
    return g_test_run ();
  }
  for (i = 0; i < G_N_ELEMENTS (lies); i++) {
    g_autofree char *path = g_strconcat ("/node/hostile/lies/", lies[i].name, NULL);

    g_test_add_data_func (path, &lies[i], test_lie);
  }
  return g_test_run ();
}
