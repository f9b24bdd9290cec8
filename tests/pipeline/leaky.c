/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Forgets an element, for the test of the test that looks for leaks. */

#include <gst/gst.h>

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  gst_element_factory_make ("fakesrc", "forgotten");
  gst_deinit ();
  return 0;
}
