/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tandem.h"

#include <glib/gstdio.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "tandem-test-model.h"

typedef struct
{
  char *folder;
  char *path;
  GHashTable *metadata;
  GHashTable *tensors;
} Fixture;

static TandemTensor *
make_tensor (const guint32 *bits, guint64 n)
{
  g_autoptr (GBytes) bytes = g_bytes_new (bits, n * sizeof *bits);

  return tandem_tensor_new (TANDEM_DTYPE_F32, 1, &n, bytes, NULL);
}

static void
set_up (Fixture *fixture, gconstpointer data)
{
  /* A NaN with a payload, -0, the smallest number, and ordinary ones. */
  const guint32 bits[] = { 0x7fc12345, 0x80000000, 1, 0x3f800001, 0xff800000 };

  fixture->folder = tandem_test_make_folder ();
  fixture->path = g_build_filename (fixture->folder, "step.safetensors", NULL);
  fixture->metadata = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  fixture->tensors = g_hash_table_new_full (g_str_hash, g_str_equal, NULL,
                                            (GDestroyNotify) tandem_tensor_unref);
  g_hash_table_insert (fixture->tensors, (gpointer) "w", make_tensor (bits, 5));
  g_hash_table_insert (fixture->tensors, (gpointer) "w.m", make_tensor (bits, 3));
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_hash_table_unref (fixture->metadata);
  g_hash_table_unref (fixture->tensors);
  g_free (fixture->path);
  tandem_test_remove_folder (fixture->folder);
}

static TandemCheckpoint *
write_and_open (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;
  TandemCheckpoint *checkpoint;

  tandem_checkpoint_write (fixture->path, fixture->metadata, fixture->tensors, NULL, &error);
  g_assert_no_error (error);
  checkpoint = tandem_checkpoint_open (fixture->path, &error);
  g_assert_no_error (error);
  return checkpoint;
}

static void
test_exact (Fixture *fixture, gconstpointer data)
{
  static const double numbers[] = { 0.1, -0.0, 1e-320, INFINITY, -INFINITY, 1.0 / 3.0 };
  static const guint64 counts[] = { 0, G_MAXUINT64, (G_GUINT64_CONSTANT (1) << 53) + 1 };
  g_autoptr (TandemCheckpoint) checkpoint = NULL;
  g_autoptr (TandemTensor) tensor = NULL;
  g_autoptr (GError) error = NULL;
  const guint64 shape = 5;
  guint64 count;
  double number;
  guint i;

  for (i = 0; i < G_N_ELEMENTS (numbers); i++) {
    g_autofree char *key = g_strdup_printf ("number %u", i);

    tandem_checkpoint_set_double (fixture->metadata, key, numbers[i]);
  }
  for (i = 0; i < G_N_ELEMENTS (counts); i++) {
    g_autofree char *key = g_strdup_printf ("count %u", i);

    tandem_checkpoint_set_uint64 (fixture->metadata, key, counts[i]);
  }
  tandem_checkpoint_set_double (fixture->metadata, "nan", NAN);
  g_hash_table_insert (fixture->metadata, g_strdup ("text"), g_strdup ("\"\xc3\xa4\"\n"));
  checkpoint = write_and_open (fixture);

  for (i = 0; i < G_N_ELEMENTS (numbers); i++) {
    g_autofree char *key = g_strdup_printf ("number %u", i);

    g_assert_true (tandem_checkpoint_get_double (checkpoint, key, &number, NULL));
    g_assert_cmpmem (&number, sizeof number, &numbers[i], sizeof number);
  }
  for (i = 0; i < G_N_ELEMENTS (counts); i++) {
    g_autofree char *key = g_strdup_printf ("count %u", i);

    g_assert_true (tandem_checkpoint_get_uint64 (checkpoint, key, &count, NULL));
    g_assert_cmpuint (count, ==, counts[i]);
  }
  g_assert_true (tandem_checkpoint_get_double (checkpoint, "nan", &number, NULL));
  g_assert_true (isnan (number));
  g_assert_cmpstr (tandem_checkpoint_get_string (checkpoint, "text", NULL), ==, "\"\xc3\xa4\"\n");

  tensor = tandem_checkpoint_get_tensor (checkpoint, "w", TANDEM_DTYPE_F32, 1, &shape, &error);
  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (tandem_tensor_get_bytes (tensor), tandem_tensor_get_bytes (
                                  g_hash_table_lookup (fixture->tensors, "w"))));
}

