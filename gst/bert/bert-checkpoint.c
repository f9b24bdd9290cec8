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

static gboolean
move (const char *from, const char *to, GError **error)
{
  int saved;

  if (g_rename (from, to) == 0)
    return TRUE;
  saved = errno;
  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved), "%s: %s", to, g_strerror (saved));
  return FALSE;
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
  return (!g_file_test (path, G_FILE_TEST_EXISTS) || move (path, previous, error)) &&
      move (next, path, error);
}

/* Writing may have stopped between the two renames. */
static char *
get_newest (const char *path)
{
  return g_file_test (path, G_FILE_TEST_EXISTS) ? g_strdup (path) : get_previous (path);
}

static TandemCheckpoint *
open_checkpoint (TandemTrainStage *stage, const char *path, BertCheckpoint *at, GError **error)
{
  g_autofree char *layers = get_layers (stage);
  g_autoptr (TandemCheckpoint) file = tandem_checkpoint_open (path, error);
  const char *held;

  if (file == NULL || !tandem_checkpoint_get_uint64 (file, STEP, &at->step, error) ||
      !tandem_checkpoint_get_uint64 (file, MICRO_BATCHES, &at->micro_batches, error) ||
      (held = tandem_checkpoint_get_string (file, LAYERS, error)) == NULL)
    return NULL;
  if (!g_str_equal (held, layers)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 "%s: the checkpoint is of layers %s, this stage has layers %s", path, held,
                 layers);
    return NULL;
  }
  return g_steal_pointer (&file);
}

gboolean
bert_checkpoint_find (TandemTrainStage *stage, const char *path, BertCheckpoints *found,
                      GError **error)
{
  g_autofree char *newest = get_newest (path), *previous = get_previous (path);
  g_autoptr (TandemCheckpoint) first = NULL, second = NULL;
  BertCheckpoint at;

  found->n = 0;
  if (!g_file_test (newest, G_FILE_TEST_EXISTS))
    return TRUE;
  first = open_checkpoint (stage, newest, &at, error);
  if (first == NULL)
    return FALSE;
  found->steps[found->n++] = at.step;
  second = open_checkpoint (stage, previous, &at, NULL);
  if (second != NULL && at.step < found->steps[0])
    found->steps[found->n++] = at.step;
  return TRUE;
}

gboolean
bert_checkpoint_read (TandemTrainStage *stage, const char *path, guint64 step, BertCheckpoint *at,
                      GError **error)
{
  g_autofree char *newest = get_newest (path), *previous = get_previous (path);
  const char *names[] = { newest, previous };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autoptr (TandemCheckpoint) file = open_checkpoint (stage, names[i], at, error);
    g_autoptr (GHashTable) tensors = NULL;

    if (file == NULL)
      return FALSE;
    if (at->step != step)
      continue;
    tensors = tandem_checkpoint_get_tensors (file, error);
    if (tensors != NULL && tandem_train_stage_set_state (stage, tensors, error))
      return i == 0 || move (previous, path, error);
    g_prefix_error (error, "%s: ", names[i]);
    return FALSE;
  }
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
               "%s: it is no longer of step %" G_GUINT64_FORMAT, path, step);
  return FALSE;
}
