/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The files of a training that may be killed at any moment. */

#include "config.h"

#include "tandem-train-state.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <sys/file.h>
#include <unistd.h>

#define WORK "work"
#define INITIAL "initial"
#define LOCK "lock"

static gboolean
fail (const char *path, GError **error)
{
  int saved = errno;
  g_autofree char *display = g_filename_display_name (path);

  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved), "%s: %s", display,
               g_strerror (saved));
  return FALSE;
}

void
train_remove (const char *path)
{
  g_autoptr (GDir) dir = NULL;
  const char *name;

  if (g_file_test (path, G_FILE_TEST_IS_DIR) && !g_file_test (path, G_FILE_TEST_IS_SYMLINK))
    dir = g_dir_open (path, 0, NULL);
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
    g_autofree char *inner = g_build_filename (path, name, NULL);

    train_remove (inner);
  }
  g_remove (path);
}

char *
train_state_get_path (const TrainState *self, const char *format, ...)
{
  g_autofree char *name = NULL;
  va_list args;

  va_start (args, format);
  name = g_strdup_vprintf (format, args);
  va_end (args);
  return g_build_filename (self->folder, name, NULL);
}

void
train_state_free (TrainState *self)
{
  if (self->lock >= 0)
    close (self->lock);
  g_free (self->folder);
  g_free (self->data);
  g_array_unref (self->losses);
  g_array_unref (self->measurements);
  g_free (self);
}

static gboolean
lock (TrainState *self, GError **error)
{
  g_autofree char *path = train_state_get_path (self, LOCK);

  self->lock = g_open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (self->lock < 0)
    return fail (path, error);
  if (flock (self->lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_BUSY, _("another training works in %s"),
               self->folder);
  return FALSE;
}

static gboolean
check_output (const TrainOptions *options, const TrainState *state, GError **error)
{
  g_autofree char *begun = train_state_get_path (state, TRAIN_OPTIONS_FILE);
  g_autofree char *model = g_build_filename (options->output, "config.json", NULL);
  const char *text = NULL;

  if (options->resume || options->force)
    return TRUE;
  if (g_file_test (begun, G_FILE_TEST_EXISTS))
    text = _("%s holds a training: --resume goes on with it, --force begins anew");
  else if (g_file_test (model, G_FILE_TEST_EXISTS))
    text = _("%s holds a model: --force replaces it");
  if (text != NULL)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_EXISTS, text, options->output);
  return text == NULL;
}

void
train_state_clean (TrainState *self)
{
  g_autofree char *step = g_strdup_printf ("step-%" G_GUINT64_FORMAT, self->step);
  g_autofree char *model = g_strdup_printf ("model-%" G_GUINT64_FORMAT, self->model_step);
  g_autoptr (GDir) dir = g_dir_open (self->folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
    g_autofree char *path = g_build_filename (self->folder, name, NULL);

    if (!g_str_equal (name, LOCK) && !g_str_equal (name, INITIAL) &&
        !g_str_equal (name, TRAIN_OPTIONS_FILE) && !g_str_equal (name, "state.json") &&
        !g_str_equal (name, step) && !(self->has_model && g_str_equal (name, model)))
      train_remove (path);
  }
}

TrainState *
train_state_open (const TrainOptions *options, guint n_stages, GError **error)
{
  g_autoptr (TrainState) self = g_new0 (TrainState, 1);
  gboolean found;

  self->folder = g_build_filename (options->output, TRAIN_CHECKPOINT_FOLDER, NULL);
  self->lock = -1;
  self->n_stages = n_stages;
  self->losses = g_array_new (FALSE, FALSE, sizeof (double));
  self->measurements = g_array_new (FALSE, TRUE, sizeof (TrainMeasurement));
  self->stopping.higher_is_better = TRUE;
  if (!check_output (options, self, error))
    return NULL;
  if (g_mkdir_with_parents (self->folder, 0777) != 0) {
    fail (self->folder, error);
    return NULL;
  }
  if (!lock (self, error))
    return NULL;
  if (!options->resume) {
    g_autofree char *begun = train_state_get_path (self, TRAIN_OPTIONS_FILE);
    g_autofree char *state = train_state_get_path (self, "state.json");
    g_autofree char *initial = train_state_get_path (self, INITIAL);

    /* The first one first: without it there is no training to go on with. */
    train_remove (begun);
    train_remove (state);
    train_remove (initial);
  } else if (!train_state_load (self, &found, error)) {
    return NULL;
  }
  train_state_clean (self);
  return g_steal_pointer (&self);
}

/* The other name of a file, or on file systems that have no such a copy of it. */
static gboolean
link_file (const char *from, const char *to, GError **error)
{
  g_autoptr (GFile) source = NULL, target = NULL;

  if (link (from, to) == 0)
    return TRUE;
  source = g_file_new_for_path (from);
  target = g_file_new_for_path (to);
  return g_file_copy (source, target, G_FILE_COPY_OVERWRITE, NULL, NULL, NULL, error);
}

char *
train_state_begin (TrainState *self, GError **error)
{
  g_autofree char *work = train_state_get_path (self, WORK);
  g_autofree char *step = train_state_get_path (self, "step-%" G_GUINT64_FORMAT, self->step);
  guint i;

  train_remove (work);
  if (g_mkdir (work, 0777) != 0) {
    fail (work, error);
    return NULL;
  }
  /* A stage replaces its file; the one in the folder of the step stays. */
  for (i = 0; self->step > 0 && i < self->n_stages; i++) {
    g_autofree char *from = train_pipeline_get_file (step, i);
    g_autofree char *to = train_pipeline_get_file (work, i);

    if (!link_file (from, to, error))
      return NULL;
  }
  return g_steal_pointer (&work);
}

gboolean
train_state_commit (TrainState *self, guint64 step, GError **error)
{
  g_autofree char *work = train_state_get_path (self, WORK);
  g_autofree char *target = train_state_get_path (self, "step-%" G_GUINT64_FORMAT, step);
  guint i;

  if (step > self->step) {
    for (i = 0; i < self->n_stages; i++) {
      g_autofree char *file = train_pipeline_get_file (work, i);
      g_autofree char *previous = g_strconcat (file, "~", NULL);

      g_remove (previous);
    }
    if (g_rename (work, target) != 0)
      return fail (target, error);
    self->step = step;
  }
  if (!train_state_save (self, error))
    return FALSE;
  train_state_clean (self);
  return TRUE;
}
