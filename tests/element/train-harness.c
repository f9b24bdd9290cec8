/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "train-harness.h"

#include "../unit/tandem-test-model.h"

#define TIMEOUT (60 * GST_SECOND)

char *train_work, *train_model, *train_reviews;

void
train_run_clear (TrainRun *run)
{
  g_clear_pointer (&run->error, g_free);
  g_clear_pointer (&run->losses, g_array_unref);
  g_clear_pointer (&run->hidden_losses, g_array_unref);
}

char *
train_in_work (const char *name)
{
  return g_build_filename (train_work, name, NULL);
}

static void
take_step (TrainRun *run, const GstStructure *s)
{
  guint64 step;
  double loss;

  g_assert_true (gst_structure_get (s, "step", G_TYPE_UINT64, &step, "loss", G_TYPE_DOUBLE, &loss,
                                    "in-flight", G_TYPE_UINT, &run->in_flight, NULL));
  g_array_append_val (run->losses, loss);
  if (gst_structure_get_double (s, "hidden-loss", &loss))
    g_array_append_val (run->hidden_losses, loss);
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

/* Means over the first and the last tenth. */
static void
take_ends (const GArray *values, double *first, double *last)
{
  guint n = values->len / 10;

  if (n == 0)
    return;
  *first = mean (values, 0, n);
  *last = mean (values, values->len - n, n);
}

void
train_launch (TrainRun *run, const char *description)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GstElement) pipeline = gst_parse_launch (description, &error);
  g_autoptr (GstBus) bus = NULL;
  gboolean done = FALSE;

  g_assert_no_error (error);
  bus = gst_element_get_bus (pipeline);
  run->losses = g_array_new (FALSE, FALSE, sizeof (double));
  run->hidden_losses = g_array_new (FALSE, FALSE, sizeof (double));
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
  take_ends (run->losses, &run->first_loss, &run->last_loss);
  take_ends (run->hidden_losses, &run->first_hidden_loss, &run->last_hidden_loss);
}

void
train_stages (TrainRun *run, const char *name, const char *layers, const char *options, guint limit)
{
  g_auto (GStrv) ranges = g_strsplit (layers, " ", -1);
  g_autoptr (GString) line = g_string_new (NULL);
  guint i;

  g_string_append_printf (line, "reviewsrc location=%s limit=%u ! tokenize model=%s ! " TRAIN_BATCH,
                          train_reviews, limit, train_model);
  for (i = 0; ranges[i] != NULL; i++)
    g_string_append_printf (line, " ! queue ! bertstage model=%s layers=%s trainable=true %s "
                            "checkpoint=%s/%s-%u", train_model, ranges[i],
                            options, train_work, name, i);
  g_string_append (line, " ! sentimentloss");
  train_launch (run, line->str);
}

static GHashTable *
read_checkpoints (const char *name, guint n)
{
  GHashTable *tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                               (GDestroyNotify) tandem_tensor_unref);
  guint i, j;

  for (i = 0; i < n; i++) {
    g_autofree char *path = g_strdup_printf ("%s/%s-%u", train_work, name, i);
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

guint
train_count_differences (const char *a, guint n_a, const char *b, guint n_b)
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

GstElement *
train_start_server (const char *name, const char *options, const char *rest, guint *port)
{
  g_autofree char *line =
      g_strdup_printf ("tcpactsrc name=in port=0 ! bertstage model=%s trainable=true %s "
                       "checkpoint=%s/%s-1 ! %s", train_model, options, train_work, name, rest);
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

void
train_end_server (GstElement *server)
{
  g_autoptr (GstBus) bus = gst_element_get_bus (server);
  g_autoptr (GstMessage) message =
      gst_bus_timed_pop_filtered (bus, TIMEOUT, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);

  g_assert_nonnull (message);
  g_assert_cmpint (GST_MESSAGE_TYPE (message), ==, GST_MESSAGE_EOS);
  gst_element_set_state (server, GST_STATE_NULL);
}

void
train_over_tcp (TrainRun *run, const char *name, const char *options, guint port)
{
  g_autofree char *line =
      g_strdup_printf ("reviewsrc location=%s limit=%u ! tokenize model=%s ! " TRAIN_BATCH
                       " ! bertstage model=%s layers=0-0 trainable=true %s checkpoint=%s/%s-0 ! "
                       "tcpactsink host=127.0.0.1 port=%u", train_reviews, TRAIN_N_REVIEWS, train_model, train_model, options, train_work, name,
                       port);

  train_launch (run, line);
}

static void
write_reviews (void)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GRand) rand = g_rand_new_with_seed (7);
  guint i, j;

  for (i = 0; i < TRAIN_N_REVIEWS; i++) {
    gboolean positive = g_rand_boolean (rand);
    guint n = g_rand_int_range (rand, 1, 20), place = g_rand_int_range (rand, 0, n);

    g_string_append_printf (text, "%s\t%u\t1\ttest\t", positive ? "pos" : "neg", i);
    for (j = 0; j < n; j++)
      g_string_append_printf (text, "tok%d ", j == place && positive ? 7
                              : g_rand_int_range (rand, 8, 60));
    g_string_append_c (text, '\n');
  }
  g_assert_true (g_file_set_contents (train_reviews, text->str, text->len, NULL));
}

void
train_set_up (void)
{
  TandemTestModel shape = TANDEM_TEST_MODEL_INIT;

  train_work = tandem_test_make_folder ();
  train_model = train_in_work ("model");
  train_reviews = train_in_work ("reviews.tsv");
  shape.n_layers = 3;
  tandem_test_model_write (&shape, train_model);
  write_reviews ();
}

void
train_tear_down (void)
{
  tandem_test_remove_folder (train_work);
  g_free (train_model);
  g_free (train_reviews);
}
