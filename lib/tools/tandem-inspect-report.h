/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Shared by the files of tandem inspect: what was found, and how it is printed. */
#pragma once

#include "tandem.h"

G_BEGIN_DECLS

typedef struct
{
  char *name;
  char *dtype;
  guint n_dims;
  guint64 shape[TANDEM_TENSOR_MAX_DIMS];
  guint64 n_elements;
  guint64 n_kept;               /* elements that are not zero */
  guint64 n_bytes;              /* as it is stored */
  guint64 n_dense_bytes;        /* as it would be with all zeros */
  guint64 n_flops;              /* a row of activations through a linear layer; 0: none */
  gboolean is_sparse;           /* as it is stored */
  gboolean runs_sparse;         /* its zeros are left out on this processor */
} Row;

/* Rows of one layer or group of layers, of the embeddings, or of what follows the last layer. */
typedef struct
{
  char *name;
  guint64 n_elements;
  guint64 n_kept;
  guint64 n_bytes;
  guint64 n_flops;
} Part;

typedef struct
{
  TandemModel *model;           /* or, for a file that is no model, */
  TandemSafetensors *file;
  char *path;
  GPtrArray *rows;
  GPtrArray *parts;
  TandemTokenizer *tokenizer;   /* or NULL */
  char *no_tokenizer;           /* why */
} TandemInspectReport;

const char *tandem_inspect_get_activation_name (TandemActivation activation);

void tandem_inspect_print_text (const TandemInspectReport *report, guint64 n_elements,
                                guint64 n_bytes);

void tandem_inspect_print_json (const TandemInspectReport *report, guint64 n_elements,
                                guint64 n_bytes);

/* Writes an SVG. */
gboolean tandem_inspect_write_picture (const TandemInspectReport *report, guint64 n_bytes,
                                       const char *path, GError **error);

G_END_DECLS
