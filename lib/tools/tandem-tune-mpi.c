/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-tune-mpi.h"

#include <glib/gi18n-lib.h>
#include <gmodule.h>
#include <string.h>

#include "tandem-tune-options-private.h"

#define MODULE "tandem-mpi." G_MODULE_SUFFIX

/* Pauses between two looks, in microseconds. */
#define LEAST_PAUSE 1000
#define MOST_PAUSE 10000

gboolean
tune_mpi_is_launched (void)
{
  /* Open MPI, MPICH and its kin, and whatever has PMIx. */
  return g_getenv ("OMPI_COMM_WORLD_SIZE") != NULL || g_getenv ("PMI_SIZE") != NULL ||
      g_getenv ("PMIX_RANK") != NULL;
}

/* Beside this program, where it was built, or where it is installed. */
static GModule *
open_module (GError **error)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *folder = program != NULL ? g_path_get_dirname (program) : NULL;
  g_autofree char *built = folder != NULL ? g_build_filename (folder, MODULE, NULL) : NULL;
  g_autofree char *installed = g_build_filename (MODULESDIR, MODULE, NULL);
  const gboolean is_built = built != NULL && g_file_test (built, G_FILE_TEST_EXISTS);
  GModule *module;

  if (!is_built && !g_file_test (installed, G_FILE_TEST_EXISTS)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                 _("mpirun started this, and there is no %s: tandem was built without MPI"),
                 installed);
    return NULL;
  }
  /* MPI loads modules of its own, which look for its symbols. */
  module = g_module_open (is_built ? built : installed, 0);
  if (module == NULL)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "%s", g_module_error ());
  return module;
}

gboolean
tune_mpi_begin (TuneMpi *self, GError **error)
{
  GModule *module = open_module (error);
  const TandemMpi *(*get) (void);

  *self = (TuneMpi) { NULL };
  if (module == NULL)
    return FALSE;
  if (!g_module_symbol (module, "tandem_mpi_get", (gpointer *) &get)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "%s", g_module_error ());
    return FALSE;
  }
  /* It stays loaded: MPI may have threads. */
  g_module_make_resident (module);
  if (!get ()->begin (&self->rank, &self->n_ranks)) {
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED, _("MPI does not begin"));
    return FALSE;
  }
  self->mpi = get ();
  self->hosts = g_new0 (char *, self->n_ranks);
  return TRUE;
}

/* Takes all that was sent: MPI waits with its end for that. */
static gboolean
wait_for_last (TuneMpi *self)
{
  const gint64 end = g_get_monotonic_time () + TUNE_MPI_SILENCE * G_TIME_SPAN_SECOND;
  guint n_missing = self->n_ranks - 1, rank, kind;
  gsize size;
  char *text;

  while (n_missing > 0) {
    if (!self->mpi->receive (&rank, &kind, &text, &size)) {
      if (g_get_monotonic_time () >= end)
        return FALSE;
      g_usleep (LEAST_PAUSE);
      continue;
    }
    n_missing -= kind == TUNE_MPI_END;
    g_free (text);
  }
  return TRUE;
}

void
tune_mpi_end (TuneMpi *self, int status)
{
  guint i;

  if (self->is_torn)
    self->mpi->abort (status);

  for (i = 1; self->rank == 0 && i < self->n_ranks; i++)
    self->mpi->send (i, TUNE_MPI_END, "", 0);
  if (self->rank > 0)
    self->mpi->send (0, TUNE_MPI_END, "", 0);
  else if (!wait_for_last (self))
    self->mpi->abort (status);
  self->mpi->end ();
  for (i = 0; i < self->n_ranks; i++)
    g_free (self->hosts[i]);
  g_clear_pointer (&self->hosts, g_free);
}

