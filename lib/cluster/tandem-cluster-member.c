/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-cluster-member.h"

G_DEFINE_BOXED_TYPE (TandemClusterMember, tandem_cluster_member, tandem_cluster_member_copy,
                     tandem_cluster_member_free)

/**
 * tandem_cluster_member_copy:
 * @self: a member
 *
 * Returns: (transfer full): a copy
 */
TandemClusterMember *
tandem_cluster_member_copy (const TandemClusterMember *self)
{
  TandemClusterMember *copy = g_memdup2 (self, sizeof *self);

  copy->key = g_strdup (self->key);
  copy->name = g_strdup (self->name);
  copy->host = g_strdup (self->host);
  copy->info = self->info != NULL ? tandem_node_info_copy (self->info) : NULL;
  copy->client = self->client != NULL ? g_object_ref (self->client) : NULL;
  copy->problem = self->problem != NULL ? g_error_copy (self->problem) : NULL;
  copy->profile = self->profile != NULL ? tandem_profile_copy (self->profile) : NULL;
  return copy;
}

/**
 * tandem_cluster_member_free:
 * @self: (nullable): a member
 *
 * Frees it.
 */
void
tandem_cluster_member_free (TandemClusterMember *self)
{
  if (self == NULL)
    return;
  g_free (self->key);
  g_free (self->name);
  g_free (self->host);
  g_clear_pointer (&self->info, tandem_node_info_free);
  g_clear_object (&self->client);
  g_clear_error (&self->problem);
  g_clear_pointer (&self->profile, tandem_profile_free);
  g_free (self);
}
