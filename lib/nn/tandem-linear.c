/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "nn/tandem-linear-private.h"

#include <string.h>

#include "nn/tandem-kernels.h"
#include "tensor/tandem-memory.h"

/* Of the OpenMP library that oneDNN runs on. Its header comes with each compiler
 * and fits only that compiler's own library. */
void omp_set_num_threads (int n_threads);

const guint tandem_linear_block_rows[TANDEM_LINEAR_N_BLOCKS] = { 256, 64, 16, 8, 1 };

struct _TandemLinearWorkspace
{
  dnnl_stream_t stream;
  gpointer scratchpad;
  gsize scratchpad_size;
  gpointer rows;                /* a padded block of inputs and one of outputs */
  gsize rows_size;
  guint16 *converted;           /* a block of inputs as bfloat16 */
  gsize converted_size;
  gpointer scratch;             /* of layers of int8 and sparse ones */
  gsize scratch_size;
};

static const char *
status_to_string (dnnl_status_t status)
{
  switch (status) {
    case dnnl_out_of_memory:
      return "out of memory";
    case dnnl_invalid_arguments:
      return "invalid arguments";
    case dnnl_unimplemented:
      return "not implemented for this processor";
    default:
      return "run-time error";
  }
}

/* oneDNN's statuses are few and say little: what was tried says more. */
static gboolean
check (dnnl_status_t status, const char *what, GError **error)
{
  if (status == dnnl_success)
    return TRUE;
  g_set_error (error, G_IO_ERROR,
               status == dnnl_unimplemented ? G_IO_ERROR_NOT_SUPPORTED : G_IO_ERROR_FAILED,
               "oneDNN could not %s: %s", what, status_to_string (status));
  return FALSE;
}

static dnnl_engine_t
get_engine (GError **error)
{
  static gsize engine = 0;

  if (g_once_init_enter (&engine)) {
    dnnl_engine_t created = NULL;

    dnnl_engine_create (&created, dnnl_cpu, 0);
    g_once_init_leave (&engine, created != NULL ? (gsize) created : 1);
  }
  if (engine == 1) {
    check (dnnl_runtime_error, "create its engine", error);
    return NULL;
  }
  return (dnnl_engine_t) engine;
}

static dnnl_data_type_t
get_data_type (TandemLinearPrecision precision)
{
  return precision == TANDEM_LINEAR_BF16 ? dnnl_bf16 : dnnl_f32;
}

static gboolean
create_desc (dnnl_primitive_desc_t *desc, guint n_rows, guint n_in, guint n_out,
             const dnnl_memory_desc_t *weight, TandemLinearPrecision precision, GError **error)
{
  dnnl_dims_t x_dims = { n_rows, n_in }, bias_dims = { 1, n_out }, out_dims = { n_rows, n_out };
  dnnl_memory_desc_t x, bias, out;
  dnnl_matmul_desc_t matmul;
  dnnl_primitive_attr_t attr = NULL;
  dnnl_engine_t engine = get_engine (error);
  gboolean ok;

  if (engine == NULL)
    return FALSE;
  ok = check (dnnl_memory_desc_init_by_tag (&x, 2, x_dims, get_data_type (precision), dnnl_ab),
              "describe rows", error) &&
      check (dnnl_memory_desc_init_by_tag (&bias, 2, bias_dims, dnnl_f32, dnnl_ab),
             "describe a bias", error) &&
      check (dnnl_memory_desc_init_by_tag (&out, 2, out_dims, dnnl_f32, dnnl_ab),
             "describe rows", error) &&
      check (dnnl_matmul_desc_init (&matmul, &x, weight, &bias, &out), "describe a product",
             error) &&
      check (dnnl_primitive_attr_create (&attr), "create attributes", error) &&
      /* Its own scratchpad is shared between threads and gives wrong numbers. */
      check (dnnl_primitive_attr_set_scratchpad_mode (attr, dnnl_scratchpad_mode_user),
             "set attributes", error) &&
      check (dnnl_primitive_desc_create (desc, &matmul, attr, engine, NULL),
             "plan a matrix product", error);
  if (attr != NULL)
    dnnl_primitive_attr_destroy (attr);
  return ok;
}

