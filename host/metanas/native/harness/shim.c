#include "shim.h"

#include "system.h"

enum { MOST_ARGUMENTS = 16, MOST_WORKSPACES = 32 };

DLTensor tensor_view(float *data, int64_t *shape, int32_t ndim) {
  DLTensor tensor = {.data = data,
                     .device = {DL_CPU, 0},
                     .ndim = ndim,
                     .dtype = {DL_FLOAT, 32, 1},
                     .shape = shape};
  return tensor;
}

int call_kernel(tvm_kernel kernel, DLTensor *const *tensors, int32_t count) {
  TVMFFIAny arguments[MOST_ARGUMENTS], result = {0};
  if (count > MOST_ARGUMENTS) return -1;
  for (int32_t i = 0; i < count; i++)
    arguments[i] = (TVMFFIAny){.type_index = TVM_TENSOR, .v_ptr = tensors[i]};
  return kernel(NULL, arguments, count, &result);
}

static void complain(const char *text) {
  size_t length = 0;
  while (text[length]) length++;
  system_write(2, text, length);
}

/* Kernels report here when a tensor is not of the shape that they were made for. */
void TVMFFIErrorSetRaisedFromCStrParts(const char *kind, const char **parts, int32_t count) {
  complain(kind);
  complain(": ");
  for (int32_t i = 0; i < count; i++)
    if (parts[i]) complain(parts[i]);
  complain("\n");
}

void TVMFFIErrorSetRaisedFromCStr(const char *kind, const char *message) {
  TVMFFIErrorSetRaisedFromCStrParts(kind, &message, 1);
}

/* Workspaces are asked for at every call: memory once mapped is kept for the next one. */
static struct {
  void *memory;
  size_t size;
  bool used;
} workspaces[MOST_WORKSPACES];

void *TVMBackendAllocWorkspace(int device_type, int device_id, uint64_t size, int code, int bits) {
  (void)device_type, (void)device_id, (void)code, (void)bits;
  for (int i = 0; i < MOST_WORKSPACES; i++) {
    if (!workspaces[i].memory) {
      workspaces[i].memory = system_map(size);
      workspaces[i].size = size;
    }
    if (workspaces[i].memory && !workspaces[i].used && workspaces[i].size >= size) {
      workspaces[i].used = true;
      return workspaces[i].memory;
    }
  }
  return NULL;
}

int TVMBackendFreeWorkspace(int device_type, int device_id, void *memory) {
  (void)device_type, (void)device_id;
  for (int i = 0; i < MOST_WORKSPACES; i++)
    if (workspaces[i].memory == memory) workspaces[i].used = false;
  return 0;
}

/* Generated C calls the functions; generated objects call through these pointers. */
void *__TVMFFIErrorSetRaisedFromCStr = (void *)TVMFFIErrorSetRaisedFromCStr;
void *__TVMFFIErrorSetRaisedFromCStrParts = (void *)TVMFFIErrorSetRaisedFromCStrParts;
void *__TVMBackendAllocWorkspace = (void *)TVMBackendAllocWorkspace;
void *__TVMBackendFreeWorkspace = (void *)TVMBackendFreeWorkspace;
