/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The folder of stage files: its bound, what goes first, what is resumed, what is refused. */

#include "tandem.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "node/tandem-stage-cache.h"
#include "tandem-test-model.h"

#define N_STAGES 4

typedef struct
{
  char *folder;
  char *cache;
  GBytes *files[N_STAGES];
  char *digests[N_STAGES];
} Fixture;

/* Layers of models that differ in their weights alone: files of one size. */
static void
set_up (Fixture *fixture, gconstpointer data)
{
  guint i;

  fixture->folder = tandem_test_make_folder ();
  fixture->cache = g_build_filename (fixture->folder, "cache", NULL);
  for (i = 0; i < N_STAGES; i++) {
    TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
    g_autofree char *name = g_strdup_printf ("model-%u", i);
    g_autofree char *model_path = g_build_filename (fixture->folder, name, NULL);
    g_autofree char *path = g_strconcat (model_path, ".safetensors", NULL);
    g_autoptr (TandemModel) model = NULL;
    g_autoptr (GError) error = NULL;
    char *text;
    gsize size;

    spec.seed = i + 1;
    tandem_test_model_write (&spec, model_path);
    model = tandem_model_open (model_path, NULL, &error);
    g_assert_no_error (error);
    tandem_model_write_stage (model, 1, 1, path, NULL, &error);
    g_assert_no_error (error);
    g_assert_true (g_file_get_contents (path, &text, &size, NULL));
    fixture->files[i] = g_bytes_new_take (text, size);
    fixture->digests[i] = g_compute_checksum_for_bytes (G_CHECKSUM_SHA256, fixture->files[i]);
    g_assert_cmpuint (size, ==, g_bytes_get_size (fixture->files[0]));
  }
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  guint i;

  for (i = 0; i < N_STAGES; i++) {
    g_bytes_unref (fixture->files[i]);
    g_free (fixture->digests[i]);
  }
  g_free (fixture->cache);
  tandem_test_remove_folder (fixture->folder);
}

static gsize
get_size (Fixture *fixture)
{
  return g_bytes_get_size (fixture->files[0]);
}

static TandemStageCache *
open_cache (Fixture *fixture, guint64 limit)
{
  g_autoptr (GError) error = NULL;
  TandemStageCache *cache = tandem_stage_cache_open (fixture->cache, limit, &error);

  g_assert_no_error (error);
  return cache;
}

/* Sends what is missing of a file up to `end`; finishes when that is all of it. */
static gboolean
put_until (Fixture *fixture, TandemStageCache *cache, guint i, gsize end, GError **error)
{
  gsize size = get_size (fixture);
  TandemStageUpload *upload = tandem_stage_cache_begin (cache, fixture->digests[i], size, error);
  gboolean ok = upload != NULL && tandem_stage_upload_open (upload, NULL, error);

  while (ok && tandem_stage_upload_get_offset (upload) < end) {
    gsize offset = tandem_stage_upload_get_offset (upload);
    g_autoptr (GBytes) piece =
        g_bytes_new_from_bytes (fixture->files[i], offset, MIN (777, end - offset));

    ok = tandem_stage_upload_write (upload, piece, error);
  }
  if (ok && end == size)
    ok = tandem_stage_upload_finish (upload, NULL, error);
  if (upload != NULL)
    tandem_stage_cache_end (cache, upload);
  return ok;
}

static void
put (Fixture *fixture, TandemStageCache *cache, guint i)
{
  g_autoptr (GError) error = NULL;

  put_until (fixture, cache, i, get_size (fixture), &error);
  g_assert_no_error (error);
}

static gboolean
has (Fixture *fixture, TandemStageCache *cache, guint i)
{
  g_autofree char *path = tandem_stage_cache_get_path (cache, fixture->digests[i]);
  gboolean listed = tandem_stage_cache_lookup (cache, fixture->digests[i]) != NULL;

  g_assert_cmpint (listed, ==, g_file_test (path, G_FILE_TEST_EXISTS));
  return listed;
}

static void
test_store (Fixture *fixture, gconstpointer data)
{
  TandemStageCache *cache = open_cache (fixture, 1 << 20);
  const TandemCachedStage *stage;
  g_autofree char *path = NULL, *text = NULL;
  gsize size;

  put (fixture, cache, 0);
  stage = tandem_stage_cache_lookup (cache, fixture->digests[0]);
  g_assert_cmpuint (stage->bytes, ==, get_size (fixture));
  g_assert_cmpuint (stage->first_layer, ==, 1);
  g_assert_cmpuint (stage->last_layer, ==, 1);
  g_assert_cmpuint (stage->n_layers, ==, 2);
  path = tandem_stage_cache_get_path (cache, fixture->digests[0]);
  g_assert_true (g_file_get_contents (path, &text, &size, NULL));
  g_assert_cmpmem (text, size, g_bytes_get_data (fixture->files[0], NULL), get_size (fixture));
  tandem_stage_cache_free (cache);

  /* As another process finds it. */
  cache = open_cache (fixture, 1 << 20);
  g_assert_true (has (fixture, cache, 0));
  g_assert_cmpuint (tandem_stage_cache_get_used (cache), ==, get_size (fixture));
  tandem_stage_cache_free (cache);
}

