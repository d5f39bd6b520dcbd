/* Harness protocol 1 with naive loops, and programs that break it: the name of the file decides. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { INPUTS = 2 * 3 * 3, OUTPUTS = 4 };

static int is_network, ci, h, w, co, k, stride, pool, ways;
static char op[8], activation[16];
static float *input, *weights, *map, *output;
static size_t input_count, weight_count, bias_count, output_count;

static int up(int a, int b) { return (a + b - 1) / b; }

static float *randoms(size_t count, uint32_t *state) {
    float *values = malloc((count + 1) * sizeof(float));
    for (size_t i = 0; values && i < count; i++) {
        *state = *state * 1664525u + 1013904223u;
        values[i] = (float)(*state >> 8) / (1 << 23) - 1.0f;
    }
    return values;
}

static float activate(float x) {
    if (!strcmp(activation, "relu")) return x > 0 ? x : 0;
    if (!strcmp(activation, "relu6")) return x < 0 ? 0 : x > 6 ? 6 : x;
    if (!strcmp(activation, "leakyrelu")) return x > 0 ? x : 0.01f * x;
    if (!strcmp(activation, "elu")) return x > 0 ? x : expm1f(x);
    if (!strcmp(activation, "selu")) return 1.05070098f * (x > 0 ? x : 1.67326324f * expm1f(x));
    if (!strcmp(activation, "sigmoid")) return 1 / (1 + expf(-x));
    return x;
}

static void max_pool(int channels, int rows, int columns) {
    int out_rows = up(rows, pool), out_columns = up(columns, pool);
    for (int c = 0; c < channels; c++)
        for (int y = 0; y < out_rows; y++)
            for (int x = 0; x < out_columns; x++) {
                float most = -INFINITY;
                for (int i = y * pool; i < (y + 1) * pool && i < rows; i++)
                    for (int j = x * pool; j < (x + 1) * pool && j < columns; j++)
                        most = fmaxf(most, map[(c * rows + i) * columns + j]);
                output[(c * out_rows + y) * out_columns + x] = most;
            }
}

static void conv(void) {
    int rows = up(h, stride), columns = up(w, stride);
    for (int o = 0; o < co; o++)
        for (int y = 0; y < rows; y++)
            for (int x = 0; x < columns; x++) {
                float sum = weights[weight_count + o];
                for (int c = 0; c < ci; c++)
                    for (int i = 0; i < k; i++)
                        for (int j = 0; j < k; j++) {
                            int r = y * stride + i - k / 2, s = x * stride + j - k / 2;
                            if (r >= 0 && r < h && s >= 0 && s < w)
                                sum += input[(c * h + r) * w + s] *
                                       weights[((o * ci + c) * k + i) * k + j];
                        }
                map[(o * rows + y) * columns + x] = activate(sum);
            }
    max_pool(co, rows, columns);
}

static void head(void) {
    int row_step = h / pool, column_step = w / pool;
    int rows = h - (pool - 1) * row_step, columns = w - (pool - 1) * column_step;
    for (int c = 0; c < ci; c++)
        for (int y = 0; y < pool; y++)
            for (int x = 0; x < pool; x++) {
                float sum = 0;
                for (int i = 0; i < rows; i++)
                    for (int j = 0; j < columns; j++)
                        sum += input[(c * h + y * row_step + i) * w + x * column_step + j];
                map[(c * pool + y) * pool + x] = sum / (float)(rows * columns);
            }
    for (int o = 0; o < ways; o++) {
        output[o] = weights[weight_count + o];
        for (int i = 0; i < ci * pool * pool; i++)
            output[o] += map[i] * weights[o * ci * pool * pool + i];
    }
}

static void run(void) {
    if (is_network)
        for (int o = 0; o < OUTPUTS; o++) {
            output[o] = 0;
            for (int i = 0; i < INPUTS; i++) output[o] += input[i] * (float)((o + i) % 5 - 2);
        }
    else if (!strcmp(op, "conv"))
        conv();
    else if (!strcmp(op, "head"))
        head();
    else if (!strcmp(op, "add")) {
        for (int i = 0; i < ci * h * w; i++) map[i] = activate(input[i] + weights[i]);
        max_pool(ci, h, w);
    } else
        memcpy(output, input, output_count * sizeof(float));
}

static const char *prepare(const char *line) {
    unsigned long seed = 0;
    free(input), free(weights), free(map), free(output);
    input = weights = map = output = NULL;
    weight_count = bias_count = 0;
    pool = 1;
    if (sscanf(line, "layer conv %d %d %d %d %d %d %15s %d %lu", &ci, &h, &w, &co, &k, &stride,
               activation, &pool, &seed) == 9) {
        strcpy(op, "conv");
        weight_count = (size_t)co * ci * k * k, bias_count = co;
        output_count = (size_t)co * up(up(h, stride), pool) * up(up(w, stride), pool);
    } else if (sscanf(line, "layer add %d %d %d %15s %d %lu", &ci, &h, &w, activation, &pool,
                      &seed) == 6) {
        strcpy(op, "add");
        weight_count = (size_t)ci * h * w;
        output_count = (size_t)ci * up(h, pool) * up(w, pool);
    } else if (sscanf(line, "layer head %d %d %d %d %d %lu", &ci, &h, &w, &pool, &ways, &seed) ==
               6) {
        strcpy(op, "head");
        weight_count = (size_t)ways * ci * pool * pool, bias_count = output_count = ways;
    } else if (sscanf(line, "layer empty %d %d %d", &ci, &h, &w) == 3) {
        strcpy(op, "empty");
        output_count = (size_t)ci * h * w;
    } else
        return "unknown layer";
    uint32_t state = (uint32_t)seed;
    input_count = (size_t)ci * h * w;
    input = randoms(input_count, &state);
    weights = randoms(weight_count + bias_count, &state);
    map = calloc((size_t)(ci > co ? ci : co) * h * w, sizeof(float));
    output = calloc(output_count, sizeof(float));
    return input && weights && map && output ? NULL : "out of memory";
}

static void say_bytes(const float *values, size_t count) {
    printf("bytes %zu\n", count * sizeof(float));
    fwrite(values, sizeof(float), count, stdout);
}

static void misbehave(const char *name) {
    if (!strcmp(name, "spins")) for (;;) {}
    if (!strcmp(name, "traps")) __builtin_trap();
    if (!strcmp(name, "exits")) exit(3);
    if (!strcmp(name, "rubbish")) puts("Hello, world!");
    if (!strcmp(name, "bytes")) fwrite("\377\376\n", 1, 3, stdout);
    if (!strcmp(name, "flood")) for (;;) putchar('x');
    if (!strcmp(name, "negative")) puts("ns -5");
    if (!strcmp(name, "wordy")) puts("ns 12 and more");
    if (!strcmp(name, "liar")) puts("ns 86400000000000");
    if (!strcmp(name, "chatty")) puts("ns 1");
    if (!strcmp(name, "deaf")) fclose(stdout), sleep(1000);
    if (!strcmp(name, "short")) puts("bytes 8\n1234");
    if (!strcmp(name, "hoards")) {
        char *memory;
        while ((memory = malloc(1 << 20))) memset(memory, 1, 1 << 20);
        puts("error out of memory");
    }
    if (!strcmp(name, "writes")) {
        FILE *file = fopen("leftover", "w");
        if (file) fputs("data", file), fflush(file);
    }
    if (!strcmp(name, "curious"))
        printf("error %s, %s\n", getenv("HOME") ? "HOME" : "no HOME",
               getenv("QEMU_TEST") ? "QEMU_TEST" : "no QEMU_TEST");
}

int main(int argc, char **argv) {
    char line[256];
    const char *name = strrchr(argv[0], '/') + 1;
    (void)argc;
    if (!strcmp(name, "mute")) return 0;
    if (!strcmp(name, "greets-wrong")) puts("hello");
    if (!strcmp(name, "newer")) puts("metanas-native 2 layers test");
    is_network = !strcmp(name, "network");
    if (is_network) {
        input = calloc(INPUTS, sizeof(float)), output = calloc(OUTPUTS, sizeof(float));
        input_count = INPUTS, output_count = OUTPUTS;
        printf("metanas-native 1 network test 2 3 3 %d\n", OUTPUTS);
    } else
        printf("metanas-native 1 layers test\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) && strcmp(line, "quit\n")) {
        long count;
        if (!strcmp(line, "input\n") && is_network) {
            if (fread(input, sizeof(float), INPUTS, stdin) != INPUTS) return 0;
            puts("ok");
        } else if (!strncmp(line, "layer ", 6) && !is_network) {
            const char *error = prepare(line);
            printf(error ? "error %s\n" : "ok\n", error);
        } else if (sscanf(line, "run %ld", &count) == 1 && output) {
            struct timespec begin, end;
            misbehave(name);
            clock_gettime(CLOCK_MONOTONIC, &begin);
            for (long i = 0; i < count; i++) run();
            clock_gettime(CLOCK_MONOTONIC, &end);
            if (!strcmp(name, "counts")) end = begin, end.tv_nsec += count;
            printf("ns %lld\n", (end.tv_sec - begin.tv_sec) * 1000000000LL +
                                    (end.tv_nsec - begin.tv_nsec));
        } else if (!strcmp(line, "output\n") && output)
            say_bytes(output, output_count);
        else if (!strcmp(line, "input\n") && input)
            say_bytes(input, input_count);
        else if (!strcmp(line, "weights\n") && weights)
            say_bytes(weights, weight_count + bias_count);
        else
            puts("error unknown command");
        fflush(stdout);
    }
    return 0;
}
