/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* What the tandem command returns to the shell. */
enum
{
  TANDEM_EXIT_OK = 0,
  TANDEM_EXIT_FAILED = 1,
  TANDEM_EXIT_USAGE = 2,
  TANDEM_EXIT_INTERRUPTED = 130,        /* what there is was kept, and more was to come */
};

/* A subcommand: one file each, listed in tandem-main.c. */
typedef struct
{
  const char *name;
  const char *summary;          /* marked with N_() */
  /* @args holds the program's name and what follows the subcommand's name;
   * returns an exit status. */
  int (*run) (char **args);
} TandemCommand;

extern const TandemCommand tandem_command_doctor;
extern const TandemCommand tandem_command_fit;
extern const TandemCommand tandem_command_inspect;
extern const TandemCommand tandem_command_key;
extern const TandemCommand tandem_command_merge;
extern const TandemCommand tandem_command_node;
extern const TandemCommand tandem_command_plan;
extern const TandemCommand tandem_command_profile;
extern const TandemCommand tandem_command_prune;
extern const TandemCommand tandem_command_quantize;
extern const TandemCommand tandem_command_run;
extern const TandemCommand tandem_command_slim;
extern const TandemCommand tandem_command_split;
extern const TandemCommand tandem_command_train;
extern const TandemCommand tandem_command_tune;

/* Takes the options out of @args. @usage is what follows the options in the
 * usage line, @description what stands below the options. Returns FALSE when the
 * options are wrong, after saying so. */
gboolean tandem_command_parse (const TandemCommand *command, const char *usage,
                               const char *description, const GOptionEntry *entries,
                               char ***args);

/* Print a line that begins with the program's name to standard error; they return
 * the exit status that goes with it. */
int tandem_command_usage (const char *format, ...) G_GNUC_PRINTF (1, 2);
int tandem_command_failed (const GError *error);
void tandem_command_warn (const char *format, ...) G_GNUC_PRINTF (1, 2);

/* Returns (transfer full) @text with what a terminal would obey replaced: names in
 * model files come from strangers. */
char *tandem_command_printable (const char *text);

/* Reads a number of bytes, perhaps with K, M, G or T behind: powers of 1024. */
gboolean tandem_command_parse_size (const char *text, guint64 *bytes);

/* Returns (transfer full) a cancellable that the first SIGINT, SIGTERM or SIGHUP
 * cancels; the second one ends the process. To be called once, before threads
 * are started. */
GCancellable *tandem_command_catch_signals (void);

G_END_DECLS
