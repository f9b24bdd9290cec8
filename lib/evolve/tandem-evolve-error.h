/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

#include "tandem-export.h"

G_BEGIN_DECLS

#define TANDEM_EVOLVE_ERROR (tandem_evolve_error_quark ())

/**
 * TandemEvolveError:
 * @TANDEM_EVOLVE_ERROR_SPACE: a search space is malformed; the message names the line or the member
 * @TANDEM_EVOLVE_ERROR_CANDIDATE: a candidate is not one of this space
 * @TANDEM_EVOLVE_ERROR_ALGORITHM: no optimizer has this name, or it cannot do what is asked
 * @TANDEM_EVOLVE_ERROR_STATE: a file is no state of a search, or not one that this program made
 * @TANDEM_EVOLVE_ERROR_TRIAL: a trial was not asked for, or told already
 * @TANDEM_EVOLVE_ERROR_WORKER: a worker crashed, was too slow or gave an answer that is none
 *
 * What can go wrong in a search.
 */
typedef enum
{
  TANDEM_EVOLVE_ERROR_SPACE,
  TANDEM_EVOLVE_ERROR_CANDIDATE,
  TANDEM_EVOLVE_ERROR_ALGORITHM,
  TANDEM_EVOLVE_ERROR_STATE,
  TANDEM_EVOLVE_ERROR_TRIAL,
  TANDEM_EVOLVE_ERROR_WORKER,
} TandemEvolveError;

TANDEM_API
GQuark tandem_evolve_error_quark (void);

G_END_DECLS
