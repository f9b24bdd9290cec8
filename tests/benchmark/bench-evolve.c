/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The optimizers on usual functions, one line a run: what bench-evolve.py compares.
 *
 *   bench-evolve ALGORITHM FUNCTION DIMENSIONS BUDGET POPULATION FIRST-SEED SEEDS [NAME=VALUE...]
 *   bench-evolve overhead
 *
 * The optimum of seed s is where bench-evolve.py puts it, too: at the middle of the range plus a
 * quarter of the range times 2 u - 1, u from the SplitMix64 stream of s. */

#include "tandem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef double (*Function) (const double *x, guint n);

static double
sphere (const double *x, guint n)
{
  double sum = 0.0;
  guint i;

  for (i = 0; i < n; i++)
    sum += x[i] * x[i];
  return sum;
}

/* Its optimum moved to 0. */
static double
rosenbrock (const double *x, guint n)
{
  double sum = 0.0;
  guint i;

  for (i = 0; i + 1 < n; i++) {
    double a = x[i] + 1.0, b = x[i + 1] + 1.0;

    sum += 100.0 * (b - a * a) * (b - a * a) + (1.0 - a) * (1.0 - a);
  }
  return sum;
}

static double
rastrigin (const double *x, guint n)
{
  double sum = 10.0 * n;
  guint i;

  for (i = 0; i < n; i++)
    sum += x[i] * x[i] - 10.0 * cos (2.0 * G_PI * x[i]);
  return sum;
}

static double
ackley (const double *x, guint n)
{
  double squares = 0.0, cosines = 0.0;
  guint i;

  for (i = 0; i < n; i++) {
    squares += x[i] * x[i];
    cosines += cos (2.0 * G_PI * x[i]);
  }
  return 20.0 + G_E - 20.0 * exp (-0.2 * sqrt (squares / n)) - exp (cosines / n);
}

static double
griewank (const double *x, guint n)
{
  double sum = 0.0, product = 1.0;
  guint i;

  for (i = 0; i < n; i++) {
    sum += x[i] * x[i];
    product *= cos (x[i] / sqrt (i + 1.0));
  }
  return 1.0 + sum / 4000.0 - product;
}

static const struct
{
  const char *name;
  Function function;
  double bound;
} functions[] = {
  { "sphere", sphere, 100.0 },
  { "rosenbrock", rosenbrock, 30.0 },
  { "rastrigin", rastrigin, 5.12 },
  { "ackley", ackley, 32.0 },
  { "griewank", griewank, 600.0 },
};

static guint64
mix (guint64 z)
{
  z = (z ^ (z >> 30)) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return z ^ (z >> 31);
}

static void
make_shift (guint64 seed, double bound, double *shift, guint n)
{
  guint i;

  for (i = 0; i < n; i++) {
    guint64 bits = mix (seed * 1000003 + (i + 1) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15));

    shift[i] = 0.5 * bound * (2.0 * ((bits >> 11) * 0x1p-53) - 1.0);
  }
}

static TandemSearchSpace *
make_space (double bound, guint n)
{
  TandemSearchSpace *space = tandem_search_space_new ();
  guint i;

  for (i = 0; i < n; i++) {
    g_autofree char *name = g_strdup_printf ("x%u", i);

    tandem_search_space_add_number (space, name, TANDEM_PARAMETER_KIND_REAL, -bound, bound, NULL);
  }
  return space;
}

static TandemOptimizer *
make_optimizer (const char *algorithm, TandemSearchSpace *space, guint64 seed, char **settings)
{
  g_autoptr (GError) error = NULL;
  TandemOptimizer *optimizer = tandem_optimizer_new (algorithm, space, &error);

  if (optimizer == NULL)
    g_error ("%s", error->message);
  g_object_set (optimizer, "seed", seed, NULL);
  for (; *settings != NULL; settings++) {
    g_auto (GStrv) sides = g_strsplit (*settings, "=", 2);
    g_auto (GValue) value = G_VALUE_INIT;
    GParamSpec *pspec =
      g_object_class_find_property (G_OBJECT_GET_CLASS (optimizer), sides[0]);

    if (pspec == NULL || sides[1] == NULL)
      g_error ("%s: no property", *settings);
    g_value_init (&value, pspec->value_type);
    if (G_VALUE_HOLDS_DOUBLE (&value))
      g_value_set_double (&value, g_ascii_strtod (sides[1], NULL));
    else if (G_VALUE_HOLDS_UINT (&value))
      g_value_set_uint (&value, atoi (sides[1]));
    else if (G_VALUE_HOLDS_UINT64 (&value))
      g_value_set_uint64 (&value, g_ascii_strtoull (sides[1], NULL, 10));
    else if (G_VALUE_HOLDS_ENUM (&value))
      g_value_set_enum (&value, atoi (sides[1]));
    g_object_set_property (G_OBJECT (optimizer), sides[0], &value);
  }
  return optimizer;
}

