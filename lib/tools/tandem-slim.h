/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Shared by the files of tandem slim: what was asked for, and how far it has come. */
#pragma once

#include "tandem.h"

G_BEGIN_DECLS

typedef struct
{
  char *model;
  char *output;
  char **data;                  /* to learn from, or NULL */
  char **validation;            /* what int8 is measured on; NULL: no guard */
  char **test;                  /* for the table; NULL: validation */
  int fine_tune;                /* epochs; 0: the model is as it should be */
  int tune;                     /* evaluations in its place; 0: none */
  char *method;
  double sparsity;              /* 0: nothing is pruned */
  char *tensors;                /* or NULL */
  int epochs;                   /* of recovery */
  double gradual;
  char *weights;
  double max_loss;
  char *split;                  /* NULL: two halves */
  char **training;              /* what stands behind "--", or NULL */
} SlimOptions;

void slim_options_clear (SlimOptions *self);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (SlimOptions, slim_options_clear)

/* A model on the way. */
typedef struct
{
  char *name;                   /* model, trained, pruned, quantized */
  char *path;
  double accuracy;              /* in percent; below 0: not measured */
  guint64 bytes;
  double milliseconds;
} SlimStep;

typedef struct
{
  SlimOptions options;
  GPtrArray *steps;             /* of SlimStep, those that are done */
  GPtrArray *stages;            /* paths of stage files; empty until they are written */
} SlimState;

SlimState *slim_state_new (void);
void slim_state_free (SlimState *self);
void slim_step_free (SlimStep *step);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (SlimState, slim_state_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SlimStep, slim_step_free)

/* tandem-slim-state.c: OUTPUT/slim.json, replaced whole after each step. */
gboolean slim_state_save (const SlimState *self, GError **error);
gboolean slim_state_exists (const char *output);
SlimState *slim_state_load (const char *output, GError **error);

/* What it says, for programs. */
char *slim_state_to_json (const SlimState *self);

/* tandem-slim-steps.c: removes what an earlier sequence has left in @output. */
void slim_remove_steps (const char *output);

/* Does what is not done yet; quiet: nothing on standard output. */
gboolean slim_run (SlimState *self, gboolean quiet, GCancellable *cancellable, GError **error);

G_END_DECLS
