/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "bert-chain.h"

BertRoute *
bert_route_new (guint n_stops)
{
  BertRoute *self = g_new0 (BertRoute, 1);

  self->n_stops = n_stops;
  self->stops = g_new0 (BertStop, n_stops);
  return self;
}

BertRoute *
bert_route_new_local (GstBertBin *bin)
{
  BertRoute *self = bert_route_new (1);

  self->stops[0].name = g_strdup (g_get_host_name ());
  self->stops[0].last = tandem_model_get_config (bin->model)->n_layers - 1;
  self->stops[0].n_threads = bin->used.n_threads;
  return self;
}

void
bert_route_free (BertRoute *self)
{
  guint i;

  for (i = 0; i < self->n_stops; i++) {
    g_free (self->stops[i].name);
    g_free (self->stops[i].key);
    g_free (self->stops[i].host);
    g_clear_object (&self->stops[i].client);
  }
  g_free (self->stops);
  g_free (self);
}

gboolean
bert_route_is_local (const BertRoute *self)
{
  guint i;

  for (i = 0; i < self->n_stops; i++)
    if (self->stops[i].client != NULL)
      return FALSE;
  return TRUE;
}

gboolean
bert_route_uses (const BertRoute *self, TandemNodeClient *client)
{
  guint i;

  for (i = 0; i < self->n_stops; i++)
    if (self->stops[i].client == client)
      return TRUE;
  return FALSE;
}

gboolean
bert_route_is_equal (const BertRoute *a, const BertRoute *b)
{
  guint i;

  if (a->n_stops != b->n_stops)
    return FALSE;
  for (i = 0; i < a->n_stops; i++)
    if (a->stops[i].client != b->stops[i].client || a->stops[i].first != b->stops[i].first ||
        a->stops[i].last != b->stops[i].last || a->stops[i].format != b->stops[i].format)
      return FALSE;
  return TRUE;
}

char *
bert_route_describe (const BertRoute *self)
{
  GString *text = g_string_new (NULL);
  guint i;

  for (i = 0; i < self->n_stops; i++)
    g_string_append_printf (text, "%s%u-%u %s", i > 0 ? ", " : "", self->stops[i].first,
                            self->stops[i].last, self->stops[i].name);
  return g_string_free (text, FALSE);
}
