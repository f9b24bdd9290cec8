/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tandem.h"

#include <math.h>
#include <string.h>

#include "base/tandem-random-private.h"

#define LENGTH 512
#define WORDS 1000

static TandemTokenizer *
make_tokenizer (gboolean with_mask)
{
  g_autoptr (GString) text = g_string_new ("[PAD]\n[UNK]\n[CLS]\n[SEP]\n");
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;
  TandemTokenizer *tokenizer;
  guint i;

  g_string_append (text, with_mask ? "[MASK]\n" : "word\n");
  for (i = 5; i < WORDS; i++)
    g_string_append_printf (text, "word%u\n", i);
  bytes = g_bytes_new (text->str, text->len);
  tokenizer = tandem_tokenizer_new (bytes, TANDEM_TOKENIZER_NONE, &error);
  g_assert_no_error (error);
  return tokenizer;
}

static void
fill (gint32 *ids, guint64 sequence)
{
  guint i;

  ids[0] = 2;
  for (i = 1; i + 1 < LENGTH; i++)
    ids[i] = 5 + (i * 7 + sequence * 13) % (WORDS - 5);
  ids[LENGTH - 1] = 3;
}

static void
test_shares (void)
{
  g_autoptr (TandemTokenizer) tokenizer = make_tokenizer (TRUE);
  guint sequence, i, n = 0, masked = 0, kept = 0, random = 0, low = 0;
  const double total = 1000.0 * (LENGTH - 2);
  gint32 ids[LENGTH], before[LENGTH], labels[LENGTH];
  TandemMasking masking;

  g_assert_true (tandem_masking_init (&masking, tokenizer, 0.15, 1, NULL));
  g_assert_cmpint (masking.mask_id, ==, 4);
  g_assert_cmpuint (masking.n_special, ==, 5);
  for (sequence = 0; sequence < 1000; sequence++) {
    guint in_sequence = 0, told;

    fill (ids, sequence);
    memcpy (before, ids, sizeof ids);
    told = tandem_masking_apply (&masking, sequence, ids, LENGTH, labels);
    g_assert_cmpint (ids[0], ==, 2);
    g_assert_cmpint (ids[LENGTH - 1], ==, 3);
    g_assert_cmpint (labels[0], ==, -1);
    g_assert_cmpint (labels[LENGTH - 1], ==, -1);
    for (i = 0; i < LENGTH; i++) {
      if (labels[i] < 0) {
        g_assert_cmpint (labels[i], ==, -1);
        g_assert_cmpint (ids[i], ==, before[i]);
        continue;
      }
      g_assert_cmpint (labels[i], ==, before[i]);
      g_assert_cmpint (ids[i], <, WORDS);
      in_sequence++;
      masked += ids[i] == 4;
      kept += ids[i] == before[i];
      if (ids[i] != 4 && ids[i] != before[i]) {
        random++;
        low += ids[i] < WORDS / 2;
      }
    }
    g_assert_cmpuint (told, ==, in_sequence);
    n += in_sequence;
  }
  /* Five standard deviations each, and what a random entry adds by chance. */
  g_assert_cmpfloat_with_epsilon (n / total, 0.15, 5 * sqrt (0.15 * 0.85 / total));
  g_assert_cmpfloat_with_epsilon ((double) masked / n, 0.8, 5 * sqrt (0.16 / n) + 2e-4);
  g_assert_cmpfloat_with_epsilon ((double) kept / n, 0.1, 5 * sqrt (0.09 / n) + 2e-4);
  g_assert_cmpfloat_with_epsilon ((double) random / n, 0.1, 5 * sqrt (0.09 / n) + 4e-4);
  g_assert_cmpfloat_with_epsilon ((double) low / random, 0.5, 5 * sqrt (0.25 / random));
}

/* By position alone: a sequence that is cut off is masked as far as it goes. */
static void
test_repeatable (void)
{
  g_autoptr (TandemTokenizer) tokenizer = make_tokenizer (TRUE);
  gint32 a[LENGTH], b[LENGTH], labels_a[LENGTH], labels_b[LENGTH];
  TandemMasking masking;

  g_assert_true (tandem_masking_init (&masking, tokenizer, 0.15, 1, NULL));
  fill (a, 0);
  fill (b, 0);
  tandem_masking_apply (&masking, 9, a, LENGTH, labels_a);
  tandem_masking_apply (&masking, 9, b, LENGTH / 2, labels_b);
  g_assert_cmpmem (a, sizeof a / 2, b, sizeof b / 2);
  g_assert_cmpmem (labels_a, sizeof a / 2, labels_b, sizeof b / 2);

  fill (b, 0);
  tandem_masking_apply (&masking, 10, b, LENGTH, labels_b);
  g_assert_cmpint (memcmp (labels_a, labels_b, sizeof a), !=, 0);
  fill (b, 0);
  masking.seed++;
  tandem_masking_apply (&masking, 9, b, LENGTH, labels_b);
  g_assert_cmpint (memcmp (labels_a, labels_b, sizeof a), !=, 0);
}

