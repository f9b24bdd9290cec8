/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private: what was seen, put together. No locks: it belongs to one thread. */

#include "net/tandem-candidate.h"

G_BEGIN_DECLS

/* More are not looked at at a time: whoever fills the list takes no more than this of the memory.
 * Those that are written down have a place in any case. */
#define TANDEM_CANDIDATE_LIST_MAX_SIGHTINGS 256

/* An announcement, resolved on one interface and for one family of addresses. */
typedef struct
{
  const char *name;             /* of the announcement */
  const char *host;             /* as in "stage1.local" */
  GInetSocketAddress *address;
  gboolean is_ours;             /* it comes from this host */
  const guint8 *txt;
  gsize txt_size;
} TandemSighting;

/* Reads a record. */
typedef gboolean (*TandemCandidateParser) (TandemServiceInfo *info, const guint8 *txt, gsize size,
                                           GError **error);

typedef struct _TandemCandidateList TandemCandidateList;

TandemCandidateList *tandem_candidate_list_new (GPtrArray *peers, const char *own_instance);
void tandem_candidate_list_set_parser (TandemCandidateList *list, TandemCandidateParser parser);
void tandem_candidate_list_free (TandemCandidateList *list);
gboolean tandem_candidate_list_put (TandemCandidateList *list, const char *key,
                                    const TandemSighting *sighting);
gboolean tandem_candidate_list_remove (TandemCandidateList *list, const char *key);
gboolean tandem_candidate_list_clear (TandemCandidateList *list);
/* Returns (nullable) (transfer none) the key of the candidate that a sighting belongs to. */
const char *tandem_candidate_list_get_key (TandemCandidateList *list, const char *key);
GPtrArray *tandem_candidate_list_get (TandemCandidateList *list);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemCandidateList, tandem_candidate_list_free)

G_END_DECLS
