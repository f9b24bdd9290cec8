/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "tandem-export.h"

G_BEGIN_DECLS

/**
 * TANDEM_SEARCH_SPACE_MAX_PARAMETERS:
 *
 * The most parameters of a space.
 */
#define TANDEM_SEARCH_SPACE_MAX_PARAMETERS 1000000

/**
 * TandemParameterKind:
 * @TANDEM_PARAMETER_KIND_REAL: a real number; the cube's unit is its range
 * @TANDEM_PARAMETER_KIND_LOG: a positive real number; the cube's unit is the range of its logarithm
 * @TANDEM_PARAMETER_KIND_INTEGER: a whole number; each one takes an equal part of the cube's unit
 * @TANDEM_PARAMETER_KIND_CATEGORICAL: one of some texts, which have no order
 *
 * What values a parameter takes.
 */
typedef enum
{
  TANDEM_PARAMETER_KIND_REAL,
  TANDEM_PARAMETER_KIND_LOG,
  TANDEM_PARAMETER_KIND_INTEGER,
  TANDEM_PARAMETER_KIND_CATEGORICAL,
} TandemParameterKind;

#define TANDEM_TYPE_SEARCH_SPACE (tandem_search_space_get_type ())

TANDEM_API
G_DECLARE_FINAL_TYPE (TandemSearchSpace, tandem_search_space, TANDEM, SEARCH_SPACE, GObject)

TANDEM_API
TandemSearchSpace *tandem_search_space_new (void);

TANDEM_API
TandemSearchSpace *tandem_search_space_new_from_file (const char *path, GError **error);

TANDEM_API
TandemSearchSpace *tandem_search_space_new_from_json (const char *json, GError **error);

TANDEM_API
TandemSearchSpace *tandem_search_space_new_from_text (const char *text, GError **error);

TANDEM_API
gboolean tandem_search_space_add_number (TandemSearchSpace *self, const char *name,
                                         TandemParameterKind kind, double low, double high,
                                         GError **error);

TANDEM_API
gboolean tandem_search_space_add_categorical (TandemSearchSpace *self, const char *name,
                                              const char *const *values, GError **error);

TANDEM_API
gboolean tandem_search_space_set_condition (TandemSearchSpace *self, const char *name,
                                            const char *parent, const char *const *values,
                                            GError **error);

TANDEM_API
guint tandem_search_space_get_n_parameters (TandemSearchSpace *self);

TANDEM_API
const char *tandem_search_space_get_name (TandemSearchSpace *self, guint index);

TANDEM_API
TandemParameterKind tandem_search_space_get_kind (TandemSearchSpace *self, guint index);

TANDEM_API
guint64 tandem_search_space_get_n_values (TandemSearchSpace *self, guint index);

TANDEM_API
int tandem_search_space_find (TandemSearchSpace *self, const char *name);

TANDEM_API
char *tandem_search_space_to_json (TandemSearchSpace *self);

G_END_DECLS
