/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* `tandem doctor` about real nodes and about others. What it says of the network depends on the
 * machine and is not looked at; tests/lan does. */

#include "fake-node.h"
#include "node-harness.h"

#define DEVICE "00112233445566778899aabbccddeeff"

typedef struct
{
  JsonParser *parser;
  JsonArray *findings;
  guint n_problems;             /* of the areas "node" and "key" */
  int status;
} Report;

static void
report_clear (Report *report)
{
  g_object_unref (report->parser);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Report, report_clear)

static void
examine (Report *report, const char *key, const char *format, ...)
{
  g_autoptr (GSubprocess) process = NULL;
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *nodes = NULL, *text = NULL;
  va_list args;
  guint i;

  va_start (args, format);
  nodes = g_strdup_vprintf (format, args);
  va_end (args);
  process = g_subprocess_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error,
                              g_getenv ("TANDEM_TEST_TOOL"), "doctor", "--json", "--nodes", nodes,
                              key != NULL ? "--key" : "--insecure", key, NULL);
  g_assert_no_error (error);
  /* Fake nodes accept in our main loop. */
  g_subprocess_communicate_utf8_async (process, NULL, NULL, on_result, &result);
  g_subprocess_communicate_utf8_finish (process, wait_result (&result), &text, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_subprocess_get_if_exited (process));
  report->status = g_subprocess_get_exit_status (process);
  report->parser = json_parser_new ();
  json_parser_load_from_data (report->parser, text, -1, &error);
  g_assert_no_error (error);
  report->findings = json_object_get_array_member (
      json_node_get_object (json_parser_get_root (report->parser)), "findings");
  report->n_problems = 0;
  for (i = 0; i < json_array_get_length (report->findings); i++) {
    JsonObject *finding = json_array_get_object_element (report->findings, i);
    const char *area = json_object_get_string_member (finding, "area");

    if (g_str_equal (json_object_get_string_member (finding, "level"), "problem")) {
      g_assert_true (json_object_has_member (finding, "advice"));
      report->n_problems += g_str_equal (area, "node") || g_str_equal (area, "key");
      g_assert_cmpint (report->status, ==, 1);
    }
  }
}

/* Returns the first finding of this level and area that says `part`; NULL: there is none. */
static JsonObject *
find (const Report *report, const char *area, const char *level, const char *part)
{
  guint i;

  for (i = 0; i < json_array_get_length (report->findings); i++) {
    JsonObject *finding = json_array_get_object_element (report->findings, i);

    if (g_str_equal (json_object_get_string_member (finding, "area"), area) &&
        g_str_equal (json_object_get_string_member (finding, "level"), level) &&
        strstr (json_object_get_string_member (finding, "text"), part) != NULL)
      return finding;
  }
  return NULL;
}

static void
test_well (void)
{
  g_autofree char *path = keys_make ("home", 3600 * 24 * 100);
  g_auto (Report) report = { NULL };
  NodeProcess one = { 0 }, two = { 0 };
  JsonObject *finding;

  node_start_with (&one, NULL, "--address=127.0.0.1", "--key", path, "--name=attic",
                   "--memory=1G", NULL);
  node_start_with (&two, NULL, "--address=127.0.0.1", "--key", path, "--name=cellar",
                   "--memory=1G", NULL);
  examine (&report, path, "127.0.0.1:%u,127.0.0.1:%u", one.port, two.port);
  g_assert_cmpuint (report.n_problems, ==, 0);
  finding = find (&report, "node", "ok", "can be used");
  g_assert_nonnull (finding);
  finding = json_object_get_object_member (finding, "details");
  g_assert_cmpint (json_object_get_int_member (finding, "port"), ==, one.port);
  g_assert_true (json_object_get_boolean_member (finding, "usable"));
  g_assert_cmpfloat (json_object_get_double_member (finding, "bandwidth_out"), >, 1e6);
  g_assert_cmpfloat (json_object_get_double_member (finding, "bandwidth_in"), >, 1e6);
  g_assert_cmpfloat (json_object_get_double_member (finding, "delay"), >, 0);
  g_assert_nonnull (find (&report, "node", "note", "is the same device as attic"));
  finding = find (&report, "key", "ok", "\"home\", mode 0600");
  g_assert_nonnull (finding);
  node_stop (&two);
  node_stop (&one);
}

