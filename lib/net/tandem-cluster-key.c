/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A cluster key as it is read from its file: what makes a file one, and whether it is valid now. */

#include "config.h"

#include "tandem-cluster-key-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A key with its certificate has some 900 bytes. */
#define MAX_FILE_SIZE (64 * 1024)
#define BEGIN_CERTIFICATE "-----BEGIN CERTIFICATE-----"
/* What of a fingerprint stands in sentences. */
#define SHORT_FINGERPRINT "%.16s"

struct _TandemClusterKey
{
  GObject parent;

  /* does not change */
  char *path;
  char *name;
  char *fingerprint;
  GDateTime *expiry;
  GTlsCertificate *certificate;
};

G_DEFINE_FINAL_TYPE (TandemClusterKey, tandem_cluster_key, G_TYPE_OBJECT)

static void
tandem_cluster_key_finalize (GObject *object)
{
  TandemClusterKey *self = TANDEM_CLUSTER_KEY (object);

  g_free (self->path);
  g_free (self->name);
  g_free (self->fingerprint);
  g_clear_pointer (&self->expiry, g_date_time_unref);
  g_clear_object (&self->certificate);
  G_OBJECT_CLASS (tandem_cluster_key_parent_class)->finalize (object);
}

static void
tandem_cluster_key_class_init (TandemClusterKeyClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tandem_cluster_key_finalize;
}

static void
tandem_cluster_key_init (TandemClusterKey *self)
{
}

/* --- certificates, also those of strangers --- */

/* A stranger's name is shown to people: short, and nothing that a terminal would obey. */
char *
tandem_certificate_get_name (GTlsCertificate *certificate)
{
  g_autofree char *subject = g_tls_certificate_get_subject_name (certificate);
  g_autofree char *valid = g_utf8_make_valid (subject != NULL ? subject : "", -1);
  const char *from = g_str_has_prefix (valid, "CN=") ? valid + 3 : valid;
  GString *name = g_string_new (NULL);
  guint n;

  for (n = 0; *from != '\0' && n < TANDEM_CLUSTER_KEY_MAX_NAME; n++) {
    gunichar c = g_utf8_get_char (from);

    g_string_append_unichar (name, g_unichar_isprint (c) ? c : 0xfffd);
    from = g_utf8_next_char (from);
  }
  return g_string_free (name, FALSE);
}

/* SHA-256 of the certificate as DER, in hex. */
char *
tandem_certificate_get_fingerprint (GTlsCertificate *certificate)
{
  g_autoptr (GByteArray) der = NULL;

  g_object_get (certificate, "certificate", &der, NULL);
  if (der == NULL)
    return g_strdup ("?");
  return g_compute_checksum_for_data (G_CHECKSUM_SHA256, der->data, der->len);
}

/* "home" (3f2a1b0c01234567) */
char *
tandem_certificate_describe (GTlsCertificate *certificate)
{
  g_autofree char *name = tandem_certificate_get_name (certificate);
  g_autofree char *fingerprint = tandem_certificate_get_fingerprint (certificate);

  return g_strdup_printf ("\"%s\" (" SHORT_FINGERPRINT ")", name, fingerprint);
}

gboolean
tandem_certificate_has_expired (GTlsCertificate *certificate)
{
  g_autoptr (GDateTime) expiry = g_tls_certificate_get_not_valid_after (certificate);
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();

  return expiry == NULL || g_date_time_compare (expiry, now) <= 0;
}

/* --- the file --- */

static gboolean
check_file (int fd, const char *display, GError **error)
{
  struct stat st;

  if (fstat (fd, &st) != 0 || !S_ISREG (st.st_mode)) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_KEY, _("%s is not a file."), display);
    return FALSE;
  }
  if (st.st_uid != geteuid () && st.st_uid != 0) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_KEY,
                 _("%s belongs to another user, who could have put any key there."), display);
    return FALSE;
  }
  if ((st.st_mode & 077) != 0) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_KEY,
                 _("%s can be used by other users of this device (mode %04o). If none of them has "
                   "read it, \"chmod 600\" is enough; otherwise make a new cluster key."),
                 display, (guint) st.st_mode & 07777);
    return FALSE;
  }
  if (st.st_size > MAX_FILE_SIZE) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_KEY,
                 _("%s is not a cluster key: it is larger than %u bytes."), display,
                 MAX_FILE_SIZE);
    return FALSE;
  }
  return TRUE;
}

