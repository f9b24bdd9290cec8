/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tandem split: cuts stage files out of a model. */

#include "config.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <string.h>

#include "tandem-command.h"
#include "tandem.h"

#define SUFFIX ".safetensors"

typedef struct
{
  guint first, last;
  char *path;
} Part;

static void
part_clear (gpointer data)
{
  Part *part = data;

  g_free (part->path);
}

/* What the files are called after: the folder, or a stage file without what an
 * earlier split added. */
static char *
get_model_name (const char *path)
{
  g_autofree char *whole = g_canonicalize_filename (path, NULL);
  g_autofree char *base = g_path_get_basename (whole);
  char *layers;

  if (g_str_equal (base, "model" SUFFIX)) {
    g_autofree char *folder = g_path_get_dirname (whole);

    return g_path_get_basename (folder);
  }
  if (g_str_has_suffix (base, SUFFIX))
    base[strlen (base) - strlen (SUFFIX)] = '\0';
  layers = g_strrstr (base, "-layers-");
  if (layers != NULL && layers != base &&
      layers[strlen ("-layers-") + strspn (layers + strlen ("-layers-"), "0123456789-")] == '\0')
    *layers = '\0';
  return g_steal_pointer (&base);
}

/* Reads "0-0,1-1" and names the file of each range. */
static GArray *
parse_parts (const char *layers, TandemModel *model, const char *folder, GError **error)
{
  g_autoptr (GArray) parts = g_array_new (FALSE, TRUE, sizeof (Part));
  g_auto (GStrv) texts = g_strsplit (layers, ",", -1);
  g_autofree char *name = get_model_name (tandem_model_get_path (model));
  guint i, other, first, last;

  g_array_set_clear_func (parts, part_clear);
  for (i = 0; i == 0 || texts[i] != NULL; i++) {
    g_autofree char *base = NULL;
    Part part;

    /* Of an empty text, g_strsplit() makes no part at all. */
    if (texts[i] == NULL || *g_strstrip (texts[i]) == '\0') {
      g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_LAYERS,
                   _("--layers=%s has an empty range"), layers);
      return NULL;
    }
    if (!tandem_model_parse_layers (texts[i], tandem_model_get_config (model)->n_layers,
                                    &part.first, &part.last, error))
      return NULL;
    tandem_model_get_layers (model, &first, &last);
    if (part.first < first || part.last > last) {
      g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_LAYERS,
                   _("the file holds layers %u-%u, --layers asks for %u-%u"), first, last,
                   part.first, part.last);
      return NULL;
    }
    for (other = 0; other < parts->len; other++) {
      const Part *before = &g_array_index (parts, Part, other);

      if (before->first == part.first && before->last == part.last) {
        g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_LAYERS,
                     _("--layers names %u-%u twice"), part.first, part.last);
        return NULL;
      }
    }
    base = g_strdup_printf ("%s-layers-%u-%u" SUFFIX, name, part.first, part.last);
    part.path = g_build_filename (folder, base, NULL);
    g_array_append_val (parts, part);
  }
  return g_steal_pointer (&parts);
}

/* Ranges may be any, for a device may hold more than its share; but those that
 * cannot make up the whole model are likely a slip. */
static void
warn_about_coverage (GArray *parts, TandemModel *model)
{
  guint first, last, layer, i;

  tandem_model_get_layers (model, &first, &last);
  for (layer = first; layer <= last; layer++) {
    guint n = 0;

    for (i = 0; i < parts->len; i++) {
      const Part *part = &g_array_index (parts, Part, i);

      n += part->first <= layer && layer <= part->last;
    }
    if (n == 0)
      tandem_command_warn (_("layer %u is in none of the files"), layer);
    else if (n > 1)
      tandem_command_warn (_("layer %u is in %u of the files"), layer, n);
  }
}

