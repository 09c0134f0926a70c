/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS on the gateway: the options become the server's configuration, and datagrams and connections
 * to port 53 its messages. What only other services know comes from services.c: the guests' names.
 */
#ifndef NETPROXY_DNS_SERVICE_H
#define NETPROXY_DNS_SERVICE_H

#include "base/loop.h"
#include "dns/dns_server.h"
#include "forwarder/forwarder.h"
#include "netproxy/options.h"
#include "netproxy/state_file.h"

/* The domains that guests are told to search: their own, and those of --dns-search or else the
 * host's, so that a short name means to a guest what it means to its host. */
#define DNS_SERVICE_SEARCH_MAX (1 + DNS_SEARCH_MAX)

struct dns_service_search {
	size_t count;
	struct dns_name names[DNS_SERVICE_SEARCH_MAX];
};

struct dns_service;

/* Returns 0 with an owned service on `forwarder` and `state`, which must outlive it, or -errno with
 * a message. */
int dns_service_new(struct loop *loop, const struct options *options, struct forwarder *forwarder,
		    struct state_file *state, const struct dns_guest_lookup *guests,
		    char error[static OPTIONS_ERROR_MAX], struct dns_service **ret_service);
void dns_service_free(struct dns_service *service);

struct dns_server *dns_service_server(struct dns_service *service);
/* The API has changed a zone: it is kept over a restart. */
void dns_service_zones_changed(struct dns_service *service);
/* As the host's files are now. */
void dns_service_fill_search(struct dns_service *service, const struct options *options,
			     struct dns_service_search *ret);

#endif
