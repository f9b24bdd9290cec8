/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* CRC32C: the Castagnoli polynomial (G. Castagnoli, S. Braeuer, M. Herrmann, "Optimization of
 * cyclic redundancy-check codes with 24 and 32 parity bits", IEEE Trans. Comm. 41(6), 1993),
 * reflected, start and end inverted: that of iSCSI, for which processors have an instruction.
 *
 * The instruction has a latency of three cycles and a throughput of one, so the fast path runs
 * three blocks at once and joins them: the register after block B from state s is
 * zeros(s) ^ register(0, B), where zeros() runs as many zero bytes as B is long and is linear. */

#include "config.h"

#include "tandem-crc32c.h"

#include <string.h>

#if defined (__x86_64__) && defined (__GNUC__)
#include <nmmintrin.h>
#define HAVE_FAST 1
#define FAST_TARGET __attribute__ ((target ("sse4.2")))
#define CRC_BYTE(crc, v) _mm_crc32_u8 ((guint32) (crc), (v))
#define CRC_WORD(crc, v) _mm_crc32_u64 ((crc), (v))
#elif defined (__aarch64__) && defined (__linux__) && defined (__GNUC__)
#include <sys/auxv.h>
#define HAVE_FAST 1
#ifdef __clang__
#define FAST_TARGET __attribute__ ((target ("crc")))
#else
#define FAST_TARGET __attribute__ ((target ("+crc")))
#endif
#include <arm_acle.h>
#define CRC_BYTE(crc, v) __crc32cb ((guint32) (crc), (v))
#define CRC_WORD(crc, v) __crc32cd ((guint32) (crc), (v))
#define HWCAP_BIT_CRC32 (1 << 7)
#else
#define HAVE_FAST 0
#endif

#define POLYNOMIAL 0x82f63b78u
#define BLOCK 1024

typedef guint32 (*CrcFunc) (guint32 state, const guint8 *data, gsize size);

static guint32 slice_table[8][256];
static CrcFunc update;

static void
make_slice_table (void)
{
  guint i, k;

  for (i = 0; i < 256; i++) {
    guint32 crc = i;

    for (k = 0; k < 8; k++)
      crc = (crc >> 1) ^ ((crc & 1) != 0 ? POLYNOMIAL : 0);
    slice_table[0][i] = crc;
  }
  for (k = 1; k < 8; k++) {
    for (i = 0; i < 256; i++)
      slice_table[k][i] =
          (slice_table[k - 1][i] >> 8) ^ slice_table[0][slice_table[k - 1][i] & 0xff];
  }
}

static guint32
update_slice_by_8 (guint32 crc, const guint8 *p, gsize size)
{
  for (; size >= 8; size -= 8, p += 8) {
    guint32 low = crc ^ ((guint32) p[0] | (guint32) p[1] << 8 | (guint32) p[2] << 16 |
                         (guint32) p[3] << 24);

    crc = slice_table[7][low & 0xff] ^ slice_table[6][(low >> 8) & 0xff] ^
        slice_table[5][(low >> 16) & 0xff] ^ slice_table[4][low >> 24] ^
        slice_table[3][p[4]] ^ slice_table[2][p[5]] ^ slice_table[1][p[6]] ^ slice_table[0][p[7]];
  }
  for (; size > 0; size--, p++)
    crc = (crc >> 8) ^ slice_table[0][(crc ^ *p) & 0xff];
  return crc;
}

#if HAVE_FAST
/* What BLOCK zero bytes make of each byte of the register. */
static guint32 zeros_table[4][256];

FAST_TARGET static guint32
update_words (guint64 crc, const guint8 *p, gsize size)
{
  guint64 word;

  for (; size >= 8; size -= 8, p += 8) {
    memcpy (&word, p, 8);
    crc = CRC_WORD (crc, word);
  }
  for (; size > 0; size--, p++)
    crc = CRC_BYTE (crc, *p);
  return (guint32) crc;
}

static guint32
run_zeros (guint32 crc)
{
  return zeros_table[0][crc & 0xff] ^ zeros_table[1][(crc >> 8) & 0xff] ^
      zeros_table[2][(crc >> 16) & 0xff] ^ zeros_table[3][crc >> 24];
}

FAST_TARGET static guint32
update_three_blocks (guint32 crc, const guint8 *p, gsize size)
{
  for (; size >= 3 * BLOCK; size -= 3 * BLOCK, p += 3 * BLOCK) {
    guint64 a = crc, b = 0, c = 0, word;
    gsize i;

    for (i = 0; i < BLOCK; i += 8) {
      memcpy (&word, p + i, 8);
      a = CRC_WORD (a, word);
      memcpy (&word, p + BLOCK + i, 8);
      b = CRC_WORD (b, word);
      memcpy (&word, p + 2 * BLOCK + i, 8);
      c = CRC_WORD (c, word);
    }
    crc = run_zeros (run_zeros ((guint32) a) ^ (guint32) b) ^ (guint32) c;
  }
  return update_words (crc, p, size);
}

static void
make_zeros_table (void)
{
  static const guint8 zeros[BLOCK];
  guint i, k, bit;

  for (k = 0; k < 4; k++) {
    for (bit = 0; bit < 8; bit++)
      zeros_table[k][1u << bit] = update_words (1u << (8 * k + bit), zeros, BLOCK);
    for (i = 1; i < 256; i++) {
      guint lowest = i & -i;

      zeros_table[k][i] = zeros_table[k][lowest] ^ zeros_table[k][i ^ lowest];
    }
  }
}

static gboolean
have_instruction (void)
{
#ifdef __x86_64__
  return __builtin_cpu_supports ("sse4.2");
#else
  return (getauxval (AT_HWCAP) & HWCAP_BIT_CRC32) != 0;
#endif
}
#endif

static void
init_once (void)
{
  static gsize once = 0;

  if (!g_once_init_enter (&once))
    return;
  make_slice_table ();
  update = update_slice_by_8;
#if HAVE_FAST
  if (have_instruction ()) {
    make_zeros_table ();
    update = update_three_blocks;
  }
#endif
  g_once_init_leave (&once, 1);
}

/**
 * tandem_crc32c:
 * @crc: 0, or what an earlier call returned for the bytes before these
 * @data: (array length=size) (element-type guint8): bytes
 * @size: how many
 *
 * Returns: the CRC32C of all bytes so far
 */
guint32
tandem_crc32c (guint32 crc, gconstpointer data, gsize size)
{
  init_once ();
  return ~update (~crc, data, size);
}

/**
 * tandem_crc32c_reference:
 * @crc: 0, or what an earlier call returned for the bytes before these
 * @data: (array length=size) (element-type guint8): bytes
 * @size: how many
 *
 * The same as tandem_crc32c(), by table and without special instructions: what
 * the fast path is compared with.
 *
 * Returns: the CRC32C of all bytes so far
 */
guint32
tandem_crc32c_reference (guint32 crc, gconstpointer data, gsize size)
{
  init_once ();
  return ~update_slice_by_8 (~crc, data, size);
}
