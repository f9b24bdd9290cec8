/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The planner against a brute force that tries every row of devices, every cut and every
 * format, one by one, in whole nanoseconds. */

#include "tandem.h"

#include <string.h>

#define MAX_DEVICES 4
#define MAX_LAYERS 5
#define FRAME 72
#define ENTRY 16

/* A case in numbers; all times are nanoseconds of a micro-batch, all links take a whole number
 * of nanoseconds a byte. */
typedef struct
{
  guint n_devices, n_layers, width, n_classes, n_sequences, n_tokens;
  guint formats;                /* bits */
  guint asking;
  guint names[MAX_DEVICES];     /* which letter a device is called */
  guint64 tokenize;
  guint64 embeddings[MAX_DEVICES];
  guint64 layers[MAX_DEVICES][MAX_LAYERS];
  guint64 send[MAX_DEVICES][TANDEM_N_WIRE_FORMATS];
  guint64 receive[MAX_DEVICES][TANDEM_N_WIRE_FORMATS];
  guint64 per_byte[MAX_DEVICES][MAX_DEVICES];   /* 0: there is no way */
  guint64 delay[MAX_DEVICES][MAX_DEVICES];
  guint64 memory[MAX_LAYERS][MAX_LAYERS];
  guint64 per_thread, activations;
  guint n_threads[MAX_DEVICES];
  guint64 limit[MAX_DEVICES];
} Case;

typedef struct
{
  guint n;
  guint device[MAX_DEVICES];
  guint first[MAX_DEVICES];
  guint64 period, latency;
} Answer;

typedef struct
{
  const Case *c;
  gboolean throughput;
  Answer current;
  guint formats[MAX_DEVICES];
  Answer best, second, single;  /* n 0: none */
} Brute;

static const guint row_bytes[] = { 4, 2, 2, 1 };

static guint
last_of (const Brute *brute, guint stage)
{
  const Answer *a = &brute->current;

  return stage + 1 < a->n ? a->first[stage + 1] - 1 : brute->c->n_layers - 1;
}

static gboolean
add_way (const Case *c, guint from, guint to, guint64 payload, guint64 *period, guint64 *latency)
{
  guint64 time = (FRAME + payload + ENTRY * c->n_sequences) * c->per_byte[from][to];

  if (from == to)
    return TRUE;
  if (c->per_byte[from][to] == 0)
    return FALSE;
  *period = MAX (*period, time);
  *latency += time + c->delay[from][to];
  return TRUE;
}

/* Period and latency of the current split in the current formats. */
static gboolean
measure (const Brute *brute, guint64 *period, guint64 *latency)
{
  const Case *c = brute->c;
  const Answer *a = &brute->current;
  gboolean asks = FALSE;
  guint i, k;

  *period = *latency = 0;
  if (!add_way (c, c->asking, a->device[0], 4 * c->n_tokens, period, latency) ||
      !add_way (c, a->device[a->n - 1], c->asking, 4 * c->n_classes * c->n_sequences, period,
                latency))
    return FALSE;
  for (i = 0; i < a->n; i++) {
    guint d = a->device[i], format = brute->formats[i];
    guint64 work = i == 0 ? c->embeddings[d] : c->receive[d][brute->formats[i - 1]];

    for (k = a->first[i]; k <= last_of (brute, i); k++)
      work += c->layers[d][k];
    if (i + 1 < a->n) {
      guint64 bytes = c->n_tokens * (c->width * row_bytes[format] + (format == 3 ? 4 : 0));

      work += c->send[d][format];
      if (!add_way (c, d, a->device[i + 1], bytes, period, latency))
        return FALSE;
    }
    if (d == c->asking) {
      work += c->tokenize;
      asks = TRUE;
    }
    *period = MAX (*period, work);
    *latency += work;
  }
  if (!asks) {
    *period = MAX (*period, c->tokenize);
    *latency += c->tokenize;
  }
  return TRUE;
}

static int
compare (guint64 a, guint64 b)
{
  return (a > b) - (a < b);
}

static int
compare_answers (const Brute *brute, const Answer *a, const Answer *b)
{
  int order;
  guint i;

  if (a->n == 0 || b->n == 0)
    return (a->n == 0) - (b->n == 0);
  order = brute->throughput ? compare (a->period, b->period) : compare (a->latency, b->latency);
  if (order == 0)
    order = compare (a->n, b->n);
  if (order == 0 && brute->throughput)
    order = compare (a->latency, b->latency);
  for (i = 0; i < a->n && order == 0; i++)
    order = compare (brute->c->names[a->device[i]], brute->c->names[b->device[i]]);
  for (i = 0; i < a->n && order == 0; i++)
    order = compare (a->first[i], b->first[i]);
  return order;
}

