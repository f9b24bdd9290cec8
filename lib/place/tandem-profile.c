/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <string.h>
#include <sys/utsname.h>

#include "place/tandem-profile-private.h"
#include "tandem-init.h"

G_DEFINE_BOXED_TYPE (TandemProfile, tandem_profile, tandem_profile_copy, tandem_profile_free)

/* What Linux calls the processor: x86 and some others name a model, ARM may name the
 * board. */
static char *
find_processor (void)
{
  static const char *const keys[] = { "model name", "Model", "Hardware", "cpu" };
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;
  struct utsname names;
  guint key, i;

  if (g_file_get_contents ("/proc/cpuinfo", &text, NULL, NULL) &&
      g_utf8_validate (text, -1, NULL)) {
    lines = g_strsplit (text, "\n", -1);
    for (key = 0; key < G_N_ELEMENTS (keys); key++) {
      for (i = 0; lines[i] != NULL; i++) {
        char *colon = strchr (lines[i], ':');

        if (colon == NULL)
          continue;
        *colon = '\0';
        g_strchomp (lines[i]);
        if (g_str_equal (lines[i], keys[key]) && *g_strstrip (colon + 1) != '\0')
          return g_strndup (colon + 1, 200);
        *colon = ':';
      }
    }
  }
  return g_strdup (uname (&names) == 0 ? names.machine : "unknown");
}

TandemProfile *
tandem_profile_new_here (TandemModel *model, TandemPrecision precision, guint n_threads)
{
  TandemProfile *self = g_new0 (TandemProfile, 1);

  self->model = g_strdup (tandem_model_get_fingerprint (model));
  self->n_layers = tandem_model_get_config (model)->n_layers;
  self->processor = find_processor ();
  self->n_cores = g_get_num_processors ();
  self->library = g_strdup (tandem_version ());
  self->n_threads = n_threads;
  self->precision = precision;
  return self;
}

/**
 * tandem_profile_copy:
 * @self: a profile
 *
 * Returns: (transfer full): a copy
 */
TandemProfile *
tandem_profile_copy (const TandemProfile *self)
{
  TandemProfile *copy = g_memdup2 (self, sizeof *self);

  copy->model = g_strdup (self->model);
  copy->processor = g_strdup (self->processor);
  copy->library = g_strdup (self->library);
  copy->samples = g_memdup2 (self->samples, self->n_samples * sizeof *self->samples);
  return copy;
}

/**
 * tandem_profile_free:
 * @self: (nullable): a profile
 *
 * Frees a profile.
 */
void
tandem_profile_free (TandemProfile *self)
{
  if (self == NULL)
    return;
  g_free (self->model);
  g_free (self->processor);
  g_free (self->library);
  g_free (self->samples);
  g_free (self);
}

static TandemCost
multiply (const TandemCost *cost, double load)
{
  TandemCost slower = { cost->fixed * load, cost->per_sequence * load, cost->per_token * load,
                        cost->per_square * load };

  return slower;
}

/**
 * tandem_profile_apply:
 * @self: a profile
 * @device: a device for the same number of layers
 *
 * Gives a device the times of a profile, under its load, and its number of threads.
 */
void
tandem_profile_apply (const TandemProfile *self, TandemDevice *device)
{
  guint i;

  g_return_if_fail (device->n_layers == self->n_layers);

  device->n_threads = self->n_threads;
  device->tokenize = multiply (&self->costs[TANDEM_PROFILE_TOKENIZE], self->load);
  device->embeddings = multiply (&self->costs[TANDEM_PROFILE_EMBEDDINGS], self->load);
  for (i = 0; i < device->n_layers; i++) {
    gboolean is_last = i + 1 == device->n_layers;

    device->layers[i] = multiply (&self->costs[is_last ? TANDEM_PROFILE_LAST_LAYER
                                                       : TANDEM_PROFILE_LAYER], self->load);
  }
}

/**
 * tandem_profile_part_to_string:
 * @part: a part
 *
 * Returns: (transfer none): its name in files: "tokenize", "embeddings", "layer" or "last_layer"
 */
const char *
tandem_profile_part_to_string (TandemProfilePart part)
{
  static const char *const names[] = { "tokenize", "embeddings", "layer", "last_layer" };

  g_return_val_if_fail (part < G_N_ELEMENTS (names), NULL);

  return names[part];
}
