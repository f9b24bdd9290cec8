/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The answer of tandem plan for people. */

#include "config.h"

#include <glib/gi18n-lib.h>

#include "tandem-command.h"
#include "tandem-plan-report.h"
#include "tandem-table.h"

/* Three digits, in the unit that fits. */
static char *
format_time (double seconds)
{
  if (seconds < 1e-3)
    return g_strdup_printf (_("%.3g µs"), 1e6 * seconds);
  if (seconds < 1)
    return g_strdup_printf (_("%.3g ms"), 1e3 * seconds);
  return g_strdup_printf (_("%.4g s"), seconds);
}

static char *
format_rate (const TandemPlacement *placement)
{
  double rate = placement->sequences_per_second;

  return g_strdup_printf (rate < 100 ? _("%.3g texts/s") : _("%.0f texts/s"), rate);
}

static char *
format_layers (const TandemPlacementStage *stage)
{
  return g_strdup_printf ("%u-%u", stage->first_layer, stage->last_layer);
}

static const char *
get_name (const TandemPlanReport *report, guint device)
{
  return tandem_plan_get_device (report, device)->name;
}

/* What each device would do alone. */
static void
print_devices (const TandemPlanReport *report)
{
  g_autoptr (TandemTable) table = tandem_table_new (7, 1);
  guint asking = tandem_placement_problem_get_asking (report->problem), i;
  TandemBatchShape shape;

  tandem_placement_problem_get_shape (report->problem, &shape);
  tandem_table_add (table, _("device"), _("threads"), _("memory"), _("a layer"),
                    _("last layer"), _("alone"), _("latency"));
  for (i = 0; i < tandem_placement_problem_get_n_devices (report->problem); i++) {
    const TandemDevice *device = tandem_plan_get_device (report, i);
    const TandemPlacementStage stage = { i, 0, device->n_layers - 1 };
    g_autoptr (TandemPlacement) alone = tandem_placement_problem_evaluate (
        report->problem, &stage, 1, NULL, report->objective, NULL);
    g_autofree char *name =
        i == asking ? g_strdup_printf (_("%s (asks)"), device->name) : g_strdup (device->name);
    g_autofree char *threads = g_strdup_printf ("%u", device->n_threads);
    g_autofree char *memory =
        device->memory != 0 ? g_format_size (device->memory) : g_strdup (_("any"));
    g_autofree char *layer = format_time (tandem_cost_evaluate (&device->layers[0], &shape));
    g_autofree char *last = format_time (
        tandem_cost_evaluate (&device->layers[device->n_layers - 1], &shape));
    g_autofree char *rate = alone != NULL ? format_rate (alone) : g_strdup (_("cannot"));
    g_autofree char *latency = alone != NULL ? format_time (alone->latency) : g_strdup ("");

    tandem_table_add (table, name, threads, memory, layer, last, rate, latency);
  }
  tandem_table_print (table);
}

static void
add_hop (const TandemPlanReport *report, TandemTable *table, guint index)
{
  const TandemPlacement *placement = report->placement;
  const TandemPlacementHop *hop = &placement->hops[index];
  gboolean counts = placement->bottleneck == TANDEM_BOTTLENECK_HOP &&
                    placement->bottleneck_index == index;
  const char *format = tandem_wire_format_to_string (hop->format);
  g_autofree char *size = g_format_size (hop->bytes);
  g_autofree char *what = g_strdup_printf ("%s%s%s", size, *format != '\0' ? " " : "", format);
  g_autofree char *time = format_time (hop->seconds);
  g_autofree char *delay = format_time (hop->delay);
  g_autofree char *both = g_strdup_printf ("%s + %s", time, delay);
  g_autofree char *name = g_strdup_printf ("-> %s", get_name (report, hop->to));

  tandem_table_add (table, name, what, both, NULL, counts ? _("<- the bottleneck") : NULL);
}

