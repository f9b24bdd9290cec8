/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Pipelines that train: schedules, splits, checkpoints and what goes wrong. */

#include <gst/gst.h>
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>
#include <tandem.h>

#include "../unit/tandem-test-model.h"

#define N_REVIEWS 404
#define BATCH "microbatch size=2"
#define TIMEOUT (60 * GST_SECOND)

static char *work;              /* temporary folder */
static char *model;
static char *reviews;           /* what a small model learns: whether "tok7" occurs */

/* What a run said on the bus. */
typedef struct
{
  char *error;                  /* NULL: it came to its end */
  guint n_steps;
  double first_loss, last_loss; /* means over the first and the last tenth of the steps */
  guint in_flight;
  GArray *losses;               /* of double */
} Run;

static void
run_clear (Run *run)
{
  g_clear_pointer (&run->error, g_free);
  g_clear_pointer (&run->losses, g_array_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Run, run_clear)

static char *
in_work (const char *name)
{
  return g_build_filename (work, name, NULL);
}

static void
take_step (Run *run, const GstStructure *s)
{
  guint64 step;
  double loss;

  g_assert_true (gst_structure_get (s, "step", G_TYPE_UINT64, &step, "loss", G_TYPE_DOUBLE, &loss,
                                    "in-flight", G_TYPE_UINT, &run->in_flight, NULL));
  g_array_append_val (run->losses, loss);
  run->n_steps++;
}

static double
mean (const GArray *values, guint first, guint n)
{
  double sum = 0.0;
  guint i;

  for (i = first; i < first + n; i++)
    sum += g_array_index (values, double, i);
  return sum / n;
}

static void
launch (Run *run, const char *description)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GstElement) pipeline = gst_parse_launch (description, &error);
  g_autoptr (GstBus) bus = NULL;
  gboolean done = FALSE;

  g_assert_no_error (error);
  bus = gst_element_get_bus (pipeline);
  run->losses = g_array_new (FALSE, FALSE, sizeof (double));
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  while (!done) {
    g_autoptr (GstMessage) message =
        gst_bus_timed_pop_filtered (bus, TIMEOUT, GST_MESSAGE_EOS | GST_MESSAGE_ERROR |
                                    GST_MESSAGE_ELEMENT);

    g_assert_nonnull (message);
    switch (GST_MESSAGE_TYPE (message)) {
      case GST_MESSAGE_ERROR: {
        g_autoptr (GError) posted = NULL;

        gst_message_parse_error (message, &posted, NULL);
        run->error = g_strdup (posted->message);
        done = TRUE;
        break;
      }
      case GST_MESSAGE_ELEMENT:
        if (gst_message_has_name (message, "tandem-step"))
          take_step (run, gst_message_get_structure (message));
        break;
      default:
        done = TRUE;
    }
  }
  gst_element_set_state (pipeline, GST_STATE_NULL);
  if (run->n_steps >= 10) {
    run->first_loss = mean (run->losses, 0, run->n_steps / 10);
    run->last_loss = mean (run->losses, run->n_steps - run->n_steps / 10, run->n_steps / 10);
  }
}

/* Trains stages of the given layers; their checkpoints are name-0, name-1, ... */
static void
train (Run *run, const char *name, const char *layers, const char *options, guint limit)
{
  g_auto (GStrv) ranges = g_strsplit (layers, " ", -1);
  g_autoptr (GString) line = g_string_new (NULL);
  guint i;

  g_string_append_printf (line, "reviewsrc location=%s limit=%u ! tokenize model=%s ! " BATCH,
                          reviews, limit, model);
  for (i = 0; ranges[i] != NULL; i++)
    g_string_append_printf (line, " ! queue ! bertstage model=%s layers=%s trainable=true %s "
                            "checkpoint=%s/%s-%u", model, ranges[i],
                            options, work, name, i);
  g_string_append (line, " ! sentimentloss");
  launch (run, line->str);
}

static GHashTable *
read_checkpoints (const char *name, guint n)
{
  GHashTable *tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                               (GDestroyNotify) tandem_tensor_unref);
  guint i, j;

  for (i = 0; i < n; i++) {
    g_autofree char *path = g_strdup_printf ("%s/%s-%u", work, name, i);
    g_autoptr (GError) error = NULL;
    g_autoptr (TandemSafetensors) file = tandem_safetensors_open (path, &error);
    g_auto (GStrv) names = NULL;

    g_assert_no_error (error);
    names = tandem_safetensors_list_tensors (file);
    for (j = 0; names[j] != NULL; j++)
      g_assert_true (g_hash_table_insert (tensors, g_strdup (names[j]),
                                          tandem_safetensors_get_tensor (file, names[j], NULL)));
  }
  return tensors;
}

