/* What kernels that TVM 0.27 generates ask of their surroundings, without TVM on the board.
 * Layouts as in DLPack and in TVM's C interface. */
#ifndef METANAS_SHIM_H
#define METANAS_SHIM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  uint8_t code, bits;
  uint16_t lanes;
} DLDataType;

typedef struct {
  int32_t device_type, device_id;
} DLDevice;

typedef struct {
  void *data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t *shape, *strides;
  uint64_t byte_offset;
} DLTensor;

typedef struct {
  int32_t type_index;
  uint32_t zero_padding;
  union {
    int64_t v_int64;
    double v_float64;
    void *v_ptr;
  };
} TVMFFIAny;

enum { DL_CPU = 1, DL_FLOAT = 2, TVM_INTEGER = 1, TVM_TENSOR = 7 };

typedef int32_t (*tvm_kernel)(void *self, void *arguments, int32_t count, void *result);

/* What generated C is written with. */
#define TVM_DLL
void TVMFFIErrorSetRaisedFromCStrParts(const char *kind, const char **parts, int32_t count);
void TVMFFIErrorSetRaisedFromCStr(const char *kind, const char *message);
void *TVMBackendAllocWorkspace(int device_type, int device_id, uint64_t size, int code, int bits);
int TVMBackendFreeWorkspace(int device_type, int device_id, void *memory);

/* A compact float32 tensor that views `data`; `shape` must outlive it. */
DLTensor tensor_view(float *data, int64_t *shape, int32_t ndim);

/* Calls a kernel with `count` (at most 16) tensors; 0 when all is well. */
int call_kernel(tvm_kernel kernel, DLTensor *const *tensors, int32_t count);

#endif
