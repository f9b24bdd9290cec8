/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Searches by processes: well-behaved ones, those that crash, hang and lie, and ones that are
 * killed. */

#include "evolve-search.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>

#define BUDGET 60

typedef struct
{
  char *folder, *state, *log, *worker;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  fixture->folder = g_dir_make_tmp ("tandem-pool-XXXXXX", NULL);
  fixture->state = g_build_filename (fixture->folder, "search.json", NULL);
  fixture->log = g_build_filename (fixture->folder, "search.jsonl", NULL);
  fixture->worker = g_test_build_filename (G_TEST_BUILT, "unit", "evolve-worker", NULL);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_remove (fixture->state);
  g_remove (fixture->log);
  g_rmdir (fixture->folder);
  g_free (fixture->folder);
  g_free (fixture->state);
  g_free (fixture->log);
  g_free (fixture->worker);
}

static TandemOptimizer *
make (void)
{
  g_autoptr (TandemSearchSpace) space = evolve_make_space (2);

  return evolve_make ("pso", space, 3, BUDGET);
}

static TandemWorkerPool *
make_pool (Fixture *fixture, const char *way, guint n_workers, double time_limit)
{
  const char *command[] = { fixture->worker, way, NULL };

  return tandem_worker_pool_new (command, n_workers, time_limit);
}

static TandemTuning *
make_tuning (Fixture *fixture, TandemOptimizer *optimizer)
{
  TandemTuning *tuning = tandem_tuning_new (optimizer);

  g_object_set (tuning, "state", fixture->state, "log", fixture->log, NULL);
  return tuning;
}

static guint
count_lines (const char *path, const char *with)
{
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;
  guint n = 0, i;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  lines = g_strsplit (text, "\n", -1);
  for (i = 0; lines[i] != NULL; i++)
    n += *lines[i] != '\0' && strstr (lines[i], with) != NULL;
  return n;
}

static void
count (TandemTuning *tuning, guint64 number, const char *metrics, const char *failure, guint *n)
{
  g_assert_true ((metrics == NULL) == (failure != NULL));
  (*n)++;
}

/* One process and three find what no process does. */
static void
test_processes (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemOptimizer) plain = make ();
  guint n_workers;

  evolve_run (plain, evolve_sphere, 1, G_MAXUINT);
  for (n_workers = 1; n_workers <= 3; n_workers += 2) {
    g_autoptr (TandemOptimizer) optimizer = make ();
    g_autoptr (TandemTuning) tuning = make_tuning (fixture, optimizer);
    g_autoptr (TandemWorkerPool) pool = make_pool (fixture, "well", n_workers, 60);
    g_autoptr (GError) error = NULL;
    guint n = 0;

    g_remove (fixture->log);
    g_signal_connect (tuning, "evaluated", G_CALLBACK (count), &n);
    tandem_tuning_run (tuning, TANDEM_EVALUATOR (pool), NULL, &error);
    g_assert_no_error (error);
    evolve_assert_same (plain, optimizer);
    g_assert_cmpuint (n, ==, BUDGET);
    g_assert_cmpuint (tandem_worker_pool_get_n_started (pool), ==, n_workers);
    g_assert_cmpuint (count_lines (fixture->log, "\"metrics\": {\"pid\":"), ==, BUDGET);
  }
}

