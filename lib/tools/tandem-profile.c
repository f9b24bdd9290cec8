/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tandem profile: how long the parts of a model take on this device. */

#include "config.h"

#include <glib/gi18n-lib.h>

#include "tandem-command.h"
#include "tandem-profile-command.h"
#include "tandem-table.h"

/* Microseconds, with as many digits as say something. */
static char *
format_time (double seconds)
{
  double microseconds = 1e6 * seconds;

  return g_strdup_printf (microseconds < 10 ? "%.3f" : microseconds < 1000 ? "%.1f" : "%.0f",
                          microseconds);
}

static const char *
get_part_title (TandemProfilePart part)
{
  switch (part) {
    case TANDEM_PROFILE_TOKENIZE:
      return _("tokenizer");
    case TANDEM_PROFILE_EMBEDDINGS:
      return _("embeddings");
    case TANDEM_PROFILE_LAYER:
      return _("layer");
    case TANDEM_PROFILE_LAST_LAYER:
      return _("last layer");
  }
  return "";
}

static void
print_costs (const TandemProfile *profile)
{
  g_autoptr (TandemTable) table = tandem_table_new (5, 1);
  guint part, i;

  g_print ("\n%s\n", _("Microseconds of a micro-batch:"));
  tandem_table_add (table, NULL, _("fixed"), _("a sequence"), _("a token"), _("a pair of tokens"));
  for (part = 0; part < G_N_ELEMENTS (profile->costs); part++) {
    const TandemCost *cost = &profile->costs[part];
    double values[] = { cost->fixed, cost->per_sequence, cost->per_token, cost->per_square };
    char *cells[G_N_ELEMENTS (values)];

    for (i = 0; i < G_N_ELEMENTS (values); i++)
      cells[i] = g_strdup_printf (values[i] > 0 ? "%.4g" : "-", 1e6 * values[i]);
    tandem_table_add (table, get_part_title (part), cells[0], cells[1], cells[2], cells[3]);
    for (i = 0; i < G_N_ELEMENTS (values); i++)
      g_free (cells[i]);
  }
  tandem_table_print (table);
}

static void
print_samples (const TandemProfile *profile)
{
  g_autoptr (TandemTable) table = tandem_table_new (6, 1);
  guint i;

  g_print ("\n%s\n", _("Medians that this was fitted to, in microseconds:"));
  tandem_table_add (table, NULL, _("sequences"), _("tokens"), _("measured"), _("fitted"),
                    _("runs"));
  for (i = 0; i < profile->n_samples; i++) {
    const TandemProfileSample *sample = &profile->samples[i];
    g_autofree char *sequences = g_strdup_printf ("%u", sample->shape.n_sequences);
    g_autofree char *tokens = g_strdup_printf ("%" G_GUINT64_FORMAT, sample->shape.n_tokens);
    g_autofree char *measured = format_time (sample->seconds);
    g_autofree char *fitted = format_time (tandem_cost_evaluate (&profile->costs[sample->part],
                                                                 &sample->shape));
    g_autofree char *runs = g_strdup_printf ("%u", sample->n_runs);

    tandem_table_add (table, get_part_title (sample->part), sequences, tokens, measured, fitted,
                      runs);
  }
  tandem_table_print (table);
}

static void
print_text (const TandemProfile *profile)
{
  g_autofree char *processor = tandem_command_printable (profile->processor);

  g_print (_("Model       %s, %u layers\n"), profile->model, profile->n_layers);
  g_print (_("Processor   %s, %u cores\n"), processor, profile->n_cores);
  g_print (_("Threads     %u, precision %s\n"), profile->n_threads,
           profile->precision == TANDEM_PRECISION_BF16 ? "bf16" : "f32");
  g_print (_("Load        %.2f: seconds on the clock for each of the processor's\n"),
           profile->load);
  print_costs (profile);
  print_samples (profile);
}

