/* How the columns of a row and the channel blocks are shared out among the register tiles that a
 * program has kernels for. */
#ifndef METANAS_TILING_H
#define METANAS_TILING_H
#include "layers.h"

enum { MOST_SEGMENTS = 8 };

/* Channel blocks that one kernel serves: `groups` tiles of its `blocks`, from `first` on. */
struct segment {
  const struct convolve_kernel *kernel;
  int64_t first, groups;
};

/* Tiles of one width, for all channel blocks. */
struct tiles {
  int64_t pixels; /* 0: none */
  struct segment segments[MOST_SEGMENTS];
  int count;
};

/* A row: as many of `main` as fit, then one of `rest` where that is narrow enough to be cheaper. */
struct tiling {
  struct tiles main, rest;
};

/* The cheapest tiling of rows of `columns`; false where there is no kernel of that size. */
bool choose_tiling(struct tiling *tiling, int64_t kernel, int64_t stride, int64_t blocks,
                   int64_t columns);

/* Tiles of `main`, and of `rest`, in a row of `columns`. */
int64_t count_main(const struct tiling *tiling, int64_t columns);
int64_t count_rest(const struct tiling *tiling, int64_t columns);

/* Columns that the tiles of a row of `columns` compute, waste included. */
int64_t tiled_columns(const struct tiling *tiling, int64_t columns);

#endif
