/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the two elements say on the bus while they find each other. */

#include "config.h"

#include "gsttcpact.h"

#include "tandem-enums.h"

#define MESSAGE_NAME "tandem-discovery"

static void
post (GstElement *element, GstStructure *s)
{
  gst_element_post_message (element, gst_message_new_element (GST_OBJECT (element), s));
}

static const char *
get_nick (TandemSearchState state)
{
  g_autoptr (GEnumClass) klass = g_type_class_ref (TANDEM_TYPE_SEARCH_STATE);

  return g_enum_get_value (klass, state)->value_nick;
}

/**
 * gst_tcpact_post_search:
 * @element: the element that looks
 * @state: what happened
 * @candidate: (nullable): whom it is about
 * @n_candidates: how many are known
 * @reason: (nullable): why not @candidate, or why nothing is seen by mDNS
 *
 * Nobody is warned that mDNS does not work while there are candidates without it.
 */
void
gst_tcpact_post_search (GstElement *element, TandemSearchState state, TandemCandidate *candidate,
                        guint n_candidates, const GError *reason)
{
  GstStructure *s = gst_structure_new (MESSAGE_NAME, "state", G_TYPE_STRING, get_nick (state),
                                       "candidates", G_TYPE_UINT, n_candidates, NULL);

  if (candidate != NULL) {
    const TandemServiceInfo *service = tandem_candidate_get_service (candidate);
    g_autofree char *address = tandem_candidate_get_host (candidate);

    gst_structure_set (s, "name", G_TYPE_STRING, tandem_candidate_get_name (candidate),
                       "address", G_TYPE_STRING, address,
                       "port", G_TYPE_UINT, (guint) tandem_candidate_get_port (candidate), NULL);
    if (service != NULL)
      gst_structure_set (s, "device", G_TYPE_STRING, service->device_id, NULL);
  }
  if (reason != NULL)
    gst_structure_set (s, "reason", G_TYPE_STRING, reason->message, NULL);
  post (element, s);
  if (state == TANDEM_SEARCH_LOOKING && reason != NULL && n_candidates == 0)
    gst_tcpact_post (element, GST_MESSAGE_WARNING, reason, "no device is known");
}

static void
on_announced (TandemAdvertiser *advertiser, const char *name, const GError *problem,
              gpointer element)
{
  GstStructure *s = gst_structure_new (MESSAGE_NAME, "state", G_TYPE_STRING,
                                       name != NULL ? "announced" : "not-announced", NULL);

  if (name != NULL)
    gst_structure_set (s, "name", G_TYPE_STRING, name, NULL);
  else
    gst_structure_set (s, "reason", G_TYPE_STRING, problem->message, NULL);
  post (element, s);
  if (problem != NULL)
    gst_tcpact_post (element, GST_MESSAGE_WARNING, problem, "this device is not announced");
}

/**
 * gst_tcpact_advertise:
 * @element: the element that listens
 * @service: what to say
 * @address: where it listens
 * @port: its TCP port
 *
 * Returns: (transfer full): an advertiser that was started
 */
TandemAdvertiser *
gst_tcpact_advertise (GstElement *element, const TandemServiceInfo *service,
                      GInetAddress *address, guint port)
{
  TandemAdvertiser *advertiser = tandem_advertiser_new (service, address, port);

  tandem_advertiser_start (advertiser, on_announced, gst_object_ref (element), gst_object_unref);
  return advertiser;
}
