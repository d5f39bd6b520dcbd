#include "system.h"

#if defined __x86_64__
enum { READ = 0, WRITE = 1, MAP = 9, UNMAP = 11, EXIT = 231, CLOCK = 228 };
static long call(long number, long a, long b, long c, long d, long e, long f) {
  register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "+a"(number)
                   : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return number;
}
#define START "xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call begin\n"
#elif defined __aarch64__
enum { READ = 63, WRITE = 64, MAP = 222, UNMAP = 215, EXIT = 94, CLOCK = 113 };
static long call(long number, long a, long b, long c, long d, long e, long f) {
  register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b,
                x2 __asm__("x2") = c, x3 __asm__("x3") = d, x4 __asm__("x4") = e,
                x5 __asm__("x5") = f;
  __asm__ volatile("svc 0"
                   : "+r"(x0)
                   : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                   : "memory");
  return x0;
}
#define START "mov x29, #0\n mov x0, sp\n bl begin\n"
#elif defined __arm__
enum { READ = 3, WRITE = 4, MAP = 192, UNMAP = 91, EXIT = 248, CLOCK = 263 };
static long call(long number, long a, long b, long c, long d, long e, long f) {
  register long r7 __asm__("r7") = number, r0 __asm__("r0") = a, r1 __asm__("r1") = b,
                r2 __asm__("r2") = c, r3 __asm__("r3") = d, r4 __asm__("r4") = e,
                r5 __asm__("r5") = f;
  __asm__ volatile("svc 0"
                   : "+r"(r0)
                   : "r"(r7), "r"(r1), "r"(r2), "r"(r3), "r"(r4), "r"(r5)
                   : "memory");
  return r0;
}
#define START "mov fp, #0\n mov r0, sp\n bic sp, sp, #7\n bl begin\n"
#else
#error "no system calls for this processor"
#endif

int main(void);

#if __STDC_HOSTED__
#include <sys/auxv.h>

unsigned long system_capabilities(void) { return getauxval(AT_HWCAP); }
#else
__asm__(".text\n.globl _start\n.type _start, %function\n_start:\n" START);

static const unsigned long *auxiliary;

/* The stack holds the number of arguments, those and 0, the environment and 0, then pairs. */
__attribute__((used)) _Noreturn void begin(const unsigned long *stack) {
  auxiliary = stack + 1 + *stack + 1;
  while (*auxiliary++) {}
  system_exit(main());
}

unsigned long system_capabilities(void) {
  enum { CAPABILITIES = 16 };
  const unsigned long *pair = auxiliary;
  while (*pair && *pair != CAPABILITIES) pair += 2;
  return *pair ? pair[1] : 0;
}
#endif

long system_read(int file, void *bytes, size_t size) {
  enum { INTERRUPTED = -4 };
  long done;
  do done = call(READ, file, (long)bytes, (long)size, 0, 0, 0);
  while (done == INTERRUPTED);
  return done;
}

void system_write(int file, const void *bytes, size_t size) {
  enum { INTERRUPTED = -4 };
  const char *next = bytes;
  while (size) {
    long done = call(WRITE, file, (long)next, (long)size, 0, 0, 0);
    if (done == INTERRUPTED) continue;
    if (done <= 0) system_exit(1);
    next += done, size -= (size_t)done;
  }
}

void *system_map(size_t size) {
  enum { READABLE = 1, WRITABLE = 2, PRIVATE = 2, ANONYMOUS = 32, LARGEST_ERROR = 4095 };
  long memory = call(MAP, 0, (long)size, READABLE | WRITABLE, PRIVATE | ANONYMOUS, -1, 0);
  return (unsigned long)memory > -(unsigned long)LARGEST_ERROR - 1 ? NULL : (void *)memory;
}

void system_unmap(void *memory, size_t size) { call(UNMAP, (long)memory, (long)size, 0, 0, 0, 0); }

int64_t system_now_ns(void) {
  enum { MONOTONIC_RAW = 4 };
  struct {
    long seconds, nanoseconds;
  } time;
  call(CLOCK, MONOTONIC_RAW, (long)&time, 0, 0, 0, 0);
  return (int64_t)time.seconds * 1000000000 + time.nanoseconds;
}

_Noreturn void system_exit(int status) {
  for (;;) call(EXIT, status, 0, 0, 0, 0, 0);
}
