/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "stream/tandem-row-pool.h"

#include "tensor/tandem-memory.h"

/* More than are under way in a pipeline that keeps up; others are freed at once. */
#define MAX_IDLE 3

/* Blocks outlive the pool when buffers do: each holds a reference. */
struct _TandemRowPool
{
  gatomicrefcount ref_count;
  GMutex lock;
  /* protected by lock */
  gsize block_size;             /* of every idle block: the largest size asked for */
  gpointer idle[MAX_IDLE];
  guint n_idle;
  gboolean closed;
};

typedef struct
{
  TandemRowPool *pool;
  gpointer data;
  gsize size;
} Block;

static void
drop_idle (TandemRowPool *pool)
{
  while (pool->n_idle > 0)
    tandem_memory_free (pool->idle[--pool->n_idle]);
}

static void
unref (TandemRowPool *pool)
{
  if (!g_atomic_ref_count_dec (&pool->ref_count))
    return;
  drop_idle (pool);
  g_mutex_clear (&pool->lock);
  g_free (pool);
}

static void
give_back (gpointer data)
{
  Block *block = data;
  TandemRowPool *pool = block->pool;

  g_mutex_lock (&pool->lock);
  if (!pool->closed && block->size == pool->block_size && pool->n_idle < MAX_IDLE)
    pool->idle[pool->n_idle++] = g_steal_pointer (&block->data);
  g_mutex_unlock (&pool->lock);
  tandem_memory_free (block->data);
  g_free (block);
  unref (pool);
}

/**
 * tandem_row_pool_new: (skip)
 *
 * Returns: (transfer full): a pool without any memory
 */
TandemRowPool *
tandem_row_pool_new (void)
{
  TandemRowPool *pool = g_new0 (TandemRowPool, 1);

  g_atomic_ref_count_init (&pool->ref_count);
  g_mutex_init (&pool->lock);
  return pool;
}

/**
 * tandem_row_pool_take: (skip)
 * @pool: a pool
 * @size: how many bytes, 1 at least
 *
 * Takes memory that starts at a multiple of 64 bytes and whose contents are not
 * defined. It goes back to @pool when the last reference is released, in whichever
 * thread; it may outlive @pool. Any thread may call this.
 *
 * Returns: (transfer full) (nullable): writable memory of @size bytes, %NULL when there
 *   is none left
 */
GstMemory *
tandem_row_pool_take (TandemRowPool *pool, gsize size)
{
  Block *block;
  gpointer data = NULL;
  gsize block_size;

  g_mutex_lock (&pool->lock);
  block_size = MAX (size, pool->block_size);
  if (size <= pool->block_size && pool->n_idle > 0)
    data = pool->idle[--pool->n_idle];
  g_mutex_unlock (&pool->lock);

  if (data == NULL)
    data = tandem_memory_try_new (1, block_size);
  if (data == NULL)
    return NULL;

  g_mutex_lock (&pool->lock);
  if (block_size > pool->block_size) {
    drop_idle (pool);
    pool->block_size = block_size;
  }
  g_mutex_unlock (&pool->lock);

  block = g_new (Block, 1);
  block->data = data;
  block->size = block_size;
  g_atomic_ref_count_inc (&pool->ref_count);
  block->pool = pool;
  return gst_memory_new_wrapped (0, block->data, block->size, 0, size, block, give_back);
}

/**
 * tandem_row_pool_free: (skip)
 * @pool: (transfer full) (nullable): a pool
 *
 * Frees what is idle. Memory that is still in use is freed with its last reference.
 */
void
tandem_row_pool_free (TandemRowPool *pool)
{
  if (pool == NULL)
    return;
  g_mutex_lock (&pool->lock);
  pool->closed = TRUE;
  drop_idle (pool);
  g_mutex_unlock (&pool->lock);
  unref (pool);
}
