/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of the CNI plugin: environment and configuration in, output and exit status out. */
#ifndef PLUGIN_CNI_RUN_H
#define PLUGIN_CNI_RUN_H

#include <stddef.h>
#include <stdio.h>

#include "plugin/cni_conf.h"

/* Does what `env` says with the `size` bytes of configuration that came on standard input, writes
 * the result or the error to `out`, and returns the exit status, 0 or 1. */
int cni_run(const struct cni_env *env, const char *text, size_t size, FILE *out);

#endif
