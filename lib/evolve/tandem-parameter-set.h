/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "evolve/tandem-search-space.h"

G_BEGIN_DECLS

/**
 * TandemParameterSet:
 *
 * A candidate: a value for each parameter of a space that is there. It
 * does not change, so that any thread may read it.
 */
typedef struct _TandemParameterSet TandemParameterSet;

#define TANDEM_TYPE_PARAMETER_SET (tandem_parameter_set_get_type ())

TANDEM_API
GType tandem_parameter_set_get_type (void);

TANDEM_API
TandemParameterSet *tandem_parameter_set_new_from_point (TandemSearchSpace *space,
                                                         const double *point);

TANDEM_API
TandemParameterSet *tandem_parameter_set_new_from_json (TandemSearchSpace *space, const char *json,
                                                 GError **error);

TANDEM_API
TandemParameterSet *tandem_parameter_set_ref (TandemParameterSet *self);

TANDEM_API
void tandem_parameter_set_unref (TandemParameterSet *self);

TANDEM_API
TandemSearchSpace *tandem_parameter_set_get_space (TandemParameterSet *self);

TANDEM_API
gboolean tandem_parameter_set_has (TandemParameterSet *self, guint index);

TANDEM_API
double tandem_parameter_set_get_number (TandemParameterSet *self, guint index);

TANDEM_API
const char *tandem_parameter_set_get_text (TandemParameterSet *self, guint index);

TANDEM_API
gboolean tandem_parameter_set_equal (TandemParameterSet *a, TandemParameterSet *b);

TANDEM_API
void tandem_parameter_set_to_point (TandemParameterSet *self, double *point);

TANDEM_API
char *tandem_parameter_set_to_json (TandemParameterSet *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemParameterSet, tandem_parameter_set_unref)

G_END_DECLS
