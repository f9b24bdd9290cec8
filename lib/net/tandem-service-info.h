/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gst/gst.h>

#include "tandem-export.h"
#include "net/tandem-net-error.h"
#include "stream/tandem-caps.h"

G_BEGIN_DECLS

/**
 * TANDEM_SERVICE_TYPE:
 *
 * The DNS-SD service type under which stages that listen are announced.
 */
#define TANDEM_SERVICE_TYPE "_tandem._tcp"

/**
 * TANDEM_SERVICE_MAX_TXT:
 *
 * The longest TXT record, in bytes, that is looked at: what fits one multicast packet.
 */
#define TANDEM_SERVICE_MAX_TXT 1300

/**
 * TANDEM_SERVICE_MAX_NAME:
 *
 * The longest name of a device, in bytes of UTF-8.
 */
#define TANDEM_SERVICE_MAX_NAME 63

typedef struct _TandemServiceInfo TandemServiceInfo;

/**
 * TandemServiceInfo:
 * @device_id: 32 hexadecimal digits: the device; the same after a restart
 * @instance: 16 hexadecimal digits: the process, random
 * @name: the device's name for people, UTF-8 of at most %TANDEM_SERVICE_MAX_NAME bytes
 * @major: major version of the wire format that it speaks
 * @minor: its minor version
 * @kind: the #TandemStreamKind that it takes, or %TANDEM_FRAME_ANY_KIND
 * @fingerprint: 64 hexadecimal digits: the model, or the vocabulary, of what it takes;
 *   "" is any
 * @first_layer: the layer whose input it takes; 0: none or any
 * @last_layer: the last layer that it runs; 0: none or not known
 * @width: elements of a row of what it takes; 0: none or any
 * @classes: scores of a row of what it takes; 0: none or any
 * @formats: bit n set: it takes row format n; 0: any
 * @capacity: micro-batches that it takes before the first of them is consumed; 0: not known
 *
 * What a stage that listens says about itself in the TXT record of its announcement.
 * An announcement is a hint, and anybody on the network can make one: HELLO tells what is true.
 */
struct _TandemServiceInfo
{
  char device_id[33];
  char instance[17];
  char name[TANDEM_SERVICE_MAX_NAME + 1];
  guint8 major;
  guint8 minor;
  guint8 kind;
  char fingerprint[65];
  guint first_layer;
  guint last_layer;
  guint width;
  guint classes;
  guint16 formats;
  guint capacity;
};

TANDEM_API
void tandem_service_info_init (TandemServiceInfo *info, const char *name, GstCaps *accepted,
                               guint last_layer);

TANDEM_API
GBytes *tandem_service_info_to_txt (const TandemServiceInfo *info);

TANDEM_API
gboolean tandem_service_info_from_txt (TandemServiceInfo *info, const guint8 *txt, gsize size,
                                       GError **error);

TANDEM_API
gboolean tandem_service_info_from_node_txt (TandemServiceInfo *info, const guint8 *txt,
                                            gsize size, GError **error);

TANDEM_API
gboolean tandem_service_info_check (const TandemServiceInfo *info, const TandemStreamInfo *stream,
                                    GError **error);

G_END_DECLS
