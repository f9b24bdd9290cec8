/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Placements that are given, their numbers by hand, and problems too large for a brute force. */

#include "tandem.h"

#include <math.h>
#include <string.h>

/* A device on which each layer takes as many milliseconds, and embeddings one. */
static void
add_device (TandemPlacementProblem *problem, const char *name, double milliseconds,
            guint64 memory)
{
  guint n = tandem_placement_problem_get_n_layers (problem), i;
  g_autoptr (TandemDevice) device = tandem_device_new (name, n);
  g_autoptr (GError) error = NULL;

  device->memory = memory;
  device->embeddings.fixed = 1e-3;
  for (i = 0; i < n; i++)
    device->layers[i].per_token = milliseconds * 1e-3 / 64;
  tandem_placement_problem_add_device (problem, device, &error);
  g_assert_no_error (error);
}

static void
connect_all (TandemPlacementProblem *problem, double bandwidth, double delay)
{
  TandemNetworkLink link = { bandwidth, delay };
  guint n = tandem_placement_problem_get_n_devices (problem), i, k;

  for (i = 0; i < n; i++)
    for (k = 0; k < n; k++)
      if (i != k)
        g_assert_true (tandem_placement_problem_set_link (problem, i, k, &link, NULL));
}

/* 4 sequences of 16 tokens, width 32, 2 classes. */
static TandemPlacementProblem *
make_problem (guint n_layers)
{
  g_autoptr (GError) error = NULL;
  TandemPlacementProblem *problem;
  TandemBatchShape shape;

  tandem_batch_shape_init (&shape, 4, 16);
  g_assert_cmpuint (shape.n_tokens, ==, 64);
  g_assert_cmpuint (shape.n_squares, ==, 1024);
  problem = tandem_placement_problem_new (n_layers, 32, 2, &shape, &error);
  g_assert_no_error (error);
  return problem;
}

