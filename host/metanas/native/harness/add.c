/* The sum of two maps, activation and max-pooling: the end of a residual block. */
#include "harness.h"
#include "layers.h"

static struct {
  struct layer *layer;
  long channels, height, width, pool, pooled_height, pooled_width;
  const struct activate_kernel *activate;
  float *row;    /* largest sums of the rows of a window */
  float *pooled; /* what is still to be activated */
} add;

static float larger(float a, float b) { return a > b ? a : b; }

static void add_row(float *restrict sums, const float *restrict a, const float *restrict b,
                    long count) {
  for (long i = 0; i < count; i++) sums[i] = a[i] + b[i];
}

static void add_larger_row(float *restrict sums, const float *restrict a, const float *restrict b,
                           long count) {
  for (long i = 0; i < count; i++) sums[i] = larger(sums[i], a[i] + b[i]);
}

/* Before the activation: the same as behind it, as activations never fall. */
static void add_and_pool(void) {
  const float *a = add.layer->input, *b = add.layer->weights;
  float *target = add.pooled;
  for (long c = 0; c < add.channels; c++)
    for (long y = 0; y < add.height; y += add.pool) {
      long rows = add.height - y < add.pool ? add.height - y : add.pool;
      add_row(add.row, a, b, add.width);
      for (long dy = 1; dy < rows; dy++)
        add_larger_row(add.row, a + dy * add.width, b + dy * add.width, add.width);
      for (long x = 0; x < add.width; x += add.pool) {
        float best = add.row[x];
        for (long dx = 1; dx < add.pool && x + dx < add.width; dx++)
          best = larger(best, add.row[x + dx]);
        *target++ = best;
      }
      a += rows * add.width, b += rows * add.width;
    }
}

static int run_add(void) {
  if (add.pool == 1)
    add_row(add.pooled, add.layer->input, add.layer->weights, (long)add.layer->input_count);
  else
    add_and_pool();
  int64_t shape[] = {((int64_t)add.layer->output_count + CHANNEL_BLOCK - 1) / CHANNEL_BLOCK,
                     CHANNEL_BLOCK};
  DLTensor values = tensor_view(add.pooled, shape, 2);
  DLTensor result = tensor_view(add.layer->output, shape, 2);
  return call_kernel(add.activate->run, (DLTensor *[]){&values, &result}, 2);
}

const char *prepare_add(const char *text, struct layer *layer) {
  int64_t sizes[3], pool;
  char activation[LONGEST_NAME];
  long seed;
  if (!read_sizes(&text, sizes, 3) || !read_word(&text, activation, sizeof activation) ||
      !read_sizes(&text, &pool, 1) || !read_seed(text, &seed))
    return "error layer add takes C H W ACTIVATION POOL SEED";
  if (!fits(sizes, 3)) return "error the layer is too large";
  add.layer = layer, add.activate = find_activation(activation);
  if (!add.activate) return "error this program has no such activation";
  add.channels = (long)sizes[0], add.height = (long)sizes[1], add.width = (long)sizes[2];
  add.pool = (long)pool;
  add.pooled_height = (add.height + add.pool - 1) / add.pool;
  add.pooled_width = (add.width + add.pool - 1) / add.pool;
  layer->input_count = layer->weight_count = (size_t)(sizes[0] * sizes[1] * sizes[2]);
  layer->output_count = (size_t)(add.channels * add.pooled_height * add.pooled_width);
  layer->run = run_add;
  add.row = allocate_floats((size_t)add.width);
  add.pooled = allocate_floats(layer->output_count);
  enum { INPUTS_FOR_BOUND_1 = 6 };
  if (!allocate_layer(layer, INPUTS_FOR_BOUND_1, 0, seed) || !add.row || !add.pooled)
    return "error not enough memory";
  return NULL;
}
