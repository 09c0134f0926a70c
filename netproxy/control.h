/* SPDX-License-Identifier: Apache-2.0 */
/* The control API, put on the sockets that the options name, and given what it asks about. */
#ifndef NETPROXY_CONTROL_H
#define NETPROXY_CONTROL_H

#include "base/loop.h"
#include "forwarder/forwarder.h"
#include "forwarder/publish.h"
#include "netproxy/options.h"
#include "netproxy/services.h"

struct control;

/* Serves the API on every --api socket, and to each --vsock guest at its port 6565. Returns 0 or
 * -errno with a message. */
int control_new(struct loop *loop, const struct options *options, struct forwarder *forwarder,
		struct publish *publish, struct services *services,
		char error[static OPTIONS_ERROR_MAX], struct control **ret_control);
void control_free(struct control *control);

#endif
