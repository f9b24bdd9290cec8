/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private: properties whose values simply lie in a structure, as a table that says where. Exported
 * for the plugins only. */

#include <glib-object.h>

#include "tandem-export.h"

G_BEGIN_DECLS

typedef struct
{
  guint id;                     /* of the property; 0 ends a table */
  gsize offset, size;           /* of the member: bytes */
} TandemField;

#define TANDEM_FIELD(id, Struct, member) \
  { id, G_STRUCT_OFFSET (Struct, member), G_SIZEOF_MEMBER (Struct, member) }

/* The owner locks. base: the structure. Texts belong to it. Returns FALSE: the table has no such
 * property. */
TANDEM_API
gboolean tandem_fields_set (const TandemField *fields, gpointer base, guint id,
                            const GValue *value);

TANDEM_API
gboolean tandem_fields_get (const TandemField *fields, gconstpointer base, guint id,
                            GValue *value);

G_END_DECLS