/* What was not used for longest goes, never what runs, and the bound holds all the time. */
static void
test_bound (Fixture *fixture, gconstpointer data)
{
  gsize limit = 2 * get_size (fixture) + 100;
  TandemStageCache *cache = open_cache (fixture, limit);
  g_autoptr (GError) error = NULL;

  put (fixture, cache, 0);
  put (fixture, cache, 1);
  tandem_stage_cache_pin (cache, fixture->digests[0]);
  tandem_stage_cache_unpin (cache, fixture->digests[0]);
  put (fixture, cache, 2);
  g_assert_true (has (fixture, cache, 0));
  g_assert_false (has (fixture, cache, 1));
  g_assert_true (has (fixture, cache, 2));
  g_assert_cmpuint (tandem_stage_cache_get_used (cache), <=, limit);

  tandem_stage_cache_pin (cache, fixture->digests[0]);
  put (fixture, cache, 3);
  g_assert_true (has (fixture, cache, 0));
  g_assert_false (has (fixture, cache, 2));

  /* Nothing goes for what would not fit all the same. */
  tandem_stage_cache_pin (cache, fixture->digests[3]);
  g_assert_false (put_until (fixture, cache, 1, get_size (fixture), &error));
  g_assert_error (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_NO_SPACE);
  g_assert_true (has (fixture, cache, 0));
  g_assert_true (has (fixture, cache, 3));
  tandem_stage_cache_unpin (cache, fixture->digests[0]);
  tandem_stage_cache_unpin (cache, fixture->digests[3]);
  tandem_stage_cache_free (cache);

  /* A smaller limit holds from the start. */
  cache = open_cache (fixture, get_size (fixture));
  g_assert_cmpuint (tandem_stage_cache_get_used (cache), <=, get_size (fixture));
  g_assert_true (has (fixture, cache, 3));
  tandem_stage_cache_free (cache);
}

static void
test_resume (Fixture *fixture, gconstpointer data)
{
  TandemStageCache *cache = open_cache (fixture, 1 << 20);
  g_autoptr (GError) error = NULL;

  g_assert_true (put_until (fixture, cache, 0, 5000, &error));
  g_assert_false (has (fixture, cache, 0));
  tandem_stage_cache_free (cache);
  cache = open_cache (fixture, 1 << 20);
  g_assert_cmpuint (tandem_stage_cache_get_partial (cache, fixture->digests[0]), ==, 5000);
  g_assert_cmpuint (tandem_stage_cache_get_used (cache), ==, 5000);
  put (fixture, cache, 0);
  g_assert_true (has (fixture, cache, 0));
  g_assert_cmpuint (tandem_stage_cache_get_partial (cache, fixture->digests[0]), ==, 0);
  tandem_stage_cache_free (cache);
}

/* The part that is there is of something else, or too long: the whole is sent again. */
static void
test_spoiled_part (Fixture *fixture, gconstpointer data)
{
  TandemStageCache *cache = open_cache (fixture, 1 << 20);
  g_autofree char *name = g_strconcat (fixture->digests[0], ".part", NULL);
  g_autofree char *path = g_build_filename (fixture->cache, name, NULL);
  g_autofree char *zeros = g_malloc0 (2 * get_size (fixture));
  g_autoptr (GError) error = NULL;

  g_assert_true (g_file_set_contents (path, zeros, 4000, NULL));
  g_assert_false (put_until (fixture, cache, 0, get_size (fixture), &error));
  g_assert_error (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_CORRUPT);
  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
  put (fixture, cache, 0);
  tandem_stage_cache_remove (cache, fixture->digests[0]);

  g_assert_true (g_file_set_contents (path, zeros, 2 * get_size (fixture), NULL));
  put (fixture, cache, 0);
  g_assert_true (has (fixture, cache, 0));
  tandem_stage_cache_free (cache);
}

/* A file with the right digest that is no stage file. */
static void
test_no_stage (Fixture *fixture, gconstpointer data)
{
  TandemStageCache *cache = open_cache (fixture, 1 << 20);
  g_autoptr (GError) error = NULL;
  g_autofree char *text = g_strnfill (get_size (fixture), '#');

  g_bytes_unref (fixture->files[0]);
  fixture->files[0] = g_bytes_new (text, strlen (text));
  g_free (fixture->digests[0]);
  fixture->digests[0] = g_compute_checksum_for_bytes (G_CHECKSUM_SHA256, fixture->files[0]);
  g_assert_false (put_until (fixture, cache, 0, get_size (fixture), &error));
  g_assert_error (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_CORRUPT);
  g_assert_false (has (fixture, cache, 0));
  g_assert_cmpuint (tandem_stage_cache_get_used (cache), ==, 0);
  tandem_stage_cache_free (cache);
}