static GMutex plans_lock;
static GHashTable *plans;       /* by shape; protected by plans_lock */

static void
plan_free (TandemLinearPlan *plan)
{
  guint i;

  for (i = 0; i < TANDEM_LINEAR_N_BLOCKS; i++) {
    if (plan->primitives[i] != NULL)
      dnnl_primitive_destroy (plan->primitives[i]);
    if (plan->descs[i] != NULL)
      dnnl_primitive_desc_destroy (plan->descs[i]);
  }
  g_free (plan);
}

static void
plan_unref (TandemLinearPlan *plan)
{
  g_mutex_lock (&plans_lock);
  if (--plan->ref_count == 0) {
    g_hash_table_remove (plans, &plan->shape);
    plan_free (plan);
  }
  g_mutex_unlock (&plans_lock);
}

static gboolean
fill_plan (TandemLinearPlan *plan, guint n_in, guint n_out, TandemLinearPrecision precision,
           GError **error)
{
  dnnl_dims_t dims = { n_in, n_out };
  dnnl_memory_desc_t any;
  const dnnl_memory_desc_t *packed = &any;
  guint i;

  if (!check (dnnl_memory_desc_init_by_tag (&any, 2, dims, get_data_type (precision),
                                            dnnl_format_tag_any), "describe a weight", error))
    return FALSE;
  for (i = 0; i < TANDEM_LINEAR_N_BLOCKS; i++) {
    if (!create_desc (&plan->descs[i], tandem_linear_block_rows[i], n_in, n_out, packed,
                      precision, error) ||
        !check (dnnl_primitive_create (&plan->primitives[i], plan->descs[i]),
                "prepare a matrix product", error))
      return FALSE;
    /* The others take the layout that the first one likes best. */
    packed = dnnl_primitive_desc_query_md (plan->descs[0], dnnl_query_weights_md, 0);
  }
  return TRUE;
}

/* Layers of a model have few shapes; each primitive takes tens of kilobytes. */
static TandemLinearPlan *
get_plan (guint n_in, guint n_out, TandemLinearPrecision precision, GError **error)
{
  guint64 shape = tandem_linear_shape (n_in, n_out, precision);
  TandemLinearPlan *plan;

  g_mutex_lock (&plans_lock);
  if (plans == NULL)
    plans = g_hash_table_new (g_int64_hash, g_int64_equal);
  plan = g_hash_table_lookup (plans, &shape);
  if (plan == NULL) {
    plan = g_new0 (TandemLinearPlan, 1);
    plan->shape = shape;
    if (fill_plan (plan, n_in, n_out, precision, error))
      g_hash_table_insert (plans, &plan->shape, plan);
    else
      g_clear_pointer (&plan, plan_free);
  }
  if (plan != NULL)
    plan->ref_count++;
  g_mutex_unlock (&plans_lock);
  return plan;
}

/**
 * tandem_linear_supports: (skip)
 */
gboolean
tandem_linear_supports (TandemLinearPrecision precision)
{
  dnnl_dims_t dims = { 64, 64 };
  dnnl_memory_desc_t weight;
  dnnl_primitive_desc_t desc = NULL;

  /* oneDNN also emulates bfloat16, slower than float32: that does not count. */
  if (precision == TANDEM_LINEAR_BF16 &&
      (dnnl_get_effective_cpu_isa () & dnnl_cpu_isa_avx512_core_bf16) !=
          dnnl_cpu_isa_avx512_core_bf16)
    return FALSE;
  if (dnnl_memory_desc_init_by_tag (&weight, 2, dims, get_data_type (precision),
                                    dnnl_format_tag_any) != dnnl_success ||
      !create_desc (&desc, 64, 64, 64, &weight, precision, NULL))
    return FALSE;
  dnnl_primitive_desc_destroy (desc);
  return TRUE;
}

