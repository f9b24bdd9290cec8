/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-peer-search.h"

#include <glib/gi18n-lib.h>

#define BACKOFF_MIN_US (250 * G_TIME_SPAN_MILLISECOND)
#define BACKOFF_MAX_US (5 * G_USEC_PER_SEC)
/* Who takes another stream will hardly take this one soon. */
#define BACKOFF_OTHER_US (2 * G_USEC_PER_SEC)
/* Candidates that a sentence names. */
#define MAX_EXPLAINED 8

typedef struct
{
  GError *reason;               /* the last one; NULL: none so far */
  guint n_failures;             /* attempts in a row */
  gint64 not_before;            /* monotonic */
  gboolean kept;                /* it was worked with last, and did work */
  gboolean present;
} Attempts;

struct _TandemPeerSearch
{
  TandemPeerSearchFunc refused;
  gpointer user_data;
  GHashTable *attempts;         /* key of a candidate -> Attempts */
};

static void
attempts_free (gpointer data)
{
  Attempts *attempts = data;

  g_clear_error (&attempts->reason);
  g_free (attempts);
}

TandemPeerSearch *
tandem_peer_search_new (TandemPeerSearchFunc refused, gpointer user_data)
{
  TandemPeerSearch *search = g_new0 (TandemPeerSearch, 1);

  search->refused = refused;
  search->user_data = user_data;
  search->attempts = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, attempts_free);
  return search;
}

void
tandem_peer_search_free (TandemPeerSearch *search)
{
  g_hash_table_unref (search->attempts);
  g_free (search);
}

static Attempts *
get_attempts (TandemPeerSearch *search, TandemCandidate *candidate)
{
  const char *key = tandem_candidate_get_key (candidate);
  Attempts *attempts = g_hash_table_lookup (search->attempts, key);

  if (attempts == NULL) {
    attempts = g_new0 (Attempts, 1);
    g_hash_table_insert (search->attempts, g_strdup (key), attempts);
  }
  return attempts;
}

static void
note_reason (TandemPeerSearch *search, TandemCandidate *candidate, Attempts *attempts,
             const GError *reason)
{
  gboolean known =
      attempts->reason != NULL && g_str_equal (attempts->reason->message, reason->message);

  if (known)
    return;
  g_clear_error (&attempts->reason);
  attempts->reason = g_error_copy (reason);
  if (search->refused != NULL)
    search->refused (candidate, reason, search->user_data);
}

/* Whether what it announces speaks against it. Announcements can be old, but then a new one is on
 * its way. */
static gboolean
announces_stream (TandemCandidate *candidate, const TandemStreamInfo *stream, GError **error)
{
  const TandemServiceInfo *service = tandem_candidate_get_service (candidate);
  const GError *problem = tandem_candidate_get_problem (candidate);

  if (problem != NULL) {
    g_propagate_error (error, g_error_copy (problem));
    return FALSE;
  }
  return service == NULL || tandem_service_info_check (service, stream, error);
}

typedef struct
{
  TandemCandidate *candidate;
  const Attempts *attempts;
  gboolean is_listed;
  gboolean is_exact;
  guint capacity;
} Choice;

/* Whether a is better than b. Among equals the order of the list decides. */
static gboolean
is_better (const Choice *a, const Choice *b)
{
  if (a->attempts->kept != b->attempts->kept)
    return a->attempts->kept;
  if (a->attempts->n_failures != b->attempts->n_failures)
    return a->attempts->n_failures < b->attempts->n_failures;
  if (a->is_listed != b->is_listed)
    return a->is_listed;
  if (a->is_exact != b->is_exact)
    return a->is_exact;
  return !a->is_listed && a->capacity > b->capacity;
}

static gboolean
is_absent (gpointer key, gpointer value, gpointer data)
{
  Attempts *attempts = value;
  gboolean absent = !attempts->present;

  attempts->present = FALSE;
  return absent;
}

/**
 * tandem_peer_search_choose: (skip)
 * @search: a search
 * @candidates: (element-type TandemCandidate): who is known now
 * @stream: what is to be sent
 * @now: monotonic time
 * @wake: (out): when to ask again if nothing else happens; %G_MAXINT64: never
 *
 * Chooses the candidate that was worked with last, then those that did not fail, before those that
 * did, of whom one is passed over for a time that grows. Of these, those that are written down come
 * first, then those that name this model, then those that take more at once.
 *
 * Returns: (transfer full) (nullable): whom to try now
 */
