/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API behind its doors: two guests and the host send requests, whole, in parts, one after the
 * other, and whatever else on connections, while time goes by. The input is a list of operations.
 * Guests may publish on a few ports of the loopback, and the host asks for nothing that would open
 * sockets or files, so a run touches nothing of the machine's. Nothing is left at the end.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/api.h"
#include "base/log.h"
#include "base/sock.h"
#include "base/wire.h"
#include "fuzz.h"

#define OPERATIONS_MAX 80
#define CLIENTS        5 /* the last ones are the host's */
#define GUESTS         2 /* each with a client or two */
#define HOST_CLIENT    3
#define REQUEST_MAX    8192
#define PORT_FIRST     46700
#define PORT_LAST      46703

struct fuzz {
	struct loop *loop;
	struct forwarder *forwarder;
	struct publish *publish;
	struct api *api;
	int clients[CLIENTS]; /* -1: none */
};

static char path[FUZZ_PATH_MAX];

static const struct route {
	const char *method, *path;
	bool host; /* the host may ask for that, too */
} routes[] = {
	{"GET", "/services/forwarder/all", true},
	{"POST", "/services/forwarder/expose", false},
	{"POST", "/services/forwarder/unexpose", true},
	{"GET", "/services/dhcp/leases", true},
	{"GET", "/leases", true},
	{"GET", "/services/dns/all", true},
	{"POST", "/services/dns/add", true},
	{"GET", "/cam", true},
	{"GET", "/stats", true},
	{"GET", "/tunnel", true},
	{"POST", "/connect", true},
	{"GET", "/metrics", true},
	{"GET", "/v1/version", true},
	{"GET", "/v1/forwards", true},
	{"POST", "/v1/forwards", false},
	{"DELETE", "/v1/forwards", true},
	{"GET", "/v1/leases/static", true},
	{"POST", "/v1/leases/static", true},
	{"DELETE", "/v1/leases/static", true},
	{"GET", "/v1/ports", true},
	{"GET", "/v1/guests", true},
	{"GET", "/v1/flows", true},
	{"GET", "/v1/events", true},
	{"GET", "/v1/pcap", true},
	{"GET", "/v1/policy", true},
	{"GET", "/v1/dns/zones", true},
	{"GET", "/v1/dns/zones/a.test", true},
	{"PUT", "/v1/dns/zones/a.test", true},
	{"DELETE", "/v1/dns/zones/a.test", true},
};

/* ---- The backend ---- */

static void leases(void *arg, api_lease_fn *fn, void *visitor)
{
	struct api_lease lease = {.hostname = "one\"\\\n", .expires_s = 3600};

	(void)arg;
	lease.address = addr_from_v4(0xc0a84102u);
	fn(visitor, &lease);
}

static void static_leases(void *arg, api_static_fn *fn, void *visitor)
{
	struct api_static_lease lease = {.hostname = "one", .by_mac = true, .connection = 1};

	(void)arg;
	lease.address = addr_from_v4(0xc0a84102u);
	fn(visitor, &lease);
}

static int static_lease_add(void *arg, const struct api_static_lease *lease,
			    struct api_static_failure *ret_failure)
{
	(void)arg;
	must(lease->address.family != AF_UNSPEC && lease->hostname);
	snprintf(ret_failure->why, sizeof(ret_failure->why), "no");
	return lease->mac.bytes[5] & 1 ? -EEXIST : 0;
}

static int static_lease_remove(void *arg, const struct addr *address, const struct mac *mac,
			       struct api_static_failure *ret_failure)
{
	(void)arg;
	(void)mac;
	snprintf(ret_failure->why, sizeof(ret_failure->why), "no");
	return address->family == AF_INET ? 0 : -ENOENT;
}

static void static_leases_drop(void *arg, uint64_t connection)
{
	(void)arg;
	must(connection != 0);
}

static void dns_zones(void *arg, api_dns_fn *fn, void *visitor)
{
	struct api_dns_record record = {.name = "gateway", .ip = addr_from_v4(0xc0a84101u)};
	struct api_dns_zone zone = {.name = "a.test.", .records = &record, .record_count = 1};

	(void)arg;
	fn(visitor, &zone);
}

