/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A sentimentsink that writes to a file, and what it says. */

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <gst/check/gstharness.h>
#include <string.h>

#include "tandem.h"

#define FP "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define CAPS                                                                    \
  "application/x-tandem-logits, model=(string)" FP                              \
  ", classes=(int)2, labels=(string)< Negative, Positive >"

typedef struct
{
  char *dir;
  char *path;
  GstHarness *harness;
  GstBus *bus;
  int dropped;
  int completed;
} Fixture;

#define ADD(path, properties, func) \
  g_test_add (path, Fixture, properties, set_up, func, tear_down)

/* A sink that writes to a file, with what PROPERTIES says. */
static inline void
set_up (Fixture *f, gconstpointer data)
{
  g_autofree char *line = NULL;

  f->dir = g_dir_make_tmp ("tandem-XXXXXX", NULL);
  f->path = g_build_filename (f->dir, "results", NULL);
  line = g_strdup_printf ("sentimentsink summary=false location=%s %s", f->path,
                          (const char *) data);
  f->harness = gst_harness_new_parse (line);
  f->bus = gst_bus_new ();
  gst_element_set_bus (f->harness->element, f->bus);
  gst_harness_set_src_caps_str (f->harness, CAPS);
}

static inline void
close_sink (Fixture *f)
{
  if (f->harness == NULL)
    return;
  gst_element_set_state (f->harness->element, GST_STATE_NULL);
  g_clear_pointer (&f->harness, gst_harness_teardown);
}

static inline void
tear_down (Fixture *f, gconstpointer data)
{
  close_sink (f);
  gst_bus_set_flushing (f->bus, TRUE);
  gst_object_unref (f->bus);
  g_unlink (f->path);
  g_rmdir (f->dir);
  g_free (f->path);
  g_free (f->dir);
}

static inline void
count_receipt (gboolean completed, gpointer user_data)
{
  Fixture *f = user_data;

  g_atomic_int_inc (completed ? &f->completed : &f->dropped);
}

static inline GstBuffer *
make_batch (Fixture *f, guint n, const guint64 *ids, const gint32 *labels, const float *logits)
{
  GstBuffer *buffer = gst_buffer_new_memdup (logits, n * 2 * sizeof (float));
  TandemBatchMeta *meta = tandem_buffer_add_batch_meta (buffer, n, NULL, ids, labels);
  TandemReceipt *receipt = tandem_receipt_new (count_receipt, f, NULL);

  tandem_batch_meta_add_receipt (meta, receipt);
  tandem_receipt_unref (receipt);
  return buffer;
}

/* One review with the scores 0 and 1. */
static inline GstFlowReturn
push_one (Fixture *f, guint64 id)
{
  const float logits[] = { 0.0f, 1.0f };

  return gst_harness_push (f->harness, make_batch (f, 1, &id, NULL, logits));
}

static inline char *
read_results (Fixture *f)
{
  g_autoptr (GError) error = NULL;
  char *contents = NULL;

  g_file_get_contents (f->path, &contents, NULL, &error);
  g_assert_no_error (error);
  return contents;
}

/* The ids of the lines of the text format, as "0 1 2 ". */
static inline char *
read_ids (Fixture *f)
{
  g_autofree char *contents = read_results (f);
  g_auto (GStrv) lines = g_strsplit (contents, "\n", -1);
  GString *ids = g_string_new (NULL);
  guint i;

  for (i = 0; lines[i] != NULL && *lines[i] != '\0'; i++)
    g_string_append_printf (ids, "%" G_GUINT64_FORMAT " ", g_ascii_strtoull (lines[i], NULL, 10));
  return g_string_free (ids, FALSE);
}

static inline void
assert_ids (Fixture *f, const char *wanted)
{
  g_autofree char *ids = read_ids (f);

  g_assert_cmpstr (ids, ==, wanted);
}

static inline GstMessage *
pop_element_message (Fixture *f, const char *name)
{
  GstMessage *message;

  while ((message = gst_bus_pop_filtered (f->bus, GST_MESSAGE_ELEMENT)) != NULL) {
    if (gst_message_has_name (message, name))
      return message;
    gst_message_unref (message);
  }
  return NULL;
}

static inline void
assert_error (Fixture *f, GQuark domain, int code, const char *part)
{
  g_autoptr (GstMessage) message = gst_bus_pop_filtered (f->bus, GST_MESSAGE_ERROR);
  g_autoptr (GError) error = NULL;

  g_assert_nonnull (message);
  gst_message_parse_error (message, &error, NULL);
  g_assert_error (error, domain, code);
  g_assert_nonnull (strstr (error->message, part));
}
