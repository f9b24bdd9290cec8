/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tandem train: trains a model in pipelines, from checkpoint to checkpoint. Each run of the
 * pipeline ends with the checkpoint of all stages; what is said of it in state.json makes it
 * count. So a training that is killed and one that is not do the same runs, but for the last. */

#include "config.h"

#include <glib/gi18n-lib.h>
#include <gst/gst.h>

#include "tandem-command.h"
#include "tandem-train-evaluate.h"
#include "tandem-train-model.h"
#include "tandem-train-prune.h"
#include "tandem.h"

typedef struct
{
  TrainOptions options;
  GCancellable *cancellable;
  TrainData *data;
  TrainState *state;
  TrainProgress *progress;
  TrainSetup setup;
  TandemModel *initial;
  char *initial_path;
  char *teacher;
} Training;

static void
training_clear (Training *self)
{
  g_clear_pointer (&self->progress, train_progress_free);
  g_clear_pointer (&self->state, train_state_free);
  g_clear_pointer (&self->data, train_data_free);
  g_clear_pointer (&self->setup.layers, g_ptr_array_unref);
  g_clear_object (&self->initial);
  g_clear_object (&self->cancellable);
  g_free (self->initial_path);
  g_free (self->teacher);
  train_options_clear (&self->options);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Training, training_clear)

static guint
count_stages (const TrainOptions *options)
{
  g_auto (GStrv) parts = g_strsplit (options->stages, ",", -1);

  return g_strv_length (parts);
}

static gboolean
check_data (Training *self, GError **error)
{
  if (self->state->data == NULL) {
    self->state->data = g_strdup (self->data->fingerprint);
    return TRUE;
  }
  if (g_str_equal (self->state->data, self->data->fingerprint))
    return TRUE;
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                       _("the reviews are not those that the training began with"));
  return FALSE;
}

/* Everything before the first step of this call. */
static gboolean
prepare (Training *self, GError **error)
{
  const TrainOptions *options = &self->options;
  guint64 step_size = train_options_get_step_size (options), n;
  guint n_layers;

  self->state = train_state_open (options, count_stages (options), error);
  if (self->state == NULL)
    return FALSE;
  self->state->stopping.patience = options->patience;
  self->state->stopping.higher_is_better = !train_options_is_masked_lm (options);
  self->progress = train_progress_new (options->metrics, self->state->step, error);
  self->data = self->progress != NULL ? train_data_read (options, self->cancellable, error) : NULL;
  if (self->data == NULL || !check_data (self, error))
    return FALSE;
  train_progress_say (self->progress, _("%u reviews to learn from, %u held out, %u left out"),
                      self->data->train->len, self->data->held_out->len, self->data->n_excluded);

  self->initial_path = train_state_get_path (self->state, "initial");
  if (!options->resume) {
    g_autofree char *path = train_state_get_path (self->state, TRAIN_OPTIONS_FILE);

    if (!train_make_initial (options, self->initial_path, self->cancellable, error) ||
        !train_state_save (self->state, error) || !train_options_save (options, path, error))
      return FALSE;
  }
  self->initial = tandem_model_open (self->initial_path, self->cancellable, error);
  if (self->initial == NULL)
    return FALSE;
  n_layers = tandem_model_get_config (self->initial)->n_layers;
  if (options->split != NULL) {
    g_autoptr (GPtrArray) split = train_parse_stages ("split", options->split, n_layers, error);

    if (split == NULL)
      return FALSE;
  }
  n = (guint64) self->data->train->len * options->epochs;
  self->setup = (TrainSetup) {
    .options = options, .data = self->data, .model = self->initial_path,
    .layers = train_parse_stages ("stages", options->stages, n_layers, error),
    .total_steps = (n + step_size - 1) / step_size
  };
  return self->setup.layers != NULL;
}

/* The first step from @step on after which accuracy is measured. */
static guint64
find_measurement (const Training *self, guint64 step)
{
  const TrainOptions *options = &self->options;
  guint64 every = options->evaluate_every, n = self->data->train->len;
  guint64 step_size = train_options_get_step_size (options);
  guint64 epoch, next;

  if (every > 0) {
    next = (step + every - 1) / every * every;
  } else {
    /* The step with the last review of an epoch. */
    epoch = step > 0 ? ((step - 1) * step_size) / n : 0;
    while ((next = (epoch * n + step_size - 1) / step_size) < step)
      epoch++;
  }
  return MIN (next, self->setup.total_steps);
}

/* The next step after which accuracy is measured: this one, where that was interrupted. */
static guint64
get_next_measurement (const Training *self)
{
  guint64 step = self->state->step;

  return find_measurement (self, self->state->measured_step == step ? step + 1 : step);
}

/* The step at which the next run ends. */
static guint64
get_next_end (const Training *self)
{
  guint64 end = get_next_measurement (self), every = self->options.checkpoint_every;

  end = MIN (end, train_prune_get_next (&self->options, self->setup.total_steps,
                                        self->state->step));
  return every > 0 && end > self->state->step
    ? MIN (end, (self->state->step / every + 1) * every) : end;
}

static void
add_step (const TrainStep *step, gpointer user_data)
{
  Training *self = user_data;

  g_array_append_val (self->state->losses, step->loss);
  train_progress_step (self->progress, step);
}

