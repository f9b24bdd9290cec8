/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Requests go through a socket: writing to a pipe whose reader died would raise SIGPIPE in this
 * process. Callbacks hold a reference to the worker; all of them come from one main context. */

#include "config.h"

#include "evolve/tandem-worker-private.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#include <sys/socket.h>
#include <unistd.h>

#include "evolve/tandem-evaluation-private.h"

#define CHUNK 65536
/* Seconds that a process may take to end after it closed its output. */
#define PATIENCE 5

struct _TandemWorker
{
  guint n_refs;                 /* the pool's, and one for each callback that is to come */
  GMainContext *context;        /* that calls them */
  GSubprocess *process;
  GSocketConnection *requests;
  GInputStream *answers;        /* of the process */
  GCancellable *cancellable;    /* of reading and writing */
  GByteArray *line;             /* what came of an answer */
  gboolean is_held;             /* a line is there and waits until the request is written */
  gsize held;                   /* how long it is */
  guchar *chunk;
  gboolean alive;

  GTask *task;                  /* what it evaluates; NULL: nothing */
  TandemTrial *trial;
  char *request;                /* what is being written; NULL: nothing */
  double time_limit;
  GSource *timeout;
  GSource *cancelled;
  char *failure;                /* why it was ended; NULL: it ended by itself */
};

static void
worker_unref (TandemWorker *self)
{
  if (--self->n_refs > 0)
    return;
  g_main_context_unref (self->context);
  g_clear_object (&self->process);
  g_clear_object (&self->requests);
  g_clear_object (&self->cancellable);
  g_byte_array_unref (self->line);
  g_free (self->chunk);
  g_free (self->request);
  g_free (self->failure);
  g_free (self);
}

static TandemWorker *
worker_ref (TandemWorker *self)
{
  self->n_refs++;
  return self;
}

static void
clear_source (GSource **source)
{
  if (*source == NULL)
    return;
  g_source_destroy (*source);
  g_clear_pointer (source, g_source_unref);
}

/* Nothing is evaluated any more; returns the task (transfer full). */
static GTask *
release (TandemWorker *self)
{
  clear_source (&self->timeout);
  clear_source (&self->cancelled);
  g_clear_pointer (&self->trial, tandem_trial_unref);
  return g_steal_pointer (&self->task);
}

/* The process is ended, because of what it did; waiting for it says so to the task. */
static void G_GNUC_PRINTF (2, 3)
end (TandemWorker *self, const char *format, ...)
{
  va_list args;

  if (self->failure == NULL) {
    va_start (args, format);
    self->failure = g_strdup_vprintf (format, args);
    va_end (args);
  }
  self->alive = FALSE;
  g_subprocess_force_exit (self->process);
}

static void
on_end (GObject *object, GAsyncResult *result, gpointer data)
{
  TandemWorker *self = data;
  g_autofree char *how = NULL;
  g_autoptr (GTask) task = NULL;

  g_subprocess_wait_finish (self->process, result, NULL);
  self->alive = FALSE;
  clear_source (&self->timeout);
  if (self->task != NULL) {
    task = release (self);
    if (self->failure != NULL)
      how = g_strdup (self->failure);
    else if (g_subprocess_get_if_signaled (self->process))
      how = g_strdup_printf ("the worker was ended by signal %d (%s)",
                             g_subprocess_get_term_sig (self->process),
                             g_strsignal (g_subprocess_get_term_sig (self->process)));
    else
      how = g_strdup_printf ("the worker ended with status %d",
                             g_subprocess_get_exit_status (self->process));
    g_task_return_new_error (task, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_WORKER, "%s", how);
  }
  worker_unref (self);
}

static void read_more (TandemWorker *self);

/* Takes the answer up to the end of a line. */
static void
take_line (TandemWorker *self, gsize length)
{
  g_autofree char *text = g_strndup ((const char *) self->line->data, length);
  g_autoptr (TandemEvaluation) evaluation = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GTask) task = NULL;

  g_byte_array_remove_range (self->line, 0, length + 1);
  if (self->task == NULL) {
    end (self, "the worker said what it was not asked");
    return;
  }
  if (strlen (text) != length || !g_utf8_validate (text, length, NULL)) {
    end (self, "the answer is no text in UTF-8");
    return;
  }
  evaluation = tandem_evaluation_new_from_json (self->trial, text, &error);
  if (evaluation == NULL && !g_error_matches (error, TANDEM_EVOLVE_ERROR,
                                              TANDEM_EVOLVE_ERROR_CANDIDATE)) {
    end (self, "%s", error->message);
    return;
  }
  /* Whoever says more than that is not asked again. */
  if (self->line->len > 0)
    end (self, "the worker said what it was not asked");
  task = release (self);
  if (evaluation != NULL)
    g_task_return_pointer (task, g_steal_pointer (&evaluation),
                           (GDestroyNotify) tandem_evaluation_free);
  else
    g_task_return_new_error (task, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_WORKER, "%s",
                             error->message);
}

static gboolean
on_silence (gpointer data)
{
  end (data, "the worker closed its output");
  return G_SOURCE_REMOVE;
}

/* It most likely ends, and then how it ended says most. */
static void
wait_for_end (TandemWorker *self)
{
  self->alive = FALSE;
  clear_source (&self->timeout);
  self->timeout = g_timeout_source_new_seconds (PATIENCE);
  g_source_set_callback (self->timeout, on_silence, self, NULL);
  g_source_attach (self->timeout, self->context);
}

