/* A whole network: reads an image, runs the calls of the generated source, gives the logits.
 *
 *   input     then C*H*W little-endian float32
 *             ok
 */
#include "harness.h"
#include "network.h"

static bool handle(const char *line) {
  if (!same_text(line, "input")) return false;
  read_floats(network_input, network_input_count);
  output = network_output;
  output_count = network_output_count;
  ready = true;
  answer("ok");
  return true;
}

static int run(void) {
  TVMFFIAny result = {0};
  for (size_t i = 0; i < network_call_count; i++) {
    const struct kernel_call *call = &network_calls[i];
    if (call->kernel(NULL, call->arguments, call->count, &result)) return -1;
  }
  return 0;
}

int main(void) {
  const struct program program = {network_title, handle, run};
  return serve(&program);
}
