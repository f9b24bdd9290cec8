/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* New cluster keys. GIO uses keys, but can neither make them nor say whether a key and a
 * certificate belong together: GnuTLS does that, and nothing else here. */

#include "config.h"

#include "tandem-cluster-key-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <string.h>
#include <unistd.h>

/* Clocks of small computers may be behind that of the one that makes the key. */
#define BEGINS_EARLIER (24 * 60 * 60)
#define SERIAL_SIZE 16

static gboolean
check_name (const char *name, GError **error)
{
  gsize i;

  for (i = 0; name[i] != '\0'; i++) {
    if (!g_ascii_isalnum (name[i]) && strchr ("._-", name[i]) == NULL)
      break;
  }
  if (i > 0 && name[i] == '\0' && i <= TANDEM_CLUSTER_KEY_MAX_NAME)
    return TRUE;
  g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_KEY,
               _("The name of a cluster has 1 to %u letters of ASCII, digits, '.', '_' and '-'; "
                 "\"%s\" does not."), TANDEM_CLUSTER_KEY_MAX_NAME, name);
  return FALSE;
}

/* ECDSA with SHA-256 over P-256 (FIPS 186-5): every implementation of TLS 1.3 has it. */
static int
sign (gnutls_x509_privkey_t key, gnutls_x509_crt_t certificate, const char *name, gint64 expiry)
{
  gint64 now = g_get_real_time () / G_USEC_PER_SEC;
  guint8 serial[SERIAL_SIZE];
  int ret = gnutls_x509_privkey_generate (key, GNUTLS_PK_ECDSA,
                                          GNUTLS_CURVE_TO_BITS (GNUTLS_ECC_CURVE_SECP256R1), 0);

  if (ret >= 0)
    ret = gnutls_rnd (GNUTLS_RND_NONCE, serial, sizeof serial);
  /* A serial number is positive. */
  serial[0] = (serial[0] & 0x7f) | 0x40;
  if (ret >= 0)
    ret = gnutls_x509_crt_set_version (certificate, 3);
  if (ret >= 0)
    ret = gnutls_x509_crt_set_serial (certificate, serial, sizeof serial);
  if (ret >= 0)
    ret = gnutls_x509_crt_set_dn_by_oid (certificate, GNUTLS_OID_X520_COMMON_NAME, 0, name,
                                         strlen (name));
  if (ret >= 0)
    ret = gnutls_x509_crt_set_activation_time (certificate, MIN (now, expiry) - BEGINS_EARLIER);
  if (ret >= 0)
    ret = gnutls_x509_crt_set_expiration_time (certificate, expiry);
  if (ret >= 0)
    ret = gnutls_x509_crt_set_basic_constraints (certificate, 0, -1);
  if (ret >= 0)
    ret = gnutls_x509_crt_set_key_usage (certificate, GNUTLS_KEY_DIGITAL_SIGNATURE);
  if (ret >= 0)
    ret = gnutls_x509_crt_set_key (certificate, key);
  if (ret >= 0)
    ret = gnutls_x509_crt_sign2 (certificate, certificate, key, GNUTLS_DIG_SHA256, 0);
  return ret;
}

static void
wipe (gnutls_datum_t *datum)
{
  if (datum->data != NULL)
    explicit_bzero (datum->data, datum->size);
  gnutls_free (datum->data);
  datum->data = NULL;
  datum->size = 0;
}

/* The text of a new key's file. */
static gboolean
generate (const char *name, gint64 expiry, gnutls_datum_t *key, gnutls_datum_t *certificate,
          GError **error)
{
  gnutls_x509_privkey_t private_key = NULL;
  gnutls_x509_crt_t crt = NULL;
  int ret = gnutls_x509_privkey_init (&private_key);

  if (ret >= 0)
    ret = gnutls_x509_crt_init (&crt);
  if (ret >= 0)
    ret = sign (private_key, crt, name, expiry);
  if (ret >= 0)
    ret = gnutls_x509_privkey_export2_pkcs8 (private_key, GNUTLS_X509_FMT_PEM, NULL,
                                             GNUTLS_PKCS_PLAIN, key);
  if (ret >= 0)
    ret = gnutls_x509_crt_export2 (crt, GNUTLS_X509_FMT_PEM, certificate);
  if (crt != NULL)
    gnutls_x509_crt_deinit (crt);
  if (private_key != NULL)
    gnutls_x509_privkey_deinit (private_key);
  if (ret >= 0)
    return TRUE;
  wipe (key);
  g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_KEY,
               _("A cluster key cannot be made: %s"), gnutls_strerror (ret));
  return FALSE;
}

