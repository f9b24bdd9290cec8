/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The devices of a plan, found and measured. */

#include "config.h"

#include <glib/gi18n-lib.h>
#include <unistd.h>

#include "tandem-command.h"
#include "tandem-plan-report.h"

static void
on_prepared (GObject *source, GAsyncResult *result, gpointer data)
{
  *(GAsyncResult **) data = g_object_ref (result);
}

static void
say (const char *text)
{
  if (isatty (STDERR_FILENO))
    g_printerr ("%s: %s\n", g_get_prgname (), text);
}

static gboolean
measure (TandemCluster *cluster, const TandemPlanReport *report, guint n_threads,
         GCancellable *cancellable, GError **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  say (_("looking for nodes, and measuring links and devices…"));
  tandem_cluster_start (cluster);
  tandem_cluster_prepare_async (cluster, report->model, report->precision, n_threads, cancellable,
                                on_prepared, &result);
  while (result == NULL)
    g_main_context_iteration (NULL, TRUE);
  return tandem_cluster_prepare_finish (cluster, result, error);
}

/* Who is left out, and why. */
static void
warn (TandemCluster *cluster)
{
  g_autoptr (GPtrArray) members = tandem_cluster_dup_members (cluster);
  g_autoptr (GError) problem = tandem_cluster_dup_problem (cluster);
  guint i;

  if (problem != NULL)
    tandem_command_warn ("%s", problem->message);
  for (i = 0; i < members->len; i++) {
    const TandemClusterMember *member = members->pdata[i];

    if (member->problem != NULL)
      tandem_command_warn (_("%s is left out: %s"), member->name, member->problem->message);
  }
  if (members->len == 0)
    tandem_command_warn (_("no node was found; \"tandem doctor\" says more"));
}

TandemPlacementProblem *
tandem_plan_ask_nodes (const TandemPlanReport *report, const char *nodes, const char *key_path,
                       guint n_threads, const TandemBatchShape *shape, TandemWireFormats formats,
                       GCancellable *cancellable, GError **error)
{
  g_autoptr (TandemClusterKey) key = NULL;
  g_autoptr (TandemCluster) cluster = NULL;
  TandemPlacementProblem *problem = NULL;

  if (key_path != NULL) {
    key = tandem_cluster_key_load (key_path, error);
    if (key == NULL)
      return NULL;
  }
  cluster = tandem_cluster_new (nodes, key, report->insecure, error);
  if (cluster == NULL)
    return NULL;
  if (measure (cluster, report, n_threads, cancellable, error)) {
    warn (cluster);
    problem = tandem_cluster_make_problem (cluster, report->model, report->precision, shape,
                                           formats, NULL, error);
  }
  tandem_cluster_stop (cluster);
  return problem;
}
