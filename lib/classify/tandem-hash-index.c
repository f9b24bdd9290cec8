/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-hash-index.h"

#include <string.h>

#define FIRST_SLOTS 1024

static void
allocate (TandemHashIndex *self, gsize n_slots)
{
  self->n_slots = n_slots;
  self->keys = g_new (guint64, n_slots);
  self->numbers = g_new (guint32, n_slots);
  memset (self->numbers, 0xff, n_slots * sizeof *self->numbers);
}

TandemHashIndex *
tandem_hash_index_new (void)
{
  TandemHashIndex *self = g_new0 (TandemHashIndex, 1);

  self->secret = (guint64) g_random_int () << 32 | g_random_int ();
  allocate (self, FIRST_SLOTS);
  return self;
}

void
tandem_hash_index_free (TandemHashIndex *self)
{
  g_free (self->keys);
  g_free (self->numbers);
  g_free (self);
}

/* Linear probing. What files hold may have been made to meet in one slot, so which slot that is
 * nobody can know: the finaliser of splitmix64 (Steele, Lea and Flood 2014) over the hash and a
 * secret. Numbers do not depend on it. */
static gsize
find_slot (const TandemHashIndex *self, guint64 hash)
{
  gsize mask = self->n_slots - 1;
  guint64 x = hash ^ self->secret;
  gsize slot;

  x = (x ^ (x >> 30)) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  slot = (x ^ (x >> 31)) & mask;

  while (self->numbers[slot] != TANDEM_HASH_INDEX_NONE && self->keys[slot] != hash)
    slot = (slot + 1) & mask;
  return slot;
}

static void
grow (TandemHashIndex *self)
{
  g_autofree guint64 *keys = self->keys;
  g_autofree guint32 *numbers = self->numbers;
  gsize n_slots = self->n_slots, i, slot;

  allocate (self, 2 * n_slots);
  for (i = 0; i < n_slots; i++) {
    if (numbers[i] == TANDEM_HASH_INDEX_NONE)
      continue;
    slot = find_slot (self, keys[i]);
    self->keys[slot] = keys[i];
    self->numbers[slot] = numbers[i];
  }
}

guint32
tandem_hash_index_add (TandemHashIndex *self, guint64 hash)
{
  gsize slot = find_slot (self, hash);

  if (self->numbers[slot] != TANDEM_HASH_INDEX_NONE)
    return self->numbers[slot];
  if (2 * (gsize) self->n >= self->n_slots) {
    grow (self);
    slot = find_slot (self, hash);
  }
  self->keys[slot] = hash;
  self->numbers[slot] = self->n;
  return self->n++;
}

guint32
tandem_hash_index_find (const TandemHashIndex *self, guint64 hash)
{
  return self->numbers[find_slot (self, hash)];
}
