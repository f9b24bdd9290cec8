/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-placement-problem.h"

#include <math.h>

#include "place/tandem-place-error.h"
#include "place/tandem-placement-private.h"

/* Keep products away from overflow. */
#define MAX_WIDTH (1 << 20)
#define MAX_CLASSES (1 << 16)
#define MAX_TOKENS (G_GUINT64_CONSTANT (1) << 31)

/**
 * TandemPlacementProblem:
 *
 * A model, devices and links between them: what a planner decides upon. The stages of a
 * placement run on devices that are all different, on consecutive layers; the first one may be on
 * any device. Texts are on the device that asks and stay there: tokens are made there, cross the
 * network when the first stage is elsewhere, and the logits of the last stage come back.
 *
 * One micro-batch takes, in seconds: on a device what its stage takes to receive, compute and
 * send, on the one that asks the tokenizer's time besides; on a link its bytes divided by its
 * bandwidth. Throughput is bounded by the longest of these, the period; the latency is the sum of
 * them all and of the links' delays.
 *
 * It is to be used by one thread at a time.
 */
G_DEFINE_FINAL_TYPE (TandemPlacementProblem, tandem_placement_problem, G_TYPE_OBJECT)

static void
tandem_placement_problem_finalize (GObject *object)
{
  TandemPlacementProblem *self = TANDEM_PLACEMENT_PROBLEM (object);

  g_ptr_array_unref (self->devices);
  g_free (self->model);
  g_free (self->links);
  g_free (self->memory);
  G_OBJECT_CLASS (tandem_placement_problem_parent_class)->finalize (object);
}

static void
tandem_placement_problem_class_init (TandemPlacementProblemClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tandem_placement_problem_finalize;
}

static void
tandem_placement_problem_init (TandemPlacementProblem *self)
{
  self->devices = g_ptr_array_new_with_free_func ((GDestroyNotify) tandem_device_free);
  self->links = g_new0 (TandemNetworkLink,
                        TANDEM_PLACEMENT_MAX_DEVICES * TANDEM_PLACEMENT_MAX_DEVICES);
  self->formats = TANDEM_WIRE_FORMAT_F32;
}

/**
 * tandem_placement_problem_new:
 * @n_layers: layers of the model, 1 to %TANDEM_PLACEMENT_MAX_LAYERS
 * @width: elements of a row between layers
 * @n_classes: logits of a sequence
 * @shape: what micro-batches are like, a sequence and a token at the least
 * @error: return location for a #TandemPlaceError
 *
 * Makes a problem without devices, of a model that takes no memory.
 *
 * Returns: (transfer full): a new problem, or %NULL with @error set when a number is out of range
 */
TandemPlacementProblem *
tandem_placement_problem_new (guint n_layers, guint width, guint n_classes,
                              const TandemBatchShape *shape, GError **error)
{
  TandemPlacementProblem *self;

  if (n_layers == 0 || n_layers > TANDEM_PLACEMENT_MAX_LAYERS || width > MAX_WIDTH ||
      n_classes > MAX_CLASSES) {
    g_set_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_MODEL,
                 "a model of %u layers, width %u and %u classes; 1 to %d layers, width %d and %d "
                 "classes can be placed", n_layers, width, n_classes, TANDEM_PLACEMENT_MAX_LAYERS,
                 MAX_WIDTH, MAX_CLASSES);
    return NULL;
  }
  if (shape->n_sequences == 0 || shape->n_tokens < shape->n_sequences ||
      shape->n_tokens > MAX_TOKENS) {
    g_set_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_MODEL,
                 "micro-batches of %u sequences and %" G_GUINT64_FORMAT " tokens; a sequence has "
                 "a token at the least, and %" G_GUINT64_FORMAT " tokens are the most",
                 shape->n_sequences, shape->n_tokens, MAX_TOKENS);
    return NULL;
  }
  self = g_object_new (TANDEM_TYPE_PLACEMENT_PROBLEM, NULL);
  self->n_layers = n_layers;
  self->width = width;
  self->n_classes = n_classes;
  self->shape = *shape;
  self->memory = g_new0 (guint64, n_layers * n_layers);
  return self;
}

