/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Takes what gst-launch-1.0 takes, and only tells whether the pipeline can be built from it: every
 * element and property is there, and the pads link. With --start it also tells whether the
 * pipeline starts. Options of gst-launch-1.0 are ignored. */

#include <gst/gst.h>
#include <locale.h>

/* Goes to PAUSED and prints the first error on the way. */
static gboolean
start (GstElement *pipeline)
{
  gboolean ok = gst_element_set_state (pipeline, GST_STATE_PAUSED) != GST_STATE_CHANGE_FAILURE;
  g_autoptr (GstBus) bus = gst_element_get_bus (pipeline);
  g_autoptr (GstMessage) message = gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR);

  if (message != NULL) {
    g_autoptr (GError) error = NULL;

    gst_message_parse_error (message, &error, NULL);
    g_printerr ("%s\n", error->message);
  }
  gst_element_set_state (pipeline, GST_STATE_NULL);
  return ok && message == NULL;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GstElement) pipeline = NULL;
  gboolean starts = FALSE;

  setlocale (LC_ALL, "");
  gst_init (&argc, &argv);
  for (argv++; *argv != NULL && **argv == '-'; argv++)
    starts |= g_str_equal (*argv, "--start");
  if (*argv == NULL) {
    g_printerr ("Usage: parse-launch [--start] [-OPTION...] PIPELINE...\n");
    return 2;
  }
  pipeline = gst_parse_launchv_full ((const char **) argv, NULL, GST_PARSE_FLAG_FATAL_ERRORS,
                                     &error);
  if (pipeline == NULL) {
    g_printerr ("%s\n", error->message);
    return 1;
  }
  gst_object_ref_sink (pipeline);
  return !starts || start (pipeline) ? 0 : 1;
}