static void
test_numbers (void)
{
  g_autoptr (TandemPlacementProblem) problem = make_problem (4);
  const TandemPlacementStage stages[] = { { 1, 0, 2 }, { 0, 3, 3 } };
  const TandemPlacementStage apart[] = { { 1, 0, 3 } };
  const TandemWireFormats formats[] = { TANDEM_WIRE_FORMAT_F32 };
  g_autoptr (TandemPlacement) placement = NULL;
  g_autoptr (TandemPlacement) exact = NULL;
  g_autoptr (TandemPlacement) whole = NULL;
  g_autoptr (TandemPlacement) copy = NULL;
  g_autoptr (GError) error = NULL;

  add_device (problem, "asks", 10, 0);
  add_device (problem, "helps", 2, 0);
  connect_all (problem, 1e6, 5e-4);
  tandem_placement_problem_set_formats (problem, TANDEM_WIRE_FORMAT_F32 | TANDEM_WIRE_FORMAT_Q8);
  placement = tandem_placement_problem_evaluate (problem, stages, 2, NULL,
                                                 TANDEM_PLACEMENT_THROUGHPUT, &error);
  g_assert_no_error (error);
  /* Tokens go over, activations come back, and logits are there already. */
  g_assert_cmpuint (placement->n_hops, ==, 2);
  g_assert_cmpuint (placement->hops[0].bytes, ==, 72 + 4 * 16 + 64 * 4);
  g_assert_cmpuint (placement->hops[0].format, ==, TANDEM_WIRE_FORMAT_NONE);
  g_assert_cmpuint (placement->hops[1].bytes, ==, 72 + 4 * 16 + 64 * 36);
  g_assert_cmpuint (placement->hops[1].format, ==, TANDEM_WIRE_FORMAT_Q8);
  g_assert_cmpuint (placement->hops[1].from, ==, 1);
  g_assert_cmpuint (placement->hops[1].to, ==, 0);
  g_assert_cmpfloat_with_epsilon (placement->period, 10e-3, 1e-9);
  g_assert_cmpfloat_with_epsilon (placement->latency,
                                  1e-3 + 6e-3 + 10e-3 + 2 * 5e-4 + (392 + 2440) / 1e6, 1e-9);
  g_assert_cmpfloat_with_epsilon (placement->sequences_per_second, 400, 1e-6);
  g_assert_cmpfloat_with_epsilon (placement->tokens_per_second, 6400, 1e-5);
  g_assert_cmpuint (placement->bottleneck, ==, TANDEM_BOTTLENECK_STAGE);
  g_assert_cmpuint (placement->bottleneck_index, ==, 1);

  exact = tandem_placement_problem_evaluate (problem, stages, 2, formats,
                                             TANDEM_PLACEMENT_THROUGHPUT, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (exact->hops[1].bytes, ==, 72 + 4 * 16 + 64 * 128);

  whole = tandem_placement_problem_evaluate (problem, apart, 1, NULL,
                                             TANDEM_PLACEMENT_LATENCY, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (whole->n_hops, ==, 2);
  g_assert_cmpuint (whole->hops[1].bytes, ==, 72 + 4 * 16 + 4 * 2 * 4);
  copy = tandem_placement_copy (whole);
  g_assert_cmpmem (copy->hops, 2 * sizeof *copy->hops, whole->hops, 2 * sizeof *whole->hops);
}

/* The link is what counts, and the tokenizer of a device without a stage. */
static void
test_bottlenecks (void)
{
  g_autoptr (TandemPlacementProblem) problem = make_problem (2);
  const TandemPlacementStage split[] = { { 0, 0, 0 }, { 1, 1, 1 } };
  const TandemPlacementStage away[] = { { 1, 0, 1 } };
  const TandemNetworkLink narrow = { 1e5, 0 };
  g_autoptr (TandemDevice) device = tandem_device_new ("asks", 2);
  g_autoptr (TandemPlacement) placement = NULL;
  g_autoptr (TandemPlacement) other = NULL;

  device->tokenize.per_sequence = 1e-2;
  g_assert_true (tandem_placement_problem_add_device (problem, device, NULL));
  add_device (problem, "helps", 2, 0);
  connect_all (problem, 1e8, 0);
  other = tandem_placement_problem_evaluate (problem, away, 1, NULL,
                                             TANDEM_PLACEMENT_THROUGHPUT, NULL);
  g_assert_cmpuint (other->bottleneck, ==, TANDEM_BOTTLENECK_TOKENIZER);
  g_assert_cmpfloat_with_epsilon (other->period, 4e-2, 1e-9);
  g_assert_true (tandem_placement_problem_set_link (problem, 0, 1, &narrow, NULL));
  placement = tandem_placement_problem_evaluate (problem, split, 2, NULL,
                                                 TANDEM_PLACEMENT_THROUGHPUT, NULL);
  g_assert_cmpuint (placement->bottleneck, ==, TANDEM_BOTTLENECK_HOP);
  g_assert_cmpuint (placement->bottleneck_index, ==, 0);
}

static void
assert_refused (TandemPlacementProblem *problem, const TandemPlacementStage *stages, guint n,
                const char *word)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (tandem_placement_problem_evaluate (problem, stages, n, NULL,
                                                    TANDEM_PLACEMENT_LATENCY, &error));
  g_assert_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_PLACEMENT);
  if (strstr (error->message, word) == NULL)
    g_error ("\"%s\" is not in: %s", word, error->message);
}

static void
test_refused_placements (void)
{
  g_autoptr (TandemPlacementProblem) problem = make_problem (4);
  const TandemPlacementStage hole[] = { { 0, 0, 0 }, { 1, 2, 3 } };
  const TandemPlacementStage overlap[] = { { 0, 0, 1 }, { 1, 1, 3 } };
  const TandemPlacementStage twice[] = { { 0, 0, 1 }, { 0, 2, 3 } };
  const TandemPlacementStage beyond[] = { { 0, 0, 4 } };
  const TandemPlacementStage unfinished[] = { { 0, 0, 2 } };
  const TandemPlacementStage unknown[] = { { 7, 0, 3 } };
  const TandemPlacementStage large[] = { { 0, 0, 0 }, { 1, 1, 3 } };
  const TandemPlacementStage far[] = { { 0, 0, 0 }, { 2, 1, 3 } };
  const TandemPlacementStage good[] = { { 0, 0, 0 }, { 1, 1, 3 } };
  const TandemWireFormats formats[] = { TANDEM_WIRE_FORMAT_Q8 };
  g_autoptr (GError) error = NULL;

  add_device (problem, "asks", 1, 0);
  add_device (problem, "small", 1, 100);
  connect_all (problem, 1e6, 0);
  add_device (problem, "far", 1, 0);
  assert_refused (problem, hole, 2, "layer 1");
  assert_refused (problem, overlap, 2, "layer 2");
  assert_refused (problem, twice, 2, "\"asks\"");
  assert_refused (problem, beyond, 1, "0-3");
  assert_refused (problem, unfinished, 1, "3-3");
  assert_refused (problem, unknown, 1, "7 of 3");
  assert_refused (problem, unknown, 0, "0 stages");
  assert_refused (problem, far, 2, "reached");
  tandem_placement_problem_set_stage_memory (problem, 1, 3, 101);
  assert_refused (problem, large, 2, "101 bytes");
  tandem_placement_problem_set_stage_memory (problem, 1, 3, 0);
  g_assert_null (tandem_placement_problem_evaluate (problem, good, 2, formats,
                                                    TANDEM_PLACEMENT_LATENCY, &error));
  g_assert_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_PLACEMENT);
}

