/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a stage announces: what goes into a TXT record comes out of it, and no record that somebody
 * on the network makes up gets through. */

#include "tandem.h"

#include <string.h>

#define FINGERPRINT "3f2a1b0c0123456789abcdef0123456789abcdef0123456789abcdef01234567"
#define GOOD_ID "id=00112233445566778899aabbccddeeff"
#define GOOD_INSTANCE "inst=0123456789abcdef"

static GBytes *
make_txt (const char *const *strings)
{
  GByteArray *txt = g_byte_array_new ();
  guint i;

  for (i = 0; strings[i] != NULL; i++) {
    guint8 length = strlen (strings[i]);

    g_byte_array_append (txt, &length, 1);
    g_byte_array_append (txt, (const guint8 *) strings[i], length);
  }
  return g_byte_array_free_to_bytes (txt);
}

static gboolean
parse (GBytes *txt, TandemServiceInfo *info, GError **error)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (txt, &size);

  return tandem_service_info_from_txt (info, data, size, error);
}

static void
test_round_trip (void)
{
  g_autoptr (GstCaps) caps = gst_caps_from_string (
      TANDEM_CAPS_ACTIVATIONS ",model=" FINGERPRINT ",layer=2,width=312,format={F32LE,Q8}");
  g_autoptr (GBytes) txt = NULL;
  g_autoptr (GError) error = NULL;
  TandemServiceInfo info, back;

  tandem_service_info_init (&info, "kitchen \xc3\xa9", caps, 11);
  info.capacity = 32;
  txt = tandem_service_info_to_txt (&info);
  g_assert_cmpuint (g_bytes_get_size (txt), <=, TANDEM_SERVICE_MAX_TXT);
  g_assert_true (parse (txt, &back, &error));
  g_assert_no_error (error);
  g_assert_cmpstr (back.device_id, ==, info.device_id);
  g_assert_cmpuint (strlen (back.device_id), ==, 32);
  g_assert_cmpstr (back.instance, ==, info.instance);
  g_assert_cmpstr (back.name, ==, "kitchen \xc3\xa9");
  g_assert_cmpuint (back.major, ==, TANDEM_FRAME_MAJOR);
  g_assert_cmpuint (back.minor, ==, TANDEM_FRAME_MINOR);
  g_assert_cmpuint (back.kind, ==, TANDEM_STREAM_ACTIVATIONS);
  g_assert_cmpstr (back.fingerprint, ==, FINGERPRINT);
  g_assert_cmpuint (back.first_layer, ==, 2);
  g_assert_cmpuint (back.last_layer, ==, 11);
  g_assert_cmpuint (back.width, ==, 312);
  g_assert_cmpuint (back.formats, ==, 1 << TANDEM_ROW_FORMAT_F32LE | 1 << TANDEM_ROW_FORMAT_Q8);
  g_assert_cmpuint (back.capacity, ==, 32);
}

static void
test_any (void)
{
  g_autoptr (GBytes) txt = NULL;
  TandemServiceInfo info, back;
  TandemStreamInfo stream = { .kind = TANDEM_STREAM_TOKENS };

  tandem_service_info_init (&info, NULL, NULL, 0);
  g_assert_cmpuint (strlen (info.name), >, 0);
  txt = tandem_service_info_to_txt (&info);
  g_assert_true (parse (txt, &back, NULL));
  g_assert_cmpuint (back.kind, ==, TANDEM_FRAME_ANY_KIND);
  g_assert_cmpstr (back.fingerprint, ==, "");
  memcpy (stream.fingerprint, FINGERPRINT, sizeof stream.fingerprint);
  g_assert_true (tandem_service_info_check (&back, &stream, NULL));
}

