#include "harness.h"

#include "system.h"

enum { LONGEST_LINE = 256, INPUT_SIZE = 4096, MOST_CALLS = 1000000000, SPARE = 64, HEADER = 64 };

bool ready;
const float *output;
size_t output_count;

static char input[INPUT_SIZE];
static size_t input_at, input_end;

bool same_text(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}

const char *after_word(const char *line, const char *word) {
  while (*word && *line == *word) line++, word++;
  return *word || *line != ' ' ? NULL : line + 1;
}

long next_number(const char **text, long most) {
  const char *digit = *text;
  long number = 0;
  for (; *digit >= '0' && *digit <= '9'; digit++) {
    int value = *digit - '0';
    if (number > (most - value) / 10) return -1;
    number = number * 10 + value;
  }
  if (digit == *text || (*digit && *digit != ' ')) return -1;
  *text = *digit ? digit + 1 : digit;
  return number;
}

static void write_text(const char *text) {
  size_t length = 0;
  while (text[length]) length++;
  system_write(1, text, length);
}

void answer(const char *line) {
  write_text(line);
  write_text("\n");
}

/* `word NUMBER`, in one piece. */
static void answer_number(const char *word, int64_t number) {
  char line[64], digits[20];
  int length = 0, count = 0;
  while (*word) line[length++] = *word++;
  do digits[count++] = (char)('0' + number % 10);
  while (number /= 10);
  while (count) line[length++] = digits[--count];
  line[length++] = '\n';
  system_write(1, line, (size_t)length);
}

void answer_floats(const float *values, size_t count) {
  answer_number("bytes ", (int64_t)(count * sizeof *values));
  system_write(1, values, count * sizeof *values);
}

/* The next byte of stdin; -1 at its end. */
static int next_byte(void) {
  if (input_at == input_end) {
    long got = system_read(0, input, sizeof input);
    if (got <= 0) return -1;
    input_at = 0, input_end = (size_t)got;
  }
  return (unsigned char)input[input_at++];
}

void read_floats(float *values, size_t count) {
  char *next = (char *)values;
  for (size_t left = count * sizeof *values; left;) {
    if (input_at == input_end) {
      long got = system_read(0, next, left);
      if (got <= 0) system_exit(0);
      next += got, left -= (size_t)got;
    } else {
      size_t held = input_end - input_at, size = held < left ? held : left;
      memcpy(next, input + input_at, size);
      input_at += size, next += size, left -= size;
    }
  }
}

/* A line without its end; false at the end of stdin. A line that is too long comes back empty,
 * which no program knows. */
static bool read_line(char *line) {
  size_t length = 0;
  for (int byte; (byte = next_byte()) != '\n'; length++) {
    if (byte < 0) return false;
    if (length < LONGEST_LINE - 1) line[length] = (char)byte;
  }
  line[length < LONGEST_LINE ? length : 0] = 0;
  return true;
}

static struct block {
  struct block *next;
  size_t size;
} *blocks;

float *allocate_floats(size_t count) {
  if (count > (SIZE_MAX - HEADER - SPARE) / sizeof(float)) return NULL;
  size_t size = HEADER + count * sizeof(float) + SPARE;
  struct block *block = system_map(size);
  if (!block) return NULL;
  *block = (struct block){blocks, size};
  blocks = block;
  return (float *)((char *)block + HEADER);
}

void release_floats(void) {
  while (blocks) {
    struct block *block = blocks;
    blocks = block->next;
    system_unmap(block, block->size);
  }
}

static void run(const struct program *program, const char *text) {
  long count = next_number(&text, MOST_CALLS);
  if (count < 1 || *text) {
    answer("error run takes a number of calls");
    return;
  }
  int64_t start = system_now_ns();
  for (long i = 0; i < count; i++)
    if (program->run()) {
      answer("error the kernels failed");
      return;
    }
  answer_number("ns ", system_now_ns() - start);
}

int serve(const struct program *program) {
  char line[LONGEST_LINE];
  write_text("metanas-native 1 ");
  answer(program->title);
  while (read_line(line)) {
    const char *count = after_word(line, "run");
    if (same_text(line, "quit")) return 0;
    if (program->handle(line)) continue;
    if (!count && !same_text(line, "output"))
      answer("error unknown command");
    else if (!ready)
      answer("error nothing to run yet");
    else if (count)
      run(program, count);
    else
      answer_floats(output, output_count);
  }
  return 0;
}
