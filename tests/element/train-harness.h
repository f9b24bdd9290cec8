/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Pipelines that train a small model of three layers, and what they leave. */

#include <gst/gst.h>
#include <tandem.h>

G_BEGIN_DECLS

#define TRAIN_N_REVIEWS 404
#define TRAIN_BATCH "microbatch size=2"

extern char *train_work;        /* temporary folder */
extern char *train_model;
extern char *train_reviews;     /* what a small model learns: whether "tok7" occurs */

/* What a run said on the bus. */
typedef struct
{
  char *error;                  /* NULL: it came to its end */
  guint n_steps;
  double first_loss, last_loss; /* means over the first and the last tenth of the steps */
  guint in_flight;
  GArray *losses;               /* of double */
  GArray *hidden_losses;        /* the same of hidden states; empty without a teacher */
  double first_hidden_loss, last_hidden_loss;
} TrainRun;

void train_run_clear (TrainRun *run);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TrainRun, train_run_clear)

void train_set_up (void);

void train_tear_down (void);

char *train_in_work (const char *name);

void train_launch (TrainRun *run, const char *description);

/* Trains stages of the given layers; their checkpoints are name-0, name-1, ... */
void train_stages (TrainRun *run, const char *name, const char *layers, const char *options,
                   guint limit);

/* How many tensors of the checkpoints a-0, ... and b-0, ... differ in a bit. */
guint train_count_differences (const char *a, guint n_a, const char *b, guint n_b);

/* A stage on another device, which listens on a port that it chooses; options names its layers, and
 * its checkpoint is name-1. */
GstElement *train_start_server (const char *name, const char *options, const char *rest,
                                guint *port);

/* The end of a server comes behind its last checkpoint. */
void train_end_server (GstElement *server);

/* Layer 0 on this device, before those of a server. */
void train_over_tcp (TrainRun *run, const char *name, const char *options, guint port);

G_END_DECLS
