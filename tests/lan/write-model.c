/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Writes a random model with so many layers, for tests that need one that is worth a split:
 * write-model FOLDER LAYERS WIDTH */

#include "config.h"

#include <stdlib.h>

#include "../unit/tandem-test-model.h"

int
main (int argc, char **argv)
{
  TandemTestModel model = TANDEM_TEST_MODEL_INIT;

  if (argc != 4)
    return 2;
  model.n_layers = (guint) atoi (argv[2]);
  model.hidden_size = (guint) atoi (argv[3]);
  model.intermediate_size = 4 * model.hidden_size;
  model.n_heads = 4;
  model.max_positions = 256;
  tandem_test_model_write (&model, argv[1]);
  return 0;
}
