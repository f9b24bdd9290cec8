/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "bert-properties.h"

#include "stream/tandem-fields.h"
#include "tandem-enums.h"

#define DEFAULT_TRAINABLE FALSE
#define DEFAULT_TASK BERT_TASK_CLASSIFY
#define DEFAULT_SCHEDULE TANDEM_SCHEDULE_1F1B_FLUSH
#define DEFAULT_MICRO_BATCHES 1
#define DEFAULT_LEARNING_RATE 5e-5
#define DEFAULT_WEIGHT_DECAY 0.01
#define DEFAULT_BETA1 0.9
#define DEFAULT_BETA2 0.999
#define DEFAULT_EPSILON 1e-8
#define DEFAULT_MAX_NORM 1.0
#define DEFAULT_WARMUP_STEPS 0
#define DEFAULT_TOTAL_STEPS 0
#define DEFAULT_COSINE FALSE
#define DEFAULT_DROPOUT (-1.0)
#define DEFAULT_SEED 0
#define DEFAULT_HIDDEN_TEACHER NULL
#define DEFAULT_HIDDEN_LAYERS NULL
#define DEFAULT_MASK NULL
#define DEFAULT_HIDDEN_WEIGHT 1.0
#define DEFAULT_CHECKPOINT NULL
#define DEFAULT_CHECKPOINT_INTERVAL 0
#define DEFAULT_RESUME FALSE

enum
{
  PROP_TRAINABLE = BERT_PROPERTIES_FIRST,
  PROP_SCHEDULE,
  PROP_MICRO_BATCHES,
  PROP_LEARNING_RATE,
  PROP_WEIGHT_DECAY,
  PROP_BETA1,
  PROP_BETA2,
  PROP_EPSILON,
  PROP_MAX_NORM,
  PROP_WARMUP_STEPS,
  PROP_TOTAL_STEPS,
  PROP_COSINE,
  PROP_DROPOUT,
  PROP_SEED,
  PROP_CHECKPOINT,
  PROP_CHECKPOINT_INTERVAL,
  PROP_RESUME,
  PROP_TASK,
  PROP_HIDDEN_TEACHER,
  PROP_HIDDEN_LAYERS,
  PROP_MASK,
  PROP_HIDDEN_WEIGHT,
};

GType
bert_task_get_type (void)
{
  static const GEnumValue values[] = {
    { BERT_TASK_CLASSIFY, "Tell texts apart: the loss behind the last stage has the labels",
      "classify" },
    { BERT_TASK_MASKED_LM, "Predict masked tokens: all layers in one stage, no labels",
      "masked-lm" },
    { 0, NULL, NULL },
  };
  static gsize type = 0;

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GstBertTask", values));
  return type;
}

static void
install_double (GObjectClass *klass, guint id, const char *name, const char *nick,
                const char *blurb, double least, double most, double otherwise, GParamFlags flags)
{
  g_object_class_install_property (
      klass, id, g_param_spec_double (name, nick, blurb, least, most, otherwise, flags));
}

static void
install_string (GObjectClass *klass, guint id, const char *name, const char *nick,
                const char *blurb, const char *otherwise, GParamFlags flags)
{
  g_object_class_install_property (
      klass, id, g_param_spec_string (name, nick, blurb, otherwise, flags));
}

static void
install_uint64 (GObjectClass *klass, guint id, const char *name, const char *nick,
                const char *blurb, guint64 otherwise, GParamFlags flags)
{
  g_object_class_install_property (
      klass, id,
      g_param_spec_uint64 (name, nick, blurb, 0, G_MAXUINT64, otherwise, flags));
}

static void
install_boolean (GObjectClass *klass, guint id, const char *name, const char *nick,
                 const char *blurb, gboolean otherwise, GParamFlags flags)
{
  g_object_class_install_property (klass, id,
                                   g_param_spec_boolean (name, nick, blurb, otherwise, flags));
}

