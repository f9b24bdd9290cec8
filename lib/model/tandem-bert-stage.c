/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "model/tandem-bert-stage.h"

#include <string.h>

#include "model/tandem-bert-layer.h"

/* Rows that go through all layers of a stage together. When the weights of a
 * layer stay in the cache, few rows keep the activations there too; when they
 * do not, more rows share one reading of them. */
#define GROUP_ROWS_SMALL 256
#define GROUP_ROWS_LARGE 512
#define CACHED_LAYER_BYTES (1536 * 1024)
/* Bounds the memory of one thread's rows. */
#define GROUP_BYTES (4 * 1024 * 1024)

/**
 * TandemBertStage:
 *
 * Consecutive layers of a BERT model (Devlin et al. 2018) or an ALBERT model (Lan et
 * al. 2020, whose layers share weights), ready to run over packed sequences. The stage
 * with layer 0 begins with the embeddings; the one with the last layer ends with pooler
 * and classifier. A sequence's result depends on nothing but that sequence: not on its
 * batch-mates, nor on where the model is split, to the bit.
 *
 * One thread at a time may run a stage; it uses as many more as it was told.
 */
struct _TandemBertStage
{
  GObject parent_instance;

  TandemModel *model;
  guint first_layer;
  guint last_layer;
  guint group_rows;

  TandemBertEmbeddings *embeddings;     /* NULL unless the first layer is 0 */
  GPtrArray *layers;                    /* of TandemBertLayer; some may be the same */
  TandemBertHead *head;                 /* NULL unless the stage ends in logits */

  GPtrArray *workspaces;                /* of TandemBertWorkspace, one a thread */
  GThreadPool *pool;                    /* NULL with one thread */
};

G_DEFINE_FINAL_TYPE (TandemBertStage, tandem_bert_stage, G_TYPE_OBJECT)

/* One call of forward, shared by its threads. */
typedef struct
{
  TandemBertStage *stage;
  const gint32 *ids;
  const float *rows;
  const guint32 *offsets;
  float *output;
  GCancellable *cancellable;
  const guint *bounds;          /* sequences of group g: bounds[g] .. bounds[g + 1] */
  guint n_groups;

  gint next_group;              /* atomic */
  GMutex lock;
  GCond finished;
  guint n_running;              /* protected by lock, as is error */
  GError *error;
} Pass;

static void
tandem_bert_stage_finalize (GObject *object)
{
  TandemBertStage *self = TANDEM_BERT_STAGE (object);

  if (self->pool != NULL)
    g_thread_pool_free (self->pool, FALSE, TRUE);
  g_clear_pointer (&self->workspaces, g_ptr_array_unref);
  g_clear_pointer (&self->head, tandem_bert_head_free);
  g_clear_pointer (&self->layers, g_ptr_array_unref);
  g_clear_pointer (&self->embeddings, tandem_bert_embeddings_free);
  g_clear_object (&self->model);
  G_OBJECT_CLASS (tandem_bert_stage_parent_class)->finalize (object);
}

static void
tandem_bert_stage_class_init (TandemBertStageClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tandem_bert_stage_finalize;
}

static void
tandem_bert_stage_init (TandemBertStage *self)
{
  self->layers = g_ptr_array_new_with_free_func ((GDestroyNotify) tandem_bert_layer_unref);
  self->workspaces = g_ptr_array_new_with_free_func ((GDestroyNotify) tandem_bert_workspace_free);
}

static TandemLinearPrecision
linear_precision (TandemPrecision precision)
{
  return precision == TANDEM_PRECISION_BF16 ? TANDEM_LINEAR_BF16 : TANDEM_LINEAR_F32;
}

/**
 * tandem_precision_is_supported:
 * @precision: a precision
 *
 * Returns: whether this processor has instructions for it
 */
gboolean
tandem_precision_is_supported (TandemPrecision precision)
{
  return tandem_linear_supports (linear_precision (precision));
}

/**
 * tandem_int8_is_used:
 *
 * Linear layers of int8 were measured to be faster than float32 with AVX-512 VNNI, AVX2 and
 * SSE2. With AVX-512 that lacks VNNI, and on processors other than x86-64, quantized models run in
 * floats that are made of their weights when a stage is opened; their results differ from
 * those of int8 by what rounding the activations adds.
 *
 * Returns: whether stages of models that are quantized for it run their linear layers in int8 on
 *   this processor
 */
