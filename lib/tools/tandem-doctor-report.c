/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-doctor-report.h"

#include <glib/gi18n-lib.h>
#include <unistd.h>

#include "tandem-command.h"

static const char *const level_names[] = { "ok", "note", "problem" };

static void
finding_free (gpointer data)
{
  TandemDoctorFinding *finding = data;

  g_free (finding->subject);
  g_free (finding->text);
  g_free (finding->advice);
  g_clear_pointer (&finding->details, json_object_unref);
  g_free (finding);
}

TandemDoctorFinding *
tandem_doctor_add (TandemDoctor *doctor, TandemDoctorLevel level, const char *area,
                   const char *subject, char *text, const char *advice)
{
  TandemDoctorFinding *finding = g_new0 (TandemDoctorFinding, 1);

  finding->level = level;
  finding->area = area;
  finding->subject = g_strdup (subject);
  finding->text = text;
  finding->advice = g_strdup (advice);
  if (doctor->findings == NULL)
    doctor->findings = g_ptr_array_new_with_free_func (finding_free);
  g_ptr_array_add (doctor->findings, finding);
  return finding;
}

guint
tandem_doctor_count_problems (const TandemDoctor *doctor)
{
  guint i, n = 0;

  for (i = 0; doctor->findings != NULL && i < doctor->findings->len; i++)
    n += ((TandemDoctorFinding *) doctor->findings->pdata[i])->level == TANDEM_DOCTOR_PROBLEM;
  return n;
}

/* --- text --- */

static const char *
get_title (const char *area)
{
  static const struct
  {
    const char *area, *title;
  } titles[] = {
    { "network", N_("Network") }, { "discovery", N_("Discovery") }, { "key", N_("Cluster key") },
    { "node", N_("Nodes") }, { "stage", N_("Stages") },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (titles); i++)
    if (g_str_equal (titles[i].area, area))
      return _(titles[i].title);
  return area;
}

void
tandem_doctor_print_text (const TandemDoctor *doctor)
{
  static const char *const marks[] = { "  ", "- ", "! " };
  guint i, n = tandem_doctor_count_problems (doctor);
  const char *area = NULL;

  for (i = 0; doctor->findings != NULL && i < doctor->findings->len; i++) {
    const TandemDoctorFinding *finding = doctor->findings->pdata[i];
    g_autofree char *subject = tandem_command_printable (finding->subject);
    g_autofree char *text = tandem_command_printable (finding->text);

    if (area == NULL || !g_str_equal (area, finding->area))
      g_print ("%s%s\n", area != NULL ? "\n" : "", get_title (finding->area));
    area = finding->area;
    g_print ("  %s%s: %s\n", marks[finding->level], subject, text);
    if (finding->advice != NULL) {
      g_autofree char *advice = tandem_command_printable (finding->advice);

      g_print ("      -> %s\n", advice);
    }
  }
  if (n == 0)
    g_print ("\n%s\n", _("All is well."));
  else
    g_print (g_dngettext (GETTEXT_PACKAGE, "\n%u problem was found.\n",
                          "\n%u problems were found.\n", n), n);
}

/* --- JSON --- */

void
tandem_doctor_print_json (const TandemDoctor *doctor)
{
  g_autoptr (JsonBuilder) json = json_builder_new ();
  g_autoptr (JsonGenerator) generator = json_generator_new ();
  g_autoptr (JsonNode) root = NULL;
  g_autofree char *text = NULL;
  guint i;

  json_builder_begin_object (json);
  json_builder_set_member_name (json, "library");
  json_builder_add_string_value (json, tandem_version ());
  json_builder_set_member_name (json, "problems");
  json_builder_add_int_value (json, tandem_doctor_count_problems (doctor));
  json_builder_set_member_name (json, "findings");
  json_builder_begin_array (json);
  for (i = 0; doctor->findings != NULL && i < doctor->findings->len; i++) {
    const TandemDoctorFinding *finding = doctor->findings->pdata[i];
    g_autofree char *subject = g_utf8_make_valid (finding->subject, -1);
    g_autofree char *sentence = g_utf8_make_valid (finding->text, -1);

    json_builder_begin_object (json);
    json_builder_set_member_name (json, "area");
    json_builder_add_string_value (json, finding->area);
    json_builder_set_member_name (json, "subject");
    json_builder_add_string_value (json, subject);
    json_builder_set_member_name (json, "level");
    json_builder_add_string_value (json, level_names[finding->level]);
    json_builder_set_member_name (json, "text");
    json_builder_add_string_value (json, sentence);
    if (finding->advice != NULL) {
      json_builder_set_member_name (json, "advice");
      json_builder_add_string_value (json, finding->advice);
    }
    if (finding->details != NULL) {
      json_builder_set_member_name (json, "details");
      json_builder_add_value (json, json_node_init_object (json_node_alloc (), finding->details));
    }
    json_builder_end_object (json);
  }
  json_builder_end_array (json);
  json_builder_end_object (json);
  root = json_builder_get_root (json);
  json_generator_set_root (generator, root);
  json_generator_set_pretty (generator, TRUE);
  text = json_generator_to_data (generator, NULL);
  g_print ("%s\n", text);
}

/* --- waiting --- */

void
tandem_doctor_progress (const TandemDoctor *doctor, const char *text)
{
  if (!doctor->is_quiet && isatty (STDERR_FILENO))
    g_printerr ("%s: %s\n", g_get_prgname (), text);
}

void
tandem_doctor_take (GObject *source, GAsyncResult *result, gpointer data)
{
  *(GAsyncResult **) data = g_object_ref (result);
}

GAsyncResult *
tandem_doctor_wait (GAsyncResult **result)
{
  while (*result == NULL)
    g_main_context_iteration (NULL, TRUE);
  return *result;
}
