/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tandem doctor: why devices do not find each other, or cannot be used. */

#include "config.h"

#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>

#include "tandem-command.h"
#include "tandem-doctor-report.h"

/* A key that expires within so many days is to be renewed. */
#define SOON_DAYS 14

static void
doctor_clear (TandemDoctor *doctor)
{
  g_free (doctor->nodes);
  g_free (doctor->key_path);
  g_clear_object (&doctor->key);
  g_clear_object (&doctor->cancellable);
  g_clear_pointer (&doctor->findings, g_ptr_array_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TandemDoctor, doctor_clear)

static void
describe_key (TandemDoctor *doctor, const char *path)
{
  g_autoptr (GError) error = NULL;
  GDateTime *expiry = tandem_cluster_key_get_expiry (doctor->key);
  g_autofree char *until = g_date_time_format (expiry, "%Y-%m-%d %H:%M UTC");
  g_autofree char *name = g_strdup (tandem_cluster_key_get_name (doctor->key));
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  TandemDoctorFinding *finding;
  GStatBuf status;
  guint mode = g_stat (path, &status) == 0 ? (guint) status.st_mode & 07777 : 0;

  if (!tandem_cluster_key_check_validity (doctor->key, &error))
    finding = tandem_doctor_add (doctor, TANDEM_DOCTOR_PROBLEM, "key", path,
        g_strdup_printf (_("\"%s\" is not valid: %s"), name, error->message),
        _("Set the clock if it is wrong; else make a new key with \"tandem key new\" and copy it "
          "to all devices."));
  else if (g_date_time_difference (expiry, now) < SOON_DAYS * G_TIME_SPAN_DAY)
    finding = tandem_doctor_add (doctor, TANDEM_DOCTOR_NOTE, "key", path,
        g_strdup_printf (_("\"%s\", mode %04o, expires soon: %s"), name, mode, until),
        _("Make a new key with \"tandem key new\" and copy it to all devices."));
  else
    finding = tandem_doctor_add (doctor, TANDEM_DOCTOR_OK, "key", path,
        g_strdup_printf (_("\"%s\", mode %04o, valid until %s, fingerprint %.16s"), name, mode,
                         until, tandem_cluster_key_get_fingerprint (doctor->key)), NULL);
  finding->details = json_object_new ();
  json_object_set_string_member (finding->details, "fingerprint",
                                 tandem_cluster_key_get_fingerprint (doctor->key));
  json_object_set_string_member (finding->details, "expiry", until);
  json_object_set_int_member (finding->details, "mode", mode);
}

static void
examine_key (TandemDoctor *doctor)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = doctor->key_path != NULL ? g_strdup (doctor->key_path)
                                                   : tandem_cluster_key_get_default_path ();
  g_autofree char *shown = g_filename_display_name (path);

  if (doctor->insecure && doctor->key_path == NULL) {
    tandem_doctor_add (doctor, TANDEM_DOCTOR_NOTE, "key", shown,
                       g_strdup (_("is not used: --insecure was given")), NULL);
    return;
  }
  doctor->key = tandem_cluster_key_load (path, &error);
  if (doctor->key != NULL)
    describe_key (doctor, path);
  else
    tandem_doctor_add (doctor, TANDEM_DOCTOR_PROBLEM, "key", shown, g_strdup (error->message),
                       _("Make one with \"tandem key new\" on one device, and copy the file to all "
                         "of them."));
}

static int
run (char **args)
{
  g_auto (TandemDoctor) doctor = { NULL };
  gboolean as_json = FALSE, no_measure = FALSE;
  const GOptionEntry entries[] = {
    { "nodes", 'n', G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &doctor.nodes,
      N_("Examine these nodes and no others; @FILE reads the list"), N_("HOST[:PORT],…") },
    { "key", 'k', G_OPTION_FLAG_NONE, G_OPTION_ARG_FILENAME, &doctor.key_path,
      N_("The cluster key, if not the usual one"), N_("FILE") },
    { "insecure", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &doctor.insecure,
      N_("Talk to nodes that have no key"), NULL },
    { "no-measure", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &no_measure,
      N_("Do not measure what links carry"), NULL },
    { "json", 'j', G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &as_json,
      N_("Print JSON, for programs"), NULL },
    { NULL },
  };
  g_auto (GStrv) rest = g_strdupv (args);
  g_autoptr (GError) error = NULL;

  if (!tandem_command_parse (&tandem_command_doctor, NULL,
                             N_("Looks at this device's network, key and discovery, and at every "
                                "node and stage that is\nlisted or announced. Exits with 1 when "
                                "there are problems."), entries, &rest))
    return TANDEM_EXIT_USAGE;
  if (rest[1] != NULL)
    return tandem_command_usage (_("there is nothing to be named but options"));
  if (doctor.nodes != NULL) {
    g_autoptr (TandemCluster) probe = tandem_cluster_new (doctor.nodes, NULL, FALSE, &error);

    if (probe == NULL)
      return tandem_command_usage ("%s", error->message);
  }
  doctor.measures = !no_measure;
  doctor.is_quiet = as_json;
  doctor.cancellable = tandem_command_catch_signals ();
  tandem_doctor_examine_network (&doctor);
  tandem_doctor_examine_daemon (&doctor);
  examine_key (&doctor);
  tandem_doctor_examine_nodes (&doctor);
  if (g_cancellable_set_error_if_cancelled (doctor.cancellable, &error))
    return tandem_command_failed (error);
  if (as_json)
    tandem_doctor_print_json (&doctor);
  else
    tandem_doctor_print_text (&doctor);
  return tandem_doctor_count_problems (&doctor) > 0 ? TANDEM_EXIT_FAILED : TANDEM_EXIT_OK;
}

const TandemCommand tandem_command_doctor = {
  .name = "doctor",
  .summary = N_("Say why devices are not found or cannot be used"),
  .run = run,
};
