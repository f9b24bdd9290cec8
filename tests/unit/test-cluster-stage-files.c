/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Stage files that are cut and kept: once each, within a bound, and never taken from who uses them. */

#include "tandem.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cluster/tandem-stage-files.h"
#include "tandem-test-model.h"

#define LAYERS 5
#define PLENTY (G_GUINT64_CONSTANT (1) << 30)

static char *cache;             /* the user's cache folder of this process */

typedef struct
{
  char *folder, *cut;
  TandemModel *model;
  guint64 size;                 /* bytes of a file with one layer in the middle */
} Fixture;

static TandemStageFile *
get (Fixture *fixture, guint layer, guint64 limit)
{
  g_autoptr (GError) error = NULL;
  TandemStageFile *file =
      tandem_stage_files_get (fixture->model, layer, layer, limit, NULL, &error);

  g_assert_no_error (error);
  return file;
}

static void
use (Fixture *fixture, guint layer, guint64 limit)
{
  tandem_stage_file_free (get (fixture, layer, limit));
}

/* Whole files that are there, and nothing else that takes room. */
static guint64
count (Fixture *fixture, guint *n_files)
{
  g_autoptr (GDir) dir = g_dir_open (fixture->cut, 0, NULL);
  const char *name;
  guint64 bytes = 0;

  *n_files = 0;
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
    g_autofree char *path = g_build_filename (fixture->cut, name, NULL);
    GStatBuf st;

    g_assert_cmpint (g_stat (path, &st), ==, 0);
    if (g_str_has_suffix (name, ".safetensors")) {
      bytes += st.st_size;
      ++*n_files;
    } else {
      g_assert_true (g_str_has_suffix (name, ".json") || g_str_equal (name, "lock"));
    }
  }
  return bytes;
}

static gint64
get_inode (const char *path)
{
  GStatBuf st;

  return g_stat (path, &st) == 0 ? (gint64) st.st_ino : -1;
}

static void
set_up (Fixture *fixture, gconstpointer data)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  g_autofree char *path = NULL, *stage = NULL;
  g_autoptr (GError) error = NULL;
  GStatBuf st;

  spec.n_layers = LAYERS;
  fixture->folder = tandem_test_make_folder ();
  fixture->cut = g_build_filename (cache, "tandem", "cut", NULL);
  tandem_test_remove_folder (g_strdup (fixture->cut));
  path = g_build_filename (fixture->folder, "model", NULL);
  stage = g_build_filename (fixture->folder, "stage", NULL);
  tandem_test_model_write (&spec, path);
  fixture->model = tandem_model_open (path, NULL, &error);
  g_assert_no_error (error);
  tandem_model_write_stage (fixture->model, 1, 1, stage, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_stat (stage, &st), ==, 0);
  fixture->size = st.st_size;
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_object_unref (fixture->model);
  tandem_test_remove_folder (fixture->folder);
  g_free (fixture->cut);
}

static void
test_once (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemStageFile) first = get (fixture, 1, PLENTY), second = get (fixture, 1, PLENTY);
  g_autoptr (TandemModel) stage = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL, *digest = NULL;
  guint from, to, n;
  gsize size;

  g_assert_cmpstr (first->path, ==, second->path);
  g_assert_true (g_file_get_contents (first->path, &text, &size, NULL));
  digest = g_compute_checksum_for_data (G_CHECKSUM_SHA256, (const guint8 *) text, size);
  g_assert_cmpstr (first->digest, ==, digest);
  stage = tandem_model_open (first->path, NULL, &error);
  g_assert_no_error (error);
  tandem_model_get_layers (stage, &from, &to);
  g_assert_cmpuint (from, ==, 1);
  g_assert_cmpuint (to, ==, 1);
  g_assert_cmpuint (count (fixture, &n), ==, fixture->size);
}

/* It is not cut again: it stays the same file. */
static void
test_kept (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemStageFile) file = get (fixture, 1, PLENTY);
  gint64 inode = get_inode (file->path);

  g_clear_pointer (&file, tandem_stage_file_free);
  file = get (fixture, 1, PLENTY);
  g_assert_cmpint (get_inode (file->path), ==, inode);
}

