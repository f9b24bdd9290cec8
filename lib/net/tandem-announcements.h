/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the daemon announces, looked up: as many at once as there are places, the others in turns. All
 * of it belongs to one thread, that of tandem-avahi.c. */
#pragma once

#include "net/tandem-avahi.h"
#include "net/tandem-candidate-list.h"

G_BEGIN_DECLS

typedef struct
{
  /* The list has other candidates than before. */
  void (*changed) (gpointer data);

  /* All that is announced, and has a place, was looked up once. May come again. */
  void (*settled) (gpointer data);

  /* It looks, where error is AVAHI_OK, or cannot. */
  void (*looks) (int error, gpointer data);

  /* Whether a candidate of the list keeps its place when others have their turn. */
  gboolean (*is_kept) (const char *candidate, gpointer data);
} TandemAnnouncementsFuncs;

typedef struct _TandemAnnouncements TandemAnnouncements;

/* @list outlives it, and so do @funcs. */
TandemAnnouncements *tandem_announcements_new (TandemCandidateList *list,
                                               const TandemAnnouncementsFuncs *funcs,
                                               gpointer data);

void tandem_announcements_free (TandemAnnouncements *self);

/* Browses for services of a type, until tandem_announcements_end(); again it does nothing. */
void tandem_announcements_begin (TandemAnnouncements *self, TandemAvahi *avahi,
                                 AvahiClient *client, const char *type);

/* Forgets all that was announced, and takes it from the list. */
void tandem_announcements_end (TandemAnnouncements *self);

G_END_DECLS
