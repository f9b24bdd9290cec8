/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tandem tune: a search for the best classifier. */

#include "config.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>

#include "tandem-command.h"
#include "tandem-train-model.h"
#include "tandem-tune-command.h"
#include "tandem-tune-result.h"

/* What is only needed in the end is to be there, so that no search is for nothing. */
static gboolean
check_end (const TuneOptions *options, GCancellable *cancellable, GError **error)
{
  g_autoptr (TandemModel) model = NULL;
  g_autoptr (GPtrArray) stages = NULL;
  guint i;

  for (i = 0; options->test != NULL && options->test[i] != NULL; i++) {
    if (g_file_test (options->test[i], G_FILE_TEST_EXISTS))
      continue;
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, _("--test: there is no %s"),
                 options->test[i]);
    return FALSE;
  }
  if (options->split == NULL)
    return TRUE;
  model = tandem_model_open (options->from, cancellable, error);
  if (model == NULL)
    return FALSE;
  stages = train_parse_stages ("split", options->split, tandem_model_get_config (model)->n_layers,
                               error);
  return stages != NULL;
}

/* A folder that holds nothing of another search, unless that is to go on. One that came to no
 * candidate is none. */
static gboolean
prepare_output (const TuneOptions *options, GError **error)
{
  g_autofree char *state = g_build_filename (options->output, "search.json", NULL);
  g_autofree char *fold = g_build_filename (options->output, "search-0.json", NULL);
  g_autofree char *result = g_build_filename (options->output, TUNE_RESULT_FILE, NULL);

  if (g_mkdir_with_parents (options->output, 0777) != 0) {
    int code = errno;

    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code), "%s: %s", options->output,
                 g_strerror (code));
    return FALSE;
  }
  if (options->resume)
    return TRUE;
  if (g_file_test (state, G_FILE_TEST_EXISTS) || g_file_test (fold, G_FILE_TEST_EXISTS) ||
      g_file_test (result, G_FILE_TEST_EXISTS)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_EXISTS,
                 _("%s holds a search; --resume goes on with it, or give another folder"),
                 options->output);
    return FALSE;
  }
  return tune_options_save (options, error);
}

/* mpi: the other ranks, or NULL. */
static int
search (char **args, TuneMpi *mpi)
{
  g_auto (TuneOptions) options = { 0 };
  g_autoptr (GCancellable) cancellable = NULL;
  g_autoptr (GError) error = NULL;
  gboolean ok;
  int status;

  if (!tune_options_parse (&options, args, &status))
    return status;
  if (options.is_worker)
    return tune_run_worker (&options, NULL, &error) ? TANDEM_EXIT_OK
                                                    : tandem_command_failed (error);
  if (options.weights && mpi != NULL && mpi->n_ranks > 1)
    return tandem_command_usage (_("--weights evaluates in one process: it needs no mpirun"));
  cancellable = tandem_command_catch_signals ();
  if (!check_end (&options, cancellable, &error) || !prepare_output (&options, &error))
    ok = FALSE;
  else if (options.weights)
    ok = tune_run_weights (&options, cancellable, &error);
  else
    ok = tune_run_search (&options, mpi, cancellable, &error);
  return ok ? TANDEM_EXIT_OK : tandem_command_failed (error);
}

static int
run (char **args)
{
  g_autoptr (GError) error = NULL;
  TuneMpi mpi;
  int status;

  /* Workers are started by a rank, and are none. */
  if (!tune_mpi_is_launched () || g_strv_contains ((const char *const *) args, "--worker"))
    return search (args, NULL);
  if (!tune_mpi_begin (&mpi, &error))
    return tandem_command_failed (error);
  status = mpi.rank == 0 ? search (args, &mpi) : tune_mpi_serve (&mpi);
  tune_mpi_end (&mpi, status);
  return status;
}

const TandemCommand tandem_command_tune = {
  .name = "tune",
  .summary = N_("Search for the best classifier of reviews or of a table"),
  .run = run,
};
