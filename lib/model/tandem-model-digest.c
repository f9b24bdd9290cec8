/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* SHA-256 over tensors. What is hashed, in this order: a preamble; then for each
 * tensor, sorted by name byte by byte, the line "tensor NAME DTYPE [D0,D1]\n" and
 * the bytes of its elements, whose number that line fixes.
 *
 * Hashing reads each byte of a model once, seconds on a small device, so that
 * results are kept in the user's cache folder under a name made of everything
 * that they depend on: the preamble, the names of the tensors, and device, inode, size
 * and times of the files. */

#include "config.h"

#include <glib/gstdio.h>
#include <string.h>

#include "tandem-model-private.h"
#include "tensor/tandem-safetensors-private.h"

#define BUFFER_SIZE (64 << 10)

/* A file that is written to again within its file system's clock tick keeps its
 * times; what was hashed so soon after a change is not kept. */
#define SETTLED_SECONDS 2

/* Entries are small and are never missed for long; more than this many are all
 * dropped. */
#define MAX_CACHED 1000

typedef struct
{
  char *name;
  char *file_name;
  TandemSafetensors *file;      /* or */
  GBytes *bytes;
  TandemSparseTensor *sparse;   /* of file: its elements are hashed as if they were dense */
} Item;

struct _TandemDigest
{
  char *preamble;
  GPtrArray *items;
};

static void
item_free (gpointer data)
{
  Item *item = data;

  g_free (item->name);
  g_free (item->file_name);
  g_clear_object (&item->file);
  g_clear_pointer (&item->bytes, g_bytes_unref);
  g_clear_pointer (&item->sparse, tandem_sparse_tensor_unref);
  g_free (item);
}

TandemDigest *
tandem_digest_new (const char *preamble)
{
  TandemDigest *digest = g_new0 (TandemDigest, 1);

  digest->preamble = g_strdup (preamble);
  digest->items = g_ptr_array_new_with_free_func (item_free);
  return digest;
}

void
tandem_digest_free (TandemDigest *digest)
{
  g_free (digest->preamble);
  g_ptr_array_unref (digest->items);
  g_free (digest);
}

/* Adds the tensor @file_name of @file, called @name in what is hashed. */
void
tandem_digest_add_tensor (TandemDigest *digest, const char *name, TandemSafetensors *file,
                          const char *file_name)
{
  Item *item = g_new0 (Item, 1);

  item->name = g_strdup (name);
  item->file_name = g_strdup (file_name);
  item->file = g_object_ref (file);
  g_ptr_array_add (digest->items, item);
}

/* The same for a tensor that is stored sparse. What is hashed are its elements, so that the digest
 * does not depend on how they are stored. */
void
tandem_digest_add_sparse (TandemDigest *digest, const char *name, TandemSafetensors *file,
                          const char *file_name, TandemSparseTensor *sparse)
{
  Item *item;

  tandem_digest_add_tensor (digest, name, file, file_name);
  item = g_ptr_array_index (digest->items, digest->items->len - 1);
  item->sparse = tandem_sparse_tensor_ref (sparse);
}

/* Adds @bytes as a tensor of one dimension and type U8. */
void
tandem_digest_add_bytes (TandemDigest *digest, const char *name, GBytes *bytes)
{
  Item *item = g_new0 (Item, 1);

  item->name = g_strdup (name);
  item->bytes = g_bytes_ref (bytes);
  g_ptr_array_add (digest->items, item);
}

static int
compare_items (gconstpointer a, gconstpointer b)
{
  const Item *left = *(Item *const *) a, *right = *(Item *const *) b;

  return strcmp (left->name, right->name);
}

static gboolean
hash_file (GChecksum *sum, const Item *item, guint64 size, guint8 *buffer,
           GCancellable *cancellable, GError **error)
{
  guint64 done;

  for (done = 0; done < size;) {
    gsize length = MIN (size - done, BUFFER_SIZE);

    if (g_cancellable_set_error_if_cancelled (cancellable, error) ||
        !tandem_safetensors_read (item->file, item->file_name, done, buffer, length, error))
      return FALSE;
    g_checksum_update (sum, buffer, length);
    done += length;
  }
  return TRUE;
}

static gboolean
hash_sparse (GChecksum *sum, const TandemSparseTensor *sparse, guint8 *buffer,
             GCancellable *cancellable, GError **error)
{
  gsize size = tandem_dtype_get_size (tandem_sparse_tensor_get_dtype (sparse));
  guint64 n = tandem_sparse_tensor_get_n_elements (sparse), done, count;

  for (done = 0; done < n; done += count) {
    count = MIN (n - done, BUFFER_SIZE / size);
    if (g_cancellable_set_error_if_cancelled (cancellable, error))
      return FALSE;
    tandem_sparse_tensor_expand (sparse, done, count, buffer);
    g_checksum_update (sum, buffer, count * size);
  }
  tandem_tensor_release_pages (tandem_sparse_tensor_get_values (sparse));
  return TRUE;
}

