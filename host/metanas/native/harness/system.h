/* The little of an operating system that a program needs, by Linux system calls: no C library is
 * linked, so there is nothing in a program that was not compiled for exactly its processor. */
#ifndef METANAS_SYSTEM_H
#define METANAS_SYSTEM_H
#include <stddef.h>
#include <stdint.h>

/* Bytes read, 0 at the end, negative when it fails. */
long system_read(int file, void *bytes, size_t size);

/* Writes all bytes; ends the program when nobody reads them any more. */
void system_write(int file, const void *bytes, size_t size);

/* Zeroed memory at a page boundary; NULL if there is none. */
void *system_map(size_t size);
void system_unmap(void *memory, size_t size);

/* Reading of a clock that nothing sets or slews. */
int64_t system_now_ns(void);

/* What the processor has, as bits that the kernel's `hwcap.h` names; 0 where it does not say. */
unsigned long system_capabilities(void);

_Noreturn void system_exit(int status);

/* By the compiler's own library. */
void *memcpy(void *target, const void *source, size_t size);
void *memset(void *target, int value, size_t size);

#endif
