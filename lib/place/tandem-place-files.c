/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Files of devices and of placements; docs/placement.md says what is in them. */

#include "config.h"

#include "tandem-place-files.h"

#include <string.h>

#include "place/tandem-place-error.h"
#include "place/tandem-placement-private.h"
#include "place/tandem-profile-private.h"

#define MAX_BANDWIDTH 1e15
#define MAX_MEMORY (G_GUINT64_CONSTANT (1) << 60)

/* Returns a device's number, or that of devices when there is none of that name. */
static guint
find_device (TandemPlacementProblem *self, const char *name)
{
  guint i;

  for (i = 0; i < self->devices->len; i++) {
    const TandemDevice *device = g_ptr_array_index (self->devices, i);

    if (g_str_equal (device->name, name))
      break;
  }
  return i;
}

static gboolean
get_device (TandemPlacementProblem *self, const TandemPlaceObject *in, const char *member,
            guint *device)
{
  const char *name = tandem_place_get_text (in, member);

  if (name == NULL)
    return FALSE;
  *device = find_device (self, name);
  return *device < self->devices->len ||
      tandem_place_fail (in, member, "no device is called \"%s\"", name);
}

/* A profile is another file; its name counts from the folder of this one. */
static gboolean
read_profile (TandemPlacementProblem *self, const TandemPlaceObject *in, const char *folder,
              TandemDevice *device)
{
  const char *name = tandem_place_get_text (in, "profile");
  g_autoptr (TandemProfile) profile = NULL;
  g_autofree char *path = NULL;
  g_autoptr (GError) inner = NULL;

  if (name == NULL)
    return FALSE;
  if (tandem_place_has (in, "threads"))
    return tandem_place_fail (in, "threads", "is what the profile says");
  path = g_path_is_absolute (name) ? g_strdup (name) : g_build_filename (folder, name, NULL);
  profile = tandem_profile_read (path, &inner);
  if (profile == NULL)
    return tandem_place_fail (in, "profile", "%s", inner->message);
  if (profile->n_layers != self->n_layers ||
      (self->model != NULL && !g_str_equal (profile->model, self->model)))
    return tandem_place_fail (in, "profile", "%s: is of the model %.16s with %u layers, not of "
                              "%.16s with %u", path, profile->model, profile->n_layers,
                              self->model != NULL ? self->model : "another", self->n_layers);
  tandem_profile_apply (profile, device);
  return TRUE;
}

static gboolean
read_seconds (TandemPlacementProblem *self, const TandemPlaceObject *in, TandemDevice *device)
{
  TandemProfile profile = { .n_layers = self->n_layers, .n_threads = 1, .load = 1 };
  guint64 n_threads;

  if (!tandem_profile_read_seconds (in, profile.costs))
    return FALSE;
  if (tandem_place_has (in, "threads")) {
    if (!tandem_place_get_whole (in, "threads", 1, TANDEM_BERT_STAGE_MAX_THREADS, &n_threads))
      return FALSE;
    profile.n_threads = n_threads;
  }
  tandem_profile_apply (&profile, device);
  return TRUE;
}

/* What sending or receiving takes, by format. */
static gboolean
read_formats (const TandemPlaceObject *in, const char *member,
              TandemCost costs[TANDEM_N_WIRE_FORMATS])
{
  const char *known[TANDEM_N_WIRE_FORMATS + 1] = { NULL };
  g_autofree char *path = NULL;
  TandemPlaceObject inner = *in;
  guint i;

  if (!tandem_place_has (in, member))
    return TRUE;
  for (i = 0; i < TANDEM_N_WIRE_FORMATS; i++)
    known[i] = tandem_wire_format_to_string (1u << i);
  inner.object = tandem_place_get_object (in, member, &path);
  inner.path = path;
  if (inner.object == NULL || !tandem_place_check_members (&inner, known))
    return FALSE;
  for (i = 0; i < TANDEM_N_WIRE_FORMATS; i++)
    if (tandem_place_has (&inner, known[i]) &&
        !tandem_place_get_cost (&inner, known[i], &costs[i]))
      return FALSE;
  return TRUE;
}