TandemCandidate *
tandem_peer_search_choose (TandemPeerSearch *search, GPtrArray *candidates,
                           const TandemStreamInfo *stream, gint64 now, gint64 *wake)
{
  Choice best = { NULL };
  guint i;

  *wake = G_MAXINT64;
  for (i = 0; i < candidates->len; i++) {
    TandemCandidate *candidate = candidates->pdata[i];
    const TandemServiceInfo *service = tandem_candidate_get_service (candidate);
    Attempts *attempts = get_attempts (search, candidate);
    g_autoptr (GError) reason = NULL;
    Choice choice = {
      .candidate = candidate, .attempts = attempts,
      .is_listed = tandem_candidate_is_listed (candidate),
      .is_exact = service != NULL && service->fingerprint[0] != '\0',
      .capacity = service != NULL ? service->capacity : 0,
    };

    attempts->present = TRUE;
    if (!announces_stream (candidate, stream, &reason)) {
      note_reason (search, candidate, attempts, reason);
      continue;
    }
    if (attempts->not_before > now) {
      *wake = MIN (*wake, attempts->not_before);
      continue;
    }
    if (best.candidate == NULL || is_better (&choice, &best))
      best = choice;
  }
  g_hash_table_foreach_remove (search->attempts, is_absent, NULL);
  return best.candidate != NULL ? g_object_ref (best.candidate) : NULL;
}

static gboolean
is_other_stream (const GError *reason)
{
  return g_error_matches (reason, TANDEM_NET_ERROR, TANDEM_NET_ERROR_MODEL) ||
      g_error_matches (reason, TANDEM_NET_ERROR, TANDEM_NET_ERROR_LAYER) ||
      g_error_matches (reason, TANDEM_NET_ERROR, TANDEM_NET_ERROR_FORMAT) ||
      g_error_matches (reason, TANDEM_NET_ERROR, TANDEM_NET_ERROR_VERSION);
}

/**
 * tandem_peer_search_fail: (skip)
 * @search: a search
 * @candidate: who was tried
 * @reason: what it said, or why it could not be reached
 * @now: monotonic time
 */
void
tandem_peer_search_fail (TandemPeerSearch *search, TandemCandidate *candidate,
                         const GError *reason, gint64 now)
{
  Attempts *attempts = get_attempts (search, candidate);
  gint64 wait = is_other_stream (reason) ? BACKOFF_OTHER_US : BACKOFF_MIN_US;

  wait = MIN (wait << MIN (attempts->n_failures, 8), BACKOFF_MAX_US);
  attempts->n_failures++;
  attempts->not_before = now + wait;
  attempts->kept = FALSE;
  note_reason (search, candidate, attempts, reason);
}

/**
 * tandem_peer_search_keep: (skip)
 * @search: a search
 * @candidate: who was worked with until its connection broke; it is tried before all others, once
 */
void
tandem_peer_search_keep (TandemPeerSearch *search, TandemCandidate *candidate)
{
  Attempts *attempts = get_attempts (search, candidate);

  g_clear_error (&attempts->reason);
  attempts->n_failures = 0;
  attempts->not_before = 0;
  attempts->kept = TRUE;
}

/**
 * tandem_peer_search_explain: (skip)
 * @search: a search
 * @candidates: (element-type TandemCandidate): who is known
 *
 * Returns: (transfer full): for each why it did not do
 */
char *
tandem_peer_search_explain (TandemPeerSearch *search, GPtrArray *candidates)
{
  GString *text = g_string_new (NULL);
  guint i;

  if (candidates->len == 0)
    return g_string_free (g_string_assign (text, _("none was found")), FALSE);
  for (i = 0; i < candidates->len && i < MAX_EXPLAINED; i++) {
    TandemCandidate *candidate = candidates->pdata[i];
    const Attempts *attempts =
        g_hash_table_lookup (search->attempts, tandem_candidate_get_key (candidate));
    g_autofree char *who = g_socket_connectable_to_string (G_SOCKET_CONNECTABLE (candidate));

    g_string_append_printf (text, "%s%s: %s", i > 0 ? "; " : "", who,
                            attempts != NULL && attempts->reason != NULL
                                ? attempts->reason->message : _("not tried"));
  }
  if (i < candidates->len)
    g_string_append_printf (text, _("; and %u more"), candidates->len - i);
  return g_string_free (text, FALSE);
}
