/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tandem-avahi.h"

#include <glib/gi18n-lib.h>

#include "base/tandem-source-private.h"
#include "net/tandem-link.h"
#include "net/tandem-net-error.h"

#define GST_CAT_DEFAULT tandem_net_debug

/* Without D-Bus nobody tells when it is there: it is tried again, at growing intervals. */
#define RETRY_MIN_MS 500
#define RETRY_MAX_MS 30000
/* Calls to a daemon that hangs come back after 25 s; nobody waits for that. */
#define STOP_TIMEOUT_US (2 * G_USEC_PER_SEC)

struct _TandemAvahi
{
  gatomicrefcount ref_count;    /* the owner's and the thread's */
  TandemAvahiFunc func;
  gpointer user_data;
  GDestroyNotify notify;
  GMainContext *context;
  GMainLoop *loop;
  GThread *thread;
  gint stopping;                /* atomic */

  /* the thread only */
  AvahiGLibPoll *poll;
  AvahiClient *client;
  GSource *retry;
  guint retry_ms;

  GMutex lock;
  GCond cond;
  gboolean over;                /* lock */
};

static void connect_client (TandemAvahi *self);

static void
tandem_avahi_unref (TandemAvahi *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_main_loop_unref (self->loop);
  g_main_context_unref (self->context);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->cond);
  g_free (self);
}

static gboolean
on_retry (gpointer data)
{
  TandemAvahi *self = data;

  tandem_clear_source (&self->retry);
  g_clear_pointer (&self->client, avahi_client_free);
  connect_client (self);
  return G_SOURCE_REMOVE;
}

static void
retry_later (TandemAvahi *self)
{
  tandem_clear_source (&self->retry);
  self->retry = tandem_avahi_add_timeout (self, self->retry_ms, on_retry, self);
  self->retry_ms = MIN (self->retry_ms * 2, RETRY_MAX_MS);
}

/* The first call can come before avahi_client_new() returns. The client is not freed in here. */
static void
on_client (AvahiClient *client, AvahiClientState state, void *data)
{
  TandemAvahi *self = data;
  int error = state == AVAHI_CLIENT_FAILURE ? avahi_client_errno (client)
      : state == AVAHI_CLIENT_CONNECTING ? AVAHI_ERR_NO_DAEMON : AVAHI_OK;

  if (tandem_avahi_is_stopping (self))
    return;
  GST_INFO ("Avahi: state %d, %s", state, avahi_strerror (error));
  self->func (self, client, state, error, self->user_data);
  if (state == AVAHI_CLIENT_FAILURE)
    retry_later (self);
  else if (state == AVAHI_CLIENT_S_RUNNING)
    self->retry_ms = RETRY_MIN_MS;
}

static void
connect_client (TandemAvahi *self)
{
  int error = AVAHI_OK;

  self->client = avahi_client_new (avahi_glib_poll_get (self->poll), AVAHI_CLIENT_NO_FAIL,
                                   on_client, self, &error);
  if (self->client != NULL || tandem_avahi_is_stopping (self))
    return;
  GST_INFO ("Avahi cannot be reached: %s", avahi_strerror (error));
  self->func (self, NULL, AVAHI_CLIENT_FAILURE, error, self->user_data);
  retry_later (self);
}

static gpointer
run (gpointer data)
{
  TandemAvahi *self = data;

  g_main_context_push_thread_default (self->context);
  if (tandem_avahi_library_load ()) {
    self->poll = avahi_glib_poll_new (self->context, G_PRIORITY_DEFAULT);
    connect_client (self);
  } else {
    self->func (self, NULL, AVAHI_CLIENT_FAILURE, TANDEM_AVAHI_ERR_LIBRARY, self->user_data);
  }
  if (!tandem_avahi_is_stopping (self))
    g_main_loop_run (self->loop);

  tandem_clear_source (&self->retry);
  self->func (self, self->client, AVAHI_CLIENT_FAILURE, AVAHI_ERR_DISCONNECTED, self->user_data);
  g_clear_pointer (&self->client, avahi_client_free);
  g_clear_pointer (&self->poll, avahi_glib_poll_free);
  g_main_context_pop_thread_default (self->context);
  if (self->notify != NULL)
    self->notify (self->user_data);

  g_mutex_lock (&self->lock);
  self->over = TRUE;
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->lock);
  tandem_avahi_unref (self);
  return NULL;
}

