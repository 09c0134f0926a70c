/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's own netproxy: started with sockets in the machine's directory, ready when it says
 * so on its notify descriptor. Only its command line and its API are used, never its code.
 */
#ifndef LAUNCHER_PROXY_H
#define LAUNCHER_PROXY_H

#include "base/loop.h"
#include "launcher/args.h"
#include "launcher/machine.h"
#include "launcher/problem.h"

#define PROXY_READY_TIMEOUT_MS 10000
#define PROXY_STOP_TIMEOUT_MS  3000

/* Names within the machine's directory. */
#define PROXY_NET_SOCKET   "net.sock"
#define PROXY_VSOCK_SOCKET "vsock.sock"
#define PROXY_API_SOCKET   "api.sock"
#define PROXY_LOG          "netproxy.log"
#define PROXY_PID          "netproxy.pid"
#define PROXY_STATE        "netproxy.state"

struct proxy;

struct proxy_user {
	/* All its sockets listen. */
	void (*ready)(void *arg);
	/* It has ended, or never became ready: `why` in one line, with its own last words. Said
	 * once; it may be freed from here. */
	void (*ended)(void *arg, const char *why);
};

struct proxy_conf {
	const char *program; /* path of netproxy */
	const char *dir;     /* the machine's directory */
	const struct machine *machine;
	bool keep_state; /* what was published and leased outlives it, in PROXY_STATE */
};

/* The command line, pure. Returns 0 or -ENOMEM with `ret_args` cleared. */
int proxy_args_build(const struct proxy_conf *conf, int notify_fd, struct args *ret_args);

/* Starts it. Returns 0, or -errno with the problem set. */
int proxy_start(struct loop *loop, const struct proxy_conf *conf, const struct proxy_user *user,
		void *arg, struct proxy **ret_proxy, struct problem *problem);
/* Asks it to end; `ended` tells when it has. It is killed after PROXY_STOP_TIMEOUT_MS. */
void proxy_stop(struct proxy *proxy);
/* Kills it if it runs. NULL is fine. */
void proxy_free(struct proxy *proxy);

#endif