static gboolean
pack_weight (TandemLinear *self, const float *weight, const dnnl_memory_desc_t *packed_desc,
             GError **error)
{
  dnnl_engine_t engine = get_engine (error);
  dnnl_dims_t dims = { self->n_in, self->n_out };
  dnnl_memory_desc_t plain;
  dnnl_memory_t from = NULL;
  dnnl_primitive_desc_t desc = NULL;
  dnnl_primitive_t reorder = NULL;
  dnnl_stream_t stream = NULL;
  gboolean ok;

  self->packed = tandem_memory_new (1, dnnl_memory_desc_get_size (packed_desc));
  /* The stored matrix is [out, in]; read by columns it is the transpose. */
  ok = check (dnnl_memory_desc_init_by_tag (&plain, 2, dims, dnnl_f32, dnnl_ba),
              "describe a weight", error) &&
      check (dnnl_memory_create (&from, &plain, engine, (gpointer) weight), "wrap a weight",
             error) &&
      check (dnnl_memory_create (&self->weight, packed_desc, engine, self->packed),
             "wrap a weight", error) &&
      check (dnnl_reorder_primitive_desc_create (&desc, &plain, engine, packed_desc, engine, NULL),
             "plan the layout of a weight", error) &&
      check (dnnl_primitive_create (&reorder, desc), "prepare the layout of a weight", error) &&
      check (dnnl_stream_create (&stream, engine, dnnl_stream_default_flags), "open a stream",
             error);
  if (ok) {
    dnnl_exec_arg_t args[] = { { DNNL_ARG_FROM, from }, { DNNL_ARG_TO, self->weight } };

    ok = check (dnnl_primitive_execute (reorder, stream, G_N_ELEMENTS (args), args),
                "lay out a weight", error) &&
        check (dnnl_stream_wait (stream), "lay out a weight", error);
  }
  if (stream != NULL)
    dnnl_stream_destroy (stream);
  if (reorder != NULL)
    dnnl_primitive_destroy (reorder);
  if (desc != NULL)
    dnnl_primitive_desc_destroy (desc);
  if (from != NULL)
    dnnl_memory_destroy (from);
  return ok;
}

/**
 * tandem_linear_free: (skip)
 */
void
tandem_linear_free (TandemLinear *self)
{
  if (self == NULL)
    return;
  if (self->plan != NULL)
    plan_unref (self->plan);
  if (self->weight != NULL)
    dnnl_memory_destroy (self->weight);
  if (self->bias != NULL)
    dnnl_memory_destroy (self->bias);
  tandem_int8_linear_free (self->int8);
  tandem_sparse_linear_free (self->sparse);
  tandem_memory_free (self->packed);
  tandem_memory_free (self->bias_data);
  g_free (self);
}

/**
 * tandem_linear_use_one_thread: (skip)
 */
void
tandem_linear_use_one_thread (void)
{
  omp_set_num_threads (1);
}

/**
 * tandem_linear_workspace_new: (skip)
 */
TandemLinearWorkspace *
tandem_linear_workspace_new (GError **error)
{
  g_autoptr (TandemLinearWorkspace) self = g_new0 (TandemLinearWorkspace, 1);
  dnnl_engine_t engine = get_engine (error);

  if (engine == NULL || !check (dnnl_stream_create (&self->stream, engine,
                                                    dnnl_stream_default_flags),
                                "open a stream", error))
    return NULL;
  return g_steal_pointer (&self);
}

/**
 * tandem_linear_workspace_free: (skip)
 */
void
tandem_linear_workspace_free (TandemLinearWorkspace *self)
{
  if (self == NULL)
    return;
  if (self->stream != NULL)
    dnnl_stream_destroy (self->stream);
  tandem_memory_free (self->scratchpad);
  tandem_memory_free (self->rows);
  tandem_memory_free (self->converted);
  tandem_memory_free (self->scratch);
  g_free (self);
}

static gpointer
ensure (gpointer *memory, gsize *size, gsize wanted)
{
  if (*size < wanted) {
    tandem_memory_free (*memory);
    *memory = tandem_memory_new (1, wanted);
    *size = wanted;
  }
  return *memory;
}

