/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private: Avahi's client library, loaded when the first thread talks to the daemon. With D-Bus it
 * takes 1.3 MB of memory, which a process that has a host does not give. Whoever includes this calls
 * Avahi's functions by their names. */

#include <avahi-client/client.h>
#include <avahi-client/lookup.h>
#include <avahi-client/publish.h>
#include <avahi-common/alternative.h>
#include <avahi-common/error.h>
#include <avahi-common/malloc.h>
#include <avahi-glib/glib-watch.h>
#include <glib.h>

G_BEGIN_DECLS

/* Stands for an error of Avahi, which are all below 0: the library is not there. */
#define TANDEM_AVAHI_ERR_LIBRARY 1

#define TANDEM_AVAHI_COMMON(X)                                                          \
  X (avahi_alternative_service_name)                                                    \
  X (avahi_free)                                                                        \
  X (avahi_strerror)                                                                    \
  X (avahi_string_list_free)                                                            \
  X (avahi_string_list_parse)                                                           \
  X (avahi_string_list_serialize)

#define TANDEM_AVAHI_CLIENT(X)                                                          \
  X (avahi_client_errno)                                                                \
  X (avahi_client_free)                                                                 \
  X (avahi_client_new)                                                                  \
  X (avahi_entry_group_add_service_strlst)                                              \
  X (avahi_entry_group_commit)                                                          \
  X (avahi_entry_group_free)                                                            \
  X (avahi_entry_group_get_client)                                                      \
  X (avahi_entry_group_is_empty)                                                        \
  X (avahi_entry_group_new)                                                             \
  X (avahi_entry_group_reset)                                                           \
  X (avahi_entry_group_update_service_txt_strlst)                                       \
  X (avahi_service_browser_free)                                                        \
  X (avahi_service_browser_new)                                                         \
  X (avahi_service_resolver_free)                                                       \
  X (avahi_service_resolver_new)

#define TANDEM_AVAHI_GLIB(X)                                                            \
  X (avahi_glib_poll_free)                                                              \
  X (avahi_glib_poll_get)                                                               \
  X (avahi_glib_poll_new)

#define TANDEM_AVAHI_MEMBER(name) __typeof__ (name) *name;

typedef struct
{
  TANDEM_AVAHI_COMMON (TANDEM_AVAHI_MEMBER)
  TANDEM_AVAHI_CLIENT (TANDEM_AVAHI_MEMBER)
  TANDEM_AVAHI_GLIB (TANDEM_AVAHI_MEMBER)
} TandemAvahiLibrary;

#undef TANDEM_AVAHI_MEMBER

extern TandemAvahiLibrary tandem_avahi_library;

gboolean tandem_avahi_library_load (void);
const char *tandem_avahi_library_strerror (int error);

#ifndef TANDEM_AVAHI_LIBRARY_IMPLEMENTATION
#define avahi_alternative_service_name tandem_avahi_library.avahi_alternative_service_name
#define avahi_client_errno tandem_avahi_library.avahi_client_errno
#define avahi_client_free tandem_avahi_library.avahi_client_free
#define avahi_client_new tandem_avahi_library.avahi_client_new
#define avahi_entry_group_add_service_strlst \
  tandem_avahi_library.avahi_entry_group_add_service_strlst
#define avahi_entry_group_commit tandem_avahi_library.avahi_entry_group_commit
#define avahi_entry_group_free tandem_avahi_library.avahi_entry_group_free
#define avahi_entry_group_get_client tandem_avahi_library.avahi_entry_group_get_client
#define avahi_entry_group_is_empty tandem_avahi_library.avahi_entry_group_is_empty
#define avahi_entry_group_new tandem_avahi_library.avahi_entry_group_new
#define avahi_entry_group_reset tandem_avahi_library.avahi_entry_group_reset
#define avahi_entry_group_update_service_txt_strlst \
  tandem_avahi_library.avahi_entry_group_update_service_txt_strlst
#define avahi_free tandem_avahi_library.avahi_free
#define avahi_glib_poll_free tandem_avahi_library.avahi_glib_poll_free
#define avahi_glib_poll_get tandem_avahi_library.avahi_glib_poll_get
#define avahi_glib_poll_new tandem_avahi_library.avahi_glib_poll_new
#define avahi_service_browser_free tandem_avahi_library.avahi_service_browser_free
#define avahi_service_browser_new tandem_avahi_library.avahi_service_browser_new
#define avahi_service_resolver_free tandem_avahi_library.avahi_service_resolver_free
#define avahi_service_resolver_new tandem_avahi_library.avahi_service_resolver_new
#define avahi_strerror tandem_avahi_library_strerror
#define avahi_string_list_free tandem_avahi_library.avahi_string_list_free
#define avahi_string_list_parse tandem_avahi_library.avahi_string_list_parse
#define avahi_string_list_serialize tandem_avahi_library.avahi_string_list_serialize
#endif

G_END_DECLS