/* Of names and addresses: hosts get into command lines. */
static gboolean
is_host (const char *text)
{
  for (; *text != '\0'; text++)
    if (!g_ascii_isalnum (*text) && strchr (".-_:%", *text) == NULL)
      return FALSE;
  return TRUE;
}

static gboolean
read_address (const TandemPlaceObject *in, TandemDevice *device)
{
  guint64 port = 0;

  if (tandem_place_has (in, "host")) {
    device->host = g_strdup (tandem_place_get_text (in, "host"));
    if (device->host == NULL)
      return FALSE;
    if (!is_host (device->host))
      return tandem_place_fail (in, "host", "\"%s\" is no name or address", device->host);
  }
  /* The port behind it is for results. */
  if (tandem_place_has (in, "port") &&
      !tandem_place_get_whole (in, "port", 1, 65534, &port))
    return FALSE;
  device->port = port;
  return !tandem_place_has (in, "memory") ||
      tandem_place_get_whole (in, "memory", 1, MAX_MEMORY, &device->memory);
}

static gboolean
read_device (TandemPlacementProblem *self, const TandemPlaceObject *in, const char *folder)
{
  static const char *const known[] = { "name", "host", "port", "memory", "threads", "profile",
                                       "seconds", "send", "receive", NULL };
  const char *name;
  g_autoptr (TandemDevice) device = NULL;
  g_autoptr (GError) inner = NULL;

  if (!tandem_place_check_members (in, known))
    return FALSE;
  name = tandem_place_get_text (in, "name");
  if (name == NULL)
    return FALSE;
  device = tandem_device_new (name, self->n_layers);
  if (tandem_place_has (in, "profile") == tandem_place_has (in, "seconds"))
    return tandem_place_fail (in, NULL, "either \"profile\" or \"seconds\" is needed");
  if (!read_address (in, device) || !read_formats (in, "send", device->send) ||
      !read_formats (in, "receive", device->receive) ||
      !(tandem_place_has (in, "profile") ? read_profile (self, in, folder, device)
                                         : read_seconds (self, in, device)))
    return FALSE;
  return tandem_placement_problem_add_device (self, device, &inner) ||
      tandem_place_fail (in, NULL, "%s", inner->message);
}

static gboolean
read_device_list (TandemPlacementProblem *self, const TandemPlaceObject *in, const char *folder)
{
  JsonArray *array = tandem_place_get_array (in, "devices");
  guint n = array != NULL ? json_array_get_length (array) : 0, i;

  if (array == NULL)
    return FALSE;
  if (n == 0 || n > TANDEM_PLACEMENT_MAX_DEVICES)
    return tandem_place_fail (in, "devices", "has %u elements; it is to be 1 to %d", n,
                              TANDEM_PLACEMENT_MAX_DEVICES);
  for (i = 0; i < n; i++) {
    g_autofree char *path = NULL;
    TandemPlaceObject inner = *in;

    inner.object = tandem_place_get_element (in, "devices", array, i, &path);
    inner.path = path;
    if (inner.object == NULL || !read_device (self, &inner, folder))
      return FALSE;
  }
  return TRUE;
}

/* A bandwidth of 0 says that there is no way. */
static gboolean
read_link (const TandemPlaceObject *in, TandemNetworkLink *link)
{
  return tandem_place_get_number (in, "bandwidth", 0, MAX_BANDWIDTH, &link->bandwidth) &&
      tandem_place_get_number (in, "delay", 0, TANDEM_PLACE_MAX_SECONDS, &link->delay);
}

