/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Takes what gst-launch-1.0 takes, and only tells whether the pipeline can be built from it: every
 * element and property is there, and the pads link. */

#include <gst/gst.h>

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  GstElement *pipeline;

  gst_init (&argc, &argv);
  do {
    argv++;
  } while (*argv != NULL && **argv == '-');
  if (*argv == NULL) {
    g_printerr ("Usage: parse-launch [-OPTION...] PIPELINE...\n");
    return 2;
  }
  pipeline = gst_parse_launchv_full ((const char **) argv, NULL, GST_PARSE_FLAG_FATAL_ERRORS,
                                     &error);
  if (pipeline == NULL) {
    g_printerr ("%s\n", error->message);
    return 1;
  }
  gst_object_unref (pipeline);
  return 0;
}
