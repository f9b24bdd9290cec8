/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a stage that trains does, without pads: in which order passes run, what waits for
 * what, when weights change. The element gives it buffers and events and sends what it
 * makes.
 *
 * Everything runs in the streaming thread, but for add_gradient() and set_flushing(). */
#pragma once

#include <tandem.h>

G_BEGIN_DECLS

/* What the element's properties say. */
typedef struct
{
  gboolean trainable;
  TandemTrainingInfo info;      /* of the first stage; the others follow what it sends */
  TandemTrainOptions options;   /* without a teacher */
  char *hidden_teacher;         /* folder of a model, or NULL */
  char *hidden_layers;          /* as TandemTrainOptions.teacher_layers */
  double hidden_weight;
  char *mask;                   /* file of masks, or NULL */
  char *checkpoint;             /* file, or NULL */
  guint64 checkpoint_interval;  /* steps */
  gboolean resume;
} BertTrainerSettings;

/* One step is done; told by the first stage. */
typedef struct
{
  guint64 step;                 /* counted from 1 */
  guint64 n_sequences;          /* of this step */
  double loss;                  /* mean over them; of a masked language model, over its tokens */
  gboolean has_teacher;
  double hidden_loss;           /* mean over the sequences, with its weight */
  guint64 n_tokens;             /* masked tokens of this step; 0: not a masked language model */
  gint64 n_correct;             /* of the sequences, or tokens; -1: not a classification */
  double learning_rate;
  double norm;                  /* of the gradients of the mean loss, before clipping */
  guint max_in_flight;          /* micro-batches that this stage kept at once, so far */
} BertTrainerReport;

typedef struct
{
  gboolean (*push_up) (GstEvent *event, gpointer user_data);
  gboolean (*push_down) (GstEvent *event, gpointer user_data);
  void (*report) (const BertTrainerReport *report, gpointer user_data);
  void (*went_back) (guint64 from, guint64 to, gpointer user_data);     /* steps */
} BertTrainerCallbacks;

typedef struct _BertTrainer BertTrainer;

void bert_trainer_settings_clear (BertTrainerSettings *settings);

void bert_trainer_settings_copy (const BertTrainerSettings *settings, BertTrainerSettings *copy);

BertTrainer *bert_trainer_new (TandemModel *model, guint first, guint last,
                               const BertTrainerSettings *settings,
                               const BertTrainerCallbacks *callbacks, gpointer user_data,
                               GError **error);

void bert_trainer_free (BertTrainer *self);

/* Goes on from the checkpoint, where there is one and the settings say so. Where other stages lack
 * it, this one goes back to the one before it when training begins. */
gboolean bert_trainer_resume (BertTrainer *self, GError **error);

TandemTrainStage *bert_trainer_get_stage (BertTrainer *self);

/* Before a buffer: the end of the step before it. skip: the buffer was done before the
 * checkpoint. */
gboolean bert_trainer_begin (BertTrainer *self, gboolean *skip, GError **error);

gboolean bert_trainer_forward (BertTrainer *self, gconstpointer input, const TandemBatchMeta *meta,
                               float *output, GError **error);

/* Whether buffers end here: a masked language model trains by itself. */
gboolean bert_trainer_is_masked_lm (BertTrainer *self);

/* The same for a masked language model: forward and backward pass. */
gboolean bert_trainer_masked_step (BertTrainer *self, const gint32 *ids,
                                   const TandemBatchMeta *meta, GError **error);

/* After a buffer went on: waits until there is room for the next one. The backward passes that
 * this takes must not wait for that buffer, since those before this stage wait for them. */
gboolean bert_trainer_end (BertTrainer *self, GError **error);

/* Takes an event that comes down; not_mine when it is none of training. Passes it on. */
gboolean bert_trainer_take_event (BertTrainer *self, GstEvent *event, gboolean *not_mine,
                                  GError **error);

/* Before EOS: finishes the step that was begun. */
gboolean bert_trainer_finish (BertTrainer *self, GError **error);

/* A gradient came from behind; any thread. */
void bert_trainer_add_gradient (BertTrainer *self, GstEvent *event);

/* Ends waits with G_IO_ERROR_CANCELLED; any thread. */
void bert_trainer_set_flushing (BertTrainer *self, gboolean flushing);

/* After a flush: forgets what was in flight. */
void bert_trainer_reset (BertTrainer *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BertTrainer, bert_trainer_free)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (BertTrainerSettings, bert_trainer_settings_clear)

G_END_DECLS
