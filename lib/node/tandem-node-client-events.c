/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a node says without having been asked. */

#include "config.h"

#include "tandem-node-client-private.h"

#include <glib/gi18n-lib.h>

enum
{
  SIGNAL_CLOSED,
  SIGNAL_FAILED,
  SIGNAL_WARNING,
  SIGNAL_FINISHED,
  SIGNAL_REPORT,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

void
tandem_node_client_install_signals (GObjectClass *klass)
{
  GType type = G_OBJECT_CLASS_TYPE (klass);

  /**
   * TandemNodeClient::closed:
   * @self: the client
   * @error: why
   *
   * The connection ended, and all stages that were built over it; not after
   * tandem_node_client_close().
   */
  signals[SIGNAL_CLOSED] = g_signal_new ("closed", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                         G_TYPE_NONE, 1, G_TYPE_ERROR);
  /**
   * TandemNodeClient::stage-failed:
   * @self: the client
   * @stage: the number of the stage
   * @error: why
   *
   * A stage ended with an error.
   */
  signals[SIGNAL_FAILED] = g_signal_new ("stage-failed", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                         NULL, G_TYPE_NONE, 2, G_TYPE_UINT, G_TYPE_ERROR);
  /**
   * TandemNodeClient::stage-warning:
   * @self: the client
   * @stage: the number of the stage
   * @error: what it warns of
   *
   * A stage goes on, but something is wrong: perhaps it refused somebody.
   */
  signals[SIGNAL_WARNING] = g_signal_new ("stage-warning", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                          NULL, G_TYPE_NONE, 2, G_TYPE_UINT, G_TYPE_ERROR);
  /**
   * TandemNodeClient::stage-finished:
   * @self: the client
   * @stage: the number of the stage
   * @sequences: how many sequences it took
   * @tokens: how many tokens they had
   *
   * A stage has run its stream to the end.
   */
  signals[SIGNAL_FINISHED] = g_signal_new ("stage-finished", type, G_SIGNAL_RUN_LAST, 0, NULL,
                                           NULL, NULL, G_TYPE_NONE, 3, G_TYPE_UINT,
                                           G_TYPE_UINT64, G_TYPE_UINT64);
  /**
   * TandemNodeClient::stage-report:
   * @self: the client
   * @stage: the number of the stage
   * @sequences: how many sequences it took so far
   * @tokens: how many tokens they had
   * @sequence_rate: sequences a second since the last report
   * @token_rate: tokens a second
   * @busy: seconds that it computed so far; -1: the node does not say
   *
   * How a stage gets on; once a second or as often as the node says.
   */
  signals[SIGNAL_REPORT] = g_signal_new ("stage-report", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                         NULL, G_TYPE_NONE, 6, G_TYPE_UINT, G_TYPE_UINT64,
                                         G_TYPE_UINT64, G_TYPE_DOUBLE, G_TYPE_DOUBLE,
                                         G_TYPE_DOUBLE);
}

void
tandem_node_client_emit_closed (TandemNodeClient *self, const GError *error)
{
  g_signal_emit (self, signals[SIGNAL_CLOSED], 0, error);
}

/* --- errors --- */

static const struct
{
  const char *name;
  int code;
} codes[] = {
  { "invalid", TANDEM_NODE_ERROR_INVALID },
  { "unknown", TANDEM_NODE_ERROR_UNKNOWN },
  { "busy", TANDEM_NODE_ERROR_BUSY },
  { "not-found", TANDEM_NODE_ERROR_NOT_FOUND },
  { "no-space", TANDEM_NODE_ERROR_NO_SPACE },
  { "corrupt", TANDEM_NODE_ERROR_CORRUPT },
  { "memory", TANDEM_NODE_ERROR_MEMORY },
  { "model", TANDEM_NODE_ERROR_MODEL },
  { "cancelled", TANDEM_NODE_ERROR_CANCELLED },
};

/* The sentence comes from the other device: what a terminal would obey is replaced by who shows
 * it. */
GError *
tandem_node_client_read_error (const TandemPlaceObject *in)
{
  JsonNode *node = json_object_get_member (in->object, "error"), *code, *message;
  GError *error = g_error_new_literal (TANDEM_NODE_ERROR, TANDEM_NODE_ERROR_FAILED,
                                       _("the node does not say why"));
  guint i;

  if (node == NULL || !JSON_NODE_HOLDS_OBJECT (node))
    return error;
  code = json_object_get_member (json_node_get_object (node), "code");
  message = json_object_get_member (json_node_get_object (node), "message");
  if (message != NULL && json_node_get_value_type (message) == G_TYPE_STRING) {
    g_free (error->message);
    error->message = g_strdup (json_node_get_string (message));
  }
  if (code == NULL || json_node_get_value_type (code) != G_TYPE_STRING)
    return error;
  for (i = 0; i < G_N_ELEMENTS (codes); i++)
    if (g_str_equal (json_node_get_string (code), codes[i].name))
      error->code = codes[i].code;
  if (g_str_equal (json_node_get_string (code), "insecure")) {
    error->domain = TANDEM_NET_ERROR;
    error->code = TANDEM_NET_ERROR_INSECURE;
  }
  return error;
}

/* --- events --- */

static gboolean
read_counts (const TandemPlaceObject *in, guint *stage, guint64 *sequences, guint64 *tokens)
{
  guint64 number;

  if (!tandem_place_get_whole (in, "stage", 1, G_MAXUINT, &number) ||
      !tandem_place_get_whole (in, "sequences", 0, TANDEM_CONTROL_MAX_NUMBER, sequences) ||
      !tandem_place_get_whole (in, "tokens", 0, TANDEM_CONTROL_MAX_NUMBER, tokens))
    return FALSE;
  *stage = number;
  return TRUE;
}

static void
on_load (TandemNodeClient *self, const TandemPlaceObject *in)
{
  JsonArray *array = tandem_place_get_array (in, "stages");
  guint i;

  for (i = 0; array != NULL && i < json_array_get_length (array); i++) {
    g_autofree char *path = NULL;
    TandemPlaceObject element = *in;
    guint64 sequences, tokens;
    double sequence_rate, token_rate, busy = -1;
    guint stage;

    element.object = tandem_place_get_element (in, "stages", array, i, &path);
    element.path = path;
    if (element.object == NULL || !read_counts (&element, &stage, &sequences, &tokens) ||
        !tandem_place_get_number (&element, "sequences_per_second", 0, G_MAXDOUBLE,
                                  &sequence_rate) ||
        !tandem_place_get_number (&element, "tokens_per_second", 0, G_MAXDOUBLE, &token_rate) ||
        (tandem_place_has (&element, "busy") &&
         !tandem_place_get_number (&element, "busy", 0, G_MAXDOUBLE, &busy)))
      return;
    g_signal_emit (self, signals[SIGNAL_REPORT], 0, stage, sequences, tokens, sequence_rate,
                   token_rate, busy);
  }
}

static void
on_continue (TandemNodeClient *self, const TandemPlaceObject *in)
{
  guint64 id, offset;

  if (tandem_place_get_whole (in, "request", 0, TANDEM_CONTROL_MAX_NUMBER, &id) &&
      tandem_place_get_whole (in, "offset", 0, TANDEM_CONTROL_MAX_NUMBER, &offset)) {
    tandem_node_client_put_continue (self, id, offset);
    tandem_node_client_timing_continue (self, id);
  }
}

/* What is not known is ignored: later versions may say more. */
void
tandem_node_client_event (TandemNodeClient *self, const char *name, const TandemPlaceObject *in)
{
  gboolean failed = g_str_equal (name, "failed");
  guint64 sequences, tokens;
  guint stage;

  if (g_str_equal (name, "continue")) {
    on_continue (self, in);
  } else if (g_str_equal (name, "load")) {
    on_load (self, in);
  } else if (g_str_equal (name, "refused")) {
    g_clear_error (&self->refusal);
    self->refusal = tandem_node_client_read_error (in);
  } else if ((failed || g_str_equal (name, "warning")) &&
             read_counts (in, &stage, &sequences, &tokens)) {
    g_autoptr (GError) error = tandem_node_client_read_error (in);

    g_signal_emit (self, signals[failed ? SIGNAL_FAILED : SIGNAL_WARNING], 0, stage, error);
  } else if (g_str_equal (name, "finished") && read_counts (in, &stage, &sequences, &tokens)) {
    g_signal_emit (self, signals[SIGNAL_FINISHED], 0, stage, sequences, tokens);
  }
}
