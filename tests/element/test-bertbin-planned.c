/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* bertbin without a placement: it measures, plans, and takes whoever joins. */

#include "config.h"

#include "bin-harness.h"

static void
wait_placement (BinTest *test, const char *with)
{
  g_autofree char *placement = NULL;

  do {
    g_free (placement);
    placement = bin_wait_message (test, "tandem-plan", "placement");
  } while (strstr (placement, with) == NULL);
}

/* Somebody else has to do something. */
static void
test_planned (BinTest *test, gconstpointer data)
{
  guint n = GPOINTER_TO_UINT (data), i;
  g_autoptr (GString) line = g_string_new ("local=false nodes=");

  for (i = 0; i < n; i++) {
    g_autofree char *name = g_strdup_printf ("node%u", i);

    node_start_with (&test->nodes[i], NULL, "--name", name, NULL);
    g_string_append_printf (line, "%s127.0.0.1:%u", i > 0 ? "," : "", test->nodes[i].port);
  }
  bin_start (test, line->str);
  bin_push (test, 40);
  wait_placement (test, "node");
  bin_finish (test);
}

/* What a stage takes on a device, as it is counted for bertbin's first shape. */
static guint64
count_memory (BinTest *test, guint first, guint last)
{
  g_autoptr (TandemPlacementProblem) problem = NULL;
  g_autoptr (TandemDevice) device = tandem_device_new ("any", BIN_LAYERS);
  TandemBatchShape shape;

  tandem_batch_shape_init (&shape, 16, 32);
  problem = tandem_placement_problem_new_for_model (test->model, TANDEM_PRECISION_F32, &shape,
                                                    NULL);
  tandem_placement_problem_add_device (problem, device, NULL);
  return tandem_placement_problem_get_memory (problem, 0, first, last);
}

/* No device has room for all layers; the one that is missing comes later. */
static void
test_joins (BinTest *test, gconstpointer data)
{
  guint64 room = count_memory (test, 0, BIN_LAYERS - 1) - 1;
  g_autofree char *limit = g_strdup_printf ("--memory=%" G_GUINT64_FORMAT, room);
  g_autofree char *number = NULL, *line = NULL, *placement = NULL;

  node_start_with (&test->nodes[0], NULL, "--name=first", limit, "--threads=1", NULL);
  node_start_with (&test->nodes[1], NULL, "--name=second", limit, "--threads=1", NULL);
  number = g_strdup_printf ("--port=%u", test->nodes[1].port);
  node_kill (&test->nodes[1]);
  line = g_strdup_printf ("memory=1000 nodes=127.0.0.1:%u,127.0.0.1:%u", test->nodes[0].port,
                          test->nodes[1].port);
  bin_start (test, line);
  bin_push (test, 20);
  do {
    g_free (placement);
    placement = bin_wait_message (test, "tandem-moved", "placement");
  } while (placement != NULL);
  node_start_with (&test->nodes[1], NULL, number, "--name=second", limit, "--threads=1", NULL);
  wait_placement (test, "second");
  bin_push (test, 20);
  bin_finish (test);
}

/* Nobody is there, or nobody who is a node. */
static void
test_nobody (BinTest *test, gconstpointer data)
{
  g_autofree char *number = NULL, *line = NULL;

  node_start_with (&test->nodes[0], NULL, NULL);
  line = g_strdup_printf ("nodes=127.0.0.1:%u", test->nodes[0].port);
  node_kill (&test->nodes[0]);
  bin_start (test, line);
  bin_push (test, 30);
  bin_finish (test);
}

static void
test_settings (BinTest *test, gconstpointer data)
{
  g_autofree char *line =
      g_strdup_printf ("bertbin name=bin model=%s %s", test->model_path, (const char *) data);
  g_autofree char *said = NULL;

  test->element = gst_object_ref_sink (gst_parse_launch (line, NULL));
  test->bus = gst_bus_new ();
  gst_element_set_bus (test->element, test->bus);
  gst_element_set_state (test->element, GST_STATE_PAUSED);
  said = bin_wait_error (test);
  g_test_message ("%s", said);
  gst_element_set_state (test->element, GST_STATE_NULL);
  gst_bus_set_flushing (test->bus, TRUE);
  gst_object_unref (test->element);
}

#define ADD(path, data, func) \
  g_test_add ("/bertbin/planned/" path, BinTest, data, bin_set_up, func, bin_tear_down)

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  tandem_init ();
  g_test_init (&argc, &argv, NULL);
  ADD ("one", GUINT_TO_POINTER (1), test_planned);
  ADD ("three", GUINT_TO_POINTER (3), test_planned);
  ADD ("joins", NULL, test_joins);
  ADD ("nobody", NULL, test_nobody);
  ADD ("settings/nodes", "nodes=a:99999", test_settings);
  ADD ("settings/formats", "formats=f31", test_settings);
  ADD ("settings/key", "key=/nonexistent/key", test_settings);
  return g_test_run ();
}
