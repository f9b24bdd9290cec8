/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "tensor/tandem-memory.h"

#include <sys/mman.h>

#define ALIGNMENT 64

/* Pieces of this size come from the system one by one. malloc() raises its own bound
 * whenever such a piece is freed, until megabytes of weights that are long in their
 * final layout leave holes in its heaps that nothing else fills. */
#ifdef __SANITIZE_ADDRESS__
/* It watches what malloc() gives. */
#define MAPPED_BYTES G_MAXSIZE
#else
#define MAPPED_BYTES ((gsize) 64 * 1024)
#endif

/* In the ALIGNMENT bytes before the memory. */
typedef struct
{
  gsize mapped;                 /* bytes of the mapping, 0 when there is none */
} Head;

G_STATIC_ASSERT (sizeof (Head) <= ALIGNMENT);

gpointer
tandem_memory_try_new (gsize n, gsize size)
{
  gsize bytes;
  Head *head;

  if (!g_size_checked_mul (&bytes, n, size) || !g_size_checked_add (&bytes, bytes, ALIGNMENT))
    return NULL;

  if (bytes < MAPPED_BYTES) {
    head = g_aligned_alloc (1, bytes, ALIGNMENT);
    head->mapped = 0;
  } else {
    head = mmap (NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (head == MAP_FAILED)
      return NULL;
    head->mapped = bytes;
  }
  return (guint8 *) head + ALIGNMENT;
}

gpointer
tandem_memory_new (gsize n, gsize size)
{
  gpointer memory = tandem_memory_try_new (n, size);

  if (memory == NULL)
    g_error ("no memory for %" G_GSIZE_FORMAT " elements of %" G_GSIZE_FORMAT " bytes", n, size);
  return memory;
}

void
tandem_memory_free (gpointer memory)
{
  Head *head;

  if (memory == NULL)
    return;
  head = (Head *) ((guint8 *) memory - ALIGNMENT);
  if (head->mapped > 0)
    munmap (head, head->mapped);
  else
    g_aligned_free (head);
}
