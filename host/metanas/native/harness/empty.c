/* The layer that does nothing: what a call costs by itself. */
#include "harness.h"
#include "layers.h"
#include "system.h"

static struct layer *empty;

static int run_empty(void) {
  memcpy(empty->output, empty->input, empty->input_count * sizeof(float));
  return 0;
}

const char *prepare_empty(const char *text, struct layer *layer) {
  int64_t sizes[3];
  if (!read_sizes(&text, sizes, 3) || *text) return "error layer empty takes C H W";
  if (!fits(sizes, 3)) return "error the layer is too large";
  layer->input_count = layer->output_count = (size_t)(sizes[0] * sizes[1] * sizes[2]);
  layer->run = run_empty;
  empty = layer;
  return allocate_layer(layer, 1, 0, 0) ? NULL : "error not enough memory";
}
