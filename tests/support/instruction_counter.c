/* A plugin of QEMU's user emulation that counts executed instructions, and says so on stderr when
 * the program ends: `instructions N`. Only what it uses of QEMU's plugin interface is declared. */
#include <stdint.h>
#include <stdio.h>

#ifndef PLUGIN_VERSION
#define PLUGIN_VERSION 1
#endif

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_info;

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id,
                                           void (*seen)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block,
                                          void (*executed)(unsigned, void *), int flags,
                                          void *count);
void qemu_plugin_register_atexit_cb(plugin_id id, void (*ended)(plugin_id, void *), void *data);

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int qemu_plugin_version = PLUGIN_VERSION;

static uint64_t total;

static void executed(unsigned processor, void *count) {
  (void)processor;
  total += (uintptr_t)count;
}

static void seen(plugin_id id, struct qemu_plugin_tb *block) {
  (void)id;
  enum { NO_REGISTERS = 0 };
  void *count = (void *)(uintptr_t)qemu_plugin_tb_n_insns(block);
  qemu_plugin_register_vcpu_tb_exec_cb(block, executed, NO_REGISTERS, count);
}

static void ended(plugin_id id, void *data) {
  (void)id, (void)data;
  fprintf(stderr, "instructions %llu\n", (unsigned long long)total);
}

EXPORTED int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int count,
                                 char **values) {
  (void)info, (void)count, (void)values;
  qemu_plugin_register_vcpu_tb_trans_cb(id, seen);
  qemu_plugin_register_atexit_cb(id, ended, NULL);
  return 0;
}
