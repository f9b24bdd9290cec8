/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A placement as launch lines, one for each device. */

#include "config.h"

#include <math.h>

#include "tandem-plan-report.h"

#define PORT 10300

/* What tcpactsink does without being told. */
#define WINDOW 8
#define WINDOW_BYTES (2 * 1024 * 1024)
#define MAX_WINDOW 256

static const char *
get_host (const TandemDevice *device)
{
  return device->host != NULL ? device->host : "127.0.0.1";
}

/* Where a device takes the input of its stage; results arrive at the port behind it. */
static guint
get_port (const TandemDevice *device, gboolean results)
{
  return (device->port != 0 ? device->port : PORT) + (results ? 1 : 0);
}

static gboolean
is_loopback (const TandemDevice *device)
{
  g_autoptr (GInetAddress) address = g_inet_address_new_from_string (get_host (device));

  return address != NULL ? g_inet_address_get_is_loopback (address)
                         : g_str_equal (get_host (device), "localhost");
}

static void
add_source (const TandemPlanReport *report, GString *line, guint device, gboolean results)
{
  const TandemDevice *of = tandem_plan_get_device (report, device);

  g_string_append_printf (line, " tcpactsrc address=%s port=%u", get_host (of),
                          get_port (of, results));
  if (report->insecure && !is_loopback (of))
    g_string_append (line, " insecure=true");
}

/* A window that holds all that is on its way behind the sender is never what counts. */
static void
add_sink (const TandemPlanReport *report, GString *line, const TandemPlacementHop *hop,
          gboolean results)
{
  const TandemPlacement *placement = report->placement;
  const TandemDevice *to = tandem_plan_get_device (report, hop->to);
  double on_the_way = placement->period > 0 ? placement->latency / placement->period : 0;
  guint window = (guint) CLAMP (ceil (on_the_way) + 2, WINDOW, MAX_WINDOW);

  g_string_append_printf (line, " ! tcpactsink host=%s port=%u", get_host (to),
                          get_port (to, results));
  if (report->insecure && !is_loopback (to))
    g_string_append (line, " insecure=true");
  if (hop->format != TANDEM_WIRE_FORMAT_NONE && hop->format != TANDEM_WIRE_FORMAT_F32)
    g_string_append_printf (line, " wire-format=%s", tandem_wire_format_to_string (hop->format));
  if (window > WINDOW)
    g_string_append_printf (line, " window=%u", window);
  if (window * hop->bytes > WINDOW_BYTES)
    g_string_append_printf (line, " window-bytes=%" G_GUINT64_FORMAT, window * hop->bytes);
}

static void
add_texts (const TandemPlanReport *report, GString *line)
{
  g_string_append (line, " fdsrc ! lineparse ! tokenize model=$MODEL");
  if (report->n_sequences > 1)
    g_string_append_printf (line, " ! microbatch size=%u max-tokens=%u", report->n_sequences,
                            report->n_sequences * report->length);
}

static void
add_stage (const TandemPlanReport *report, GString *line, const TandemPlacementStage *stage)
{
  const TandemDevice *device = tandem_plan_get_device (report, stage->device);

  g_string_append (line, " ! bertstage model=$MODEL");
  if (report->placement->n_stages > 1)
    g_string_append_printf (line, " layers=%u-%u", stage->first_layer, stage->last_layer);
  if (device->n_threads > 1)
    g_string_append_printf (line, " threads=%u", device->n_threads);
  if (report->precision == TANDEM_PRECISION_BF16)
    g_string_append (line, " precision=bf16");
}

/* The line of one device: it may have texts, a stage, and results. */
static char *
make_line (const TandemPlanReport *report, guint device)
{
  const TandemPlacement *placement = report->placement;
  guint asking = tandem_placement_problem_get_asking (report->problem), i;
  guint first = placement->stages[0].device;
  guint last = placement->stages[placement->n_stages - 1].device;
  const TandemPlacementHop *hop = placement->hops;
  GString *line = g_string_new ("gst-launch-1.0 -q");

  if (first != asking) {
    if (device == asking) {
      add_texts (report, line);
      add_sink (report, line, hop, FALSE);
    }
    hop++;
  }
  for (i = 0; i < placement->n_stages; i++) {
    const TandemPlacementStage *stage = &placement->stages[i];
    gboolean is_last = i + 1 == placement->n_stages;

    if (stage->device == device) {
      if (i == 0 && device == asking)
        add_texts (report, line);
      else
        add_source (report, line, device, FALSE);
      add_stage (report, line, stage);
      if (is_last && device == asking)
        g_string_append (line, " ! sentimentsink");
      else
        add_sink (report, line, hop, is_last);
    }
    hop++;
  }
  if (device == asking && last != asking) {
    add_source (report, line, device, TRUE);
    g_string_append (line, " ! sentimentsink");
  }
  return g_string_free (line, FALSE);
}

void
tandem_plan_make_lines (const TandemPlanReport *report,
                        void (*add) (const char *device, const char *line, gpointer data),
                        gpointer data)
{
  const TandemPlacement *placement = report->placement;
  guint asking = tandem_placement_problem_get_asking (report->problem), i;
  g_autofree char *own = make_line (report, asking);

  for (i = placement->n_stages; i-- > 0;) {
    guint device = placement->stages[i].device;
    g_autofree char *line = NULL;

    if (device == asking)
      continue;
    line = make_line (report, device);
    add (tandem_plan_get_device (report, device)->name, line, data);
  }
  add (tandem_plan_get_device (report, asking)->name, own, data);
}
