/* The kernels that a layer program holds: the generated source `table.c` lists them, and the
 * generated header `target.h` gives the sizes that they were made for:
 *
 *   LANES              values of a vector register
 *   CHANNEL_BLOCK      output channels that lie side by side
 *   CLASSIFY_VECTORS   vectors of features that `classify` reads at once
 *   STRIP_FLOATS       sums to hold between `convolve` and `finish`
 *   SHORT_VECTORS      whether there are routines for VFP short vectors, see `vectors.h` */
#ifndef METANAS_LAYERS_H
#define METANAS_LAYERS_H
#include "shim.h"
#include "target.h"

struct convolve_kernel {
  int kernel, stride;
  int blocks, pixels; /* of a register tile */
  int cost;           /* of one tile's step, comparable within a program */
  tvm_kernel run;
};

struct finish_kernel {
  const char *activation;
  int pool; /* 0 serves every window */
  tvm_kernel run;
};

struct activate_kernel {
  const char *activation;
  tvm_kernel run;
};

extern const char layers_title[];
extern const struct convolve_kernel convolve_kernels[];
extern const int convolve_kernel_count;
extern const struct finish_kernel finish_kernels[];
extern const int finish_kernel_count;
extern const struct activate_kernel activate_kernels[];
extern const int activate_kernel_count;
extern const tvm_kernel classify_kernel;

/* The activation by itself; NULL where the program has none of that name. */
const struct activate_kernel *find_activation(const char *name);

/* A layer that is ready to run. */
struct layer {
  int (*run)(void);
  float *input, *weights, *output;
  size_t input_count, weight_count, output_count;
};

/* Each reads the rest of a `layer` line, prepares the layer and returns NULL, or says why not. */
const char *prepare_convolution(const char *text, struct layer *layer);
const char *prepare_add(const char *text, struct layer *layer);
const char *prepare_head(const char *text, struct layer *layer);
const char *prepare_empty(const char *text, struct layer *layer);

/* Sizes of a layer are within this, so that products of two of them fit an int64. */
enum { LARGEST_SIZE = 1 << 20, LONGEST_NAME = 16 };

/* Whether `count` sizes can be read from the text, each from 1 to LARGEST_SIZE. */
bool read_sizes(const char **text, int64_t *sizes, int count);

/* Whether the next word of the text, of at most `size` - 1 letters, can be read into `word`. */
bool read_word(const char **text, char *word, int size);

/* Whether the rest of the text is a seed and nothing else. */
bool read_seed(const char *text, long *seed);

/* Whether the product of the sizes is one that a kernel's 32-bit indices reach. */
bool fits(const int64_t *sizes, int count);

/* Fills with values in [-bound, bound) that depend on the seed and `stream` alone. */
void fill_random(float *values, size_t count, float bound, long seed, int stream);

/* Allocates the layer's input, weights and output, and fills the first two; false if there is no
 * memory for them. The last `biases` weights are small, as biases are. */
bool allocate_layer(struct layer *layer, int64_t fan_in, int64_t biases, long seed);

#endif
