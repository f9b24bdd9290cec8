/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Not a part of the public API. */
#pragma once

#include <json-glib/json-glib.h>

#include "evolve/tandem-parameter-set.h"

G_BEGIN_DECLS

typedef struct
{
  char *name;
  TandemParameterKind kind;
  double low, high;             /* of categories: the first and the last number */
  double log_low, log_range;    /* of kind LOG */
  char **categories;
  int parent;                   /* comes before this one; -1: always there */
  GArray *when;                 /* double: values of the parent with which this one is there */
} TandemParameter;

struct _TandemSearchSpace
{
  GObject parent;

  GPtrArray *parameters;        /* TandemParameter */
  GHashTable *indices;          /* name -> index + 1; owns nothing */
  gboolean sealed;              /* an optimizer works with it: nothing may be added */
};

/* What a candidate has where a parameter is not there is NaN. */
void tandem_search_space_decode (TandemSearchSpace *self, const double *point, double *values);
guint64 tandem_search_space_hash (TandemSearchSpace *self, const double *values);
gboolean tandem_search_space_same (TandemSearchSpace *self, const double *a, const double *b);

/* How a change of a parameter's place in the cube changes its value, there. */
double tandem_search_space_get_slope (TandemSearchSpace *self, guint index, double value);

/* Appends a JSON object of what is there. */
void tandem_search_space_append_values (TandemSearchSpace *self, const double *values,
                                        GString *text);
gboolean tandem_search_space_parse_values (TandemSearchSpace *self, JsonObject *object,
                                           double *values, GError **error);

static inline TandemParameter *
tandem_search_space_get (TandemSearchSpace *self, guint index)
{
  return g_ptr_array_index (self->parameters, index);
}

G_END_DECLS
