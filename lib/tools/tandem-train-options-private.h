/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tandem-train-options.h"

G_BEGIN_DECLS

typedef enum
{
  KIND_TEXT,
  KIND_PATH,
  KIND_PATHS,
  KIND_CHOICE,                  /* arg: the words, with bars between them */
  KIND_COUNT,                   /* a whole number */
  KIND_NUMBER,
  KIND_FLAG,
} TrainOptionKind;

/* With --resume ... */
typedef enum
{
  RESUME_SAME,                  /* ... it stays as it was: another one would be another training */
  RESUME_FREE,                  /* ... it may be another one */
  RESUME_NOT,                   /* ... it is of this call alone */
} TrainOptionResume;

typedef struct
{
  const char *name;
  char letter;
  TrainOptionKind kind;
  TrainOptionResume resume;
  gsize offset;
  const char *fallback;         /* NULL: none */
  double min, max;
  const char *help;
  const char *arg;
} TrainOption;

#define TRAIN_N_OPTIONS 44
extern const TrainOption train_option_table[TRAIN_N_OPTIONS];

/* tandem-train-options-json.c: with --resume, what was not given becomes as it was, and what was
 * given must agree. given: one an option. */
gboolean train_options_load (TrainOptions *self, const gboolean *given, GError **error);

G_END_DECLS
