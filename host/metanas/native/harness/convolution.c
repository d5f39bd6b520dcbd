/* Convolution, activation and max-pooling, from compact NCHW to compact NCHW.
 *
 * A run copies the input into its border, then, a strip of rows at a time: `convolve` sums the
 * strip for all channels, `finish` pools and activates it, and the channel blocks are taken apart.
 * Strips are short enough to stay in the cache between the three. What a strip needs is measured
 * once: divisions are slow on processors that have none. */
#include "harness.h"
#include "layers.h"
#include "system.h"
#include "tiling.h"
#include "unblock.h"
#include "vectors.h"

/* Without vectors `finish` writes the plain output by itself, and no blocks are taken apart. */
enum { IS_PLAIN = LANES == 1 };

/* Rows of the convolution that are computed together, as `convolve` sees them. */
struct strip {
  int64_t rows, pooled_rows;
  int64_t height;     /* 1 where the layer is flat */
  int64_t main, rest; /* tiles of a row */
  int64_t pitch;      /* columns of a row, waste included */
  int64_t size;       /* sums of a channel block */
};

static struct {
  struct layer *layer;
  int64_t in_channels, height, width, out_channels, kernel, stride, pool;
  int64_t rows, columns;               /* of the convolution */
  int64_t pooled_rows, pooled_columns; /* of the output */
  int64_t padded_height, padded_width; /* of the input with its border */
  int64_t row_pitch;                   /* from row to row of it */
  int64_t blocks;                      /* of output channels */
  bool is_flat;                        /* pointwise: a strip is one row to `convolve` */
  struct tiling tiling;
  struct strip strip; /* all but the last: its rows are a multiple of `pool`, or all */
  const struct finish_kernel *finish;
  const struct curve *curve; /* instead of `finish`, where it is not NULL */
  const float *padded;
  float *border, *packed, *bias, *sums, *finished;
} conv;

static int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

static TVMFFIAny tensor_argument(DLTensor *tensor) {
  return (TVMFFIAny){.type_index = TVM_TENSOR, .v_ptr = tensor};
}

static TVMFFIAny integer_argument(int64_t value) {
  return (TVMFFIAny){.type_index = TVM_INTEGER, .v_int64 = value};
}

#if !SHORT_VECTORS
static void copy_row(float *restrict target, const float *restrict source, long count) {
  for (long i = 0; i < count; i++) target[i] = source[i];
}

void copy_rows(float *target, long pitch, const float *source, long width, long rows) {
  for (; rows > 0; rows--, source += width, target += pitch) copy_row(target, source, width);
}
#endif

/* The border is zero from the start: only the map itself is copied. */
static void copy_into_border(void) {
  long edge = (long)conv.kernel / 2, width = (long)conv.width, pitch = (long)conv.padded_width;
  long height = (long)conv.height;
  const float *source = conv.layer->input;
  float *target = conv.border + edge * pitch + edge;
  for (long c = 0; c < (long)conv.in_channels; c++) {
    copy_rows(target, pitch, source, width, height);
    source += height * width, target += (long)conv.padded_height * pitch;
  }
}

static int64_t strip_width(int64_t rows) {
  return conv.is_flat ? rows * conv.columns : conv.columns;
}

static struct strip measure_strip(int64_t rows) {
  int64_t height = conv.is_flat ? 1 : rows, width = strip_width(rows);
  int64_t pitch = tiled_columns(&conv.tiling, width);
  return (struct strip){
      .rows = rows,
      .pooled_rows = divide_up(rows, conv.pool),
      .height = height,
      .main = count_main(&conv.tiling, width),
      .rest = count_rest(&conv.tiling, width),
      .pitch = pitch,
      .size = height * pitch * CHANNEL_BLOCK,
  };
}

