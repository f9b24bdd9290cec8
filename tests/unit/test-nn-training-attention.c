/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Attention of training, with and without dropout, against a plain one in double precision and
 * its central differences. For the instruction set that TANDEM_ISA says. */

#include "nn-training-check.h"

#include "nn/tandem-reference-training.h"

typedef struct
{
  guint n_queries;
  guint length;
  guint n_heads;
  guint head_size;
  const TandemDropout *dropout;
  double *query;                /* contiguous, as the reference has them */
  double *key;
  double *value;
  double *d_out;
  double *out;
  double *d_query;
  double *d_key;
  double *d_value;
} Attention;

static void
attention_init (Attention *a, GRand *rand, guint n_queries, guint length, guint n_heads,
                guint head_size, const TandemDropout *dropout)
{
  gsize width = (gsize) n_heads * head_size;

  *a = (Attention) { n_queries, length, n_heads, head_size, dropout };
  a->query = random_doubles (rand, n_queries * width, 2.0);
  a->key = random_doubles (rand, length * width, 2.0);
  a->value = random_doubles (rand, length * width, 1.0);
  a->d_out = random_doubles (rand, n_queries * width, 1.0);
  a->out = g_new (double, n_queries * width);
  a->d_query = g_new (double, n_queries * width);
  a->d_key = g_new (double, length * width);
  a->d_value = g_new (double, length * width);
  tandem_reference_attention_forward (a->query, a->key, a->value, n_queries, length, n_heads,
                                      head_size, dropout, a->out);
  tandem_reference_attention_backward (a->query, a->key, a->value, n_queries, length, n_heads,
                                       head_size, dropout, a->d_out, a->d_query, a->d_key,
                                       a->d_value);
}

static void
attention_clear (Attention *a)
{
  g_free (a->query);
  g_free (a->key);
  g_free (a->value);
  g_free (a->d_out);
  g_free (a->out);
  g_free (a->d_query);
  g_free (a->d_key);
  g_free (a->d_value);
}

static double
attention_loss (gconstpointer data)
{
  const Attention *a = data;
  gsize n = (gsize) a->n_queries * a->n_heads * a->head_size;
  g_autofree double *out = g_new (double, n);

  tandem_reference_attention_forward (a->query, a->key, a->value, a->n_queries, a->length,
                                      a->n_heads, a->head_size, a->dropout, out);
  return weighted_sum (out, a->d_out, n);
}

/* One of the columns of rows that hold queries, keys and values. */
static void
interleave (const double *x, gsize n_rows, gsize width, float *out, gsize stride)
{
  gsize r, c;

  for (r = 0; r < n_rows; r++)
    for (c = 0; c < width; c++)
      out[r * stride + c] = (float) x[r * width + c];
}

static float *
pick (const float *x, gsize n_rows, gsize width, gsize stride)
{
  float *out = g_new (float, n_rows * width);
  gsize r;

  for (r = 0; r < n_rows; r++)
    memcpy (out + r * width, x + r * stride, width * sizeof (float));
  return out;
}

static void
check_gradients (Attention *a, const float *d_query, const float *d_key, const float *d_value)
{
  gsize n = (gsize) a->length * a->n_heads * a->head_size;
  gsize n_query = (gsize) a->n_queries * a->n_heads * a->head_size;

  /* A single key has weight 1 whatever the query: those gradients are 0 but for rounding. */
  if (a->length > 1) {
    assert_close (d_query, a->d_query, n_query, 0.0, 1e-5);
    assert_close (d_key, a->d_key, n, 0.0, 1e-5);
  }
  assert_close (d_value, a->d_value, n, 0.0, 1e-5);
  if (a->length > 1 && a->length <= 37) {
    assert_gradient ("query", attention_loss, a, a->query, n_query, d_query, 0.0);
    assert_gradient ("key", attention_loss, a, a->key, n, d_key, 0.0);
    assert_gradient ("value", attention_loss, a, a->value, n, d_value, 0.0);
  }
}

static const guint lengths[] = { 1, 2, 37, 130, 513 };
static const guint shapes[][2] = { { 2, 64 }, { 1, 7 }, { 3, 1 }, { 2, 20 } };
static const TandemDropout with_dropout = { .seed = 0x123456789abcdef0, .sequence = 7, .site = 3,
                                            .rate = 0.2f };

