/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The options of tandem train: from this table come --help, the checks, and what is written for
 * --resume. */

#include "config.h"

#include <glib/gi18n-lib.h>

#include "tandem-train-options-private.h"

#define AT(field) G_STRUCT_OFFSET (TrainOptions, field)

const TrainOption train_option_table[TRAIN_N_OPTIONS] = {
  { "data", 'd', KIND_PATHS, RESUME_FREE, AT (data), NULL, 0, 0,
    N_("Reviews: the folder aclImdb, CSV, TSV or JSON lines; may be given again"), N_("PATH") },
  { "output", 'o', KIND_PATH, RESUME_NOT, AT (output), NULL, 0, 0,
    N_("Folder for the model, made where it is not there"), N_("FOLDER") },
  { "resume", 'r', KIND_FLAG, RESUME_NOT, AT (resume), NULL, 0, 0,
    N_("Go on with the training in --output; other options are as they were"), NULL },
  { "force", 'f', KIND_FLAG, RESUME_NOT, AT (force), NULL, 0, 0,
    N_("Begin anew where --output holds a model or a training"), NULL },
  { "from", 'm', KIND_PATH, RESUME_SAME, AT (from), NULL, 0, 0,
    N_("Model to begin with: a Hugging Face folder; it gets a classifier where it has none"),
    N_("MODEL") },
  { "init", 0, KIND_CHOICE, RESUME_SAME, AT (init), "model", 0, 0,
    N_("Where weights come from: --from as it is, random numbers, or --from projected to the "
       "smaller --config"), "model|random|project" },
  { "config", 0, KIND_PATH, RESUME_SAME, AT (config), NULL, 0, 0,
    N_("config.json of the model to make"), N_("FILE") },
  { "vocab", 0, KIND_PATH, RESUME_SAME, AT (vocab), NULL, 0, 0,
    N_("vocab.txt, or the folder it is in, for random weights"), N_("PATH") },
  { "labels", 0, KIND_TEXT, RESUME_SAME, AT (labels), NULL, 0, 0,
    N_("Names of the two classes (default: those of the model, or negative,positive)"),
    N_("NAMES") },
  { "task", 't', KIND_CHOICE, RESUME_SAME, AT (task), "classify", 0, 0,
    N_("Learn from labels, from what a teacher says too, or to predict masked words without "
       "labels"), "classify|distill|masked-lm" },
  { "teacher", 0, KIND_PATH, RESUME_SAME, AT (teacher), NULL, 0, 0,
    N_("Model that is imitated, for --task distill"), N_("MODEL") },
  { "alpha", 0, KIND_NUMBER, RESUME_SAME, AT (alpha), "0.5", 0, 1,
    N_("Share of the labels in the loss of --task distill"), N_("SHARE") },
  { "temperature", 0, KIND_NUMBER, RESUME_SAME, AT (temperature), "2", 0.01, 1000,
    N_("Divides the logits of --task distill"), N_("NUMBER") },
  { "hidden", 0, KIND_NUMBER, RESUME_SAME, AT (hidden), "0", 0, 1e6,
    N_("Weight of the teacher's hidden states in the loss of --task distill; 0: only what it says "
       "of the texts counts"), N_("NUMBER") },
  { "hidden-layers", 0, KIND_TEXT, RESUME_SAME, AT (hidden_layers), NULL, 0, 0,
    N_("Which layers --hidden makes like which of the teacher's, from 0: 0:1,1:3 (default: each "
       "like the one that is as deep)"), N_("PAIRS") },
  { "with-unlabelled", 0, KIND_FLAG, RESUME_SAME, AT (with_unlabelled), NULL, 0, 0,
    N_("Take the texts without labels of folders too, for --task distill or masked-lm"), NULL },
  { "exclude", 'x', KIND_PATH, RESUME_SAME, AT (exclude), NULL, 0, 0,
    N_("List of reviews to leave out, one a line, as train/pos/10643_8.txt or reviews.csv:17"),
    N_("FILE") },
  { "holdout", 0, KIND_NUMBER, RESUME_SAME, AT (holdout), "0.1", 0, 0.9,
    N_("Share of the reviews that is kept aside to measure accuracy; 0: none"), N_("SHARE") },
  { "epochs", 'e', KIND_COUNT, RESUME_SAME, AT (epochs), "3", 1, 100000,
    N_("How often each review is seen"), N_("N") },
  { "batch", 'b', KIND_COUNT, RESUME_SAME, AT (batch), "32", 1, 65536,
    N_("Reviews a step"), N_("N") },
  { "micro-batch", 0, KIND_COUNT, RESUME_SAME, AT (micro_batch), "8", 1, 65536,
    N_("Reviews that go through the stages together"), N_("N") },
  { "max-length", 'l', KIND_COUNT, RESUME_SAME, AT (max_length), "256", 2, 65536,
    N_("Tokens of a review that count; the others are cut off"), N_("N") },
  { "truncation-side", 0, KIND_CHOICE, RESUME_SAME, AT (truncation_side), "model", 0, 0,
    N_("Which end of a longer review is cut off; the model keeps to it"), "model|left|right" },
  { "learning-rate", 0, KIND_NUMBER, RESUME_SAME, AT (learning_rate), "5e-5", 0, 10,
    N_("Highest learning rate"), N_("RATE") },
  { "warmup", 0, KIND_NUMBER, RESUME_SAME, AT (warmup), "0.1", 0, 1,
    N_("Share of the steps in which the rate rises"), N_("SHARE") },
  { "decay", 0, KIND_CHOICE, RESUME_SAME, AT (decay), "linear", 0, 0,
    N_("How the rate falls afterwards"), "linear|cosine" },
  { "weight-decay", 0, KIND_NUMBER, RESUME_SAME, AT (weight_decay), "0.01", 0, 1,
    N_("Decay of AdamW"), N_("RATE") },
  { "max-norm", 0, KIND_NUMBER, RESUME_SAME, AT (max_norm), "1", 0, 1e9,
    N_("Longer gradients are cut to this length; 0: never"), N_("NORM") },
  { "label-smoothing", 0, KIND_NUMBER, RESUME_SAME, AT (label_smoothing), "0", 0, 0.9,
    N_("How much of each label the other classes get"), N_("SHARE") },
  { "dropout", 0, KIND_NUMBER, RESUME_SAME, AT (dropout), "-1", -1, 0.9,
    N_("Share of the activations that is dropped; -1: as the model says"), N_("SHARE") },
  { "seed", 's', KIND_COUNT, RESUME_SAME, AT (seed), "1", 0, G_MAXUINT32,
    N_("All that is random depends on it"), N_("N") },
  { "stages", 0, KIND_TEXT, RESUME_SAME, AT (stages), "0-", 0, 0,
    N_("Layers of each stage: 0-0,1- trains on two threads"), N_("RANGES") },
  { "schedule", 0, KIND_CHOICE, RESUME_SAME, AT (schedule), "1f1b-flush", 0, 0,
    N_("Order of work of the stages; with 1f1b each micro-batch is a step"),
    "gpipe|1f1b-flush|1f1b" },
  { "half", 0, KIND_FLAG, RESUME_SAME, AT (half), NULL, 0, 0,
    N_("Write 16-bit floats, half the size; what is measured are these"), NULL },
  { "patience", 'p', KIND_COUNT, RESUME_FREE, AT (patience), "0", 0, 100000,
    N_("Stop after so many measurements without a better accuracy; 0: never"), N_("N") },
  { "keep", 0, KIND_CHOICE, RESUME_SAME, AT (keep), "best", 0, 0,
    N_("Which weights become the model: those that were best on what is held out, or the last; few "
       "reviews held out choose by chance"), "best|last" },
  { "evaluate-every", 0, KIND_COUNT, RESUME_SAME, AT (evaluate_every), "0", 0, 1e9,
    N_("Steps between measurements of the accuracy; 0: an epoch"), N_("STEPS") },
  { "checkpoint-every", 'c', KIND_COUNT, RESUME_SAME, AT (checkpoint_every), "200", 0, 1e9,
    N_("Steps between checkpoints; 0: when accuracy is measured"), N_("STEPS") },
  { "metrics", 0, KIND_PATH, RESUME_FREE, AT (metrics), NULL, 0, 0,
    N_("Write each step and each measurement as a line of JSON"), N_("FILE") },
  { "split", 0, KIND_TEXT, RESUME_FREE, AT (split), NULL, 0, 0,
    N_("Write stage files of these layers too: 0-0,1-"), N_("RANGES") },
};