/* What keeps times within bounds: no negative number, nothing infinite, nothing too long. */
static gboolean
check_cost (TandemPlacementProblem *self, const TandemDevice *device, const char *part, int index,
            const TandemCost *cost, GError **error)
{
  double seconds = tandem_cost_evaluate (cost, &self->shape);
  g_autofree char *number = index >= 0 ? g_strdup_printf (" %d", index) : g_strdup ("");

  if (cost->fixed >= 0 && cost->per_sequence >= 0 && cost->per_token >= 0 &&
      cost->per_square >= 0 && seconds <= TANDEM_PLACE_MAX_SECONDS)
    return TRUE;
  g_set_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_DEVICE,
               "device \"%s\": %s%s takes %g + %g a sequence + %g a token + %g a pair of tokens, "
               "%g seconds a micro-batch; none may be negative, and %g are the most", device->name,
               part, number, cost->fixed, cost->per_sequence, cost->per_token, cost->per_square,
               seconds, TANDEM_PLACE_MAX_SECONDS);
  return FALSE;
}

static gboolean
check_costs (TandemPlacementProblem *self, const TandemDevice *device, GError **error)
{
  guint i;

  if (!check_cost (self, device, "tokenizing", -1, &device->tokenize, error) ||
      !check_cost (self, device, "embeddings", -1, &device->embeddings, error))
    return FALSE;
  for (i = 0; i < self->n_layers; i++)
    if (!check_cost (self, device, "layer", (int) i, &device->layers[i], error))
      return FALSE;
  for (i = 0; i < TANDEM_N_WIRE_FORMATS; i++)
    if (!check_cost (self, device, "sending in format", (int) i, &device->send[i], error) ||
        !check_cost (self, device, "receiving format", (int) i, &device->receive[i], error))
      return FALSE;
  return TRUE;
}

/**
 * tandem_placement_problem_add_device:
 * @self: a problem
 * @device: a device; it is copied
 * @error: return location for a #TandemPlaceError
 *
 * Adds a device. Devices count from 0 in the order in which they were added; the first one
 * asks, unless tandem_placement_problem_set_asking() says otherwise. It has no links yet.
 *
 * Returns: whether it was added: its name is its own, it describes as many layers as there
 *   are, and none of its times is negative or above 10,000 seconds
 */
gboolean
tandem_placement_problem_add_device (TandemPlacementProblem *self, const TandemDevice *device,
                                     GError **error)
{
  guint i;

  if (self->devices->len == TANDEM_PLACEMENT_MAX_DEVICES) {
    g_set_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_DEVICE,
                 "device \"%s\": there are %d already", device->name,
                 TANDEM_PLACEMENT_MAX_DEVICES);
    return FALSE;
  }
  for (i = 0; i < self->devices->len; i++) {
    const TandemDevice *other = g_ptr_array_index (self->devices, i);

    if (g_str_equal (other->name, device->name)) {
      g_set_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_DEVICE,
                   "two devices are called \"%s\"", device->name);
      return FALSE;
    }
  }
  if (device->n_layers != self->n_layers || device->n_threads == 0) {
    g_set_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_DEVICE,
                 "device \"%s\": %u threads and %u layers; the model has %u layers, and a "
                 "thread is needed", device->name, device->n_threads, device->n_layers,
                 self->n_layers);
    return FALSE;
  }
  if (!check_costs (self, device, error))
    return FALSE;
  g_ptr_array_add (self->devices, tandem_device_copy (device));
  return TRUE;
}

/**
 * tandem_placement_problem_set_link:
 * @self: a problem
 * @from: the number of the device that sends
 * @to: the number of the device that receives, another one
 * @link: bandwidth and delay in this direction
 * @error: return location for a #TandemPlaceError
 *
 * Says how one device reaches another; without that it cannot. A link is taken for one of its
 * own: two that share a cable or a radio are not known to.
 *
 * Returns: whether the numbers are in range: none negative, a delay of 10,000 seconds at the most
 */
gboolean
tandem_placement_problem_set_link (TandemPlacementProblem *self, guint from, guint to,
                                   const TandemNetworkLink *link, GError **error)
{
  g_return_val_if_fail (from < self->devices->len && to < self->devices->len, FALSE);

  if (from == to || !(link->bandwidth >= 0) || !isfinite (link->bandwidth) ||
      !(link->delay >= 0 && link->delay <= TANDEM_PLACE_MAX_SECONDS)) {
    const TandemDevice *a = g_ptr_array_index (self->devices, from);
    const TandemDevice *b = g_ptr_array_index (self->devices, to);

    g_set_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_DEVICE,
                 "the link from \"%s\" to \"%s\" has %g bytes a second and a delay of %g seconds; "
                 "it is between two devices, nothing is negative, and %g seconds are the most",
                 a->name, b->name, link->bandwidth, link->delay, TANDEM_PLACE_MAX_SECONDS);
    return FALSE;
  }
  self->links[from * TANDEM_PLACEMENT_MAX_DEVICES + to] = *link;
  return TRUE;
}

/**
 * tandem_placement_problem_set_asking:
 * @self: a problem
 * @device: the number of a device
 *
 * Says which device has the texts and wants the results.
 */
