/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Models that a node measures without having their weights. */

#include "node-harness.h"

static const char config[] =
    "{\"model_type\":\"bert\",\"num_hidden_layers\":6,\"hidden_size\":32,"
    "\"num_attention_heads\":2,\"intermediate_size\":64,\"vocab_size\":200,"
    "\"hidden_act\":\"gelu\",\"max_position_embeddings\":64,\"type_vocab_size\":2}";

static const char albert[] =
    "{\"model_type\":\"albert\",\"num_hidden_layers\":6,\"num_hidden_groups\":1,"
    "\"embedding_size\":16,\"hidden_size\":32,\"num_attention_heads\":2,"
    "\"intermediate_size\":64,\"vocab_size\":200,\"hidden_act\":\"gelu\","
    "\"max_position_embeddings\":64,\"type_vocab_size\":2}";

static TandemProfile *
measure_kind (TandemNodeClient *client, const char *text, TandemQuantization quantization,
              double zeros, GError **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  tandem_node_client_profile_async (client, text, quantization, zeros, TANDEM_PRECISION_F32, 1,
                                    0.1, NULL, on_result, &result);
  return tandem_node_client_profile_finish (client, wait_result (&result), error);
}

static TandemProfile *
measure_quantized (TandemNodeClient *client, const char *text, TandemQuantization quantization,
                   GError **error)
{
  return measure_kind (client, text, quantization, 0, error);
}

static TandemProfile *
measure (TandemNodeClient *client, const char *text, GError **error)
{
  return measure_quantized (client, text, TANDEM_QUANTIZATION_NONE, error);
}

static void
check (const TandemProfile *profile)
{
  g_autoptr (TandemDevice) device = tandem_device_new ("there", 6);

  g_assert_cmpuint (profile->n_layers, ==, 6);
  g_assert_cmpuint (profile->n_threads, ==, 1);
  g_assert_cmpuint (strlen (profile->model), ==, 64);
  tandem_profile_apply (profile, device);
  g_assert_cmpfloat (device->layers[0].fixed + device->layers[0].per_token +
                     device->layers[0].per_sequence + device->layers[0].per_square, >, 0);
  g_assert_cmpfloat (device->layers[0].per_token, ==, device->layers[4].per_token);
}

/* Both architectures; what was measured is kept, over restarts, too. */
static void
test_kept (gconstpointer data)
{
  const char *text = data;
  g_autoptr (TandemNodeClient) client = NULL, later = NULL;
  g_autoptr (TandemProfile) first = NULL, second = NULL;
  g_autoptr (GError) error = NULL;
  NodeProcess node = { 0 };
  guint i;

  node_start_with (&node, NULL, NULL);
  client = client_new (&node);
  first = measure (client, text, &error);
  g_assert_no_error (error);
  check (first);
  g_free (node_wait_event (&node, "measured"));
  node_kill (&node);
  node_start_with (&node, NULL, NULL);
  later = client_new (&node);
  second = measure (later, text, &error);
  g_assert_no_error (error);
  check (second);
  for (i = 0; i < G_N_ELEMENTS (first->costs); i++) {
    g_assert_cmpfloat (first->costs[i].fixed, ==, second->costs[i].fixed);
    g_assert_cmpfloat (first->costs[i].per_token, ==, second->costs[i].per_token);
  }
  g_assert_cmpuint (first->n_samples, ==, second->n_samples);
  node_stop (&node);
}

/* Each kind of weights is measured, and kept, for itself: an int8 model is another one than that of
 * floats, and wide enough it is faster where the processor has instructions for it. */
static void
test_quantized (void)
{
  g_autoptr (TandemNodeClient) client = NULL;
  TandemProfile *profiles[3];
  g_autoptr (GError) error = NULL;
  g_autoptr (GString) edit = g_string_new (config);
  NodeProcess node = { 0 };
  guint i;

  g_string_replace (edit, "\"vocab_size\":200", "\"vocab_size\":202", 0);
  node_start_with (&node, NULL, NULL);
  client = client_new (&node);
  for (i = 0; i < G_N_ELEMENTS (profiles); i++) {
    profiles[i] = measure_quantized (client, edit->str, (TandemQuantization) i, &error);
    g_assert_no_error (error);
    check (profiles[i]);
    g_free (node_wait_event (&node, "measured"));
  }
  for (i = 0; i < G_N_ELEMENTS (profiles); i++) {
    g_autoptr (TandemProfile) again =
        measure_quantized (client, edit->str, (TandemQuantization) i, &error);

    g_assert_no_error (error);
    g_assert_cmpfloat (again->costs[TANDEM_PROFILE_LAYER].per_token, ==,
                       profiles[i]->costs[TANDEM_PROFILE_LAYER].per_token);
    g_assert_cmpfloat (again->samples[0].seconds, ==, profiles[i]->samples[0].seconds);
  }
  for (i = 0; i < G_N_ELEMENTS (profiles); i++)
    tandem_profile_free (profiles[i]);
  node_stop (&node);
}