TandemProfile *
tandem_command_get_profile (TandemModel *model, TandemPrecision precision, guint n_threads,
                            double seconds, gboolean again, GCancellable *cancellable,
                            GError **error)
{
  g_autoptr (TandemProfile) profile = NULL;
  g_autoptr (GError) inner = NULL;

  if (!again) {
    profile = tandem_profile_load (model, precision, n_threads, &inner);
    if (profile != NULL)
      return g_steal_pointer (&profile);
    if (!g_error_matches (inner, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
      tandem_command_warn ("%s", inner->message);
    g_clear_error (&inner);
  }
  profile = tandem_profile_measure (model, precision, n_threads, seconds, cancellable, error);
  if (profile == NULL)
    return NULL;
  if (!tandem_profile_store (profile, &inner))
    tandem_command_warn (_("the profile cannot be kept: %s"), inner->message);
  return g_steal_pointer (&profile);
}

gboolean
tandem_command_parse_precision (const char *name, TandemPrecision *precision)
{
  if (name == NULL || g_str_equal (name, "f32"))
    *precision = TANDEM_PRECISION_F32;
  else if (g_str_equal (name, "bf16"))
    *precision = TANDEM_PRECISION_BF16;
  else
    return FALSE;
  return TRUE;
}

static int
run (char **args)
{
  g_autofree char *precision_name = NULL;
  gboolean as_json = FALSE, again = FALSE;
  double seconds = TANDEM_PROFILE_SECONDS;
  int n_threads = 1;
  const GOptionEntry entries[] = {
    { "threads", 't', G_OPTION_FLAG_NONE, G_OPTION_ARG_INT, &n_threads,
      N_("Threads of a stage (1)"), N_("N") },
    { "precision", 'p', G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &precision_name,
      N_("What linear layers compute with: f32 (default) or bf16"), N_("PRECISION") },
    { "seconds", 's', G_OPTION_FLAG_NONE, G_OPTION_ARG_DOUBLE, &seconds,
      N_("How long to measure (2)"), N_("SECONDS") },
    { "again", 'a', G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &again,
      N_("Measure, also when a profile was kept"), NULL },
    { "json", 'j', G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &as_json,
      N_("Print JSON, for programs and for the file of devices"), NULL },
    { NULL },
  };
  g_auto (GStrv) rest = g_strdupv (args);
  g_autoptr (GCancellable) cancellable = NULL;
  g_autoptr (TandemProfile) profile = NULL;
  g_autoptr (TandemModel) model = NULL;
  g_autoptr (GError) error = NULL;
  TandemPrecision precision;

  if (!tandem_command_parse (&tandem_command_profile, N_("MODEL"),
                             N_("MODEL is a Hugging Face folder, or a stage file with all layers. "
                                "The profile is\nkept, and shown at once the next time."),
                             entries, &rest))
    return TANDEM_EXIT_USAGE;
  if (rest[1] == NULL || rest[2] != NULL)
    return tandem_command_usage (_("one MODEL is needed"));
  if (n_threads < 1 || n_threads > TANDEM_BERT_STAGE_MAX_THREADS)
    return tandem_command_usage (_("--threads is %d; it is to be from 1 to %d"), n_threads,
                                 TANDEM_BERT_STAGE_MAX_THREADS);
  if (!(seconds > 0 && seconds <= 3600))
    return tandem_command_usage (_("--seconds is %g; it is to be above 0, up to 3600"), seconds);
  if (!tandem_command_parse_precision (precision_name, &precision))
    return tandem_command_usage (_("--precision is \"%s\"; it is to be f32 or bf16"),
                                 precision_name);

  cancellable = tandem_command_catch_signals ();
  model = tandem_model_open (rest[1], cancellable, &error);
  if (model != NULL)
    profile = tandem_command_get_profile (model, precision, n_threads, seconds, again,
                                          cancellable, &error);
  if (profile == NULL)
    return tandem_command_failed (error);
  if (as_json) {
    g_autofree char *text = tandem_profile_to_json (profile);

    g_print ("%s\n", text);
  } else {
    print_text (profile);
  }
  return TANDEM_EXIT_OK;
}

const TandemCommand tandem_command_profile = {
  .name = "profile",
  .summary = N_("Measure how long the parts of a model take on this device"),
  .run = run,
};