void
tandem_placement_problem_set_asking (TandemPlacementProblem *self, guint device)
{
  g_return_if_fail (device < self->devices->len);

  self->asking = device;
}

/**
 * tandem_placement_problem_set_formats:
 * @self: a problem
 * @formats: formats, one at the least
 *
 * Says which formats activations may have on the wire: all of them count as good enough. Without
 * that it is %TANDEM_WIRE_FORMAT_F32 alone.
 */
void
tandem_placement_problem_set_formats (TandemPlacementProblem *self, TandemWireFormats formats)
{
  g_return_if_fail (formats != 0 && (guint) formats < 1u << TANDEM_N_WIRE_FORMATS);

  self->formats = formats;
}

/**
 * tandem_placement_problem_set_stage_memory:
 * @self: a problem
 * @first_layer: a layer
 * @last_layer: the same or a later one
 * @bytes: memory
 *
 * Says how many bytes the weights of a stage with these layers take.
 */
void
tandem_placement_problem_set_stage_memory (TandemPlacementProblem *self, guint first_layer,
                                           guint last_layer, guint64 bytes)
{
  g_return_if_fail (first_layer <= last_layer && last_layer < self->n_layers);

  self->memory[first_layer * self->n_layers + last_layer] = bytes;
}

/**
 * tandem_placement_problem_set_working_memory:
 * @self: a problem
 * @per_thread: bytes that each thread of a stage takes
 * @activations: bytes of the micro-batches that a stage holds
 *
 * Says what a stage takes beside its weights.
 */
void
tandem_placement_problem_set_working_memory (TandemPlacementProblem *self, guint64 per_thread,
                                             guint64 activations)
{
  self->per_thread = per_thread;
  self->activations = activations;
}

/**
 * tandem_placement_problem_get_n_layers:
 * @self: a problem
 *
 * Returns: how many layers the model has
 */
guint
tandem_placement_problem_get_n_layers (TandemPlacementProblem *self)
{
  return self->n_layers;
}

/**
 * tandem_placement_problem_get_n_devices:
 * @self: a problem
 *
 * Returns: how many devices there are
 */
guint
tandem_placement_problem_get_n_devices (TandemPlacementProblem *self)
{
  return self->devices->len;
}

/**
 * tandem_placement_problem_get_device:
 * @self: a problem
 * @device: the number of a device
 *
 * Returns: (transfer none): the device
 */
const TandemDevice *
tandem_placement_problem_get_device (TandemPlacementProblem *self, guint device)
{
  g_return_val_if_fail (device < self->devices->len, NULL);

  return g_ptr_array_index (self->devices, device);
}

/**
 * tandem_placement_problem_get_asking:
 * @self: a problem
 *
 * Returns: the number of the device that asks
 */
guint
tandem_placement_problem_get_asking (TandemPlacementProblem *self)
{
  return self->asking;
}

/**
 * tandem_placement_problem_get_link:
 * @self: a problem
 * @from: the number of a device
 * @to: the number of a device
 * @link: (out caller-allocates): how the first one reaches the second one
 *
 * Gets a link; one that was not set has a bandwidth of 0.
 */
void
tandem_placement_problem_get_link (TandemPlacementProblem *self, guint from, guint to,
                                   TandemNetworkLink *link)
{
  g_return_if_fail (from < self->devices->len && to < self->devices->len);

  *link = self->links[from * TANDEM_PLACEMENT_MAX_DEVICES + to];
}

/**
 * tandem_placement_problem_get_shape:
 * @self: a problem
 * @shape: (out caller-allocates): what micro-batches are like
 *
 * Gets the shape of micro-batches.
 */
void
tandem_placement_problem_get_shape (TandemPlacementProblem *self, TandemBatchShape *shape)
{
  *shape = self->shape;
}

/**
 * tandem_placement_problem_get_memory:
 * @self: a problem
 * @device: the number of a device
 * @first_layer: a layer
 * @last_layer: the same or a later one
 *
 * Returns: how many bytes a stage with these layers takes on this device: weights, what its
 *   threads compute in, and micro-batches
 */
guint64
tandem_placement_problem_get_memory (TandemPlacementProblem *self, guint device,
                                     guint first_layer, guint last_layer)
{
  const TandemDevice *of;

  g_return_val_if_fail (device < self->devices->len, 0);
  g_return_val_if_fail (first_layer <= last_layer && last_layer < self->n_layers, 0);

  of = g_ptr_array_index (self->devices, device);
  return self->memory[first_layer * self->n_layers + last_layer] +
      self->per_thread * of->n_threads + self->activations;
}