void
bert_properties_install (GObjectClass *klass, GParamFlags flags)
{
  install_boolean (klass, PROP_TRAINABLE, "trainable", "Trainable",
                   "Train the layers: keep what backward passes need, and change weights",
                   DEFAULT_TRAINABLE, flags);
  g_object_class_install_property (
      klass, PROP_TASK,
      g_param_spec_enum ("task", "Task", "What the layers are trained for", bert_task_get_type (),
                         DEFAULT_TASK, flags));
  g_object_class_install_property (
      klass, PROP_SCHEDULE,
      g_param_spec_enum ("schedule", "Schedule",
                         "In which order stages work; in this, in steps and in how they learn, all "
                         "do as the first one says",
                         TANDEM_TYPE_SCHEDULE_KIND, DEFAULT_SCHEDULE, flags));
  g_object_class_install_property (
      klass, PROP_MICRO_BATCHES,
      g_param_spec_uint ("micro-batches", "Micro-batches",
                         "Buffers whose gradients make a step; with 1f1b each buffer is one",
                         1, G_MAXUINT16, DEFAULT_MICRO_BATCHES, flags));
  install_double (klass, PROP_LEARNING_RATE, "learning-rate", "Learning rate",
                  "AdamW's highest learning rate (0: weights stay)", 0.0, 10.0,
                  DEFAULT_LEARNING_RATE, flags);
  install_double (klass, PROP_WEIGHT_DECAY, "weight-decay", "Weight decay",
                  "AdamW's decay of matrices a step, in units of the learning rate (0: none)", 0.0,
                  10.0, DEFAULT_WEIGHT_DECAY, flags);
  install_double (klass, PROP_BETA1, "beta1", "Beta 1",
                  "How much of AdamW's first moment stays in a step", 0.0, 0.999999,
                  DEFAULT_BETA1, flags);
  install_double (klass, PROP_BETA2, "beta2", "Beta 2",
                  "How much of AdamW's second moment stays in a step", 0.0, 0.999999,
                  DEFAULT_BETA2, flags);
  install_double (klass, PROP_EPSILON, "epsilon", "Epsilon",
                  "Added to the root of AdamW's second moment", 0.0, 1.0, DEFAULT_EPSILON, flags);
  install_double (klass, PROP_MAX_NORM, "max-norm", "Maximum norm",
                  "Gradients of a step that are longer are shortened to this norm (0: never)", 0.0,
                  G_MAXDOUBLE, DEFAULT_MAX_NORM, flags);
  install_uint64 (klass, PROP_WARMUP_STEPS, "warmup-steps", "Warm-up steps",
                  "Steps in which the learning rate rises to its highest (0: none)",
                  DEFAULT_WARMUP_STEPS, flags);
  install_uint64 (klass, PROP_TOTAL_STEPS, "total-steps", "Total steps",
                  "Steps after which the learning rate is 0 (0: it does not fall)",
                  DEFAULT_TOTAL_STEPS, flags);
  install_boolean (klass, PROP_COSINE, "cosine", "Cosine",
                   "Let the learning rate fall as a cosine rather than a line", DEFAULT_COSINE,
                   flags);
  install_double (klass, PROP_DROPOUT, "dropout", "Dropout",
                  "Share of elements that all dropouts drop (0: none; -1: as the model's "
                  "configuration says)", -1.0, 0.99, DEFAULT_DROPOUT, flags);
  install_uint64 (klass, PROP_SEED, "seed", "Seed",
                  "Of the dropout, and of what is masked; the same seed gives the same weights", DEFAULT_SEED, flags);
  install_string (klass, PROP_HIDDEN_TEACHER, "hidden-teacher", "Teacher of hidden states",
                  "Model folder with the same vocabulary, whose hidden states the layers learn, too; "
                  "of the first stage (unset: none)", DEFAULT_HIDDEN_TEACHER, flags);
  install_string (klass, PROP_HIDDEN_LAYERS, "hidden-layers", "Layers of hidden states",
                  "Which layers are to be like which of the teacher's, from 0: \"0:1,1:3\"; unset: each "
                  "layer of the model like the one that is as deep in the teacher",
                  DEFAULT_HIDDEN_LAYERS, flags);
  install_string (klass, PROP_MASK, "mask", "Mask",
                  "File of masks of this model: weights that it does not keep are zero and stay so, "
                  "as do those that the model itself stores without (unset: only these)",
                  DEFAULT_MASK, flags);
  install_double (klass, PROP_HIDDEN_WEIGHT, "hidden-weight", "Weight of hidden states",
                  "What the loss of hidden states is multiplied with, beside that of the scores", 0.0,
                  1e6, DEFAULT_HIDDEN_WEIGHT, flags);
  install_string (klass, PROP_CHECKPOINT, "checkpoint", "Checkpoint",
                  "File to which the state of this stage goes, at the end and on the way; the one "
                  "before it keeps its name with a ~ behind it (unset: none)", DEFAULT_CHECKPOINT,
                  flags);
  install_uint64 (klass, PROP_CHECKPOINT_INTERVAL, "checkpoint-interval", "Checkpoint interval",
                  "Steps from one checkpoint of all stages to the next (0: only at the end)",
                  DEFAULT_CHECKPOINT_INTERVAL, flags);
  install_boolean (klass, PROP_RESUME, "resume", "Resume",
                   "Go on from the checkpoint where there is one; the same data must come again, "
                   "and what was done is skipped", DEFAULT_RESUME, flags);
}