/* Whatever a worker does costs the candidates that it did it to, and says what it was. */
static void
test_misbehaviour (Fixture *fixture, gconstpointer data)
{
  static const struct { const char *way, *failure; gboolean replaced; double limit; } cases[] = {
    { "crash", "the worker was ended by signal 9", TRUE, 60 },
    { "exit", "the worker ended with status 3", TRUE, 60 },
    { "hang", "it took longer than 2 s", TRUE, 2 },
    { "nonsense", "the answer is not valid JSON", TRUE, 60 },
    { "other", "the answer is not to trial", TRUE, 60 },
    { "close", "the worker ended with status 0", TRUE, 60 },
    { "chatter", "the answer is not to trial", TRUE, 60 },
    { "error", "it is \\\"too\\\" cold", FALSE, 60 },
    { "nan", "a value is not finite", FALSE, 60 },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (TandemSearchSpace) space = evolve_make_space (2);
    g_autoptr (TandemOptimizer) optimizer = evolve_make ("random", space, 1, 12);
    g_autoptr (TandemTuning) tuning = make_tuning (fixture, optimizer);
    g_autoptr (TandemWorkerPool) pool = make_pool (fixture, cases[i].way, 2, cases[i].limit);
    g_autoptr (GError) error = NULL;
    guint64 n_bad = 0, k;

    g_remove (fixture->log);
    tandem_tuning_run (tuning, TANDEM_EVALUATOR (pool), NULL, &error);
    g_assert_no_error (error);
    for (k = 0; k < 12; k++) {
      g_autoptr (TandemParameterSet) set = tandem_optimizer_get_parameters (optimizer, k);
      TandemOutcome outcome;

      g_assert_true (tandem_optimizer_get_outcome (optimizer, k, &outcome, NULL));
      g_assert_true (outcome.failed == (tandem_parameter_set_get_number (set, 0) < -1.25));
      n_bad += outcome.failed;
    }
    g_test_message ("%s: %u of 12", cases[i].way, (guint) n_bad);
    g_assert_cmpuint (n_bad, >, 0);
    g_assert_cmpuint (n_bad, <, 12);
    g_assert_cmpuint (tandem_optimizer_get_n_failures (optimizer), ==, n_bad);
    g_assert_cmpuint (count_lines (fixture->log, cases[i].failure), ==, n_bad);
    if (cases[i].replaced)
      g_assert_cmpuint (tandem_worker_pool_get_n_started (pool), >, 2);
    else
      g_assert_cmpuint (tandem_worker_pool_get_n_started (pool), ==, 2);
  }
}

static void
test_no_worker (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemOptimizer) optimizer = make ();
  g_autoptr (TandemTuning) tuning = tandem_tuning_new (optimizer);
  const char *missing[] = { "/nonexistent/worker", NULL }, *none[] = { "false", NULL };
  g_autoptr (TandemWorkerPool) pool = tandem_worker_pool_new (missing, 2, 0);
  g_autoptr (TandemWorkerPool) useless = tandem_worker_pool_new (none, 2, 0);
  g_autoptr (GError) error = NULL;

  g_assert_false (tandem_tuning_run (tuning, TANDEM_EVALUATOR (pool), NULL, &error));
  g_assert_error (error, G_SPAWN_ERROR, G_SPAWN_ERROR_NOENT);
  g_clear_error (&error);
  g_clear_object (&optimizer);
  g_clear_object (&tuning);
  optimizer = make ();
  tuning = tandem_tuning_new (optimizer);
  g_object_set (tuning, "failure-limit", 6, NULL);
  g_assert_false (tandem_tuning_run (tuning, TANDEM_EVALUATOR (useless), NULL, &error));
  g_assert_error (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_WORKER);
  g_assert_nonnull (strstr (error->message, "the last 6 evaluations failed"));
  g_assert_nonnull (strstr (error->message, "status 1"));
}

static void
cancel (TandemTuning *tuning, guint64 number, const char *metrics, const char *failure,
        GCancellable *cancellable)
{
  if (tandem_optimizer_get_n_evaluations (tandem_tuning_get_optimizer (tuning)) > BUDGET / 2)
    g_cancellable_cancel (cancellable);
}

