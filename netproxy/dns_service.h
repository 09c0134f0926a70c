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
#define DNS_SERVICE_SEARCH_SIZE_MAX 512

/* In DNS wire form behind each other, as much as all who tell it take. What doesn't fit is left
 * out.
 */
struct dns_service_search {
	size_t size;
	uint8_t wire[DNS_SERVICE_SEARCH_SIZE_MAX];
};

struct dns_service;

/* Returns 0 with an owned service on `forwarder` and `state`, which must outlive it as `options`
 * must, or -errno with a message. */
int dns_service_new(struct loop *loop, const struct options *options, struct forwarder *forwarder,
		    struct state_file *state, const struct dns_guest_lookup *guests,
		    char error[static OPTIONS_ERROR_MAX], struct dns_service **ret_service);
void dns_service_free(struct dns_service *service);

struct dns_server *dns_service_server(struct dns_service *service);
/* The API has changed a zone: it is kept over a restart. */
void dns_service_zones_changed(struct dns_service *service);
/* What guests are told to search, as the host's files were when they were last looked at. */
const struct dns_service_search *dns_service_search(const struct dns_service *service);
/* Has `fn` called when that has changed. */
void dns_service_on_search(struct dns_service *service, void (*fn)(void *arg), void *arg);
/* Looks at the host's files, as every query does. */
void dns_service_look(struct dns_service *service);

#endif
