/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib/gstdio.h>
#include <gst/check/gstharness.h>
#include <string.h>

#include "tandem.h"

/* Ids: 0 [UNK], 1 [CLS], 2 [SEP], 3 a, 4 ##b. */
#define SMALL_VOCABULARY "[UNK]\n[CLS]\n[SEP]\na\n##b\n"

static inline char *
write_vocabulary (void)
{
  char *path = NULL;
  int fd = g_file_open_tmp ("tandem-vocab-XXXXXX.txt", &path, NULL);

  g_assert_cmpint (fd, >=, 0);
  g_close (fd, NULL);
  g_assert_true (g_file_set_contents (path, SMALL_VOCABULARY, -1, NULL));
  return path;
}

static inline GstBuffer *
text_buffer (const char *text, gsize length)
{
  return length > 0 ? gst_buffer_new_memdup (text, length) : gst_buffer_new ();
}

/* A buffer of @n tokens as one sequence. */
static inline GstBuffer *
token_buffer (guint64 id, guint n)
{
  g_autofree gint32 *ids = g_new (gint32, n);
  const guint32 offsets[] = { 0, n };
  GstBuffer *buffer;
  guint i;

  for (i = 0; i < n; i++)
    ids[i] = id * 1000 + i;
  buffer = gst_buffer_new_memdup (ids, n * sizeof (gint32));
  tandem_buffer_add_batch_meta (buffer, 1, offsets, &id, NULL);
  return buffer;
}

/* Pulls what waits as "text|text". */
static inline char *
pull_lines (GstHarness *h)
{
  GString *all = g_string_new (NULL);
  GstBuffer *buffer;
  gboolean first = TRUE;

  while ((buffer = gst_harness_try_pull (h)) != NULL) {
    GstMapInfo map;

    gst_buffer_map (buffer, &map, GST_MAP_READ);
    if (!first)
      g_string_append_c (all, '|');
    first = FALSE;
    g_string_append_len (all, (const char *) map.data, map.size);
    gst_buffer_unmap (buffer, &map);
    gst_buffer_unref (buffer);
  }
  return g_string_free (all, FALSE);
}
