#include "unblock.h"

#include "target.h"

#if CHANNEL_BLOCK == 4
#define LOW 0, 4, 1, 5
#define HIGH 2, 6, 3, 7
#elif CHANNEL_BLOCK == 8
#define LOW 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH 4, 12, 5, 13, 6, 14, 7, 15
#elif CHANNEL_BLOCK == 16
#define LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#else
#error "no channel block of this size"
#endif

enum { SIDE = CHANNEL_BLOCK, HALF = SIDE / 2 };

typedef float block __attribute__((vector_size(SIDE * sizeof(float)), aligned(sizeof(float))));

/* Shuffles the rows together with those of the other half, like two halves of a pack of cards,
 * value by value. As often as the side can be halved, this transposes a square. */
static void shuffle(block *restrict target, const block *restrict source) {
  for (int i = 0; i < HALF; i++) {
    target[2 * i] = __builtin_shufflevector(source[i], source[i + HALF], LOW);
    target[2 * i + 1] = __builtin_shufflevector(source[i], source[i + HALF], HIGH);
  }
}

static void unblock_square(float *target, long plane, const float *source, long channels) {
  block rows[SIDE], other[SIDE];
  for (int i = 0; i < SIDE; i++) rows[i] = *(const block *)(source + i * SIDE);
  shuffle(other, rows);
  shuffle(rows, other);
#if CHANNEL_BLOCK == 8
  shuffle(other, rows);
  for (int i = 0; i < SIDE; i++) rows[i] = other[i];
#elif CHANNEL_BLOCK == 16
  shuffle(other, rows);
  shuffle(rows, other);
#endif
  for (int i = 0; i < SIDE; i++)
    if (i < channels) *(block *)(target + i * plane) = rows[i];
}

void unblock(float *target, long plane, const float *source, long pixels, long channels) {
  long done = 0;
  for (; done + SIDE <= pixels; done += SIDE)
    unblock_square(target + done, plane, source + done * SIDE, channels);
  for (long c = 0; c < channels; c++)
    for (long i = done; i < pixels; i++) target[c * plane + i] = source[i * SIDE + c];
}