/* What all pairs have that are not listed. */
static gboolean
read_network (TandemPlacementProblem *self, const TandemPlaceObject *in)
{
  static const char *const known[] = { "bandwidth", "delay", NULL };
  g_autofree char *path = NULL;
  TandemPlaceObject inner = *in;
  TandemNetworkLink link;
  guint from, to;

  if (!tandem_place_has (in, "network"))
    return TRUE;
  inner.object = tandem_place_get_object (in, "network", &path);
  inner.path = path;
  if (inner.object == NULL || !tandem_place_check_members (&inner, known) ||
      !read_link (&inner, &link))
    return FALSE;
  for (from = 0; from < self->devices->len; from++)
    for (to = 0; to < self->devices->len; to++)
      if (from != to &&
          !tandem_placement_problem_set_link (self, from, to, &link, in->error))
        return FALSE;
  return TRUE;
}

static gboolean
read_links (TandemPlacementProblem *self, const TandemPlaceObject *in)
{
  static const char *const known[] = { "from", "to", "bandwidth", "delay", NULL };
  JsonArray *array;
  g_autofree guint8 *seen = g_new0 (guint8, self->devices->len * self->devices->len);
  guint i;

  if (!tandem_place_has (in, "links"))
    return TRUE;
  array = tandem_place_get_array (in, "links");
  for (i = 0; array != NULL && i < json_array_get_length (array); i++) {
    g_autofree char *path = NULL;
    TandemPlaceObject inner = *in;
    TandemNetworkLink link;
    guint from, to;

    inner.object = tandem_place_get_element (in, "links", array, i, &path);
    inner.path = path;
    if (inner.object == NULL || !tandem_place_check_members (&inner, known) ||
        !get_device (self, &inner, "from", &from) || !get_device (self, &inner, "to", &to) ||
        !read_link (&inner, &link))
      return FALSE;
    if (from == to || seen[from * self->devices->len + to])
      return tandem_place_fail (&inner, "to", from == to ? "is where the link comes from"
                                                         : "this link is there already");
    seen[from * self->devices->len + to] = 1;
    if (!tandem_placement_problem_set_link (self, from, to, &link, in->error))
      return FALSE;
  }
  return array != NULL;
}

/**
 * tandem_placement_problem_read_devices:
 * @self: a problem without devices
 * @path: (type filename): a file of devices, as docs/placement.md describes it
 * @error: return location for a #TandemPlaceError or a #GIOErrorEnum
 *
 * Adds the devices and links of a file, and says which device asks. What the file is not to
 * have is refused, and the error names the member.
 *
 * Returns: whether all of them were added
 */
gboolean
tandem_placement_problem_read_devices (TandemPlacementProblem *self, const char *path,
                                       GError **error)
{
  static const char *const known[] = { "asks", "devices", "network", "links", NULL };
  g_autoptr (JsonObject) object = tandem_place_read_file (path, error);
  g_autofree char *display = g_filename_display_name (path);
  g_autofree char *folder = g_path_get_dirname (path);
  TandemPlaceObject in = { display, "", object, error };
  guint asking;

  g_return_val_if_fail (self->devices->len == 0, FALSE);

  if (object == NULL || !tandem_place_check_members (&in, known) ||
      !read_device_list (self, &in, folder) || !get_device (self, &in, "asks", &asking))
    return FALSE;
  tandem_placement_problem_set_asking (self, asking);
  return read_network (self, &in) && read_links (self, &in);
}

static gboolean
read_stage (TandemPlacementProblem *self, const TandemPlaceObject *in,
            TandemPlacementStage *stage, TandemWireFormats *format)
{
  static const char *const known[] = { "device", "layers", "format", NULL };
  const char *layers, *name;
  g_autoptr (GError) inner = NULL;

  if (!tandem_place_check_members (in, known) ||
      !get_device (self, in, "device", &stage->device))
    return FALSE;
  layers = tandem_place_get_text (in, "layers");
  if (layers == NULL)
    return FALSE;
  if (!tandem_model_parse_layers (layers, self->n_layers, &stage->first_layer,
                                  &stage->last_layer, &inner))
    return tandem_place_fail (in, "layers", "%s", inner->message);
  *format = TANDEM_WIRE_FORMAT_NONE;
  if (!tandem_place_has (in, "format"))
    return TRUE;
  name = tandem_place_get_text (in, "format");
  if (name == NULL)
    return FALSE;
  if (!tandem_wire_formats_from_string (name, format, &inner) || strchr (name, ',') != NULL)
    return tandem_place_fail (in, "format", "\"%s\" is not one of f32, bf16, f16 and q8", name);
  return TRUE;
}

