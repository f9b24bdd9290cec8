/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-fields.h"

static const TandemField *
find (const TandemField *fields, guint id)
{
  for (; fields->id != 0; fields++)
    if (fields->id == id)
      return fields;
  return NULL;
}

gboolean
tandem_fields_set (const TandemField *fields, gpointer base, guint id, const GValue *value)
{
  const TandemField *field = find (fields, id);
  gpointer member;

  if (field == NULL)
    return FALSE;
  member = G_STRUCT_MEMBER_P (base, field->offset);
  if (G_VALUE_HOLDS_STRING (value)) {
    g_free (*(char **) member);
    *(char **) member = g_value_dup_string (value);
  } else if (G_VALUE_HOLDS_BOOLEAN (value)) {
    *(gboolean *) member = g_value_get_boolean (value);
  } else if (G_VALUE_HOLDS_ENUM (value)) {
    *(int *) member = g_value_get_enum (value);
  } else if (G_VALUE_HOLDS_UINT64 (value)) {
    *(guint64 *) member = g_value_get_uint64 (value);
  } else if (G_VALUE_HOLDS_DOUBLE (value)) {
    *(double *) member = g_value_get_double (value);
  } else if (field->size == sizeof (guint16)) {
    *(guint16 *) member = g_value_get_uint (value);
  } else {
    *(guint *) member = g_value_get_uint (value);
  }
  return TRUE;
}

gboolean
tandem_fields_get (const TandemField *fields, gconstpointer base, guint id, GValue *value)
{
  const TandemField *field = find (fields, id);
  gconstpointer member;

  if (field == NULL)
    return FALSE;
  member = (const guint8 *) base + field->offset;
  if (G_VALUE_HOLDS_STRING (value))
    g_value_set_string (value, *(char *const *) member);
  else if (G_VALUE_HOLDS_BOOLEAN (value))
    g_value_set_boolean (value, *(const gboolean *) member);
  else if (G_VALUE_HOLDS_ENUM (value))
    g_value_set_enum (value, *(const int *) member);
  else if (G_VALUE_HOLDS_UINT64 (value))
    g_value_set_uint64 (value, *(const guint64 *) member);
  else if (G_VALUE_HOLDS_DOUBLE (value))
    g_value_set_double (value, *(const double *) member);
  else if (field->size == sizeof (guint16))
    g_value_set_uint (value, *(const guint16 *) member);
  else
    g_value_set_uint (value, *(const guint *) member);
  return TRUE;
}