static void
test_keys (void)
{
  g_autofree char *home = keys_make ("home", 3600 * 24 * 100);
  g_autofree char *office = keys_make ("office", 3600 * 24 * 100);
  g_autofree char *soon = keys_make ("soon", 3600), *old = keys_make ("old", -60);
  g_autofree char *missing = keys_path ("missing");
  g_auto (Report) wrong = { NULL }, expired = { NULL }, none = { NULL }, expiring = { NULL };
  NodeProcess node = { 0 };

  node_start_with (&node, NULL, "--address=127.0.0.1", "--key", home, "--memory=1G", NULL);
  examine (&wrong, office, "127.0.0.1:%u", node.port);
  g_assert_nonnull (find (&wrong, "node", "problem", "\"office\""));
  examine (&expired, old, "127.0.0.1:%u", node.port);
  g_assert_nonnull (find (&expired, "key", "problem", "expired on"));
  g_assert_nonnull (find (&expired, "node", "problem", "expired on"));
  examine (&none, missing, "127.0.0.1:%u", node.port);
  g_assert_nonnull (find (&none, "key", "problem", "missing"));
  g_assert_nonnull (find (&none, "node", "problem", "cluster key"));
  examine (&expiring, soon, "127.0.0.1:%u", node.port);
  g_assert_nonnull (find (&expiring, "key", "note", "expires soon"));
  node_stop (&node);
}

static void
test_little_memory (void)
{
  g_auto (Report) report = { NULL };
  NodeProcess node = { 0 };

  node_start_with (&node, NULL, "--memory=1M", NULL);
  examine (&report, NULL, "127.0.0.1:%u", node.port);
  g_assert_nonnull (find (&report, "node", "problem", "too little memory"));
  node_stop (&node);
}

/* --- others --- */

typedef struct
{
  const char *name, *describe, *reach, *says;
} Fake;

#define INFO FAKE_NODE_INFO (DEVICE, "0011223344556677")
#define UNKNOWN ",\"error\":{\"code\":\"unknown\",\"message\":\"what?\"}"

static const Fake fakes[] = {
  { "silent", NULL, "", "does not answer within" },
  { "nonsense", ",\"device\":[]", "", "device: " },
  { "clock-behind", INFO ",\"time\":1000000", UNKNOWN, "behind this one" },
  { "clock-ahead", INFO ",\"time\":9007199254740991", UNKNOWN, "ahead of this one" },
  { "never-comes", INFO, "", "results would not come back" },
  { "cannot-come", INFO, ",\"error\":{\"code\":\"failed\",\"message\":\"No route to host\"}",
    "No route to host" },
};

static void
test_fake (gconstpointer data)
{
  const Fake *lie = data;
  const FakeAnswer answers[] = { { "ping", "" }, { "describe", lie->describe },
                                 { "receive", "honest" }, { "send", "honest" },
                                 { "reach", lie->reach }, { NULL, NULL } };
  g_auto (Report) report = { NULL };
  FakeNode fake = { 0 };

  fake_start (&fake, answers);
  examine (&report, NULL, "127.0.0.1:%u", fake.port);
  if (find (&report, "node", "problem", lie->says) == NULL) {
    g_autoptr (JsonNode) root = json_node_copy (json_parser_get_root (report.parser));
    g_autofree char *text = json_to_string (root, FALSE);

    g_error ("\"%s\" is not in %s", lie->says, text);
  }
  fake_stop (&fake);
}

/* Something that is no node, and nothing. */
static void
test_strangers (void)
{
  g_autoptr (GSocketListener) closed = g_socket_listener_new ();
  g_auto (Report) report = { NULL };
  guint port = g_socket_listener_add_any_inet_port (closed, NULL, NULL);

  g_socket_listener_close (closed);
  examine (&report, NULL, "127.0.0.1:%u", port);
  g_assert_nonnull (find (&report, "node", "problem", "refused"));
}

static void
test_usage (void)
{
  static const char *const bad[] = { "--nodes=a b", "--dance", "MODEL" };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GSubprocess) process =
        g_subprocess_new (G_SUBPROCESS_FLAGS_STDERR_SILENCE, NULL, g_getenv ("TANDEM_TEST_TOOL"),
                          "doctor", bad[i], NULL);

    g_subprocess_wait (process, NULL, NULL);
    g_assert_cmpint (g_subprocess_get_exit_status (process), ==, 2);
  }
}

int
main (int argc, char **argv)
{
  guint i;

  g_test_init (&argc, &argv, NULL);
  gst_init (NULL, NULL);
  tandem_init ();
  g_test_add_func ("/doctor/well", test_well);
  g_test_add_func ("/doctor/keys", test_keys);
  g_test_add_func ("/doctor/little-memory", test_little_memory);
  g_test_add_func ("/doctor/strangers", test_strangers);
  g_test_add_func ("/doctor/usage", test_usage);
  for (i = 0; i < G_N_ELEMENTS (fakes); i++) {
    g_autofree char *path = g_strconcat ("/doctor/fakes/", fakes[i].name, NULL);

    g_test_add_data_func (path, &fakes[i], test_fake);
  }
  return g_test_run ();
}
