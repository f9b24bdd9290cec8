/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A search with two processes that evaluate against the same one with one process, of an objective
 * that computes, the fit of a network, and of one that waits. The first needs two free cores to be
 * twice as fast; the second shows what the pool itself costs, whatever else the machine does. */

#include "tandem.h"

#include <gio/gunixinputstream.h>
#include <gio/gunixoutputstream.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tandem-classifier.h"

#define N_EVALUATIONS 60
#define N_ROWS 400
#define N_COLUMNS 20

#define TYPE_WORK (work_get_type ())

G_DECLARE_FINAL_TYPE (Work, work, BENCH, WORK, GObject)

struct _Work
{
  GObject parent;

  TandemDataset *data;          /* NULL: it waits */
  guint rows[N_ROWS];
};

/* Rows of numbers, of which the first two tell the class. */
static TandemDataset *
make_data (GError **error)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (TandemDataTable) table = NULL;
  g_autofree char *path = NULL;
  guint i, k;
  int fd = g_file_open_tmp ("tandem-bench-XXXXXX.arff", &path, error);

  if (fd < 0)
    return NULL;
  close (fd);
  for (k = 0; k < N_COLUMNS; k++)
    g_string_append_printf (text, "@attribute x%u real\n", k);
  g_string_append (text, "@attribute class {a,b}\n@data\n");
  for (i = 0; i < N_ROWS; i++) {
    double sum = 0.0;

    for (k = 0; k < N_COLUMNS; k++) {
      int number = g_rand_int_range (random, -1000, 1000);

      sum += k < 2 ? number : 0.0;
      g_string_append_printf (text, "%d,", number);
    }
    g_string_append (text, sum > 0.0 ? "a\n" : "b\n");
  }
  if (g_file_set_contents (path, text->str, text->len, error))
    table = tandem_data_table_read (path, NULL, error);
  unlink (path);
  return table != NULL ? tandem_dataset_new_table (table, NULL, NULL, error) : NULL;
}

static TandemEvaluation *
work_evaluate (TandemObjective *objective, TandemParameterSet *parameters, guint64 seed,
               double fidelity, GCancellable *cancellable, GError **error)
{
  Work *self = BENCH_WORK (objective);
  double x = tandem_parameter_set_get_number (parameters, 0);
  g_autoptr (TandemClassifier) network = NULL;

  if (self->data == NULL) {
    g_usleep ((gulong) (x * 2.0 * G_USEC_PER_SEC * 0.1));
    return tandem_evaluation_new (1, &x);
  }
  network = tandem_classifier_new ("ann", error);
  if (network == NULL)
    return NULL;
  g_object_set (network, "hidden-1", 64, "epochs", (guint) (200 * x), "learning-rate", 1e-3, NULL);
  return tandem_classifier_fit (network, self->data, self->rows, N_ROWS, cancellable, error)
    ? tandem_evaluation_new (1, &x) : NULL;
}

static void
objective_init (TandemObjectiveInterface *iface)
{
  iface->evaluate = work_evaluate;
}

G_DEFINE_FINAL_TYPE_WITH_CODE (Work, work, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (TANDEM_TYPE_OBJECTIVE, objective_init))

static void
work_finalize (GObject *object)
{
  g_clear_object (&BENCH_WORK (object)->data);
  G_OBJECT_CLASS (work_parent_class)->finalize (object);
}

static void
work_class_init (WorkClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = work_finalize;
}

static void
work_init (Work *self)
{
  guint i;

  for (i = 0; i < N_ROWS; i++)
    self->rows[i] = i;
}

/* Candidates take from half of the mean time to one and a half of it. */
static TandemSearchSpace *
make_space (GError **error)
{
  return tandem_search_space_new_from_text ("x = real(0.25, 0.75)", error);
}

static int
serve (gboolean computes, GError **error)
{
  g_autoptr (GInputStream) requests = g_unix_input_stream_new (STDIN_FILENO, FALSE);
  g_autoptr (GOutputStream) answers = g_unix_output_stream_new (STDOUT_FILENO, FALSE);
  g_autoptr (TandemSearchSpace) space = make_space (error);
  g_autoptr (Work) work = g_object_new (TYPE_WORK, NULL);

  if (computes)
    work->data = make_data (error);
  return space != NULL && (!computes || work->data != NULL) &&
      tandem_objective_serve (TANDEM_OBJECTIVE (work), space, requests, answers, NULL, error);
}

static double
get_child_seconds (void)
{
  struct rusage usage;

  getrusage (RUSAGE_CHILDREN, &usage);
  return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
      1e-6 * (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* Seconds of a search; *cores: how many the workers had of the machine on the average. */
static double
measure (const char *program, const char *kind, guint n_workers, double *cores, GError **error)
{
  const char *command[] = { program, "worker", kind, NULL };
  g_autoptr (TandemSearchSpace) space = make_space (error);
  g_autoptr (TandemOptimizer) optimizer = NULL;
  g_autoptr (TandemTuning) tuning = NULL;
  TandemWorkerPool *pool = tandem_worker_pool_new (command, n_workers, 0.0);
  double before = get_child_seconds (), seconds;
  gint64 begin = g_get_monotonic_time ();
  gboolean ok;

  optimizer = tandem_optimizer_new ("pso", space, error);
  g_object_set (optimizer, "budget", (guint64) N_EVALUATIONS, NULL);
  tuning = tandem_tuning_new (optimizer);
  ok = tandem_tuning_run (tuning, TANDEM_EVALUATOR (pool), NULL, error);
  seconds = 1e-6 * (g_get_monotonic_time () - begin);
  /* Only those that have ended are counted. */
  g_object_unref (pool);
  *cores = (get_child_seconds () - before) / seconds;
  return ok ? seconds : -1.0;
}

static int
compare (gconstpointer a, gconstpointer b)
{
  double x = *(const double *) a, y = *(const double *) b;

  return (x > y) - (x < y);
}

static gboolean
compare_workers (const char *program, const char *kind, guint n_rounds, GError **error)
{
  g_autofree double *ratios = g_new (double, n_rounds);
  guint i;

  for (i = 0; i < n_rounds; i++) {
    double cores[2], seconds[2];
    guint k;

    for (k = 0; k < 2; k++) {
      seconds[k] = measure (program, kind, k + 1, &cores[k], error);
      if (seconds[k] < 0.0)
        return FALSE;
    }
    ratios[i] = seconds[0] / seconds[1];
    g_print ("%s: 1 worker %.2f s with %.2f cores, 2 workers %.2f s with %.2f cores: %.2f times\n",
             kind, seconds[0], cores[0], seconds[1], cores[1], ratios[i]);
  }
  qsort (ratios, n_rounds, sizeof *ratios, compare);
  g_print ("%s: two workers are %.2f times as fast as one (median of %u, %.2f to %.2f)\n", kind,
           ratios[n_rounds / 2], n_rounds, ratios[0], ratios[n_rounds - 1]);
  return TRUE;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  guint n_rounds = argc > 1 ? (guint) MAX (atoi (argv[1]), 1) : 5;
  gboolean ok;

  if (argc == 3 && g_str_equal (argv[1], "worker"))
    ok = serve (g_str_equal (argv[2], "computes"), &error);
  else
    ok = compare_workers (argv[0], "waits", n_rounds, &error) &&
        compare_workers (argv[0], "computes", n_rounds, &error);
  if (!ok)
    g_printerr ("%s\n", error->message);
  return ok ? 0 : 1;
}