static void
describe_item (GString *line, const Item *item, guint64 *size)
{
  g_string_printf (line, "tensor %s ", item->name);
  if (item->bytes != NULL) {
    *size = g_bytes_get_size (item->bytes);
    g_string_append_printf (line, "U8 [%" G_GUINT64_FORMAT, *size);
  } else if (item->sparse != NULL) {
    guint dim;

    g_string_append_printf (line, "%s [", tandem_dtype_to_string (
                                              tandem_sparse_tensor_get_dtype (item->sparse)));
    for (dim = 0; dim < tandem_sparse_tensor_get_n_dims (item->sparse); dim++)
      g_string_append_printf (line, "%s%" G_GUINT64_FORMAT, dim > 0 ? "," : "",
                              tandem_sparse_tensor_get_dim (item->sparse, dim));
  } else {
    const char *dtype = "";
    const guint64 *shape = NULL;
    guint n_dims = 0, dim;

    tandem_safetensors_get_info (item->file, item->file_name, &dtype, &n_dims, &shape, size);
    g_string_append_printf (line, "%s [", dtype);
    for (dim = 0; dim < n_dims; dim++)
      g_string_append_printf (line, "%s%" G_GUINT64_FORMAT, dim > 0 ? "," : "", shape[dim]);
  }
  g_string_append (line, "]\n");
}

/* Returns the digest, 64 hexadecimal digits. The files are read through a small
 * buffer: the pages of their mappings are not touched. */
char *
tandem_digest_compute (TandemDigest *digest, GCancellable *cancellable, GError **error)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autoptr (GString) line = g_string_new (NULL);
  g_autofree guint8 *buffer = g_malloc (BUFFER_SIZE);
  guint i;

  g_checksum_update (sum, (const guint8 *) digest->preamble, strlen (digest->preamble));
  g_ptr_array_sort (digest->items, compare_items);
  for (i = 0; i < digest->items->len; i++) {
    const Item *item = g_ptr_array_index (digest->items, i);
    guint64 size = 0;

    describe_item (line, item, &size);
    g_checksum_update (sum, (const guint8 *) line->str, line->len);
    if (item->bytes != NULL)
      g_checksum_update (sum, g_bytes_get_data (item->bytes, NULL), size);
    else if (item->sparse != NULL
               ? !hash_sparse (sum, item->sparse, buffer, cancellable, error)
               : !hash_file (sum, item, size, buffer, cancellable, error))
      return NULL;
  }
  return g_strdup (g_checksum_get_string (sum));
}

/* Returns the name under which the digest is kept; *settled says whether it may be. */
static char *
get_key (TandemDigest *digest, gboolean *settled)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  gint64 now = g_get_real_time () / G_USEC_PER_SEC;
  guint i;

  *settled = TRUE;
  g_checksum_update (sum, (const guint8 *) digest->preamble, strlen (digest->preamble));
  g_ptr_array_sort (digest->items, compare_items);
  for (i = 0; i < digest->items->len; i++) {
    const Item *item = g_ptr_array_index (digest->items, i);
    const struct stat *st = item->file != NULL ? tandem_safetensors_get_stat (item->file) : NULL;
    g_autofree char *line = NULL;

    if (st == NULL) {
      *settled = FALSE;
      return NULL;
    }
    if (now - st->st_mtim.tv_sec < SETTLED_SECONDS || now - st->st_ctim.tv_sec < SETTLED_SECONDS)
      *settled = FALSE;
    line = g_strdup_printf ("\n%s %s %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %"
                            G_GINT64_FORMAT " %" G_GINT64_FORMAT ".%09ld %" G_GINT64_FORMAT
                            ".%09ld", item->name, item->file_name, (guint64) st->st_dev,
                            (guint64) st->st_ino, (gint64) st->st_size,
                            (gint64) st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
                            (gint64) st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
    g_checksum_update (sum, (const guint8 *) line, strlen (line));
  }
  return g_strdup (g_checksum_get_string (sum));
}

static char *
load_cached (const char *path)
{
  g_autofree char *text = NULL;
  gsize length;

  if (!g_file_get_contents (path, &text, &length, NULL) || length != 65 || text[64] != '\n')
    return NULL;
  text[64] = '\0';
  return strspn (text, "0123456789abcdef") == 64 ? g_steal_pointer (&text) : NULL;
}

static void
drop_old (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;
  guint n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  if (n <= MAX_CACHED)
    return;
  g_dir_rewind (dir);
  while ((name = g_dir_read_name (dir)) != NULL) {
    g_autofree char *path = g_build_filename (folder, name, NULL);

    g_unlink (path);
  }
}

static gboolean
is_unchanged (TandemDigest *digest)
{
  guint i;

  for (i = 0; i < digest->items->len; i++) {
    const Item *item = g_ptr_array_index (digest->items, i);

    if (!tandem_safetensors_is_unchanged (item->file))
      return FALSE;
  }
  return TRUE;
}

/* As tandem_digest_compute(), but with the cache. One that cannot be read or
 * written costs time alone. */
char *
tandem_digest_compute_cached (TandemDigest *digest, GCancellable *cancellable, GError **error)
{
  gboolean settled;
  g_autofree char *key = get_key (digest, &settled);
  g_autofree char *folder = NULL;
  g_autofree char *path = NULL;
  char *result;

  if (key == NULL)
    return tandem_digest_compute (digest, cancellable, error);
  folder = g_build_filename (g_get_user_cache_dir (), "tandem", "fingerprints", NULL);
  path = g_build_filename (folder, key, NULL);
  result = load_cached (path);
  if (result != NULL)
    return result;
  result = tandem_digest_compute (digest, cancellable, error);
  if (result != NULL && settled && is_unchanged (digest)) {
    g_autofree char *line = g_strconcat (result, "\n", NULL);

    if (g_mkdir_with_parents (folder, 0700) == 0) {
      drop_old (folder);
      g_file_set_contents (path, line, -1, NULL);
    }
  }
  return result;
}
