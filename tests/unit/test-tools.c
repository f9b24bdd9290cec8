/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Runs the tandem command as a shell would. */

#include "tandem.h"

#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <signal.h>
#include <string.h>

#include "tandem-test-model.h"

typedef struct
{
  char *folder;
  char *model;
  char *out;
  char *standard;               /* what the last run printed */
  char *errors;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;

  fixture->folder = tandem_test_make_folder ();
  fixture->model = g_build_filename (fixture->folder, "tiny", NULL);
  fixture->out = g_build_filename (fixture->folder, "out", "stages", NULL);
  tandem_test_model_write (&spec, fixture->model);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_free (fixture->model);
  g_free (fixture->out);
  g_free (fixture->standard);
  g_free (fixture->errors);
  tandem_test_remove_folder (fixture->folder);
}

/* Runs the command with the arguments that follow, up to NULL; returns its exit status. */
static int
run (Fixture *fixture, ...)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  g_autoptr (GSubprocess) process = NULL;
  g_autoptr (GError) error = NULL;
  const char *arg;
  va_list args;

  g_ptr_array_add (argv, (char *) g_getenv ("TANDEM_TEST_TOOL"));
  va_start (args, fixture);
  do {
    arg = va_arg (args, const char *);
    g_ptr_array_add (argv, (char *) arg);
  } while (arg != NULL);
  va_end (args);
  g_clear_pointer (&fixture->standard, g_free);
  g_clear_pointer (&fixture->errors, g_free);
  process = g_subprocess_newv ((const char *const *) argv->pdata,
                               G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE,
                               &error);
  g_assert_no_error (error);
  g_subprocess_communicate_utf8 (process, NULL, NULL, &fixture->standard, &fixture->errors,
                                 &error);
  g_assert_no_error (error);
  g_assert_true (g_subprocess_get_if_exited (process));
  return g_subprocess_get_exit_status (process);
}

static void
assert_holds (const char *text, const char *part)
{
  if (strstr (text, part) == NULL)
    g_error ("\"%s\" is not in: %s", part, text);
}

static char *
out_file (Fixture *fixture, const char *name)
{
  return g_build_filename (fixture->out, name, NULL);
}

static void
test_usage (Fixture *fixture, gconstpointer data)
{
  g_assert_cmpint (run (fixture, NULL), ==, 2);
  assert_holds (fixture->errors, "inspect");
  g_assert_cmpint (run (fixture, "--version", NULL), ==, 0);
  assert_holds (fixture->standard, tandem_version ());
  g_assert_cmpint (run (fixture, "--help", NULL), ==, 0);
  assert_holds (fixture->standard, "split");
  g_assert_cmpint (run (fixture, "help", NULL), ==, 0);
  assert_holds (fixture->standard, "split");
  g_assert_cmpint (run (fixture, "help", "split", NULL), ==, 0);
  assert_holds (fixture->standard, "--layers");
  g_assert_cmpint (run (fixture, "split", "--help", NULL), ==, 0);
  assert_holds (fixture->standard, "--layers");
  g_assert_cmpint (run (fixture, "help", "dance", NULL), ==, 2);
  g_assert_cmpint (run (fixture, "dance", NULL), ==, 2);
  assert_holds (fixture->errors, "\"dance\"");
  g_assert_cmpint (run (fixture, "--dance", NULL), ==, 2);
  g_assert_cmpint (run (fixture, "inspect", NULL), ==, 2);
  g_assert_cmpint (run (fixture, "inspect", "a", "b", NULL), ==, 2);
  g_assert_cmpint (run (fixture, "inspect", "--dance", NULL), ==, 2);
  g_assert_cmpint (run (fixture, "split", fixture->model, NULL), ==, 2);
  assert_holds (fixture->errors, "--layers");
  g_assert_cmpint (run (fixture, "split", "--layers", "0", NULL), ==, 2);
}

static void
test_node_usage (Fixture *fixture, gconstpointer data)
{
  g_assert_cmpint (run (fixture, "node", "--help", NULL), ==, 0);
  assert_holds (fixture->standard, "--cache-size");
  g_assert_cmpint (run (fixture, "node", "here", NULL), ==, 2);
  g_assert_cmpint (run (fixture, "node", "--port=65536", NULL), ==, 2);
  g_assert_cmpint (run (fixture, "node", "--threads=0", NULL), ==, 2);
  g_assert_cmpint (run (fixture, "node", "--memory=1X", NULL), ==, 2);
  g_assert_cmpint (run (fixture, "node", "--memory=0", NULL), ==, 2);
  g_assert_cmpint (run (fixture, "node", "--memory=99999999T", NULL), ==, 2);
  assert_holds (fixture->errors, "99999999T");
  g_assert_cmpint (run (fixture, "node", "--cache-size=-1", NULL), ==, 2);
  g_assert_cmpint (run (fixture, "node", "--key=k", "--insecure", NULL), ==, 2);
  g_assert_cmpint (run (fixture, "node", "--key", fixture->model, NULL), ==, 1);
  /* Nothing that is no folder becomes a cache. */
  g_assert_cmpint (run (fixture, "node", "--port=0", "--cache", "/dev/null", NULL), ==, 1);
  assert_holds (fixture->errors, "/dev/null");
}

