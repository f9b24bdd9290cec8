/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A worker that misbehaves where its argument says so: the fourth part of all candidates. */

#include "tandem.h"

#include <gio/gunixinputstream.h>
#include <gio/gunixoutputstream.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TYPE_BOWL (bowl_get_type ())

G_DECLARE_FINAL_TYPE (Bowl, bowl, TEST, BOWL, GObject)

struct _Bowl
{
  GObject parent;

  const char *way;
};

static void
say (const char *text)
{
  fputs (text, stdout);
  fflush (stdout);
}

static void
misbehave (const char *way)
{
  if (g_str_equal (way, "crash"))
    raise (SIGKILL);
  if (g_str_equal (way, "exit"))
    exit (3);
  if (g_str_equal (way, "hang"))
    while (TRUE)
      pause ();
  if (g_str_equal (way, "nonsense"))
    say ("no answer\n");
  if (g_str_equal (way, "other"))
    say ("{\"trial\": 1000000, \"values\": [1]}\n");
  if (g_str_equal (way, "close")) {
    close (STDOUT_FILENO);
    exit (0);
  }
  if (g_str_equal (way, "chatter"))
    say ("{}\n{}\n{}\n");
}

static TandemEvaluation *
bowl_evaluate (TandemObjective *objective, TandemParameterSet *parameters, guint64 seed,
               double fidelity, GCancellable *cancellable, GError **error)
{
  const char *way = TEST_BOWL (objective)->way;
  TandemEvaluation *evaluation;
  double value = 0;
  guint i;

  for (i = 0; i < 2; i++)
    value += pow (tandem_parameter_set_get_number (parameters, i), 2);
  if (tandem_parameter_set_get_number (parameters, 0) < -1.25) {
    misbehave (way);
    if (g_str_equal (way, "error")) {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED, "it is \"too\" cold");
      return NULL;
    }
    if (g_str_equal (way, "nan"))
      value = NAN;
  }
  evaluation = tandem_evaluation_new (1, &value);
  evaluation->metrics = g_strdup_printf ("{\"pid\": %d}", (int) getpid ());
  return evaluation;
}

static void
objective_init (TandemObjectiveInterface *iface)
{
  iface->evaluate = bowl_evaluate;
}

G_DEFINE_FINAL_TYPE_WITH_CODE (Bowl, bowl, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (TANDEM_TYPE_OBJECTIVE, objective_init))

static void
bowl_class_init (BowlClass *klass)
{
}

static void
bowl_init (Bowl *self)
{
}

int
main (int argc, char **argv)
{
  g_autoptr (TandemSearchSpace) space =
    tandem_search_space_new_from_text ("x0=real(-5,10); x1=real(-5,10)", NULL);
  g_autoptr (GInputStream) requests = g_unix_input_stream_new (STDIN_FILENO, FALSE);
  g_autoptr (GOutputStream) answers = g_unix_output_stream_new (STDOUT_FILENO, FALSE);
  g_autoptr (Bowl) bowl = g_object_new (TYPE_BOWL, NULL);
  g_autoptr (GError) error = NULL;

  bowl->way = argc > 1 ? argv[1] : "well";
  if (g_str_equal (bowl->way, "deaf")) {
    while (TRUE)
      pause ();
  }
  if (!tandem_objective_serve (TANDEM_OBJECTIVE (bowl), space, requests, answers, NULL, &error)) {
    g_printerr ("%s\n", error->message);
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}