/* How many tensors differ in a bit. */
static guint
count_differences (const char *a, guint n_a, const char *b, guint n_b)
{
  g_autoptr (GHashTable) first = read_checkpoints (a, n_a);
  g_autoptr (GHashTable) second = read_checkpoints (b, n_b);
  GHashTableIter iter;
  gpointer name, tensor;
  guint n = 0;

  g_assert_cmpuint (g_hash_table_size (first), ==, g_hash_table_size (second));
  g_hash_table_iter_init (&iter, first);
  while (g_hash_table_iter_next (&iter, &name, &tensor)) {
    TandemTensor *other = g_hash_table_lookup (second, name);

    g_assert_nonnull (other);
    n += !g_bytes_equal (tandem_tensor_get_bytes (tensor), tandem_tensor_get_bytes (other));
  }
  return n;
}

/* 50 steps and a shorter one, with dropout and clipping: the same bits however it is split, with
 * both schedules that update once a step. */
static void
test_schedules (void)
{
  static const char *const layers[] = { "0-2", "0-0 1-2", "0-1 2-2", "0-0 1-1 2-2" };
  static const guint n_stages[] = { 1, 2, 2, 3 };
  static const char *const schedules[] = { "gpipe", "1f1b-flush" };
  guint i, j;

  for (i = 0; i < G_N_ELEMENTS (schedules); i++) {
    for (j = 0; j < G_N_ELEMENTS (layers); j++) {
      g_autofree char *options =
          g_strdup_printf ("schedule=%s micro-batches=4 learning-rate=3e-3 max-norm=0.5 seed=3 "
                           "warmup-steps=5 total-steps=60", schedules[i]);
      const char *name = i + j == 0 ? "first" : "other";
      g_auto (Run) run = { NULL };

      train (&run, name, layers[j], options, N_REVIEWS);
      g_assert_cmpstr (run.error, ==, NULL);
      g_assert_cmpuint (run.n_steps, ==, 51);
      g_assert_cmpfloat (run.last_loss, <, run.first_loss);
      if (i + j > 0)
        g_assert_cmpuint (count_differences ("first", 1, "other", n_stages[j]), ==, 0);
      /* gpipe keeps a step's micro-batches, 1f1b one a stage. */
      if (i == 0)
        g_assert_cmpuint (run.in_flight, ==, 4);
      else
        g_assert_cmpuint (run.in_flight, <=, n_stages[j]);
    }
  }
}

/* A stage on another device, which listens on a port that it chooses. */
static GstElement *
start_server (const char *name, const char *rest, guint *port)
{
  g_autofree char *line =
      g_strdup_printf ("tcpactsrc name=in port=0 ! bertstage model=%s layers=1-1 trainable=true "
                       "seed=3 checkpoint=%s/%s-1 ! %s", model, work, name, rest);
  g_autoptr (GError) error = NULL;
  GstElement *server = gst_parse_launch (line, &error);
  g_autoptr (GstElement) in = NULL;

  g_assert_no_error (error);
  gst_element_set_state (server, GST_STATE_PLAYING);
  in = gst_bin_get_by_name (GST_BIN (server), "in");
  g_object_get (in, "current-port", port, NULL);
  g_assert_cmpuint (*port, >, 0);
  return server;
}

/* Its end comes behind its last checkpoint. */
static void
end_server (GstElement *server)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (server);
  g_autoptr (GstMessage) message =
      gst_bus_timed_pop_filtered (bus, TIMEOUT, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);

  g_assert_nonnull (message);
  g_assert_cmpint (GST_MESSAGE_TYPE (message), ==, GST_MESSAGE_EOS);
  gst_element_set_state (server, GST_STATE_NULL);
}

static void
train_over_tcp (Run *run, const char *name, const char *options, guint port)
{
  g_autofree char *line =
      g_strdup_printf ("reviewsrc location=%s limit=%u ! tokenize model=%s ! " BATCH
                       " ! bertstage model=%s layers=0-0 trainable=true %s checkpoint=%s/%s-0 ! "
                       "tcpactsink host=127.0.0.1 port=%u", reviews, N_REVIEWS, model, model,
                       options, work, name, port);

  launch (run, line);
}

