/* SPDX-License-Identifier: Apache-2.0 */
/* The DNS server's place in the network; see dns_service.h. */
#include "netproxy/dns_service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/sock.h"
#include "base/wire.h"
#include "netproxy/zone_state.h"

#define SERVICE_TTL 64

struct dns_service {
	struct forwarder *forwarder;
	const struct options *options;
	struct dns_server *server;
	struct zone_state *zones;
	struct dns_service_search search;
	void (*on_search)(void *arg); /* NULL: nobody wants to know */
	void *on_search_arg;
};

/* A query over UDP on its way. */
struct question {
	struct dns_service *service;
	struct endpoint client;
	struct endpoint asked; /* the address of ours that it came to, and the reply comes from */
};

static void on_reply(void *arg, const void *reply, size_t size)
{
	struct question *question = arg;

	if (reply)
		stack_send_udp(forwarder_stack(question->service->forwarder), &question->asked,
			       &question->client, NULL, SERVICE_TTL, 0, reply, size);
	free(question);
}

static bool is_broadcast(const struct dns_service *service, const struct addr *addr)
{
	const struct stack_conf *conf = stack_conf(forwarder_stack(service->forwarder));

	return addr->family == AF_INET && !addr_equal(addr, &conf->gateway);
}

static void on_datagram(void *arg, const struct stack_datagram *datagram)
{
	struct dns_service *service = arg;
	struct question *question;

	/* What goes to everybody's address isn't for us: we have addresses of our own. */
	if (addr_is_multicast(&datagram->dst.addr) || is_broadcast(service, &datagram->dst.addr))
		return;
	question = malloc(sizeof(*question));
	if (!question)
		return;
	*question = (struct question){
		.service = service, .client = datagram->src, .asked = datagram->dst};
	if (dns_server_query(service->server, DNS_UDP, &datagram->src, datagram->payload,
			     datagram->size, on_reply, question) < 0)
		free(question);
}

static int on_connection(void *arg, const struct endpoint *guest, int *ret_fd)
{
	struct dns_service *service = arg;
	int fds[2];
	int r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	r = dns_server_serve_stream(service->server, fds[0], guest);
	if (r < 0) {
		fd_close(&fds[1]);
		return r;
	}
	*ret_fd = fds[1];
	return 0;
}

/* ---- Domains to search ---- */

/* The names of a list, without those that came before. */
struct search_names {
	size_t count;
	struct dns_name names[1 + DNS_SEARCH_MAX];
};

static void add_search(struct search_names *search, const struct dns_name *name)
{
	for (size_t i = 0; i < search->count; i++) {
		if (dns_name_equal(&search->names[i], name))
			return;
	}
	if (search->count < sizeof(search->names) / sizeof(search->names[0]))
		search->names[search->count++] = *name;
}

static void collect_search(const struct options *options, const struct dns_resolvconf *host,
			   struct search_names *ret)
{
	struct dns_name own;

	ret->count = 0;
	if (dns_name_parse(options->domain, &own) == 0 && own.size > 1)
		add_search(ret, &own);
	for (size_t i = 0; options->dns_search_given && i < options->dns_search_count; i++)
		add_search(ret, &options->dns_search[i]);
	for (size_t i = 0; !options->dns_search_given && i < host->search_count; i++)
		add_search(ret, &host->search[i]);
}

static void fill_search(const struct search_names *names, struct dns_service_search *ret)
{
	struct wire_writer w = wire_writer(ret->wire, sizeof(ret->wire));

	/* As many as fit, from the first: they stand in the order of their importance. */
	for (size_t i = 0; i < names->count && names->names[i].size <= wire_room(&w); i++)
		wire_put_bytes(&w, names->names[i].wire, names->names[i].size);
	ret->size = wire_written(&w);
}

static void on_resolvconf(void *arg)
{
	struct dns_service *service = arg;
	struct dns_service_search search;
	struct search_names names;

	collect_search(service->options, dns_server_resolvconf(service->server), &names);
	fill_search(&names, &search);
	if (search.size == service->search.size &&
	    memcmp(search.wire, service->search.wire, search.size) == 0)
		return;
	service->search = search;
	if (service->on_search)
		service->on_search(service->on_search_arg);
}