/* Stopped in the middle, it goes on to the same, and each evaluation has one line. */
static void
test_cancel (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemOptimizer) whole = make (), part = make (), rest = NULL;
  g_autoptr (TandemTuning) first = make_tuning (fixture, part), second = NULL;
  g_autoptr (TandemWorkerPool) pool = make_pool (fixture, "well", 2, 60);
  g_autoptr (TandemWorkerPool) other = make_pool (fixture, "well", 3, 60);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  FILE *log;

  evolve_run (whole, evolve_sphere, 1, G_MAXUINT);
  g_signal_connect (first, "evaluated", G_CALLBACK (cancel), cancellable);
  g_assert_false (tandem_tuning_run (first, TANDEM_EVALUATOR (pool), cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_cmpuint (count_lines (fixture->log, "values"), <, BUDGET);

  /* As if it had been killed: lines that the state does not know, and half a one. */
  log = g_fopen (fixture->log, "a");
  fputs ("{\"trial\": 59, \"rung\": 0, \"values\": [1]}\n{\"trial\": 58, \"ru", log);
  fclose (log);
  rest = tandem_optimizer_load (fixture->state, &error);
  g_assert_no_error (error);
  second = make_tuning (fixture, rest);
  tandem_tuning_run (second, TANDEM_EVALUATOR (other), NULL, &error);
  g_assert_no_error (error);
  evolve_assert_same (whole, rest);
  g_assert_cmpuint (count_lines (fixture->log, "values"), ==, BUDGET);
}

/* A worker that never reads is given up. */
static void
test_deaf (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemOptimizer) optimizer = make ();
  g_autoptr (TandemTuning) tuning = tandem_tuning_new (optimizer);
  g_autoptr (TandemWorkerPool) pool = make_pool (fixture, "deaf", 2, 0.5);
  g_autoptr (GError) error = NULL;

  g_object_set (tuning, "failure-limit", 2, NULL);
  g_assert_false (tandem_tuning_run (tuning, TANDEM_EVALUATOR (pool), NULL, &error));
  g_assert_error (error, TANDEM_EVOLVE_ERROR, TANDEM_EVOLVE_ERROR_WORKER);
  g_assert_nonnull (strstr (error->message, "it took longer than 0.5 s"));
}

/* In a process of its own: searches until it is killed. */
static void
search_to_be_killed (const char *state, const char *log, const char *worker)
{
  g_autoptr (TandemOptimizer) optimizer = tandem_optimizer_load (state, NULL);
  g_autoptr (TandemTuning) tuning = NULL;
  const char *command[] = { worker, "well", NULL };
  g_autoptr (TandemWorkerPool) pool = tandem_worker_pool_new (command, 2, 60);
  g_autoptr (GError) error = NULL;

  if (optimizer == NULL)
    optimizer = make ();
  tuning = tandem_tuning_new (optimizer);
  g_object_set (tuning, "state", state, "log", log, NULL);
  tandem_tuning_run (tuning, TANDEM_EVALUATOR (pool), NULL, &error);
  g_assert_no_error (error);
}

/* Killed again and again, at whatever it does, it comes to the same end. */
static void
test_killed (Fixture *fixture, gconstpointer program)
{
  g_autoptr (TandemOptimizer) whole = make (), killed = NULL;
  g_autoptr (GError) error = NULL;
  guint n_kills = 0, delay = 20000;
  gboolean finished = FALSE;

  evolve_run (whole, evolve_sphere, 1, G_MAXUINT);
  while (!finished) {
    g_autoptr (GSubprocess) process = g_subprocess_new (
      G_SUBPROCESS_FLAGS_NONE, &error, program, "--search", fixture->state, fixture->log,
      fixture->worker, NULL);

    g_assert_no_error (error);
    /* Any time will do, and each next one is later: it ends. */
    g_usleep (delay);
    delay += 15000;
    g_subprocess_send_signal (process, SIGKILL);
    g_subprocess_wait (process, NULL, NULL);
    finished = !g_subprocess_get_if_signaled (process);
    n_kills += !finished;
    if (g_file_test (fixture->state, G_FILE_TEST_EXISTS)) {
      g_autoptr (TandemOptimizer) between = tandem_optimizer_load (fixture->state, &error);

      g_assert_no_error (error);
    }
  }
  g_test_message ("killed %u times", n_kills);
  killed = tandem_optimizer_load (fixture->state, &error);
  g_assert_no_error (error);
  evolve_assert_same (whole, killed);
  g_assert_cmpuint (count_lines (fixture->log, "values"), ==, BUDGET);
}

int
main (int argc, char **argv)
{
  if (argc == 5 && g_str_equal (argv[1], "--search")) {
    search_to_be_killed (argv[2], argv[3], argv[4]);
    return 0;
  }
  g_test_init (&argc, &argv, NULL);
#define ADD(name, f, data) g_test_add ("/evolve/pool/" name, Fixture, data, set_up, f, tear_down)
  ADD ("processes", test_processes, NULL);
  ADD ("misbehaviour", test_misbehaviour, NULL);
  ADD ("no-worker", test_no_worker, NULL);
  ADD ("cancel", test_cancel, NULL);
  ADD ("deaf", test_deaf, NULL);
  ADD ("killed", test_killed, argv[0]);
#undef ADD
  return g_test_run ();
}
