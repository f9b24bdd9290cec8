/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the sender writes: the micro-batches that are not sent yet, as far as the receiver's credit
 * and the connection take them, each after the CAPS and SEGMENT that it needs. */

#include "config.h"

#include "tandem-sender-private.h"

#include <glib/gi18n-lib.h>

#include "net/tandem-net-private.h"

#define GST_CAT_DEFAULT tandem_net_debug

#define MAX_VECTORS 24

/* The thread sees the end of the connection and makes another one. */
static void
break_link_locked (TandemSender *self)
{
  if (self->link != NULL)
    tandem_link_shutdown (self->link);
  g_clear_pointer (&self->link, tandem_link_unref);
  self->unsent = NULL;
  self->blocked = FALSE;
}

static void
put_frame (GByteArray *control, GBytes *frame, GBytes **sent)
{
  gsize size;
  gconstpointer data;

  if (frame == *sent || frame == NULL)
    return;
  data = g_bytes_get_data (frame, &size);
  g_byte_array_append (control, data, size);
  g_clear_pointer (sent, g_bytes_unref);
  *sent = g_bytes_ref (frame);
}

static gboolean
begin_item_locked (TandemSender *self, TandemSenderItem *item)
{
  if (item->type == TANDEM_FRAME_BUFFER) {
    if (item->payload > self->link_max_payload) {
      g_autofree char *bytes = tandem_net_number_to_string (item->payload);

      tandem_sender_fail_locked (self, g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_TOO_LARGE,
          _("A micro-batch has %s bytes; at most %u may be sent to %s. Make the micro-batches "
            "smaller or raise max-payload on both sides."), bytes,
          self->link_max_payload, tandem_link_get_peer (self->link)));
      return FALSE;
    }
    if (item->n_sequences > self->link_max_sequences) {
      tandem_sender_fail_locked (self, g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_TOO_LARGE,
          _("A micro-batch has %u sequences; %s takes at most %u. Make the micro-batches "
            "smaller."), item->n_sequences, tandem_link_get_peer (self->link),
          self->link_max_sequences));
      return FALSE;
    }
    if (self->frames_sent + 1 > self->credit_frames ||
        self->bytes_sent + item->payload > self->credit_bytes)
      return FALSE;
    self->frames_sent++;
    self->bytes_sent += item->payload;
  }
  if (item->training && (self->link_features & TANDEM_FRAME_FEATURE_TRAINING) == 0) {
    tandem_sender_fail_locked (self, g_error_new (TANDEM_NET_ERROR, TANDEM_NET_ERROR_VERSION,
        _("The device at %s does not train: its version of Tandem is too old. Install a newer one "
          "there."), tandem_link_get_peer (self->link)));
    return FALSE;
  }
  self->training_begun |= item->training;
  put_frame (self->control, item->caps, &self->caps_sent);
  put_frame (self->control, item->segment, &self->segment_sent);
  item->begun = TRUE;
  return TRUE;
}

static guint
gather (TandemSender *self, TandemSenderItem *item, GOutputVector *vectors)
{
  gsize skip = self->offset;
  guint i, n = 0;

  for (i = 0; i <= item->n_vectors && n < MAX_VECTORS; i++) {
    GOutputVector v = { self->control->data, self->control->len };

    if (i > 0)
      v = item->vectors[i - 1];
    if (skip >= v.size) {
      skip -= v.size;
      continue;
    }
    vectors[n].buffer = (const guint8 *) v.buffer + skip;
    vectors[n++].size = v.size - skip;
    skip = 0;
  }
  return n;
}

/* One micro-batch is one call to the system. */
static void
pump_items_locked (TandemSender *self)
{
  while (self->link != NULL && self->error == NULL && self->unsent != NULL) {
    TandemSenderItem *item = self->unsent->data;
    g_autoptr (GError) error = NULL;
    GOutputVector vectors[MAX_VECTORS];
    gsize written;

    if (self->offset == 0 && self->control->len == 0 && !begin_item_locked (self, item))
      return;
    if (!tandem_link_write (self->link, vectors, gather (self, item, vectors), &written,
                            &error)) {
      GST_WARNING ("%s", error->message);
      break_link_locked (self);
      return;
    }
    self->offset += written;
    if (self->offset < self->control->len + item->size) {
      if (written > 0)
        continue;
      self->blocked = TRUE;
      return;
    }
    self->offset = 0;
    g_byte_array_set_size (self->control, 0);
    self->unsent = self->unsent->next;
  }
}

/* Sends as much as connection and credit take. */
void
tandem_sender_pump_locked (TandemSender *self)
{
  g_autoptr (GError) error = NULL;
  gsize written;

  self->blocked = FALSE;
  pump_items_locked (self);
  if (self->link == NULL || self->blocked || !tandem_link_has_pending (self->link))
    return;
  if (tandem_link_write (self->link, NULL, 0, &written, &error)) {
    self->blocked = tandem_link_has_pending (self->link);
  } else {
    GST_WARNING ("%s", error->message);
    break_link_locked (self);
  }
}