const struct dns_service_search *dns_service_search(const struct dns_service *service)
{
	return &service->search;
}

void dns_service_on_search(struct dns_service *service, void (*fn)(void *arg), void *arg)
{
	service->on_search = fn;
	service->on_search_arg = arg;
}

void dns_service_look(struct dns_service *service)
{
	dns_server_resolvconf(service->server);
}

/* ---- Life ---- */

static const char *file_path(const char *path, bool is_none)
{
	if (is_none)
		return "";
	return path[0] ? path : NULL;
}

static int start_server(struct dns_service *service, struct loop *loop,
			const struct options *options, const struct dns_guest_lookup *guests,
			char error[static OPTIONS_ERROR_MAX])
{
	const struct addr none = {.family = AF_UNSPEC};
	bool has_v6 = options->prefix6.length > 0;
	struct dns_route_conf routes[DNS_ROUTES_MAX];
	char suffixes[DNS_ROUTES_MAX][DNS_NAME_TEXT_MAX];
	struct options_zones zones;
	struct dns_conf conf = {
		.gateway4 = options_router(options, AF_INET),
		.gateway6 = has_v6 ? options_router(options, AF_INET6) : none,
		.host4 = options->host_access ? options->host_alias : none,
		.host6 = options->host_access && has_v6 ? options->host_alias6 : none,
		.vm4 = options_first_guest(options),
		.subnet4 = options->subnet,
		.subnet6 = options->prefix6,
		.guest_domain = options->domain,
		.guests = *guests,
		.resolvers = options->dns,
		.resolver_count = options->dns_count,
		.routes = routes,
		.route_count = options->dns_route_count,
		.resolv_conf_path = file_path(options->resolv_conf, options->no_resolv_conf),
		.hosts_path = file_path(options->hosts_file, options->no_hosts_file),
		.resolvconf_changed = on_resolvconf,
		.resolvconf_changed_arg = service,
	};
	int r = options_zones_make(options, &zones);

	if (r < 0)
		return r;
	conf.zones = zones.zones;
	conf.zone_count = zones.count;
	for (unsigned i = 0; i < options->dns_route_count; i++) {
		const struct dns_route_option *route = &options->dns_routes[i];

		routes[i] = (struct dns_route_conf){
			.suffix = dns_name_format(&route->suffix, suffixes[i]),
			.resolvers = route->resolvers,
			.resolver_count = route->resolver_count,
		};
	}
	r = dns_server_new(loop, &conf, error, OPTIONS_ERROR_MAX, &service->server);
	options_zones_free(&zones);
	return r;
}

int dns_service_new(struct loop *loop, const struct options *options, struct forwarder *forwarder,
		    struct state_file *state, const struct dns_guest_lookup *guests,
		    char error[static OPTIONS_ERROR_MAX], struct dns_service **ret_service)
{
	struct dns_service *service = calloc(1, sizeof(*service));
	int r;

	if (!service)
		return -ENOMEM;
	service->forwarder = forwarder;
	service->options = options;
	r = start_server(service, loop, options, guests, error);
	/* Now, and not only when there is a resolv.conf: guests have a domain of their own. */
	if (r == 0)
		on_resolvconf(service);
	if (r == 0)
		r = zone_state_new(service->server, state, &service->zones);
	if (r == 0 && !options->no_dns)
		r = forwarder_serve_udp(forwarder, DNS_PORT, on_datagram, service);
	if (r == 0 && !options->no_dns)
		r = forwarder_serve_tcp(forwarder, DNS_PORT, on_connection, service);
	if (r < 0) {
		dns_service_free(service);
		return r;
	}
	*ret_service = service;
	return 0;
}

void dns_service_free(struct dns_service *service)
{
	if (!service)
		return;
	zone_state_free(service->zones);
	dns_server_free(service->server);
	free(service);
}

void dns_service_zones_changed(struct dns_service *service)
{
	zone_state_changed(service->zones);
}

struct dns_server *dns_service_server(struct dns_service *service)
{
	return service->server;
}
