/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ThreadSanitizer knows POSIX locks, but GLib's are futexes inside a library that was not built
 * for it, and so are the reference counts of GObject and GStreamer. Preloaded before a test, these
 * wrappers call GLib and tell ThreadSanitizer what happened before what. */

#define _GNU_SOURCE

#include <dlfcn.h>
#include <gst/gst.h>

void __tsan_acquire (void *address);
void __tsan_release (void *address);

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
LOCK (g_rec_mutex_lock, GRecMutex)
TRYLOCK (g_rec_mutex_trylock, GRecMutex)
UNLOCK (g_rec_mutex_unlock, GRecMutex)
LOCK (g_rw_lock_reader_lock, GRWLock)
TRYLOCK (g_rw_lock_reader_trylock, GRWLock)
UNLOCK (g_rw_lock_reader_unlock, GRWLock)
LOCK (g_rw_lock_writer_lock, GRWLock)
TRYLOCK (g_rw_lock_writer_trylock, GRWLock)
UNLOCK (g_rw_lock_writer_unlock, GRWLock)
UNREF (g_object_unref, gpointer)
UNREF (gst_object_unref, gpointer)
UNREF (gst_mini_object_unref, GstMiniObject *)

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
  static void (*found) (volatile void *, gsize);

  if (found == NULL)
    found = (void (*) (volatile void *, gsize)) dlsym (RTLD_NEXT, "g_once_init_leave");
  found (location, result);
  /* Readers look at the variable themselves, in code that ThreadSanitizer sees. */
  __atomic_store_n ((volatile gsize *) location, result, __ATOMIC_RELEASE);
}