static int sum_tiles(const struct tiles *tiles, const struct strip *strip, int64_t first_row,
                     int64_t first_column, int64_t count) {
  int64_t k = conv.kernel, pixels = tiles->pixels, size = strip->size;
  int64_t window = conv.in_channels * k * k * CHANNEL_BLOCK;
  for (int i = 0; i < tiles->count && count; i++) {
    const struct segment *segment = &tiles->segments[i];
    int64_t tile = segment->kernel->blocks, groups = segment->groups;
    const float *image =
        conv.padded + (first_row * conv.row_pitch + first_column) * conv.stride;
    float *sums = conv.sums + segment->first * size + first_column * CHANNEL_BLOCK;
    int64_t image_shape[] = {conv.in_channels, conv.padded_height, conv.padded_width};
    int64_t weight_shape[] = {groups, tile, conv.in_channels, k, k, CHANNEL_BLOCK};
    int64_t bias_shape[] = {groups, tile, CHANNEL_BLOCK};
    int64_t sum_shape[] = {groups, tile, strip->height, count, pixels, CHANNEL_BLOCK};
    int64_t sum_strides[] = {
        tile * size, size, strip->pitch * CHANNEL_BLOCK, pixels * CHANNEL_BLOCK, CHANNEL_BLOCK, 1};
    DLTensor tensors[] = {
        tensor_view((float *)image, image_shape, 3),
        tensor_view(conv.packed + segment->first * window, weight_shape, 6),
        tensor_view(conv.bias + segment->first * CHANNEL_BLOCK, bias_shape, 3),
        tensor_view(sums, sum_shape, 6),
    };
    tensors[3].strides = sum_strides;
    TVMFFIAny arguments[] = {tensor_argument(tensors), tensor_argument(tensors + 1),
                             tensor_argument(tensors + 2), tensor_argument(tensors + 3)};
    TVMFFIAny result = {0};
    if (segment->kernel->run(NULL, arguments, 4, &result)) return -1;
  }
  return 0;
}

static int sum_strip(const struct strip *strip, int64_t first_row) {
  const struct tiling *tiling = &conv.tiling;
  if (sum_tiles(&tiling->main, strip, first_row, 0, strip->main)) return -1;
  int64_t column = strip->main * tiling->main.pixels;
  return sum_tiles(&tiling->rest, strip, first_row, column, strip->rest);
}

static int finish_by_curve(const struct strip *strip, int64_t first_row) {
  int64_t columns = conv.columns, rows = strip->rows, plane = conv.rows * columns;
  int64_t pitch = conv.is_flat ? columns : strip->pitch;
  if (pitch == columns) columns *= rows, pitch = columns, rows = 1;
  for (int64_t block = 0; block < conv.blocks; block++) {
    const float *sums = conv.sums + block * strip->size;
    float *output = conv.layer->output + block * CHANNEL_BLOCK * plane + first_row * conv.columns;
    for (int64_t row = 0; row < rows; row++)
      conv.curve->run(sums + row * pitch * CHANNEL_BLOCK, output + row * columns,
                      (int32_t)(plane * (int64_t)sizeof(float)), (int32_t)columns,
                      conv.curve->table);
  }
  return 0;
}

static int finish_strip(const struct strip *strip, int64_t first_pooled_row) {
  if (conv.curve) return finish_by_curve(strip, first_pooled_row);
  int64_t pitch = conv.is_flat ? conv.columns : strip->pitch, pooled_rows = strip->pooled_rows;
  int64_t sum_shape[] = {conv.blocks, strip->size / CHANNEL_BLOCK, CHANNEL_BLOCK};
  int64_t shape[] = {conv.blocks, pooled_rows, conv.pooled_columns, CHANNEL_BLOCK};
  DLTensor sums = tensor_view(conv.sums, sum_shape, 3);
  int64_t plane = conv.pooled_rows * conv.pooled_columns, row = conv.pooled_columns;
  float *plain = conv.layer->output + first_pooled_row * row;
  int64_t strides[] = {plane * CHANNEL_BLOCK, row, 1, plane};
  DLTensor finished = tensor_view(IS_PLAIN ? plain : conv.finished, shape, 4);
  if (IS_PLAIN) finished.strides = strides;
  TVMFFIAny arguments[] = {tensor_argument(&sums),        tensor_argument(&finished),
                           integer_argument(strip->rows), integer_argument(conv.columns),
                           integer_argument(pitch),       integer_argument(conv.pool)};
  TVMFFIAny result = {0};
  return conv.finish->run(NULL, arguments, 6, &result);
}

