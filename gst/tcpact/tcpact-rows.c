/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a link carries instead of float32, both ways. */

#include "config.h"

#include "tcpact-rows.h"

#include "stream/tandem-rows.h"

GType
tcpact_wire_format_get_type (void)
{
  static gsize type = 0;
  static const GEnumValue values[] = {
    { TANDEM_ROW_FORMAT_F32LE, "As they are, 4 bytes a number", "f32" },
    { TANDEM_ROW_FORMAT_BF16LE, "bfloat16, 2 bytes a number", "bf16" },
    { TANDEM_ROW_FORMAT_F16LE, "IEEE half, 2 bytes a number", "f16" },
    { TANDEM_ROW_FORMAT_Q8, "int8 with a scale a row, 1 byte a number", "q8" },
    { 0, NULL, NULL },
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GstTcpactWireFormat", values));
  return type;
}

gboolean
tcpact_rows_can_encode (const TandemStreamInfo *info)
{
  return info->kind == TANDEM_STREAM_ACTIVATIONS && info->format == TANDEM_ROW_FORMAT_F32LE;
}

typedef void (*Convert) (const TandemStreamInfo *info, gconstpointer in, gsize n_rows,
                         gpointer out);

static void
encode (const TandemStreamInfo *info, gconstpointer in, gsize n_rows, gpointer out)
{
  tandem_rows_encode (info->format, in, n_rows, info->width, out);
}

static void
decode (const TandemStreamInfo *info, gconstpointer in, gsize n_rows, gpointer out)
{
  tandem_rows_decode (info->format, in, n_rows, info->width, out);
}

/* A buffer with the same meta, and so with the same receipts. */
static GstBuffer *
convert (TandemRowPool *pool, const TandemStreamInfo *info, GstBuffer *buffer, gsize in_row,
         gsize out_row, Convert function)
{
  GstBuffer *result;
  GstMemory *memory;
  GstMapInfo in, out;

  if (!gst_buffer_map (buffer, &in, GST_MAP_READ))
    return NULL;
  if (in.size % in_row != 0) {
    gst_buffer_unmap (buffer, &in);
    return NULL;
  }
  memory = tandem_row_pool_take (pool, in.size / in_row * out_row);
  gst_memory_map (memory, &out, GST_MAP_WRITE);
  function (info, in.data, in.size / in_row, out.data);
  gst_memory_unmap (memory, &out);
  gst_buffer_unmap (buffer, &in);

  result = gst_buffer_new ();
  gst_buffer_append_memory (result, memory);
  gst_buffer_copy_into (result, buffer,
                        GST_BUFFER_COPY_FLAGS | GST_BUFFER_COPY_TIMESTAMPS | GST_BUFFER_COPY_META,
                        0, -1);
  return result;
}

GstBuffer *
tcpact_rows_encode (TandemRowPool *pool, const TandemStreamInfo *info, GstBuffer *buffer)
{
  return convert (pool, info, buffer, (gsize) info->width * sizeof (float),
                  tandem_stream_info_get_row_size (info), encode);
}

GstBuffer *
tcpact_rows_decode (TandemRowPool *pool, const TandemStreamInfo *info, GstBuffer *buffer)
{
  return convert (pool, info, buffer, tandem_stream_info_get_row_size (info),
                  (gsize) info->width * sizeof (float), decode);
}