gboolean
tandem_int8_is_used (void)
{
  return tandem_linear_gains_by_int8 (1);
}

static guint
choose_group_rows (const TandemModelConfig *config)
{
  gsize hidden = config->hidden_size;
  gsize layer = (4 * hidden * hidden + 2 * hidden * config->intermediate_size) * sizeof (float);
  guint rows = GROUP_ROWS_SMALL;

  if (layer > CACHED_LAYER_BYTES)
    rows = CLAMP (GROUP_BYTES / (5 * hidden * sizeof (float)), GROUP_ROWS_SMALL,
                  GROUP_ROWS_LARGE);
  return rows;
}

static gboolean
check_layers (TandemModel *model, guint first, guint last, gboolean logits, GError **error)
{
  guint held_first, held_last, n_layers = tandem_model_get_config (model)->n_layers;

  tandem_model_get_layers (model, &held_first, &held_last);
  if (first > last || last >= n_layers) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_LAYERS,
                 "%s: the model has layers 0-%u, asked for %u-%u",
                 tandem_model_get_path (model), n_layers - 1, first, last);
    return FALSE;
  }
  if (first < held_first || last > held_last) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_LAYERS,
                 "%s: the stage file holds layers %u-%u, asked for %u-%u",
                 tandem_model_get_path (model), held_first, held_last, first, last);
    return FALSE;
  }
  if (logits && !tandem_model_has_classifier (model)) {
    g_set_error (error, TANDEM_MODEL_ERROR, TANDEM_MODEL_ERROR_CLASSIFIER,
                 "%s: the model has no classifier (pooler.dense and classifier), so its last "
                 "layer cannot end in logits; fine-tune it for classification first",
                 tandem_model_get_path (model));
    return FALSE;
  }
  return TRUE;
}

static void run_pass (gpointer data, gpointer user_data);

/**
 * tandem_bert_stage_new:
 * @model: a model folder or stage file that holds the layers
 * @first_layer: the first layer to run, from 0
 * @last_layer: the last layer to run, inclusive
 * @precision: what linear layers compute with
 * @n_threads: how many threads share the sequences of a micro-batch, 1 to
 *   %TANDEM_BERT_STAGE_MAX_THREADS; the result is the same for any number
 * @flags: options
 * @error: return location for a #TandemModelError, or a #GIOErrorEnum when the
 *   machine lacks the precision
 *
 * Reads the weights of the layers and lays them out for this processor. No
 * other tensors of the model are touched.
 *
 * Returns: (transfer full): a new stage, or %NULL with @error set
 */
TandemBertStage *
tandem_bert_stage_new (TandemModel *model, guint first_layer, guint last_layer,
                       TandemPrecision precision, guint n_threads, TandemBertStageFlags flags,
                       GError **error)
{
  const TandemModelConfig *config;
  TandemLinearPrecision linear = linear_precision (precision);
  gboolean logits;
  g_autoptr (TandemBertStage) self = NULL;
  TandemBertLayer *layer = NULL;
  guint i;

  g_return_val_if_fail (TANDEM_IS_MODEL (model), NULL);
  g_return_val_if_fail (n_threads >= 1 && n_threads <= TANDEM_BERT_STAGE_MAX_THREADS, NULL);

  config = tandem_model_get_config (model);
  logits = last_layer + 1 == config->n_layers && !(flags & TANDEM_BERT_STAGE_HIDDEN);
  if (!check_layers (model, first_layer, last_layer, logits, error))
    return NULL;
  if (!tandem_precision_is_supported (precision)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                 "this processor has no bfloat16 instructions; use precision f32");
    return NULL;
  }

  self = g_object_new (TANDEM_TYPE_BERT_STAGE, NULL);
  self->model = g_object_ref (model);
  self->first_layer = first_layer;
  self->last_layer = last_layer;
  self->group_rows = choose_group_rows (config);

  if (first_layer == 0) {
    self->embeddings = tandem_bert_embeddings_new (model, linear, error);
    if (self->embeddings == NULL)
      return NULL;
  }
  for (i = first_layer; i <= last_layer; i++) {
    layer = tandem_bert_layer_new (model, i, logits && i == last_layer, linear, layer, error);
    if (layer == NULL)
      return NULL;
    g_ptr_array_add (self->layers, layer);
  }
  if (logits) {
    self->head = tandem_bert_head_new (model, linear, error);
    if (self->head == NULL)
      return NULL;
  }

  for (i = 0; i < n_threads; i++) {
    TandemBertWorkspace *ws = tandem_bert_workspace_new (
        config, MAX (self->group_rows, config->max_positions), logits, error);

    if (ws == NULL)
      return NULL;
    g_ptr_array_add (self->workspaces, ws);
  }
  if (n_threads > 1) {
    self->pool = g_thread_pool_new (run_pass, self, n_threads - 1, TRUE, error);
    if (self->pool == NULL)
      return NULL;
  }
  return g_steal_pointer (&self);
}

