/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Cluster keys for tests, in a folder that goes with the process. */

#include "tandem.h"

#include <glib/gstdio.h>
#include <stdlib.h>

static char *keys_folder;

static inline void
keys_remove (void)
{
  g_autoptr (GDir) dir = g_dir_open (keys_folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
    g_autofree char *path = g_build_filename (keys_folder, name, NULL);

    g_unlink (path);
  }
  g_rmdir (keys_folder);
}

static inline char *
keys_path (const char *name)
{
  if (keys_folder == NULL) {
    keys_folder = g_dir_make_tmp ("tandem-keys-XXXXXX", NULL);
    g_assert_nonnull (keys_folder);
    atexit (keys_remove);
  }
  return g_build_filename (keys_folder, name, NULL);
}

/* The path of the key of that name, made at the first time; `seconds` from now it expires. */
static inline char *
keys_make (const char *name, gint64 seconds)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autoptr (GDateTime) expiry = g_date_time_add_seconds (now, seconds);
  g_autoptr (GError) error = NULL;
  char *path = keys_path (name);

  if (!g_file_test (path, G_FILE_TEST_EXISTS)) {
    tandem_cluster_key_create (path, name, expiry, &error);
    g_assert_no_error (error);
  }
  return path;
}