/* A name is cut between two characters. */
static void
test_long_name (void)
{
  g_autoptr (GString) name = g_string_new ("x");
  g_autoptr (GBytes) txt = NULL;
  TandemServiceInfo info, back;
  guint i;

  for (i = 0; i < 40; i++)
    g_string_append (name, "\xc3\xa9");
  g_string_append (name, "\n\xff");
  tandem_service_info_init (&info, name->str, NULL, 0);
  g_assert_cmpuint (strlen (info.name), ==, 63);
  g_assert_true (g_utf8_validate (info.name, -1, NULL));
  txt = tandem_service_info_to_txt (&info);
  g_assert_true (parse (txt, &back, NULL));
  g_assert_cmpstr (back.name, ==, info.name);
}

/* What RFC 6763 asks for: the first of a key counts, case does not, the unknown is passed over. */
static void
test_lenient (void)
{
  static const char *const strings[] = {
    "", "=nothing", "flag", "TXTVERS=1", "Proto=1.7", GOOD_ID, GOOD_INSTANCE, "kind=tokens",
    "kind=logits", "model=any", "formats=F64LE,Q8", "speed=12", NULL,
  };
  g_autoptr (GBytes) txt = make_txt (strings);
  g_autoptr (GError) error = NULL;
  TandemServiceInfo info;

  g_assert_true (parse (txt, &info, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (info.kind, ==, TANDEM_STREAM_TOKENS);
  g_assert_cmpuint (info.minor, ==, 7);
  g_assert_cmpuint (info.formats, ==, 1 << TANDEM_ROW_FORMAT_Q8);
  g_assert_cmpuint (info.capacity, ==, 0);
  g_assert_cmpstr (info.name, ==, "");
}

/* Each replaces, or takes away, one string of a good record. */
static void
test_bad_values (void)
{
  static const char *const good[] = {
    "txtvers=1", "proto=1.0", GOOD_ID, GOOD_INSTANCE, "name=a", "kind=activations",
    "model=" FINGERPRINT, "first=1", "last=2", "width=4", "classes=0", "formats=any",
    "capacity=1", NULL,
  };
  static const struct { guint at; const char *string; } bad[] = {
    { 0, "txtvers=2" }, { 0, "txtvers" }, { 0, "x=1" }, { 1, "proto=1" }, { 1, "proto=1.x" },
    { 1, "proto=1.256" }, { 1, "proto=-1.0" }, { 1, "x" }, { 2, "id=0011" },
    { 2, "id=00112233445566778899aabbccddeefg" }, { 2, "id=00112233445566778899AABBCCDDEEFF" },
    { 2, GOOD_ID "0" }, { 2, "x" }, { 3, "inst=" }, { 3, "inst=0123456789abcde" }, { 3, "x" },
    { 4, "name=\x1b[2J" }, { 4, "name=a\nb" }, { 4, "name=\xe2\x80\xa8" },
    { 4, "name=0123456789012345678901234567890123456789012345678901234567890123" },
    { 5, "kind=letters" }, { 5, "x" }, { 6, "model=" }, { 6, "model=3f2a" }, { 6, "x" },
    { 7, "first=4097" }, { 7, "first=-1" }, { 7, "first=0x1" }, { 7, "first=" },
    { 7, "first=99999999999999999999" }, { 8, "last=1e3" }, { 9, "width=65537" },
    { 10, "classes=65537" }, { 11, "formats=" }, { 11, "formats=F64LE" }, { 11, "formats=," },
    { 12, "capacity=65536" },
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (bad); i++) {
    const char *strings[G_N_ELEMENTS (good)];
    g_autoptr (GBytes) txt = NULL;
    g_autoptr (GError) error = NULL;
    TandemServiceInfo info;
    gboolean ok;

    memcpy (strings, good, sizeof good);
    txt = make_txt (strings);
    g_assert_true (parse (txt, &info, NULL));
    g_clear_pointer (&txt, g_bytes_unref);
    strings[bad[i].at] = bad[i].string;
    txt = make_txt (strings);
    ok = parse (txt, &info, &error);
    if (ok)
      g_error ("\"%s\" got through", bad[i].string);
    g_assert_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL);
    g_assert_cmpstr (info.device_id, ==, "");
  }
}

static void
test_bad_bytes (void)
{
  static const guint8 cut[] = { 9, 't', 'x', 't', 'v', 'e', 'r', 's', '=' };
  static const guint8 zero[] = "\x0btxtvers=1\0z";
  g_autofree guint8 *large = g_malloc0 (TANDEM_SERVICE_MAX_TXT + 1);
  g_autoptr (GError) error = NULL;
  TandemServiceInfo info;

  g_assert_false (tandem_service_info_from_txt (&info, cut, sizeof cut, &error));
  g_assert_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL);
  g_clear_error (&error);
  g_assert_false (tandem_service_info_from_txt (&info, zero, sizeof zero - 1, &error));
  g_assert_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL);
  g_clear_error (&error);
  g_assert_false (tandem_service_info_from_txt (&info, NULL, 0, &error));
  g_clear_error (&error);
  g_assert_false (tandem_service_info_from_txt (&info, large, TANDEM_SERVICE_MAX_TXT, &error));
  g_assert_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_PROTOCOL);
  g_clear_error (&error);
  g_assert_false (tandem_service_info_from_txt (&info, large, TANDEM_SERVICE_MAX_TXT + 1,
                                                &error));
  g_assert_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_TOO_LARGE);
}

