/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Dynamic programming over ordered subsets of devices and layers (after Held and Karp 1962): a
 * state is how many layers are done, by which devices, which one was last, and the format in
 * which it sends on. Of all splits that lead to a state only the best two matter for what
 * follows, since what follows is the same for all of them.
 *
 * For throughput the value of a split is its longest part, for latency the sum of all. Of the
 * splits with the shortest longest part, a second pass with that as a limit finds those with the
 * least sum. */

#include "config.h"

#include <string.h>

#include "place/tandem-placement-private.h"

/* A device is 4 bits of a path, a layer 6; the first stage has the highest ones. So paths with
 * equally many stages are ordered as their numbers are. */
#define NAME_BITS 4
#define CUT_BITS 6

G_STATIC_ASSERT (TANDEM_PLACEMENT_EXACT_DEVICES <= 1 << NAME_BITS);
G_STATIC_ASSERT (TANDEM_PLACEMENT_EXACT_DEVICES * CUT_BITS <= 64);
G_STATIC_ASSERT (TANDEM_PLACEMENT_MAX_LAYERS <= 1 << CUT_BITS);

typedef struct
{
  guint64 value;                /* TANDEM_TICKS_NEVER: there is none */
  guint64 names;
  guint64 cuts;
} Path;

/* The best two splits, in the order of values, names and cuts. */
typedef struct
{
  Path best[2];
} State;

typedef struct
{
  Path path;
  guint n_stages;
} Final;

typedef struct
{
  const TandemPlacementTables *tables;
  gboolean by_longest;
  gboolean fewer_first;         /* fewer stages count before less value */
  guint64 cap;                  /* nothing may be longer */
  guint n_sets;
  State *states;                /* [layers done][set][device][format] */
  Final finals[2];
} Search;

static int
compare_numbers (guint64 a, guint64 b)
{
  return (a > b) - (a < b);
}

static int
compare_paths (const Path *a, const Path *b)
{
  int order = compare_numbers (a->value, b->value);

  if (order == 0)
    order = compare_numbers (a->names, b->names);
  return order != 0 ? order : compare_numbers (a->cuts, b->cuts);
}

static int
compare_finals (const Search *search, const Final *a, const Final *b)
{
  int by_value = compare_numbers (a->path.value, b->path.value);
  int by_stages = compare_numbers (a->n_stages, b->n_stages);
  int order = search->fewer_first ? by_stages : by_value;

  if (order == 0)
    order = search->fewer_first ? by_value : by_stages;
  return order != 0 ? order : compare_paths (&a->path, &b->path);
}

static gboolean
is_same_split (const Path *a, const Path *b)
{
  return a->names == b->names && a->cuts == b->cuts;
}

static void
swap (Path *a, Path *b)
{
  Path other = *a;

  *a = *b;
  *b = other;
}

/* The same split may come twice, in other formats. */
static void
add_path (State *state, const Path *path)
{
  Path *best = state->best;

  if (best[1].value != TANDEM_TICKS_NEVER && compare_paths (path, &best[1]) >= 0)
    return;
  if (best[0].value != TANDEM_TICKS_NEVER && is_same_split (path, &best[0])) {
    best[0].value = MIN (best[0].value, path->value);
    return;
  }
  best[1] = *path;
  if (compare_paths (&best[1], &best[0]) < 0)
    swap (&best[0], &best[1]);
}

static State *
get_state (const Search *search, guint done, guint set, guint device, guint format)
{
  const TandemPlacementTables *t = search->tables;

  return &search->states[((done * (gsize) search->n_sets + set) * t->n_devices + device) *
                         t->n_formats + format];
}

/* As add_path(). */
static void
add_final (Search *search, const Path *path, guint n_stages)
{
  Final final = { *path, n_stages }, *best = search->finals;

  if (compare_finals (search, &final, &best[1]) >= 0)
    return;
  if (best[0].n_stages == n_stages && is_same_split (path, &best[0].path)) {
    best[0].path.value = MIN (best[0].path.value, path->value);
    return;
  }
  best[1] = final;
  if (compare_finals (search, &final, &best[0]) < 0) {
    best[1] = best[0];
    best[0] = final;
  }
}

/* Returns FALSE when a part is beyond the limit. */
static gboolean
add_part (const Search *search, guint64 *value, guint64 part)
{
  if (part > search->cap)
    return FALSE;
  *value = search->by_longest ? MAX (*value, part) : *value + part;
  return TRUE;
}

static void
add_delay (const Search *search, guint64 *value, guint64 delay)
{
  if (!search->by_longest)
    *value += delay;
}

/* The split is whole: its results go back. */
static void
finish (Search *search, Path path, guint set, guint device)
{
  const TandemPlacementTables *t = search->tables;

  if (!add_part (search, &path.value, t->logits[device]))
    return;
  add_delay (search, &path.value, tandem_placement_tables_delay (t, device, t->asking));
  if (!(set & 1u << t->asking) && !add_part (search, &path.value, t->tokenize))
    return;
  add_final (search, &path, (guint) __builtin_popcount (set));
}

