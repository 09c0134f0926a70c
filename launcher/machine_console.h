/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A managed machine's console: what the guest writes goes to DIR/console.log, and to everybody who
 * is connected to DIR/console.sock; what they send goes to the guest. A client that doesn't read
 * loses what it had no room for; the guest never waits for one.
 */
#ifndef LAUNCHER_MACHINE_CONSOLE_H
#define LAUNCHER_MACHINE_CONSOLE_H

#include <stddef.h>

#include "base/loop.h"
#include "launcher/problem.h"

#define MACHINE_CONSOLE_CLIENTS_MAX 8
#define MACHINE_CONSOLE_LOG_MAX     (4u << 20) /* bytes; the log before is console.log.1 */

struct machine_console;

typedef void machine_console_fn(void *arg, const char *data, size_t size);

/* `fd` is our end of a pair of stream sockets, the other end of which is the supervisor's console's
 * input and output; taken, also on failure. `fn` sees all that the guest writes. Returns 0, or
 * -errno with the problem set. */
int machine_console_new(struct loop *loop, int fd, const char *dir, machine_console_fn *fn,
			void *arg, struct machine_console **ret_console, struct problem *problem);
/* Writes out what is left, and removes the socket. NULL is fine. */
void machine_console_free(struct machine_console *console);

#endif