static void
assert_fails (GError **error, const char *pattern)
{
  g_assert_error (*error, TANDEM_TRAIN_ERROR, TANDEM_TRAIN_ERROR_CHECKPOINT);
  if (!g_pattern_match_simple (pattern, (*error)->message))
    g_error ("\"%s\" does not match \"%s\"", (*error)->message, pattern);
  g_clear_error (error);
}

static void
test_checks (Fixture *fixture, gconstpointer data)
{
  const char *const names[] = { "w", "w.m", NULL }, *const more[] = { "w", "w.m", "w.v", NULL };
  const char *const fewer[] = { "w", NULL };
  const guint64 shape[] = { 5, 1 }, wrong = 6;
  g_autoptr (TandemCheckpoint) checkpoint = NULL;
  g_autoptr (GError) error = NULL;
  guint64 count;
  double number;

  g_hash_table_insert (fixture->metadata, g_strdup ("words"), g_strdup ("12 monkeys"));
  checkpoint = write_and_open (fixture);
  g_assert_true (tandem_checkpoint_check_names (checkpoint, names, NULL));
  g_assert_false (tandem_checkpoint_check_names (checkpoint, more, &error));
  assert_fails (&error, "*step.safetensors: tensor \"w.v\" is missing*");
  g_assert_false (tandem_checkpoint_check_names (checkpoint, fewer, &error));
  assert_fails (&error, "*step.safetensors: tensor \"w.m\" is none of this model*");
  g_assert_null (tandem_checkpoint_get_tensor (checkpoint, "x", TANDEM_DTYPE_F32, 1, shape,
                                               &error));
  assert_fails (&error, "*step.safetensors: tensor \"x\" is missing*");
  g_assert_null (tandem_checkpoint_get_tensor (checkpoint, "w", TANDEM_DTYPE_F16, 1, shape,
                                               &error));
  assert_fails (&error, "*tensor \"w\" is F32 [5], this model needs F16 [5]");
  g_assert_null (tandem_checkpoint_get_tensor (checkpoint, "w", TANDEM_DTYPE_F32, 2, shape,
                                               &error));
  assert_fails (&error, "*tensor \"w\" is F32 [5], this model needs F32 [5, 1]");
  g_assert_null (tandem_checkpoint_get_tensor (checkpoint, "w", TANDEM_DTYPE_F32, 1, &wrong,
                                               &error));
  assert_fails (&error, "*tensor \"w\" is F32 [5], this model needs F32 [6]");

  g_assert_false (tandem_checkpoint_get_uint64 (checkpoint, "step", &count, &error));
  assert_fails (&error, "*step.safetensors: \"step\" is missing");
  g_assert_false (tandem_checkpoint_get_uint64 (checkpoint, "words", &count, &error));
  assert_fails (&error, "*\"words\" is \"12 monkeys\", which is not a whole number");
  g_assert_false (tandem_checkpoint_get_double (checkpoint, "words", &number, &error));
  assert_fails (&error, "*\"words\" is \"12 monkeys\", which is not a number");
}

