/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "bert-checkpoint.h"

#include <errno.h>
#include <glib/gstdio.h>

#define STEP "tandem.step"
#define MICRO_BATCHES "tandem.micro-batches"
#define LAYERS "tandem.layers"

/* The checkpoint before: two devices may stop between their writes, and then the one that is
 * ahead goes back to it. */
static char *
get_previous (const char *path)
{
  return g_strconcat (path, "~", NULL);
}

static char *
get_layers (TandemTrainStage *stage)
{
  guint first, last;

  tandem_train_stage_get_layers (stage, &first, &last);
  return g_strdup_printf ("%u-%u", first, last);
}

gboolean
bert_checkpoint_write (TandemTrainStage *stage, const char *path, const BertCheckpoint *at,
                       GError **error)
{
  g_autofree char *previous = get_previous (path);
  g_autoptr (GHashTable) tensors = tandem_train_stage_get_state (stage);
  g_autoptr (GHashTable) metadata =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_autofree char *next = g_strconcat (path, ".new", NULL);

  tandem_checkpoint_set_uint64 (metadata, STEP, at->step);
  tandem_checkpoint_set_uint64 (metadata, MICRO_BATCHES, at->micro_batches);
  g_hash_table_insert (metadata, g_strdup (LAYERS), get_layers (stage));
  /* Complete before anything is moved: a full disk leaves both as they are. */
  if (!tandem_checkpoint_write (next, metadata, tensors, NULL, error))
    return FALSE;
  if ((g_file_test (path, G_FILE_TEST_EXISTS) && g_rename (path, previous) != 0) ||
      g_rename (next, path) != 0) {
    int saved = errno;

    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved), "%s: %s", path,
                 g_strerror (saved));
    return FALSE;
  }
  return TRUE;
}

gboolean
bert_checkpoint_read (TandemTrainStage *stage, const char *path, gboolean *found,
                      BertCheckpoint *at, GError **error)
{
  g_autofree char *previous = get_previous (path);
  g_autofree char *layers = get_layers (stage);
  /* Writing stopped between the two renames. */
  const char *present = g_file_test (path, G_FILE_TEST_EXISTS) ? path : previous;
  g_autoptr (TandemCheckpoint) file = NULL;
  g_autoptr (GHashTable) tensors = NULL;
  const char *held;

  *found = g_file_test (present, G_FILE_TEST_EXISTS);
  if (!*found)
    return TRUE;
  file = tandem_checkpoint_open (present, error);
  if (file == NULL || !tandem_checkpoint_get_uint64 (file, STEP, &at->step, error) ||
      !tandem_checkpoint_get_uint64 (file, MICRO_BATCHES, &at->micro_batches, error) ||
      (held = tandem_checkpoint_get_string (file, LAYERS, error)) == NULL)
    return FALSE;
  if (!g_str_equal (held, layers)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 "%s: the checkpoint is of layers %s, this stage has layers %s", present,
                 held, layers);
    return FALSE;
  }
  tensors = tandem_checkpoint_get_tensors (file, error);
  if (tensors == NULL || !tandem_train_stage_set_state (stage, tensors, error)) {
    g_prefix_error (error, "%s: ", present);
    return FALSE;
  }
  return TRUE;
}