/* Formats are given for every stage that sends activations on, or for none. */
static gboolean
check_formats (const TandemPlaceObject *in, const TandemWireFormats *formats, guint n_stages,
               gboolean *given)
{
  guint n = 0, i;

  for (i = 0; i < n_stages; i++)
    n += formats[i] != TANDEM_WIRE_FORMAT_NONE;
  if (formats[n_stages - 1] != TANDEM_WIRE_FORMAT_NONE)
    return tandem_place_fail (in, "stages", "the last one sends logits, which have no format");
  if (n != 0 && n != n_stages - 1)
    return tandem_place_fail (in, "stages", "%u of %u that send activations say in which format",
                              n, n_stages - 1);
  *given = n > 0;
  return TRUE;
}

/* Returns (transfer none) (nullable) as many as there may be. */
static JsonArray *
get_stages (TandemPlacementProblem *self, const TandemPlaceObject *in)
{
  static const char *const known[] = { "stages", NULL };
  JsonArray *array;
  guint n;

  if (!tandem_place_check_members (in, known) ||
      (array = tandem_place_get_array (in, "stages")) == NULL)
    return NULL;
  n = json_array_get_length (array);
  if (n > 0 && n <= self->n_layers)
    return array;
  tandem_place_fail (in, "stages", "has %u elements; the model has %u layers", n, self->n_layers);
  return NULL;
}

/* A network that stands in nobody's way: between any two devices as fast as memory. */
static gboolean
link_all (TandemPlacementProblem *self, GError **error)
{
  const TandemNetworkLink link = { G_MAXUINT32, 0 };
  guint from, to;

  for (from = 0; from < self->devices->len; from++)
    for (to = 0; to < self->devices->len; to++)
      if (from != to && !tandem_placement_problem_set_link (self, from, to, &link, error))
        return FALSE;
  return TRUE;
}

/**
 * tandem_placement_problem_add_placed_devices:
 * @self: a problem without devices
 * @path: (type filename): a placement, as tandem_placement_problem_placement_to_json() writes it
 * @error: return location for a #TandemPlaceError or a #GIOErrorEnum
 *
 * Adds the devices that a placement names, of which nothing is known: they have room for any stage,
 * need no time, and reach each other at once. With them tandem_placement_problem_read_placement()
 * says whether the file is in order before any of its devices is there.
 *
 * Returns: whether all of them were added
 */
gboolean
tandem_placement_problem_add_placed_devices (TandemPlacementProblem *self, const char *path,
                                             GError **error)
{
  g_autoptr (JsonObject) object = tandem_place_read_file (path, error);
  g_autofree char *display = g_filename_display_name (path);
  TandemPlaceObject in = { display, "", object, error };
  JsonArray *array;
  guint i;

  g_return_val_if_fail (self->devices->len == 0, FALSE);

  array = object != NULL ? get_stages (self, &in) : NULL;
  for (i = 0; array != NULL && i < json_array_get_length (array); i++) {
    g_autofree char *where = NULL;
    g_autoptr (TandemDevice) device = NULL;
    g_autoptr (GError) inner = NULL;
    TandemPlaceObject of = in;
    const char *name;

    of.object = tandem_place_get_element (&in, "stages", array, i, &where);
    of.path = where;
    name = of.object != NULL ? tandem_place_get_text (&of, "device") : NULL;
    if (name == NULL)
      return FALSE;
    /* That a device has two stages is for who reads the placement to say. */
    if (find_device (self, name) < self->devices->len)
      continue;
    device = tandem_device_new (name, self->n_layers);
    if (!tandem_placement_problem_add_device (self, device, &inner))
      return tandem_place_fail (&of, "device", "%s", inner->message);
  }
  return array != NULL && link_all (self, error);
}

