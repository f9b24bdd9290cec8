/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The events of training: what goes in comes out, and anything else is refused. */

#include "tandem.h"

#include <math.h>

static const TandemTrainingInfo training = {
  .schedule = TANDEM_SCHEDULE_1F1B_FLUSH, .micro_batches = 64, .learning_rate = 0.1,
  .weight_decay = 0.01, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .max_norm = 1.0,
  .warmup_steps = G_MAXUINT64 - 1, .total_steps = G_MAXUINT64, .cosine = TRUE,
  .first_step = (guint64) 1 << 40, .earlier_step = ((guint64) 1 << 40) - 1,
};
static const TandemGradientInfo gradient = {
  .micro_batch = G_MAXUINT64 - 3, .depth = 2, .squared_norm = 0.1, .n_sequences = 32,
  .loss = 1.0 / 3, .n_correct = -1, .step = G_MAXUINT64 - 5,
};
static const TandemStepInfo step = {
  .step = (guint64) 1 << 33, .n_sequences = 256, .squared_norm = 2.0 / 3,
};

static void
test_training (void)
{
  g_autoptr (GstEvent) event = tandem_event_new_training (&training);
  TandemTrainingInfo back;

  g_assert_true (GST_EVENT_IS_STICKY (event));
  g_assert_true (GST_EVENT_IS_SERIALIZED (event));
  g_assert_true (GST_EVENT_IS_DOWNSTREAM (event));
  g_assert_true (tandem_event_parse_training (event, &back));
  g_assert_cmpint (back.schedule, ==, training.schedule);
  g_assert_cmpuint (back.micro_batches, ==, training.micro_batches);
  g_assert_true (back.learning_rate == training.learning_rate);
  g_assert_true (back.weight_decay == training.weight_decay);
  g_assert_true (back.beta1 == training.beta1 && back.beta2 == training.beta2);
  g_assert_true (back.epsilon == training.epsilon && back.max_norm == training.max_norm);
  g_assert_cmpuint (back.warmup_steps, ==, training.warmup_steps);
  g_assert_cmpuint (back.total_steps, ==, training.total_steps);
  g_assert_true (back.cosine);
  g_assert_cmpuint (back.first_step, ==, training.first_step);
  g_assert_cmpuint (back.earlier_step, ==, training.earlier_step);
}

static void
test_others (void)
{
  g_autoptr (GstEvent) drain = tandem_event_new_drain (G_MAXUINT64);
  g_autoptr (GstEvent) checkpoint = tandem_event_new_checkpoint (7);
  g_autoptr (GstEvent) stepped = tandem_event_new_step (&step);
  TandemStepInfo back;
  guint64 n;

  g_assert_true (GST_EVENT_IS_SERIALIZED (drain) && !GST_EVENT_IS_STICKY (drain));
  g_assert_true (GST_EVENT_IS_DOWNSTREAM (drain));
  g_assert_true (tandem_event_parse_drain (drain, &n));
  g_assert_cmpuint (n, ==, G_MAXUINT64);
  g_assert_true (tandem_event_parse_checkpoint (checkpoint, &n));
  g_assert_cmpuint (n, ==, 7);
  g_assert_true (tandem_event_parse_step (stepped, &back));
  g_assert_cmpuint (back.step, ==, step.step);
  g_assert_cmpuint (back.n_sequences, ==, step.n_sequences);
  g_assert_true (back.squared_norm == step.squared_norm);
  /* each is one of its own kind only */
  g_assert_false (tandem_event_parse_drain (checkpoint, &n));
  g_assert_false (tandem_event_parse_checkpoint (stepped, &n));
  g_assert_false (tandem_event_parse_step (drain, &back));
}

static void
test_gradient (void)
{
  g_autoptr (GstBuffer) rows = gst_buffer_new_allocate (NULL, 512, NULL);
  GstEvent *event = tandem_event_new_gradient (&gradient, rows);
  TandemGradientInfo back, lost = gradient;
  GstBuffer *found;

  g_assert_true (GST_EVENT_IS_UPSTREAM (event) && !GST_EVENT_IS_SERIALIZED (event));
  g_assert_true (tandem_event_parse_gradient (event, &back, &found));
  g_assert_true (found == rows);
  g_assert_cmpuint (back.micro_batch, ==, gradient.micro_batch);
  g_assert_cmpuint (back.depth, ==, gradient.depth);
  g_assert_true (back.squared_norm == gradient.squared_norm && back.loss == gradient.loss);
  g_assert_cmpuint (back.n_sequences, ==, gradient.n_sequences);
  g_assert_cmpint (back.n_correct, ==, -1);
  g_assert_cmpuint (back.step, ==, gradient.step);
  gst_event_unref (event);
  g_assert_cmpint (GST_MINI_OBJECT_REFCOUNT_VALUE (rows), ==, 1);

  /* a loss that is lost is still reported */
  lost.loss = NAN;
  lost.squared_norm = INFINITY;
  event = tandem_event_new_gradient (&lost, rows);
  g_assert_true (tandem_event_parse_gradient (event, &back, &found));
  g_assert_true (isnan (back.loss) && isinf (back.squared_norm));
  gst_event_unref (event);
}