/* Writes the weights, and keeps them where they are the best, or the last where that was asked for. */
static gboolean
measure (Training *self, guint64 step, const char *work, GHashTable *tensors, GError **error)
{
  TrainState *state = self->state;
  g_autofree char *path = train_state_get_path (state, "model-%" G_GUINT64_FORMAT, step);
  TrainMeasurement measurement = { .step = step };
  g_autoptr (TandemMasks) masks = train_prune_get_masks (self->initial, work, error);
  /* A model that is not as sparse as was asked for is no result. */
  gboolean counts = train_prune_is_done (&self->options, self->setup.total_steps, step);
  gboolean best = TRUE;

  if (masks == NULL ||
      !tandem_model_export_sparse (self->initial, NULL, tensors, masks, NULL, NULL,
                                   self->options.half ? TANDEM_DTYPE_F16 : TANDEM_DTYPE_F32, path,
                                   TANDEM_MODEL_EXPORT_REPLACE, self->cancellable, error))
    return FALSE;
  if (self->data->held_out->len > 0) {
    gboolean masked_lm = train_options_is_masked_lm (&self->options);

    if (masked_lm ? !train_evaluate_masked (path, self->data, &self->options, self->progress,
                                            &measurement, self->cancellable, error)
                  : !train_evaluate (path, self->data, self->progress, &measurement,
                                     self->cancellable, error))
      return FALSE;
    best = counts && tandem_early_stopping_add (&state->stopping,
                                                masked_lm ? measurement.loss
                                                          : measurement.accuracy);
    g_array_append_val (state->measurements, measurement);
    train_progress_measured (self->progress, &measurement, best, self->data->held_out->len);
  }
  if (best || (counts && g_str_equal (self->options.keep, "last"))) {
    state->model_step = step;
    state->has_model = TRUE;
  }
  state->measured_step = step;
  state->finished = step == self->setup.total_steps ||
      tandem_early_stopping_should_stop (&state->stopping);
  return TRUE;
}

/* From a checkpoint to the next one. */
static gboolean
run_once (Training *self, GError **error)
{
  TrainState *state = self->state;
  guint64 step = state->step, end = get_next_end (self);
  gboolean measures = end == get_next_measurement (self);
  g_autofree char *work = train_state_begin (state, error);
  g_autofree char *before = train_state_get_path (state, "step-%" G_GUINT64_FORMAT, step);
  g_autoptr (GHashTable) tensors = NULL;
  g_autoptr (GError) local = NULL;

  if (work == NULL ||
      !train_prune_begin (&self->options, self->initial, work, before, step,
                          self->setup.total_steps, self->progress, self->cancellable, error) ||
      !train_pipeline_run (&self->setup, work, &step, end, add_step, self,
                           measures ? &tensors : NULL, self->cancellable, error))
    return FALSE;
  /* Where measuring is interrupted, the steps count nevertheless. */
  if (measures && step == end && !measure (self, step, work, tensors, &local) &&
      !g_error_matches (local, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
    g_propagate_error (error, g_steal_pointer (&local));
    return FALSE;
  }
  return train_state_commit (state, step, error) && train_progress_check (self->progress, error);
}

static gboolean
train (Training *self, GError **error)
{
  const TrainOptions *options = &self->options;
  guint64 n = (guint64) self->data->train->len * options->epochs;

  if (!self->state->finished && g_str_equal (options->task, "distill")) {
    self->teacher = train_ask_teacher (options, self->data, self->progress, self->cancellable,
                                       error);
    if (self->teacher == NULL)
      return FALSE;
    self->setup.teacher = self->teacher;
  }
  while (!self->state->finished && !g_cancellable_is_cancelled (self->cancellable)) {
    guint64 done = self->state->step * train_options_get_step_size (options);

    train_progress_begin (self->progress, self->setup.total_steps, n - MIN (done, n));
    if (!run_once (self, error))
      return FALSE;
  }
  return !self->state->finished ||
      train_publish (options, self->state, self->cancellable, error);
}

static int
run (char **args)
{
  g_auto (Training) training = { 0 };
  g_autoptr (GError) error = NULL;
  int status;

  if (!train_options_parse (&training.options, args, &status))
    return status;
  training.cancellable = tandem_command_catch_signals ();
  gst_init (NULL, NULL);
  tandem_init ();
  if (prepare (&training, &error) && train (&training, &error)) {
    if (training.state->finished) {
      train_progress_say (training.progress, _("the model of step %u is in %s"),
                          (guint) training.state->model_step, training.options.output);
      return TANDEM_EXIT_OK;
    }
  }
  g_clear_pointer (&training.progress, train_progress_free);
  if (!g_cancellable_is_cancelled (training.cancellable))
    return tandem_command_failed (error);
  if (training.setup.layers == NULL)
    tandem_command_failed (error);
  else
    g_printerr (_("%s: interrupted after step %u; to go on: tandem train --resume --output %s\n"),
                g_get_prgname (), (guint) training.state->step, training.options.output);
  return TANDEM_EXIT_INTERRUPTED;
}

const TandemCommand tandem_command_train = {
  .name = "train",
  .summary = N_("Train a model to tell reviews apart"),
  .run = run,
};
