/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Kinds, options from text, and files of classifiers.
 *
 * A file is a safetensors file. Metadata: tandem.classifier "1", the version; tandem.kind;
 * tandem.classes; and tandem.option.NAME for each property. What tensors there are, each kind's
 * header says. A BERT is a folder, as Hugging Face has them. */

#include "config.h"

#include <math.h>
#include <string.h>

#include "tandem-ann-classifier.h"
#include "tandem-bert-classifier.h"
#include "tandem-classifier.h"
#include "tandem-cnn-classifier.h"
#include "tandem-svm-classifier.h"

#define VERSION_KEY "tandem.classifier"
#define VERSION "1"
#define KIND_KEY "tandem.kind"
#define OPTION_PREFIX "tandem.option."

static const char *const kinds[] = { "ann", "cnn", "svm", "bert", NULL };

static GType
get_kind_type (const char *kind)
{
  if (g_strcmp0 (kind, "ann") == 0)
    return TANDEM_TYPE_ANN_CLASSIFIER;
  if (g_strcmp0 (kind, "cnn") == 0)
    return TANDEM_TYPE_CNN_CLASSIFIER;
  if (g_strcmp0 (kind, "svm") == 0)
    return TANDEM_TYPE_SVM_CLASSIFIER;
  if (g_strcmp0 (kind, "bert") == 0)
    return TANDEM_TYPE_BERT_CLASSIFIER;
  return G_TYPE_INVALID;
}

static const char *
get_kind (TandemClassifier *self)
{
  guint i;

  for (i = 0; kinds[i] != NULL; i++)
    if (get_kind_type (kinds[i]) == G_OBJECT_TYPE (self))
      return kinds[i];
  return NULL;
}

const char *const *
tandem_classifier_list_kinds (void)
{
  return kinds;
}

TandemClassifier *
tandem_classifier_new (const char *kind, GError **error)
{
  GType type = get_kind_type (kind);

  if (type != G_TYPE_INVALID)
    return g_object_new (type, NULL);
  g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_OPTION,
               "\"%s\" is no kind of classifier", kind);
  return NULL;
}

/* What a property takes, for people. */
static char *
describe_range (GParamSpec *spec)
{
  if (G_IS_PARAM_SPEC_UINT (spec))
    return g_strdup_printf ("%u to %u", G_PARAM_SPEC_UINT (spec)->minimum,
                            G_PARAM_SPEC_UINT (spec)->maximum);
  if (G_IS_PARAM_SPEC_DOUBLE (spec))
    return g_strdup_printf ("%g to %g", G_PARAM_SPEC_DOUBLE (spec)->minimum,
                            G_PARAM_SPEC_DOUBLE (spec)->maximum);
  if (G_IS_PARAM_SPEC_ENUM (spec)) {
    g_autoptr (GString) names = g_string_new (NULL);
    GEnumClass *klass = G_PARAM_SPEC_ENUM (spec)->enum_class;
    guint i;

    for (i = 0; i < klass->n_values; i++)
      g_string_append_printf (names, "%s%s", i > 0 ? ", " : "", klass->values[i].value_nick);
    return g_string_free (g_steal_pointer (&names), FALSE);
  }
  return g_strdup (g_param_spec_get_blurb (spec));
}

static gboolean
parse (GParamSpec *spec, const char *text, GValue *value)
{
  guint64 number;
  double real;
  char *end;
  GEnumValue *known;

  if (G_IS_PARAM_SPEC_UINT (spec)) {
    /* A search over real numbers may have written 3.0. */
    real = g_ascii_strtod (text, &end);
    if (end == text || *end != '\0' || !(real >= 0.0 && real <= G_MAXUINT) || real != floor (real))
      return FALSE;
    g_value_set_uint (value, (guint) real);
  } else if (G_IS_PARAM_SPEC_UINT64 (spec)) {
    if (!g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT64, &number, NULL))
      return FALSE;
    g_value_set_uint64 (value, number);
  } else if (G_IS_PARAM_SPEC_DOUBLE (spec)) {
    real = g_ascii_strtod (text, &end);
    if (end == text || *end != '\0' || !isfinite (real))
      return FALSE;
    g_value_set_double (value, real);
  } else if (G_IS_PARAM_SPEC_ENUM (spec)) {
    known = g_enum_get_value_by_nick (G_PARAM_SPEC_ENUM (spec)->enum_class, text);
    if (known == NULL)
      return FALSE;
    g_value_set_enum (value, known->value);
  } else {
    g_value_set_string (value, text);
  }
  return TRUE;
}