/* Three stages of which the middle one is behind one connection and the last behind another:
 * the same bits as in one piece. */
static void
test_over_tcp (void)
{
  static const char *const schedules[] = { "gpipe", "1f1b-flush" };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (schedules); i++) {
    g_autofree char *options =
        g_strdup_printf ("schedule=%s micro-batches=4 learning-rate=3e-3 max-norm=0.5 seed=3 "
                         "warmup-steps=5 total-steps=60", schedules[i]);
    g_autofree char *last =
        g_strdup_printf ("bertstage model=%s layers=2-2 trainable=true seed=3 "
                         "checkpoint=%s/far-2 ! sentimentloss", model, work);
    g_autofree char *listening = g_strdup_printf ("tcpactsrc name=in port=0 ! %s", last);
    g_autoptr (GstElement) third = gst_parse_launch (listening, NULL);
    g_autoptr (GstElement) in = gst_bin_get_by_name (GST_BIN (third), "in");
    g_autoptr (GstElement) second = NULL;
    g_autofree char *onwards = NULL;
    g_auto (Run) near = { NULL };
    g_auto (Run) far = { NULL };
    guint port;

    train (&near, "near", "0-2", options, N_REVIEWS);
    g_assert_cmpstr (near.error, ==, NULL);

    gst_element_set_state (third, GST_STATE_PLAYING);
    g_object_get (in, "current-port", &port, NULL);
    onwards = g_strdup_printf ("tcpactsink host=127.0.0.1 port=%u", port);
    second = start_server ("far", onwards, &port);
    train_over_tcp (&far, "far", options, port);
    g_assert_cmpstr (far.error, ==, NULL);
    end_server (second);
    end_server (third);
    g_assert_cmpuint (far.n_steps, ==, near.n_steps);
    g_assert_cmpuint (count_differences ("near", 1, "far", 3), ==, 0);
  }
}

/* Without an end of steps other weights come out, but each time the same. */
static void
test_without_flush (void)
{
  const char *options = "schedule=1f1b learning-rate=3e-3 warmup-steps=20";
  g_auto (Run) one = { NULL };
  g_auto (Run) three = { NULL };
  g_auto (Run) again = { NULL };

  train (&one, "one", "0-2", options, N_REVIEWS);
  g_assert_cmpstr (one.error, ==, NULL);
  g_assert_cmpuint (one.n_steps, ==, N_REVIEWS / 2);
  g_assert_cmpuint (one.in_flight, ==, 1);
  g_assert_cmpfloat (one.last_loss, <, one.first_loss);

  train (&three, "three", "0-0 1-1 2-2", options, N_REVIEWS);
  g_assert_cmpstr (three.error, ==, NULL);
  g_assert_cmpuint (three.n_steps, ==, N_REVIEWS / 2);
  g_assert_cmpuint (three.in_flight, ==, 3);
  g_assert_cmpfloat (three.last_loss, <, three.first_loss);

  train (&again, "again", "0-0 1-1 2-2", options, N_REVIEWS);
  g_assert_cmpstr (again.error, ==, NULL);
  g_assert_cmpuint (count_differences ("three", 3, "again", 3), ==, 0);
}

/* Stopped after a checkpoint and begun again: the same weights as in one go. */
static void
test_resume (void)
{
  static const char *const schedules[] = { "1f1b-flush", "gpipe", "1f1b" };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (schedules); i++) {
    g_autofree char *options =
        g_strdup_printf ("schedule=%s micro-batches=4 checkpoint-interval=8 learning-rate=1e-3 "
                         "seed=5 total-steps=300", schedules[i]);
    g_autofree char *resuming = g_strconcat (options, " resume=true", NULL);
    g_autofree char *whole = g_strdup_printf ("whole%u", i);
    g_autofree char *parts = g_strdup_printf ("parts%u", i);
    g_auto (Run) a = { NULL };
    g_auto (Run) b = { NULL };
    g_auto (Run) c = { NULL };

    train (&a, whole, "0-0 1-2", options, N_REVIEWS);
    g_assert_cmpstr (a.error, ==, NULL);
    /* As if killed right behind a checkpoint: after 16 steps of 4 micro-batches of 2 reviews; with
     * 1f1b two stages finish what is in flight after each 9 micro-batches. */
    train (&b, parts, "0-0 1-2", resuming, i < 2 ? 128 : 126);
    g_assert_cmpstr (b.error, ==, NULL);
    train (&c, parts, "0-0 1-2", resuming, N_REVIEWS);
    g_assert_cmpstr (c.error, ==, NULL);
    g_assert_cmpuint (b.n_steps + c.n_steps, ==, a.n_steps);
    g_assert_cmpuint (count_differences (whole, 2, parts, 2), ==, 0);
  }
}

