/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the files of the profile share. Not a part of the public API. */
#pragma once

#include "place/tandem-place-json.h"
#include "place/tandem-profile.h"

G_BEGIN_DECLS

#define TANDEM_PROFILE_N_PARTS 4

/* tandem-profile.c */

/* Returns a profile of this device, without costs. */
TandemProfile *tandem_profile_new_here (TandemModel *model, TandemPrecision precision,
                                        guint n_threads);

/* tandem-profile-fit.c */

/* The costs that come nearest to the samples of a part, none of them negative. */
void tandem_profile_fit (TandemProfile *self, TandemProfilePart part);

/* tandem-profile-file.c */

/* Reads the member "seconds" of a profile or a device. */
gboolean tandem_profile_read_seconds (const TandemPlaceObject *in, TandemCost costs[4]);
TandemProfile *tandem_profile_parse (const TandemPlaceObject *in);

/* work_ends: what other threads of the process do now they will not do when it counts. */
TandemProfile *tandem_profile_measure_beside (TandemModel *model, TandemPrecision precision,
                                              guint n_threads, double seconds, gboolean work_ends,
                                              GCancellable *cancellable, GError **error);

G_END_DECLS
