/* SPDX-License-Identifier: Apache-2.0 */
/* A connection to a guest's port for somebody who has a socket already: forwarder_dial(). */
#include <errno.h>
#include <stdlib.h>

#include "base/sock.h"
#include "forwarder/forwarder_private.h"

/* What a flow of a published port counts up; here nobody looks. */
struct dial {
	struct flow_tcp_traffic traffic;
};

static void on_opened(void *arg, bool accepted)
{
	(void)arg;
	(void)accepted;
}

static void on_closed(void *arg)
{
	free(arg);
}

int forwarder_dial(struct forwarder *forwarder, int fd, const struct endpoint *guest,
		   const void *early, size_t early_size)
{
	struct stack *stack = forwarder_stack(forwarder);
	const struct stack_conf *conf = stack_conf(stack);
	struct dial *dial = calloc(1, sizeof(*dial));
	const struct endpoint from = {.addr = guest->addr.family == AF_INET6 ? conf->gateway6
									     : conf->gateway};
	struct flow_tcp_inbound inbound = {
		.fd = fd,
		.from = &from,
		.guest = guest,
		.preamble = early,
		.preamble_size = early_size,
		.opened = on_opened,
		.closed = on_closed,
		.arg = dial,
	};
	int r = -ENOMEM;

	if (dial) {
		inbound.traffic = &dial->traffic;
		r = flow_tcp_in(forwarder_tcp(forwarder), stack, &inbound);
	}
	if (r < 0) {
		free(dial);
		fd_close(&fd);
	}
	return r;
}
