/* SPDX-License-Identifier: LGPL-2.1-or-later */

/**
 * TandemObjective:
 *
 * What a search makes small: it evaluates candidates. Evaluations are best done by processes, so
 * that a crash costs one candidate: tandem_objective_serve() makes one of them of an objective.
 */

#include "config.h"

#include "evolve/tandem-objective.h"

#include <string.h>

#include "evolve/tandem-evaluation-private.h"

G_DEFINE_INTERFACE (TandemObjective, tandem_objective, G_TYPE_OBJECT)

static void
tandem_objective_default_init (TandemObjectiveInterface *iface)
{
}

/**
 * tandem_objective_evaluate: (skip)
 * @self: an objective
 * @parameters: a candidate
 * @seed: what the random numbers of the evaluation come from
 * @fidelity: which part of the work is to be done, above 0 to 1
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error of any domain
 *
 * Evaluates a candidate. The same arguments are to give the same values.
 *
 * Returns: (transfer full): what it gave, or %NULL with @error set
 */
TandemEvaluation *
tandem_objective_evaluate (TandemObjective *self, TandemParameterSet *parameters, guint64 seed,
                           double fidelity, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (TANDEM_IS_OBJECTIVE (self) && parameters != NULL, NULL);

  return TANDEM_OBJECTIVE_GET_IFACE (self)->evaluate (self, parameters, seed, fidelity,
                                                      cancellable, error);
}

/**
 * tandem_objective_serve:
 * @self: an objective
 * @space: what candidates are from
 * @requests: where requests come from, one JSON object a line, as tandem_trial_to_json() writes
 *   them
 * @answers: where answers go, one JSON object a line
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error
 *
 * Answers requests until there are no more: what a worker of a [class@WorkerPool] does. An error of
 * the objective is answered; one of the streams, or a request that is none, ends it.
 *
 * Returns: whether it ended because there were no more requests
 */
gboolean
tandem_objective_serve (TandemObjective *self, TandemSearchSpace *space, GInputStream *requests,
                        GOutputStream *answers, GCancellable *cancellable, GError **error)
{
  g_autoptr (GDataInputStream) lines = NULL;

  g_return_val_if_fail (TANDEM_IS_OBJECTIVE (self) && TANDEM_IS_SEARCH_SPACE (space), FALSE);
  g_return_val_if_fail (G_IS_INPUT_STREAM (requests) && G_IS_OUTPUT_STREAM (answers), FALSE);

  lines = g_data_input_stream_new (requests);
  while (TRUE) {
    g_autoptr (TandemEvaluation) evaluation = NULL;
    g_autoptr (TandemTrial) trial = NULL;
    g_autofree char *line = NULL, *json = NULL, *answer = NULL;
    g_autoptr (GError) inner = NULL;

    line = g_data_input_stream_read_line_utf8 (lines, NULL, cancellable, &inner);
    if (line == NULL) {
      if (inner == NULL)
        return TRUE;
      g_propagate_error (error, g_steal_pointer (&inner));
      return FALSE;
    }
    trial = tandem_trial_new_from_json (space, line, error);
    if (trial == NULL)
      return FALSE;
    evaluation = tandem_objective_evaluate (self, tandem_trial_get_parameters (trial),
                                            tandem_trial_get_seed (trial),
                                            tandem_trial_get_fidelity (trial), cancellable, &inner);
    json = evaluation != NULL ? tandem_evaluation_to_json (evaluation, trial)
                              : tandem_evaluation_error_to_json (trial, inner->message);
    answer = g_strconcat (json, "\n", NULL);
    if (!g_output_stream_write_all (answers, answer, strlen (answer), NULL, cancellable, error) ||
        !g_output_stream_flush (answers, cancellable, error))
      return FALSE;
  }
}
