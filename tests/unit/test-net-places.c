/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Few places for many who come: who has one, and whose turn is next. */

#include <glib.h>

#include "net/tandem-places.h"

#define N_PLACES 3
#define N_GUESTS 10

static void
check (TandemPlaces *places, const char *placed, const char *waiting)
{
  g_auto (GStrv) have = tandem_places_list (places, FALSE), wait = tandem_places_list (places, TRUE);
  g_autofree char *first = g_strjoinv (" ", have), *second = g_strjoinv (" ", wait);

  g_assert_cmpstr (first, ==, placed);
  g_assert_cmpstr (second, ==, waiting);
  g_assert_cmpuint (tandem_places_get_n_waiting (places), ==, g_strv_length (wait));
}

static void
fill (TandemPlaces *places)
{
  while (tandem_places_next (places) != NULL);
}

static void
test_order (void)
{
  g_autoptr (TandemPlaces) places = tandem_places_new (2, 5);

  g_assert_null (tandem_places_next (places));
  g_assert_true (tandem_places_add (places, "a"));
  g_assert_false (tandem_places_add (places, "a"));
  g_assert_true (tandem_places_add (places, "b"));
  g_assert_true (tandem_places_add (places, "c"));
  check (places, "", "a b c");
  g_assert_cmpstr (tandem_places_next (places), ==, "a");
  g_assert_cmpstr (tandem_places_next (places), ==, "b");
  g_assert_null (tandem_places_next (places));
  g_assert_true (tandem_places_has (places, "a"));
  g_assert_false (tandem_places_has (places, "c"));
  g_assert_false (tandem_places_has (places, "x"));

  /* Who gives its place up has it again when all others had theirs. */
  tandem_places_add (places, "d");
  tandem_places_give_up (places, "a");
  check (places, "b", "c d a");
  g_assert_cmpstr (tandem_places_next (places), ==, "c");
  check (places, "b c", "d a");

  /* Who goes leaves a place, or the queue. */
  tandem_places_remove (places, "b");
  tandem_places_remove (places, "d");
  tandem_places_remove (places, "d");
  check (places, "c", "a");
  g_assert_cmpstr (tandem_places_next (places), ==, "a");
  g_assert_null (tandem_places_next (places));
}

static void
test_most (void)
{
  g_autoptr (TandemPlaces) places = tandem_places_new (1, 2);

  g_assert_true (tandem_places_add (places, "a"));
  g_assert_true (tandem_places_add (places, "b"));
  g_assert_false (tandem_places_add (places, "c"));
  tandem_places_remove (places, "a");
  g_assert_true (tandem_places_add (places, "c"));
  check (places, "", "b c");
}

/* However often strangers come back, whoever is there has a place after as many turns as it takes for
 * all of them, and one that is kept stays. */
static void
test_turns (void)
{
  g_autoptr (TandemPlaces) places = tandem_places_new (N_PLACES, 100);
  gboolean had[N_GUESTS] = { FALSE };
  guint i, turn, n_turns = (N_GUESTS - 1 + N_PLACES - 2) / (N_PLACES - 1);

  for (i = 0; i < N_GUESTS; i++) {
    g_autofree char *key = g_strdup_printf ("%u", i);

    tandem_places_add (places, key);
  }
  for (turn = 0; turn < n_turns; turn++) {
    g_auto (GStrv) keys = NULL;

    fill (places);
    for (i = 0; i < N_GUESTS; i++) {
      g_autofree char *key = g_strdup_printf ("%u", i);

      had[i] |= tandem_places_has (places, key);
    }
    keys = tandem_places_list (places, FALSE);
    g_assert_cmpuint (g_strv_length (keys), ==, N_PLACES);
    for (i = 0; keys[i] != NULL; i++)
      if (!g_str_equal (keys[i], "1"))
        tandem_places_give_up (places, keys[i]);
    g_assert_true (tandem_places_has (places, "1"));
  }
  for (i = 0; i < N_GUESTS; i++)
    g_assert_true (had[i]);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/net/places/order", test_order);
  g_test_add_func ("/net/places/most", test_most);
  g_test_add_func ("/net/places/turns", test_turns);
  return g_test_run ();
}