gboolean
tandem_linear_run_block (const TandemLinear *self, guint block, const float *x, float *out,
           TandemLinearWorkspace *ws, GError **error)
{
  dnnl_primitive_desc_t desc = self->plan->descs[block];
  dnnl_engine_t engine = get_engine (error);
  const dnnl_memory_desc_t *scratch_desc =
      dnnl_primitive_desc_query_md (desc, dnnl_query_scratchpad_md, 0);
  gsize scratch_size = dnnl_memory_desc_get_size (scratch_desc);
  gconstpointer source = x;
  dnnl_memory_t in = NULL, to = NULL, scratch = NULL;
  gboolean ok;

  ensure (&ws->scratchpad, &ws->scratchpad_size, scratch_size);
  if (self->precision == TANDEM_LINEAR_BF16) {
    gsize n = (gsize) tandem_linear_block_rows[block] * self->n_in;

    ensure ((gpointer *) &ws->converted, &ws->converted_size, n * sizeof (guint16));
    tandem_kernels_get ()->to_bf16 (x, n, ws->converted);
    source = ws->converted;
  }

  ok = check (dnnl_memory_create (&in, dnnl_primitive_desc_query_md (desc, dnnl_query_src_md, 0),
                                  engine, (gpointer) source), "wrap rows", error) &&
      check (dnnl_memory_create (&to, dnnl_primitive_desc_query_md (desc, dnnl_query_dst_md, 0),
                                 engine, out), "wrap rows", error) &&
      check (dnnl_memory_create (&scratch, scratch_desc, engine, ws->scratchpad),
             "wrap a scratchpad", error);
  if (ok) {
    dnnl_exec_arg_t args[] = {
      { DNNL_ARG_SRC, in },
      { DNNL_ARG_WEIGHTS, self->weight },
      { DNNL_ARG_BIAS, self->bias },
      { DNNL_ARG_DST, to },
      { DNNL_ARG_SCRATCHPAD, scratch },
    };

    ok = check (dnnl_primitive_execute (self->plan->primitives[block], ws->stream, G_N_ELEMENTS (args),
                                        args), "multiply", error);
  }
  if (scratch != NULL)
    dnnl_memory_destroy (scratch);
  if (to != NULL)
    dnnl_memory_destroy (to);
  if (in != NULL)
    dnnl_memory_destroy (in);
  return ok;
}

/* n_rows are fewer than the block's. */
static gboolean
run_padded (const TandemLinear *self, guint block, const float *x, gsize n_rows, float *out,
            TandemLinearWorkspace *ws, GError **error)
{
  gsize in_size = (gsize) tandem_linear_block_rows[block] * self->n_in;
  gsize out_size = (gsize) tandem_linear_block_rows[block] * self->n_out;
  float *padded = ensure (&ws->rows, &ws->rows_size, (in_size + out_size) * sizeof (float));

  memcpy (padded, x, n_rows * self->n_in * sizeof (float));
  memset (padded + n_rows * self->n_in, 0, (in_size - n_rows * self->n_in) * sizeof (float));
  if (!tandem_linear_run_block (self, block, padded, padded + in_size, ws, error))
    return FALSE;
  memcpy (out, padded + in_size, n_rows * self->n_out * sizeof (float));
  return TRUE;
}

/**
 * tandem_linear_gains_by_zeros: (skip)
 */
gboolean
tandem_linear_gains_by_zeros (guint64 n_kept, guint64 n)
{
  return tandem_sparse_gains (tandem_sparse_kernels_get (), n_kept, n);
}

/**
 * tandem_linear_is_sparse: (skip)
 */
gboolean
tandem_linear_is_sparse (const TandemLinear *self)
{
  return self->sparse != NULL;
}

static gboolean
gains_by_zeros (const float *weight, guint n_in, guint n_out)
{
  gsize n = (gsize) n_in * n_out, n_kept = 0, i;

  for (i = 0; i < n; i++)
    n_kept += weight[i] != 0.0f;
  return n_in <= TANDEM_SPARSE_MAX_INPUTS && tandem_linear_gains_by_zeros (n_kept, n);
}

/**
 * tandem_linear_new: (skip)
 */
