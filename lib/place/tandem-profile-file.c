/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Profiles as JSON, and where they are kept: in the user's cache folder, under a name made of
 * all that they depend on. */

#include "config.h"

#include <string.h>

#include "place/tandem-place-error.h"
#include "place/tandem-placement-private.h"
#include "place/tandem-profile-private.h"

#define VERSION 1
#define MAX_SAMPLES 1000

static const char *
get_precision_name (TandemPrecision precision)
{
  return precision == TANDEM_PRECISION_BF16 ? "bf16" : "f32";
}

static void
add_whole (JsonBuilder *json, const char *member, guint64 value)
{
  json_builder_set_member_name (json, member);
  json_builder_add_int_value (json, (gint64) value);
}

static void
add_text (JsonBuilder *json, const char *member, const char *value)
{
  json_builder_set_member_name (json, member);
  json_builder_add_string_value (json, value);
}

static void
add_sample (JsonBuilder *json, const TandemProfileSample *sample)
{
  json_builder_begin_object (json);
  add_text (json, "part", tandem_profile_part_to_string (sample->part));
  add_whole (json, "sequences", sample->shape.n_sequences);
  add_whole (json, "tokens", sample->shape.n_tokens);
  add_whole (json, "squares", sample->shape.n_squares);
  json_builder_set_member_name (json, "seconds");
  json_builder_add_double_value (json, sample->seconds);
  add_whole (json, "runs", sample->n_runs);
  json_builder_end_object (json);
}

/**
 * tandem_profile_to_json:
 * @self: a profile
 *
 * Returns: (transfer full): the profile as text that tandem_profile_read() reads from a file
 */
char *
tandem_profile_to_json (const TandemProfile *self)
{
  g_autoptr (JsonBuilder) json = json_builder_new ();
  g_autoptr (JsonNode) root = NULL;
  guint i;

  json_builder_begin_object (json);
  add_whole (json, "version", VERSION);
  add_text (json, "model", self->model);
  add_whole (json, "layers", self->n_layers);
  add_text (json, "processor", self->processor);
  add_whole (json, "cores", self->n_cores);
  add_text (json, "library", self->library);
  add_whole (json, "threads", self->n_threads);
  add_text (json, "precision", get_precision_name (self->precision));
  json_builder_set_member_name (json, "load");
  json_builder_add_double_value (json, self->load);
  json_builder_set_member_name (json, "seconds");
  json_builder_begin_object (json);
  for (i = 0; i < TANDEM_PROFILE_N_PARTS; i++)
    tandem_place_add_cost (json, tandem_profile_part_to_string (i), &self->costs[i]);
  json_builder_end_object (json);
  json_builder_set_member_name (json, "samples");
  json_builder_begin_array (json);
  for (i = 0; i < self->n_samples; i++)
    add_sample (json, &self->samples[i]);
  json_builder_end_array (json);
  json_builder_end_object (json);
  root = json_builder_get_root (json);
  return json_to_string (root, TRUE);
}

gboolean
tandem_profile_read_seconds (const TandemPlaceObject *in, TandemCost costs[4])
{
  static const char *const known[] = { "tokenize", "embeddings", "layer", "last_layer", NULL };
  g_autofree char *path = NULL;
  TandemPlaceObject inner = *in;
  guint i;

  inner.object = tandem_place_get_object (in, "seconds", &path);
  inner.path = path;
  if (inner.object == NULL || !tandem_place_check_members (&inner, known))
    return FALSE;
  for (i = 0; i < TANDEM_PROFILE_N_PARTS; i++) {
    /* Who does not ask makes no tokens. */
    if (i == TANDEM_PROFILE_TOKENIZE && !tandem_place_has (&inner, known[i]))
      costs[i] = (TandemCost) { 0 };
    else if (!tandem_place_get_cost (&inner, known[i], &costs[i]))
      return FALSE;
  }
  return TRUE;
}

