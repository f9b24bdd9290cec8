/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "bert-pace.h"

#include <glib/gi18n-lib.h>

/* Of what was expected; what is below that is called slower. */
#define SLOWER 0.8

void
bert_pace_begin (BertPace *self)
{
  self->counted_at = 0;
  self->rate = self->expected = 0;
}

gboolean
bert_pace_look (BertPace *self, guint64 n, gint64 now)
{
  gboolean is_new = FALSE;
  double rate;

  /* What it does when it has found its pace. */
  if (self->counted_at != 0 && n > self->counted) {
    rate = (double) (n - self->counted) * G_USEC_PER_SEC / (now - self->counted_at);
    is_new = self->rate == 0;
    self->rate = is_new ? rate : (self->rate + rate) / 2;
  }
  self->counted = n;
  self->counted_at = n > 0 ? now : 0;
  return is_new;
}

const char *
bert_pace_decide (BertPace *self, double current, double candidate, double cost, gint64 now)
{
  if (self->expected == 0)
    self->expected = current;
  if (!tandem_mover_decide (&self->mover, current, candidate, cost, now))
    return NULL;
  tandem_mover_moved (&self->mover, now);
  return current < SLOWER * self->expected ? _("the work became slower")
                                           : _("a faster placement");
}
