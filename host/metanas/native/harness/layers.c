/* A board's layer program: prepares any layer that its kernels serve, and runs it.
 *
 *   layer conv CI H W CO K S ACTIVATION POOL SEED    ok, or error TEXT
 *   layer add C H W ACTIVATION POOL SEED
 *   layer head C H W N WAYS SEED
 *   layer empty C H W
 *   weights   bytes B, then weights and biases of the layer, or the second map of `add`
 *   input     bytes B, then its input
 */
#include "layers.h"

#include "harness.h"

static struct layer current;

const struct activate_kernel *find_activation(const char *name) {
  for (int i = 0; i < activate_kernel_count; i++)
    if (same_text(activate_kernels[i].activation, name)) return &activate_kernels[i];
  return NULL;
}

bool read_sizes(const char **text, int64_t *sizes, int count) {
  for (int i = 0; i < count; i++) {
    sizes[i] = next_number(text, LARGEST_SIZE);
    if (sizes[i] < 1) return false;
  }
  return true;
}

bool read_word(const char **text, char *word, int size) {
  const char *letter = *text;
  int length = 0;
  while (*letter && *letter != ' ' && length < size - 1) word[length++] = *letter++;
  word[length] = 0;
  if (!length || (*letter && *letter != ' ')) return false;
  *text = *letter ? letter + 1 : letter;
  return true;
}

bool read_seed(const char *text, long *seed) {
  *seed = next_number(&text, INT32_MAX);
  return *seed >= 0 && !*text;
}

bool fits(const int64_t *sizes, int count) {
  int64_t product = 1;
  for (int i = 0; i < count; i++) {
    if (sizes[i] > INT32_MAX / product) return false;
    product *= sizes[i];
  }
  return true;
}

void fill_random(float *values, size_t count, float bound, long seed, int stream) {
  uint32_t state = (uint32_t)seed * 2654435761u + (uint32_t)stream * 40503u + 1;
  for (size_t i = 0; i < count; i++) {
    state ^= state << 13, state ^= state >> 17, state ^= state << 5;
    values[i] = (float)((int32_t)(state >> 8) - (1 << 23)) * (bound / (1 << 23));
  }
}

bool allocate_layer(struct layer *layer, int64_t fan_in, int64_t biases, long seed) {
  layer->input = allocate_floats(layer->input_count);
  layer->weights = allocate_floats(layer->weight_count);
  layer->output = allocate_floats(layer->output_count);
  if (!layer->input || !layer->weights || !layer->output) return false;
  fill_random(layer->input, layer->input_count, 1, seed, 1);
  size_t plain = layer->weight_count - (size_t)biases;
  /* The bound that keeps the magnitude of what flows through a network. */
  fill_random(layer->weights, plain, __builtin_sqrtf(6 / (float)fan_in), seed, 2);
  fill_random(layer->weights + plain, (size_t)biases, 0.1f, seed, 3);
  return true;
}

static void prepare(const char *text) {
  static const struct {
    const char *name;
    const char *(*prepare)(const char *text, struct layer *layer);
  } kinds[] = {{"conv", prepare_convolution},
               {"add", prepare_add},
               {"head", prepare_head},
               {"empty", prepare_empty}};
  const char *problem = "error no such kind of layer";
  ready = false;
  release_floats();
  current = (struct layer){0};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    const char *rest = after_word(text, kinds[i].name);
    if (rest) problem = kinds[i].prepare(rest, &current);
  }
  if (problem) {
    release_floats();
    current = (struct layer){0};
    answer(problem);
    return;
  }
  output = current.output;
  output_count = current.output_count;
  ready = true;
  answer("ok");
}

static bool handle(const char *line) {
  const char *layer = after_word(line, "layer");
  bool weights = same_text(line, "weights"), input = same_text(line, "input");
  if (layer)
    prepare(layer);
  else if (!weights && !input)
    return false;
  else if (!ready)
    answer("error no layer yet");
  else if (weights)
    answer_floats(current.weights, current.weight_count);
  else
    answer_floats(current.input, current.input_count);
  return true;
}

static int run(void) { return current.run(); }

int main(void) {
  const struct program program = {layers_title, handle, run};
  return serve(&program);
}
