/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib-object.h>

#include "tandem-export.h"

G_BEGIN_DECLS

typedef struct _TandemNodeFile TandemNodeFile;
typedef struct _TandemNodeInfo TandemNodeInfo;

/**
 * TandemNodeFile:
 * @digest: SHA-256 of the file, 64 hexadecimal digits
 * @bytes: its size
 * @model: the fingerprint of the model that it was cut from
 * @first_layer: the first layer that it holds, from 0
 * @last_layer: the last one
 * @n_layers: how many layers the whole model has
 *
 * A stage file that a node has.
 */
struct _TandemNodeFile
{
  char *digest;
  guint64 bytes;
  char *model;
  guint first_layer;
  guint last_layer;
  guint n_layers;
};

/**
 * TandemNodeInfo:
 * @device: 32 hexadecimal digits: the device; the same after a restart
 * @instance: 16 hexadecimal digits: the process, random
 * @name: what people call it
 * @protocol: the version of the protocol of nodes that it speaks, as "1.1"
 * @library: its version of Tandem
 * @time: its clock when it answered, microseconds since 1970; 0: it does not say
 * @n_cores: processors that it has for programs
 * @n_threads: the most threads that a stage may have
 * @has_bf16: whether it computes in bfloat16
 * @load: processes that want a processor, the mean of a minute
 * @speed: floating-point operations a second of the last profile; 0: none was measured
 * @memory_total: bytes that the device has
 * @memory_available: bytes that programs can still take
 * @memory_limit: bytes that stages may take; 0: what is available
 * @memory_used: bytes that running stages were granted
 * @cache_limit: bytes of stage files that it keeps at the most
 * @cache_used: bytes that it keeps, files that are not whole included
 * @n_pipelines: stages that run, whoever asked for them
 * @n_files: how many files
 * @files: (array length=n_files): the stage files that it has, the last used first
 *
 * What a node says about its device.
 */
struct _TandemNodeInfo
{
  char *device;
  char *instance;
  char *name;
  char *protocol;
  char *library;
  gint64 time;
  guint n_cores;
  guint n_threads;
  gboolean has_bf16;
  double load;
  double speed;
  guint64 memory_total;
  guint64 memory_available;
  guint64 memory_limit;
  guint64 memory_used;
  guint64 cache_limit;
  guint64 cache_used;
  guint n_pipelines;
  guint n_files;
  TandemNodeFile *files;
};

#define TANDEM_TYPE_NODE_INFO (tandem_node_info_get_type ())

TANDEM_API
GType tandem_node_info_get_type (void);

TANDEM_API
TandemNodeInfo *tandem_node_info_copy (const TandemNodeInfo *self);

TANDEM_API
void tandem_node_info_free (TandemNodeInfo *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemNodeInfo, tandem_node_info_free)

G_END_DECLS
