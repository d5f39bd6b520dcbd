/* What is written in assembler for VFP short vectors, and plainly for processors without. */
#ifndef METANAS_VECTORS_H
#define METANAS_VECTORS_H
#include <stdbool.h>
#include <stdint.h>

/* Sums rows of tiles over some channels: sums [row][tile][pixel][4], weights
 * [channel][row][column][4]. Each pixel starts from the four values at `start`; where that is
 * `sums`, from what is there; where it is NULL, from 0.
 *
 *   plane, row                of the image: bytes from channel to channel and from row to row
 *   sums_rest, image_rest     bytes from behind the tiles of a row to those of the next one */
#define SUM_TILES_PARAMETERS                                                                   \
  float *sums, const float *image, const float *weights, const float *start, int32_t channels, \
      int32_t plane, int32_t row, int32_t tiles, int32_t rows, int32_t sums_rest,              \
      int32_t image_rest
#define SUM_TILES_ARGUMENTS \
  sums, image, weights, start, channels, plane, row, tiles, rows, sums_rest, image_rest

bool has_short_vectors(void);

extern const float four_zeros[];

void sum_tiles_plainly(SUM_TILES_PARAMETERS, int kernel, int stride, int pixels);

#define DEFINE_TILE(name, kernel, stride, pixels)                       \
  void fast_##name(SUM_TILES_PARAMETERS);                               \
  int32_t sum_tiles_##name(SUM_TILES_PARAMETERS) {                      \
    if (!start) start = four_zeros;                                     \
    if (has_short_vectors())                                            \
      fast_##name(SUM_TILES_ARGUMENTS);                                 \
    else                                                                \
      sum_tiles_plainly(SUM_TILES_ARGUMENTS, kernel, stride, pixels);   \
    return 0;                                                           \
  }

/* Copies rows into wider ones, many registers at a time, which compilers leave to a C library. */
void copy_rows(float *target, long pitch, const float *source, long width, long rows);

/* Activates sums of four channels: [pixel][4] goes to four planes, `plane` bytes from one to the
 * next. `table` is that of a curve. */
typedef void finish_routine(const float *sums, float *output, int32_t plane, int32_t pixels,
                            const float *table);

struct curve {
  const char *activation;
  finish_routine *run;
  const float *table;
};

extern const struct curve curves[];
extern const int curve_count;

#endif
