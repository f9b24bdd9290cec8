/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tandem-tune-options.h"

G_BEGIN_DECLS

/* An entry of the command line, and what becomes of its value when the search is resumed. */
typedef struct
{
  GOptionEntry entry;
  gboolean is_path;
  gboolean may_change;          /* the one that is resumed may have another */
} TuneOption;

#define TUNE_MAX_OPTIONS 40

/* Fills entries, which a NULL ends; returns how many there are. */
guint tune_options_list_entries (TuneOptions *self, TuneOption *entries);

void tune_options_set_defaults (TuneOptions *self);

void tune_options_make_paths_absolute (TuneOptions *self);

/* (transfer full): the arguments that a search with these options begins with, the first "tune",
 * without those that may change. */
char **tune_options_list (const TuneOptions *self);

/* (transfer full): what tune_options_save() wrote, without "tune". */
char **tune_options_load (const char *output, GError **error);

G_END_DECLS