/**
 * tandem_placement_problem_read_placement:
 * @self: a problem with its devices
 * @path: (type filename): a placement, as tandem_placement_problem_placement_to_json() writes it
 * @objective: what formats are chosen for, when the file says none
 * @error: return location for a #TandemPlaceError or a #GIOErrorEnum
 *
 * Reads a placement that somebody decided upon, and predicts what it would do.
 *
 * Returns: (transfer full): the placement, or %NULL with @error set
 */
TandemPlacement *
tandem_placement_problem_read_placement (TandemPlacementProblem *self, const char *path,
                                         TandemPlacementObjective objective, GError **error)
{
  g_autoptr (JsonObject) object = tandem_place_read_file (path, error);
  g_autofree char *display = g_filename_display_name (path);
  TandemPlaceObject in = { display, "", object, error };
  TandemPlacementStage stages[TANDEM_PLACEMENT_MAX_LAYERS] = { { 0 } };
  TandemWireFormats formats[TANDEM_PLACEMENT_MAX_LAYERS];
  TandemPlacement *placement;
  g_autoptr (GError) inner = NULL;
  gboolean given;
  JsonArray *array = object != NULL ? get_stages (self, &in) : NULL;
  guint n = array != NULL ? json_array_get_length (array) : 0, i;

  if (array == NULL)
    return NULL;
  for (i = 0; i < n; i++) {
    g_autofree char *where = NULL;
    TandemPlaceObject of = in;

    of.object = tandem_place_get_element (&in, "stages", array, i, &where);
    of.path = where;
    if (of.object == NULL || !read_stage (self, &of, &stages[i], &formats[i]))
      return NULL;
  }
  if (!check_formats (&in, formats, n, &given))
    return NULL;
  placement = tandem_placement_problem_evaluate (self, stages, n, given ? formats : NULL,
                                                 objective, &inner);
  if (placement == NULL)
    g_set_error (error, inner->domain, inner->code, "%s: %s", display, inner->message);
  return placement;
}

/**
 * tandem_placement_problem_placement_to_json:
 * @self: a problem
 * @placement: a placement of it
 *
 * Returns: (transfer full): devices, layers and formats as text, for a file that
 *   tandem_placement_problem_read_placement() reads
 */
char *
tandem_placement_problem_placement_to_json (TandemPlacementProblem *self,
                                            const TandemPlacement *placement)
{
  g_autoptr (JsonBuilder) json = json_builder_new ();
  g_autoptr (JsonNode) root = NULL;
  guint hop = 0, i;

  /* The way of tokens, when there is one, is no stage's. */
  if (placement->n_hops > 0 && placement->stages[0].device != self->asking)
    hop++;
  json_builder_begin_object (json);
  json_builder_set_member_name (json, "stages");
  json_builder_begin_array (json);
  for (i = 0; i < placement->n_stages; i++) {
    const TandemPlacementStage *stage = &placement->stages[i];
    const TandemDevice *device = g_ptr_array_index (self->devices, stage->device);
    g_autofree char *layers = g_strdup_printf ("%u-%u", stage->first_layer, stage->last_layer);

    json_builder_begin_object (json);
    json_builder_set_member_name (json, "device");
    json_builder_add_string_value (json, device->name);
    json_builder_set_member_name (json, "layers");
    json_builder_add_string_value (json, layers);
    if (i + 1 < placement->n_stages) {
      json_builder_set_member_name (json, "format");
      json_builder_add_string_value (
          json, tandem_wire_format_to_string (placement->hops[hop++].format));
    }
    json_builder_end_object (json);
  }
  json_builder_end_array (json);
  json_builder_end_object (json);
  root = json_builder_get_root (json);
  return json_to_string (root, TRUE);
}
