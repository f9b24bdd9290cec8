/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Lists of devices; how what is seen becomes candidates; which of them comes next. */

#include "tandem.h"

#include <glib/gstdio.h>
#include <string.h>

#include "net/tandem-candidate-list.h"
#include "net/tandem-peer-search.h"
#include "net/tandem-peers.h"

#define FINGERPRINT "3f2a1b0c0123456789abcdef0123456789abcdef0123456789abcdef01234567"

static GPtrArray *
make_peers (const char *text)
{
  GPtrArray *peers = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GError) error = NULL;

  g_assert_true (tandem_peers_parse (text, "test", TANDEM_NET_DEFAULT_PORT, peers, &error));
  g_assert_no_error (error);
  return peers;
}

static void
check_peer (GPtrArray *peers, guint i, const char *host, guint port)
{
  g_assert_cmpuint (i, <, peers->len);
  g_assert_cmpstr (g_network_address_get_hostname (peers->pdata[i]), ==, host);
  g_assert_cmpuint (g_network_address_get_port (peers->pdata[i]), ==, port);
}

static void
test_peers (void)
{
  g_autoptr (GPtrArray) peers = make_peers (
      "10.0.0.1:10301, pi # remark, with comma\n\n# all\n[2001:db8::1]:99,PI:10300,2001:db8::2\n"
      "fe80::1%eth0,");

  g_assert_cmpuint (peers->len, ==, 5);
  check_peer (peers, 0, "10.0.0.1", 10301);
  check_peer (peers, 1, "pi", TANDEM_NET_DEFAULT_PORT);
  check_peer (peers, 2, "2001:db8::1", 99);
  check_peer (peers, 3, "2001:db8::2", TANDEM_NET_DEFAULT_PORT);
  check_peer (peers, 4, "fe80::1%eth0", TANDEM_NET_DEFAULT_PORT);
}

