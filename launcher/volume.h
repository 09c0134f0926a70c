/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume's daemon: virtiofsd, one for each, which serves a directory of the host's over
 * vhost-user. It shuts itself into that directory with namespaces; a user who isn't root gets a
 * user namespace for that, in which files are his own and the guest's root is he. A read-only
 * volume is a read-only mount in a mount namespace of the daemon's: no daemon or guest can undo
 * that.
 *
 * It ends with QEMU's connection.
 */
#ifndef LAUNCHER_VOLUME_H
#define LAUNCHER_VOLUME_H

#include "base/loop.h"
#include "launcher/args.h"
#include "launcher/machine.h"
#include "launcher/problem.h"

/* Where QEMU finds a volume's daemon, within the machine's directory. */
#define VOLUME_SOCKET "fs%zu.sock"

struct volume;

/* The path of virtiofsd, owned, or NULL. */
char *volume_daemon_find(void);
/* Whether this user can run it. Returns 0, or -errno with the problem set. */
int volume_check_rights(struct problem *problem);
/* The command line, pure. Returns 0 or -ENOMEM with `ret_args` cleared. */
int volume_args_build(const char *program, const struct machine_volume *volume, int socket_fd,
		      struct args *ret_args);

/* It ended before it was freed, `why` in one line with its last words; not `failed`: because QEMU
 * closed its connection. It may be freed from here. */
typedef void volume_ended_fn(void *arg, const struct machine_volume *volume, bool failed,
			     const char *why);

/* Starts the daemon at a new socket `path`. Borrows the description. Returns 0, or -errno with the
 * problem set. */
int volume_start(struct loop *loop, const char *program, const struct machine_volume *volume,
		 const char *path, volume_ended_fn *ended, void *arg, struct volume **ret_volume,
		 struct problem *problem);
/* Kills it if it runs, and removes the socket. NULL is fine. */
void volume_free(struct volume *volume);

#endif
