/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private: one connection, shared by sender and receiver. Nothing here blocks but
 * tandem_link_wait() and tandem_link_handshake(). A link has one reader at a time and, apart from
 * it, one writer at a time; the owner sees to both. Bytes go in clear, or through TLS: then the
 * handshake comes first. */

#include <gio/gio.h>

#include "net/tandem-cluster-key.h"
#include "net/tandem-frame-decoder.h"
#include "net/tandem-guarded-stream.h"

G_BEGIN_DECLS

GST_DEBUG_CATEGORY_EXTERN (tandem_net_debug);

typedef struct _TandemLink TandemLink;

typedef enum
{
  TANDEM_LINK_FRAME,            /* a frame is complete */
  TANDEM_LINK_AGAIN,            /* no more bytes for now */
  TANDEM_LINK_CLOSED,           /* the peer ended, between two frames */
  TANDEM_LINK_BROKEN,           /* see the error */
} TandemLinkStatus;

/* Asked by the reader when the header of a gradient is there, before memory is taken for its rows.
 * FALSE: the rows are read past; with an error, the frame is refused if its checksum is true. */
typedef gboolean (*TandemLinkGradientFunc) (const TandemFrame *frame, gpointer user_data,
                                            GError **error);

void tandem_net_init_debug (void);

TandemLink *tandem_link_new (GSocketConnection *connection, const TandemFrameLimits *limits);
TandemLink *tandem_link_new_tls (GSocketConnection *connection, TandemClusterKey *key,
                                 gboolean is_server, guint64 max_bytes,
                                 const TandemFrameLimits *limits, GError **error);
TandemLink *tandem_link_ref (TandemLink *link);
void tandem_link_unref (TandemLink *link);

const char *tandem_link_get_peer (TandemLink *link);
GSocket *tandem_link_get_socket (TandemLink *link);

gboolean tandem_link_is_protected (TandemLink *link);
TandemFirstBytes tandem_link_look (TandemLink *link);
void tandem_link_leave_tls (TandemLink *link);
gboolean tandem_link_handshake (TandemLink *link, gint64 timeout_us, GCancellable *cancellable,
                                GError **error);
void tandem_link_handshake_async (TandemLink *link, gint64 timeout_us,
                                  GAsyncReadyCallback callback, gpointer user_data);
gboolean tandem_link_handshake_finish (TandemLink *link, GAsyncResult *result, GError **error);

TandemLinkStatus tandem_link_read (TandemLink *link, const TandemFrame **frame, GError **error);
gssize tandem_link_read_bytes (TandemLink *link, void *buffer, gsize size, GError **error);
GstBuffer *tandem_link_take_buffer (TandemLink *link);
gboolean tandem_link_is_idle (TandemLink *link);
void tandem_link_set_limits (TandemLink *link, const TandemFrameLimits *limits);
void tandem_link_set_stream (TandemLink *link, const TandemStreamInfo *info);
void tandem_link_set_gradient_func (TandemLink *link, TandemLinkGradientFunc func,
                                    gpointer user_data);
guint64 tandem_link_get_n_read (TandemLink *link);

gboolean tandem_link_write (TandemLink *link, const GOutputVector *vectors, guint n_vectors,
                            gsize *written, GError **error);
gboolean tandem_link_has_pending (TandemLink *link);
gboolean tandem_link_wait (TandemLink *link, GIOCondition condition, gint64 timeout_us,
                           GCancellable *cancellable, GError **error);
gboolean tandem_link_write_all (TandemLink *link, GByteArray *bytes, gint64 timeout_us,
                                GCancellable *cancellable, GError **error);
void tandem_link_shutdown (TandemLink *link);
void tandem_link_set_user_timeout (TandemLink *link, guint timeout_ms);
gboolean tandem_link_has_peer_left (TandemLink *link);
gboolean tandem_link_drain (TandemLink *link);
void tandem_link_close_politely (TandemLink *link, gint64 timeout_us);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TandemLink, tandem_link_unref)

G_END_DECLS
