/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Stages of quantized models: against the same arithmetic in double precision, and to the bit
 * against themselves, split, alone and on several threads. */

#include "tandem.h"

#include <math.h>
#include <string.h>

#include "tandem-test-model.h"

#define N_SEQUENCES 9

typedef struct
{
  gboolean albert;
  TandemQuantizeFormat format;
} Case;

static const Case cases[] = {
  { FALSE, TANDEM_QUANTIZE_INT8 }, { FALSE, TANDEM_QUANTIZE_INT8_WEIGHTS },
  { TRUE, TANDEM_QUANTIZE_INT8 },
};

typedef struct
{
  char *folder;
  TandemModel *model;
  guint32 offsets[N_SEQUENCES + 1];
  gint32 *ids;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  const Case *test = data;
  TandemTestModel spec = TANDEM_TEST_MODEL_INIT;
  g_autoptr (GRand) rand = g_rand_new_with_seed (3);
  g_autofree char *source = NULL;
  g_autofree char *out = NULL;
  g_autoptr (TandemModel) model = NULL;
  g_autoptr (GError) error = NULL;
  guint i;

  spec.n_layers = 3;
  spec.hidden_size = 48;
  spec.intermediate_size = 70;
  spec.albert = test->albert;
  spec.embedding_size = 20;
  spec.n_groups = 1;
  fixture->folder = tandem_test_make_folder ();
  source = g_build_filename (fixture->folder, "source", NULL);
  out = g_build_filename (fixture->folder, "out", NULL);
  tandem_test_model_write (&spec, source);
  model = tandem_model_open (source, NULL, &error);
  g_assert_no_error (error);
  tandem_quantize_model (model, test->format, NULL, out, TANDEM_MODEL_EXPORT_NONE, NULL, &error);
  g_assert_no_error (error);
  fixture->model = tandem_model_open (out, NULL, &error);
  g_assert_no_error (error);

  for (i = 0; i < N_SEQUENCES; i++)
    fixture->offsets[i + 1] = fixture->offsets[i] + g_rand_int_range (rand, 1, spec.max_positions);
  fixture->ids = g_new (gint32, fixture->offsets[N_SEQUENCES]);
  for (i = 0; i < fixture->offsets[N_SEQUENCES]; i++)
    fixture->ids[i] = g_rand_int_range (rand, 0, spec.vocab_size);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_object_unref (fixture->model);
  g_free (fixture->ids);
  tandem_test_remove_folder (fixture->folder);
}

static TandemBertStage *
open_stage (TandemModel *model, guint first, guint last, guint n_threads)
{
  g_autoptr (GError) error = NULL;
  TandemBertStage *stage = tandem_bert_stage_new (model, first, last, TANDEM_PRECISION_F32,
                                                  n_threads, TANDEM_BERT_STAGE_NONE, &error);

  g_assert_no_error (error);
  return stage;
}

/* Logits [n, 2] of the whole model. */
static float *
run_whole (Fixture *fixture, guint n_threads)
{
  g_autoptr (TandemBertStage) stage = open_stage (fixture->model, 0, 2, n_threads);
  float *logits = g_new (float, 2 * N_SEQUENCES);

  g_assert_true (tandem_bert_stage_runs_int8 (stage) ==
                 (tandem_int8_is_used () &&
                  tandem_model_get_quantization (fixture->model) == TANDEM_QUANTIZATION_INT8));
  g_assert_true (tandem_bert_stage_forward_tokens (stage, fixture->ids, N_SEQUENCES,
                                                   fixture->offsets, logits, NULL, NULL));
  return logits;
}

static TandemModel *
cut (Fixture *fixture, guint first, guint last)
{
  g_autofree char *name = g_strdup_printf ("%u-%u.safetensors", first, last);
  g_autofree char *path = g_build_filename (fixture->folder, name, NULL);
  g_autoptr (GError) error = NULL;
  TandemModel *model;

  tandem_model_write_stage (fixture->model, first, last, path, NULL, &error);
  g_assert_no_error (error);
  model = tandem_model_open (path, NULL, &error);
  g_assert_no_error (error);
  return model;
}

static void
test_split (Fixture *fixture, gconstpointer data)
{
  g_autofree float *expected = run_whole (fixture, 1);
  guint n_rows = fixture->offsets[N_SEQUENCES], boundary;

  for (boundary = 0; boundary < 2; boundary++) {
    g_autoptr (TandemModel) left = cut (fixture, 0, boundary);
    g_autoptr (TandemModel) right = cut (fixture, boundary + 1, 2);
    g_autoptr (TandemBertStage) first = open_stage (left, 0, boundary, 1);
    g_autoptr (TandemBertStage) second = open_stage (right, boundary + 1, 2, 1);
    g_autofree float *rows = g_new (float, (gsize) n_rows * 48);
    float logits[2 * N_SEQUENCES];

    g_assert_true (tandem_bert_stage_forward_tokens (first, fixture->ids, N_SEQUENCES,
                                                     fixture->offsets, rows, NULL, NULL));
    g_assert_true (tandem_bert_stage_forward_rows (second, rows, N_SEQUENCES, fixture->offsets,
                                                   logits, NULL, NULL));
    g_assert_cmpmem (logits, sizeof logits, expected, sizeof logits);
  }
}