/**
 * tandem_avahi_new: (skip)
 * @func: called when the state of the daemon changes
 * @user_data: for @func
 * @notify: (nullable): releases @user_data, in the thread, when it ends
 *
 * Starts a thread that connects to the daemon, with a main context of its own.
 *
 * Returns: (transfer full): to be given to tandem_avahi_stop()
 */
TandemAvahi *
tandem_avahi_new (TandemAvahiFunc func, gpointer user_data, GDestroyNotify notify)
{
  TandemAvahi *self = g_new0 (TandemAvahi, 1);

  tandem_net_init_debug ();
  g_atomic_ref_count_init (&self->ref_count);
  g_atomic_ref_count_inc (&self->ref_count);
  self->func = func;
  self->user_data = user_data;
  self->notify = notify;
  self->context = g_main_context_new ();
  self->loop = g_main_loop_new (self->context, FALSE);
  self->retry_ms = RETRY_MIN_MS;
  g_mutex_init (&self->lock);
  g_cond_init (&self->cond);
  self->thread = g_thread_new ("tandem-avahi", run, self);
  return self;
}

static gboolean
quit (gpointer loop)
{
  g_main_loop_quit (loop);
  return G_SOURCE_REMOVE;
}

/**
 * tandem_avahi_stop: (skip)
 * @avahi: (transfer full): what tandem_avahi_new() returned
 *
 * Ends the thread, with a last call of its function. A thread that the daemon holds up ends
 * later by itself. Not to be called in the thread.
 */
void
tandem_avahi_stop (TandemAvahi *avahi)
{
  gint64 end = g_get_monotonic_time () + STOP_TIMEOUT_US;
  g_autoptr (GSource) source = g_idle_source_new ();
  gboolean over;

  g_atomic_int_set (&avahi->stopping, 1);
  /* From within the loop: quitting before it runs would be forgotten. */
  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_callback (source, quit, g_main_loop_ref (avahi->loop),
                         (GDestroyNotify) g_main_loop_unref);
  g_source_attach (source, avahi->context);
  g_mutex_lock (&avahi->lock);
  while (!avahi->over && g_cond_wait_until (&avahi->cond, &avahi->lock, end));
  over = avahi->over;
  g_mutex_unlock (&avahi->lock);
  if (over)
    g_thread_join (avahi->thread);
  else
    g_thread_unref (avahi->thread);
  tandem_avahi_unref (avahi);
}

/* Returns a reference; whoever destroys the source does so in the thread. */
GSource *
tandem_avahi_add_timeout (TandemAvahi *avahi, guint ms, GSourceFunc func, gpointer data)
{
  GSource *source = g_timeout_source_new (ms);

  g_source_set_callback (source, func, data, NULL);
  g_source_attach (source, avahi->context);
  return source;
}

gboolean
tandem_avahi_is_stopping (TandemAvahi *avahi)
{
  return g_atomic_int_get (&avahi->stopping) != 0;
}

/* The same for who looks for nodes. */
GError *
tandem_avahi_describe_nodes (int error)
{
  return g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_NO_DISCOVERY,
      _("Devices cannot be found by mDNS (%s). Start the service avahi-daemon, or list devices as "
        "host:port: with --nodes, in TANDEM_NODES, or in the file tandem/nodes of your "
        "configuration folder."), avahi_strerror (error));
}

/**
 * tandem_avahi_describe: (skip)
 * @error: what avahi_strerror() takes
 *
 * Returns: (transfer full): a sentence that says what to do
 */
GError *
tandem_avahi_describe (int error)
{
  return g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_NO_DISCOVERY,
      _("Devices can neither be found nor announced by mDNS (%s). Start the service avahi-daemon, "
        "or list devices as host:port: in the property peers, in TANDEM_PEERS, or in the file "
        "tandem/peers of your configuration folder."), avahi_strerror (error));
}