static gboolean
read_part (const TandemPlaceObject *in, TandemProfilePart *part)
{
  const char *name = tandem_place_get_text (in, "part");

  if (name == NULL)
    return FALSE;
  for (*part = 0; *part < TANDEM_PROFILE_N_PARTS; (*part)++)
    if (g_str_equal (name, tandem_profile_part_to_string (*part)))
      return TRUE;
  return tandem_place_fail (in, "part", "\"%s\" is no part", name);
}

static gboolean
read_sample (const TandemPlaceObject *in, TandemProfileSample *sample)
{
  static const char *const known[] = { "part", "sequences", "tokens", "squares", "seconds",
                                       "runs", NULL };
  guint64 n_sequences, n_runs;

  if (!tandem_place_check_members (in, known) || !read_part (in, &sample->part) ||
      !tandem_place_get_whole (in, "sequences", 1, G_MAXUINT, &n_sequences) ||
      !tandem_place_get_whole (in, "tokens", 1, G_MAXINT64, &sample->shape.n_tokens) ||
      !tandem_place_get_whole (in, "squares", 1, G_MAXINT64, &sample->shape.n_squares) ||
      !tandem_place_get_number (in, "seconds", 0, TANDEM_PLACE_MAX_SECONDS, &sample->seconds) ||
      !tandem_place_get_whole (in, "runs", 1, G_MAXUINT, &n_runs))
    return FALSE;
  sample->shape.n_sequences = n_sequences;
  sample->n_runs = n_runs;
  return TRUE;
}

static gboolean
read_samples (const TandemPlaceObject *in, TandemProfile *self)
{
  JsonArray *array = tandem_place_get_array (in, "samples");
  guint n = array != NULL ? json_array_get_length (array) : 0, i;

  if (array == NULL)
    return FALSE;
  if (n > MAX_SAMPLES)
    return tandem_place_fail (in, "samples", "has %u elements; %d are the most", n, MAX_SAMPLES);
  self->samples = g_new0 (TandemProfileSample, n);
  self->n_samples = n;
  for (i = 0; i < n; i++) {
    g_autofree char *path = NULL;
    TandemPlaceObject inner = *in;

    inner.object = tandem_place_get_element (in, "samples", array, i, &path);
    inner.path = path;
    if (inner.object == NULL || !read_sample (&inner, &self->samples[i]))
      return FALSE;
  }
  return TRUE;
}

static gboolean
read_precision (const TandemPlaceObject *in, TandemPrecision *precision)
{
  const char *name = tandem_place_get_text (in, "precision");

  if (name == NULL)
    return FALSE;
  if (!g_str_equal (name, "f32") && !g_str_equal (name, "bf16"))
    return tandem_place_fail (in, "precision", "is \"%s\"; there are f32 and bf16", name);
  *precision = g_str_equal (name, "bf16") ? TANDEM_PRECISION_BF16 : TANDEM_PRECISION_F32;
  return TRUE;
}

static gboolean
read_model (const TandemPlaceObject *in, char **model)
{
  const char *text = tandem_place_get_text (in, "model");

  if (text == NULL)
    return FALSE;
  if (strlen (text) != 64 || strspn (text, "0123456789abcdef") != 64)
    return tandem_place_fail (in, "model", "is no fingerprint of 64 hexadecimal digits");
  *model = g_strdup (text);
  return TRUE;
}

static gboolean
read_texts (const TandemPlaceObject *in, TandemProfile *self)
{
  self->processor = g_strdup (tandem_place_get_text (in, "processor"));
  if (self->processor == NULL)
    return FALSE;
  self->library = g_strdup (tandem_place_get_text (in, "library"));
  return self->library != NULL;
}