static void
assert_device_refused (TandemPlacementProblem *problem, const TandemDevice *device,
                       const char *word)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (tandem_placement_problem_add_device (problem, device, &error));
  g_assert_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_DEVICE);
  if (strstr (error->message, word) == NULL)
    g_error ("\"%s\" is not in: %s", word, error->message);
}

static void
test_refused_devices (void)
{
  g_autoptr (TandemPlacementProblem) problem = make_problem (2);
  g_autoptr (TandemDevice) device = tandem_device_new ("a", 2);
  g_autoptr (TandemDevice) deep = tandem_device_new ("b", 3);
  const TandemNetworkLink links[] = { { -1, 0 }, { NAN, 0 }, { INFINITY, 0 }, { 1, -1 },
                                      { 1, NAN }, { 1, 2e4 } };
  TandemBatchShape shape = { 2, 1, 1 };
  g_autoptr (GError) error = NULL;
  guint i;

  g_assert_true (tandem_placement_problem_add_device (problem, device, NULL));
  assert_device_refused (problem, device, "two devices");
  assert_device_refused (problem, deep, "3 layers");
  g_free (device->name);
  device->name = g_strdup ("c");
  device->layers[1].per_token = NAN;
  assert_device_refused (problem, device, "layer 1");
  device->layers[1].per_token = -1;
  assert_device_refused (problem, device, "layer 1");
  device->layers[1].per_token = 1e6;
  assert_device_refused (problem, device, "layer 1");
  device->layers[1].per_token = 0;
  device->n_threads = 0;
  assert_device_refused (problem, device, "0 threads");
  device->n_threads = 1;
  g_assert_true (tandem_placement_problem_add_device (problem, device, NULL));
  for (i = 0; i < G_N_ELEMENTS (links); i++)
    g_assert_false (tandem_placement_problem_set_link (problem, 0, 1, &links[i], NULL));
  g_assert_null (tandem_placement_problem_new (2, 32, 2, &shape, &error));
  g_assert_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_MODEL);
  g_assert_null (tandem_placement_problem_new (65, 32, 2, &shape, NULL));
  g_assert_null (tandem_placement_problem_new (0, 32, 2, &shape, NULL));
}

/* Where the best answer is known: all devices are alike but the one that asks, which computes
 * nothing, and the link is never what counts. */
