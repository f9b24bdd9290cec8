/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib-object.h>

#include "tandem-export.h"
#include "place/tandem-device.h"

G_BEGIN_DECLS

/**
 * TandemPlacementObjective:
 * @TANDEM_PLACEMENT_THROUGHPUT: as many sequences a second as possible: the slowest stage or
 *   link counts
 * @TANDEM_PLACEMENT_LATENCY: one micro-batch through as soon as possible: the sum counts
 *
 * What a placement is chosen for.
 */
typedef enum
{
  TANDEM_PLACEMENT_THROUGHPUT,
  TANDEM_PLACEMENT_LATENCY,
} TandemPlacementObjective;

/**
 * TandemBottleneck:
 * @TANDEM_BOTTLENECK_STAGE: a stage
 * @TANDEM_BOTTLENECK_HOP: a link
 * @TANDEM_BOTTLENECK_TOKENIZER: the device that asks, which has no stage, and its tokenizer
 *
 * What bounds the throughput of a placement.
 */
typedef enum
{
  TANDEM_BOTTLENECK_STAGE,
  TANDEM_BOTTLENECK_HOP,
  TANDEM_BOTTLENECK_TOKENIZER,
} TandemBottleneck;

typedef struct _TandemPlacementStage TandemPlacementStage;
typedef struct _TandemPlacementHop TandemPlacementHop;
typedef struct _TandemPlacement TandemPlacement;
typedef struct _TandemPlan TandemPlan;

/**
 * TandemPlacementStage:
 * @device: the number of the device that it runs on
 * @first_layer: its first layer
 * @last_layer: its last layer, inclusive
 * @seconds: what the device does for a micro-batch: tokenizing where it is the one that asks,
 *   receiving, computing, sending
 * @memory: bytes that the stage takes there
 *
 * Some layers on some device.
 */
struct _TandemPlacementStage
{
  guint device;
  guint first_layer;
  guint last_layer;
  double seconds;
  guint64 memory;
};

/**
 * TandemPlacementHop:
 * @from: the number of the device that sends
 * @to: the number of the device that receives
 * @format: how rows of activations are sent; %TANDEM_WIRE_FORMAT_NONE for tokens and logits
 * @bytes: of a micro-batch
 * @seconds: how long these occupy the link
 * @delay: how long they are on their way besides
 *
 * A way of a micro-batch over the network.
 */
struct _TandemPlacementHop
{
  guint from;
  guint to;
  TandemWireFormats format;
  guint64 bytes;
  double seconds;
  double delay;
};

/**
 * TandemPlacement:
 * @n_stages: how many stages
 * @stages: (array length=n_stages): the stages, in the order of their layers
 * @n_hops: how many hops
 * @hops: (array length=n_hops): the ways over the network: of tokens to the first stage where
 *   another device asks, of activations from stage to stage, of logits back to the device that
 *   asks
 * @tokenize_seconds: what tokenizing takes for a micro-batch, also in the seconds of the stage
 *   on that device
 * @period: seconds from one micro-batch to the next, when many are on their way
 * @latency: seconds from a micro-batch's texts to its results, when it is alone
 * @sequences_per_second: throughput in sequences
 * @tokens_per_second: throughput in tokens
 * @bottleneck: what bounds the throughput
 * @bottleneck_index: which of the stages or hops it is
 *
 * A split of a model over devices, and what is predicted for it.
 */
struct _TandemPlacement
{
  guint n_stages;
  TandemPlacementStage *stages;
  guint n_hops;
  TandemPlacementHop *hops;
  double tokenize_seconds;
  double period;
  double latency;
  double sequences_per_second;
  double tokens_per_second;
  TandemBottleneck bottleneck;
  guint bottleneck_index;
};

/**
 * TandemPlan:
 * @objective: what was looked for
 * @best: the best placement
 * @runner_up: (nullable): the best one with other layers or devices, or %NULL when there is none
 * @single: (nullable): the best one on a single device, or %NULL when none can do it alone
 * @is_exact: whether every placement was considered
 * @bound: seconds of period (throughput) or latency that no placement goes below; with
 *   @is_exact that of @best
 *
 * The answer of a planner.
 */
struct _TandemPlan
{
  TandemPlacementObjective objective;
  TandemPlacement *best;
  TandemPlacement *runner_up;
  TandemPlacement *single;
  gboolean is_exact;
  double bound;
};

#define TANDEM_TYPE_PLACEMENT (tandem_placement_get_type ())

TANDEM_API
GType tandem_placement_get_type (void);

TANDEM_API
TandemPlacement *tandem_placement_copy (const TandemPlacement *self);

TANDEM_API
void tandem_placement_free (TandemPlacement *self);

#define TANDEM_TYPE_PLAN (tandem_plan_get_type ())

TANDEM_API
GType tandem_plan_get_type (void);

TANDEM_API
TandemPlan *tandem_plan_copy (const TandemPlan *self);

TANDEM_API
void tandem_plan_free (TandemPlan *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemPlacement, tandem_placement_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemPlan, tandem_plan_free)

G_END_DECLS