TandemProfile *
tandem_profile_parse (const TandemPlaceObject *in)
{
  static const char *const known[] = { "version", "model", "layers", "processor", "cores",
                                       "library", "threads", "precision", "load", "seconds",
                                       "samples", NULL };
  g_autoptr (TandemProfile) self = g_new0 (TandemProfile, 1);
  guint64 version, layers, cores, threads;

  if (!tandem_place_get_whole (in, "version", VERSION, VERSION, &version) ||
      !tandem_place_check_members (in, known) || !read_model (in, &self->model) ||
      !tandem_place_get_whole (in, "layers", 1, TANDEM_PLACEMENT_MAX_LAYERS, &layers) ||
      !tandem_place_get_whole (in, "cores", 1, 65536, &cores) ||
      !tandem_place_get_whole (in, "threads", 1, TANDEM_BERT_STAGE_MAX_THREADS, &threads) ||
      !read_texts (in, self) || !read_precision (in, &self->precision) ||
      !tandem_place_get_number (in, "load", 1, 1e6, &self->load) ||
      !tandem_profile_read_seconds (in, self->costs) || !read_samples (in, self))
    return NULL;
  self->n_layers = layers;
  self->n_cores = cores;
  self->n_threads = threads;
  return g_steal_pointer (&self);
}

/**
 * tandem_profile_read:
 * @path: (type filename): a file that holds what tandem_profile_to_json() gives
 * @error: return location for a #TandemPlaceError or a #GIOErrorEnum
 *
 * Reads a profile, perhaps that of another device.
 *
 * Returns: (transfer full): the profile, or %NULL with @error set
 */
TandemProfile *
tandem_profile_read (const char *path, GError **error)
{
  g_autoptr (JsonObject) object = tandem_place_read_file (path, error);
  g_autofree char *display = g_filename_display_name (path);
  TandemPlaceObject in = { display, "", object, error };

  return object != NULL ? tandem_profile_parse (&in) : NULL;
}

static char *
get_path (const TandemProfile *self)
{
  g_autofree char *key = g_strdup_printf (
      "profile %d\n%s\n%s\n%u cores\n%s\n%u threads\n%s\n", VERSION, self->model,
      self->processor, self->n_cores, self->library, self->n_threads,
      get_precision_name (self->precision));
  g_autofree char *digest = g_compute_checksum_for_string (G_CHECKSUM_SHA256, key, -1);
  g_autofree char *name = g_strconcat (digest, ".json", NULL);

  return g_build_filename (g_get_user_cache_dir (), "tandem", "profiles", name, NULL);
}

/**
 * tandem_profile_store:
 * @self: a profile of this device
 * @error: return location for a #GIOErrorEnum or a #GFileError
 *
 * Keeps a profile in the user's cache folder, for tandem_profile_load(). The file appears whole or
 * not at all.
 *
 * Returns: whether it was written
 */
gboolean
tandem_profile_store (const TandemProfile *self, GError **error)
{
  g_autofree char *path = get_path (self);
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *text = tandem_profile_to_json (self);

  /* What is wrong with the folder shows when the file is written. */
  g_mkdir_with_parents (folder, 0700);
  return g_file_set_contents (path, text, -1, error);
}

/**
 * tandem_profile_load:
 * @model: a model
 * @precision: what its linear layers are to compute with
 * @n_threads: threads of a stage
 * @error: return location for a #TandemPlaceError or a #GIOErrorEnum
 *
 * Gets the profile that was kept for this model on this device, by this version of Tandem.
 *
 * Returns: (transfer full): the profile, or %NULL with @error set, %G_IO_ERROR_NOT_FOUND when
 *   there is none
 */
TandemProfile *
tandem_profile_load (TandemModel *model, TandemPrecision precision, guint n_threads,
                     GError **error)
{
  g_autoptr (TandemProfile) wanted = tandem_profile_new_here (model, precision, n_threads);
  g_autofree char *path = get_path (wanted);
  g_autoptr (TandemProfile) found = tandem_profile_read (path, error);
  g_autofree char *found_path = NULL;

  if (found == NULL)
    return NULL;
  /* Its name is made of what is in it. */
  found_path = get_path (found);
  if (!g_str_equal (path, found_path) || found->n_layers != wanted->n_layers) {
    g_set_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_FILE,
                 "%s: the profile is not of this model and device", path);
    return NULL;
  }
  return g_steal_pointer (&found);
}
