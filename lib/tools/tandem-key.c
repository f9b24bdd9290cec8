/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tandem key: makes the key of a cluster, and shows which one a device has. */

#include "config.h"

#include <glib/gi18n-lib.h>
#include <json-glib/json-glib.h>

#include "tandem-command.h"
#include "tandem.h"

#define NAME_LENGTH 64

/* The name of this device, as far as a cluster can have it. */
static char *
make_name (void)
{
  g_autofree char *name = g_strndup (g_get_host_name (), NAME_LENGTH);

  g_strcanon (name, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._-", '-');
  return name[0] != '\0' ? g_steal_pointer (&name) : g_strdup ("cluster");
}

static gboolean
create (const char *path, const char *name, int days, GError **error)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autoptr (GDateTime) expiry = g_date_time_add_days (now, days);

  return tandem_cluster_key_create (path, name, expiry, error);
}

static void
print_text (TandemClusterKey *key)
{
  g_autofree char *expiry =
      g_date_time_format (tandem_cluster_key_get_expiry (key), "%Y-%m-%d %H:%M UTC");
  g_autofree char *path = g_filename_display_name (tandem_cluster_key_get_path (key));
  g_autofree char *name = tandem_command_printable (tandem_cluster_key_get_name (key));
  gboolean valid = tandem_cluster_key_check_validity (key, NULL);

  g_print (_("name:        %s\n"), name);
  g_print (_("fingerprint: %s\n"), tandem_cluster_key_get_fingerprint (key));
  g_print (valid ? _("valid until: %s\n") : _("not valid, until: %s\n"), expiry);
  g_print (_("file:        %s\n"), path);
}

static void
print_json (TandemClusterKey *key)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  g_autoptr (JsonGenerator) generator = json_generator_new ();
  g_autoptr (JsonNode) root = NULL;
  g_autofree char *expiry = g_date_time_format_iso8601 (tandem_cluster_key_get_expiry (key));
  g_autofree char *path = g_filename_display_name (tandem_cluster_key_get_path (key));
  g_autofree char *text = NULL;

  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "name");
  json_builder_add_string_value (builder, tandem_cluster_key_get_name (key));
  json_builder_set_member_name (builder, "fingerprint");
  json_builder_add_string_value (builder, tandem_cluster_key_get_fingerprint (key));
  json_builder_set_member_name (builder, "expiry");
  json_builder_add_string_value (builder, expiry);
  json_builder_set_member_name (builder, "valid");
  json_builder_add_boolean_value (builder, tandem_cluster_key_check_validity (key, NULL));
  json_builder_set_member_name (builder, "path");
  json_builder_add_string_value (builder, path);
  json_builder_end_object (builder);
  root = json_builder_get_root (builder);
  json_generator_set_root (generator, root);
  json_generator_set_pretty (generator, TRUE);
  text = json_generator_to_data (generator, NULL);
  g_print ("%s\n", text);
}

static int
run_new (const char *path, const char *name, int days)
{
  g_autofree char *host = make_name ();
  g_autoptr (TandemClusterKey) key = NULL;
  g_autoptr (GError) error = NULL;

  if (days < 1 || days > TANDEM_CLUSTER_KEY_MAX_DAYS)
    return tandem_command_usage (_("--days is a number from 1 to %d"),
                                 TANDEM_CLUSTER_KEY_MAX_DAYS);
  if (!create (path, name != NULL ? name : host, days, &error) ||
      (key = tandem_cluster_key_load (path, &error)) == NULL)
    return tandem_command_failed (error);
  print_text (key);
  g_print (_("\nCopy this file to every other device of the cluster, over a way that nobody else "
             "can read\n(scp, a USB stick), and keep its mode 0600. Who has it is a member.\n"));
  return TANDEM_EXIT_OK;
}

static int
run_show (const char *path, gboolean json)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemClusterKey) key = tandem_cluster_key_load (path, &error);

  if (key == NULL)
    return tandem_command_failed (error);
  if (json)
    print_json (key);
  else
    print_text (key);
  if (tandem_cluster_key_check_validity (key, &error))
    return TANDEM_EXIT_OK;
  return tandem_command_failed (error);
}

static int
run (char **args)
{
  g_autofree char *name = NULL;
  g_autofree char *path = NULL;
  gboolean json = FALSE;
  int days = TANDEM_CLUSTER_KEY_DEFAULT_DAYS;
  const GOptionEntry entries[] = {
    { "name", 'n', G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING, &name,
      N_("What the cluster is called (new; default: the name of this device)"), N_("NAME") },
    { "days", 'd', G_OPTION_FLAG_NONE, G_OPTION_ARG_INT, &days,
      N_("How long the key is valid (new; default: 730)"), N_("DAYS") },
    { "json", 'j', G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &json,
      N_("Print one JSON object (show)"), NULL },
    { NULL },
  };
  g_auto (GStrv) rest = g_strdupv (args);
  gboolean make;

  if (!tandem_command_parse (&tandem_command_key, N_("new|show [FILE]"),
                             N_("\"new\" makes a key for a cluster, \"show\" says which one a "
                                "device has.\nFILE is what TANDEM_KEY names, or "
                                "~/.config/tandem/cluster.key, if it is not given."),
                             entries, &rest))
    return TANDEM_EXIT_USAGE;
  if (rest[1] == NULL)
    return tandem_command_usage (_("\"new\" or \"show\" is needed"));
  make = g_str_equal (rest[1], "new");
  if (!make && !g_str_equal (rest[1], "show"))
    return tandem_command_usage (_("there is no \"%s\"; \"new\" or \"show\" is needed"), rest[1]);
  if (rest[2] != NULL && rest[3] != NULL)
    return tandem_command_usage (_("one FILE, not several"));
  path = rest[2] != NULL ? g_strdup (rest[2]) : tandem_cluster_key_get_default_path ();
  return make ? run_new (path, name, days) : run_show (path, json);
}

const TandemCommand tandem_command_key = {
  .name = "key",
  .summary = N_("Make or show the key of a cluster"),
  .run = run,
};
