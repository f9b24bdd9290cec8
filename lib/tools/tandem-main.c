/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The tandem command: a table of subcommands. */

#include "config.h"

#include <glib/gi18n-lib.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "tandem-command.h"
#include "tandem.h"

static const TandemCommand *const commands[] = {
  &tandem_command_doctor,
  &tandem_command_fit,
  &tandem_command_inspect,
  &tandem_command_key,
  &tandem_command_merge,
  &tandem_command_node,
  &tandem_command_plan,
  &tandem_command_profile,
  &tandem_command_prune,
  &tandem_command_quantize,
  &tandem_command_run,
  &tandem_command_slim,
  &tandem_command_split,
  &tandem_command_train,
  &tandem_command_tune,
};

static const TandemCommand *
find_command (const char *name)
{
  guint i;

  for (i = 0; i < G_N_ELEMENTS (commands); i++)
    if (g_str_equal (commands[i]->name, name))
      return commands[i];
  return NULL;
}

static char *
make_usage (void)
{
  GString *text = g_string_new (_("Usage:\n"
                                  "  tandem COMMAND [OPTION…] [ARGUMENT…]\n"
                                  "\n"
                                  "Runs transformer models that are split over the devices of a "
                                  "local network.\n"
                                  "\n"
                                  "Commands:\n"));
  guint i;

  for (i = 0; i < G_N_ELEMENTS (commands); i++)
    g_string_append_printf (text, "  %-10s %s\n", commands[i]->name, _(commands[i]->summary));
  g_string_append_printf (text, "  %-10s %s\n\n", "help", _("Say how a command is used"));
  g_string_append (text, _("Options:\n"
                           "  --help     Show this text\n"
                           "  --version  Show the version\n"));
  return g_string_free (text, FALSE);
}

static int
run_command (const char *name, char **rest)
{
  const TandemCommand *command = find_command (name);
  g_autoptr (GStrvBuilder) args = NULL;
  g_auto (GStrv) strv = NULL;

  if (command == NULL)
    return tandem_command_usage (_("there is no command \"%s\""), name);
  args = g_strv_builder_new ();
  g_strv_builder_add (args, name);
  g_strv_builder_addv (args, (const char **) rest);
  strv = g_strv_builder_end (args);
  return command->run (strv);
}

static int
run (char **args)
{
  g_autofree char *usage = make_usage ();
  char *help[] = { (char *) "--help", NULL };

  if (args[0] == NULL) {
    g_printerr ("%s", usage);
    return TANDEM_EXIT_USAGE;
  }
  if (g_str_equal (args[0], "--version")) {
    g_print ("tandem %s\n", tandem_version ());
    return TANDEM_EXIT_OK;
  }
  if (g_str_equal (args[0], "--help") || g_str_equal (args[0], "-h") ||
      (g_str_equal (args[0], "help") && args[1] == NULL)) {
    g_print ("%s", usage);
    return TANDEM_EXIT_OK;
  }
  if (g_str_equal (args[0], "help"))
    return run_command (args[1], help);
  if (args[0][0] == '-')
    return tandem_command_usage (_("there is no option \"%s\""), args[0]);
  return run_command (args[0], args + 1);
}

int
main (int argc, char **argv)
{
  const char *dir = g_getenv ("TANDEM_LOCALEDIR");
  int status;

  setlocale (LC_ALL, "");
  /* As tandem_init() does, without GStreamer: commands that need it start it. */
  bindtextdomain (GETTEXT_PACKAGE, dir != NULL ? dir : LOCALEDIR);
  bind_textdomain_codeset (GETTEXT_PACKAGE, "UTF-8");
  g_set_prgname ("tandem");

  status = argc > 0 ? run (argv + 1) : TANDEM_EXIT_USAGE;
  /* A full disk behind a redirection shows here. */
  if ((fflush (stdout) != 0 || ferror (stdout)) && status == TANDEM_EXIT_OK) {
    g_printerr (_("%s: standard output cannot be written\n"), g_get_prgname ());
    status = TANDEM_EXIT_FAILED;
  }
  return status;
}