static void
test_alone (Fixture *fixture, gconstpointer data)
{
  g_autofree float *expected = run_whole (fixture, 1);
  g_autofree float *threaded = run_whole (fixture, 2);
  g_autoptr (TandemBertStage) stage = open_stage (fixture->model, 0, 2, 1);
  guint i;

  g_assert_cmpmem (threaded, 2 * N_SEQUENCES * sizeof (float), expected,
                   2 * N_SEQUENCES * sizeof (float));
  for (i = 0; i < N_SEQUENCES; i++) {
    guint32 offsets[] = { 0, fixture->offsets[i + 1] - fixture->offsets[i] };
    float logits[2];

    g_assert_true (tandem_bert_stage_forward_tokens (stage, fixture->ids + fixture->offsets[i], 1,
                                                     offsets, logits, NULL, NULL));
    g_assert_cmpmem (logits, sizeof logits, expected + 2 * i, sizeof logits);
  }
}

/* The model in double precision; rows are rounded where the stage rounds them. */
typedef struct
{
  TandemModel *model;
  gboolean rounds;
} Reference;

static double *
load (const Reference *self, const char *prefix, const char *part)
{
  g_autofree char *name = g_strconcat (prefix, part, NULL);
  g_autofree char *scale_name = g_strconcat (name, ".scale", NULL);
  g_autoptr (TandemTensor) tensor = tandem_model_get_tensor (self->model, name, NULL);
  g_autoptr (TandemTensor) scales = tandem_model_get_tensor (self->model, scale_name, NULL);
  guint64 n, i;
  double *out;

  g_assert_nonnull (tensor);
  n = tandem_tensor_get_n_elements (tensor);
  out = g_new (double, n);
  for (i = 0; i < n; i++) {
    float value, scale = 1.0f;

    tandem_tensor_copy_f32 (tensor, i, 1, &value);
    if (scales != NULL)
      tandem_tensor_copy_f32 (scales, i / tandem_tensor_get_dim (tensor, 1), 1, &scale);
    out[i] = (double) value * scale;
  }
  return out;
}

static void
linear (const Reference *self, const char *prefix, const char *part, gboolean rounds,
        const double *x, guint n, guint n_in, guint n_out, double *out)
{
  g_autofree char *weight_name = g_strconcat (part, ".weight", NULL);
  g_autofree char *bias_name = g_strconcat (part, ".bias", NULL);
  g_autofree double *weight = load (self, prefix, weight_name);
  g_autofree double *bias = load (self, prefix, bias_name);
  guint r, i, j;

  for (r = 0; r < n; r++) {
    double step = 0.0;

    for (i = 0; i < n_in; i++)
      step = MAX (step, fabs (x[r * n_in + i]) / 127);
    for (j = 0; j < n_out; j++) {
      out[r * n_out + j] = bias[j];
      for (i = 0; i < n_in; i++) {
        double value = x[r * n_in + i];

        if (rounds && self->rounds)
          value = rint (value / step) * step;
        out[r * n_out + j] += value * weight[j * n_in + i];
      }
    }
  }
}

static void
normalise (const Reference *self, const char *prefix, const char *part, double *x,
           const double *residual, guint n, guint width)
{
  g_autofree char *gamma_name = g_strconcat (part, ".weight", NULL);
  g_autofree char *beta_name = g_strconcat (part, ".bias", NULL);
  g_autofree double *gamma = load (self, prefix, gamma_name);
  g_autofree double *beta = load (self, prefix, beta_name);
  guint r, i;

  for (r = 0; r < n; r++, x += width) {
    double mean = 0.0, variance = 0.0;

    for (i = 0; i < width; i++) {
      x[i] += residual != NULL ? residual[r * width + i] : 0.0;
      mean += x[i] / width;
    }
    for (i = 0; i < width; i++)
      variance += (x[i] - mean) * (x[i] - mean) / width;
    for (i = 0; i < width; i++)
      x[i] = (x[i] - mean) / sqrt (variance + 1e-12) * gamma[i] + beta[i];
  }
}

/* Of query rows [n_queries, 48]; two heads. */
static void
attend (const double *query, guint n_queries, const double *key, const double *value, guint n,
        double *out)
{
  guint head, q, k, i;

  for (head = 0; head < 2; head++)
    for (q = 0; q < n_queries; q++) {
      g_autofree double *p = g_new0 (double, n);
      double *to = out + q * 48 + head * 24, total = 0.0;

      for (k = 0; k < n; k++) {
        for (i = 0; i < 24; i++)
          p[k] += query[q * 48 + head * 24 + i] * key[k * 48 + head * 24 + i] / sqrt (24);
        p[k] = exp (p[k]);
        total += p[k];
      }
      memset (to, 0, 24 * sizeof *to);
      for (k = 0; k < n; k++)
        for (i = 0; i < 24; i++)
          to[i] += p[k] / total * value[k * 48 + head * 24 + i];
    }
}