static gboolean
write_all (int fd, const gnutls_datum_t *datum)
{
  guint done = 0;

  while (done < datum->size) {
    gssize n = write (fd, datum->data + done, datum->size - done);

    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return FALSE;
    done += n;
  }
  return TRUE;
}

/* Nobody else can open the file at any time, and no file that is there is touched. */
static gboolean
write_file (const char *path, const gnutls_datum_t *key, const gnutls_datum_t *certificate,
            GError **error)
{
  g_autofree char *display = g_filename_display_name (path);
  g_autofree char *folder = g_path_get_dirname (path);
  int fd, problem = 0;

  if (g_mkdir_with_parents (folder, 0700) != 0) {
    g_autofree char *shown = g_filename_display_name (folder);

    problem = errno;
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_KEY,
                 _("The folder %s cannot be made: %s."), shown, g_strerror (problem));
    return FALSE;
  }
  fd = g_open (path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0 && errno == EEXIST) {
    g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_KEY,
                 _("%s is there already and stays as it is. To make a new cluster key, give "
                   "another name, or move this file away first."), display);
    return FALSE;
  }
  if (fd < 0 || !write_all (fd, key) || !write_all (fd, certificate) || fsync (fd) != 0)
    problem = errno;
  if (fd >= 0 && close (fd) != 0 && problem == 0)
    problem = errno;
  if (problem == 0)
    return TRUE;
  if (fd >= 0)
    g_unlink (path);
  g_set_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_KEY, _("%s cannot be written: %s."),
               display, g_strerror (problem));
  return FALSE;
}

/**
 * tandem_cluster_key_check_pair: (skip)
 * @text: PEM: a private key and a certificate
 * @size: its bytes
 * @error: return location for %G_TLS_ERROR_BAD_CERTIFICATE
 *
 * Returns: whether the private key is that of the certificate
 */
gboolean
tandem_cluster_key_check_pair (const char *text, gsize size, GError **error)
{
  const gnutls_datum_t pem = { (guint8 *) text, size };
  guint8 ids[2][32];
  size_t sizes[2] = { sizeof ids[0], sizeof ids[1] };
  gnutls_x509_privkey_t key = NULL;
  gnutls_x509_crt_t crt = NULL;
  int ret = gnutls_x509_privkey_init (&key);

  if (ret >= 0)
    ret = gnutls_x509_crt_init (&crt);
  if (ret >= 0)
    ret = gnutls_x509_privkey_import2 (key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0);
  if (ret >= 0)
    ret = gnutls_x509_crt_import (crt, &pem, GNUTLS_X509_FMT_PEM);
  if (ret >= 0)
    ret = gnutls_x509_privkey_get_key_id (key, GNUTLS_KEYID_USE_SHA256, ids[0], &sizes[0]);
  if (ret >= 0)
    ret = gnutls_x509_crt_get_key_id (crt, GNUTLS_KEYID_USE_SHA256, ids[1], &sizes[1]);
  if (ret >= 0 && (sizes[0] != sizes[1] || memcmp (ids[0], ids[1], sizes[0]) != 0))
    ret = GNUTLS_E_CERTIFICATE_KEY_MISMATCH;
  if (crt != NULL)
    gnutls_x509_crt_deinit (crt);
  if (key != NULL)
    gnutls_x509_privkey_deinit (key);
  if (ret >= 0)
    return TRUE;
  g_set_error_literal (error, G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE, gnutls_strerror (ret));
  return FALSE;
}

/**
 * tandem_cluster_key_create:
 * @path: (type filename): the file to make; its folder is made with mode 0700 where it is not there
 * @name: what people will call the cluster: 1 to 64 letters of ASCII, digits, '.', '_' and '-'
 * @expiry: when the key stops being valid; a time that is past makes one that is of no use
 * @error: return location for %TANDEM_NET_ERROR_KEY
 *
 * Makes a new cluster key, with an ECDSA key over the curve P-256, and writes it to
 * @path with mode 0600. A file that is there is not overwritten.
 *
 * Returns: whether the file was made
 */
gboolean
tandem_cluster_key_create (const char *path, const char *name, GDateTime *expiry, GError **error)
{
  gnutls_datum_t key = { NULL, 0 }, certificate = { NULL, 0 };
  gboolean written;

  g_return_val_if_fail (path != NULL && name != NULL && expiry != NULL, FALSE);
  if (!check_name (name, error) ||
      !generate (name, g_date_time_to_unix (expiry), &key, &certificate, error))
    return FALSE;
  written = write_file (path, &key, &certificate, error);
  wipe (&key);
  wipe (&certificate);
  return written;
}