/* Zeros make a layer faster where it is wide: much, with nine of ten. */
static void
test_zeros (void)
{
  static const char *const wide[][2] = {
    { "\"hidden_size\":32", "\"hidden_size\":256" },
    { "\"intermediate_size\":64", "\"intermediate_size\":1024" },
    { "\"num_attention_heads\":2", "\"num_attention_heads\":4" },
  };
  g_autoptr (TandemNodeClient) client = NULL;
  g_autoptr (TandemProfile) dense = NULL, sparse = NULL, full = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GString) edit = g_string_new (config);
  NodeProcess node = { 0 };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (wide); i++)
    g_string_replace (edit, wide[i][0], wide[i][1], 0);
  node_start_with (&node, NULL, NULL);
  client = client_new (&node);
  dense = measure_kind (client, edit->str, TANDEM_QUANTIZATION_NONE, 0, &error);
  g_assert_no_error (error);
  sparse = measure_kind (client, edit->str, TANDEM_QUANTIZATION_NONE, 0.9, &error);
  g_assert_no_error (error);
  check (sparse);
  /* Of the kernels only ours are slower under a sanitizer. */
  if (g_getenv ("TANDEM_SANITIZE") == NULL)
    g_assert_cmpfloat (sparse->costs[TANDEM_PROFILE_LAYER].per_token, <,
                       0.8 * dense->costs[TANDEM_PROFILE_LAYER].per_token);
  /* What a model has that lost all is measured with a few that are left. */
  full = measure_kind (client, config, TANDEM_QUANTIZATION_INT8, 1, &error);
  g_assert_no_error (error);
  check (full);
  node_stop (&node);
}

/* One at a time; who cancels, or dies, makes room. */
static void
test_busy (void)
{
  g_autoptr (TandemNodeClient) client = NULL, other = NULL;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (TandemProfile) profile = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *longer = NULL;
  GString *edit = g_string_new (config);
  NodeProcess node = { 0 };

  node_start_with (&node, NULL, NULL);
  client = client_new (&node);
  other = client_new (&node);
  g_string_replace (edit, "\"vocab_size\":200", "\"vocab_size\":201", 0);
  longer = g_string_free (edit, FALSE);
  tandem_node_client_profile_async (client, longer, TANDEM_QUANTIZATION_NONE, 0, TANDEM_PRECISION_F32,
                                    1, 60, cancellable, on_result, &result);
  /* The requests of two connections: the first one has begun when its node has answered a later
   * one. */
  g_clear_pointer (&profile, tandem_profile_free);
  {
    g_autoptr (TandemNodeInfo) info = client_describe (client);

    g_assert_nonnull (info);
  }
  g_assert_null (measure (other, config, &error));
  g_assert_error (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_BUSY);
  g_cancellable_cancel (cancellable);
  g_clear_error (&error);
  g_assert_null (tandem_node_client_profile_finish (client, wait_result (&result), &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  do {
    g_clear_error (&error);
    profile = measure (other, config, &error);
  } while (g_error_matches (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_BUSY));
  g_assert_no_error (error);
  node_stop (&node);
}

static void
test_memory (void)
{
  g_autoptr (TandemNodeClient) client = NULL;
  g_autoptr (GError) error = NULL;
  NodeProcess node = { 0 };

  node_start_with (&node, NULL, "--memory=1K", "--threads=2", NULL);
  client = client_new (&node);
  {
    g_autoptr (GAsyncResult) result = NULL;

    tandem_node_client_profile_async (client, config, TANDEM_QUANTIZATION_NONE, 0,
                                      TANDEM_PRECISION_F32, 2, 0.1, NULL, on_result, &result);
    g_assert_null (tandem_node_client_profile_finish (client, wait_result (&result), &error));
  }
  g_assert_error (error, TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_MEMORY);
  node_stop (&node);
}

int
main (int argc, char **argv)
{
  char *cache = tandem_test_make_folder ();
  int status;

  g_setenv ("XDG_CACHE_HOME", cache, TRUE);
  g_test_init (&argc, &argv, NULL);
  gst_init (NULL, NULL);
  tandem_init ();
  g_test_add_data_func ("/node/profile/bert", config, test_kept);
  g_test_add_data_func ("/node/profile/albert", albert, test_kept);
  g_test_add_func ("/node/profile/quantized", test_quantized);
  g_test_add_func ("/node/profile/zeros", test_zeros);
  g_test_add_func ("/node/profile/busy", test_busy);
  g_test_add_func ("/node/profile/memory", test_memory);
  status = g_test_run ();
  tandem_test_remove_folder (cache);
  return status;
}