/* Takes the channel blocks apart: [block][pixel][channel] becomes [channel][pixel]. */
static void unblock_strip(int64_t first_pooled_row, int64_t pooled_rows) {
  long pixels = (long)(pooled_rows * conv.pooled_columns);
  long plane = (long)(conv.pooled_rows * conv.pooled_columns);
  float *target = conv.layer->output + first_pooled_row * conv.pooled_columns;
  const float *source = conv.finished;
  for (long left = (long)conv.out_channels; left > 0; left -= CHANNEL_BLOCK) {
    unblock(target, plane, source, pixels, left < CHANNEL_BLOCK ? left : CHANNEL_BLOCK);
    target += plane * CHANNEL_BLOCK, source += pixels * CHANNEL_BLOCK;
  }
}

static int run_convolution(void) {
  if (conv.border) copy_into_border();
  struct strip strip = conv.strip;
  for (int64_t row = 0, pooled_row = 0; row < conv.rows; row += strip.rows) {
    if (conv.rows - row < strip.rows) strip = measure_strip(conv.rows - row);
    if (sum_strip(&strip, row) || finish_strip(&strip, pooled_row)) return -1;
    if (!IS_PLAIN) unblock_strip(pooled_row, strip.pooled_rows);
    pooled_row += strip.pooled_rows;
  }
  return 0;
}

/* OIHW to [block][I][H][W][channel of the block]; channels that a block lacks are zero. */
static void pack_weights(void) {
  int64_t taps = conv.in_channels * conv.kernel * conv.kernel;
  const float *weights = conv.layer->weights;
  for (int64_t o = 0; o < conv.out_channels; o++) {
    float *target = conv.packed + o / CHANNEL_BLOCK * taps * CHANNEL_BLOCK + o % CHANNEL_BLOCK;
    for (int64_t i = 0; i < taps; i++) target[i * CHANNEL_BLOCK] = *weights++;
  }
  memcpy(conv.bias, weights, (size_t)conv.out_channels * sizeof(float));
}

/* The kernel for just this window, else the one for every window. */
static const struct finish_kernel *find_finish(const char *activation) {
  const struct finish_kernel *found = NULL;
  for (int i = 0; i < finish_kernel_count; i++) {
    const struct finish_kernel *kernel = &finish_kernels[i];
    if (!same_text(kernel->activation, activation)) continue;
    if (kernel->pool == conv.pool || (!kernel->pool && !found)) found = kernel;
  }
  return found;
}

/* Without pooling: else there are fewer values to activate than to compare. */
static const struct curve *find_curve(const char *activation) {
#if SHORT_VECTORS
  if (conv.pool > 1 || !has_short_vectors()) return NULL;
  for (int i = 0; i < curve_count; i++)
    if (same_text(curves[i].activation, activation)) return &curves[i];
#else
  (void)activation;
#endif
  return NULL;
}

