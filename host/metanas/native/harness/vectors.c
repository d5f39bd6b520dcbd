#include "vectors.h"

#include "system.h"

enum { SIDE = 4 };

const float four_zeros[SIDE];

/* Version 3 of the floating-point unit, and NEON with it, gave them up. */
bool has_short_vectors(void) {
  enum { VFP = 1 << 6, NEON = 1 << 12, VFP3 = 1 << 13 };
  static enum { UNKNOWN, YES, NO } state;
  if (state == UNKNOWN)
    state = (system_capabilities() & (VFP | NEON | VFP3)) == VFP ? YES : NO;
  return state == YES;
}

static void sum_pixel(float *sums, const float *image, const float *weights, int channels, int plane,
                      int row, int kernel) {
  for (int c = 0; c < channels; c++)
    for (int dy = 0; dy < kernel; dy++)
      for (int dx = 0; dx < kernel; dx++, weights += SIDE) {
        float pixel = image[c * plane + dy * row + dx];
        for (int i = 0; i < SIDE; i++) sums[i] += weights[i] * pixel;
      }
}

void sum_tiles_plainly(SUM_TILES_PARAMETERS, int kernel, int stride, int pixels) {
  enum { SIZE = 4 };
  plane /= SIZE, row /= SIZE;
  bool goes_on = start == sums;
  for (int y = 0; y < rows; y++, sums += sums_rest / SIZE, image += image_rest / SIZE)
    for (int x = 0; x < tiles * pixels; x++, sums += SIDE, image += stride) {
      for (int i = 0; i < SIDE && !goes_on; i++) sums[i] = start[i];
      sum_pixel(sums, image, weights, channels, plane, row, kernel);
    }
}

static void copy_row(float *target, const float *source, long count) {
  /* Eight at a time, then four. */
  __asm__ volatile("subs %2, %2, #8\n"
                   "blt 2f\n"
                   "1:\n"
                   "ldmia %1!, {r3, r4, r5, r6, r8, r9, r10, r12}\n"
                   "stmia %0!, {r3, r4, r5, r6, r8, r9, r10, r12}\n"
                   "subs %2, %2, #8\n"
                   "bge 1b\n"
                   "2:\n"
                   "adds %2, %2, #4\n"
                   "ldmiage %1!, {r3, r4, r5, r6}\n"
                   "stmiage %0!, {r3, r4, r5, r6}\n"
                   "addlt %2, %2, #4\n"
                   : "+r"(target), "+r"(source), "+r"(count)
                   :
                   : "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r12", "cc", "memory");
  for (; count > 0; count--) *target++ = *source++;
}

void copy_rows(float *target, long pitch, const float *source, long width, long rows) {
  for (; rows > 0; rows--, source += width, target += pitch) copy_row(target, source, width);
}