/**
 * tandem_bert_stage_get_model:
 * @self: a stage
 *
 * Returns: (transfer none): the model that the stage is a part of
 */
TandemModel *
tandem_bert_stage_get_model (TandemBertStage *self)
{
  return self->model;
}

/**
 * tandem_bert_stage_get_layers:
 * @self: a stage
 * @first: (out) (optional): its first layer
 * @last: (out) (optional): its last layer, inclusive
 */
void
tandem_bert_stage_get_layers (TandemBertStage *self, guint *first, guint *last)
{
  if (first != NULL)
    *first = self->first_layer;
  if (last != NULL)
    *last = self->last_layer;
}

/**
 * tandem_bert_stage_runs_int8:
 * @self: a stage
 *
 * Returns: whether any of its linear layers runs in int8: the model is quantized for it, the
 *   processor gains by it (tandem_int8_is_used()), and the stage was not asked for another precision
 */
gboolean
tandem_bert_stage_runs_int8 (TandemBertStage *self)
{
  guint i;

  for (i = 0; i < self->layers->len; i++)
    if (tandem_bert_layer_is_int8 (g_ptr_array_index (self->layers, i)))
      return TRUE;
  return FALSE;
}

/**
 * tandem_bert_stage_list_sparse:
 * @self: a stage
 *
 * Which matrices of linear layers are kept without their zeros and multiplied so: those of which at
 * most 60 % are not zero, where linear layers compute in 32-bit floats. Query, key and value of a
 * layer count as one matrix; key and value of the last layer before the classifier are always
 * whole.
 *
 * Returns: (transfer full) (array zero-terminated=1): their canonical names, from the embeddings
 *   up; weights that layers share are there once
 */
char **
tandem_bert_stage_list_sparse (TandemBertStage *self)
{
  const TandemModelConfig *config;
  g_autoptr (GPtrArray) names = NULL;
  g_autoptr (GStrvBuilder) list = NULL;
  guint i;

  g_return_val_if_fail (TANDEM_IS_BERT_STAGE (self), NULL);

  config = tandem_model_get_config (self->model);
  names = g_ptr_array_new_with_free_func (g_free);
  if (self->embeddings != NULL)
    tandem_bert_embeddings_list_sparse (self->embeddings, names);
  for (i = 0; i < self->layers->len; i++)
    tandem_bert_layer_list_sparse (g_ptr_array_index (self->layers, i), config,
                                   self->first_layer + i, names);
  if (self->head != NULL)
    tandem_bert_head_list_sparse (self->head, names);
  list = g_strv_builder_new ();
  for (i = 0; i < names->len; i++) {
    guint earlier;

    if (g_ptr_array_find_with_equal_func (names, g_ptr_array_index (names, i), g_str_equal,
                                          &earlier) && earlier == i)
      g_strv_builder_add (list, g_ptr_array_index (names, i));
  }
  return g_strv_builder_end (list);
}

/**
 * tandem_bert_stage_takes_tokens:
 * @self: a stage
 *
 * Returns: whether its input is token ids rather than rows of activations
 */
gboolean
tandem_bert_stage_takes_tokens (TandemBertStage *self)
{
  return self->embeddings != NULL;
}

