/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-command.h"

#include <glib/gi18n-lib.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

gboolean
tandem_command_parse (const TandemCommand *command, const char *usage, const char *description,
                      const GOptionEntry *entries, char ***args)
{
  g_autoptr (GOptionContext) context = g_option_context_new (usage);
  g_autofree char *name = g_strdup_printf ("tandem %s", command->name);
  g_autoptr (GError) error = NULL;

  g_set_prgname (name);
  g_option_context_set_translation_domain (context, GETTEXT_PACKAGE);
  g_option_context_set_summary (context, command->summary);
  g_option_context_set_description (context, description);
  g_option_context_add_main_entries (context, entries, GETTEXT_PACKAGE);
  if (g_option_context_parse_strv (context, args, &error))
    return TRUE;
  tandem_command_usage ("%s", error->message);
  return FALSE;
}

char *
tandem_command_printable (const char *text)
{
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  GString *out = g_string_new (NULL);
  const char *next;

  for (next = valid; *next != '\0'; next = g_utf8_next_char (next)) {
    gunichar c = g_utf8_get_char (next);

    g_string_append_unichar (out, g_unichar_isprint (c) || c == '\n' ? c : 0xfffd);
  }
  return g_string_free (out, FALSE);
}

int
tandem_command_usage (const char *format, ...)
{
  g_autofree char *text = NULL;
  g_autofree char *printable = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  printable = tandem_command_printable (text);
  g_printerr ("%s: %s\n", g_get_prgname (), printable);
  g_printerr (_("Try \"%s --help\".\n"), g_get_prgname ());
  return TANDEM_EXIT_USAGE;
}

int
tandem_command_failed (const GError *error)
{
  g_autofree char *printable = tandem_command_printable (error->message);

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    g_printerr (_("%s: interrupted\n"), g_get_prgname ());
  else
    g_printerr ("%s: %s\n", g_get_prgname (), printable);
  return TANDEM_EXIT_FAILED;
}

void
tandem_command_warn (const char *format, ...)
{
  g_autofree char *text = NULL;
  g_autofree char *printable = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  printable = tandem_command_printable (text);
  g_printerr (_("%s: warning: %s\n"), g_get_prgname (), printable);
}

static gpointer
wait_for_signals (gpointer data)
{
  g_autoptr (GCancellable) cancellable = data;
  sigset_t signals;
  int number;

  sigemptyset (&signals);
  sigaddset (&signals, SIGINT);
  sigaddset (&signals, SIGTERM);
  sigaddset (&signals, SIGHUP);
  sigwait (&signals, &number);
  g_cancellable_cancel (cancellable);
  sigwait (&signals, &number);
  _exit (128 + number);
}

GCancellable *
tandem_command_catch_signals (void)
{
  GCancellable *cancellable = g_cancellable_new ();
  sigset_t signals;

  sigemptyset (&signals);
  sigaddset (&signals, SIGINT);
  sigaddset (&signals, SIGTERM);
  sigaddset (&signals, SIGHUP);
  pthread_sigmask (SIG_BLOCK, &signals, NULL);
  g_thread_unref (g_thread_new ("signals", wait_for_signals, g_object_ref (cancellable)));
  return cancellable;
}

gboolean
tandem_command_parse_size (const char *text, guint64 *bytes)
{
  static const char units[] = "KMGT";
  g_autofree char *digits = g_strdup (text);
  gsize n = strlen (digits);
  const char *unit = n > 1 ? strchr (units, g_ascii_toupper (digits[n - 1])) : NULL;
  guint shift = 0;

  if (unit != NULL && *unit != '\0') {
    shift = 10 * (guint) (unit - units + 1);
    digits[n - 1] = '\0';
  }
  if (!g_ascii_string_to_unsigned (digits, 10, 1, G_MAXUINT64 >> shift, bytes, NULL))
    return FALSE;
  *bytes <<= shift;
  return TRUE;
}
