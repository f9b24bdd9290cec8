/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An application that has reviews in memory and wants to know which are positive: it builds the
 * pipeline, hands reviews to appsrc, and gets the results as messages in its main loop.
 *
 *   embed MODEL [REVIEW...]
 *
 * Build with: cc embed.c $(pkg-config --cflags --libs gstreamer-1.0) */

#include <gst/gst.h>
#include <string.h>

typedef struct
{
  GMainLoop *loop;
  const char *const *reviews;    /* ends with NULL */
  guint n_reviews, n_results;
  gboolean failed;
} App;

static void
on_result (App *app, const GstStructure *s)
{
  guint64 id;
  double probability;

  /* Ids count from 0 in the order in which the reviews went in. */
  if (!gst_structure_get (s, "id", G_TYPE_UINT64, &id, "probability", G_TYPE_DOUBLE, &probability,
                          NULL) || id >= app->n_reviews)
    return;
  app->n_results++;
  g_print ("%s (%.0f %%): %s\n", gst_structure_get_string (s, "label"), 100.0 * probability,
           app->reviews[id]);
}

static gboolean
on_message (GstBus *bus, GstMessage *message, gpointer user_data)
{
  App *app = user_data;

  switch (GST_MESSAGE_TYPE (message)) {
    case GST_MESSAGE_ELEMENT:
      if (gst_message_has_name (message, "tandem-result"))
        on_result (app, gst_message_get_structure (message));
      break;
    case GST_MESSAGE_ERROR: {
      g_autoptr (GError) error = NULL;
      g_autofree char *detail = NULL;

      gst_message_parse_error (message, &error, &detail);
      g_printerr ("%s\n%s\n", error->message, detail != NULL ? detail : "");
      app->failed = TRUE;
      g_main_loop_quit (app->loop);
      break;
    }
    case GST_MESSAGE_EOS:
      g_main_loop_quit (app->loop);
      break;
    default:
      break;
  }
  return G_SOURCE_CONTINUE;
}

/* The main loop does not wait for room in the queue of appsrc: it holds all the reviews. */
static void
push_reviews (App *app, GstElement *source)
{
  GstFlowReturn flow = GST_FLOW_OK;
  guint i;

  for (i = 0; app->reviews[i] != NULL && flow == GST_FLOW_OK; i++) {
    GstBuffer *buffer = gst_buffer_new_memdup (app->reviews[i], strlen (app->reviews[i]));

    /* This leaves our reference to us, as every signal does. */
    g_signal_emit_by_name (source, "push-buffer", buffer, &flow);
    gst_buffer_unref (buffer);
  }
  g_signal_emit_by_name (source, "end-of-stream", &flow);
}

static GstElement *
build_pipeline (const char *model, GError **error)
{
  GstElement *pipeline = gst_parse_launch_full (
      "appsrc name=reviews format=time max-bytes=0 caps=text/x-raw,format=utf8 "
      "! tokenize name=tokenize ! microbatch size=8 ! bertstage name=stage "
      "! sentimentsink location=/dev/null summary=false", NULL, GST_PARSE_FLAG_FATAL_ERRORS, error);
  static const char *const with_model[] = { "tokenize", "stage" };
  guint i;

  /* Set here and not in the text above, where a path with spaces would need quotes. */
  for (i = 0; pipeline != NULL && i < G_N_ELEMENTS (with_model); i++) {
    GstElement *element = gst_bin_get_by_name (GST_BIN (pipeline), with_model[i]);

    g_object_set (element, "model", model, NULL);
    gst_object_unref (element);
  }
  return pipeline;
}

int
main (int argc, char **argv)
{
  static const char *const examples[] = {
    "A joy from the first scene to the last.", "I have rarely been so bored in a cinema.", NULL
  };
  g_autoptr (GError) error = NULL;
  App app = { 0 };
  GstElement *pipeline, *source;
  GstBus *bus;

  gst_init (&argc, &argv);
  if (argc < 2) {
    g_printerr ("Usage: embed MODEL [REVIEW...]\n");
    return 2;
  }
  app.reviews = argc > 2 ? (const char *const *) argv + 2 : examples;
  while (app.reviews[app.n_reviews] != NULL)
    app.n_reviews++;
  app.loop = g_main_loop_new (NULL, FALSE);

  pipeline = build_pipeline (argv[1], &error);
  if (pipeline == NULL) {
    g_printerr ("%s\n", error->message);
    return 1;
  }
  bus = gst_element_get_bus (pipeline);
  gst_bus_add_watch (bus, on_message, &app);
  source = gst_bin_get_by_name (GST_BIN (pipeline), "reviews");

  /* When this fails, the reason is on the bus. */
  if (gst_element_set_state (pipeline, GST_STATE_PLAYING) != GST_STATE_CHANGE_FAILURE)
    push_reviews (&app, source);
  g_main_loop_run (app.loop);

  gst_element_set_state (pipeline, GST_STATE_NULL);
  gst_bus_remove_watch (bus);
  gst_object_unref (source);
  gst_object_unref (bus);
  gst_object_unref (pipeline);
  g_main_loop_unref (app.loop);
  return !app.failed && app.n_results == app.n_reviews ? 0 : 1;
}
