/* What a network's generated source gives: its kernels' calls, in order, and where its input and
 * output lie. Every tensor has its place before the program starts. */
#ifndef METANAS_NETWORK_H
#define METANAS_NETWORK_H
#include "shim.h"

struct kernel_call {
  tvm_kernel kernel;
  TVMFFIAny *arguments;
  int32_t count;
};

extern const char network_title[];
extern const struct kernel_call network_calls[];
extern const size_t network_call_count;
extern float *const network_input, *const network_output;
extern const size_t network_input_count, network_output_count;

#endif