/* Puts layers from @first on onto @device, behind @path. in: ticks of receiving there. */
static void
extend (Search *search, const Path *path, guint set, guint device, guint first, guint64 in)
{
  const TandemPlacementTables *t = search->tables;
  guint n_before = (guint) __builtin_popcount (set), end, format;

  for (end = first + 1; end <= t->n_layers; end++) {
    guint64 work = tandem_placement_tables_compute (t, device, first, end - 1) + in;
    Path next = *path;

    if (work > search->cap)
      break;
    if (!tandem_placement_tables_fits (t, device, first, end - 1))
      continue;
    next.names |= (guint64) device << (64 - NAME_BITS * (n_before + 1));
    next.cuts |= (guint64) first << (64 - CUT_BITS * (n_before + 1));
    if (end == t->n_layers) {
      if (add_part (search, &next.value, work))
        finish (search, next, set | 1u << device, device);
      break;
    }
    for (format = 0; format < t->n_formats; format++) {
      Path sent = next;

      if (add_part (search, &sent.value, work + t->send[device * t->n_formats + format]))
        add_path (get_state (search, end, set | 1u << device, device, format), &sent);
    }
  }
}

static void
start (Search *search)
{
  const TandemPlacementTables *t = search->tables;
  guint device;

  for (device = 0; device < t->n_devices; device++) {
    Path path = { 0, 0, 0 };

    if (!add_part (search, &path.value, t->tokens[device]))
      continue;
    add_delay (search, &path.value, tandem_placement_tables_delay (t, t->asking, device));
    extend (search, &path, 0, device, 0, 0);
  }
}

/* Sends what is in a state to each device that has no stage yet. */
static void
go_on (Search *search, guint done, guint set, guint from, guint format)
{
  const TandemPlacementTables *t = search->tables;
  const State *state = get_state (search, done, set, from, format);
  guint to, i;

  for (to = 0; to < t->n_devices; to++) {
    guint64 transfer = tandem_placement_tables_transfer (t, from, to, format);

    if (set & 1u << to || transfer > search->cap)
      continue;
    for (i = 0; i < 2 && state->best[i].value != TANDEM_TICKS_NEVER; i++) {
      Path path = state->best[i];

      add_part (search, &path.value, transfer);
      add_delay (search, &path.value, tandem_placement_tables_delay (t, from, to));
      extend (search, &path, set, to, done, t->receive[to * t->n_formats + format]);
    }
  }
}

static gboolean
run (Search *search, guint64 cap, gboolean by_longest, gboolean fewer_first,
     GCancellable *cancellable, GError **error)
{
  const TandemPlacementTables *t = search->tables;
  gsize n_states = (gsize) t->n_layers * search->n_sets * t->n_devices * t->n_formats;
  guint done, set, device, format;

  search->cap = cap;
  search->by_longest = by_longest;
  search->fewer_first = fewer_first;
  /* All bits set: every value is TANDEM_TICKS_NEVER. */
  memset (search->states, 0xff, n_states * sizeof *search->states);
  memset (search->finals, 0xff, sizeof search->finals);
  start (search);
  for (done = 1; done < t->n_layers; done++) {
    if (g_cancellable_set_error_if_cancelled (cancellable, error))
      return FALSE;
    for (set = 1; set < search->n_sets; set++)
      for (device = 0; device < t->n_devices; device++) {
        if (!(set & 1u << device))
          continue;
        for (format = 0; format < t->n_formats; format++)
          go_on (search, done, set, device, format);
      }
  }
  return TRUE;
}

static gboolean
is_there (const Final *final)
{
  return final->path.value != TANDEM_TICKS_NEVER;
}

static void
decode (const Final *final, TandemSplit *split)
{
  guint i;

  split->n_stages = final->n_stages;
  for (i = 0; i < final->n_stages; i++) {
    split->device[i] = final->path.names >> (64 - NAME_BITS * (i + 1)) & ((1 << NAME_BITS) - 1);
    split->first[i] = final->path.cuts >> (64 - CUT_BITS * (i + 1)) & ((1 << CUT_BITS) - 1);
  }
}

static gboolean
search_throughput (Search *search, GCancellable *cancellable, GError **error)
{
  Final best;
  guint64 shortest, next;

  if (!run (search, TANDEM_TICKS_NEVER - 1, TRUE, FALSE, cancellable, error))
    return FALSE;
  if (!is_there (&search->finals[0]))
    return TRUE;
  shortest = search->finals[0].path.value;
  next = search->finals[1].path.value;
  if (!run (search, shortest, FALSE, TRUE, cancellable, error))
    return FALSE;
  if (next == shortest || next == TANDEM_TICKS_NEVER)
    return TRUE;
  /* No other one is as good: the runner-up is the first of the next period. */
  best = search->finals[0];
  if (!run (search, next, FALSE, TRUE, cancellable, error))
    return FALSE;
  if (!(search->finals[0].n_stages == best.n_stages &&
        is_same_split (&search->finals[0].path, &best.path)))
    search->finals[1] = search->finals[0];
  search->finals[0] = best;
  return TRUE;
}

int
tandem_placement_tables_search (const TandemPlacementTables *self,
                                TandemPlacementObjective objective, TandemSplit splits[2],
                                GCancellable *cancellable, GError **error)
{
  Search search = { .tables = self, .n_sets = 1u << self->n_devices };
  gboolean ok;
  int n;

  g_return_val_if_fail (self->n_devices <= TANDEM_PLACEMENT_EXACT_DEVICES, -1);

  search.states = g_new (State, (gsize) self->n_layers * search.n_sets * self->n_devices *
                         self->n_formats);
  if (objective == TANDEM_PLACEMENT_THROUGHPUT)
    ok = search_throughput (&search, cancellable, error);
  else
    ok = run (&search, TANDEM_TICKS_NEVER - 1, FALSE, FALSE, cancellable, error);
  g_free (search.states);
  if (!ok)
    return -1;
  for (n = 0; n < 2 && is_there (&search.finals[n]); n++)
    decode (&search.finals[n], &splits[n]);
  return n;
}
