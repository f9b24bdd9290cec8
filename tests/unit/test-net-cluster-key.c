/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The file of a cluster key: what is made, what is read, and each kind that is refused. */

#include "../element/key-harness.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *
read_text (const char *path)
{
  char *text = NULL;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  return text;
}

/* A file of that name and content, with mode 0600. */
static char *
write_text (const char *name, const char *text, gssize size)
{
  char *path = keys_path (name);

  g_assert_true (g_file_set_contents_full (path, text, size, G_FILE_SET_CONTENTS_NONE, 0600,
                                           NULL));
  g_assert_cmpint (g_chmod (path, 0600), ==, 0);
  return path;
}

static void
assert_refused (const char *path, const char *part)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (tandem_cluster_key_load (path, &error));
  g_assert_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_KEY);
  if (strstr (error->message, part) == NULL || strstr (error->message, path) == NULL)
    g_error ("\"%s\" does not name \"%s\" and %s", error->message, part, path);
}

static void
test_make (void)
{
  g_autofree char *path = keys_make ("home", 3600);
  g_autofree char *text = read_text (path);
  g_autoptr (TandemClusterKey) key = NULL, again = NULL;
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autoptr (GByteArray) der = NULL;
  g_autofree char *digest = NULL;
  g_autoptr (GError) error = NULL;
  GTimeSpan left;
  struct stat st;

  g_assert_cmpint (stat (path, &st), ==, 0);
  g_assert_cmpuint (st.st_mode & 07777, ==, 0600);
  key = tandem_cluster_key_load (path, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (tandem_cluster_key_get_name (key), ==, "home");
  g_assert_cmpstr (tandem_cluster_key_get_path (key), ==, path);
  left = g_date_time_difference (tandem_cluster_key_get_expiry (key), now);
  g_assert_cmpint (left, >, 3590 * G_TIME_SPAN_SECOND);
  g_assert_cmpint (left, <=, 3601 * G_TIME_SPAN_SECOND);
  g_assert_true (tandem_cluster_key_check_validity (key, &error));
  g_object_get (tandem_cluster_key_get_certificate (key), "certificate", &der, NULL);
  digest = g_compute_checksum_for_data (G_CHECKSUM_SHA256, der->data, der->len);
  g_assert_cmpstr (tandem_cluster_key_get_fingerprint (key), ==, digest);
  again = tandem_cluster_key_load (path, &error);
  g_assert_cmpstr (tandem_cluster_key_get_fingerprint (again), ==, digest);
}

static void
test_no_two_alike (void)
{
  g_autofree char *path = keys_make ("one", 3600), *other = keys_make ("two", 3600);
  g_autoptr (TandemClusterKey) a = tandem_cluster_key_load (path, NULL);
  g_autoptr (TandemClusterKey) b = tandem_cluster_key_load (other, NULL);

  g_assert_cmpstr (tandem_cluster_key_get_fingerprint (a), !=,
                   tandem_cluster_key_get_fingerprint (b));
}

/* Neither a file nor what a link points at is written over. */
static void
test_no_overwriting (void)
{
  g_autofree char *path = keys_make ("home", 3600), *before = read_text (path), *after = NULL;
  g_autofree char *dangling = keys_path ("dangling"), *target = keys_path ("target");
  g_autoptr (GDateTime) expiry = g_date_time_new_from_unix_utc (4102444800);
  g_autoptr (GError) error = NULL, second = NULL;

  g_assert_false (tandem_cluster_key_create (path, "home", expiry, &error));
  g_assert_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_KEY);
  after = read_text (path);
  g_assert_cmpstr (before, ==, after);
  g_assert_cmpint (symlink (target, dangling), ==, 0);
  g_assert_false (tandem_cluster_key_create (dangling, "home", expiry, &second));
  g_assert_error (second, TANDEM_NET_ERROR, TANDEM_NET_ERROR_KEY);
  g_assert_false (g_file_test (target, G_FILE_TEST_EXISTS));
}

static void
test_names (void)
{
  static const char *const names[] = { "", "a b", "a/b", "a\nb", "CN=x", "\xc3\xa4",
    "12345678901234567890123456789012345678901234567890123456789012345" };
  g_autoptr (GDateTime) expiry = g_date_time_new_from_unix_utc (4102444800);
  g_autofree char *path = keys_path ("nameless");
  guint i;

  for (i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autoptr (GError) error = NULL;

    g_assert_false (tandem_cluster_key_create (path, names[i], expiry, &error));
    g_assert_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_KEY);
    g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
  }
}

static void
test_modes (void)
{
  static const guint modes[] = { 0640, 0604, 0620, 0602, 0610, 0601, 0644, 0666, 0777 };
  g_autofree char *path = keys_make ("modes", 3600);
  g_autoptr (TandemClusterKey) key = NULL;
  g_autoptr (GError) error = NULL;
  guint i;

  for (i = 0; i < G_N_ELEMENTS (modes); i++) {
    g_autofree char *mode = g_strdup_printf ("mode %04o", modes[i]);

    g_assert_cmpint (g_chmod (path, modes[i]), ==, 0);
    assert_refused (path, mode);
  }
  g_assert_cmpint (g_chmod (path, 0400), ==, 0);
  key = tandem_cluster_key_load (path, &error);
  g_assert_no_error (error);
}

static void
test_missing (void)
{
  g_autofree char *path = keys_path ("missing");

  assert_refused (path, "tandem key new");
}