static const char *read_convolution(const char *text, long *seed) {
  int64_t sizes[6];
  char activation[LONGEST_NAME];
  if (!read_sizes(&text, sizes, 6) || !read_word(&text, activation, sizeof activation) ||
      !read_sizes(&text, &conv.pool, 1) || !read_seed(text, seed))
    return "error layer conv takes CI H W CO K S ACTIVATION POOL SEED";
  conv.in_channels = sizes[0], conv.height = sizes[1], conv.width = sizes[2];
  conv.out_channels = sizes[3], conv.kernel = sizes[4], conv.stride = sizes[5];
  conv.finish = find_finish(activation), conv.curve = find_curve(activation);
  return conv.finish ? NULL : "error this program has no such activation";
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* Sizes of all that a run uses, from those of the layer; false where no kernel serves it. */
static bool plan_convolution(void) {
  int64_t k = conv.kernel, s = conv.stride;
  conv.rows = divide_up(conv.height, s), conv.columns = divide_up(conv.width, s);
  conv.pooled_rows = divide_up(conv.rows, conv.pool);
  conv.pooled_columns = divide_up(conv.columns, conv.pool);
  conv.blocks = divide_up(conv.out_channels, CHANNEL_BLOCK);
  conv.is_flat = k == 1 && s == 1;
  int64_t row = conv.blocks * CHANNEL_BLOCK * conv.columns;
  int64_t rows = larger((int64_t)STRIP_FLOATS / row / conv.pool, 1) * conv.pool;
  if (rows > conv.rows) rows = conv.rows;
  int64_t columns = strip_width(rows);
  if (!choose_tiling(&conv.tiling, k, s, conv.blocks, columns)) return false;
  conv.strip = measure_strip(rows);
  if (conv.is_flat) { /* what the last tile reads too much is spare, or belongs to no output */
    conv.padded_height = 1, conv.padded_width = conv.height * conv.width;
    conv.row_pitch = conv.width;
  } else {
    int64_t read = (conv.strip.pitch - 1) * s + k;
    conv.padded_height = larger(conv.height + k / 2 * 2, (conv.rows - 1) * s + k);
    conv.padded_width = larger(conv.width + k / 2 * 2, read);
    conv.row_pitch = conv.padded_width;
  }
  return true;
}

static bool is_small_enough(void) {
  int64_t weights[] = {conv.in_channels, conv.kernel, conv.kernel,
                       conv.blocks * CHANNEL_BLOCK};
  int64_t input[] = {conv.in_channels, conv.padded_height, conv.padded_width};
  int64_t output[] = {conv.blocks * CHANNEL_BLOCK, conv.rows, conv.columns};
  int64_t sums[] = {conv.blocks, conv.strip.size};
  return fits(weights, 4) && fits(input, 3) && fits(output, 3) && fits(sums, 2);
}

static bool allocate_convolution(long seed) {
  struct layer *layer = conv.layer;
  int64_t taps = conv.in_channels * conv.kernel * conv.kernel;
  int64_t padded_channels = conv.blocks * CHANNEL_BLOCK;
  int64_t pooled = conv.strip.pooled_rows * conv.pooled_columns;
  int64_t finished = IS_PLAIN ? 0 : padded_channels * pooled;
  bool has_border = conv.padded_height * conv.padded_width != conv.height * conv.width;
  layer->input_count = (size_t)(conv.in_channels * conv.height * conv.width);
  layer->weight_count = (size_t)(conv.out_channels * (taps + 1));
  int64_t plane = conv.pooled_rows * conv.pooled_columns;
  layer->output_count = (size_t)(padded_channels * plane);
  layer->run = run_convolution;
  conv.packed = allocate_floats((size_t)(padded_channels * taps));
  conv.bias = allocate_floats((size_t)padded_channels);
  conv.sums = allocate_floats((size_t)(conv.blocks * conv.strip.size));
  conv.finished = allocate_floats((size_t)finished);
  conv.border = NULL;
  if (has_border)
    conv.border =
        allocate_floats((size_t)(conv.in_channels * conv.padded_height * conv.padded_width));
  if (!allocate_layer(layer, taps, conv.out_channels, seed) || !conv.packed || !conv.bias ||
      !conv.sums || !conv.finished || (has_border && !conv.border))
    return false;
  layer->output_count = (size_t)(conv.out_channels * plane); /* whole blocks only for `finish` */
  conv.padded = has_border ? conv.border : layer->input;
  pack_weights();
  return true;
}

const char *prepare_convolution(const char *text, struct layer *layer) {
  long seed;
  const char *problem = read_convolution(text, &seed);
  if (problem) return problem;
  conv.layer = layer;
  if (!plan_convolution()) return "error this program has no kernel of that size and stride";
  if (!is_small_enough()) return "error the layer is too large";
  return allocate_convolution(seed) ? NULL : "error not enough memory";
}