static void
test_faults (void)
{
  static const struct
  {
    const char *line;           /* %1$s: model, %2$s: reviews */
    const char *sentence;
  } faults[] = {
    { "bertstage model=%1$s layers=0-0 trainable=true ! bertstage model=%1$s layers=1-2 ! "
      "sentimentloss", "trainable=true here, too" },
    { "bertstage model=%1$s layers=0-0 ! bertstage model=%1$s layers=1-2 trainable=true ! "
      "sentimentloss", "trainable=true there, too" },
    { "bertstage model=%1$s ! sentimentloss", "Nothing before the loss trains" },
    { "bertstage model=%1$s trainable=true threads=2 ! sentimentloss", "on one thread" },
    { "bertstage model=%1$s trainable=true learning-rate=10 weight-decay=10 max-norm=0 ! sentimentloss",
      "finite" },
    { "bertstage model=%1$s trainable=true checkpoint=/nowhere/at/all ! sentimentloss",
      "/nowhere/at/all" },
    { "bertstage model=%1$s trainable=true ! sentimentloss teacher=/nowhere/at/all",
      "/nowhere/at/all" },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (faults); i++) {
    g_autofree char *rest = g_strdup_printf (faults[i].line, model, reviews);
    g_autofree char *line = g_strdup_printf ("reviewsrc location=%s ! tokenize model=%s ! " BATCH
                                             " ! %s", reviews, model, rest);
    g_auto (Run) run = { NULL };

    launch (&run, line);
    g_assert_nonnull (run.error);
    if (strstr (run.error, faults[i].sentence) == NULL)
      g_error ("\"%s\" does not say \"%s\"", run.error, faults[i].sentence);
  }
}

static void
test_unlabelled (void)
{
  g_autofree char *text = in_work ("plain.txt");
  g_autofree char *line = NULL;
  g_auto (Run) run = { NULL };

  g_assert_true (g_file_set_contents (text, "tok7 tok9\ntok8\n", -1, NULL));
  line = g_strdup_printf ("filesrc location=%s ! lineparse ! tokenize model=%s ! " BATCH
                          " ! bertstage model=%s trainable=true ! sentimentloss", text, model,
                          model);
  launch (&run, line);
  g_assert_nonnull (run.error);
  g_assert_nonnull (strstr (run.error, "Review 0 has no label"));
}

/* A stage that waits for what never comes is stopped at once. */
static void
test_stop_while_waiting (void)
{
  g_autofree char *line =
      g_strdup_printf ("reviewsrc location=%s ! tokenize model=%s ! " BATCH
                       " ! bertstage model=%s trainable=true ! fakesink", reviews, model, model);
  g_autoptr (GstElement) pipeline = gst_parse_launch (line, NULL);
  gint64 start;

  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  g_usleep (200 * 1000);
  start = g_get_monotonic_time ();
  gst_element_set_state (pipeline, GST_STATE_NULL);
  g_assert_cmpint (g_get_monotonic_time () - start, <, 2 * G_TIME_SPAN_SECOND);
}

/* A checkpoint of other layers, and none where there should be one. */
static void
test_wrong_checkpoint (void)
{
  g_auto (Run) first = { NULL };
  g_auto (Run) layers = { NULL };
  g_auto (Run) step = { NULL };
  g_autofree char *from = in_work ("wrong-1");

  train (&first, "wrong", "0-0 1-2", "micro-batches=4", 32);
  g_assert_cmpstr (first.error, ==, NULL);
  train (&layers, "wrong", "0-1 2-2", "micro-batches=4 resume=true", 32);
  g_assert_nonnull (strstr (layers.error, "the checkpoint is of layers"));
  g_assert_cmpint (g_unlink (from), ==, 0);
  train (&step, "wrong", "0-0 1-2", "micro-batches=4 resume=true", 64);
  g_assert_nonnull (strstr (step.error, "goes on after step 4"));
}