/* Of a version to come it is read who it is, and then refused by name. */
static void
test_other_version (void)
{
  static const char *const strings[] = {
    "txtvers=1", "proto=2.1", GOOD_ID, GOOD_INSTANCE, "kind=something", NULL,
  };
  g_autoptr (GBytes) txt = make_txt (strings);
  g_autoptr (GError) error = NULL;
  TandemServiceInfo info;
  TandemStreamInfo stream = { .kind = TANDEM_STREAM_TOKENS };

  g_assert_true (parse (txt, &info, NULL));
  g_assert_false (tandem_service_info_check (&info, &stream, &error));
  g_assert_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_VERSION);
  g_assert_nonnull (strstr (error->message, "2.1"));
}

static void
test_check (void)
{
  g_autoptr (GstCaps) caps = gst_caps_from_string (
      TANDEM_CAPS_ACTIVATIONS ",model=" FINGERPRINT ",layer=2,width=4,format={F32LE,BF16LE}");
  TandemServiceInfo info;
  TandemStreamInfo stream = {
    .kind = TANDEM_STREAM_ACTIVATIONS, .layer = 2, .width = 4,
    .format = TANDEM_ROW_FORMAT_BF16LE,
  };
  g_autoptr (GError) error = NULL;

  memcpy (stream.fingerprint, FINGERPRINT, sizeof stream.fingerprint);
  tandem_service_info_init (&info, "a", caps, 5);
  g_assert_true (tandem_service_info_check (&info, &stream, &error));
  stream.layer = 1;
  g_assert_false (tandem_service_info_check (&info, &stream, &error));
  g_assert_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_LAYER);
  g_assert_nonnull (strstr (error->message, "serves layers 2-5 of model 3f2a1b0c"));
  g_clear_error (&error);
  stream.layer = 2;
  stream.format = TANDEM_ROW_FORMAT_Q8;
  g_assert_false (tandem_service_info_check (&info, &stream, &error));
  g_assert_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_FORMAT);
  g_clear_error (&error);
  stream.format = TANDEM_ROW_FORMAT_F32LE;
  stream.fingerprint[0] = '0';
  g_assert_false (tandem_service_info_check (&info, &stream, &error));
  g_assert_error (error, TANDEM_NET_ERROR, TANDEM_NET_ERROR_MODEL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  gst_init (&argc, &argv);
  tandem_init ();
  g_test_add_func ("/net/service/round-trip", test_round_trip);
  g_test_add_func ("/net/service/any", test_any);
  g_test_add_func ("/net/service/long-name", test_long_name);
  g_test_add_func ("/net/service/lenient", test_lenient);
  g_test_add_func ("/net/service/bad-values", test_bad_values);
  g_test_add_func ("/net/service/bad-bytes", test_bad_bytes);
  g_test_add_func ("/net/service/other-version", test_other_version);
  g_test_add_func ("/net/service/check", test_check);
  return g_test_run ();
}