static gboolean
parses (GstEvent *event)
{
  TandemTrainingInfo training_back;
  TandemGradientInfo gradient_back;
  TandemStepInfo step_back;
  GstBuffer *rows;
  guint64 n;

  return tandem_event_parse_training (event, &training_back) ||
      tandem_event_parse_gradient (event, &gradient_back, &rows) ||
      tandem_event_parse_step (event, &step_back) || tandem_event_parse_drain (event, &n) ||
      tandem_event_parse_checkpoint (event, &n);
}

/* Each field in turn is left out, is of another type, or is out of range. */
static void
test_malformed (void)
{
  g_autoptr (GstBuffer) rows = gst_buffer_new ();
  GstEvent *events[] = {
    tandem_event_new_training (&training), tandem_event_new_drain (1),
    tandem_event_new_step (&step), tandem_event_new_checkpoint (1),
    tandem_event_new_gradient (&gradient, rows), gst_event_new_eos (),
    gst_event_new_custom (GST_EVENT_CUSTOM_DOWNSTREAM, gst_structure_new_empty ("other")),
    gst_event_new_custom (GST_EVENT_CUSTOM_DOWNSTREAM, NULL),
  };
  const struct
  {
    const char *field;
    double value;
  } lies[] = {
    { "learning-rate", NAN }, { "learning-rate", -0.1 }, { "weight-decay", INFINITY },
    { "beta1", 1.0 }, { "beta2", 2.0 }, { "epsilon", -1.0 }, { "max-norm", NAN },
  };
  guint i;
  int k;

  for (i = 0; i < G_N_ELEMENTS (events); i++) {
    const GstStructure *s = gst_event_get_structure (events[i]);
    GstEventType type = GST_EVENT_TYPE (events[i]);

    g_assert_cmpint (parses (events[i]), ==, i < 5);
    for (k = 0; i < 5 && k < gst_structure_n_fields (s); k++) {
      const char *field = gst_structure_nth_field_name (s, k);
      GstStructure *less = gst_structure_copy (s), *other = gst_structure_copy (s);
      g_autoptr (GstEvent) a = NULL, b = NULL, c = NULL;

      gst_structure_remove_field (less, field);
      gst_structure_set (other, field, G_TYPE_STRING, "1", NULL);
      a = gst_event_new_custom (type, less);
      b = gst_event_new_custom (type, other);
      c = gst_event_new_custom (GST_EVENT_CUSTOM_BOTH, gst_structure_copy (s));
      g_assert_false (parses (a));
      g_assert_false (parses (b));
      g_assert_false (parses (c));
    }
  }
  for (i = 0; i < G_N_ELEMENTS (lies); i++) {
    GstStructure *s = gst_structure_copy (gst_event_get_structure (events[0]));
    g_autoptr (GstEvent) event = NULL;

    gst_structure_set (s, lies[i].field, G_TYPE_DOUBLE, lies[i].value, NULL);
    event = gst_event_new_custom (GST_EVENT_CUSTOM_DOWNSTREAM_STICKY, s);
    g_assert_false (parses (event));
  }
  for (i = 0; i < 2; i++) {
    GstStructure *s = gst_structure_copy (gst_event_get_structure (events[0]));
    g_autoptr (GstEvent) event = NULL;

    gst_structure_set (s, i == 0 ? "schedule" : "micro-batches", G_TYPE_UINT, i == 0 ? 3 : 0,
                       NULL);
    event = gst_event_new_custom (GST_EVENT_CUSTOM_DOWNSTREAM_STICKY, s);
    g_assert_false (parses (event));
  }
  for (i = 0; i < 2; i++) {
    GstStructure *s = gst_structure_copy (gst_event_get_structure (events[0]));
    g_autoptr (GstEvent) event = NULL;

    gst_structure_set (s, "earlier-step", G_TYPE_UINT64, training.first_step + i, NULL);
    event = gst_event_new_custom (GST_EVENT_CUSTOM_DOWNSTREAM_STICKY, s);
    g_assert_false (parses (event));
  }
  g_assert_false (parses (NULL));
  for (i = 0; i < G_N_ELEMENTS (events); i++)
    gst_event_unref (events[i]);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  gst_init (&argc, &argv);
  tandem_init ();
  g_test_add_func ("/stream/training/training", test_training);
  g_test_add_func ("/stream/training/others", test_others);
  g_test_add_func ("/stream/training/gradient", test_gradient);
  g_test_add_func ("/stream/training/malformed", test_malformed);
  return g_test_run ();
}