/**
 * tandem_bert_stage_gives_logits:
 * @self: a stage
 *
 * Returns: whether its output is logits rather than rows of activations
 */
gboolean
tandem_bert_stage_gives_logits (TandemBertStage *self)
{
  return self->head != NULL;
}

static gboolean
run_group (Pass *pass, guint g, TandemBertWorkspace *ws, GError **error)
{
  TandemBertStage *self = pass->stage;
  const TandemModelConfig *config = tandem_model_get_config (self->model);
  guint first = pass->bounds[g], n = pass->bounds[g + 1] - first, i;
  guint32 row = pass->offsets[first];
  g_autofree guint32 *offsets = g_new (guint32, n + 1);
  TandemGroup group = { n, offsets, pass->offsets[first + n] - row };
  /* Rows that leave the stage are made where they leave it. */
  float *hidden = self->head == NULL ? pass->output + (gsize) row * config->hidden_size
      : ws->hidden;
  const float *x;

  for (i = 0; i <= n; i++)
    offsets[i] = pass->offsets[first + i] - row;

  if (self->embeddings != NULL) {
    if (!tandem_bert_embeddings_forward (self->embeddings, &group, pass->ids + row, hidden, ws,
                                         error))
      return FALSE;
    x = hidden;
  } else {
    x = pass->rows + (gsize) row * config->hidden_size;
  }
  for (i = 0; i < self->layers->len; i++) {
    if (!tandem_bert_layer_forward (g_ptr_array_index (self->layers, i), &group, x, hidden, ws,
                                    error))
      return FALSE;
    x = hidden;
  }
  return self->head == NULL ||
      tandem_bert_head_forward (self->head, x, n,
                                pass->output + (gsize) first * config->n_classes, ws, error);
}

/* Takes groups until none is left. The number of the thread comes in as data,
 * from 1, since a pool takes no NULL. */
static void
work (Pass *pass, guint thread)
{
  TandemBertWorkspace *ws = g_ptr_array_index (pass->stage->workspaces, thread);
  GError *error = NULL;

  tandem_linear_use_one_thread ();
  while (error == NULL) {
    guint g = (guint) g_atomic_int_add (&pass->next_group, 1);

    if (g >= pass->n_groups || g_cancellable_set_error_if_cancelled (pass->cancellable, &error))
      break;
    run_group (pass, g, ws, &error);
  }

  g_mutex_lock (&pass->lock);
  if (error != NULL && pass->error == NULL)
    pass->error = g_steal_pointer (&error);
  pass->n_running--;
  g_cond_signal (&pass->finished);
  g_mutex_unlock (&pass->lock);
  g_clear_error (&error);
}

typedef struct
{
  Pass *pass;
  guint thread;
} Share;

static void
run_pass (gpointer data, gpointer user_data)
{
  Share *share = data;

  work (share->pass, share->thread);
}

/* Whole sequences: one, or as many as fit in group_rows. */
static guint *
form_groups (const TandemBertStage *self, guint n_sequences, const guint32 *offsets,
             guint *n_groups)
{
  guint *bounds = g_new (guint, (gsize) n_sequences + 1);
  guint i;

  bounds[0] = 0;
  *n_groups = 0;
  for (i = 1; i <= n_sequences; i++) {
    guint32 start = offsets[bounds[*n_groups]];

    if (i == n_sequences || offsets[i + 1] - start > self->group_rows)
      bounds[++*n_groups] = i;
  }
  return bounds;
}