static void
test_inspect (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemModel) model = tandem_model_open (fixture->model, NULL, NULL);

  g_assert_cmpint (run (fixture, "inspect", fixture->model, NULL), ==, 0);
  assert_holds (fixture->standard, tandem_model_get_fingerprint (model));
  assert_holds (fixture->standard, "0 to 1 of 2");
  assert_holds (fixture->standard, "negative, positive");
  assert_holds (fixture->standard, "100 entries");
  assert_holds (fixture->standard, "layer 1");
  assert_holds (fixture->standard, "encoder.layer.1.intermediate.dense.weight");
  assert_holds (fixture->standard, "[32, 16]");
  g_assert_cmpstr (fixture->errors, ==, "");
}

static void
test_inspect_albert (Fixture *fixture, gconstpointer data)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  g_autofree char *folder = g_build_filename (fixture->folder, "albert", NULL);
  g_autofree char *parts = g_build_filename (fixture->folder, "parts", NULL);
  g_autofree char *stage = g_build_filename (parts, "albert-layers-2-3.safetensors", NULL);

  spec.albert = TRUE;
  spec.n_layers = 4;
  spec.n_groups = 2;
  spec.embedding_size = 10;
  tandem_test_model_write (&spec, folder);
  g_assert_cmpint (run (fixture, "inspect", folder, NULL), ==, 0);
  assert_holds (fixture->standard, "groups of layers: 2, width of embeddings: 10");
  assert_holds (fixture->standard, "group 1");
  assert_holds (fixture->standard, "embeddings.projection.weight");
  g_assert_cmpint (run (fixture, "inspect", "--json", folder, NULL), ==, 0);
  assert_holds (fixture->standard, "\"albert\"");
  g_assert_cmpint (run (fixture, "split", "--layers", "0-1,2-3", "--output", parts, folder, NULL),
                   ==, 0);
  g_assert_cmpint (run (fixture, "inspect", stage, NULL), ==, 0);
  assert_holds (fixture->standard, "2 to 3 of 4");
}

static JsonObject *
parse (const char *text)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (GError) error = NULL;

  json_parser_load_from_data (parser, text, -1, &error);
  g_assert_no_error (error);
  return json_node_dup_object (json_parser_get_root (parser));
}

static void
test_inspect_json (Fixture *fixture, gconstpointer data)
{
  g_autoptr (TandemModel) model = tandem_model_open (fixture->model, NULL, NULL);
  g_autoptr (JsonObject) object = NULL;
  JsonArray *tensors, *parts;
  guint64 sum = 0;
  guint i;

  g_assert_cmpint (run (fixture, "inspect", "--json", fixture->model, NULL), ==, 0);
  object = parse (fixture->standard);
  g_assert_cmpstr (json_object_get_string_member (object, "kind"), ==, "model");
  g_assert_cmpstr (json_object_get_string_member (object, "fingerprint"), ==,
                   tandem_model_get_fingerprint (model));
  g_assert_cmpint (json_object_get_int_member (object, "first_layer"), ==, 0);
  g_assert_cmpint (json_object_get_int_member (object, "last_layer"), ==, 1);
  g_assert_true (json_object_get_boolean_member (object, "classifier"));
  tensors = json_object_get_array_member (object, "tensors");
  g_assert_cmpuint (json_array_get_length (tensors), ==, 41);
  for (i = 0; i < json_array_get_length (tensors); i++)
    sum += json_object_get_int_member (json_array_get_object_element (tensors, i), "bytes");
  g_assert_cmpuint (sum, ==, json_object_get_int_member (object, "bytes"));
  g_assert_cmpuint (sum, ==, 4 * json_object_get_int_member (object, "parameters"));
  parts = json_object_get_array_member (object, "parts");
  g_assert_cmpuint (json_array_get_length (parts), ==, 5);
  for (i = 0; i < json_array_get_length (parts); i++)
    sum -= json_object_get_int_member (json_array_get_object_element (parts, i), "bytes");
  g_assert_cmpuint (sum, ==, 0);
}

