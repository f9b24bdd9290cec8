/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* renameat2() */
#define _GNU_SOURCE

#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tandem-model-export-private.h"
#include "tandem-train-error.h"

static gboolean
fail_errno (const char *path, int code, GError **error)
{
  g_autofree char *display = g_filename_display_name (path);

  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code), "%s: %s", display,
               g_strerror (code));
  return FALSE;
}

static gboolean
sync_folder (const char *folder, GError **error)
{
  int fd = g_open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

  if (fd < 0)
    return fail_errno (folder, errno, error);
  /* Some file systems cannot sync a folder (EINVAL); a full disk shows here on others. */
  if (fsync (fd) != 0 && errno != EINVAL) {
    int saved = errno;

    close (fd);
    return fail_errno (folder, saved, error);
  }
  close (fd);
  return TRUE;
}

static gboolean
is_ours (const char *folder)
{
  g_autofree char *path = g_build_filename (folder, TANDEM_MODEL_WEIGHTS_FILE, NULL);
  g_autoptr (TandemSafetensors) file = tandem_safetensors_open (path, NULL);

  return file != NULL && tandem_safetensors_get_metadata (file, TANDEM_EXPORT_KEY) != NULL;
}

/* Whether nothing is lost with the folder, or nothing but files that are given up. */
static gboolean
check_replaceable (const char *folder, gboolean replace, GError **error)
{
  static const char *const known[] = {
    TANDEM_MODEL_CONFIG_FILE, TANDEM_MODEL_WEIGHTS_FILE, TANDEM_EXPORT_VOCABULARY_FILE,
    TANDEM_EXPORT_TOKENIZER_FILE, TANDEM_EXPORT_TOKENIZER_CONFIG_FILE, NULL
  };
  g_autofree char *display = g_filename_display_name (folder);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, error);
  gboolean empty = TRUE;
  const char *name;

  if (dir == NULL)
    return FALSE;
  while ((name = g_dir_read_name (dir)) != NULL) {
    g_autofree char *path = g_build_filename (folder, name, NULL);
    g_autofree char *display_name = g_filename_display_name (name);

    empty = FALSE;
    if (g_file_test (path, G_FILE_TEST_IS_DIR) && !g_file_test (path, G_FILE_TEST_IS_SYMLINK)) {
      g_set_error (error, TANDEM_TRAIN_ERROR, TANDEM_TRAIN_ERROR_EXISTS,
                   "%s: holds the folder \"%s\", so it is not replaced; choose another place",
                   display, display_name);
      return FALSE;
    }
    if (!replace && !g_strv_contains (known, name)) {
      g_set_error (error, TANDEM_TRAIN_ERROR, TANDEM_TRAIN_ERROR_EXISTS,
                   "%s: holds \"%s\", which is no part of a model that was exported; choose "
                   "another place or ask for the folder to be replaced", display, display_name);
      return FALSE;
    }
  }
  if (empty || replace || is_ours (folder))
    return TRUE;
  g_set_error (error, TANDEM_TRAIN_ERROR, TANDEM_TRAIN_ERROR_EXISTS,
               "%s: the model there is not one that Tandem exported; choose another place or ask "
               "for the folder to be replaced", display);
  return FALSE;
}

static void
remove_folder (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
    g_autofree char *path = g_build_filename (folder, name, NULL);

    g_unlink (path);
  }
  g_rmdir (folder);
}

/* Returns where path leads to; a new name there when nothing is there yet. */
static char *
resolve (const char *path, gboolean *exists, GError **error)
{
  char *found = realpath (path, NULL), *copy;

  *exists = found != NULL;
  if (found == NULL) {
    g_autofree char *absolute = NULL;

    if (errno != ENOENT || g_file_test (path, G_FILE_TEST_IS_SYMLINK)) {
      fail_errno (path, errno, error);
      return NULL;
    }
    absolute = g_canonicalize_filename (path, NULL);
    return g_steal_pointer (&absolute);
  }
  copy = g_strdup (found);
  free (found);
  if (g_file_test (copy, G_FILE_TEST_IS_DIR))
    return copy;
  fail_errno (copy, ENOTDIR, error);
  g_free (copy);
  return NULL;
}

TandemExportFolder *
tandem_export_folder_new (const char *path, gboolean replace, GError **error)
{
  g_autoptr (TandemExportFolder) self = g_new0 (TandemExportFolder, 1);
  g_autofree char *base = NULL;
  g_autofree char *parent = NULL;
  g_autofree char *temporary = NULL;

  self->target = resolve (path, &self->replaces, error);
  if (self->target == NULL ||
      (self->replaces && !check_replaceable (self->target, replace, error)))
    return NULL;
  base = g_path_get_basename (self->target);
  parent = g_path_get_dirname (self->target);
  temporary = g_strdup_printf ("%s/.%s.XXXXXX", parent, base);
  if (g_mkdir_with_parents (parent, 0777) != 0) {
    fail_errno (parent, errno, error);
    return NULL;
  }
  if (g_mkdtemp_full (temporary, 0777) == NULL) {
    fail_errno (self->target, errno, error);
    return NULL;
  }
  self->temporary = g_steal_pointer (&temporary);
  return g_steal_pointer (&self);
}

gboolean
tandem_export_folder_add (TandemExportFolder *self, const char *name, const char *text,
                          gssize length, GError **error)
{
  g_autofree char *path = g_build_filename (self->temporary, name, NULL);
  g_autoptr (GError) inner = NULL;

  if (g_file_set_contents_full (path, text, length, G_FILE_SET_CONTENTS_DURABLE, 0666, &inner))
    return TRUE;
  /* Names the place that was asked for, not the temporary one. */
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s: %s", self->target, inner->message);
  return FALSE;
}

/* Where the file system cannot swap names the old folder steps aside first. */
static gboolean
swap (TandemExportFolder *self, GError **error)
{
  g_autofree char *aside = NULL;

  if (renameat2 (AT_FDCWD, self->temporary, AT_FDCWD, self->target, RENAME_EXCHANGE) == 0)
    return TRUE;
  if (errno != EINVAL && errno != ENOSYS)
    return fail_errno (self->target, errno, error);
  aside = g_strconcat (self->temporary, ".old", NULL);
  if (g_rename (self->target, aside) != 0)
    return fail_errno (self->target, errno, error);
  if (g_rename (self->temporary, self->target) != 0) {
    int saved = errno;

    g_rename (aside, self->target);
    return fail_errno (self->target, saved, error);
  }
  g_free (self->temporary);
  self->temporary = g_steal_pointer (&aside);
  return TRUE;
}

gboolean
tandem_export_folder_commit (TandemExportFolder *self, GError **error)
{
  g_autofree char *parent = g_path_get_dirname (self->target);

  if (!sync_folder (self->temporary, error))
    return FALSE;
  if (self->replaces) {
    if (!swap (self, error))
      return FALSE;
  } else {
    if (g_rename (self->temporary, self->target) != 0)
      return fail_errno (self->target, errno, error);
    g_clear_pointer (&self->temporary, g_free);
  }
  return sync_folder (parent, error);
}

void
tandem_export_folder_free (TandemExportFolder *self)
{
  if (self->temporary != NULL)
    remove_folder (self->temporary);
  g_free (self->temporary);
  g_free (self->target);
  g_free (self);
}