static void
test_ends (void)
{
  g_autoptr (TandemTokenizer) tokenizer = make_tokenizer (TRUE);
  g_autoptr (TandemTokenizer) without = make_tokenizer (FALSE);
  g_autoptr (GError) error = NULL;
  gint32 ids[LENGTH], labels[LENGTH];
  TandemMasking masking;

  fill (ids, 0);
  g_assert_true (tandem_masking_init (&masking, tokenizer, 0.0, 1, NULL));
  g_assert_cmpuint (tandem_masking_apply (&masking, 0, ids, LENGTH, labels), ==, 0);
  g_assert_true (tandem_masking_init (&masking, tokenizer, 1.0, 1, NULL));
  g_assert_cmpuint (tandem_masking_apply (&masking, 0, ids, LENGTH, labels), ==, LENGTH - 2);
  g_assert_cmpuint (tandem_masking_apply (&masking, 0, ids, 0, labels), ==, 0);

  g_assert_false (tandem_masking_init (&masking, without, 0.15, 1, &error));
  g_assert_error (error, TANDEM_TOKENIZER_ERROR, TANDEM_TOKENIZER_ERROR_MISSING_TOKEN);
}

static void
test_uniform (void)
{
  guint64 key = tandem_random_key (0, 0);

  /* The first numbers of SplitMix64 from state 0, as published with it. */
  g_assert_cmphex (tandem_random_bits (0, 0), ==, G_GUINT64_CONSTANT (0xe220a8397b1dcdaf));
  g_assert_cmphex (tandem_random_bits (0, 1), ==, G_GUINT64_CONSTANT (0x6e789e6aa1b965f4));
  g_assert_cmphex (tandem_random_bits (0, 2), ==, G_GUINT64_CONSTANT (0x06c45d188009454f));
  g_assert_cmphex (key, !=, tandem_random_key (0, 1));
  g_assert_cmphex (key, !=, tandem_random_key (1, 0));
  g_assert_cmphex (tandem_random_key (0, 1), !=, tandem_random_key (1, 0));
}

static void
test_normal (void)
{
  const gsize n = 1000000;
  g_autofree float *x = g_new (float, n);
  double sum = 0, squares = 0, cubes = 0, fourth = 0, along = 0;
  gsize i, beyond = 0;
  float some[3];

  tandem_random_normal (tandem_random_key (1, 2), 0.5, n, x);
  for (i = 0; i < n; i++) {
    double z = x[i] / 0.5;

    g_assert_true (isfinite (z));
    sum += z;
    squares += z * z;
    cubes += z * z * z;
    fourth += z * z * z * z;
    beyond += fabs (z) > 1.959963985;
    if (i > 0)
      along += z * x[i - 1] / 0.5;
  }
  /* Five standard deviations of each moment. */
  g_assert_cmpfloat_with_epsilon (sum / n, 0.0, 5e-3);
  g_assert_cmpfloat_with_epsilon (squares / n, 1.0, 5 * sqrt (2.0 / n));
  g_assert_cmpfloat_with_epsilon (cubes / n, 0.0, 5 * sqrt (15.0 / n));
  g_assert_cmpfloat_with_epsilon (fourth / n, 3.0, 5 * sqrt (96.0 / n));
  g_assert_cmpfloat_with_epsilon (along / n, 0.0, 5e-3);
  g_assert_cmpfloat_with_epsilon ((double) beyond / n, 0.05, 5 * sqrt (0.05 * 0.95 / n));

  /* By index alone, odd counts too, and libm's opinion of logarithm, sine and cosine. */
  tandem_random_normal (tandem_random_key (1, 2), 0.5, 3, some);
  g_assert_cmpmem (some, sizeof some, x, sizeof some);
  for (i = 0; i < 20000; i += 2) {
    guint64 key = tandem_random_key (1, 2);
    double radius = 0.5 * sqrt (-2.0 * log (1.0 - tandem_random_uniform (key, i)));
    double angle = 2 * G_PI * tandem_random_uniform (key, i + 1);

    g_assert_cmpfloat_with_epsilon (x[i], radius * cos (angle), 1.5e-7);
    g_assert_cmpfloat_with_epsilon (x[i + 1], radius * sin (angle), 1.5e-7);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/train/masking/shares", test_shares);
  g_test_add_func ("/train/masking/repeatable", test_repeatable);
  g_test_add_func ("/train/masking/ends", test_ends);
  g_test_add_func ("/train/random/uniform", test_uniform);
  g_test_add_func ("/train/random/normal", test_normal);
  return g_test_run ();
}
