/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Makes a cluster key that has expired, which "tandem key new" does not. */

#include "tandem.h"

int
main (int argc, char **argv)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autoptr (GDateTime) expiry = g_date_time_add_days (now, -1);

  return argc == 2 && tandem_cluster_key_create (argv[1], "old", expiry, NULL) ? 0 : 1;
}
