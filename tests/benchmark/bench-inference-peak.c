/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What one core can do at most: multiplications and additions of numbers that
 * are in registers already, in independent chains that hide their latency.
 *
 *   bench-inference-peak f32|bf16
 *
 * Answers each line "go W SECONDS" on standard input with a line of JSON, as
 * bench-stage does; an operation is one multiplication or one addition. */

#include <glib.h>
#include <stdio.h>
#include <time.h>

#define N_STEPS 20000

/* Two units of four cycles need eight chains; twelve leave room among the
 * sixteen registers of AVX2 for the factors. Compilers keep variables of their
 * own in registers, where an array might stay in memory. */
#define N_CHAINS 12
#define EACH(f) f (0) f (1) f (2) f (3) f (4) f (5) f (6) f (7) f (8) f (9) f (10) f (11)

typedef struct
{
  const char *instructions;
  double operations;            /* of one run */
  float (*run) (float x);
} Peak;

#define START(i) c##i = zero + x * i;
#define STEP(i) c##i = c##i * a + b;
#define TOTAL(i) zero += c##i;

/* x is unknown to the compiler, so that nothing can be computed in advance. */
#define DEFINE_FMA(name, lanes, attribute)                                        \
  attribute static float                                                          \
  run_##name (float x)                                                            \
  {                                                                               \
    typedef float Vector __attribute__ ((vector_size (lanes * 4)));               \
    Vector zero = { 0 }, a = zero + x, b = zero + x * 1e-9f;                      \
    Vector c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11;                      \
                                                                                  \
    EACH (START)                                                                  \
    for (int step = 0; step < N_STEPS; step++) {                                  \
      EACH (STEP)                                                                 \
    }                                                                             \
    EACH (TOTAL)                                                                  \
    return zero[0];                                                               \
  }

#ifdef __x86_64__
#include <immintrin.h>

DEFINE_FMA (avx512, 16, __attribute__ ((target ("avx512f,fma"), noinline)))
DEFINE_FMA (avx2, 8, __attribute__ ((target ("avx2,fma"), noinline)))

#define STEP_BF16(i) c##i = _mm512_dpbf16_ps (c##i, a, b);

__attribute__ ((target ("avx512f,avx512bf16"), noinline))
static float
run_bf16 (float x)
{
  __m512 zero = _mm512_setzero_ps ();
  __m512bh a = _mm512_cvtne2ps_pbh (_mm512_set1_ps (x), _mm512_set1_ps (x));
  __m512bh b = _mm512_cvtne2ps_pbh (_mm512_set1_ps (1e-9f), _mm512_set1_ps (1e-9f));
  __m512 c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11;

  EACH (START)
  for (int step = 0; step < N_STEPS; step++) {
    EACH (STEP_BF16)
  }
  EACH (TOTAL)
  return zero[0];
}
#else
DEFINE_FMA (generic, 4, __attribute__ ((noinline)))
#endif

static gboolean
find_peak (const char *precision, Peak *peak)
{
#ifdef __x86_64__
  __builtin_cpu_init ();
  if (g_str_equal (precision, "bf16") && __builtin_cpu_supports ("avx512bf16"))
    *peak = (Peak) { "vdpbf16ps, 512 bits", 64.0 * N_CHAINS * N_STEPS, run_bf16 };
  else if (g_str_equal (precision, "f32") && __builtin_cpu_supports ("avx512f"))
    *peak = (Peak) { "FMA, 512 bits", 32.0 * N_CHAINS * N_STEPS, run_avx512 };
  else if (g_str_equal (precision, "f32") && __builtin_cpu_supports ("avx2") &&
           __builtin_cpu_supports ("fma"))
    *peak = (Peak) { "FMA, 256 bits", 16.0 * N_CHAINS * N_STEPS, run_avx2 };
  else
    return FALSE;
  return TRUE;
#else
  *peak = (Peak) { "vectors of 128 bits", 8.0 * N_CHAINS * N_STEPS, run_generic };
  return g_str_equal (precision, "f32");
#endif
}

static double
cpu_seconds (void)
{
  struct timespec now;

  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &now);
  return now.tv_sec + now.tv_nsec * 1e-9;
}

int
main (int argc, char **argv)
{
  volatile float sink = 0.999f;
  double seconds;
  char line[256];
  Peak peak;

  if (argc != 2) {
    fprintf (stderr, "usage: bench-inference-peak f32|bf16\n");
    return 2;
  }
  if (!find_peak (argv[1], &peak)) {
    fprintf (stderr, "bench-inference-peak: this processor has no instructions for %s\n",
             argv[1]);
    return 1;
  }
  while (fgets (line, sizeof line, stdin) != NULL) {
    gint64 start = g_get_monotonic_time (), now;
    double cpu_start = cpu_seconds (), operations = 0;

    if (sscanf (line, "go %*u %lf", &seconds) != 1) {
      fprintf (stderr, "bench-inference-peak: not a command: %s", line);
      return 1;
    }
    do {
      sink = 0.999f + sink * 1e-30f;
      sink = peak.run (sink);
      operations += peak.operations;
      now = g_get_monotonic_time ();
    } while (now - start < seconds * G_USEC_PER_SEC);
    printf ("{\"operations\": %.0f, \"seconds\": %.6f, \"cpu_seconds\": %.6f, "
            "\"instructions\": \"%s\"}\n", operations, (now - start) / (double) G_USEC_PER_SEC,
            cpu_seconds () - cpu_start, peak.instructions);
    fflush (stdout);
  }
  return 0;
}
