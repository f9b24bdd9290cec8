/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Files that are well-formed safetensors and wrong classifiers. */

#include "classify-check.h"

typedef struct
{
  char *folder;
  char *path;
} Place;

static void
place_init (Place *self)
{
  self->folder = g_dir_make_tmp ("tandem-classify-XXXXXX", NULL);
  self->path = g_build_filename (self->folder, "x.classifier", NULL);
}

static void
place_clear (Place *self)
{
  g_unlink (self->path);
  g_rmdir (self->folder);
  g_free (self->folder);
  g_free (self->path);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Place, place_clear)

static void
assert_refused (const char *path, const char *what)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TandemClassifier) classifier = tandem_classifier_load (path, NULL, &error);

  if (classifier != NULL)
    g_error ("a file is taken whose %s is wrong", what);
  if (error->domain == TANDEM_CLASSIFY_ERROR)
    g_assert_cmpint (error->code, ==, TANDEM_CLASSIFY_ERROR_FILE);
  else if (error->domain != TANDEM_SAFETENSORS_ERROR)
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
}

/* What tensors a file holds, and its metadata, to be changed. */
static void
take_apart (const char *path, GHashTable **tensors, GHashTable **metadata)
{
  g_autoptr (TandemSafetensors) file = tandem_safetensors_open (path, NULL);
  g_auto (GStrv) names = tandem_safetensors_list_tensors (file);
  g_auto (GStrv) keys = tandem_safetensors_list_metadata (file);
  guint i;

  *tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                    (GDestroyNotify) tandem_tensor_unref);
  *metadata = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  for (i = 0; names[i] != NULL; i++)
    g_hash_table_insert (*tensors, g_strdup (names[i]),
                         tandem_safetensors_get_tensor (file, names[i], NULL));
  for (i = 0; keys[i] != NULL; i++)
    g_hash_table_insert (*metadata, g_strdup (keys[i]),
                         g_strdup (tandem_safetensors_get_metadata (file, keys[i])));
}

/* A tensor one element shorter, or with other first bytes. */
static TandemTensor *
spoil (TandemTensor *tensor, gboolean cut)
{
  TandemDtype dtype = tandem_tensor_get_dtype (tensor);
  gsize item = tandem_dtype_get_size (dtype), size;
  gconstpointer whole = tandem_tensor_get_data (tensor, &size);
  g_autofree guint8 *data = g_memdup2 (whole, size);
  guint64 n = size / item - cut;
  g_autoptr (GBytes) bytes = NULL;

  /* Not a number, and of integers a negative one. */
  if (!cut)
    memset (data, 0xff, item);
  bytes = g_bytes_new (data, n * item);
  return tandem_tensor_new (dtype, 1, &n, bytes, NULL);
}

static char **
list_names (const char *path)
{
  g_autoptr (TandemSafetensors) file = tandem_safetensors_open (path, NULL);

  return tandem_safetensors_list_tensors (file);
}

