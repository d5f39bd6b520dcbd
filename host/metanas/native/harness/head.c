/* Average-pooling to an N x N map, then the linear classifier. */
#include "harness.h"
#include "layers.h"
#include "system.h"

enum { FEATURE_STEP = CLASSIFY_VECTORS * LANES, WIDTH = 16 };

/* As many values as the target's registers hold, or several registers of them. */
typedef float values __attribute__((vector_size(WIDTH * sizeof(float)), aligned(sizeof(float))));

static struct {
  struct layer *layer;
  int64_t channels, height, width, side, ways;
  int64_t row_step, column_step, row_window, column_window;
  float *features; /* (channels, side, side), zeros behind them up to whole steps */
  float *row;      /* sums of a window's rows */
  DLTensor tensors[4];
  TVMFFIAny arguments[4];
  int64_t shapes[4][4];
} head;

/* Sums of the columns over a window's rows; what is read and written behind the last is spare. */
static void sum_rows(float *sums, const float *rows) {
  long width = (long)head.width, count = (long)head.row_window;
  for (long x = 0; x < width; x += WIDTH) {
    values sum = *(const values *)(rows + x);
    for (long dy = 1; dy < count; dy++) sum += *(const values *)(rows + dy * width + x);
    *(values *)(sums + x) = sum;
  }
}

static void pool_average(void) {
  float part = 1 / (float)(head.row_window * head.column_window), *feature = head.features;
  long side = (long)head.side, window = (long)head.column_window, step = (long)head.column_step;
  for (int64_t c = 0; c < head.channels; c++)
    for (long y = 0; y < side; y++, feature += side) {
      const float *sums = head.row;
      sum_rows(head.row, head.layer->input + (c * head.height + y * head.row_step) * head.width);
      for (long x = 0; x < side; x++) feature[x] = sums[x * step];
      for (long dx = 1; dx < window; dx++)
        for (long x = 0; x < side; x++) feature[x] += sums[x * step + dx];
      for (long x = 0; x < side; x++) feature[x] *= part;
    }
}

static int run_head(void) {
  TVMFFIAny result = {0};
  if (head.row_window * head.column_window == 1)
    memcpy(head.features, head.layer->input, head.layer->input_count * sizeof(float));
  else
    pool_average();
  return classify_kernel(NULL, head.arguments, 4, &result);
}

const char *prepare_head(const char *text, struct layer *layer) {
  int64_t sizes[5];
  long seed;
  if (!read_sizes(&text, sizes, 5) || !read_seed(text, &seed))
    return "error layer head takes C H W N WAYS SEED";
  head.channels = sizes[0], head.height = sizes[1], head.width = sizes[2];
  head.side = sizes[3], head.ways = sizes[4], head.layer = layer;
  if (head.side > head.height || head.side > head.width)
    return "error the head's map is larger than its input";
  int64_t steps = (head.channels * head.side * head.side + FEATURE_STEP - 1) / FEATURE_STEP;
  int64_t padded = steps * FEATURE_STEP, features = head.channels * head.side * head.side;
  if (!fits(sizes, 3) || !fits((int64_t[]){padded, head.ways + 1}, 2))
    return "error the layer is too large";
  head.row_step = head.height / head.side, head.column_step = head.width / head.side;
  head.row_window = head.height - (head.side - 1) * head.row_step;
  head.column_window = head.width - (head.side - 1) * head.column_step;
  layer->input_count = (size_t)(head.channels * head.height * head.width);
  layer->weight_count = (size_t)(head.ways * (features + 1));
  layer->output_count = (size_t)head.ways;
  layer->run = run_head;
  float *packed = allocate_floats((size_t)(head.ways * padded));
  head.features = allocate_floats((size_t)padded);
  head.row = allocate_floats((size_t)head.width);
  if (!allocate_layer(layer, features, head.ways, seed) || !packed || !head.features || !head.row)
    return "error not enough memory";
  for (int64_t way = 0; way < head.ways; way++)
    memcpy(packed + way * padded, layer->weights + way * features,
           (size_t)features * sizeof(float));
  float *data[] = {head.features, packed, layer->weights + head.ways * features, layer->output};
  int64_t inner[] = {CLASSIFY_VECTORS, LANES};
  int64_t shapes[4][4] = {{steps, inner[0], inner[1]},
                          {head.ways, steps, inner[0], inner[1]},
                          {head.ways},
                          {head.ways}};
  int ranks[] = {3, 4, 1, 1};
  memcpy(head.shapes, shapes, sizeof shapes);
  for (int i = 0; i < 4; i++) {
    head.tensors[i] = tensor_view(data[i], head.shapes[i], ranks[i]);
    head.arguments[i] = (TVMFFIAny){.type_index = TVM_TENSOR, .v_ptr = &head.tensors[i]};
  }
  return NULL;
}