static gboolean
check_sequences (TandemBertStage *self, guint n_sequences, const guint32 *offsets, GError **error)
{
  guint longest = tandem_model_get_config (self->model)->max_positions;
  guint i;

  if (n_sequences == 0 || offsets[0] != 0) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 "a micro-batch needs one sequence at least, and the first starts at row 0");
    return FALSE;
  }
  for (i = 0; i < n_sequences; i++) {
    if (offsets[i + 1] <= offsets[i]) {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                   "sequence %u of the micro-batch has no rows", i);
      return FALSE;
    }
    if (offsets[i + 1] - offsets[i] > longest) {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                   "sequence %u has %u tokens; the model takes %u at most (tokenize "
                   "max-length=%u)", i, offsets[i + 1] - offsets[i], longest, longest);
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
forward (TandemBertStage *self, Pass *pass, guint n_sequences, GError **error)
{
  guint n_threads, i;
  g_autofree guint *bounds = NULL;
  g_autofree Share *shares = NULL;

  if (!check_sequences (self, n_sequences, pass->offsets, error))
    return FALSE;
  if (pass->ids != NULL) {
    guint32 vocab_size = tandem_model_get_config (self->model)->vocab_size;

    for (i = 0; i < pass->offsets[n_sequences]; i++) {
      if ((guint32) pass->ids[i] >= vocab_size) {
        g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                     "token %u of the micro-batch is %d; the model's vocabulary has %u entries",
                     i, pass->ids[i], vocab_size);
        return FALSE;
      }
    }
  }

  bounds = form_groups (self, n_sequences, pass->offsets, &pass->n_groups);
  pass->stage = self;
  pass->bounds = bounds;
  n_threads = MIN (self->workspaces->len, pass->n_groups);
  pass->n_running = n_threads;
  g_mutex_init (&pass->lock);
  g_cond_init (&pass->finished);

  shares = g_new (Share, n_threads);
  for (i = 1; i < n_threads; i++) {
    shares[i] = (Share) { pass, i };
    /* The threads of an exclusive pool are there already. */
    g_thread_pool_push (self->pool, &shares[i], NULL);
  }
  work (pass, 0);
  g_mutex_lock (&pass->lock);
  while (pass->n_running > 0)
    g_cond_wait (&pass->finished, &pass->lock);
  g_mutex_unlock (&pass->lock);

  g_mutex_clear (&pass->lock);
  g_cond_clear (&pass->finished);
  if (pass->error != NULL) {
    g_propagate_error (error, pass->error);
    return FALSE;
  }
  return TRUE;
}

/**
 * tandem_bert_stage_forward_tokens: (skip)
 * @self: a stage that takes tokens
 * @ids: the tokens of all sequences, packed: shape [offsets[n_sequences]]
 * @n_sequences: how many sequences, 1 at least
 * @offsets: n_sequences + 1 ascending row numbers from 0
 * @output: rows [offsets[n_sequences], hidden size], or logits [n_sequences, classes]
 * @cancellable: (nullable): stops between sequences
 * @error: return location for a #GIOErrorEnum; %G_IO_ERROR_INVALID_DATA when a
 *   sequence is empty or too long or an id is not in the vocabulary
 *
 * Runs the stage. One thread at a time may do so.
 *
 * Returns: %TRUE, or %FALSE with @error set
 */
gboolean
tandem_bert_stage_forward_tokens (TandemBertStage *self, const gint32 *ids, guint n_sequences,
                                  const guint32 *offsets, float *output,
                                  GCancellable *cancellable, GError **error)
{
  Pass pass = { .ids = ids, .offsets = offsets, .output = output, .cancellable = cancellable };

  g_return_val_if_fail (TANDEM_IS_BERT_STAGE (self) && self->embeddings != NULL, FALSE);

  return forward (self, &pass, n_sequences, error);
}

/**
 * tandem_bert_stage_forward_rows: (skip)
 * @self: a stage that takes rows
 * @rows: the input of its first layer, packed: shape [offsets[n_sequences], hidden size]
 * @n_sequences: how many sequences, 1 at least
 * @offsets: n_sequences + 1 ascending row numbers from 0
 * @output: as for tandem_bert_stage_forward_tokens(); not the memory of @rows
 * @cancellable: (nullable): stops between sequences
 * @error: return location for a #GIOErrorEnum
 *
 * Runs the stage. One thread at a time may do so.
 *
 * Returns: %TRUE, or %FALSE with @error set
 */
gboolean
tandem_bert_stage_forward_rows (TandemBertStage *self, const float *rows, guint n_sequences,
                                const guint32 *offsets, float *output,
                                GCancellable *cancellable, GError **error)
{
  Pass pass = { .rows = rows, .offsets = offsets, .output = output, .cancellable = cancellable };

  g_return_val_if_fail (TANDEM_IS_BERT_STAGE (self) && self->embeddings == NULL, FALSE);

  return forward (self, &pass, n_sequences, error);
}