static void
check_attention (GRand *rand, guint length, guint n_heads, guint head_size,
                 const TandemDropout *dropout)
{
  gsize width = (gsize) n_heads * head_size, stride = 3 * width, n = length * width;
  g_autofree float *qkv = g_new (float, 3 * n), *d_qkv = nan_floats (3 * n);
  g_autofree float *out = nan_floats (n);
  gsize n_scratch = tandem_attention_train_scratch (length, n_heads, head_size);
  g_autofree float *scratch = nan_floats (n_scratch);
  g_autofree float *d_out = NULL, *d_query = NULL, *d_key = NULL, *d_value = NULL;
  g_autoptr (GError) error = NULL;
  Attention a;

  attention_init (&a, rand, length, length, n_heads, head_size, dropout);
  interleave (a.query, length, width, qkv, stride);
  interleave (a.key, length, width, qkv + width, stride);
  interleave (a.value, length, width, qkv + 2 * width, stride);
  d_out = to_floats (a.d_out, n);
  g_assert_true (tandem_attention_train_forward (qkv, qkv + width, qkv + 2 * width, stride,
                                                 length, n_heads, head_size, dropout, out,
                                                 scratch, &error));
  assert_close (out, a.out, n, 0.0, 3e-6);
  g_free (scratch);
  scratch = nan_floats (n_scratch);
  g_assert_true (tandem_attention_train_backward (qkv, qkv + width, qkv + 2 * width, stride,
                                                  length, n_heads, head_size, dropout, d_out,
                                                  d_qkv, d_qkv + width, d_qkv + 2 * width,
                                                  scratch, &error));
  g_assert_no_error (error);
  d_query = pick (d_qkv, length, width, stride);
  d_key = pick (d_qkv + width, length, width, stride);
  d_value = pick (d_qkv + 2 * width, length, width, stride);
  check_gradients (&a, d_query, d_key, d_value);
  attention_clear (&a);
}

static void
test_attention (gconstpointer dropout)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (11);
  guint i, j;

  for (i = 0; i < G_N_ELEMENTS (lengths); i++)
    for (j = 0; j < G_N_ELEMENTS (shapes); j++)
      check_attention (rand, lengths[i], shapes[j][0], shapes[j][1], dropout);
}

static void
check_first_row (GRand *rand, guint length, guint n_heads, guint head_size,
                 const TandemDropout *dropout)
{
  gsize width = (gsize) n_heads * head_size, stride = 2 * width, n = length * width;
  g_autofree float *kv = g_new (float, 2 * n), *d_kv = nan_floats (2 * n);
  g_autofree float *out = nan_floats (width), *d_query = nan_floats (width);
  g_autofree float *scratch =
      nan_floats (tandem_attention_train_scratch (length, n_heads, head_size));
  g_autofree float *query = NULL, *d_out = NULL, *d_key = NULL, *d_value = NULL;
  Attention a;

  attention_init (&a, rand, 1, length, n_heads, head_size, dropout);
  interleave (a.key, length, width, kv, stride);
  interleave (a.value, length, width, kv + width, stride);
  query = to_floats (a.query, width);
  d_out = to_floats (a.d_out, width);
  tandem_first_row_attention_train_forward (query, kv, kv + width, stride, length, n_heads,
                                            head_size, dropout, out, scratch);
  assert_close (out, a.out, width, 0.0, 3e-6);
  tandem_first_row_attention_train_backward (query, kv, kv + width, stride, length, n_heads,
                                             head_size, dropout, d_out, d_query, d_kv,
                                             d_kv + width, scratch);
  d_key = pick (d_kv, length, width, stride);
  d_value = pick (d_kv + width, length, width, stride);
  check_gradients (&a, d_query, d_key, d_value);
  attention_clear (&a);
}

static void
test_first_row (gconstpointer dropout)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (12);
  guint i, j;

  for (i = 0; i < G_N_ELEMENTS (lengths); i++)
    for (j = 0; j < G_N_ELEMENTS (shapes); j++)
      check_first_row (rand, lengths[i], shapes[j][0], shapes[j][1], dropout);
}

/* Scores of hundreds do not overflow; a NaN in one query is not hidden by the softmax. */
static void
test_extremes (void)
{
  const guint length = 70, width = 64;
  g_autoptr (GRand) rand = g_rand_new_with_seed (13);
  g_autofree double *x = random_doubles (rand, (gsize) length * width, 40.0);
  g_autofree double *expected = g_new (double, (gsize) length * width);
  g_autofree float *fx = to_floats (x, (gsize) length * width);
  g_autofree float *query = to_floats (x, (gsize) length * width);
  g_autofree float *out = g_new (float, (gsize) length * width);
  g_autofree float *scratch = g_new (float, tandem_attention_train_scratch (length, 1, width));

  tandem_reference_attention_forward (x, x, x, length, length, 1, width, NULL, expected);
  g_assert_true (tandem_attention_train_forward (fx, fx, fx, width, length, 1, width, NULL, out,
                                                 scratch, NULL));
  assert_close (out, expected, (gsize) length * width, 0.0, 1e-3);
  query[5 * width + 3] = NAN;
  g_assert_true (tandem_attention_train_forward (query, fx, fx, width, length, 1, width, NULL, out,
                                                 scratch, NULL));
  g_assert_false (isnan (out[4 * width]));
  g_assert_true (isnan (out[5 * width]));
}

int
main (int argc, char **argv)
{
  const char *isa = g_getenv ("TANDEM_ISA");

  if (isa != NULL && tandem_kernels_lookup (isa) == NULL) {
    g_print ("1..0 # SKIP this processor does not have %s\n", isa);
    return 0;
  }
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/nn/training/attention", NULL, test_attention);
  g_test_add_data_func ("/nn/training/attention/dropout", &with_dropout, test_attention);
  g_test_add_data_func ("/nn/training/first-row", NULL, test_first_row);
  g_test_add_data_func ("/nn/training/first-row/dropout", &with_dropout, test_first_row);
  g_test_add_func ("/nn/training/attention/extremes", test_extremes);
  return g_test_run ();
}