/* What was used last stays. */
static void
test_bound (Fixture *fixture, gconstpointer data)
{
  guint64 limit = 2 * fixture->size + 100;
  g_autofree char *first = NULL, *second = NULL;
  TandemStageFile *file;
  guint n;

  file = get (fixture, 1, limit);
  first = g_strdup (file->path);
  tandem_stage_file_free (file);
  file = get (fixture, 2, limit);
  second = g_strdup (file->path);
  tandem_stage_file_free (file);
  use (fixture, 1, limit);
  g_assert_cmpuint (count (fixture, &n), <=, limit);
  g_assert_cmpuint (n, ==, 2);
  use (fixture, 3, limit);
  g_assert_cmpuint (count (fixture, &n), <=, limit);
  g_assert_true (g_file_test (first, G_FILE_TEST_EXISTS));
  g_assert_false (g_file_test (second, G_FILE_TEST_EXISTS));

  /* A smaller bound holds from then on; nothing may stay. */
  use (fixture, 1, 0);
  g_assert_cmpuint (count (fixture, &n), ==, 0);
}

/* Whatever the bound, what is in use stays, until it is given back. */
static void
test_in_use (Fixture *fixture, gconstpointer data)
{
  TandemStageFile *files[LAYERS - 3];
  guint i, n;

  for (i = 0; i < G_N_ELEMENTS (files); i++)
    files[i] = get (fixture, i + 1, fixture->size);
  for (i = 0; i < G_N_ELEMENTS (files); i++)
    g_assert_true (g_file_test (files[i]->path, G_FILE_TEST_EXISTS));
  for (i = 0; i < G_N_ELEMENTS (files); i++)
    tandem_stage_file_free (files[i]);
  g_assert_cmpuint (count (fixture, &n), <=, fixture->size);
}

/* Another process has a file; it stays as long as that lives, however it ends. */
static void
test_other_process (Fixture *fixture, gconstpointer data)
{
  g_autofree char *path = NULL;
  TandemStageFile *file = get (fixture, 1, PLENTY);
  int ready[2], status;
  char byte;
  pid_t child;

  path = g_strdup (file->path);
  tandem_stage_file_free (file);
  g_assert_cmpint (pipe (ready), ==, 0);
  child = fork ();
  if (child == 0) {
    int fd = open (path, O_RDONLY);

    if (fd < 0 || flock (fd, LOCK_SH) != 0 || write (ready[1], "x", 1) != 1)
      _exit (1);
    pause ();
    _exit (1);
  }
  g_assert_cmpint (read (ready[0], &byte, 1), ==, 1);
  use (fixture, 2, 0);
  use (fixture, 3, 0);
  g_assert_true (g_file_test (path, G_FILE_TEST_EXISTS));
  kill (child, SIGKILL);
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  use (fixture, 2, 0);
  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
  close (ready[0]);
  close (ready[1]);
}

/* A file that somebody changed is not what its note says. */
static void
test_changed (Fixture *fixture, gconstpointer data)
{
  gboolean truncated = GPOINTER_TO_INT (data);
  g_autoptr (TandemStageFile) file = get (fixture, 1, PLENTY), again = NULL;
  g_autofree char *text = NULL, *digest = NULL;
  gsize size;
  int fd = open (file->path, O_RDWR);

  g_assert_cmpint (fd, >=, 0);
  if (truncated)
    g_assert_cmpint (ftruncate (fd, 100), ==, 0);
  else
    g_assert_cmpint (pwrite (fd, "#####", 5, 200), ==, 5);
  close (fd);
  again = get (fixture, 1, PLENTY);
  g_assert_true (g_file_get_contents (again->path, &text, &size, NULL));
  digest = g_compute_checksum_for_data (G_CHECKSUM_SHA256, (const guint8 *) text, size);
  g_assert_cmpstr (again->digest, ==, digest);
  g_assert_cmpuint (size, ==, fixture->size);
}