/* x: [n, 48], in place; of the last layer the first row alone counts, and its keys and values come
 * of rows that are not rounded. */
static void
run_layer (const Reference *self, guint index, gboolean last, double *x, guint n)
{
  g_autofree char *prefix = g_strdup_printf ("encoder.layer.%u.", index);
  guint rows = last ? 1 : n, i;
  g_autofree double *query = g_new (double, n * 48);
  g_autofree double *key = g_new (double, n * 48);
  g_autofree double *value = g_new (double, n * 48);
  g_autofree double *context = g_new (double, n * 48);
  g_autofree double *wide = g_new (double, n * 70);

  linear (self, prefix, "attention.self.query", TRUE, x, rows, 48, 48, query);
  linear (self, prefix, "attention.self.key", !last, x, n, 48, 48, key);
  linear (self, prefix, "attention.self.value", !last, x, n, 48, 48, value);
  attend (query, rows, key, value, n, context);
  linear (self, prefix, "attention.output.dense", TRUE, context, rows, 48, 48, query);
  normalise (self, prefix, "attention.output.LayerNorm", query, x, rows, 48);
  linear (self, prefix, "intermediate.dense", TRUE, query, rows, 48, 70, wide);
  for (i = 0; i < rows * 70; i++)
    wide[i] *= 0.5 * (1.0 + erf (wide[i] / sqrt (2.0)));
  linear (self, prefix, "output.dense", TRUE, wide, rows, 70, 48, x);
  normalise (self, prefix, "output.LayerNorm", x, query, rows, 48);
}

static void
run_reference (const Reference *self, const gint32 *ids, guint n, double *logits)
{
  g_autofree double *words = load (self, "", "embeddings.word_embeddings.weight");
  g_autofree double *positions = load (self, "", "embeddings.position_embeddings.weight");
  g_autofree double *types = load (self, "", "embeddings.token_type_embeddings.weight");
  g_autofree double *x = g_new (double, n * 48);
  double pooled[48];
  guint r, i;

  for (r = 0; r < n; r++)
    for (i = 0; i < 48; i++)
      x[r * 48 + i] = words[ids[r] * 48 + i] + positions[r * 48 + i] + types[i];
  normalise (self, "", "embeddings.LayerNorm", x, NULL, n, 48);
  for (i = 0; i < 3; i++)
    run_layer (self, i, i == 2, x, n);
  linear (self, "", "pooler.dense", TRUE, x, 1, 48, 48, pooled);
  for (i = 0; i < 48; i++)
    pooled[i] = tanh (pooled[i]);
  linear (self, "", "classifier", FALSE, pooled, 1, 48, 2, logits);
}

/* Mean square of the difference, over that of the reference. */
static double
compare (Fixture *fixture, const float *logits, gboolean rounds)
{
  Reference reference = { fixture->model, rounds };
  double error = 0.0, power = 0.0;
  guint i, c;

  for (i = 0; i < N_SEQUENCES; i++) {
    double expected[2];

    run_reference (&reference, fixture->ids + fixture->offsets[i],
                   fixture->offsets[i + 1] - fixture->offsets[i], expected);
    for (c = 0; c < 2; c++) {
      error += pow (logits[2 * i + c] - expected[c], 2);
      power += expected[c] * expected[c];
    }
  }
  return error / power;
}

/* A number between two steps may fall on the other side in float32: that is why the bound is far
 * above float32's own error, and still far below what rounding costs. */
static void
test_reference (Fixture *fixture, gconstpointer data)
{
  const Case *test = data;
  g_autofree float *logits = run_whole (fixture, 1);
  gboolean rounds = test->format == TANDEM_QUANTIZE_INT8 && tandem_int8_is_used ();
  double same = compare (fixture, logits, rounds), other = compare (fixture, logits, !rounds);

  g_test_message ("nmse %g, of the other arithmetic %g", same, other);
  g_assert_cmpfloat (same, <, rounds ? 1e-5 : 1e-9);
  g_assert_cmpfloat (other, >, 4 * same);
}

int
main (int argc, char **argv)
{
  guint i;

  g_test_init (&argc, &argv, NULL);
  for (i = 0; i < G_N_ELEMENTS (cases); i++) {
    const char *name = cases[i].albert ? "albert"
        : cases[i].format == TANDEM_QUANTIZE_INT8 ? "int8" : "weights";
    g_autofree char *split = g_strdup_printf ("/quantize/stage/%s/split", name);
    g_autofree char *alone = g_strdup_printf ("/quantize/stage/%s/alone", name);
    g_autofree char *reference = g_strdup_printf ("/quantize/stage/%s/reference", name);

    g_test_add (split, Fixture, &cases[i], set_up, test_split, tear_down);
    g_test_add (alone, Fixture, &cases[i], set_up, test_alone, tear_down);
    if (!cases[i].albert)
      g_test_add (reference, Fixture, &cases[i], set_up, test_reference, tear_down);
  }
  return g_test_run ();
}