/* The text of the file, ending with a 0; whoever frees it wipes it. */
static char *
read_file (const char *path, gsize *size, GError **error)
{
  g_autofree char *display = g_filename_display_name (path);
  int fd = g_open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
  char *text;
  gssize n;

  if (fd < 0 && errno == ENOENT) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_KEY,
                 _("There is no cluster key %s. Make one with \"tandem key new\" on one device of "
                   "the cluster and copy the file to every other one."), display);
    return NULL;
  }
  if (fd < 0) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_KEY,
                 _("The cluster key %s cannot be read: %s."), display, g_strerror (errno));
    return NULL;
  }
  if (!check_file (fd, display, error)) {
    close (fd);
    return NULL;
  }
  text = g_malloc (MAX_FILE_SIZE + 1);
  *size = 0;
  while (*size < MAX_FILE_SIZE && (n = read (fd, text + *size, MAX_FILE_SIZE - *size)) != 0) {
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0) {
      g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_KEY,
                   _("The cluster key %s cannot be read: %s."), display, g_strerror (errno));
      explicit_bzero (text, *size);
      g_clear_pointer (&text, g_free);
      break;
    }
    *size += n;
  }
  close (fd);
  if (text != NULL)
    text[*size] = '\0';
  return text;
}

static GTlsCertificate *
parse (const char *text, gsize size, GError **error)
{
  g_autoptr (GTlsCertificate) certificate = NULL;
  const char *first;

  if (memchr (text, '\0', size) != NULL) {
    g_set_error_literal (error, G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE,
                         _("it is not text"));
    return NULL;
  }
  if (strstr (text, "PRIVATE KEY-----") == NULL) {
    g_set_error_literal (error, G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE,
                         _("it holds no private key"));
    return NULL;
  }
  first = strstr (text, BEGIN_CERTIFICATE);
  if (first != NULL && strstr (first + 1, BEGIN_CERTIFICATE) != NULL) {
    g_set_error_literal (error, G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE,
                         _("it holds more than one certificate"));
    return NULL;
  }
  certificate = g_tls_certificate_new_from_pem (text, size, error);
  if (certificate == NULL || !tandem_cluster_key_check_pair (text, size, error))
    return NULL;
  return g_steal_pointer (&certificate);
}

/**
 * tandem_cluster_key_load:
 * @path: (type filename): the file
 * @error: return location for %TANDEM_NET_ERROR_KEY with a sentence for people
 *
 * Reads a cluster key. The file has to belong to the user who runs this, or to
 * root, and nobody else may have any right to it (mode 0600 or less). It is PEM:
 * a private key and its certificate. A key that has expired is read, too; see
 * tandem_cluster_key_check_validity().
 *
 * Returns: (transfer full): the key, or %NULL on an error
 */
TandemClusterKey *
tandem_cluster_key_load (const char *path, GError **error)
{
  g_autoptr (TandemClusterKey) self = NULL;
  g_autofree char *text = NULL;
  g_autoptr (GError) local = NULL;
  gsize size;

  g_return_val_if_fail (path != NULL, NULL);
  if (!g_tls_backend_supports_tls (g_tls_backend_get_default ())) {
    g_set_error_literal (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_KEY,
                         _("There is no TLS on this device: install glib-networking."));
    return NULL;
  }
  text = read_file (path, &size, error);
  if (text == NULL)
    return NULL;
  self = g_object_new (TANDEM_TYPE_CLUSTER_KEY, NULL);
  self->certificate = parse (text, size, &local);
  explicit_bzero (text, size);
  if (self->certificate != NULL) {
    self->expiry = g_tls_certificate_get_not_valid_after (self->certificate);
    if (self->expiry == NULL)
      g_set_error_literal (&local, G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE,
                           _("its certificate has no end"));
  }
  if (local != NULL) {
    g_autofree char *display = g_filename_display_name (path);

    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_KEY,
                 _("%s is not a cluster key, or it is damaged: %s."), display, local->message);
    return NULL;
  }
  self->path = g_strdup (path);
  self->name = tandem_certificate_get_name (self->certificate);
  self->fingerprint = tandem_certificate_get_fingerprint (self->certificate);
  return g_steal_pointer (&self);
}