static int dns_add(void *arg, const struct api_dns_zone *zone, char *error, size_t error_size)
{
	(void)arg;
	for (size_t i = 0; i < zone->record_count; i++)
		must(zone->records[i].name && zone->records[i].ip.family != AF_UNSPEC);
	snprintf(error, error_size, "no");
	return zone->record_count & 1 ? 0 : -EINVAL;
}

static int dns_remove(void *arg, const char *name)
{
	(void)arg;
	return name[0] == 'a' ? 0 : -ENOENT;
}

static int guest_addr(void *arg, uint32_t guest_id, struct addr *ret)
{
	(void)arg;
	if (guest_id > GUESTS)
		return -ENOENT;
	*ret = addr_from_v4(0xc0a84101u + (guest_id ? guest_id : 1));
	return 0;
}

/* ---- Life ---- */

static void open_forwarder(struct fuzz *fuzz)
{
	struct forwarder_conf conf = {
		.stack = {.mac = {{0x52, 0x55, 0, 0, 0, 1}}, .mtu = 1500, .conns_max = 16},
		.policy_deny_by_default = true,
		.udp_flows_max = 16,
	};
	struct publish_rule rule = {.first = PORT_FIRST, .last = PORT_LAST};

	must(prefix_parse("192.168.65.0/24", &conf.stack.subnet) == 0);
	must(prefix_parse("127.0.0.1/32", &rule.hosts) == 0);
	conf.stack.gateway = addr_from_v4(0xc0a84101u);
	conf.stack.alias = addr_from_v4(0xc0a841feu);
	must(forwarder_new(fuzz->loop, &conf, &fuzz->forwarder) == 0);
	must(publish_new(fuzz->loop, fuzz->forwarder, &fuzz->publish) == 0);
	must(publish_set_guest_rules(fuzz->publish, &rule, 1) == 0);
}

static void start(struct fuzz *fuzz)
{
	struct api_backend backend = {
		.leases = leases,
		.static_leases = static_leases,
		.static_lease_add = static_lease_add,
		.static_lease_remove = static_lease_remove,
		.static_leases_drop = static_leases_drop,
		.dns_zones = dns_zones,
		.dns_add = dns_add,
		.dns_put = dns_add,
		.dns_remove = dns_remove,
		.guest_addr = guest_addr,
	};
	char error[API_LISTEN_ERROR_MAX];

	*fuzz = (struct fuzz){0};
	for (unsigned i = 0; i < CLIENTS; i++)
		fuzz->clients[i] = -1;
	must(loop_new(&fuzz->loop) == 0);
	loop_use_virtual_time(fuzz->loop, 1000000);
	open_forwarder(fuzz);
	backend.forwarder = fuzz->forwarder;
	backend.publish = fuzz->publish;
	must(api_new(fuzz->loop, &backend, &fuzz->api) == 0);
	must(api_listen_unix(fuzz->api, path, &(struct api_door){.kind = API_DOOR_HOST}, error) ==
	     0);
}

static void finish(struct fuzz *fuzz)
{
	loop_run_once(fuzz->loop, false);
	for (unsigned i = 0; i < CLIENTS; i++)
		fd_close(&fuzz->clients[i]);
	loop_run_once(fuzz->loop, false);
	loop_advance(fuzz->loop, 600000);
	loop_run_once(fuzz->loop, false);
	api_free(fuzz->api);
	publish_free(fuzz->publish);
	forwarder_free(fuzz->forwarder);
	loop_free(fuzz->loop);
}

/* ---- Operations ---- */

static int client(struct fuzz *fuzz, unsigned index)
{
	int *fd = &fuzz->clients[index], fds[2];

	if (*fd >= 0)
		return *fd;
	if (index >= HOST_CLIENT) {
		must(sock_connect_unix(path, SOCK_STREAM, fd) == 0);
		return *fd;
	}
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	if (api_serve_guest(fuzz->api, 1 + index % GUESTS, fds[1]) < 0)
		fd_close(&fds[0]);
	*fd = fds[0];
	return *fd;
}

