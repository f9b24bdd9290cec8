/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Each operation of training by itself, on one thread, at the shapes of a small encoder: width
 * 128, two heads, reviews of 230 tokens, 32 of them in a batch. The best of several runs. */

#include <glib.h>
#include <math.h>
#include <time.h>

#include "nn/tandem-training.h"

#define LENGTH 230
#define N_REVIEWS 32
#define ROWS (LENGTH * N_REVIEWS)
#define WIDTH 128
#define HIDDEN 512
#define HEADS 2
#define HEAD (WIDTH / HEADS)
#define N_WEIGHTS 4400000
#define RUNS 15

static const TandemDropout dropout = { .seed = 1, .sequence = 2, .site = 3, .rate = 0.1f };

typedef struct
{
  float *x;                     /* [ROWS, 3 WIDTH], or [ROWS, HIDDEN] */
  float *y;
  float *z;
  float *d;
  float *weight;                /* [N_WEIGHTS] */
  float *gradient;
  float *m;
  float *v;
  float *scratch;
} Data;

static double
now (void)
{
  struct timespec t;

  clock_gettime (CLOCK_MONOTONIC, &t);
  return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

static void
linear_forward (Data *d)
{
  g_assert_true (tandem_linear_train_forward (d->x, ROWS, d->weight, d->v, WIDTH, HIDDEN, d->y,
                                              NULL));
}

static void
linear_backward (Data *d)
{
  g_assert_true (tandem_linear_train_backward (d->x, ROWS, d->weight, WIDTH, HIDDEN, d->y, d->z,
                                               FALSE, d->gradient, d->m, NULL));
}

static void
linear_back_forward (Data *d)
{
  g_assert_true (tandem_linear_train_forward (d->x, ROWS, d->weight, d->v, HIDDEN, WIDTH, d->y,
                                              NULL));
}

static void
linear_back_backward (Data *d)
{
  g_assert_true (tandem_linear_train_backward (d->x, ROWS, d->weight, HIDDEN, WIDTH, d->y, d->z,
                                               FALSE, d->gradient, d->m, NULL));
}

static void
attention_forward_with (Data *d, const TandemDropout *with)
{
  guint i;

  for (i = 0; i < N_REVIEWS; i++) {
    float *row = d->x + (gsize) i * LENGTH * 3 * WIDTH;

    g_assert_true (tandem_attention_train_forward (row, row + WIDTH, row + 2 * WIDTH, 3 * WIDTH,
                                                   LENGTH, HEADS, HEAD, with, d->y, d->scratch,
                                                   NULL));
  }
}

static void
attention_backward_with (Data *d, const TandemDropout *with)
{
  guint i;

  for (i = 0; i < N_REVIEWS; i++) {
    float *row = d->x + (gsize) i * LENGTH * 3 * WIDTH;
    float *d_row = d->z + (gsize) i * LENGTH * 3 * WIDTH;

    g_assert_true (tandem_attention_train_backward (row, row + WIDTH, row + 2 * WIDTH, 3 * WIDTH,
                                                    LENGTH, HEADS, HEAD, with, d->y, d_row,
                                                    d_row + WIDTH, d_row + 2 * WIDTH, d->scratch,
                                                    NULL));
  }
}

static void
attention_forward (Data *d)
{
  attention_forward_with (d, NULL);
}

static void
attention_backward (Data *d)
{
  attention_backward_with (d, NULL);
}

static void
attention_forward_dropout (Data *d)
{
  attention_forward_with (d, &dropout);
}

static void
attention_backward_dropout (Data *d)
{
  attention_backward_with (d, &dropout);
}

static void
gelu_forward (Data *d)
{
  tandem_nonlinearity_forward (TANDEM_NONLINEARITY_GELU_ERF, d->x, (gsize) ROWS * HIDDEN, d->y);
}

static void
gelu_backward (Data *d)
{
  tandem_nonlinearity_backward (TANDEM_NONLINEARITY_GELU_ERF, d->x, d->y, (gsize) ROWS * HIDDEN,
                                d->z);
}

static void
gelu_tanh_backward (Data *d)
{
  tandem_nonlinearity_backward (TANDEM_NONLINEARITY_GELU_TANH, d->x, d->y, (gsize) ROWS * HIDDEN,
                                d->z);
}

static void
drop (Data *d)
{
  tandem_dropout (&dropout, 0, 0, ROWS, WIDTH, d->z);
}

static void
norm_forward (Data *d)
{
  tandem_layer_norm_train_forward (d->x, ROWS, WIDTH, d->weight, d->v, 1e-5f, d->y, d->scratch,
                                   d->z);
}

static void
norm_backward (Data *d)
{
  tandem_layer_norm_train_backward (d->z, d->y, d->scratch, ROWS, WIDTH, d->weight, d->d,
                                    d->gradient, d->m);
}

static void
adamw (Data *d)
{
  TandemAdamWStep step = { 1e-6f, 0.9f, 0.999f, 1e-8f, 0.01f, 1.0f, 5 };

  tandem_adamw (&step, N_WEIGHTS, d->gradient, d->m, d->v, d->weight);
}

static void
squares (Data *d)
{
  g_assert_cmpfloat (tandem_add_squares (d->gradient, N_WEIGHTS, 0.0), >=, 0.0);
}

static float *
fill (GRand *rand, gsize n)
{
  float *x = g_new (float, n);
  gsize i;

  for (i = 0; i < n; i++)
    x[i] = (float) g_rand_double_range (rand, -0.1, 0.1);
  return x;
}

/* Seconds of the fastest run. */
static double
measure (void (*run) (Data *), Data *data)
{
  double best = INFINITY;
  guint i;

  for (i = 0; i < RUNS; i++) {
    double begin = now ();

    run (data);
    best = fmin (best, now () - begin);
  }
  return best;
}

#define N_SCORES ((double) N_REVIEWS * HEADS * LENGTH * LENGTH)

int
main (int argc, char **argv)
{
  const struct
  {
    const char *name;
    void (*run) (Data *);
    double n;                   /* operations, or elements */
    gboolean products;
  } operations[] = {
    { "linear 128 to 512, forward", linear_forward, 2.0 * ROWS * WIDTH * HIDDEN, TRUE },
    { "linear 128 to 512, backward", linear_backward, 4.0 * ROWS * WIDTH * HIDDEN, TRUE },
    { "linear 512 to 128, forward", linear_back_forward, 2.0 * ROWS * WIDTH * HIDDEN, TRUE },
    { "linear 512 to 128, backward", linear_back_backward, 4.0 * ROWS * WIDTH * HIDDEN, TRUE },
    { "attention, forward", attention_forward, 4.0 * N_SCORES * HEAD, TRUE },
    { "attention, backward", attention_backward, 10.0 * N_SCORES * HEAD, TRUE },
    { "attention with dropout, forward", attention_forward_dropout, 4.0 * N_SCORES * HEAD, TRUE },
    { "attention with dropout, backward", attention_backward_dropout, 10.0 * N_SCORES * HEAD,
      TRUE },
    { "gelu, forward", gelu_forward, (double) ROWS * HIDDEN, FALSE },
    { "gelu, backward", gelu_backward, (double) ROWS * HIDDEN, FALSE },
    { "gelu by tanh, backward", gelu_tanh_backward, (double) ROWS * HIDDEN, FALSE },
    { "dropout", drop, (double) ROWS * WIDTH, FALSE },
    { "layer norm, forward", norm_forward, (double) ROWS * WIDTH, FALSE },
    { "layer norm, backward", norm_backward, (double) ROWS * WIDTH, FALSE },
    { "AdamW", adamw, N_WEIGHTS, FALSE },
    { "sum of squares", squares, N_WEIGHTS, FALSE },
  };
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);
  gsize n = (gsize) ROWS * HIDDEN;
  Data data = { fill (rand, n), fill (rand, n), fill (rand, n), fill (rand, n),
                fill (rand, N_WEIGHTS), fill (rand, N_WEIGHTS), fill (rand, N_WEIGHTS),
                fill (rand, N_WEIGHTS), NULL };
  guint i;

  for (gsize j = 0; j < N_WEIGHTS; j++)
    data.v[j] = fabsf (data.v[j]);
  data.scratch = g_new0 (float, MAX (tandem_attention_train_scratch (LENGTH, HEADS, HEAD), ROWS));
  g_print ("instruction set: %s\n", tandem_kernels_get ()->name);
  for (i = 0; i < G_N_ELEMENTS (operations); i++) {
    double s = measure (operations[i].run, &data);

    if (operations[i].products)
      g_print ("%-34s %8.3f ms %8.1f GFLOP/s\n", operations[i].name, s * 1e3,
               operations[i].n / s * 1e-9);
    else
      g_print ("%-34s %8.3f ms %8.3f ns an element\n", operations[i].name, s * 1e3,
               s / operations[i].n * 1e9);
  }
  g_free (data.x);
  g_free (data.y);
  g_free (data.z);
  g_free (data.d);
  g_free (data.weight);
  g_free (data.gradient);
  g_free (data.m);
  g_free (data.v);
  g_free (data.scratch);
  return 0;
}
