/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-device.h"

#include "tandem-place-error.h"

G_DEFINE_BOXED_TYPE (TandemDevice, tandem_device, tandem_device_copy, tandem_device_free)

static const char *const format_names[TANDEM_N_WIRE_FORMATS] = { "f32", "bf16", "f16", "q8" };

/**
 * tandem_device_new:
 * @name: its name
 * @n_layers: layers of the model
 *
 * Makes a device that takes no time and has no limit, for its fields to be set.
 *
 * Returns: (transfer full): a new device with one thread
 */
TandemDevice *
tandem_device_new (const char *name, guint n_layers)
{
  TandemDevice *self = g_new0 (TandemDevice, 1);

  self->name = g_strdup (name);
  self->n_threads = 1;
  self->n_layers = n_layers;
  self->layers = g_new0 (TandemCost, n_layers);
  return self;
}

/**
 * tandem_device_copy:
 * @self: a device
 *
 * Returns: (transfer full): a copy
 */
TandemDevice *
tandem_device_copy (const TandemDevice *self)
{
  TandemDevice *copy = g_memdup2 (self, sizeof *self);

  copy->name = g_strdup (self->name);
  copy->host = g_strdup (self->host);
  copy->layers = g_memdup2 (self->layers, self->n_layers * sizeof *self->layers);
  return copy;
}

/**
 * tandem_device_free:
 * @self: (nullable): a device
 *
 * Frees a device.
 */
void
tandem_device_free (TandemDevice *self)
{
  if (self == NULL)
    return;
  g_free (self->name);
  g_free (self->host);
  g_free (self->layers);
  g_free (self);
}

/**
 * tandem_wire_format_to_string:
 * @format: one format, or %TANDEM_WIRE_FORMAT_NONE
 *
 * Returns: (transfer none): its name: "f32", "bf16", "f16" or "q8"; "" for none
 */
const char *
tandem_wire_format_to_string (TandemWireFormats format)
{
  guint i;

  for (i = 0; i < TANDEM_N_WIRE_FORMATS; i++)
    if (format == 1u << i)
      return format_names[i];
  return "";
}

/**
 * tandem_wire_formats_from_string:
 * @names: names with commas between them, as "f32,q8"
 * @formats: (out): the set of them
 * @error: return location for a #TandemPlaceError
 *
 * Returns: whether there was a name at least and each is that of a format
 */
gboolean
tandem_wire_formats_from_string (const char *names, TandemWireFormats *formats, GError **error)
{
  g_auto (GStrv) parts = g_strsplit (names, ",", -1);
  guint set = 0, i, format;

  for (i = 0; parts[i] != NULL; i++) {
    for (format = 0; format < TANDEM_N_WIRE_FORMATS; format++)
      if (g_ascii_strcasecmp (g_strstrip (parts[i]), format_names[format]) == 0)
        break;
    if (format == TANDEM_N_WIRE_FORMATS) {
      g_set_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_DEVICE,
                   "\"%s\" is no wire format; there are f32, bf16, f16 and q8", parts[i]);
      return FALSE;
    }
    set |= 1u << format;
  }
  if (set == 0) {
    g_set_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_DEVICE,
                 "one wire format is needed; there are f32, bf16, f16 and q8");
    return FALSE;
  }
  *formats = set;
  return TRUE;
}

/**
 * tandem_wire_format_get_row_size:
 * @format: one format
 * @width: elements of a row
 *
 * Returns: bytes of a row on the wire
 */
gsize
tandem_wire_format_get_row_size (TandemWireFormats format, guint width)
{
  switch (format) {
    case TANDEM_WIRE_FORMAT_NONE:
      return 0;
    case TANDEM_WIRE_FORMAT_F32:
      return 4 * (gsize) width;
    case TANDEM_WIRE_FORMAT_BF16:
    case TANDEM_WIRE_FORMAT_F16:
      return 2 * (gsize) width;
    case TANDEM_WIRE_FORMAT_Q8:
      return (gsize) width + 4;
  }
  g_return_val_if_reached (0);
}
