/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which tensors of a model must not be quantized.
 *
 * Accuracy on some thousand reviews moves in steps and by chance, so that it cannot say which
 * tensor does the damage; the logits can. So every tensor is given back its floats alone, and what is
 * left of the difference between the logits and those of the model with floats, on a few hundred
 * reviews, ranks the tensors. How many of them stay is then found by bisection, by the accuracy on
 * all reviews: the work is one small measurement for each tensor, and a few whole ones. */

#include "config.h"

#include "tandem-quantize-guard.h"

#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>

/* Reviews that a tensor is ranked by. */
#define RANK_REVIEWS 512

typedef struct
{
  const QuantizeTask *task;
  const QuantizeData *data;
  char *folder;                 /* where candidates are written, one after the other */
} Guard;

typedef struct
{
  char *name;
  double difference;            /* of the logits, when it alone has its floats */
} Rank;

void
quantize_outcome_clear (QuantizeOutcome *self)
{
  g_clear_pointer (&self->kept, g_ptr_array_unref);
}

static void
remove_folder (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
    g_autofree char *path = g_build_filename (folder, name, NULL);

    g_unlink (path);
  }
  g_rmdir (folder);
}

static gboolean
try (const Guard *self, GPtrArray *kept, guint step, const char *what, QuantizeResult *result,
     GCancellable *cancellable, GError **error)
{
  g_autofree char *path = g_build_filename (self->folder, "model", NULL);
  gboolean ok = tandem_quantize_model (self->task->model, self->task->format,
                                       (const char *const *) kept->pdata, path,
                                       TANDEM_MODEL_EXPORT_REPLACE, cancellable, error) &&
                quantize_data_measure (self->data, path, step, what, result, cancellable, error);

  remove_folder (path);
  return ok;
}

static int
compare_ranks (gconstpointer a, gconstpointer b)
{
  const Rank *left = a, *right = b;

  return (left->difference > right->difference) - (left->difference < right->difference);
}

static void
rank_clear (gpointer data)
{
  g_free (((Rank *) data)->name);
}

/* Returns the tensors, those first whose floats help most. */
static GArray *
rank (const Guard *self, GCancellable *cancellable, GError **error)
{
  g_auto (GStrv) names = tandem_quantize_list_tensors (self->task->model);
  g_autoptr (GArray) ranks = g_array_new (FALSE, FALSE, sizeof (Rank));
  guint step = (self->data->labels->len + RANK_REVIEWS - 1) / RANK_REVIEWS, i;

  g_array_set_clear_func (ranks, rank_clear);
  for (i = 0; names[i] != NULL; i++) {
    g_autoptr (GPtrArray) kept = g_ptr_array_new ();
    QuantizeResult result;
    Rank found;

    g_ptr_array_add (kept, names[i]);
    g_ptr_array_add (kept, NULL);
    if (!try (self, kept, step, _("looking for the tensor that does the damage"), &result,
              cancellable, error))
      return NULL;
    found = (Rank) { g_strdup (names[i]), result.difference };
    g_array_append_val (ranks, found);
  }
  g_array_sort (ranks, compare_ranks);
  return g_steal_pointer (&ranks);
}

static void
keep_first (GArray *ranks, guint n, GPtrArray *kept)
{
  guint i;

  g_ptr_array_set_size (kept, 0);
  for (i = 0; i < n; i++)
    g_ptr_array_add (kept, g_strdup (g_array_index (ranks, Rank, i).name));
  g_ptr_array_add (kept, NULL);
}

static gboolean
is_good (const Guard *self, const QuantizeOutcome *outcome)
{
  double lost = (double) outcome->before.n_correct - outcome->after.n_correct;

  return 100.0 * lost / outcome->before.n <= self->task->max_loss;
}

/* With all floats back nothing is lost, so that there always is a number that will do. */
static gboolean
bisect (const Guard *self, GArray *ranks, QuantizeOutcome *outcome, GCancellable *cancellable,
        GError **error)
{
  guint low = 1, high = ranks->len;

  while (low < high) {
    guint middle = low + (high - low) / 2;

    keep_first (ranks, middle, outcome->kept);
    if (!try (self, outcome->kept, 1, _("measuring"), &outcome->after, cancellable, error))
      return FALSE;
    if (is_good (self, outcome))
      high = middle;
    else
      low = middle + 1;
  }
  keep_first (ranks, low, outcome->kept);
  return try (self, outcome->kept, 1, _("measuring"), &outcome->after, cancellable, error);
}

gboolean
quantize_guard (const QuantizeTask *task, char **data, QuantizeOutcome *outcome,
                GCancellable *cancellable, GError **error)
{
  g_autoptr (QuantizeData) read =
      quantize_data_read (data, task->model, &outcome->before, cancellable, error);
  g_autofree char *folder = NULL;
  g_autoptr (GArray) ranks = NULL;
  Guard self = { task, read, NULL };
  gboolean ok;

  if (read == NULL || (folder = g_dir_make_tmp ("tandem-quantize-XXXXXX", error)) == NULL)
    return FALSE;
  self.folder = folder;
  outcome->kept = g_ptr_array_new_with_free_func (g_free);
  g_ptr_array_add (outcome->kept, NULL);
  ok = try (&self, outcome->kept, 1, _("measuring"), &outcome->after, cancellable, error);
  if (ok && !is_good (&self, outcome)) {
    ranks = rank (&self, cancellable, error);
    ok = ranks != NULL && bisect (&self, ranks, outcome, cancellable, error);
  }
  g_rmdir (folder);
  return ok;
}
