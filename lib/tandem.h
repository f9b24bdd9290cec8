/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tandem-export.h"
#include "tandem-init.h"

#include "tensor/tandem-safetensors.h"
#include "tensor/tandem-tensor.h"

#include "model/tandem-bert-stage.h"
#include "model/tandem-model.h"
#include "model/tandem-ngram-classifier.h"

#include "place/tandem-cost.h"
#include "place/tandem-device.h"
#include "place/tandem-place-error.h"
#include "place/tandem-place-files.h"
#include "place/tandem-placement-problem.h"
#include "place/tandem-placement.h"
#include "place/tandem-profile.h"

#include "place/tandem-cost.h"
#include "place/tandem-device.h"
#include "place/tandem-place-error.h"
#include "place/tandem-place-files.h"
#include "place/tandem-placement-problem.h"
#include "place/tandem-placement.h"
#include "place/tandem-profile.h"

#include "stream/tandem-batch-meta.h"
#include "stream/tandem-caps.h"
#include "stream/tandem-receipt.h"
#include "stream/tandem-row-pool.h"
#include "stream/tandem-rows.h"
#include "stream/tandem-training-events.h"

#include "text/tandem-review-reader.h"
#include "text/tandem-tokenizer.h"
#include "net/tandem-advertiser.h"
#include "net/tandem-candidate.h"
#include "net/tandem-cluster-key.h"
#include "net/tandem-crc32c.h"
#include "net/tandem-discovery.h"
#include "net/tandem-frame.h"
#include "net/tandem-frame-decoder.h"
#include "net/tandem-receiver.h"
#include "net/tandem-sender.h"
#include "net/tandem-service-info.h"

#include "node/tandem-node.h"
#include "node/tandem-node-client.h"
#include "node/tandem-node-error.h"
#include "node/tandem-node-info.h"

#include "cluster/tandem-cluster.h"
#include "cluster/tandem-cluster-member.h"

#include "quantize/tandem-quantize.h"

#include "train/tandem-checkpoint.h"
#include "train/tandem-early-stopping.h"
#include "train/tandem-learning-curve.h"
#include "train/tandem-loss.h"
#include "train/tandem-masking.h"
#include "train/tandem-model-export.h"
#include "train/tandem-model-init.h"
#include "train/tandem-schedule.h"
#include "train/tandem-train-error.h"
#include "train/tandem-train-stage.h"
