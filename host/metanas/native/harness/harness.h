/* The program's side of harness protocol 1: text lines on stdin and stdout, answers flushed.
 *
 *   (start)   metanas-native 1 KIND TARGET...
 *   run N     ns X         N calls between two readings of the clock, X for all of them
 *   output    bytes B      then B bytes of little-endian float32
 *   quit      the program ends, as it does at the end of stdin
 *
 * A program adds commands of its own. Anything unknown is answered `error unknown command`. */
#ifndef METANAS_HARNESS_H
#define METANAS_HARNESS_H
#include <stdbool.h>
#include <stddef.h>

struct program {
  /* What the first line says behind `metanas-native 1 `, such as "layers armv6". */
  const char *title;
  /* Handles one line of the program's own and answers it; false if the line is none of its own. */
  bool (*handle)(const char *line);
  /* One timed call; 0 when all is well. Not called before `ready` is set. */
  int (*run)(void);
};

/* What `run` and `output` use: set by the program's own commands. */
extern bool ready;
extern const float *output;
extern size_t output_count;

/* Answers commands until `quit` or the end of stdin; returns the status to exit with. */
int serve(const struct program *program);

bool same_text(const char *a, const char *b);

/* The text behind `word` and one space; NULL if the line begins differently. */
const char *after_word(const char *line, const char *word);

/* Reads a whole number of at most `most`, digits only, and moves on to behind it and one space.
 * -1 if there is none. */
long next_number(const char **text, long most);

void answer(const char *line);
void answer_floats(const float *values, size_t count);

/* Reads exactly `count` floats from stdin; ends the program when stdin ends before. */
void read_floats(float *values, size_t count);

/* Zeroed floats at a 64-byte boundary with 64 bytes to spare behind them; NULL if there is no
 * memory for them. */
float *allocate_floats(size_t count);

/* Gives back all that `allocate_floats` gave. */
void release_floats(void);

#endif