/* What a process left that was killed while it cut goes; what one is cutting stays. */
static void
test_leftovers (Fixture *fixture, gconstpointer data)
{
  g_autofree char *dead = g_build_filename (fixture->cut, "work-dead", NULL);
  g_autofree char *alive = g_build_filename (fixture->cut, "work-alive", NULL);
  g_autofree char *lock = g_build_filename (alive, "lock", NULL);
  g_autofree char *old_lock = g_build_filename (dead, "lock", NULL);
  g_autofree char *part = g_build_filename (dead, ".stage.x2Zq1b", NULL);
  int fd;

  g_assert_cmpint (g_mkdir_with_parents (dead, 0700), ==, 0);
  g_assert_cmpint (g_mkdir_with_parents (alive, 0700), ==, 0);
  g_assert_true (g_file_set_contents (old_lock, "", 0, NULL));
  g_assert_true (g_file_set_contents (part, "part", -1, NULL));
  fd = open (lock, O_RDWR | O_CREAT, 0600);
  g_assert_cmpint (flock (fd, LOCK_EX), ==, 0);
  use (fixture, 1, PLENTY);
  g_assert_false (g_file_test (dead, G_FILE_TEST_EXISTS));
  g_assert_true (g_file_test (lock, G_FILE_TEST_EXISTS));
  close (fd);
  use (fixture, 1, PLENTY);
  g_assert_false (g_file_test (alive, G_FILE_TEST_EXISTS));
}

static void
test_failures (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  guint n;

  g_cancellable_cancel (cancellable);
  g_assert_null (tandem_stage_files_get (fixture->model, 1, 1, PLENTY, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_null (tandem_stage_files_get (fixture->model, 1, LAYERS, PLENTY, NULL, &error));
  g_assert_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_LAYERS);
  g_clear_error (&error);
  g_assert_cmpuint (count (fixture, &n), ==, 0);

  tandem_test_remove_folder (g_strdup (fixture->cut));
  g_assert_true (g_file_set_contents (fixture->cut, "", 0, NULL));
  g_assert_null (tandem_stage_files_get (fixture->model, 1, 1, PLENTY, NULL, &error));
  g_assert_nonnull (error);
  g_assert_nonnull (strstr (error->message, fixture->cut));
  g_unlink (fixture->cut);
}

static gpointer
get_in_thread (gpointer data)
{
  return get (data, 2, 0);
}

/* Some cut, others find it cut; all have the same file, and then it goes. */
static void
test_at_a_time (Fixture *fixture, gconstpointer data)
{
  GThread *threads[8];
  TandemStageFile *files[G_N_ELEMENTS (threads)];
  guint i, n;

  for (i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("get", get_in_thread, fixture);
  for (i = 0; i < G_N_ELEMENTS (threads); i++) {
    files[i] = g_thread_join (threads[i]);
    g_assert_cmpstr (files[i]->path, ==, files[0]->path);
  }
  g_assert_true (g_file_test (files[0]->path, G_FILE_TEST_EXISTS));
  for (i = 0; i < G_N_ELEMENTS (threads); i++)
    tandem_stage_file_free (files[i]);
  g_assert_cmpuint (count (fixture, &n), ==, 0);
}

#define ADD(path, data, func) \
  g_test_add ("/cluster/stage-files/" path, Fixture, data, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  int status;

  cache = tandem_test_make_folder ();
  g_setenv ("XDG_CACHE_HOME", cache, TRUE);
  g_test_init (&argc, &argv, NULL);
  ADD ("once", NULL, test_once);
  ADD ("kept", NULL, test_kept);
  ADD ("bound", NULL, test_bound);
  ADD ("in-use", NULL, test_in_use);
  ADD ("other-process", NULL, test_other_process);
  ADD ("changed", GINT_TO_POINTER (FALSE), test_changed);
  ADD ("truncated", GINT_TO_POINTER (TRUE), test_changed);
  ADD ("leftovers", NULL, test_leftovers);
  ADD ("failures", NULL, test_failures);
  ADD ("at-a-time", NULL, test_at_a_time);
  status = g_test_run ();
  tandem_test_remove_folder (cache);
  return status;
}