static double
run (const char *algorithm, guint function, guint n, guint64 seed, char **settings)
{
  g_autoptr (TandemSearchSpace) space = make_space (functions[function].bound, n);
  g_autoptr (TandemOptimizer) optimizer = make_optimizer (algorithm, space, seed, settings);
  g_autofree double *shift = g_new (double, n), *x = g_new (double, n);
  TandemOutcome outcome = { 0 };
  TandemTrial *trial;
  guint i;

  make_shift (seed, functions[function].bound, shift, n);
  while ((trial = tandem_optimizer_ask (optimizer)) != NULL) {
    for (i = 0; i < n; i++)
      x[i] = tandem_parameter_set_get_number (tandem_trial_get_parameters (trial), i) - shift[i];
    outcome.values[0] = functions[function].function (x, n);
    tandem_optimizer_tell (optimizer, trial, &outcome, NULL);
    tandem_trial_unref (trial);
  }
  tandem_optimizer_get_best (optimizer, NULL, &outcome);
  return outcome.values[0];
}

/* Microseconds of ask and tell together, for each algorithm, in 30 dimensions. */
static void
measure_overhead (void)
{
  const char *const *algorithm = tandem_optimizer_get_algorithms ();
  char *settings[] = { (char *) "budget=100000", NULL };

  for (; *algorithm != NULL; algorithm++) {
    g_autoptr (TandemSearchSpace) space = make_space (1.0, 30);
    g_autoptr (TandemOptimizer) optimizer = make_optimizer (*algorithm, space, 1, settings);
    TandemOutcome outcome = { 0 };
    /* Of the processor: others may have it, too. */
    clock_t start = clock ();
    TandemTrial *trial;

    while ((trial = tandem_optimizer_ask (optimizer)) != NULL) {
      outcome.values[0] = fabs (
        tandem_parameter_set_get_number (tandem_trial_get_parameters (trial), 0) - 0.3);
      tandem_optimizer_tell (optimizer, trial, &outcome, NULL);
      tandem_trial_unref (trial);
    }
    printf ("%s %.2f\n", *algorithm, 1e6 * (clock () - start) / CLOCKS_PER_SEC /
            tandem_optimizer_get_n_evaluations (optimizer));
  }
}

int
main (int argc, char **argv)
{
  g_autoptr (GPtrArray) settings = g_ptr_array_new_with_free_func (g_free);
  guint64 first, seed;
  guint function, i;

  if (argc == 2 && g_str_equal (argv[1], "overhead")) {
    measure_overhead ();
    return EXIT_SUCCESS;
  }
  if (argc < 8) {
    fprintf (stderr, "usage: %s ALGORITHM FUNCTION DIMENSIONS BUDGET POPULATION FIRST-SEED SEEDS "
             "[NAME=VALUE...]\n", argv[0]);
    return EXIT_FAILURE;
  }
  for (function = 0; function < G_N_ELEMENTS (functions); function++)
    if (g_str_equal (functions[function].name, argv[2]))
      break;
  if (function == G_N_ELEMENTS (functions))
    g_error ("%s: no function", argv[2]);
  g_ptr_array_add (settings, g_strconcat ("budget=", argv[4], NULL));
  g_ptr_array_add (settings, g_strconcat ("population=", argv[5], NULL));
  for (i = 8; i < (guint) argc; i++)
    g_ptr_array_add (settings, g_strdup (argv[i]));
  g_ptr_array_add (settings, NULL);
  first = g_ascii_strtoull (argv[6], NULL, 10);
  for (seed = first; seed < first + g_ascii_strtoull (argv[7], NULL, 10); seed++)
    printf ("%.17g\n", run (argv[1], function, atoi (argv[3]), seed,
                            (char **) settings->pdata));
  return EXIT_SUCCESS;
}
