/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Runs stages over sequences that come on standard input, for comparison with
 * other implementations:
 *
 *   run-stage MODEL hidden|logits [LAYERS...] < ids > floats
 *
 * Input: little-endian uint32 n, n lengths, and all ids. Output: float32. With
 * several ranges of layers each feeds the next; a range may be FILE:LAYERS. */

#include <gio/gunixinputstream.h>
#include <gio/gunixoutputstream.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tandem.h"

static gboolean
read_u32 (GInputStream *in, guint32 *out, gsize n, GError **error)
{
  gsize got;

  if (!g_input_stream_read_all (in, out, n * sizeof *out, &got, NULL, error))
    return FALSE;
  if (got == n * sizeof *out)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_PARTIAL_INPUT, "the input ends too early");
  return FALSE;
}

static float *
run_range (const char *model_path, const char *range, gboolean hidden, gconstpointer input,
           guint n, const guint32 *offsets, gsize *n_out, GError **error)
{
  const char *colon = strrchr (range, ':');
  g_autofree char *path =
      colon != NULL ? g_strndup (range, colon - range) : g_strdup (model_path);
  g_autoptr (TandemModel) model = tandem_model_open (path, NULL, error);
  g_autoptr (TandemBertStage) stage = NULL;
  g_autofree float *output = NULL;
  const TandemModelConfig *config;
  guint first, last;
  gboolean ok;

  if (model == NULL)
    return NULL;
  config = tandem_model_get_config (model);
  if (!tandem_model_parse_layers (colon != NULL ? colon + 1 : range, config->n_layers, &first,
                                  &last, error))
    return NULL;
  stage = tandem_bert_stage_new (model, first, last, TANDEM_PRECISION_F32, 1,
                                 hidden ? TANDEM_BERT_STAGE_HIDDEN : TANDEM_BERT_STAGE_NONE,
                                 error);
  if (stage == NULL)
    return NULL;
  *n_out = tandem_bert_stage_gives_logits (stage) ? (gsize) n * config->n_classes
      : (gsize) offsets[n] * config->hidden_size;
  output = g_new (float, *n_out);
  if (tandem_bert_stage_takes_tokens (stage))
    ok = tandem_bert_stage_forward_tokens (stage, input, n, offsets, output, NULL, error);
  else
    ok = tandem_bert_stage_forward_rows (stage, input, n, offsets, output, NULL, error);
  return ok ? g_steal_pointer (&output) : NULL;
}

static gboolean
run (int argc, char **argv, GError **error)
{
  g_autoptr (GInputStream) in = g_unix_input_stream_new (STDIN_FILENO, FALSE);
  g_autoptr (GOutputStream) out = g_unix_output_stream_new (STDOUT_FILENO, FALSE);
  gboolean hidden = g_str_equal (argv[2], "hidden");
  guint32 n, i;
  g_autofree guint32 *offsets = NULL;
  g_autofree gpointer data = NULL;
  gsize n_out = 0;
  int arg;

  if (!read_u32 (in, &n, 1, error))
    return FALSE;
  offsets = g_new0 (guint32, (gsize) n + 1);
  if (!read_u32 (in, offsets + 1, n, error))
    return FALSE;
  for (i = 0; i < n; i++)
    offsets[i + 1] += offsets[i];
  data = g_new (guint32, offsets[n]);
  if (!read_u32 (in, data, offsets[n], error))
    return FALSE;

  for (arg = 3; arg < MAX (argc, 4); arg++) {
    float *next = run_range (argv[1], arg < argc ? argv[arg] : "0-", hidden, data, n, offsets,
                             &n_out, error);

    if (next == NULL)
      return FALSE;
    g_free (data);
    data = next;
  }
  return g_output_stream_write_all (out, data, n_out * sizeof (float), NULL, NULL, error);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;

  if (argc < 3) {
    fprintf (stderr, "usage: run-stage MODEL hidden|logits [LAYERS...]\n");
    return 2;
  }
  if (!run (argc, argv, &error)) {
    fprintf (stderr, "run-stage: %s\n", error->message);
    return 1;
  }
  return 0;
}