static void
on_read (GObject *object, GAsyncResult *result, gpointer data)
{
  TandemWorker *self = data;
  gssize n = g_input_stream_read_finish (self->answers, result, NULL);

  if (n > 0 && self->alive) {
    const guchar *newline = memchr (self->chunk, '\n', n);
    gsize before = self->line->len;

    g_byte_array_append (self->line, self->chunk, n);
    /* The callback of writing may come later than what it led to. */
    if (newline != NULL && self->request != NULL) {
      self->held = before + (newline - self->chunk);
      self->is_held = TRUE;
      worker_unref (self);
      return;
    }
    if (newline != NULL)
      take_line (self, before + (newline - self->chunk));
    else if (self->line->len > TANDEM_EVALUATION_MAX_LINE)
      end (self, "the answer has more than %d bytes", TANDEM_EVALUATION_MAX_LINE);
  }
  if (n > 0)
    read_more (self);
  else if (self->alive)
    wait_for_end (self);
  worker_unref (self);
}

static void
read_more (TandemWorker *self)
{
  g_input_stream_read_async (self->answers, self->chunk, CHUNK, G_PRIORITY_DEFAULT,
                             self->cancellable, on_read, worker_ref (self));
}

#ifdef __linux__
/* Between fork and exec: a worker does not outlive who started it. */
static void
die_with_parent (gpointer data)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
}
#endif

TandemWorker *
tandem_worker_new (const char *const *command, GError **error)
{
  g_autoptr (GSubprocessLauncher) launcher =
    g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE);
  g_autoptr (GSubprocess) process = NULL;
  g_autoptr (GSocket) socket = NULL;
  TandemWorker *self;
  int pair[2];

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "no sockets for a worker: %s",
                 g_strerror (errno));
    return NULL;
  }
  g_subprocess_launcher_take_stdin_fd (launcher, pair[1]);
  socket = g_socket_new_from_fd (pair[0], error);
  if (socket == NULL) {
    close (pair[0]);
    return NULL;
  }
#ifdef __linux__
  g_subprocess_launcher_set_child_setup (launcher, die_with_parent, NULL, NULL);
#endif
  process = g_subprocess_launcher_spawnv (launcher, command, error);
  if (process == NULL)
    return NULL;
  self = g_new0 (TandemWorker, 1);
  self->n_refs = 1;
  self->context = g_main_context_ref_thread_default ();
  self->process = g_steal_pointer (&process);
  self->requests = g_socket_connection_factory_create_connection (socket);
  self->answers = g_subprocess_get_stdout_pipe (self->process);
  self->cancellable = g_cancellable_new ();
  self->line = g_byte_array_new ();
  self->chunk = g_malloc (CHUNK);
  self->alive = TRUE;
  g_subprocess_wait_async (self->process, NULL, on_end, worker_ref (self));
  read_more (self);
  return self;
}

void
tandem_worker_free (TandemWorker *self)
{
  g_return_if_fail (self->task == NULL);

  end (self, "the search is over");
  g_cancellable_cancel (self->cancellable);
  while (self->n_refs > 1)
    g_main_context_iteration (self->context, TRUE);
  worker_unref (self);
}

gboolean
tandem_worker_is_busy (TandemWorker *self)
{
  return self->task != NULL;
}

gboolean
tandem_worker_is_alive (TandemWorker *self)
{
  return self->alive;
}

gboolean
tandem_worker_is_gone (TandemWorker *self)
{
  return self->n_refs == 1;
}

static gboolean
on_timeout (gpointer data)
{
  TandemWorker *self = data;

  end (self, "it took longer than %g s", self->time_limit);
  return G_SOURCE_REMOVE;
}

static gboolean
on_cancelled (GCancellable *cancellable, gpointer data)
{
  end (data, "the search was stopped");
  return G_SOURCE_REMOVE;
}

/* When the request could not be written the process is ending; that says more. */
static void
on_written (GObject *object, GAsyncResult *result, gpointer data)
{
  TandemWorker *self = data;

  g_output_stream_write_all_finish (G_OUTPUT_STREAM (object), result, NULL, NULL);
  g_clear_pointer (&self->request, g_free);
  if (self->is_held) {
    self->is_held = FALSE;
    if (self->alive)
      take_line (self, self->held);
    read_more (self);
  }
  worker_unref (self);
}

void
tandem_worker_ask (TandemWorker *self, TandemTrial *trial, double time_limit, GTask *task)
{
  g_autofree char *json = tandem_trial_to_json (trial);
  GOutputStream *stream = g_io_stream_get_output_stream (G_IO_STREAM (self->requests));

  self->task = task;
  self->trial = tandem_trial_ref (trial);
  self->time_limit = time_limit;
  self->request = g_strconcat (json, "\n", NULL);
  if (time_limit > 0) {
    self->timeout = g_timeout_source_new ((guint) MIN (time_limit * 1e3 + 1, G_MAXINT));
    g_source_set_callback (self->timeout, on_timeout, self, NULL);
    g_source_attach (self->timeout, self->context);
  }
  if (g_task_get_cancellable (task) != NULL) {
    self->cancelled = g_cancellable_source_new (g_task_get_cancellable (task));
    g_source_set_callback (self->cancelled, G_SOURCE_FUNC (on_cancelled), self, NULL);
    g_source_attach (self->cancelled, self->context);
  }
  g_output_stream_write_all_async (stream, self->request, strlen (self->request),
                                   G_PRIORITY_DEFAULT, self->cancellable, on_written,
                                   worker_ref (self));
}