static void put(struct fuzz *fuzz, unsigned index, const char *bytes, size_t size)
{
	int fd = client(fuzz, index);

	if (fd >= 0)
		(void)!send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Text of the input's for a request's target: nothing that would end it. */
static void read_query(struct wire_reader *r, char to[static 256])
{
	size_t size = wire_u8(r);

	size = size < wire_left(r) ? size : wire_left(r);
	wire_copy(r, to, size);
	for (size_t i = 0; i < size; i++)
		if (to[i] <= ' ' || to[i] > '~')
			to[i] = '&';
	to[size] = '\0';
}

/* A request with a body of the input's, sent whole or in two parts. */
static void send_request(struct fuzz *fuzz, struct wire_reader *r, unsigned index)
{
	static char text[REQUEST_MAX];
	uint8_t which = wire_u8(r), shape = wire_u8(r);
	const struct route *route = &routes[which % (sizeof(routes) / sizeof(routes[0]))];
	char query[256] = "";
	size_t body_size, size, cut;

	if (index >= HOST_CLIENT && !route->host)
		return;
	if (shape & 1)
		read_query(r, query);
	body_size = shape & 2 ? wire_be16(r) & 4095 : 0;
	body_size = body_size < wire_left(r) ? body_size : wire_left(r);
	size = (size_t)snprintf(text, sizeof(text),
				"%s %s%s%s HTTP/1.%d\r\nHost: x\r\n%s"
				"Content-Length: %zu\r\n\r\n",
				route->method, route->path, query[0] ? "?" : "", query,
				!(shape & 4), shape & 8 ? "Connection: close\r\n" : "", body_size);
	wire_copy(r, text + size, body_size);
	size += body_size;
	cut = shape & 16 ? size * (shape >> 5) / 8 : size;
	put(fuzz, index, text, cut);
	if (cut < size) {
		loop_run_once(fuzz->loop, false);
		put(fuzz, index, text + cut, size - cut);
	}
}

/* Bytes as they are: a guest's, or more of what is a connection of another kind by now. */
static void send_bytes(struct fuzz *fuzz, struct wire_reader *r, unsigned index)
{
	char bytes[256];
	size_t size = wire_u8(r);

	size = size < wire_left(r) ? size : wire_left(r);
	wire_copy(r, bytes, size);
	if (index < HOST_CLIENT)
		put(fuzz, index, bytes, size);
}

static void operate(struct fuzz *fuzz, struct wire_reader *r)
{
	static char bytes[65536];
	uint8_t operation = wire_u8(r);
	unsigned amount = operation >> 3, index = amount % CLIENTS;
	int *fd = &fuzz->clients[index];

	switch (operation & 7) {
	case 0:
	case 1:
	case 2:
		send_request(fuzz, r, index);
		break;
	case 3:
		send_bytes(fuzz, r, index);
		break;
	case 4:
		fd_close(fd);
		break;
	case 5:
		if (*fd >= 0)
			(void)!recv(*fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		break;
	case 6:
		loop_advance(fuzz->loop, (uint64_t)1 << (amount % 18));
		break;
	case 7:
		if (*fd >= 0)
			shutdown(*fd, SHUT_WR);
		break;
	}
	loop_run_once(fuzz->loop, false);
	must(publish_count(fuzz->publish) <= 2 * (PORT_LAST - PORT_FIRST + 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz fuzz;
	struct wire_reader r = wire_reader(data, size);
	unsigned fds;

	log_set_levels("error");
	snprintf(path, sizeof(path), "%s/api", fuzz_directory());
	fds = count_fds();
	start(&fuzz);
	for (unsigned i = 0; i < OPERATIONS_MAX && wire_ok(&r) && wire_left(&r); i++)
		operate(&fuzz, &r);
	finish(&fuzz);
	must(count_fds() == fds);
	return 0;
}
