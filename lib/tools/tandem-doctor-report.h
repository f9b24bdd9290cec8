/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What tandem doctor finds, for those who look and for those who show it. */
#pragma once

#include <gio/gio.h>
#include <json-glib/json-glib.h>

#include "tandem.h"

G_BEGIN_DECLS

typedef enum
{
  TANDEM_DOCTOR_OK,
  TANDEM_DOCTOR_NOTE,           /* to be known, and no problem */
  TANDEM_DOCTOR_PROBLEM,
} TandemDoctorLevel;

typedef struct
{
  TandemDoctorLevel level;
  const char *area;             /* "network", "discovery", "key", "node", "stage" */
  char *subject;
  char *text;                   /* what was found, a sentence */
  char *advice;                 /* (nullable): what to do */
  JsonObject *details;          /* (nullable) */
} TandemDoctorFinding;

typedef struct
{
  char *nodes;                  /* (nullable): a list */
  char *key_path;               /* (nullable) */
  gboolean insecure;
  gboolean measures;

  TandemClusterKey *key;        /* (nullable) */
  GCancellable *cancellable;
  GPtrArray *findings;          /* of TandemDoctorFinding */
  gboolean is_quiet;            /* no progress */
} TandemDoctor;

/* Adds a finding; text is taken, advice may be NULL and is not. */
TandemDoctorFinding *tandem_doctor_add (TandemDoctor *doctor, TandemDoctorLevel level,
                                        const char *area, const char *subject, char *text,
                                        const char *advice);
guint tandem_doctor_count_problems (const TandemDoctor *doctor);
void tandem_doctor_print_text (const TandemDoctor *doctor);
void tandem_doctor_print_json (const TandemDoctor *doctor);

/* Says what is done, on a terminal's standard error. */
void tandem_doctor_progress (const TandemDoctor *doctor, const char *text);

/* Lets a call of our thread's main context come back: waits until *result is set. */
void tandem_doctor_take (GObject *source, GAsyncResult *result, gpointer data);
GAsyncResult *tandem_doctor_wait (GAsyncResult **result);

/* tandem-doctor-network.c */
void tandem_doctor_examine_network (TandemDoctor *doctor);
void tandem_doctor_examine_daemon (TandemDoctor *doctor);

/* tandem-doctor-nodes.c */
void tandem_doctor_examine_nodes (TandemDoctor *doctor);

G_END_DECLS
