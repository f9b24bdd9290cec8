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

/* What is refused before anybody is asked, and a word of the sentence that says why. */
typedef struct
{
  const char *properties;
  const char *placement;        /* (nullable): what the file has that the property names */
  const char *word;
} Refusal;

static void
test_settings (BinTest *test, gconstpointer data)
{
  const Refusal *refusal = data;
  g_autofree char *path = g_build_filename (test->folder, "placement.json", NULL);
  g_autoptr (GString) line = g_string_new (NULL);
  g_autofree char *said = NULL;
  g_autoptr (GError) error = NULL;

  g_string_printf (line, "bertbin name=bin model=%s %s", test->model_path, refusal->properties);
  if (refusal->placement != NULL) {
    g_file_set_contents (path, refusal->placement, -1, &error);
    g_assert_no_error (error);
    g_string_append_printf (line, " placement=%s", path);
  }
  test->element = gst_object_ref_sink (gst_parse_launch (line->str, &error));
  g_assert_no_error (error);
  test->bus = gst_bus_new ();
  gst_element_set_bus (test->element, test->bus);
  gst_element_set_state (test->element, GST_STATE_PAUSED);
  said = bin_wait_error (test);
  if (strstr (said, refusal->word) == NULL)
    g_error ("no \"%s\" in: %s", refusal->word, said);
  gst_element_set_state (test->element, GST_STATE_NULL);
  gst_bus_set_flushing (test->bus, TRUE);
  gst_object_unref (test->element);
}

/* A device that a placement names may come later: until then all layers run here. */
static void
test_absent (BinTest *test, gconstpointer data)
{
  g_autofree char *path = g_build_filename (test->folder, "placement.json", NULL);
  g_autofree char *line = g_strdup_printf ("nodes=\"\" placement=%s", path);
  g_autoptr (GError) error = NULL;

  g_file_set_contents (path, "{\"stages\": [{\"device\": \"nobody\", \"layers\": \"0-\"}]}", -1,
                       &error);
  g_assert_no_error (error);
  bin_start (test, line);
  bin_push (test, 10);
  bin_finish (test);
}

static const Refusal NODES = { "nodes=a:99999", NULL, "99999" };
static const Refusal FORMATS = { "formats=f31", NULL, "f31" };
static const Refusal KEY = { "key=/nonexistent/key", NULL, "/nonexistent/key" };
static const Refusal MISSING = { "placement=/nonexistent/file", NULL, "/nonexistent/file" };
static const Refusal MALFORMED = { "nodes=\"\"", "{\"stages\": [", "placement.json" };
static const Refusal NO_STAGES = { "nodes=\"\"", "{}", "stages" };
static const Refusal EMPTY = { "nodes=\"\"", "{\"stages\": []}", "0 elements" };
static const Refusal UNKNOWN = { "nodes=\"\"", "{\"stages\": [], \"stage\": 1}", "stage" };
static const Refusal LAYERS = {
  "nodes=\"\"", "{\"stages\": [{\"device\": \"a\", \"layers\": \"0-4\"}]}", "0-4"
};
static const Refusal GAP = {
  "nodes=\"\"", "{\"stages\": [{\"device\": \"a\", \"layers\": \"0-1\"}]}", "2-3"
};
static const Refusal OVERLAP = {
  "nodes=\"\"", "{\"stages\": [{\"device\": \"a\", \"layers\": \"0-2\"},"
  "{\"device\": \"b\", \"layers\": \"2-3\"}]}", "layer 3"
};
static const Refusal DEVICE_TWICE = {
  "nodes=\"\"", "{\"stages\": [{\"device\": \"a\", \"layers\": \"0-1\"},"
  "{\"device\": \"a\", \"layers\": \"2-3\"}]}", "one device has one stage"
};
static const Refusal NO_DEVICE = {
  "nodes=\"\"", "{\"stages\": [{\"layers\": \"0-3\"}]}", "device"
};
static const Refusal FORMAT = {
  "nodes=\"\"", "{\"stages\": [{\"device\": \"a\", \"layers\": \"0-1\", \"format\": \"f31\"},"
  "{\"device\": \"b\", \"layers\": \"2-3\"}]}", "f31"
};

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
  ADD ("absent", NULL, test_absent);
  ADD ("settings/nodes", &NODES, test_settings);
  ADD ("settings/formats", &FORMATS, test_settings);
  ADD ("settings/key", &KEY, test_settings);
  ADD ("placement/missing", &MISSING, test_settings);
  ADD ("placement/malformed", &MALFORMED, test_settings);
  ADD ("placement/no-stages", &NO_STAGES, test_settings);
  ADD ("placement/empty", &EMPTY, test_settings);
  ADD ("placement/unknown", &UNKNOWN, test_settings);
  ADD ("placement/layers", &LAYERS, test_settings);
  ADD ("placement/gap", &GAP, test_settings);
  ADD ("placement/overlap", &OVERLAP, test_settings);
  ADD ("placement/device-twice", &DEVICE_TWICE, test_settings);
  ADD ("placement/no-device", &NO_DEVICE, test_settings);
  ADD ("placement/format", &FORMAT, test_settings);
  return g_test_run ();
}