/* A file of a stranger: its names do not command the terminal. */
static void
test_inspect_other_file (Fixture *fixture, gconstpointer data)
{
  static const char header[] = "{\"a\\u001b[2J\":{\"dtype\":\"U16\",\"shape\":[2],"
                               "\"data_offsets\":[0,4]}}   ";
  g_autofree char *path = g_build_filename (fixture->folder, "other.safetensors", NULL);
  g_autoptr (GByteArray) file = g_byte_array_new ();
  guint64 length = GUINT64_TO_LE ((guint64) strlen (header));

  g_byte_array_append (file, (const guint8 *) &length, 8);
  g_byte_array_append (file, (const guint8 *) header, strlen (header));
  g_byte_array_append (file, (const guint8 *) "1234", 4);
  g_assert_true (g_file_set_contents (path, (const char *) file->data, file->len, NULL));
  g_assert_cmpint (run (fixture, "inspect", path, NULL), ==, 0);
  assert_holds (fixture->standard, "U16");
  assert_holds (fixture->standard, "safetensors file");
  g_assert_null (strchr (fixture->standard, '\033'));
  g_assert_cmpint (run (fixture, "inspect", "--json", path, NULL), ==, 0);
  g_assert_null (strchr (fixture->standard, '\033'));
  assert_holds (fixture->standard, "\"safetensors\"");
}

static void
test_inspect_bad (Fixture *fixture, gconstpointer data)
{
  g_autofree char *path = g_build_filename (fixture->model, "model.safetensors", NULL);
  g_autofree char *text = NULL;
  gsize size;

  g_assert_cmpint (run (fixture, "inspect", "/nowhere", NULL), ==, 1);
  assert_holds (fixture->errors, "/nowhere");
  g_assert_true (g_file_get_contents (path, &text, &size, NULL));
  g_assert_true (g_file_set_contents (path, text, size / 2, NULL));
  g_assert_cmpint (run (fixture, "inspect", fixture->model, NULL), ==, 1);
  assert_holds (fixture->errors, "tandem inspect: ");
  assert_holds (fixture->errors, "model.safetensors");
  g_assert_cmpstr (fixture->standard, ==, "");
}

static void
test_split (Fixture *fixture, gconstpointer data)
{
  g_autofree char *first = out_file (fixture, "tiny-layers-0-0.safetensors");
  g_autofree char *second = out_file (fixture, "tiny-layers-1-1.safetensors");
  g_autoptr (TandemModel) model = tandem_model_open (fixture->model, NULL, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemModel) stage = NULL;
  g_autoptr (JsonObject) object = NULL;

  g_assert_cmpint (run (fixture, "split", fixture->model, "--layers", "0-0,1-1", "--output",
                        fixture->out, NULL), ==, 0);
  g_assert_cmpstr (fixture->errors, ==, "");
  assert_holds (fixture->standard, first);
  assert_holds (fixture->standard, second);
  stage = tandem_model_open (second, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (tandem_model_get_fingerprint (stage), ==, tandem_model_get_fingerprint (model));

  g_assert_cmpint (run (fixture, "inspect", "--json", first, NULL), ==, 0);
  object = parse (fixture->standard);
  g_assert_cmpstr (json_object_get_string_member (object, "kind"), ==, "stage");
  g_assert_cmpint (json_object_get_int_member (object, "last_layer"), ==, 0);

  /* They are not replaced unless that is asked for. */
  g_assert_cmpint (run (fixture, "split", fixture->model, "--layers", "0-0,1-1", "--output",
                        fixture->out, NULL), ==, 1);
  assert_holds (fixture->errors, "--force");
  g_assert_cmpint (run (fixture, "split", fixture->model, "--layers", "0-0,1-1", "--output",
                        fixture->out, "--force", NULL), ==, 0);
}

static void
test_split_stage (Fixture *fixture, gconstpointer data)
{
  g_autofree char *whole = out_file (fixture, "tiny-layers-0-1.safetensors");
  g_autofree char *half = out_file (fixture, "tiny-layers-1-1.safetensors");

  g_assert_cmpint (run (fixture, "split", fixture->model, "-l", "0-", "-o", fixture->out, NULL),
                   ==, 0);
  g_assert_cmpint (run (fixture, "split", whole, "-l", "1", "-o", fixture->out, NULL), ==, 0);
  assert_holds (fixture->errors, "layer 0 is in none");
  g_assert_true (g_file_test (half, G_FILE_TEST_EXISTS));
  g_assert_cmpint (run (fixture, "split", half, "-l", "0", "-o", fixture->out, NULL), ==, 2);
  assert_holds (fixture->errors, "1-1");
}

static void
test_split_ranges (Fixture *fixture, gconstpointer data)
{
  static const char *const wrong[] = { "", "2", "0-2", "1-0", "0,,1", "0-0,0", "x", "0;1" };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (wrong); i++) {
    g_assert_cmpint (run (fixture, "split", fixture->model, "-l", wrong[i], "-o", fixture->out,
                          NULL), ==, 2);
    g_assert_false (g_file_test (fixture->out, G_FILE_TEST_EXISTS));
  }
  g_assert_cmpint (run (fixture, "split", fixture->model, "-l", "0-1,1", "-o", fixture->out,
                        NULL), ==, 0);
  assert_holds (fixture->errors, "layer 1 is in 2");
}

