/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The TXT record of an announcement, which anybody on the network can make. What gets through
 * holds what is promised, and is the same after it was written and read again. */

#include "tandem.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
check (const TandemServiceInfo *info)
{
  g_autoptr (GBytes) txt = tandem_service_info_to_txt (info);
  TandemStreamInfo stream = { .kind = TANDEM_STREAM_TOKENS };
  TandemServiceInfo back;
  gsize size;
  const guint8 *data = g_bytes_get_data (txt, &size);

  g_assert_cmpuint (strlen (info->device_id), ==, 32);
  g_assert_cmpuint (strlen (info->instance), ==, 16);
  g_assert_true (g_utf8_validate (info->name, -1, NULL));
  g_assert_cmpuint (info->first_layer, <=, TANDEM_CAPS_MAX_LAYERS);
  g_assert_cmpuint (info->width, <=, TANDEM_CAPS_MAX_WIDTH);
  g_assert_true (tandem_service_info_from_txt (&back, data, size, NULL));
  g_assert_cmpmem (info, sizeof *info, &back, sizeof back);
  memset (stream.fingerprint, 'a', 64);
  tandem_service_info_check (info, &stream, NULL);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static gsize once = 0;
  TandemServiceInfo info;
  g_autoptr (GError) error = NULL;

  if (g_once_init_enter (&once)) {
    gst_init (NULL, NULL);
    g_once_init_leave (&once, 1);
  }
  if (tandem_service_info_from_node_txt (&info, data, size, NULL)) {
    g_assert_cmpuint (strlen (info.device_id), ==, 32);
    g_assert_cmpuint (strlen (info.instance), ==, 16);
    g_assert_true (g_utf8_validate (info.name, -1, NULL));
  }
  if (tandem_service_info_from_txt (&info, data, size, &error))
    check (&info);
  else
    g_assert_true (g_utf8_validate (error->message, -1, NULL));
  return 0;
}