/**
 * tandem_cluster_key_get_default_path:
 *
 * Where the cluster key of this device is: what the environment variable
 * `TANDEM_KEY` names, or `tandem/cluster.key` in the user's folder for
 * configuration, mostly `~/.config`.
 *
 * Returns: (transfer full) (type filename): the path, whether there is a file or not
 */
char *
tandem_cluster_key_get_default_path (void)
{
  const char *path = g_getenv ("TANDEM_KEY");

  if (path != NULL && path[0] != '\0')
    return g_strdup (path);
  return g_build_filename (g_get_user_config_dir (), "tandem", "cluster.key", NULL);
}

/**
 * tandem_cluster_key_load_default:
 * @error: return location for %TANDEM_NET_ERROR_KEY
 *
 * Reads the cluster key of this device.
 *
 * Returns: (transfer full): the key, or %NULL on an error
 */
TandemClusterKey *
tandem_cluster_key_load_default (GError **error)
{
  g_autofree char *path = tandem_cluster_key_get_default_path ();

  return tandem_cluster_key_load (path, error);
}

/**
 * tandem_cluster_key_get_path:
 * @key: a cluster key
 *
 * Returns: (transfer none) (type filename): the file that it was read from
 */
const char *
tandem_cluster_key_get_path (TandemClusterKey *key)
{
  return key->path;
}

/**
 * tandem_cluster_key_get_name:
 * @key: a cluster key
 *
 * Returns: (transfer none): what people call the cluster; not secret, and not unique
 */
const char *
tandem_cluster_key_get_name (TandemClusterKey *key)
{
  return key->name;
}

/**
 * tandem_cluster_key_get_fingerprint:
 * @key: a cluster key
 *
 * Returns: (transfer none): SHA-256 of the certificate as DER, 64 hexadecimal digits. It
 *   is not secret; two devices whose fingerprints are equal have the same key.
 */
const char *
tandem_cluster_key_get_fingerprint (TandemClusterKey *key)
{
  return key->fingerprint;
}

/**
 * tandem_cluster_key_get_expiry:
 * @key: a cluster key
 *
 * Returns: (transfer none): when it stops being valid, in UTC
 */
GDateTime *
tandem_cluster_key_get_expiry (TandemClusterKey *key)
{
  return key->expiry;
}

/**
 * tandem_cluster_key_check_validity:
 * @key: a cluster key
 * @error: return location for %TANDEM_NET_ERROR_KEY
 *
 * Compares the clock of this device with the time that @key is valid for.
 *
 * Returns: whether it is valid now
 */
gboolean
tandem_cluster_key_check_validity (TandemClusterKey *key, GError **error)
{
  g_autoptr (GDateTime) begin = g_tls_certificate_get_not_valid_before (key->certificate);
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autofree char *display = g_filename_display_name (key->path);
  g_autofree char *date = NULL;

  if (tandem_certificate_has_expired (key->certificate)) {
    date = g_date_time_format (key->expiry, "%Y-%m-%d %H:%M UTC");
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_KEY,
                 _("The cluster key \"%s\" (%.16s) in %s expired on %s. Make a new one with "
                   "\"tandem key new\" and copy it to every device of the cluster."), key->name,
                 key->fingerprint, display, date);
    return FALSE;
  }
  if (begin != NULL && g_date_time_compare (begin, now) > 0) {
    date = g_date_time_format (begin, "%Y-%m-%d %H:%M UTC");
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_KEY,
                 _("The cluster key \"%s\" (%.16s) in %s is not valid before %s. Is the clock of "
                   "this device right?"), key->name, key->fingerprint, display, date);
    return FALSE;
  }
  return TRUE;
}

/**
 * tandem_cluster_key_get_certificate:
 * @key: a cluster key
 *
 * Returns: (transfer none): the certificate with its private key, for a #GTlsConnection
 */
GTlsCertificate *
tandem_cluster_key_get_certificate (TandemClusterKey *key)
{
  return key->certificate;
}