static void
test_split_no_folder (Fixture *fixture, gconstpointer data)
{
  g_autofree char *file = g_build_filename (fixture->model, "config.json", "out", NULL);

  g_assert_cmpint (run (fixture, "split", fixture->model, "-l", "0-", "-o", file, NULL), ==, 1);
  assert_holds (fixture->errors, file);
  g_assert_cmpint (run (fixture, "split", fixture->folder, "-l", "0-", NULL), ==, 1);
  assert_holds (fixture->errors, "config.json");
}

static void
test_full_output (Fixture *fixture, gconstpointer data)
{
  g_autofree char *command = NULL;
  g_autofree char *errors = NULL;
  g_autofree char *tool = g_shell_quote (g_getenv ("TANDEM_TEST_TOOL"));
  g_autofree char *model = g_shell_quote (fixture->model);
  g_autoptr (GError) error = NULL;
  const char *argv[] = { "/bin/sh", "-c", NULL, NULL };
  int status;

  if (!g_file_test ("/dev/full", G_FILE_TEST_EXISTS)) {
    g_test_skip ("there is no /dev/full");
    return;
  }
  command = g_strdup_printf ("%s inspect %s > /dev/full", tool, model);
  argv[2] = command;
  g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, &errors, &status,
                &error);
  g_assert_no_error (error);
  g_spawn_check_wait_status (status, &error);
  g_assert_error (error, G_SPAWN_EXIT_ERROR, 1);
  assert_holds (errors, "standard output");
}

/* A signal while a large model is read or written leaves whole files or none. */
static void
test_interrupted (Fixture *fixture, gconstpointer data)
{
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  g_autofree char *model = g_build_filename (fixture->folder, "large", NULL);
  guint delay, n_interrupted = 0;

  spec.hidden_size = 256;
  spec.intermediate_size = 1024;
  spec.vocab_size = 8000;
  spec.n_layers = 3;
  tandem_test_model_write (&spec, model);
  for (delay = 5; delay <= 125; delay += 15) {
    g_autofree char *out = g_strdup_printf ("%s/out-%u", fixture->folder, delay);
    g_autoptr (GError) error = NULL;
    g_autoptr (GSubprocess) process = NULL;
    g_autoptr (GDir) dir = NULL;
    const char *name;

    process = g_subprocess_new (G_SUBPROCESS_FLAGS_STDOUT_SILENCE |
                                G_SUBPROCESS_FLAGS_STDERR_SILENCE, &error,
                                g_getenv ("TANDEM_TEST_TOOL"), "split", model, "-l", "0,1,2",
                                "-o", out, NULL);
    g_assert_no_error (error);
    g_usleep (delay * 1000);
    g_subprocess_send_signal (process, SIGINT);
    g_subprocess_wait (process, NULL, NULL);
    n_interrupted += !g_subprocess_get_if_exited (process) ||
                     g_subprocess_get_exit_status (process) != 0;

    dir = g_dir_open (out, 0, NULL);
    while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
      g_autofree char *path = g_build_filename (out, name, NULL);
      g_autoptr (TandemModel) stage = tandem_model_open (path, NULL, &error);

      g_assert_no_error (error);
      g_assert_true (tandem_model_is_stage (stage));
      g_assert_false (g_str_has_prefix (name, "."));
    }
  }
  g_test_message ("%u of 9 runs were interrupted", n_interrupted);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  if (g_getenv ("TANDEM_TEST_TOOL") == NULL) {
    g_print ("Bail out! TANDEM_TEST_TOOL names no tandem command\n");
    return 1;
  }
#define add(path, test) g_test_add (path, Fixture, NULL, set_up, test, tear_down)
  add ("/tools/usage", test_usage);
  add ("/tools/node-usage", test_node_usage);
  add ("/tools/inspect", test_inspect);
  add ("/tools/inspect-json", test_inspect_json);
  add ("/tools/inspect-albert", test_inspect_albert);
  add ("/tools/inspect-other-file", test_inspect_other_file);
  add ("/tools/inspect-bad", test_inspect_bad);
  add ("/tools/split", test_split);
  add ("/tools/split-stage", test_split_stage);
  add ("/tools/split-ranges", test_split_ranges);
  add ("/tools/split-no-folder", test_split_no_folder);
  add ("/tools/full-output", test_full_output);
  add ("/tools/interrupted", test_interrupted);
  return g_test_run ();
}