static const TandemField fields[] = {
  TANDEM_FIELD (PROP_TRAINABLE, BertTrainerSettings, trainable),
  TANDEM_FIELD (PROP_SCHEDULE, BertTrainerSettings, info.schedule),
  TANDEM_FIELD (PROP_MICRO_BATCHES, BertTrainerSettings, info.micro_batches),
  TANDEM_FIELD (PROP_LEARNING_RATE, BertTrainerSettings, info.learning_rate),
  TANDEM_FIELD (PROP_WEIGHT_DECAY, BertTrainerSettings, info.weight_decay),
  TANDEM_FIELD (PROP_BETA1, BertTrainerSettings, info.beta1),
  TANDEM_FIELD (PROP_BETA2, BertTrainerSettings, info.beta2),
  TANDEM_FIELD (PROP_EPSILON, BertTrainerSettings, info.epsilon),
  TANDEM_FIELD (PROP_MAX_NORM, BertTrainerSettings, info.max_norm),
  TANDEM_FIELD (PROP_WARMUP_STEPS, BertTrainerSettings, info.warmup_steps),
  TANDEM_FIELD (PROP_TOTAL_STEPS, BertTrainerSettings, info.total_steps),
  TANDEM_FIELD (PROP_COSINE, BertTrainerSettings, info.cosine),
  TANDEM_FIELD (PROP_SEED, BertTrainerSettings, options.seed),
  TANDEM_FIELD (PROP_HIDDEN_TEACHER, BertTrainerSettings, hidden_teacher),
  TANDEM_FIELD (PROP_HIDDEN_LAYERS, BertTrainerSettings, hidden_layers),
  TANDEM_FIELD (PROP_HIDDEN_WEIGHT, BertTrainerSettings, hidden_weight),
  TANDEM_FIELD (PROP_MASK, BertTrainerSettings, mask),
  TANDEM_FIELD (PROP_CHECKPOINT, BertTrainerSettings, checkpoint),
  TANDEM_FIELD (PROP_CHECKPOINT_INTERVAL, BertTrainerSettings, checkpoint_interval),
  TANDEM_FIELD (PROP_RESUME, BertTrainerSettings, resume),
  { 0 }
};

gboolean
bert_properties_set (BertTrainerSettings *settings, guint id, const GValue *value)
{
  TandemTrainOptions *options = &settings->options;

  switch (id) {
    case PROP_DROPOUT:
      options->hidden_dropout = options->attention_dropout = options->classifier_dropout =
          g_value_get_double (value);
      return TRUE;
    case PROP_TASK:
      options->masked_lm = g_value_get_enum (value) == BERT_TASK_MASKED_LM;
      return TRUE;
    default:
      return tandem_fields_set (fields, settings, id, value);
  }
}

gboolean
bert_properties_get (const BertTrainerSettings *settings, guint id, GValue *value)
{
  switch (id) {
    case PROP_DROPOUT:
      g_value_set_double (value, settings->options.hidden_dropout);
      return TRUE;
    case PROP_TASK:
      g_value_set_enum (value, settings->options.masked_lm ? BERT_TASK_MASKED_LM
                                                           : BERT_TASK_CLASSIFY);
      return TRUE;
    default:
      return tandem_fields_get (fields, settings, id, value);
  }
}
