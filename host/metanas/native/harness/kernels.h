/* What C that TVM generates includes, instead of TVM's headers and a C library's. */
#ifndef METANAS_KERNELS_H
#define METANAS_KERNELS_H
#include "shim.h"

#define TVM_DLL
#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")

void TVMFFIErrorSetRaisedFromCStr(const char *kind, const char *message);
void TVMFFIErrorSetRaisedFromCStrParts(const char *kind, const char **parts, int32_t count);
void *TVMBackendAllocWorkspace(int device_type, int device_id, uint64_t size, int code, int bits);
int TVMBackendFreeWorkspace(int device_type, int device_id, void *memory);

#endif
