/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

#include "tandem-tensor.h"

G_BEGIN_DECLS

/* The reference implementation's bound on the header, in bytes. */
#define TANDEM_SAFETENSORS_MAX_HEADER 100000000

typedef struct
{
  char *name;
  char *dtype_name;
  gboolean supported;           /* whether dtype is valid */
  TandemDtype dtype;
  guint n_dims;
  guint64 shape[TANDEM_TENSOR_MAX_DIMS];
  guint64 begin, end;           /* bytes, counted from the first one after the header */
} TandemSafetensorsEntry;

typedef struct
{
  GPtrArray *entries;           /* TandemSafetensorsEntry, in the order of their data */
  GPtrArray *by_name;           /* the same, in the order of their names */
  GHashTable *metadata;         /* key -> value */
} TandemSafetensorsHeader;

TandemSafetensorsHeader *tandem_safetensors_header_parse (const char *json, gsize length,
                                                          guint64 data_size, const char *file,
                                                          GError **error);

const TandemSafetensorsEntry *tandem_safetensors_header_find (const TandemSafetensorsHeader *header,
                                                              const char *name);

void tandem_safetensors_header_free (TandemSafetensorsHeader *header);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemSafetensorsHeader, tandem_safetensors_header_free)

G_END_DECLS