static void
print_stages (const TandemPlanReport *report)
{
  const TandemPlacement *placement = report->placement;
  g_autoptr (TandemTable) table = tandem_table_new (5, 2);
  guint asking = tandem_placement_problem_get_asking (report->problem), hop = 0, i;

  tandem_table_add (table, _("device"), _("layers"), _("time"), _("memory"), NULL);
  if (placement->stages[0].device != asking) {
    g_autofree char *time = format_time (placement->tokenize_seconds);
    gboolean counts = placement->bottleneck == TANDEM_BOTTLENECK_TOKENIZER;

    tandem_table_add (table, get_name (report, asking), _("tokens"), time, NULL,
                      counts ? _("<- the bottleneck") : NULL);
    add_hop (report, table, hop++);
  }
  for (i = 0; i < placement->n_stages; i++) {
    const TandemPlacementStage *stage = &placement->stages[i];
    gboolean counts = placement->bottleneck == TANDEM_BOTTLENECK_STAGE &&
                      placement->bottleneck_index == i;
    g_autofree char *layers = format_layers (stage);
    g_autofree char *time = format_time (stage->seconds);
    g_autofree char *memory = g_format_size (stage->memory);

    tandem_table_add (table, get_name (report, stage->device), layers, time, memory,
                      counts ? _("<- the bottleneck") : NULL);
    if (hop < placement->n_hops)
      add_hop (report, table, hop++);
  }
  tandem_table_print (table);
}

static char *
describe (const TandemPlanReport *report, const TandemPlacement *placement)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autofree char *rate = format_rate (placement);
  g_autofree char *latency = format_time (placement->latency);
  g_autofree char *numbers = NULL;
  guint i;

  for (i = 0; i < placement->n_stages; i++) {
    g_autofree char *layers = format_layers (&placement->stages[i]);

    g_string_append_printf (text, "%s%s %s", i > 0 ? ", " : "",
                            get_name (report, placement->stages[i].device), layers);
  }
  /* Translators: so many texts a second, and how long one micro-batch takes. */
  numbers = g_strdup_printf (_("%s, latency %s"), rate, latency);
  return g_strdup_printf ("%s: %s", text->str, numbers);
}

static void
print_line (const char *label, const char *text)
{
  g_autofree char *printable = tandem_command_printable (text);

  g_print ("%s: %s\n", label, printable);
}

static void
print_others (const TandemPlanReport *report)
{
  const TandemPlan *plan = report->plan;
  g_autofree char *best = NULL;
  g_autofree char *runner_up = NULL;
  g_autofree char *single = NULL;

  if (plan == NULL) {
    g_print ("%s\n", _("The planner finds no placement."));
    return;
  }
  if (report->is_given) {
    best = describe (report, plan->best);
    print_line (_("The planner's choice"), best);
  }
  if (plan->runner_up != NULL) {
    runner_up = describe (report, plan->runner_up);
    print_line (_("Runner-up"), runner_up);
  }
  if (plan->single != NULL) {
    single = describe (report, plan->single);
    print_line (_("Best single device"), single);
  } else {
    print_line (_("Best single device"), _("none can do it alone"));
  }
  if (!plan->is_exact) {
    g_autofree char *bound = format_time (plan->bound);

    g_print (plan->objective == TANDEM_PLACEMENT_THROUGHPUT
               ? _("With so many devices not every placement was tried; none has less than %s a "
                   "micro-batch.\n")
               : _("With so many devices not every placement was tried; none has a latency "
                   "below %s.\n"), bound);
  }
}

static void
print_launch (const char *device, const char *line, gpointer data)
{
  g_autofree char *name = tandem_command_printable (device);

  g_print ("\n# %s\n%s\n", name, line);
}

void
tandem_plan_print_text (const TandemPlanReport *report)
{
  const TandemPlacement *placement = report->placement;
  g_autofree char *rate = format_rate (placement);
  g_autofree char *latency = format_time (placement->latency);
  guint n_layers = tandem_placement_problem_get_n_layers (report->problem);

  g_print (_("%u layers, micro-batches of %u texts with %u tokens each\n\n"), n_layers,
           report->n_sequences, report->length);
  print_devices (report);
  g_print ("\n%s\n", report->is_given ? _("The given placement:")
           : report->objective == TANDEM_PLACEMENT_THROUGHPUT ? _("For throughput:")
           : _("For latency:"));
  print_stages (report);
  g_print ("\n");
  g_print (_("Predicted: %s, %.0f tokens/s, latency %s\n"), rate, placement->tokens_per_second,
           latency);
  if (!report->is_given && placement->n_stages == 1 &&
      tandem_placement_problem_get_n_devices (report->problem) > 1)
    g_print ("%s\n", _("One device is faster than several."));
  print_others (report);
  tandem_plan_make_lines (report, print_launch, NULL);
}