static void
try_all (TandemClassifier *classifier, TandemDataset *data)
{
  static const char *const bad_metadata[][2] = {
    { "tandem.classifier", "2" }, { "tandem.kind", "oracle" }, { "tandem.kind", "bert" },
    { "tandem.classes", "1" }, { "tandem.classes", "1001" }, { "tandem.classes", "" },
    { "tandem.option.colour", "red" },
  };
  g_auto (Place) place = { NULL };
  g_autoptr (GHashTable) tensors = NULL, metadata = NULL;
  g_auto (GStrv) names = NULL;
  guint i, cut;

  place_init (&place);
  fit_all (classifier, data);
  g_assert_true (tandem_classifier_save (classifier, place.path, NULL, NULL));
  take_apart (place.path, &tensors, &metadata);
  names = list_names (place.path);
  for (i = 0; i < G_N_ELEMENTS (bad_metadata); i++) {
    g_autofree char *kept = g_strdup (g_hash_table_lookup (metadata, bad_metadata[i][0]));

    g_hash_table_insert (metadata, g_strdup (bad_metadata[i][0]), g_strdup (bad_metadata[i][1]));
    g_assert_true (tandem_safetensors_write (place.path, metadata, tensors, NULL, NULL));
    assert_refused (place.path, bad_metadata[i][0]);
    if (kept != NULL)
      g_hash_table_insert (metadata, g_strdup (bad_metadata[i][0]), g_steal_pointer (&kept));
    else
      g_hash_table_remove (metadata, bad_metadata[i][0]);
  }
  for (i = 0; names[i] != NULL; i++) {
    TandemTensor *tensor = tandem_tensor_ref (g_hash_table_lookup (tensors, names[i]));
    const char *name = names[i];

    for (cut = 0; cut < 2; cut++) {
      /* A hash may be any number, and be the only one. */
      if (!cut && tandem_tensor_get_dtype (tensor) == TANDEM_DTYPE_I64 &&
          tandem_tensor_get_n_elements (tensor) == 1)
        continue;
      g_hash_table_replace (tensors, g_strdup (name), spoil (tensor, cut));
      g_assert_true (tandem_safetensors_write (place.path, metadata, tensors, NULL, NULL));
      assert_refused (place.path, name);
    }
    g_hash_table_remove (tensors, name);
    g_assert_true (tandem_safetensors_write (place.path, metadata, tensors, NULL, NULL));
    assert_refused (place.path, name);
    g_hash_table_replace (tensors, g_strdup (name), tensor);
  }
  /* As it was, it is taken. */
  g_assert_true (tandem_safetensors_write (place.path, metadata, tensors, NULL, NULL));
  g_object_unref (tandem_classifier_load (place.path, NULL, NULL));
}

static void
test_ann (void)
{
  g_autoptr (TandemDataset) numbers = make_numbers (20, 4, 3), texts = make_reviews (30);
  g_autoptr (TandemClassifier) ann = make_classifier ("ann", (const char *[]) { "hidden-2", "3",
                                                                                NULL });

  try_all (ann, numbers);
  try_all (ann, texts);
}

static void
test_cnn (void)
{
  g_autoptr (TandemDataset) texts = make_reviews (30);
  g_autoptr (TandemClassifier) cnn = make_classifier ("cnn", (const char *[]) { "filters", "3",
                                                                                NULL });

  try_all (cnn, texts);
}

static void
test_svm (gconstpointer kernel)
{
  g_autoptr (TandemDataset) numbers = make_numbers (20, 4, 3), texts = make_reviews (30);
  const char *const options[] = { "kernel", kernel, NULL };
  g_autoptr (TandemClassifier) svm = make_classifier ("svm", options);

  try_all (svm, numbers);
  try_all (svm, texts);
}

/* Layers that the tensors do not have, words that filters cannot see, and a folder. */
static void
test_options (void)
{
  static const char *const bad[][2] = {
    { "widths", "3,4" }, { "widths", "3,,4" }, { "widths", "0" }, { "widths", "17" },
    { "widths", "" }, { "widths", "3,3" }, { "widths", "1,2,3,4,5,6,7,8,9" }, { "filters", "4" },
    { "embedding-size", "65" }, { "filters", "0" }, { "loss", "" },
  };
  g_autoptr (TandemDataset) texts = make_reviews (30);
  g_autoptr (TandemClassifier) cnn = make_classifier ("cnn", (const char *[]) { "filters", "3",
                                                                                NULL });
  g_auto (Place) place = { NULL };
  guint i;

  place_init (&place);
  fit_all (cnn, texts);
  for (i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GHashTable) tensors = NULL, metadata = NULL;

    g_assert_true (tandem_classifier_save (cnn, place.path, NULL, NULL));
    take_apart (place.path, &tensors, &metadata);
    g_hash_table_insert (metadata, g_strconcat ("tandem.option.", bad[i][0], NULL),
                         g_strdup (bad[i][1]));
    g_assert_true (tandem_safetensors_write (place.path, metadata, tensors, NULL, NULL));
    assert_refused (place.path, bad[i][0]);
  }
  g_assert_null (tandem_classifier_load (place.folder, NULL, NULL));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/classify/files/ann", test_ann);
  g_test_add_func ("/classify/files/cnn", test_cnn);
  g_test_add_data_func ("/classify/files/svm/linear", "linear", test_svm);
  g_test_add_data_func ("/classify/files/svm/rbf", "rbf", test_svm);
  g_test_add_func ("/classify/files/options", test_options);
  return g_test_run ();
}