gboolean
tandem_classifier_set_option (TandemClassifier *self, const char *name, const char *text,
                              GError **error)
{
  GParamSpec *spec = g_object_class_find_property (G_OBJECT_GET_CLASS (self), name);
  g_auto (GValue) value = G_VALUE_INIT;
  g_autofree char *range = NULL;

  if (spec == NULL) {
    g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_OPTION,
                 "%s has no option \"%s\"", get_kind (self), name);
    return FALSE;
  }
  g_value_init (&value, spec->value_type);
  /* Validation says whether it had to change the value. */
  if (parse (spec, text, &value) && !g_param_value_validate (spec, &value)) {
    g_object_set_property (G_OBJECT (self), name, &value);
    return TRUE;
  }
  range = describe_range (spec);
  g_set_error (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_OPTION,
               "%s is \"%s\"; it takes %s", name, text, range);
  return FALSE;
}

static char *
format (GObject *object, GParamSpec *spec)
{
  g_auto (GValue) value = G_VALUE_INIT;
  char buffer[G_ASCII_DTOSTR_BUF_SIZE];

  g_value_init (&value, spec->value_type);
  g_object_get_property (object, spec->name, &value);
  if (G_IS_PARAM_SPEC_UINT (spec))
    return g_strdup_printf ("%u", g_value_get_uint (&value));
  if (G_IS_PARAM_SPEC_UINT64 (spec))
    return g_strdup_printf ("%" G_GUINT64_FORMAT, g_value_get_uint64 (&value));
  if (G_IS_PARAM_SPEC_DOUBLE (spec))
    return g_strdup (g_ascii_dtostr (buffer, sizeof buffer, g_value_get_double (&value)));
  if (G_IS_PARAM_SPEC_ENUM (spec))
    return g_strdup (g_enum_get_value (G_PARAM_SPEC_ENUM (spec)->enum_class,
                                       g_value_get_enum (&value))->value_nick);
  return g_value_dup_string (&value);
}

gboolean
tandem_classifier_save (TandemClassifier *self, const char *path, GCancellable *cancellable,
                        GError **error)
{
  TandemClassifierInterface *iface = TANDEM_CLASSIFIER_GET_IFACE (self);
  g_autoptr (GHashTable) tensors = g_hash_table_new_full (g_str_hash, g_str_equal, NULL,
                                                          (GDestroyNotify) tandem_tensor_unref);
  g_autoptr (GHashTable) metadata = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                                           g_free);
  g_autofree GParamSpec **specs = NULL;
  guint n, i;

  g_return_val_if_fail (tandem_classifier_get_n_classes (self) > 0, FALSE);

  if (iface->save_folder != NULL)
    return iface->save_folder (self, path, cancellable, error);
  g_hash_table_insert (metadata, g_strdup (VERSION_KEY), g_strdup (VERSION));
  g_hash_table_insert (metadata, g_strdup (KIND_KEY), g_strdup (get_kind (self)));
  g_hash_table_insert (metadata, g_strdup ("tandem.classes"),
                       g_strdup_printf ("%u", tandem_classifier_get_n_classes (self)));
  specs = g_object_class_list_properties (G_OBJECT_GET_CLASS (self), &n);
  for (i = 0; i < n; i++)
    g_hash_table_insert (metadata, g_strconcat (OPTION_PREFIX, specs[i]->name, NULL),
                         format (G_OBJECT (self), specs[i]));
  return iface->write_tensors (self, tensors, metadata, error) &&
      tandem_safetensors_write (path, metadata, tensors, cancellable, error);
}

static gboolean
read_options (TandemClassifier *self, TandemSafetensors *file, GError **error)
{
  g_auto (GStrv) keys = tandem_safetensors_list_metadata (file);
  g_autoptr (GError) local = NULL;
  guint i;

  for (i = 0; keys[i] != NULL; i++)
    if (g_str_has_prefix (keys[i], OPTION_PREFIX) &&
        !tandem_classifier_set_option (self, keys[i] + strlen (OPTION_PREFIX),
                                       tandem_safetensors_get_metadata (file, keys[i]), &local))
      return tandem_classifier_fail_file (error, "%s", local->message);
  return TRUE;
}

