/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slirp4netns' API socket: publishes ports for Podman and RootlessKit.
 *
 * A connection brings one request, a JSON object that ends where the client shuts down its side or
 * where the object is complete, and takes away one answer:
 *
 *	{"execute":"add_hostfwd","arguments":{"proto":"tcp","host_addr":"0.0.0.0","host_port":8080,
 *	 "guest_addr":"10.0.2.100","guest_port":80}}	-> {"return":{"id":1}}
 *	{"execute":"list_hostfwd"}			-> {"entries":[...]}
 *	{"execute":"remove_hostfwd","arguments":{"id":1}} -> {"return":{}}
 *	anything else					-> {"error":{"desc":"bad request: ..."}}
 *
 * Who may write to the socket may publish: it belongs to the user, with mode 0600.
 */
#ifndef NETPROXY_SLIRP4NETNS_API_H
#define NETPROXY_SLIRP4NETNS_API_H

#include "base/loop.h"
#include "forwarder/publish.h"
#include "netproxy/options.h"

#define SLIRP4NETNS_API_CLIENTS_MAX    64
#define SLIRP4NETNS_API_REQUEST_MAX    4095 /* bytes, as slirp4netns(1) says */
#define SLIRP4NETNS_API_REQUEST_MS_MAX 10000

struct slirp4netns_api;

/* Listens where the options say; without that there is nothing to do, and *ret_api is NULL.
 * `publish` must outlive it. Returns 0, or -errno with a message. */
int slirp4netns_api_new(struct loop *loop, const struct options *options, struct publish *publish,
			char error[static OPTIONS_ERROR_MAX], struct slirp4netns_api **ret_api);
/* Stops listening; forwards stay as long as `publish`. */
void slirp4netns_api_free(struct slirp4netns_api *api);

#endif
