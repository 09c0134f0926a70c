/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network namespace as the guest (--netns): its tap, made by --link before, gets MAC, MTU,
 * addresses and default routes from us, so that nothing has to run inside. And who decides when we
 * end: the namespace, or whoever holds the other end of --exit-fd.
 */
#ifndef NETPROXY_NETNS_SETUP_H
#define NETPROXY_NETNS_SETUP_H

#include "base/loop.h"
#include "netproxy/options.h"

struct netns_session;

/*
 * Sets up the namespace, writes the file of --resolv-out, and from then on stops the loop with
 * status 0 when the process that --netns names has ended, its path has been removed, or something
 * happens on --exit-fd. Does nothing of what the options don't ask for. Returns 0 with an owned
 * session, or -errno with a message.
 */
int netns_session_new(struct loop *loop, const struct options *options,
		      char error[static OPTIONS_ERROR_MAX], struct netns_session **ret_session);
void netns_session_free(struct netns_session *session);

/* Everything works: writes "1" to --ready-fd, and closes it. */
void netns_session_ready(struct netns_session *session);

#endif