static gboolean
check_existing (GArray *parts, GError **error)
{
  guint i;

  for (i = 0; i < parts->len; i++) {
    const Part *part = &g_array_index (parts, Part, i);
    g_autofree char *display = g_filename_display_name (part->path);

    if (g_file_test (part->path, G_FILE_TEST_EXISTS)) {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_EXISTS,
                   _("%s is there already; --force replaces it"), display);
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
write_part (TandemModel *model, const Part *part, GCancellable *cancellable, GError **error)
{
  g_autofree char *display = g_filename_display_name (part->path);
  g_autoptr (TandemSafetensors) written = NULL;
  g_autofree char *size = NULL;
  GStatBuf st;

  if (!tandem_model_write_stage (model, part->first, part->last, part->path, cancellable, error))
    return FALSE;
  written = tandem_safetensors_open (part->path, error);
  if (written == NULL)
    return FALSE;
  size = g_format_size (g_stat (part->path, &st) == 0 ? st.st_size : 0);
  g_print (_("%s: layers %u-%u, %s\n"), display, part->first, part->last, size);
  if (part->first == 0 &&
      !tandem_safetensors_get_info (written, "tandem.vocabulary", NULL, NULL, NULL, NULL))
    tandem_command_warn (_("the model has no vocabulary, so %s holds none"), display);
  return TRUE;
}

static gboolean
split (TandemModel *model, GArray *parts, const char *folder, gboolean force,
       GCancellable *cancellable, GError **error)
{
  guint i;

  if (!force && !check_existing (parts, error))
    return FALSE;
  if (g_mkdir_with_parents (folder, 0777) != 0) {
    int saved = errno;
    g_autofree char *display = g_filename_display_name (folder);

    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved), "%s: %s", display,
                 g_strerror (saved));
    return FALSE;
  }
  for (i = 0; i < parts->len; i++)
    if (!write_part (model, &g_array_index (parts, Part, i), cancellable, error))
      return FALSE;
  return TRUE;
}

static int
run (char **args)
{
  g_autofree char *layers = NULL;
  g_autofree char *folder = NULL;
  gboolean force = FALSE;
  const GOptionEntry entries[] = {
    { "layers", 'l', G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &layers,
      N_("Ranges of layers, one file each: 0-0,1-1"), N_("RANGES") },
    { "output", 'o', G_OPTION_FLAG_NONE, G_OPTION_ARG_FILENAME, &folder,
      N_("Folder for the files; made where it is not there (default: this one)"), N_("DIR") },
    { "force", 'f', G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &force,
      N_("Replace files that are there already"), NULL },
    { NULL },
  };
  g_auto (GStrv) rest = g_strdupv (args);
  g_autoptr (GCancellable) cancellable = NULL;
  g_autoptr (TandemModel) model = NULL;
  g_autoptr (GArray) parts = NULL;
  g_autoptr (GError) error = NULL;

  if (!tandem_command_parse (&tandem_command_split, N_("MODEL"),
                             N_("MODEL is a Hugging Face folder or a stage file. The files are "
                                "called\nNAME-layers-FIRST-LAST.safetensors after the model."),
                             entries, &rest))
    return TANDEM_EXIT_USAGE;
  if (rest[1] == NULL || rest[2] != NULL)
    return tandem_command_usage (_("one MODEL is needed"));
  if (layers == NULL)
    return tandem_command_usage (_("--layers is needed, as --layers 0-0,1-1"));

  cancellable = tandem_command_catch_signals ();
  model = tandem_model_open (rest[1], cancellable, &error);
  if (model == NULL)
    return tandem_command_failed (error);
  parts = parse_parts (layers, model, folder != NULL ? folder : ".", &error);
  if (parts == NULL)
    return tandem_command_usage ("%s", error->message);
  warn_about_coverage (parts, model);
  if (!split (model, parts, folder != NULL ? folder : ".", force, cancellable, &error))
    return tandem_command_failed (error);
  return TANDEM_EXIT_OK;
}

const TandemCommand tandem_command_split = {
  .name = "split",
  .summary = N_("Cut stage files out of a model"),
  .run = run,
};