static void
test_not_a_file (void)
{
  g_autofree char *pipe = keys_path ("pipe");

  g_assert_cmpint (mkfifo (pipe, 0600), ==, 0);
  assert_refused (pipe, "is not a file");
  assert_refused (keys_folder, "is not a file");
}

static void
test_too_large (void)
{
  g_autofree char *home = keys_make ("home", 3600), *text = read_text (home);
  GString *large = g_string_new (text);
  g_autofree char *path = NULL;

  while (large->len <= 64 * 1024)
    g_string_append (large, "# nothing\n");
  path = write_text ("large", large->str, large->len);
  assert_refused (path, "larger than");
  g_string_free (large, TRUE);
}

/* Cut after every so many bytes. */
static void
test_truncated (void)
{
  g_autofree char *home = keys_make ("home", 3600), *text = read_text (home);
  gsize size = strlen (text), n;

  /* Without its last line's end it is whole. */
  for (n = 0; n < size - 1; n += n + 64 < size ? 13 : 1) {
    g_autofree char *path = write_text ("truncated", text, n);

    assert_refused (path, "is not a cluster key, or it is damaged");
  }
}

/* One bit is another: never a key, unless it is outside of what counts. */
static void
test_spoiled (void)
{
  g_autofree char *home = keys_make ("home", 3600), *text = read_text (home);
  g_autoptr (TandemClusterKey) whole = tandem_cluster_key_load (home, NULL);
  gsize size = strlen (text), n;
  guint refused = 0;

  for (n = 0; n < size; n += 7) {
    g_autofree char *spoiled = g_strdup (text);
    g_autofree char *path = NULL;
    g_autoptr (TandemClusterKey) key = NULL;
    g_autoptr (GError) error = NULL;

    spoiled[n] ^= 1;
    path = write_text ("spoiled", spoiled, size);
    key = tandem_cluster_key_load (path, &error);
    if (key == NULL) {
      g_assert_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_KEY);
      refused++;
    }
  }
  g_assert_cmpuint (refused, >, 40);
}

static void
test_wrong_content (void)
{
  g_autofree char *home = keys_make ("home", 3600), *other = keys_make ("other", 3600);
  g_autofree char *text = read_text (home), *stranger = read_text (other);
  const char *ours = strstr (text, "-----BEGIN CERT");
  const char *theirs = strstr (stranger, "-----BEGIN CERT");
  g_autofree char *key = g_strndup (text, ours - text);
  g_autofree char *mixed = g_strconcat (key, theirs, NULL);
  g_autofree char *two = g_strconcat (text, theirs, NULL);
  const struct
  {
    const char *text, *part;
  } cases[] = {
    { "", "no private key" }, { "hello", "no private key" }, { ours, "no private key" },
    { key, "damaged" }, { mixed, "damaged" }, { two, "damaged" },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *path = write_text ("wrong", cases[i].text, -1);

    assert_refused (path, cases[i].part);
  }
  {
    g_autofree char *path = write_text ("nul", "a\0b", 3);

    assert_refused (path, "it is not text");
  }
}

/* It is read, so that it can be shown, and says that it is of no use. */
static void
test_expired (void)
{
  g_autofree char *path = keys_make ("expired", -5);
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemClusterKey) key = tandem_cluster_key_load (path, &error);

  g_assert_no_error (error);
  g_assert_false (tandem_cluster_key_check_validity (key, &error));
  g_assert_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_KEY);
  g_assert_nonnull (strstr (error->message, "expired on"));
  g_assert_nonnull (strstr (error->message, path));
}

static void
test_default_path (void)
{
  g_autofree char *home = keys_make ("home", 3600), *path = NULL;
  g_autoptr (TandemClusterKey) key = NULL;
  g_autoptr (GError) error = NULL;

  g_setenv ("TANDEM_KEY", home, TRUE);
  key = tandem_cluster_key_load_default (&error);
  g_assert_no_error (error);
  g_assert_cmpstr (tandem_cluster_key_get_path (key), ==, home);
  g_setenv ("TANDEM_KEY", "", TRUE);
  path = tandem_cluster_key_get_default_path ();
  g_assert_true (g_str_has_prefix (path, g_get_user_config_dir ()));
  g_assert_true (g_str_has_suffix (path, "/tandem/cluster.key"));
  g_unsetenv ("TANDEM_KEY");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/net/cluster-key/make", test_make);
  g_test_add_func ("/net/cluster-key/no-two-alike", test_no_two_alike);
  g_test_add_func ("/net/cluster-key/no-overwriting", test_no_overwriting);
  g_test_add_func ("/net/cluster-key/names", test_names);
  g_test_add_func ("/net/cluster-key/modes", test_modes);
  g_test_add_func ("/net/cluster-key/missing", test_missing);
  g_test_add_func ("/net/cluster-key/not-a-file", test_not_a_file);
  g_test_add_func ("/net/cluster-key/too-large", test_too_large);
  g_test_add_func ("/net/cluster-key/truncated", test_truncated);
  g_test_add_func ("/net/cluster-key/spoiled", test_spoiled);
  g_test_add_func ("/net/cluster-key/wrong-content", test_wrong_content);
  g_test_add_func ("/net/cluster-key/expired", test_expired);
  g_test_add_func ("/net/cluster-key/default-path", test_default_path);
  return g_test_run ();
}
