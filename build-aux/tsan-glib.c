/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ThreadSanitizer knows POSIX locks, but GLib's are futexes inside a library that was not built
 * for it, and so are its queues, thread pools and main contexts, and the reference counts of GObject
 * and GStreamer. Preloaded before a test, these wrappers call GLib and tell ThreadSanitizer what
 * happened before what: no more than the wrapped call promises. */

#define _GNU_SOURCE

#include <dlfcn.h>
#include <gst/gst.h>
#include <pthread.h>

void __tsan_acquire (void *address);
void __tsan_release (void *address);
int __sanitizer_install_malloc_and_free_hooks (void (*allocated) (const volatile void *, size_t),
                                               void (*freed) (const volatile void *));

/* What RTLD_NEXT finds, looked up once; two threads that do so at the same time find the same. */
#define NEXT(name)                                                                      \
  static __typeof__ (&name) found;                                                      \
  __typeof__ (&name) next = __atomic_load_n (&found, __ATOMIC_RELAXED);                 \
  if (next == NULL) {                                                                   \
    next = (__typeof__ (&name)) dlsym (RTLD_NEXT, #name);                               \
    __atomic_store_n (&found, next, __ATOMIC_RELAXED);                                  \
  }

#define LOCK(name, type)                                                                \
  void name (type *lock)                                                                \
  {                                                                                     \
    NEXT (name)                                                                         \
    next (lock);                                                                        \
    __tsan_acquire (lock);                                                              \
  }

#define TRYLOCK(name, type)                                                             \
  gboolean name (type *lock)                                                            \
  {                                                                                     \
    gboolean taken;                                                                     \
    NEXT (name)                                                                         \
    taken = next (lock);                                                                \
    if (taken)                                                                          \
      __tsan_acquire (lock);                                                            \
    return taken;                                                                       \
  }

#define UNLOCK(name, type)                                                              \
  void name (type *lock)                                                                \
  {                                                                                     \
    NEXT (name)                                                                         \
    __tsan_release (lock);                                                              \
    next (lock);                                                                        \
  }

/* Whoever drops the last reference comes after everybody who dropped one before. */
#define UNREF(name, type)                                                               \
  void name (type object)                                                               \
  {                                                                                     \
    NEXT (name)                                                                         \
    __tsan_release (object);                                                            \
    __tsan_acquire (object);                                                            \
    next (object);                                                                      \
  }

LOCK (g_mutex_lock, GMutex)
TRYLOCK (g_mutex_trylock, GMutex)
UNLOCK (g_mutex_unlock, GMutex)
UNLOCK (g_rec_mutex_unlock, GRecMutex)
LOCK (g_rw_lock_reader_lock, GRWLock)
TRYLOCK (g_rw_lock_reader_trylock, GRWLock)
UNLOCK (g_rw_lock_reader_unlock, GRWLock)
LOCK (g_rw_lock_writer_lock, GRWLock)
TRYLOCK (g_rw_lock_writer_trylock, GRWLock)
UNLOCK (g_rw_lock_writer_unlock, GRWLock)
LOCK (g_async_queue_lock, GAsyncQueue)
UNLOCK (g_async_queue_unlock, GAsyncQueue)
UNREF (g_async_queue_unref, GAsyncQueue *)
UNREF (g_bytes_unref, GBytes *)
UNREF (g_source_unref, GSource *)
UNREF (g_object_unref, gpointer)
UNREF (gst_object_unref, gpointer)
UNREF (gst_mini_object_unref, GstMiniObject *)

/* An event that ends drops its buffer within GStreamer, past the wrapper above. Whoever read the
 * buffer had it mapped, and unmaps before that. */
void
gst_buffer_unmap (GstBuffer *buffer, GstMapInfo *info)
{
  NEXT (gst_buffer_unmap)
  __tsan_release (buffer);
  next (buffer, info);
}

/* Drops a reference within GStreamer, after it copied. */
GstMiniObject *
gst_mini_object_make_writable (GstMiniObject *object)
{
  GstMiniObject *copy;

  if (gst_mini_object_is_writable (object))
    return object;
  copy = gst_mini_object_copy (object);
  gst_mini_object_unref (object);
  return copy;
}

/* Our own reference counts. */
gboolean
(g_atomic_ref_count_dec) (gatomicrefcount *count)
{
  gboolean last;

  NEXT (g_atomic_ref_count_dec)
  __tsan_release (count);
  last = next (count);
  if (last)
    __tsan_acquire (count);
  return last;
}

void
g_cond_wait (GCond *cond, GMutex *mutex)
{
  NEXT (g_cond_wait)
  __tsan_release (mutex);
  next (cond, mutex);
  __tsan_acquire (mutex);
}

gboolean
g_cond_wait_until (GCond *cond, GMutex *mutex, gint64 end_time)
{
  gboolean signalled;

  NEXT (g_cond_wait_until)
  __tsan_release (mutex);
  signalled = next (cond, mutex, end_time);
  __tsan_acquire (mutex);
  return signalled;
}

void
(g_once_init_leave) (volatile void *location, gsize result)
{
  NEXT (g_once_init_leave)
  next (location, result);
  /* Readers look at the variable themselves, in code that ThreadSanitizer sees. */
  __atomic_store_n ((volatile gsize *) location, result, __ATOMIC_RELEASE);
}

/* Inside GLib, queue nodes, arrays and the like pass from the thread that allocates them to the one
 * that frees them under locks that are not seen. Who frees a block had its address from who
 * allocated it, so the allocation came first; what was done with the block in between still needs an
 * order of its own. The byte behind the address keeps this apart from a lock at the block's start. */
static void
block_allocated (const volatile void *block, size_t size)
{
  if (block != NULL && size > 1)
    __tsan_release ((char *) block + 1);
}

static void
block_freed (const volatile void *block)
{
  if (block != NULL)
    __tsan_acquire ((char *) block + 1);
}

__attribute__ ((constructor)) static void
start (void)
{
  __sanitizer_install_malloc_and_free_hooks (block_allocated, block_freed);
  /* A lock within, around the table of error domains, is made at the first use: before there are
   * threads. */
  g_error_free (g_error_new_literal (G_FILE_ERROR, G_FILE_ERROR_FAILED, ""));
}

/* GLib makes the POSIX lock within at the first use, which ThreadSanitizer would take for a race
 * with the second: here it is made beforehand, and published as atomics do. */
static void
prepare_rec_mutex (GRecMutex *lock)
{
  gpointer none = NULL;
  GRecMutex fresh;

  if (__atomic_load_n (&lock->p, __ATOMIC_ACQUIRE) != NULL)
    return;
  g_rec_mutex_init (&fresh);
  if (!__atomic_compare_exchange_n (&lock->p, &none, fresh.p, FALSE, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
    g_rec_mutex_clear (&fresh);
}

void
g_rec_mutex_init (GRecMutex *lock)
{
  NEXT (g_rec_mutex_init)
  next (lock);
  __atomic_store_n (&lock->p, lock->p, __ATOMIC_RELEASE);
}

void
g_rec_mutex_lock (GRecMutex *lock)
{
  NEXT (g_rec_mutex_lock)
  prepare_rec_mutex (lock);
  next (lock);
  __tsan_acquire (lock);
}

gboolean
g_rec_mutex_trylock (GRecMutex *lock)
{
  gboolean taken;

  NEXT (g_rec_mutex_trylock)
  prepare_rec_mutex (lock);
  taken = next (lock);
  if (taken)
    __tsan_acquire (lock);
  return taken;
}

/* These strings are kept for everybody, made by the first thread that asks for one, under a lock
 * within. Only who makes one releases: asking for a string that is there puts nobody in order. */
static char strings;            /* an address to tell ThreadSanitizer of */

#define KEEP_STRING(type, name)                                                         \
  type name (const char *string)                                                        \
  {                                                                                     \
    gboolean made;                                                                      \
    type kept;                                                                          \
    NEXT (name)                                                                         \
    __tsan_acquire (&strings);                                                          \
    made = g_quark_try_string (string) == 0;                                            \
    kept = next (string);                                                               \
    if (made)                                                                           \
      __tsan_release (&strings);                                                        \
    return kept;                                                                        \
  }

KEEP_STRING (GQuark, g_quark_from_string)
KEEP_STRING (GQuark, g_quark_from_static_string)
KEEP_STRING (const char *, g_intern_string)
KEEP_STRING (const char *, g_intern_static_string)

const char *
g_quark_to_string (GQuark quark)
{
  NEXT (g_quark_to_string)
  __tsan_acquire (&strings);
  return next (quark);
}

/* Its messages are kept too; few ask for one, so that the order of the lock within does no harm. */
const char *
g_strerror (int number)
{
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  const char *message;

  NEXT (g_strerror)
  pthread_mutex_lock (&lock);
  message = next (number);
  pthread_mutex_unlock (&lock);
  return message;
}

/* What a thread did before it pushed comes before what another does with the item it popped. */
void
g_async_queue_push (GAsyncQueue *queue, gpointer item)
{
  NEXT (g_async_queue_push)
  __tsan_release (queue);
  next (queue, item);
}

gpointer
g_async_queue_pop (GAsyncQueue *queue)
{
  gpointer item;

  NEXT (g_async_queue_pop)
  item = next (queue);
  __tsan_acquire (queue);
  return item;
}

gpointer
g_async_queue_try_pop (GAsyncQueue *queue)
{
  gpointer item;

  NEXT (g_async_queue_try_pop)
  item = next (queue);
  __tsan_acquire (queue);
  return item;
}

gpointer
g_async_queue_timeout_pop (GAsyncQueue *queue, guint64 timeout)
{
  gpointer item;

  NEXT (g_async_queue_timeout_pop)
  item = next (queue, timeout);
  __tsan_acquire (queue);
  return item;
}

/* A pool's function comes after the push of its item, and before the return of a call that frees
 * the pool and waits. The pool may outlive that call, so this is never freed. */
typedef struct
{
  GFunc func;
  gpointer user_data;
  char pushed, ran;             /* addresses to tell ThreadSanitizer of */
} Pool;

static void
run_pool_item (gpointer item, gpointer user_data)
{
  Pool *pool = user_data;

  __tsan_acquire (&pool->pushed);
  pool->func (item, pool->user_data);
  __tsan_release (&pool->ran);
}

GThreadPool *
g_thread_pool_new (GFunc func, gpointer user_data, int max_threads, gboolean exclusive,
                   GError **error)
{
  Pool *pool = g_new0 (Pool, 1);
  GThreadPool *thread_pool;

  NEXT (g_thread_pool_new)
  pool->func = func;
  pool->user_data = user_data;
  __tsan_release (&pool->pushed);
  thread_pool = next (run_pool_item, pool, max_threads, exclusive, error);
  __tsan_release (thread_pool);
  return thread_pool;
}

gboolean
g_thread_pool_push (GThreadPool *thread_pool, gpointer item, GError **error)
{
  NEXT (g_thread_pool_push)
  /* GIO keeps the pool of its tasks for all threads. */
  __tsan_acquire (thread_pool);
  __tsan_release (&((Pool *) thread_pool->user_data)->pushed);
  return next (thread_pool, item, error);
}

void
g_thread_pool_free (GThreadPool *thread_pool, gboolean immediate, gboolean wait)
{
  Pool *pool = thread_pool->user_data;

  NEXT (g_thread_pool_free)
  next (thread_pool, immediate, wait);
  if (wait)
    __tsan_acquire (&pool->ran);
}

/* The callback of a source comes after the calls that set and attached it. Callbacks differ in their
 * arguments, but each context asks for the function, in the thread that calls it. */
typedef struct
{
  gatomicrefcount ref_count;
  GSourceFunc func;
  gpointer user_data;
  GDestroyNotify destroy;
} Callback;

static void
callback_ref (gpointer data)
{
  g_atomic_ref_count_inc (&((Callback *) data)->ref_count);
}

static void
callback_unref (gpointer data)
{
  Callback *callback = data;

  if (!g_atomic_ref_count_dec (&callback->ref_count))
    return;
  if (callback->destroy != NULL)
    callback->destroy (callback->user_data);
  g_free (callback);
}

static void
callback_get (gpointer data, GSource *source, GSourceFunc *func, gpointer *user_data)
{
  Callback *callback = data;

  __tsan_acquire (source);
  *func = callback->func;
  *user_data = callback->user_data;
}

void
g_source_set_callback (GSource *source, GSourceFunc func, gpointer user_data,
                       GDestroyNotify destroy)
{
  static GSourceCallbackFuncs functions = { callback_ref, callback_unref, callback_get };
  Callback *callback = g_new (Callback, 1);

  g_atomic_ref_count_init (&callback->ref_count);
  callback->func = func;
  callback->user_data = user_data;
  callback->destroy = destroy;
  __tsan_release (source);
  g_source_set_callback_indirect (source, callback, &functions);
}

guint
g_source_attach (GSource *source, GMainContext *context)
{
  NEXT (g_source_attach)
  __tsan_release (source);
  return next (source, context);
}