static void
check_even (guint n_devices, guint n_layers, guint expected_stages)
{
  g_autoptr (TandemPlacementProblem) problem = make_problem (n_layers);
  g_autoptr (TandemPlan) plan = NULL;
  g_autoptr (GError) error = NULL;
  guint i;

  for (i = 0; i < n_devices; i++) {
    g_autofree char *name = g_strdup_printf ("%02u", i);

    add_device (problem, name, i == 0 ? 1000 : 10, 0);
  }
  connect_all (problem, 1e9, 1e-4);
  tandem_placement_problem_set_formats (problem, TANDEM_WIRE_FORMAT_F32 | TANDEM_WIRE_FORMAT_Q8);
  plan = tandem_placement_problem_solve (problem, TANDEM_PLACEMENT_THROUGHPUT, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (plan->best->n_stages, ==, expected_stages);
  g_assert_cmpint (plan->is_exact, ==, n_devices <= TANDEM_PLACEMENT_EXACT_DEVICES);
  g_assert_cmpfloat (plan->best->period, >=, plan->bound);
  g_assert_cmpfloat (plan->best->period, <, plan->single->period);
  g_assert_cmpfloat (plan->runner_up->period, >=, plan->best->period);
  g_assert_cmpfloat_with_epsilon (
      plan->best->period,
      10e-3 * ((n_layers + expected_stages - 1) / expected_stages), 1.1e-3);
}

static void
test_large (void)
{
  check_even (TANDEM_PLACEMENT_EXACT_DEVICES, 36, 9);
}

/* With more devices than are searched at once all are tried, and the answer says so. */
static void
test_many (void)
{
  g_autoptr (TandemPlacementProblem) problem = make_problem (6);
  g_autoptr (TandemPlan) plan = NULL;
  g_autoptr (TandemPlan) copy = NULL;
  g_autoptr (GError) error = NULL;
  guint i;

  check_even (24, 8, 8);
  /* The only fast ones come last, and only they reach each other well. */
  for (i = 0; i < 20; i++) {
    g_autofree char *name = g_strdup_printf ("%02u", i);

    add_device (problem, name, i < 17 ? 50 : 5, i < 17 ? 0 : 200);
  }
  connect_all (problem, 1e8, 1e-4);
  for (i = 0; i < 6; i++) {
    guint k;

    for (k = i; k < 6; k++)
      tandem_placement_problem_set_stage_memory (problem, i, k, 100 * (k - i + 1));
  }
  plan = tandem_placement_problem_solve (problem, TANDEM_PLACEMENT_THROUGHPUT, NULL, &error);
  g_assert_no_error (error);
  g_assert_false (plan->is_exact);
  g_assert_cmpuint (plan->best->n_stages, ==, 3);
  for (i = 0; i < 3; i++)
    g_assert_cmpuint (plan->best->stages[i].device, >=, 17);
  g_assert_cmpfloat (plan->bound, <=, plan->best->period);
  copy = tandem_plan_copy (plan);
  g_assert_cmpuint (copy->best->n_stages, ==, 3);
}

static void
test_cancelled (void)
{
  g_autoptr (TandemPlacementProblem) problem = make_problem (6);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;

  add_device (problem, "a", 1, 0);
  g_cancellable_cancel (cancellable);
  g_assert_null (tandem_placement_problem_solve (problem, TANDEM_PLACEMENT_LATENCY, cancellable,
                                                 &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static void
test_formats (void)
{
  TandemWireFormats formats;
  g_autoptr (GError) error = NULL;

  g_assert_true (tandem_wire_formats_from_string ("f32,Q8, bf16", &formats, NULL));
  g_assert_cmpuint (formats, ==, TANDEM_WIRE_FORMAT_F32 | TANDEM_WIRE_FORMAT_Q8 |
                    TANDEM_WIRE_FORMAT_BF16);
  g_assert_false (tandem_wire_formats_from_string ("f32,q4", &formats, &error));
  g_assert_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_DEVICE);
  g_assert_false (tandem_wire_formats_from_string ("", &formats, NULL));
  g_assert_cmpuint (tandem_wire_format_get_row_size (TANDEM_WIRE_FORMAT_Q8, 128), ==, 132);
  g_assert_cmpuint (tandem_wire_format_get_row_size (TANDEM_WIRE_FORMAT_F16, 128), ==, 256);
  /* The bits are those of the formats of rows. */
  g_assert_cmpuint (1 << TANDEM_ROW_FORMAT_Q8, ==, TANDEM_WIRE_FORMAT_Q8);
  g_assert_cmpuint (1 << TANDEM_ROW_FORMAT_BF16LE, ==, TANDEM_WIRE_FORMAT_BF16);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/place/evaluate/numbers", test_numbers);
  g_test_add_func ("/place/evaluate/bottlenecks", test_bottlenecks);
  g_test_add_func ("/place/evaluate/refused-placements", test_refused_placements);
  g_test_add_func ("/place/evaluate/refused-devices", test_refused_devices);
  g_test_add_func ("/place/evaluate/large", test_large);
  g_test_add_func ("/place/evaluate/many", test_many);
  g_test_add_func ("/place/evaluate/cancelled", test_cancelled);
  g_test_add_func ("/place/evaluate/formats", test_formats);
  return g_test_run ();
}
