/* SPDX-License-Identifier: Apache-2.0 */
/* What netproxy gives up once everything is open, so that a guest that took it over would have
 * little. */
#ifndef NETPROXY_SANDBOX_H
#define NETPROXY_SANDBOX_H

#include "netproxy/options.h"

/*
 * Never to gain privileges again (no_new_privs) where a network namespace is the guest. With
 * --sandbox: a mount namespace that has nothing but /etc and /run, in the user namespace of the
 * guest where ours may not make one, and no capability but CAP_NET_BIND_SERVICE. With --seccomp: a
 * filter that kills the process at system calls that it has no use for. To be called once, with one
 * thread. Returns 0, or -errno with a message.
 */
int sandbox_enter(const struct options *options, char error[static OPTIONS_ERROR_MAX]);

#endif
