/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

#include "tandem-export.h"

G_BEGIN_DECLS

/**
 * TANDEM_NODE_ERROR:
 *
 * Error domain of what a node answers to a request.
 */
#define TANDEM_NODE_ERROR (tandem_node_error_quark ())

/**
 * TandemNodeError:
 * @TANDEM_NODE_ERROR_FAILED: any other reason
 * @TANDEM_NODE_ERROR_INVALID: a request that is malformed or out of range
 * @TANDEM_NODE_ERROR_UNKNOWN: a request that the node does not know
 * @TANDEM_NODE_ERROR_BUSY: too many connections or requests at once, or somebody else sends the
 *   same file
 * @TANDEM_NODE_ERROR_NOT_FOUND: the node has no such stage file or no such pipeline
 * @TANDEM_NODE_ERROR_NO_SPACE: the disk is full, or the file is larger than what the cache may hold
 * @TANDEM_NODE_ERROR_CORRUPT: a file that is not what its digest says, or no stage file
 * @TANDEM_NODE_ERROR_MEMORY: a stage, or a model to be measured, needs more memory than there is
 * @TANDEM_NODE_ERROR_MODEL: a configuration that is not supported, or layers that a file does not
 * hold
 * @TANDEM_NODE_ERROR_CANCELLED: the request was cancelled
 *
 * Why a node did not do what it was asked for.
 */
typedef enum
{
  TANDEM_NODE_ERROR_FAILED,
  TANDEM_NODE_ERROR_INVALID,
  TANDEM_NODE_ERROR_UNKNOWN,
  TANDEM_NODE_ERROR_BUSY,
  TANDEM_NODE_ERROR_NOT_FOUND,
  TANDEM_NODE_ERROR_NO_SPACE,
  TANDEM_NODE_ERROR_CORRUPT,
  TANDEM_NODE_ERROR_MEMORY,
  TANDEM_NODE_ERROR_MODEL,
  TANDEM_NODE_ERROR_CANCELLED,
} TandemNodeError;

TANDEM_API
GQuark tandem_node_error_quark (void);

G_END_DECLS