static void
test_other_files (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GHashTable) later = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GError) error = NULL;

  g_assert_null (tandem_checkpoint_open (fixture->path, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_clear_error (&error);

  g_assert_true (tandem_safetensors_write (fixture->path, NULL, fixture->tensors, NULL, NULL));
  g_assert_null (tandem_checkpoint_open (fixture->path, &error));
  assert_fails (&error, "*step.safetensors: a safetensors file, but not a checkpoint");

  g_hash_table_insert (later, (gpointer) "tandem.checkpoint", (gpointer) "2");
  g_assert_true (tandem_safetensors_write (fixture->path, later, fixture->tensors, NULL, NULL));
  g_assert_null (tandem_checkpoint_open (fixture->path, &error));
  assert_fails (&error, "*a checkpoint of version 2;*update Tandem");
}

/* A file-size limit is what a full disk is: writing fails in the middle. */
static void
test_full_disk (Fixture *fixture, gconstpointer data)
{
  struct rlimit before, limit;
  g_autofree guint32 *many = g_new0 (guint32, 1 << 16);
  g_autoptr (TandemCheckpoint) checkpoint = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) dir = NULL;
  guint64 step;

  tandem_checkpoint_set_uint64 (fixture->metadata, "step", 1);
  checkpoint = write_and_open (fixture);
  g_clear_object (&checkpoint);

  tandem_checkpoint_set_uint64 (fixture->metadata, "step", 2);
  g_hash_table_insert (fixture->tensors, (gpointer) "big", make_tensor (many, 1 << 16));
  signal (SIGXFSZ, SIG_IGN);
  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &before), ==, 0);
  limit = before;
  limit.rlim_cur = 1 << 17;
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  g_assert_false (tandem_checkpoint_write (fixture->path, fixture->metadata, fixture->tensors,
                                           NULL, &error));
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &before), ==, 0);
  g_assert_nonnull (error);

  checkpoint = tandem_checkpoint_open (fixture->path, NULL);
  g_assert_nonnull (checkpoint);
  g_assert_true (tandem_checkpoint_get_uint64 (checkpoint, "step", &step, NULL));
  g_assert_cmpuint (step, ==, 1);
  dir = g_dir_open (fixture->folder, 0, NULL);
  g_assert_cmpstr (g_dir_read_name (dir), ==, "step.safetensors");
  g_assert_null (g_dir_read_name (dir));
}

/* 0 while there is none. */
static guint64
read_step (const char *path)
{
  g_autoptr (TandemCheckpoint) checkpoint = tandem_checkpoint_open (path, NULL);
  guint64 step = 0;

  if (checkpoint != NULL)
    g_assert_true (tandem_checkpoint_get_uint64 (checkpoint, "step", &step, NULL));
  return step;
}

/* Writes checkpoints until it is killed. */
static void
test_killed (Fixture *fixture, gconstpointer data)
{
  guint round;

  if (g_test_subprocess ()) {
    const char *path = g_getenv ("TANDEM_TEST_CHECKPOINT");
    guint64 step;

    for (step = 0;; step++) {
      g_autoptr (GError) error = NULL;

      tandem_checkpoint_set_uint64 (fixture->metadata, "step", step);
      tandem_checkpoint_write (path, fixture->metadata, fixture->tensors, NULL, &error);
      g_assert_no_error (error);
    }
  }

  for (round = 0; round < 5; round++) {
    const char *argv[] = { "/proc/self/exe", "--GTestSubprocess", "-p", "/train/checkpoint/killed",
                           NULL };
    g_autofree char *exe = g_file_read_link ("/proc/self/exe", NULL);
    g_autoptr (GSubprocessLauncher) launcher =
        g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDOUT_SILENCE);
    g_autoptr (GSubprocess) process = NULL;
    gint64 end = g_get_monotonic_time () + 20 * G_TIME_SPAN_SECOND;

    argv[0] = exe;
    g_unlink (fixture->path);
    g_subprocess_launcher_setenv (launcher, "TANDEM_TEST_CHECKPOINT", fixture->path, TRUE);
    process = g_subprocess_launcher_spawnv (launcher, argv, NULL);
    g_assert_nonnull (process);
    while (read_step (fixture->path) == 0 && g_get_monotonic_time () < end)
      g_usleep (1000);
    g_usleep (7000 * round);
    g_subprocess_force_exit (process);
    g_subprocess_wait (process, NULL, NULL);

    g_assert_cmpuint (read_step (fixture->path), >, 0);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/train/checkpoint/exact", Fixture, NULL, set_up, test_exact, tear_down);
  g_test_add ("/train/checkpoint/checks", Fixture, NULL, set_up, test_checks, tear_down);
  g_test_add ("/train/checkpoint/other-files", Fixture, NULL, set_up, test_other_files, tear_down);
  g_test_add ("/train/checkpoint/full-disk", Fixture, NULL, set_up, test_full_disk, tear_down);
  g_test_add ("/train/checkpoint/killed", Fixture, NULL, set_up, test_killed, tear_down);
  return g_test_run ();
}