TandemLinear *
tandem_linear_new (const float *weight, const float *bias, guint n_in, guint n_out,
                   TandemLinearPrecision precision, GError **error)
{
  g_autoptr (TandemLinear) self = g_new0 (TandemLinear, 1);
  dnnl_dims_t bias_dims = { 1, n_out };
  dnnl_memory_desc_t bias_desc;

  tandem_linear_use_one_thread ();

  self->n_in = n_in;
  self->n_out = n_out;
  self->precision = precision;

  if (precision == TANDEM_LINEAR_F32 && gains_by_zeros (weight, n_in, n_out)) {
    self->sparse = tandem_sparse_linear_new (tandem_sparse_kernels_get (), weight, bias, n_in,
                                             n_out);
    return g_steal_pointer (&self);
  }
  self->plan = get_plan (n_in, n_out, precision, error);
  if (self->plan == NULL ||
      !pack_weight (self, weight,
                    dnnl_primitive_desc_query_md (self->plan->descs[0], dnnl_query_weights_md, 0),
                    error))
    return NULL;
  self->bias_data = tandem_memory_new (n_out, sizeof (float));
  memcpy (self->bias_data, bias, n_out * sizeof (float));
  if (!check (dnnl_memory_desc_init_by_tag (&bias_desc, 2, bias_dims, dnnl_f32, dnnl_ab),
              "describe a bias", error) ||
      !check (dnnl_memory_create (&self->bias, &bias_desc, get_engine (NULL), self->bias_data),
              "wrap a bias", error) ||
      !tandem_linear_find_usable_blocks (self, error))
    return NULL;
  return g_steal_pointer (&self);
}

/**
 * tandem_linear_gains_by_int8: (skip)
 */
gboolean
tandem_linear_gains_by_int8 (guint n_in)
{
  return tandem_int8_kernels_get () != NULL && n_in <= TANDEM_INT8_MAX_INPUTS;
}

/**
 * tandem_linear_new_int8: (skip)
 */
TandemLinear *
tandem_linear_new_int8 (const gint8 *weight, const float *scales, const float *bias, guint n_in,
                        guint n_out)
{
  TandemLinear *self = g_new0 (TandemLinear, 1);

  self->n_in = n_in;
  self->n_out = n_out;
  self->int8 = tandem_int8_linear_new (tandem_int8_kernels_get (), weight, scales, bias, n_in,
                                       n_out);
  return self;
}

/**
 * tandem_linear_is_int8: (skip)
 */
gboolean
tandem_linear_is_int8 (const TandemLinear *self)
{
  return self->int8 != NULL;
}

/**
 * tandem_linear_forward: (skip)
 */
gboolean
tandem_linear_forward (const TandemLinear *self, const float *x, gsize n_rows, float *out,
                       TandemLinearWorkspace *ws, GError **error)
{
  gboolean single_usable = (self->usable & (1u << (TANDEM_LINEAR_N_BLOCKS - 1))) != 0;
  guint padded_block = TANDEM_LINEAR_N_BLOCKS - 1, block;

  if (self->int8 != NULL) {
    tandem_int8_linear_forward (self->int8, x, n_rows, out,
                                ensure (&ws->scratch, &ws->scratch_size,
                                        tandem_int8_linear_get_scratch (self->int8)));
    return TRUE;
  }
  if (self->sparse != NULL) {
    tandem_sparse_linear_forward (self->sparse, x, n_rows, out,
                                  ensure (&ws->scratch, &ws->scratch_size,
                                          tandem_sparse_linear_get_scratch (self->sparse)));
    return TRUE;
  }
  /* The smallest usable block over one row; with none, rows go one by one. */
  for (block = 0; block + 1 < TANDEM_LINEAR_N_BLOCKS; block++)
    if ((self->usable & (1u << block)) != 0)
      padded_block = block;

  for (block = 0; block < TANDEM_LINEAR_N_BLOCKS && n_rows > 0; block++) {
    guint rows = tandem_linear_block_rows[block];

    if ((self->usable & (1u << block)) == 0)
      continue;
    for (; n_rows >= rows; n_rows -= rows) {
      if (!tandem_linear_run_block (self, block, x, out, ws, error))
        return FALSE;
      x += (gsize) rows * self->n_in;
      out += (gsize) rows * self->n_out;
    }
    if (block == padded_block && n_rows > 0 && !(n_rows == 1 && single_usable))
      return run_padded (self, block, x, n_rows, out, ws, error);
  }
  return TRUE;
}