/* The checkpoints of two stages make the same model, byte for byte, as that of one. */
static void
test_merge (void)
{
  const char *tool = g_getenv ("TANDEM_TEST_TOOL");
  const char *options = "micro-batches=4 learning-rate=1e-3";
  g_auto (Run) one = { NULL };
  g_auto (Run) two = { NULL };
  char *contents[2] = { NULL };
  gsize sizes[2];
  guint i;

  g_assert_nonnull (tool);
  train (&one, "m", "0-2", options, 32);
  g_assert_cmpstr (one.error, ==, NULL);
  train (&two, "n", "0-0 1-2", options, 32);
  g_assert_cmpstr (two.error, ==, NULL);

  for (i = 0; i < 4; i++) {
    static const char *const arguments[] = { "%s/m-0", "%s/n-1 %s/n-0", "%s/n-0", "%s/n-0 %s/m-0" };
    g_autofree char *files = g_strdup_printf (arguments[i], work, work);
    g_autofree char *line = g_strdup_printf ("%s merge %s %s --output %s/merged%u", tool, model,
                                             files, work, i);
    g_autofree char *output = NULL;
    g_autofree char *folder = g_strdup_printf ("%s/merged%u", work, i);
    g_autofree char *weights = g_build_filename (folder, "model.safetensors", NULL);
    g_autoptr (GError) error = NULL;
    g_autoptr (TandemModel) merged = NULL;
    int status;

    g_spawn_command_line_sync (line, NULL, &output, &status, &error);
    g_assert_no_error (error);
    if (i >= 2) {
      g_assert_false (g_spawn_check_wait_status (status, NULL));
      g_assert_nonnull (strstr (output, i == 2 ? "encoder.layer.1" : "another checkpoint"));
      continue;
    }
    g_assert_cmpstr (output, ==, "");
    g_assert_true (g_spawn_check_wait_status (status, &error));
    merged = tandem_model_open (folder, NULL, &error);
    g_assert_no_error (error);
    g_assert_true (g_file_get_contents (weights, &contents[i], &sizes[i], NULL));
  }
  g_assert_cmpmem (contents[0], sizes[0], contents[1], sizes[1]);
  g_free (contents[0]);
  g_free (contents[1]);
}

static void
write_reviews (void)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GRand) rand = g_rand_new_with_seed (7);
  guint i, j;

  for (i = 0; i < N_REVIEWS; i++) {
    gboolean positive = g_rand_boolean (rand);
    guint n = g_rand_int_range (rand, 1, 20), place = g_rand_int_range (rand, 0, n);

    g_string_append_printf (text, "%s\t%u\t1\ttest\t", positive ? "pos" : "neg", i);
    for (j = 0; j < n; j++)
      g_string_append_printf (text, "tok%d ", j == place && positive ? 7
                              : g_rand_int_range (rand, 8, 60));
    g_string_append_c (text, '\n');
  }
  g_assert_true (g_file_set_contents (reviews, text->str, text->len, NULL));
}

int
main (int argc, char **argv)
{
  TandemTestModel shape = TANDEM_TEST_MODEL_INIT;
  int result;

  g_test_init (&argc, &argv, NULL);
  gst_init (&argc, &argv);
  tandem_init ();
  work = tandem_test_make_folder ();
  model = in_work ("model");
  reviews = in_work ("reviews.tsv");
  shape.n_layers = 3;
  tandem_test_model_write (&shape, model);
  write_reviews ();

  g_test_add_func ("/train/schedules", test_schedules);
  g_test_add_func ("/train/over-tcp", test_over_tcp);
  g_test_add_func ("/train/without-flush", test_without_flush);
  g_test_add_func ("/train/resume", test_resume);
  g_test_add_func ("/train/faults", test_faults);
  g_test_add_func ("/train/unlabelled", test_unlabelled);
  g_test_add_func ("/train/stop-while-waiting", test_stop_while_waiting);
  g_test_add_func ("/train/wrong-checkpoint", test_wrong_checkpoint);
  g_test_add_func ("/train/merge", test_merge);
  result = g_test_run ();

  tandem_test_remove_folder (work);
  g_free (model);
  g_free (reviews);
  return result;
}