void
tune_mpi_send_options (TuneMpi *self, const TuneOptions *options)
{
  g_auto (GStrv) args = tune_options_list (options);
  g_autoptr (GString) text = g_string_new (NULL);
  char number[G_ASCII_DTOSTR_BUF_SIZE];
  guint i;

  for (i = 0; args[i] != NULL; i++)
    g_string_append_len (text, args[i], strlen (args[i]) + 1);
  g_string_append_printf (text, "--workers=%d", options->workers);
  g_string_append_c (text, '\0');
  g_string_append_printf (text, "--timeout=%s",
                          g_ascii_dtostr (number, sizeof number, options->timeout));
  g_string_append_c (text, '\0');
  for (i = 1; i < self->n_ranks; i++)
    self->mpi->send (i, TUNE_MPI_OPTIONS, text->str, text->len);
}

/* Takes what a rank says about its data. */
static gboolean
take_report (TuneMpi *self, guint rank, guint kind, const char *text, const char *fingerprint,
             GError **error)
{
  const char *end = strrchr (text, '\n');
  g_autofree char *said = g_strndup (text, end != NULL ? (gsize) (end - text) : strlen (text));

  self->hosts[rank] = g_strdup (end != NULL ? end + 1 : "");
  if (kind == TUNE_MPI_READY && g_str_equal (said, fingerprint))
    return TRUE;
  if (kind == TUNE_MPI_READY)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 _("rank %u on %s has other data than rank 0 on %s"), rank, self->hosts[rank],
                 g_get_host_name ());
  else
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, _("rank %u on %s: %s"), rank,
                 self->hosts[rank], said);
  return FALSE;
}

gboolean
tune_mpi_wait_until_ready (TuneMpi *self, TuneObjective *objective, GCancellable *cancellable,
                           GError **error)
{
  g_autofree char *fingerprint = tune_objective_make_fingerprint (objective, cancellable, error);
  guint n_missing = self->n_ranks - 1;

  if (fingerprint == NULL)
    return FALSE;
  while (n_missing > 0) {
    g_autofree char *text = NULL;
    guint rank, kind;
    gsize size;

    if (g_cancellable_set_error_if_cancelled (cancellable, error))
      return FALSE;
    if (!self->mpi->receive (&rank, &kind, &text, &size)) {
      g_usleep (LEAST_PAUSE);
      continue;
    }
    if (kind == TUNE_MPI_ALIVE)
      continue;
    if (!take_report (self, rank, kind, text, fingerprint, error))
      return FALSE;
    n_missing--;
  }
  return TRUE;
}

typedef struct
{
  GSource source;
  const TandemMpi *mpi;
  gint64 pause;                 /* microseconds */
} Watch;

static gboolean
watch_dispatch (GSource *source, GSourceFunc callback, gpointer data)
{
  Watch *self = (Watch *) source;
  TuneMpiFunc func = (TuneMpiFunc) (void (*) (void)) callback;
  guint rank, kind;
  char *text;
  gsize size;

  self->pause = MIN (self->pause * 2, MOST_PAUSE);
  while (!g_source_is_destroyed (source) && self->mpi->receive (&rank, &kind, &text, &size)) {
    func (rank, kind, text, size, data);
    g_free (text);
    self->pause = LEAST_PAUSE;
  }
  g_source_set_ready_time (source, g_source_get_time (source) + self->pause);
  return G_SOURCE_CONTINUE;
}

GSource *
tune_mpi_watch (const TandemMpi *mpi, TuneMpiFunc func, gpointer data)
{
  static GSourceFuncs functions = { .dispatch = watch_dispatch };
  GSource *source = g_source_new (&functions, sizeof (Watch));
  Watch *self = (Watch *) source;

  self->mpi = mpi;
  self->pause = LEAST_PAUSE;
  g_source_set_callback (source, G_SOURCE_FUNC (func), data, NULL);
  g_source_set_ready_time (source, 0);
  g_source_attach (source, g_main_context_get_thread_default ());
  return source;
}

const char *
tune_mpi_split (const char *text, guint64 *number)
{
  char *end;

  *number = g_ascii_strtoull (text, &end, 10);
  return end > text && *end == ' ' ? end + 1 : NULL;
}