/* Tries all formats of the hops from @hop on. */
static void
try_formats (Brute *brute, guint hop, Answer *found)
{
  guint format;

  if (hop + 1 >= brute->current.n) {
    Answer answer = brute->current;

    if (measure (brute, &answer.period, &answer.latency) &&
        (found->n == 0 ||
         (brute->throughput
            ? answer.period < found->period ||
              (answer.period == found->period && answer.latency < found->latency)
            : answer.latency < found->latency)))
      *found = answer;
    return;
  }
  for (format = 0; format < TANDEM_N_WIRE_FORMATS; format++) {
    if (!(brute->c->formats & 1u << format))
      continue;
    brute->formats[hop] = format;
    try_formats (brute, hop + 1, found);
  }
}

static void
try_split (Brute *brute)
{
  const Case *c = brute->c;
  Answer found = { 0 };
  guint i;

  for (i = 0; i < brute->current.n; i++) {
    guint d = brute->current.device[i];
    guint64 needed = c->memory[brute->current.first[i]][last_of (brute, i)] +
                     c->per_thread * c->n_threads[d] + c->activations;

    if (c->limit[d] != 0 && needed > c->limit[d])
      return;
  }
  try_formats (brute, 0, &found);
  if (found.n == 0)
    return;
  if (found.n == 1 && compare_answers (brute, &found, &brute->single) < 0)
    brute->single = found;
  if (compare_answers (brute, &found, &brute->best) < 0) {
    brute->second = brute->best;
    brute->best = found;
  } else if (compare_answers (brute, &found, &brute->second) < 0) {
    brute->second = found;
  }
}

/* Tries all stages that begin with layer @first, behind those there are. */
static void
try_stages (Brute *brute, guint first, guint used)
{
  Answer *a = &brute->current;
  guint d, next;

  for (d = 0; d < brute->c->n_devices; d++) {
    if (used & 1u << d)
      continue;
    a->device[a->n] = d;
    a->first[a->n++] = first;
    try_split (brute);
    for (next = first + 1; next < brute->c->n_layers; next++)
      try_stages (brute, next, used | 1u << d);
    a->n--;
  }
}

static guint64
random_time (GRand *rand, guint most)
{
  return 1000 * (guint64) g_rand_int_range (rand, 0, (gint32) most + 1);
}

/* Few different numbers, so that there are ties. */
static void
make_case (Case *c, GRand *rand)
{
  gboolean ties = g_rand_int_range (rand, 0, 2), costs = g_rand_int_range (rand, 0, 2);
  gboolean limits = g_rand_int_range (rand, 0, 2);
  guint most = ties ? 3 : 1000, i, k;

  memset (c, 0, sizeof *c);
  c->n_devices = g_rand_int_range (rand, 1, MAX_DEVICES + 1);
  c->n_layers = g_rand_int_range (rand, 1, MAX_LAYERS + 1);
  c->width = g_rand_int_range (rand, 1, 65);
  c->n_classes = g_rand_int_range (rand, 2, 5);
  c->n_sequences = g_rand_int_range (rand, 1, 9);
  c->n_tokens = c->n_sequences * g_rand_int_range (rand, 1, 33);
  c->formats = g_rand_int_range (rand, 1, 1 << TANDEM_N_WIRE_FORMATS);
  c->asking = g_rand_int_range (rand, 0, c->n_devices);
  c->tokenize = random_time (rand, most);
  c->per_thread = g_rand_int_range (rand, 0, 10);
  c->activations = g_rand_int_range (rand, 0, 10);
  for (i = 0; i < c->n_devices; i++) {
    guint other = g_rand_int_range (rand, 0, i + 1);
    guint speed = ties ? 1 : g_rand_int_range (rand, 1, 5);

    c->names[i] = c->names[other];
    c->names[other] = i;
    c->n_threads[i] = g_rand_int_range (rand, 1, 4);
    c->limit[i] = limits && g_rand_int_range (rand, 0, 4) ? g_rand_int_range (rand, 1, 90) : 0;
    c->embeddings[i] = random_time (rand, most);
    for (k = 0; k < c->n_layers; k++)
      c->layers[i][k] = speed * random_time (rand, most);
    for (k = 0; k < TANDEM_N_WIRE_FORMATS && costs; k++) {
      c->send[i][k] = random_time (rand, most / 2);
      c->receive[i][k] = random_time (rand, most / 2);
    }
    for (k = 0; k < c->n_devices; k++) {
      c->per_byte[i][k] = g_rand_int_range (rand, 0, ties ? 2 : 200);
      c->delay[i][k] = c->per_byte[i][k] != 0 ? random_time (rand, most) : 0;
    }
  }
  for (i = 0; i < c->n_layers; i++)
    for (k = i; k < c->n_layers; k++)
      c->memory[i][k] = g_rand_int_range (rand, 1, 20) * (k - i + 1);
}

static TandemCost
fixed (guint64 nanoseconds)
{
  TandemCost cost = { .fixed = nanoseconds * 1e-9 };

  return cost;
}