/* What is in the folder at the start and not as we leave it. */
static void
test_damaged_folder (Fixture *fixture, gconstpointer data)
{
  TandemStageCache *cache = open_cache (fixture, 1 << 20);
  g_autofree char *first = tandem_stage_cache_get_path (cache, fixture->digests[0]);
  g_autofree char *note = g_strdup_printf ("%s/%s.json", fixture->cache, fixture->digests[1]);
  g_autofree char *link = g_strdup_printf ("%s/%s.part", fixture->cache, fixture->digests[2]);
  g_autofree char *target = g_build_filename (fixture->folder, "precious", NULL);
  g_autofree char *stranger = g_build_filename (fixture->cache, "README", NULL);
  g_autofree char *kept = NULL;
  g_autoptr (GError) error = NULL;

  put (fixture, cache, 0);
  put (fixture, cache, 1);
  tandem_stage_cache_free (cache);
  g_assert_cmpint (truncate (first, 100), ==, 0);
  g_assert_true (g_file_set_contents (note, "{\"version\":1,\"bytes\":-1}", -1, NULL));
  g_assert_true (g_file_set_contents (target, "precious", -1, NULL));
  g_assert_cmpint (symlink (target, link), ==, 0);
  g_assert_true (g_file_set_contents (stranger, "mine", -1, NULL));

  cache = open_cache (fixture, 1 << 20);
  g_assert_false (has (fixture, cache, 0));
  g_assert_false (has (fixture, cache, 1));
  g_assert_cmpuint (tandem_stage_cache_get_used (cache), ==, 0);
  g_assert_true (g_file_test (stranger, G_FILE_TEST_EXISTS));

  /* A link that comes later is not followed. */
  g_unlink (link);
  g_assert_cmpint (symlink (target, link), ==, 0);
  g_assert_false (put_until (fixture, cache, 2, get_size (fixture), &error));
  g_assert_error (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_FAILED);
  g_assert_true (g_file_get_contents (target, &kept, NULL, NULL));
  g_assert_cmpstr (kept, ==, "precious");
  tandem_stage_cache_free (cache);
}

static void
test_one_owner (Fixture *fixture, gconstpointer data)
{
  TandemStageCache *cache = open_cache (fixture, 1 << 20);
  g_autoptr (GError) error = NULL;

  g_assert_null (tandem_stage_cache_open (fixture->cache, 1 << 20, &error));
  g_assert_error (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_BUSY);
  tandem_stage_cache_free (cache);
}

static void
test_two_uploads (Fixture *fixture, gconstpointer data)
{
  TandemStageCache *cache = open_cache (fixture, 1 << 20);
  g_autoptr (GError) error = NULL;
  TandemStageUpload *upload =
      tandem_stage_cache_begin (cache, fixture->digests[0], get_size (fixture), &error);
  g_autofree char *text = g_malloc0 (get_size (fixture) + 1);
  g_autoptr (GBytes) too_much = g_bytes_new (text, get_size (fixture) + 1);

  g_assert_no_error (error);
  g_assert_cmpuint (tandem_stage_cache_get_used (cache), ==, get_size (fixture));
  g_assert_null (tandem_stage_cache_begin (cache, fixture->digests[0], 5, &error));
  g_assert_error (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_BUSY);
  g_clear_error (&error);
  g_assert_true (tandem_stage_upload_open (upload, NULL, &error));
  g_assert_false (tandem_stage_upload_write (upload, too_much, &error));
  g_assert_error (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_INVALID);
  tandem_stage_cache_end (cache, upload);
  g_assert_cmpuint (tandem_stage_cache_get_used (cache), ==, 0);
  tandem_stage_cache_free (cache);
}

static void
test_names (void)
{
  g_autofree char *good = g_strnfill (64, 'a');
  g_autofree char *upper = g_strnfill (64, 'A');
  g_autofree char *path = g_strdup_printf ("../../%.58s", good);
  g_autofree char *slash = g_strdup_printf ("%.63s/", good);
  g_autofree char *dots = g_strdup_printf ("..%.62s", good);

  g_assert_true (tandem_stage_cache_is_digest (good));
  g_assert_false (tandem_stage_cache_is_digest (""));
  g_assert_false (tandem_stage_cache_is_digest (good + 1));
  g_assert_false (tandem_stage_cache_is_digest (upper));
  g_assert_false (tandem_stage_cache_is_digest (path));
  g_assert_false (tandem_stage_cache_is_digest (slash));
  g_assert_false (tandem_stage_cache_is_digest (dots));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, function) \
  g_test_add ("/node/cache/" name, Fixture, NULL, set_up, function, tear_down)
  ADD ("store", test_store);
  ADD ("bound", test_bound);
  ADD ("resume", test_resume);
  ADD ("spoiled-part", test_spoiled_part);
  ADD ("no-stage", test_no_stage);
  ADD ("damaged-folder", test_damaged_folder);
  ADD ("one-owner", test_one_owner);
  ADD ("two-uploads", test_two_uploads);
#undef ADD
  g_test_add_func ("/node/cache/names", test_names);
  return g_test_run ();
}
