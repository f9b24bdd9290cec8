/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Stands in for libFuzzer's main(): gives every file of the folders named on
 * the command line to the target once, so that each input that ever mattered
 * is tried in every test run. */

#include <glib.h>
#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return g_strcmp0 (*(const char *const *) a, *(const char *const *) b);
}

int
main (int argc, char **argv)
{
  g_autoptr (GPtrArray) paths = g_ptr_array_new_with_free_func (g_free);
  guint n;
  int i;

  for (i = 1; i < argc; i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (GDir) dir = g_dir_open (argv[i], 0, &error);
    const char *name;

    if (dir == NULL) {
      printf ("Bail out! %s\n", error->message);
      return 1;
    }
    while ((name = g_dir_read_name (dir)) != NULL)
      g_ptr_array_add (paths, g_build_filename (argv[i], name, NULL));
  }
  if (paths->len == 0) {
    printf ("Bail out! the corpus is empty\n");
    return 1;
  }
  g_ptr_array_sort (paths, compare_names);

  printf ("1..%u\n", paths->len);
  for (n = 0; n < paths->len; n++) {
    const char *path = g_ptr_array_index (paths, n);
    g_autofree char *contents = NULL;
    g_autofree char *base = g_path_get_basename (path);
    g_autoptr (GError) error = NULL;
    gsize length;

    if (!g_file_get_contents (path, &contents, &length, &error)) {
      printf ("not ok %u - %s: %s\n", n + 1, base, error->message);
      return 1;
    }
    /* A copy of the exact size lets AddressSanitizer see reads past the end. */
    g_autofree guint8 *exact = g_memdup2 (contents, length);

    LLVMFuzzerTestOneInput (exact, length);
    printf ("ok %u - %s\n", n + 1, base);
    fflush (stdout);
  }
  return 0;
}