static TandemPlacementProblem *
make_problem (const Case *c)
{
  TandemBatchShape shape = { c->n_sequences, c->n_tokens, c->n_tokens };
  g_autoptr (GError) error = NULL;
  TandemPlacementProblem *problem =
      tandem_placement_problem_new (c->n_layers, c->width, c->n_classes, &shape, &error);
  guint i, k;

  g_assert_no_error (error);
  for (i = 0; i < c->n_devices; i++) {
    char name[] = { (char) ('a' + c->names[i]), '\0' };
    g_autoptr (TandemDevice) device = tandem_device_new (name, c->n_layers);

    device->memory = c->limit[i];
    device->n_threads = c->n_threads[i];
    device->tokenize = fixed (i == c->asking ? c->tokenize : 12345678);
    device->embeddings = fixed (c->embeddings[i]);
    for (k = 0; k < c->n_layers; k++)
      device->layers[k] = fixed (c->layers[i][k]);
    for (k = 0; k < TANDEM_N_WIRE_FORMATS; k++) {
      device->send[k] = fixed (c->send[i][k]);
      device->receive[k] = fixed (c->receive[i][k]);
    }
    tandem_placement_problem_add_device (problem, device, &error);
    g_assert_no_error (error);
  }
  for (i = 0; i < c->n_devices; i++) {
    for (k = 0; k < c->n_devices; k++) {
      TandemNetworkLink link = { 1e9 / MAX (c->per_byte[i][k], 1), c->delay[i][k] * 1e-9 };

      if (i == k || c->per_byte[i][k] == 0)
        continue;
      tandem_placement_problem_set_link (problem, i, k, &link, &error);
      g_assert_no_error (error);
    }
  }
  tandem_placement_problem_set_asking (problem, c->asking);
  tandem_placement_problem_set_formats (problem, c->formats);
  tandem_placement_problem_set_working_memory (problem, c->per_thread, c->activations);
  for (i = 0; i < c->n_layers; i++)
    for (k = i; k < c->n_layers; k++)
      tandem_placement_problem_set_stage_memory (problem, i, k, c->memory[i][k]);
  return problem;
}

static void
assert_equal (const Answer *expected, const TandemPlacement *placement)
{
  guint i;

  if (expected->n == 0) {
    g_assert_null (placement);
    return;
  }
  g_assert_nonnull (placement);
  g_assert_cmpuint (placement->n_stages, ==, expected->n);
  for (i = 0; i < expected->n; i++) {
    g_assert_cmpuint (placement->stages[i].device, ==, expected->device[i]);
    g_assert_cmpuint (placement->stages[i].first_layer, ==, expected->first[i]);
  }
  g_assert_cmpfloat_with_epsilon (placement->period, expected->period * 1e-9, 1e-12);
  g_assert_cmpfloat_with_epsilon (placement->latency, expected->latency * 1e-9, 1e-12);
}

static void
check_case (const Case *c, TandemPlacementObjective objective, guint counts[3])
{
  Brute brute = { .c = c, .throughput = objective == TANDEM_PLACEMENT_THROUGHPUT };
  g_autoptr (TandemPlacementProblem) problem = make_problem (c);
  g_autoptr (TandemPlan) plan = NULL;
  g_autoptr (TandemPlacement) again = NULL;
  g_autoptr (GError) error = NULL;

  try_stages (&brute, 0, 0);
  plan = tandem_placement_problem_solve (problem, objective, NULL, &error);
  if (brute.best.n == 0) {
    g_assert_error (error, TANDEM_PLACE_ERROR, TANDEM_PLACE_ERROR_IMPOSSIBLE);
    g_assert_null (plan);
    counts[0]++;
    return;
  }
  g_assert_no_error (error);
  assert_equal (&brute.best, plan->best);
  assert_equal (&brute.second, plan->runner_up);
  assert_equal (&brute.single, plan->single);
  g_assert_true (plan->is_exact);
  counts[brute.best.n > 1 ? 2 : 1]++;

  again = tandem_placement_problem_evaluate (problem, plan->best->stages, plan->best->n_stages,
                                             NULL, objective, &error);
  g_assert_no_error (error);
  assert_equal (&brute.best, again);
  if (plan->single != NULL) {
    double best = brute.throughput ? plan->best->period : plan->best->latency;
    double single = brute.throughput ? plan->single->period : plan->single->latency;

    g_assert_cmpfloat (best, <=, single);
  }
}

static void
test_brute_force (gconstpointer data)
{
  TandemPlacementObjective objective = GPOINTER_TO_INT (data);
  GRand *rand = g_rand_new_with_seed (4711 + objective);
  guint counts[3] = { 0 }, i;

  for (i = 0; i < 10000; i++) {
    Case c;

    make_case (&c, rand);
    check_case (&c, objective, counts);
  }
  g_rand_free (rand);
  g_test_message ("impossible %u, one device %u, several %u", counts[0], counts[1], counts[2]);
  /* All kinds of cases were among them. */
  for (i = 0; i < 3; i++)
    g_assert_cmpuint (counts[i], >, 500);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/place/plan/brute-force/throughput",
                        GINT_TO_POINTER (TANDEM_PLACEMENT_THROUGHPUT), test_brute_force);
  g_test_add_data_func ("/place/plan/brute-force/latency",
                        GINT_TO_POINTER (TANDEM_PLACEMENT_LATENCY), test_brute_force);
  return g_test_run ();
}
