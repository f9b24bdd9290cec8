/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is known of the devices, for the planner. */

#include "config.h"

#include "tandem-cluster-private.h"

#include <glib/gi18n-lib.h>

#include "node/tandem-available-memory.h"
#include "place/tandem-place-error.h"

static TandemDevice *
make_this_device (TandemCluster *self, const TandemProfile *profile)
{
  TandemDevice *device = tandem_device_new (g_get_host_name (), profile->n_layers);
  guint i;

  tandem_profile_apply (profile, device);
  device->memory =
      self->memory_limit > 0 ? self->memory_limit : tandem_get_available_memory ();
  for (i = 0; i < self->entries->len && device->host == NULL; i++) {
    const TandemClusterEntry *entry = g_ptr_array_index (self->entries, i);

    if (entry->client != NULL)
      device->host = tandem_node_client_dup_local_address (entry->client);
  }
  return device;
}

/* As the node counts when it is asked to build. */
static guint64
get_memory (const TandemNodeInfo *info)
{
  guint64 left = info->memory_limit == 0 ? info->memory_available
      : info->memory_limit - MIN (info->memory_limit, info->memory_used);

  return MAX (left, 1);
}

/* Two devices of a problem are never called the same. */
static char *
choose_name (TandemPlacementProblem *problem, const TandemClusterMember *member)
{
  guint i, n = tandem_placement_problem_get_n_devices (problem);

  for (i = 0; i < n; i++)
    if (g_str_equal (tandem_placement_problem_get_device (problem, i)->name, member->name))
      return g_strdup_printf ("%s (%s:%u)", member->name, member->host, member->port);
  return g_strdup (member->name);
}

static TandemDevice *
make_device (TandemPlacementProblem *problem, const TandemClusterMember *member)
{
  g_autofree char *name = choose_name (problem, member);
  TandemDevice *device = tandem_device_new (name, member->profile->n_layers);

  tandem_profile_apply (member->profile, device);
  device->memory = get_memory (member->info);
  device->host = g_strdup (member->host);
  return device;
}

/* What makes no sense leaves the two without a link. */
static void
set_links (TandemCluster *self, TandemPlacementProblem *problem, GPtrArray *members)
{
  guint i, j;

  for (i = 0; i < members->len; i++) {
    for (j = 0; j < members->len; j++) {
      const TandemClusterMember *from = g_ptr_array_index (members, i);
      const TandemClusterMember *to = g_ptr_array_index (members, j);
      TandemNetworkLink link;

      if (i != j && tandem_cluster_get_link (self, from != NULL ? from->key : NULL,
                                             to != NULL ? to->key : NULL, &link))
        tandem_placement_problem_set_link (problem, i, j, &link, NULL);
    }
  }
}

static void
member_free (gpointer data)
{
  tandem_cluster_member_free (data);
}

/**
 * tandem_cluster_make_problem:
 * @self: a cluster for which tandem_cluster_prepare_async() has ended
 * @model: the model of the preparation
 * @precision: its precision
 * @shape: a micro-batch
 * @formats: the formats that activations may have on the wire
 * @members_of_devices: (out) (optional) (transfer full) (element-type TandemClusterMember): the member
 *   of each device; that of device 0, which is this one, is %NULL
 * @error: return location for %TANDEM_PLACE_ERROR_DEVICE when this device was not measured with this
 *   model, another #TandemPlaceError or a #TandemModelError
 *
 * Says to the planner what is known: device 0 is this one and asks, the others are the usable nodes
 * that were measured with this model. Two that could not measure the link between them have none.
 *
 * Returns: (transfer full): a problem, or %NULL
 */
TandemPlacementProblem *
tandem_cluster_make_problem (TandemCluster *self, TandemModel *model, TandemPrecision precision,
                             const TandemBatchShape *shape, TandemWireFormats formats,
                             GPtrArray **members_of_devices, GError **error)
{
  g_autofree char *key = NULL;
  g_autoptr (TandemPlacementProblem) problem = NULL;
  g_autoptr (TandemDevice) here = NULL;
  g_autoptr (GPtrArray) members = g_ptr_array_new_with_free_func (member_free);
  const TandemProfile *profile;
  guint i;

  g_return_val_if_fail (TANDEM_IS_CLUSTER (self), NULL);

  key = tandem_cluster_make_profile_key (model, precision, self->n_threads);
  profile = g_hash_table_lookup (self->profiles, key);
  if (profile == NULL) {
    g_set_error_literal (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_DEVICE,
                         _("this device was not measured with this model"));
    return NULL;
  }
  problem = tandem_placement_problem_new_for_model (model, precision, shape, error);
  if (problem == NULL)
    return NULL;
  tandem_placement_problem_set_formats (problem, formats);
  here = make_this_device (self, profile);
  if (!tandem_placement_problem_add_device (problem, here, error))
    return NULL;
  g_ptr_array_add (members, NULL);
  for (i = 0; i < self->entries->len; i++) {
    TandemClusterEntry *entry = g_ptr_array_index (self->entries, i);
    g_autoptr (TandemClusterMember) member = tandem_cluster_entry_to_member (entry);
    g_autofree char *its_key = NULL;
    g_autoptr (TandemDevice) device = NULL;

    if (!member->is_usable || member->profile == NULL)
      continue;
    its_key = tandem_cluster_make_profile_key (model, precision, member->profile->n_threads);
    if (g_hash_table_lookup (entry->profiles, its_key) != entry->profile)
      continue;
    device = make_device (problem, member);
    if (tandem_placement_problem_add_device (problem, device, NULL))
      g_ptr_array_add (members, g_steal_pointer (&member));
  }
  set_links (self, problem, members);
  if (members_of_devices != NULL)
    *members_of_devices = g_steal_pointer (&members);
  return g_steal_pointer (&problem);
}