static void
test_bad_peers (void)
{
  static const char *const bad[] = {
    "pi:0", "pi:65536", "pi:x", "a b", "http://pi", "[2001:db8::1", "me@pi", ":10300", "pi:-1",
  };
  g_autoptr (GPtrArray) peers = make_peers ("");
  g_autoptr (GString) many = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  guint i;

  for (i = 0; i < G_N_ELEMENTS (bad); i++) {
    if (tandem_peers_parse (bad[i], "here", TANDEM_NET_DEFAULT_PORT, peers, &error))
      g_error ("\"%s\" got through", bad[i]);
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
    g_assert_true (g_str_has_prefix (error->message, "here: "));
    g_clear_error (&error);
  }
  g_assert_cmpuint (peers->len, ==, 0);
  for (i = 0; i <= TANDEM_PEERS_MAX; i++)
    g_string_append_printf (many, "pi%u,", i);
  g_assert_false (tandem_peers_parse (many->str, "here", TANDEM_NET_DEFAULT_PORT, peers, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
}

/* Property, environment and file are one list, in this order. */
static void
test_sources (void)
{
  g_autofree char *folder = g_build_filename (g_get_user_config_dir (), "tandem", NULL);
  g_autofree char *path = g_build_filename (folder, "peers", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) peers = NULL;

  g_assert_cmpint (g_mkdir_with_parents (folder, 0700), ==, 0);
  g_assert_true (g_file_set_contents (path, "c:3 # three\nb:2\n", -1, NULL));
  g_setenv ("TANDEM_PEERS", "b:2,a:1", TRUE);
  peers = tandem_peers_collect (&tandem_peer_lists_of_stages, "a:1", &error);
  g_assert_no_error (error);
  g_assert_cmpuint (peers->len, ==, 3);
  check_peer (peers, 0, "a", 1);
  check_peer (peers, 1, "b", 2);
  check_peer (peers, 2, "c", 3);
  g_assert_true (g_file_set_contents (path, "c\0:3", 4, NULL));
  g_assert_null (tandem_peers_collect (&tandem_peer_lists_of_stages, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, path));
  g_clear_error (&error);
  g_unlink (path);
  g_setenv ("TANDEM_PEERS", ":", TRUE);
  g_assert_null (tandem_peers_collect (&tandem_peer_lists_of_stages, NULL, &error));
  g_assert_true (g_str_has_prefix (error->message, "TANDEM_PEERS: "));
  g_unsetenv ("TANDEM_PEERS");
}

typedef struct
{
  const char *address;
  guint scope;
  guint port;
  guint device;
  guint instance;
  gboolean is_ours;
  guint layer;
  guint capacity;
} Stage;

static gboolean
put_named (TandemCandidateList *list, const char *key, const Stage *stage, const char *name)
{
  g_autoptr (GInetAddress) inet = g_inet_address_new_from_string (stage->address);
  g_autoptr (GInetSocketAddress) address =
      g_object_new (G_TYPE_INET_SOCKET_ADDRESS, "address", inet, "port", stage->port,
                    "scope-id", stage->scope, NULL);
  TandemServiceInfo info = { .major = 1, .kind = TANDEM_STREAM_ACTIVATIONS };
  g_autoptr (GBytes) txt = NULL;
  TandemSighting sighting = {
    .name = name, .host = "pi.local", .address = address, .is_ours = stage->is_ours,
  };

  g_snprintf (info.device_id, sizeof info.device_id, "%032x", stage->device);
  g_snprintf (info.instance, sizeof info.instance, "%016x", stage->instance);
  memcpy (info.fingerprint, FINGERPRINT, sizeof info.fingerprint);
  info.first_layer = info.last_layer = stage->layer;
  info.capacity = stage->capacity;
  txt = tandem_service_info_to_txt (&info);
  sighting.txt = g_bytes_get_data (txt, &sighting.txt_size);
  return tandem_candidate_list_put (list, key, &sighting);
}

static gboolean
put (TandemCandidateList *list, const char *key, const Stage *stage)
{
  return put_named (list, key, stage, "stage");
}

static char *
list_to_string (TandemCandidateList *list)
{
  g_autoptr (GPtrArray) candidates = tandem_candidate_list_get (list);
  GString *text = g_string_new (NULL);
  guint i;

  for (i = 0; i < candidates->len; i++) {
    g_autofree char *one = g_socket_connectable_to_string (candidates->pdata[i]);

    g_string_append_printf (text, "%s%s%s", i > 0 ? " | " : "",
                            tandem_candidate_is_listed (candidates->pdata[i]) ? "*" : "", one);
  }
  return g_string_free (text, FALSE);
}

static void
check_n_addresses (TandemCandidateList *list, guint n)
{
  g_autoptr (GPtrArray) candidates = tandem_candidate_list_get (list);

  g_assert_cmpuint (tandem_candidate_get_n_addresses (candidates->pdata[0]), ==, n);
  g_assert_cmpuint (tandem_candidate_get_port (candidates->pdata[0]), ==, 10300);
}

static void
check_list (TandemCandidateList *list, const char *expected)
{
  g_autofree char *text = list_to_string (list);

  g_assert_cmpstr (text, ==, expected);
}

/* Two interfaces and both families are one device; a clone, and a second port, are another. */
static void
test_merging (void)
{
  g_autoptr (GPtrArray) peers = make_peers ("");
  g_autoptr (TandemCandidateList) list = tandem_candidate_list_new (peers, "00000000000000aa");
  const Stage link_local = { "fe80::1", 2, 10300, 1, 1 }, wired = { "10.0.0.1", 0, 10300, 1, 1 };
  const Stage wireless = { "10.1.0.1", 0, 10300, 1, 1 }, clone = { "10.0.0.2", 0, 10300, 1, 2 };
  const Stage second = { "10.0.0.1", 0, 10301, 1, 1 }, own = { "10.0.0.9", 0, 10300, 1, 0xaa };

  g_assert_true (put (list, "a/6", &link_local));
  g_assert_true (put (list, "b/4", &wired));
  g_assert_true (put (list, "c/4", &wireless));
  check_list (list, "stage 10.0.0.1:10300 10.1.0.1:10300 [fe80::1%2]:10300");
  check_n_addresses (list, 3);
  g_assert_false (put (list, "c/4", &wireless));
  g_assert_true (put (list, "d/4", &clone));
  g_assert_true (put (list, "e/4", &second));
  check_list (list, "stage 10.0.0.1:10300 10.1.0.1:10300 [fe80::1%2]:10300 | "
                    "stage 10.0.0.2:10300 | stage 10.0.0.1:10301");
  g_assert_false (put (list, "f/4", &own));
  g_assert_true (tandem_candidate_list_remove (list, "b/4"));
  g_assert_true (tandem_candidate_list_remove (list, "d/4"));
  g_assert_true (tandem_candidate_list_remove (list, "e/4"));
  g_assert_false (tandem_candidate_list_remove (list, "e/4"));
  check_list (list, "stage 10.1.0.1:10300 [fe80::1%2]:10300");
  g_assert_true (tandem_candidate_list_clear (list));
  check_list (list, "");
}

/* What is written down and announced, too, is one device, and what is written down comes first. */
static void
test_listed (void)
{
  g_autoptr (GPtrArray) peers = make_peers ("10.0.0.7:1,10.0.0.1:10300,PI.local.:10301");
  g_autoptr (TandemCandidateList) list = tandem_candidate_list_new (peers, NULL);
  const Stage first = { "10.0.0.1", 0, 10300, 1, 1 }, second = { "10.0.0.2", 0, 10301, 2, 2 };
  const Stage other = { "10.0.0.3", 0, 10300, 3, 3 };

  check_list (list, "*10.0.0.7:1 | *10.0.0.1:10300 | *PI.local.:10301");
  put (list, "a", &first);
  put (list, "b", &second);
  put (list, "c", &other);
  check_list (list, "*10.0.0.7:1 | *stage 10.0.0.1:10300 10.0.0.1:10300 | "
                    "*stage PI.local.:10301 10.0.0.2:10301 | stage 10.0.0.3:10300");
}

static void
test_hostile (void)
{
  static const Stage unusable[] = {
    { "127.0.0.1", 0, 10300, 1, 1 }, { "::1", 0, 10300, 1, 1 }, { "0.0.0.0", 0, 10300, 1, 1 },
    { "::", 0, 10300, 1, 1 }, { "224.0.0.1", 0, 10300, 1, 1 }, { "10.0.0.1", 0, 0, 1, 1 },
  };
  const Stage local = { "127.0.0.1", 0, 10300, 1, 1, TRUE };
  g_autoptr (GPtrArray) peers = make_peers ("10.0.0.7:1"), candidates = NULL;
  g_autoptr (TandemCandidateList) list = tandem_candidate_list_new (peers, NULL);
  g_autoptr (GInetAddress) inet = g_inet_address_new_from_string ("10.0.0.1");
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new (inet, 10300);
  const TandemSighting unreadable = {
    .name = "x\x1b\xff", .address = G_INET_SOCKET_ADDRESS (address), .txt = (guint8 *) "\x09",
    .txt_size = 1,
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (unusable); i++)
    g_assert_false (put (list, "a", &unusable[i]));
  g_assert_true (put (list, "a", &local));
  g_assert_true (tandem_candidate_list_remove (list, "a"));
  g_assert_true (tandem_candidate_list_put (list, "b", &unreadable));
  candidates = tandem_candidate_list_get (list);
  g_assert_cmpuint (candidates->len, ==, 2);
  g_assert_nonnull (tandem_candidate_get_problem (candidates->pdata[1]));
  g_assert_true (g_utf8_validate (tandem_candidate_get_name (candidates->pdata[1]), -1, NULL));
  g_assert_null (strchr (tandem_candidate_get_name (candidates->pdata[1]), '\x1b'));
  g_clear_pointer (&candidates, g_ptr_array_unref);

  for (i = 0; i < 1000; i++) {
    g_autofree char *key = g_strdup_printf ("flood %u", i);
    const Stage stage = { "10.0.0.1", 0, 10300, 1, i + 1 };

    put (list, key, &stage);
  }
  candidates = tandem_candidate_list_get (list);
  g_assert_cmpuint (candidates->len, ==, TANDEM_CANDIDATE_LIST_MAX_SIGHTINGS + 1);
  g_assert_true (tandem_candidate_is_listed (candidates->pdata[0]));
}

static void
count_refusals (TandemCandidate *candidate, const GError *reason, gpointer data)
{
  ++*(guint *) data;
}

static void
check_choice (TandemPeerSearch *search, GPtrArray *candidates, gint64 now, const char *host,
              TandemCandidate **chosen)
{
  g_auto (TandemStreamInfo) stream = {
    .kind = TANDEM_STREAM_ACTIVATIONS, .layer = 2, .width = 4,
  };
  gint64 wake;

  g_clear_object (chosen);
  memcpy (stream.fingerprint, FINGERPRINT, sizeof stream.fingerprint);
  *chosen = tandem_peer_search_choose (search, candidates, &stream, now, &wake);
  if (host == NULL) {
    g_assert_null (*chosen);
    g_assert_cmpint (wake, >, now);
    g_assert_cmpint (wake, <=, now + 5 * G_USEC_PER_SEC);
  } else {
    g_autofree char *text = tandem_candidate_get_host (*chosen);

    g_assert_cmpstr (text, ==, host);
  }
}

static void
test_choice (void)
{
  const Stage small = { "10.0.0.1", 0, 10300, 1, 1, FALSE, 2, 8 };
  const Stage large = { "10.0.0.2", 0, 10300, 2, 2, FALSE, 2, 32 };
  const Stage other = { "10.0.0.3", 0, 10300, 3, 3, FALSE, 5, 64 };
  g_autoptr (GPtrArray) peers = make_peers ("10.0.0.7:1"), candidates = NULL;
  g_autoptr (TandemCandidateList) list = tandem_candidate_list_new (peers, NULL);
  guint n_refusals = 0;
  g_autoptr (TandemPeerSearch) search = tandem_peer_search_new (count_refusals, &n_refusals);
  g_autoptr (GError) gone = g_error_new_literal (TANDEM_NET_ERROR, TANDEM_NET_ERROR_CLOSED, "gone");
  g_autoptr (TandemCandidate) chosen = NULL;
  g_autofree char *text = NULL;
  gint64 now = 1000, second = G_USEC_PER_SEC;
  guint i;

  put (list, "a", &small);
  put (list, "b", &large);
  put (list, "c", &other);
  candidates = tandem_candidate_list_get (list);
  g_assert_cmpuint (candidates->len, ==, 4);

  /* Written down before announced; more capacity before less; never one that says it is another. */
  check_choice (search, candidates, now, "10.0.0.7", &chosen);
  g_assert_cmpuint (n_refusals, ==, 1);
  tandem_peer_search_fail (search, chosen, gone, now);
  g_assert_cmpuint (n_refusals, ==, 2);
  check_choice (search, candidates, now, "10.0.0.2", &chosen);
  tandem_peer_search_fail (search, chosen, gone, now);
  check_choice (search, candidates, now, "10.0.0.1", &chosen);
  tandem_peer_search_fail (search, chosen, gone, now);
  check_choice (search, candidates, now, NULL, &chosen);
  g_assert_cmpuint (n_refusals, ==, 4);

  /* All are tried again, at growing intervals; who worked is first. */
  for (i = 0; i < 10; i++) {
    check_choice (search, candidates, now += 5 * second, "10.0.0.7", &chosen);
    tandem_peer_search_fail (search, chosen, gone, now);
    check_choice (search, candidates, now, "10.0.0.2", &chosen);
    tandem_peer_search_fail (search, chosen, gone, now);
    check_choice (search, candidates, now, "10.0.0.1", &chosen);
    if (i == 9)
      break;
    tandem_peer_search_fail (search, chosen, gone, now);
  }
  tandem_peer_search_keep (search, chosen);
  check_choice (search, candidates, now, "10.0.0.1", &chosen);
  tandem_peer_search_fail (search, chosen, gone, now);
  check_choice (search, candidates, now + 2 * second, "10.0.0.1", &chosen);

  text = tandem_peer_search_explain (search, candidates);
  g_assert_nonnull (strstr (text, "10.0.0.7:1: gone"));
  g_assert_nonnull (strstr (text, "10.0.0.3:10300: this device serves layers 5-5 of model"));
}

/* A stranger announces the numbers of another device, with addresses where nobody is: that does not
 * take the place of where it is. */
static void
test_stolen_numbers (void)
{
  g_autoptr (GPtrArray) peers = make_peers (""), candidates = NULL;
  g_autoptr (TandemCandidateList) list = tandem_candidate_list_new (peers, NULL);
  const Stage real = { "10.0.0.1", 0, 10300, 1, 1 };
  guint i, n = 0;

  for (i = 0; i < 20; i++) {
    g_autofree char *key = g_strdup_printf ("a%02u/4", i), *name = g_strdup_printf ("thief %u", i);
    g_autofree char *address = g_strdup_printf ("10.9.9.%u", i + 1);
    const Stage thief = { address, 0, 10300, 1, 1 };

    put_named (list, key, &thief, name);
  }
  put (list, "z/4", &real);
  candidates = tandem_candidate_list_get (list);
  for (i = 0; i < candidates->len; i++) {
    g_autofree char *text = g_socket_connectable_to_string (candidates->pdata[i]);

    n += g_str_equal (text, "stage 10.0.0.1:10300");
  }
  g_assert_cmpuint (n, ==, 1);
}

int
main (int argc, char **argv)
{
  g_autofree char *config = g_dir_make_tmp ("tandem-XXXXXX", NULL);
  g_autofree char *folder = g_build_filename (config, "tandem", NULL);
  int status;

  g_setenv ("XDG_CONFIG_HOME", config, TRUE);
  g_test_init (&argc, &argv, NULL);
  gst_init (&argc, &argv);
  tandem_init ();
  g_test_add_func ("/net/candidates/peers", test_peers);
  g_test_add_func ("/net/candidates/bad-peers", test_bad_peers);
  g_test_add_func ("/net/candidates/sources", test_sources);
  g_test_add_func ("/net/candidates/merging", test_merging);
  g_test_add_func ("/net/candidates/listed", test_listed);
  g_test_add_func ("/net/candidates/hostile", test_hostile);
  g_test_add_func ("/net/candidates/choice", test_choice);
  g_test_add_func ("/net/candidates/stolen-numbers", test_stolen_numbers);
  status = g_test_run ();
  g_rmdir (folder);
  g_rmdir (config);
  return status;
}