TandemClassifier *
tandem_classifier_load (const char *path, GCancellable *cancellable, GError **error)
{
  g_autoptr (TandemSafetensors) file = NULL;
  g_autoptr (TandemClassifier) self = NULL;
  const char *kind;

  if (g_file_test (path, G_FILE_TEST_IS_DIR))
    return tandem_bert_classifier_load (path, cancellable, error);
  file = tandem_safetensors_open (path, error);
  if (file == NULL)
    return NULL;
  kind = tandem_safetensors_get_metadata (file, KIND_KEY);
  if (g_strcmp0 (tandem_safetensors_get_metadata (file, VERSION_KEY), VERSION) != 0 ||
      get_kind_type (kind) == G_TYPE_INVALID || g_str_equal (kind, "bert")) {
    tandem_classifier_fail_file (error, "it is no classifier of this version");
  } else {
    self = g_object_new (get_kind_type (kind), NULL);
    if (read_options (self, file, error) &&
        TANDEM_CLASSIFIER_GET_IFACE (self)->read_tensors (self, file, error))
      return g_steal_pointer (&self);
  }
  g_prefix_error (error, "%s: ", path);
  return NULL;
}

gboolean
tandem_classifier_fail_file (GError **error, const char *format_text, ...)
{
  g_autofree char *what = NULL;
  va_list args;

  va_start (args, format_text);
  what = g_strdup_vprintf (format_text, args);
  va_end (args);
  g_set_error_literal (error, TANDEM_CLASSIFY_ERROR, TANDEM_CLASSIFY_ERROR_FILE, what);
  return FALSE;
}

gboolean
tandem_classifier_put_tensor (GHashTable *tensors, const char *name, TandemDtype dtype,
                              gsize n_rows, gsize n, gconstpointer data, GError **error)
{
  const guint64 shape[] = { n_rows, n };
  const guint n_dims = n_rows > 0 ? 2 : 1;
  const gsize size = MAX (n_rows, 1) * n * tandem_dtype_get_size (dtype);
  g_autoptr (GBytes) bytes = g_bytes_new (data, size);
  TandemTensor *tensor = tandem_tensor_new (dtype, n_dims, shape + 2 - n_dims, bytes, error);

  if (tensor != NULL)
    g_hash_table_insert (tensors, (gpointer) name, tensor);
  return tensor != NULL;
}

static gboolean
is_finite (TandemDtype dtype, gconstpointer data, gsize n)
{
  gsize i;

  for (i = 0; i < n && dtype == TANDEM_DTYPE_F32; i++)
    if (!isfinite (((const float *) data)[i]))
      return FALSE;
  for (i = 0; i < n && dtype == TANDEM_DTYPE_F64; i++)
    if (!isfinite (((const double *) data)[i]))
      return FALSE;
  return TRUE;
}

gpointer
tandem_classifier_take_tensor (TandemSafetensors *file, const char *name, TandemDtype dtype,
                               gsize n, gsize *n_read, GError **error)
{
  g_autoptr (TandemTensor) tensor = tandem_safetensors_get_tensor (file, name, error);
  gconstpointer data;
  gsize size, n_there;

  if (tensor == NULL)
    return NULL;
  data = tandem_tensor_get_data (tensor, &size);
  n_there = size / tandem_dtype_get_size (dtype);
  if (tandem_tensor_get_dtype (tensor) != dtype || n_there < 1 || n_there > G_MAXINT32 ||
      (n != 0 && n_there != n)) {
    tandem_classifier_fail_file (error, "the tensor \"%s\" is of another type or size", name);
    return NULL;
  }
  if (!is_finite (dtype, data, n_there)) {
    tandem_classifier_fail_file (error, "the tensor \"%s\" holds what is no number", name);
    return NULL;
  }
  if (n_read != NULL)
    *n_read = n_there;
  return g_memdup2 (data, size);
}

gboolean
tandem_classifier_take_number (TandemSafetensors *file, const char *key, guint64 least,
                               guint64 most, guint64 *number, GError **error)
{
  const char *text = tandem_safetensors_get_metadata (file, key);

  return (text != NULL && g_ascii_string_to_unsigned (text, 10, least, most, number, NULL)) ||
      tandem_classifier_fail_file (error, "%s is \"%s\"", key, text != NULL ? text : "");
}
