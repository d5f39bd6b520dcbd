#include "tiling.h"

enum { NO_KERNEL = -1 };

/* Shares the channel blocks out among kernels of one width, the largest tiles first. Returns what
 * one tile of all the blocks costs. */
static int64_t share_blocks(struct tiles *tiles, int64_t kernel, int64_t stride, int64_t blocks) {
  int64_t first = 0, cost = 0;
  tiles->count = 0;
  while (first < blocks && tiles->count < MOST_SEGMENTS) {
    const struct convolve_kernel *best = NULL;
    for (int i = 0; i < convolve_kernel_count; i++) {
      const struct convolve_kernel *other = &convolve_kernels[i];
      if (other->kernel == kernel && other->stride == stride && other->pixels == tiles->pixels &&
          other->blocks <= blocks - first && (!best || other->blocks > best->blocks))
        best = other;
    }
    if (!best) return NO_KERNEL;
    int64_t groups = (blocks - first) / best->blocks;
    tiles->segments[tiles->count++] = (struct segment){best, first, groups};
    first += groups * best->blocks;
    cost += groups * best->cost;
  }
  return first < blocks ? NO_KERNEL : cost;
}

/* The cheapest tile that holds `columns`. */
static int64_t choose_rest(struct tiles *rest, int64_t kernel, int64_t stride, int64_t blocks,
                           int64_t columns) {
  int64_t least = NO_KERNEL;
  for (int i = 0; i < convolve_kernel_count; i++) {
    struct tiles tiles = {.pixels = convolve_kernels[i].pixels};
    if (tiles.pixels < columns) continue;
    int64_t cost = share_blocks(&tiles, kernel, stride, blocks);
    if (cost == NO_KERNEL || (least != NO_KERNEL && cost >= least)) continue;
    least = cost;
    *rest = tiles;
  }
  return least;
}

bool choose_tiling(struct tiling *tiling, int64_t kernel, int64_t stride, int64_t blocks,
                   int64_t columns) {
  int64_t least = NO_KERNEL;
  for (int i = 0; i < convolve_kernel_count; i++) {
    struct tiling other = {.main.pixels = convolve_kernels[i].pixels};
    int64_t whole = columns / other.main.pixels, left = columns % other.main.pixels;
    int64_t cost = share_blocks(&other.main, kernel, stride, blocks);
    if (cost == NO_KERNEL) continue;
    int64_t rest = left ? choose_rest(&other.rest, kernel, stride, blocks, left) : 0;
    if (rest == NO_KERNEL || rest >= cost) rest = left ? cost : 0, other.rest.pixels = 0;
    int64_t total = whole * cost + rest;
    if (least != NO_KERNEL &&
        (total > least || (total == least && other.main.pixels <= tiling->main.pixels)))
      continue;
    least = total;
    *tiling = other;
  }
  return least != NO_KERNEL;
}

int64_t count_rest(const struct tiling *tiling, int64_t columns) {
  int64_t left = columns % tiling->main.pixels;
  return left > 0 && left <= tiling->rest.pixels;
}

int64_t count_main(const struct tiling *tiling, int64_t columns) {
  int64_t left = columns % tiling->main.pixels;
  return columns / tiling->main.pixels + (left > tiling->rest.pixels);
}

int64_t tiled_columns(const struct tiling *tiling, int64_t columns) {
  return count_main(tiling, columns) * tiling->main.pixels +
         count_rest(tiling, columns) * tiling->rest.pixels;
}
