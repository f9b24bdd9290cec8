/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

#include "tandem-export.h"

G_BEGIN_DECLS

#define TANDEM_PLACE_ERROR (tandem_place_error_quark ())

/**
 * TandemPlaceError:
 * @TANDEM_PLACE_ERROR_DEVICE: a device's numbers are out of range, or its name is taken
 * @TANDEM_PLACE_ERROR_FILE: a file of devices, a placement or a profile is malformed
 * @TANDEM_PLACE_ERROR_PLACEMENT: a given placement does not fit the model or the devices
 * @TANDEM_PLACE_ERROR_IMPOSSIBLE: no placement does
 * @TANDEM_PLACE_ERROR_MODEL: the model cannot be planned with or measured
 *
 * What can go wrong when a model is placed on devices.
 */
typedef enum
{
  TANDEM_PLACE_ERROR_DEVICE,
  TANDEM_PLACE_ERROR_FILE,
  TANDEM_PLACE_ERROR_PLACEMENT,
  TANDEM_PLACE_ERROR_IMPOSSIBLE,
  TANDEM_PLACE_ERROR_MODEL,
} TandemPlaceError;

TANDEM_API
GQuark tandem_place_error_quark (void);

G_END_DECLS
