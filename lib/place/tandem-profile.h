/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "tandem-export.h"
#include "model/tandem-bert-stage.h"
#include "place/tandem-device.h"

G_BEGIN_DECLS

/**
 * TANDEM_PROFILE_SECONDS:
 *
 * How long a profile is usually measured, in seconds.
 */
#define TANDEM_PROFILE_SECONDS 2.0

/**
 * TandemProfilePart:
 * @TANDEM_PROFILE_TOKENIZE: tokens are made of texts
 * @TANDEM_PROFILE_EMBEDDINGS: words, positions and types, with their layer norm
 * @TANDEM_PROFILE_LAYER: any layer but the last one
 * @TANDEM_PROFILE_LAST_LAYER: the last layer, of which a classifier needs the first row of each
 *   sequence, with pooler and classifier
 *
 * A part of a model that takes a time of its own.
 */
typedef enum
{
  TANDEM_PROFILE_TOKENIZE,
  TANDEM_PROFILE_EMBEDDINGS,
  TANDEM_PROFILE_LAYER,
  TANDEM_PROFILE_LAST_LAYER,
} TandemProfilePart;

typedef struct _TandemProfileSample TandemProfileSample;
typedef struct _TandemProfile TandemProfile;

/**
 * TandemProfileSample:
 * @part: what was run
 * @shape: the micro-batch
 * @seconds: the median of the runs
 * @n_runs: how many runs
 *
 * What was measured.
 */
struct _TandemProfileSample
{
  TandemProfilePart part;
  TandemBatchShape shape;
  double seconds;
  guint n_runs;
};

/**
 * TandemProfile:
 * @model: the fingerprint of the model
 * @n_layers: its layers
 * @processor: what the processor is called
 * @n_cores: how many processors the system has for this program
 * @library: the version of Tandem
 * @n_threads: threads of a stage
 * @precision: what linear layers compute with
 * @load: seconds on the clock for each of the processor's while this was measured, at least 1: what
 *   else the device was busy with
 * @costs: (array fixed-size=4): what each part takes where @load is 1, by #TandemProfilePart
 * @n_samples: how many samples
 * @samples: (array length=n_samples): what @costs were fitted to
 *
 * How long the parts of a model take on this device.
 */
struct _TandemProfile
{
  char *model;
  guint n_layers;
  char *processor;
  guint n_cores;
  char *library;
  guint n_threads;
  TandemPrecision precision;
  double load;
  TandemCost costs[4];
  guint n_samples;
  TandemProfileSample *samples;
};

#define TANDEM_TYPE_PROFILE (tandem_profile_get_type ())

TANDEM_API
GType tandem_profile_get_type (void);

TANDEM_API
TandemProfile *tandem_profile_copy (const TandemProfile *self);

TANDEM_API
void tandem_profile_free (TandemProfile *self);

TANDEM_API
TandemProfile *tandem_profile_measure (TandemModel *model, TandemPrecision precision,
                                       guint n_threads, double seconds,
                                       GCancellable *cancellable, GError **error);

TANDEM_API
TandemProfile *tandem_profile_load (TandemModel *model, TandemPrecision precision,
                                    guint n_threads, GError **error);

TANDEM_API
gboolean tandem_profile_store (const TandemProfile *self, GError **error);

TANDEM_API
TandemProfile *tandem_profile_read (const char *path, GError **error);

TANDEM_API
char *tandem_profile_to_json (const TandemProfile *self);

TANDEM_API
void tandem_profile_apply (const TandemProfile *self, TandemDevice *device);

TANDEM_API
const char *tandem_profile_part_to_string (TandemProfilePart part);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemProfile, tandem_profile_free)

G_END_DECLS
