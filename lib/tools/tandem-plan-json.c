/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The answer of tandem plan for programs. */

#include "config.h"

#include <json-glib/json-glib.h>

#include "tandem-plan-report.h"

static void
add_number (JsonBuilder *json, const char *member, double value)
{
  json_builder_set_member_name (json, member);
  json_builder_add_double_value (json, value);
}

static void
add_whole (JsonBuilder *json, const char *member, guint64 value)
{
  json_builder_set_member_name (json, member);
  json_builder_add_int_value (json, (gint64) value);
}

static void
add_text (JsonBuilder *json, const char *member, const char *value)
{
  json_builder_set_member_name (json, member);
  json_builder_add_string_value (json, value);
}

static void
add_name (const TandemPlanReport *report, JsonBuilder *json, const char *member, guint device)
{
  add_text (json, member, tandem_plan_get_device (report, device)->name);
}

static void
add_stages (const TandemPlanReport *report, JsonBuilder *json, const TandemPlacement *placement)
{
  guint i;

  json_builder_set_member_name (json, "stages");
  json_builder_begin_array (json);
  for (i = 0; i < placement->n_stages; i++) {
    const TandemPlacementStage *stage = &placement->stages[i];
    g_autofree char *layers = g_strdup_printf ("%u-%u", stage->first_layer, stage->last_layer);

    json_builder_begin_object (json);
    add_name (report, json, "device", stage->device);
    add_text (json, "layers", layers);
    add_number (json, "seconds", stage->seconds);
    add_whole (json, "memory", stage->memory);
    json_builder_end_object (json);
  }
  json_builder_end_array (json);
}

static void
add_hops (const TandemPlanReport *report, JsonBuilder *json, const TandemPlacement *placement)
{
  guint i;

  json_builder_set_member_name (json, "hops");
  json_builder_begin_array (json);
  for (i = 0; i < placement->n_hops; i++) {
    const TandemPlacementHop *hop = &placement->hops[i];

    json_builder_begin_object (json);
    add_name (report, json, "from", hop->from);
    add_name (report, json, "to", hop->to);
    if (hop->format != TANDEM_WIRE_FORMAT_NONE)
      add_text (json, "format", tandem_wire_format_to_string (hop->format));
    add_whole (json, "bytes", hop->bytes);
    add_number (json, "seconds", hop->seconds);
    add_number (json, "delay", hop->delay);
    json_builder_end_object (json);
  }
  json_builder_end_array (json);
}

static void
add_bottleneck (JsonBuilder *json, const TandemPlacement *placement)
{
  static const char *const kinds[] = { "stage", "hop", "tokenizer" };

  json_builder_set_member_name (json, "bottleneck");
  json_builder_begin_object (json);
  add_text (json, "kind", kinds[placement->bottleneck]);
  if (placement->bottleneck != TANDEM_BOTTLENECK_TOKENIZER)
    add_whole (json, "index", placement->bottleneck_index);
  json_builder_end_object (json);
}

static void
add_placement (const TandemPlanReport *report, JsonBuilder *json, const char *member,
               const TandemPlacement *placement)
{
  json_builder_set_member_name (json, member);
  if (placement == NULL) {
    json_builder_add_null_value (json);
    return;
  }
  json_builder_begin_object (json);
  add_number (json, "sequences_per_second", placement->sequences_per_second);
  add_number (json, "tokens_per_second", placement->tokens_per_second);
  add_number (json, "period", placement->period);
  add_number (json, "latency", placement->latency);
  add_number (json, "tokenize_seconds", placement->tokenize_seconds);
  add_bottleneck (json, placement);
  add_stages (report, json, placement);
  add_hops (report, json, placement);
  json_builder_end_object (json);
}

static void
add_devices (const TandemPlanReport *report, JsonBuilder *json)
{
  guint i;

  json_builder_set_member_name (json, "devices");
  json_builder_begin_array (json);
  for (i = 0; i < tandem_placement_problem_get_n_devices (report->problem); i++) {
    const TandemDevice *device = tandem_plan_get_device (report, i);
    const TandemPlacementStage stage = { i, 0, device->n_layers - 1 };
    g_autoptr (TandemPlacement) alone = tandem_placement_problem_evaluate (
        report->problem, &stage, 1, NULL, report->objective, NULL);

    json_builder_begin_object (json);
    add_text (json, "name", device->name);
    add_whole (json, "threads", device->n_threads);
    add_whole (json, "memory", device->memory);
    add_placement (report, json, "alone", alone);
    json_builder_end_object (json);
  }
  json_builder_end_array (json);
}

static void
add_line (const char *device, const char *line, gpointer data)
{
  JsonBuilder *json = data;

  json_builder_begin_object (json);
  add_text (json, "device", device);
  add_text (json, "line", line);
  json_builder_end_object (json);
}

void
tandem_plan_print_json (const TandemPlanReport *report)
{
  g_autoptr (JsonBuilder) json = json_builder_new ();
  g_autofree char *placement = tandem_placement_problem_placement_to_json (report->problem,
                                                                           report->placement);
  g_autoptr (JsonNode) stages = json_from_string (placement, NULL);
  g_autoptr (JsonNode) root = NULL;
  g_autofree char *text = NULL;
  const TandemPlan *plan = report->plan;

  json_builder_begin_object (json);
  add_text (json, "model", tandem_model_get_fingerprint (report->model));
  add_text (json, "objective", report->objective == TANDEM_PLACEMENT_THROUGHPUT ? "throughput"
                                                                                : "latency");
  add_whole (json, "sequences", report->n_sequences);
  add_whole (json, "length", report->length);
  add_name (report, json, "asks", tandem_placement_problem_get_asking (report->problem));
  add_devices (report, json);
  /* As a placement file has it. */
  json_builder_set_member_name (json, "placement");
  json_builder_add_value (json, g_steal_pointer (&stages));
  json_builder_set_member_name (json, "given");
  json_builder_add_boolean_value (json, report->is_given);
  add_placement (report, json, "predicted", report->placement);
  add_placement (report, json, "best", plan != NULL ? plan->best : NULL);
  add_placement (report, json, "runner_up", plan != NULL ? plan->runner_up : NULL);
  add_placement (report, json, "single", plan != NULL ? plan->single : NULL);
  if (plan != NULL) {
    json_builder_set_member_name (json, "exact");
    json_builder_add_boolean_value (json, plan->is_exact);
    add_number (json, "bound", plan->bound);
  }
  json_builder_set_member_name (json, "lines");
  json_builder_begin_array (json);
  tandem_plan_make_lines (report, add_line, json);
  json_builder_end_array (json);
  json_builder_end_object (json);
  root = json_builder_get_root (json);
  text = json_to_string (root, TRUE);
  g_print ("%s\n", text);
}
