/* SPDX-License-Identifier: Apache-2.0 */
/* What fuzz_forwarder.c plays in: see world.h. */
#include "world.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "base/wire.h"
#include "fuzz.h"

#define ETH_SIZE  14
#define RULES_MAX (2 * SERVICE_COUNT + 3)
/* Longer than keepalive lets a guest that doesn't answer live. */
#define END_MS (UINT64_C(4) * 3600 * 1000)

static const struct mac gateway_mac = {{0x52, 0x55, 0, 0, 0, 1}};

/* Kept from one input to the next. */
static int service_fds[2][SERVICE_COUNT];
static uint16_t service_ports[2][SERVICE_COUNT];

static struct addr address(const char *text)
{
	struct addr addr;

	must(addr_parse(text, &addr) == 0);
	return addr;
}

/* What can't be opened, as there is no IPv6, is a port that the policy denies. */
static void open_services(void)
{
	static const char *const loopback[] = {"127.0.0.1", "::1"};

	for (unsigned v6 = 0; v6 < 2; v6++) {
		struct endpoint any = {.addr = address(loopback[v6])}, at;

		for (unsigned i = 0; i < SERVICE_COUNT; i++) {
			int *fd = &service_fds[v6][i];
			int r = i == SERVICE_UDP ? sock_bind_udp(&any, fd, &at)
						 : sock_listen_tcp(&any, 16, fd, &at);

			if (r < 0)
				*fd = -1;
			service_ports[v6][i] = r < 0 ? 9 : at.port;
		}
		/* Its port is most likely nobody's from now on, and known to be the policy's. */
		fd_close(&service_fds[v6][SERVICE_REFUSED]);
	}
}

uint16_t world_service(enum service service, bool v6)
{
	return service_ports[v6][service];
}

const struct mac *world_gateway(void)
{
	return &gateway_mac;
}

static int serve_tcp(void *arg, const struct endpoint *guest, int *ret_fd)
{
	int fds[2];

	(void)guest;
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	world_add_end(arg, fds[0]);
	*ret_fd = fds[1];
	return 0;
}

static void serve_udp(void *arg, const struct stack_datagram *datagram)
{
	struct world *world = arg;

	stack_send_udp(forwarder_stack(world->forwarder), &datagram->dst, &datagram->src, NULL, 64,
		       datagram->tos, datagram->payload, datagram->size);
}

/* Guests' rules: the services on the host alias, pings of it, and names' ports by the proxy. */
static unsigned make_rules(bool by_proxy, struct policy_rule rules[static RULES_MAX])
{
	const struct policy_rule pings = {.allow = true,
					  .protocols = POLICY_ICMP,
					  .to_kind = POLICY_TO_HOST,
					  .port_last = UINT16_MAX};
	static const uint16_t proxied[] = {EGRESS_PORT_HTTP, EGRESS_PORT_HTTPS};
	unsigned count = 0;

	for (unsigned v6 = 0; v6 < 2; v6++)
		for (unsigned i = 0; i < SERVICE_COUNT; i++)
			rules[count++] = (struct policy_rule){
				.allow = service_ports[v6][i] != 9,
				.protocols = POLICY_TCP | POLICY_UDP,
				.to_kind = POLICY_TO_HOST,
				.port_first = service_ports[v6][i],
				.port_last = service_ports[v6][i],
			};
	rules[count++] = pings;
	for (unsigned i = 0; by_proxy && i < 2; i++) {
		rules[count] = (struct policy_rule){.allow = true,
						    .protocols = POLICY_TCP,
						    .to_kind = POLICY_TO_PREFIX,
						    .port_first = proxied[i],
						    .port_last = proxied[i]};
		must(prefix_parse("203.0.113.0/24", &rules[count++].to) == 0);
	}
	return count;
}

static void open_forwarder(struct world *world, bool by_proxy)
{
	struct policy_rule rules[RULES_MAX];
	struct forwarder_conf conf = {
		.stack = {.mac = gateway_mac, .mtu = 1500, .conns_max = GUEST_CONNS},
		.host_access = true,
		.policy_rules = rules,
		.policy_rule_count = make_rules(by_proxy, rules),
		.policy_deny_by_default = true,
		.udp_flows_max = UDP_FLOWS,
		.udp_flows_total_max = UDP_FLOWS_ALL,
	};

	if (by_proxy) {
		world->egress.http = (struct egress_proxy){.host = "127.0.0.1",
							   .port = service_ports[0][SERVICE_TCP],
							   .is_address = true,
							   .addr_count = 1};
		world->egress.http.addrs[0] = address("127.0.0.1");
		world->egress.https = world->egress.http;
		conf.egress = &world->egress;
	}
	must(prefix_parse("192.168.65.0/24", &conf.stack.subnet) == 0);
	must(prefix_parse("fd65::/64", &conf.stack.prefix6) == 0);
	conf.stack.gateway = address("192.168.65.1");
	conf.stack.alias = address("192.168.65.254");
	conf.stack.gateway6 = address("fd65::1");
	conf.stack.alias6 = address("fd65::fe");
	must(forwarder_new(world->loop, &conf, &world->forwarder) == 0);
	must(forwarder_serve_udp(world->forwarder, 53, serve_udp, world) == 0);
	must(forwarder_serve_tcp(world->forwarder, 53, serve_tcp, world) == 0);
}

static void attach(struct world *world, struct guest *guest)
{
	/* A link with all offloads, one that only takes checksums, and one with none. */
	static const struct link_caps caps[GUESTS] = {
		{.csum = true, .tso4 = true, .tso6 = true, .frame_max = FRAME_SIZE_MAX},
		{.csum = true, .gro = true, .frame_max = 1514},
		{.frame_max = 1514},
	};
	const struct link_sink *sink = switch_sink(stack_switch(forwarder_stack(world->forwarder)));

	guest->link = sim_link_new("guest", &caps[guest - world->guests]);
	sink->attached(sink->arg, sim_link_link(guest->link));
}

/* One of each kind, to the first two guests, and to a container behind the third. */
static void open_published(struct world *world)
{
	struct publish_spec specs[PUBLISHED] = {
		{.protocol = PUBLISH_TCP, .proxy_v2 = true},
		{.protocol = PUBLISH_UDP},
		{.protocol = PUBLISH_TCP, .via = world->guests[2].addrs[0]},
		{.protocol = PUBLISH_UDP, .via = world->guests[2].addrs[0]},
	};

	must(publish_new(world->loop, world->forwarder, &world->publish) == 0);
	for (unsigned i = 0; i < PUBLISHED; i++) {
		specs[i].owner.kind = PUBLISH_OWNER_CONFIG;
		specs[i].local.addr = address("127.0.0.1");
		specs[i].remote.addr = i < 2 ? world->guests[i].addrs[0] : address("10.88.0.5");
		specs[i].remote.port = 8080;
	}
	must(publish_add(world->publish, specs, PUBLISHED, 0, NULL) == 0);
	for (unsigned i = 0; i < PUBLISHED; i++)
		world->published[i] = specs[i].local.port;
}

void world_open(struct world *world, bool by_proxy)
{
	char text[16];

	if (!service_ports[0][SERVICE_TCP])
		open_services();
	*world = (struct world){.udp_clients = {-1, -1}};
	world->fds = count_fds();
	for (unsigned i = 0; i < ENDS_MAX; i++)
		world->ends[i] = -1;
	must(loop_new(&world->loop) == 0);
	loop_use_virtual_time(world->loop, 1000000);
	open_forwarder(world, by_proxy);
	for (unsigned i = 0; i < GUESTS; i++) {
		struct guest *guest = &world->guests[i];

		guest->mac = (struct mac){{0x52, 0x54, 0, 0, 0, (uint8_t)(2 + i)}};
		snprintf(text, sizeof(text), "192.168.65.%u", 2 + i);
		guest->addrs[0] = address(text);
		snprintf(text, sizeof(text), "fd65::%u", 2 + i);
		guest->addrs[1] = address(text);
		attach(world, guest);
		for (unsigned v6 = 0; v6 < 2; v6++)
			stack_learn(forwarder_stack(world->forwarder), &guest->addrs[v6],
				    &guest->mac);
	}
	open_published(world);
}

void world_reconnect(struct world *world, unsigned index)
{
	struct guest *guest = &world->guests[index];

	if (world->gone_count == GONE_MAX)
		return;
	sim_link_hang_up(guest->link, "fuzz");
	must(sim_link_destroyed(guest->link));
	/* Its frames may still be in use: TCP's, until the host's side has taken them. */
	world->gone[world->gone_count++] = guest->link;
	attach(world, guest);
}

struct peer *world_peer(struct world *world, unsigned guest, const struct endpoint *self,
			const struct endpoint *far)
{
	for (unsigned i = 0; i < PEERS_MAX; i++) {
		struct peer *peer = &world->peers[i];

		if (peer->used && peer->guest == guest && endpoint_equal(&peer->self, self) &&
		    endpoint_equal(&peer->far, far))
			return peer;
	}
	return NULL;
}

struct peer *world_peer_new(struct world *world, unsigned guest, const struct endpoint *self,
			    const struct endpoint *far)
{
	struct peer *peer = &world->peers[world->peer_next++ % PEERS_MAX];

	*peer = (struct peer){
		.used = true, .guest = guest, .self = *self, .far = *far, .next = 0xfffff000u};
	return peer;
}

/* Closes with a reset, so that no port waits for anything. */
static void end_close(int *fd)
{
	const struct linger linger = {.l_onoff = 1};

	if (*fd < 0)
		return;
	setsockopt(*fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	fd_close(fd);
}

void world_add_end(struct world *world, int fd)
{
	unsigned slot = 0;

	while (slot < ENDS_MAX - 1 && world->ends[slot] >= 0)
		slot++;
	end_close(&world->ends[slot]);
	world->ends[slot] = fd;
}

/* Follows a connection of the guest's, so that its next segment fits. */
static void read_tcp(struct world *world, unsigned guest, const struct addr *from,
		     const struct addr *to, struct wire_reader r)
{
	struct endpoint far = {.addr = *from}, self = {.addr = *to};
	struct peer *peer;
	uint32_t seq, ack;
	uint8_t header, flags;

	far.port = wire_be16(&r);
	self.port = wire_be16(&r);
	seq = wire_be32(&r);
	ack = wire_be32(&r);
	header = (uint8_t)((wire_u8(&r) >> 4) * 4);
	flags = wire_u8(&r);
	must(wire_ok(&r) && header >= 20);
	wire_skip(&r, header - 14u);
	must(wire_ok(&r));
	peer = world_peer(world, guest, &self, &far);
	if (!peer && (flags & SIM_TCP_SYN))
		peer = world_peer_new(world, guest, &self, &far);
	if (!peer)
		return;
	peer->expect = seq + (uint32_t)wire_left(&r) + ((flags & (SIM_TCP_SYN | SIM_TCP_FIN)) != 0);
	if (flags & SIM_TCP_ACK)
		peer->next = ack;
}

static void read_packet(struct world *world, unsigned index, const uint8_t *ip, size_t size,
			bool v6)
{
	struct guest *guest = &world->guests[index];
	struct wire_reader r = wire_reader(ip, size);
	struct addr from = {.family = v6 ? AF_INET6 : AF_INET}, to = from;
	uint8_t protocol;

	guest->quote_size = size < QUOTE_MAX ? size : QUOTE_MAX;
	memcpy(guest->quote, ip, guest->quote_size);
	must(size >= (v6 ? 40u : 20u));
	protocol = ip[v6 ? 6 : 9];
	if (v6) {
		memcpy(&from.v6, ip + 8, 16);
		memcpy(&to.v6, ip + 24, 16);
	} else {
		memcpy(&from.v4, ip + 12, 4);
		memcpy(&to.v4, ip + 16, 4);
	}
	wire_skip(&r, v6 ? 40 : 20);
	if (protocol == IPPROTO_TCP) {
		read_tcp(world, index, &from, &to, r);
	} else if (protocol == IPPROTO_UDP && wire_left(&r) >= 8) {
		guest->udp_from = (struct endpoint){from, wire_be16(&r)};
		guest->udp_to = (struct endpoint){to, wire_be16(&r)};
	}
}

static void read_guest(struct world *world, unsigned index)
{
	struct sim_link *link = world->guests[index].link;
	struct sim_frame *frame;

	while ((frame = sim_link_take(link))) {
		const uint8_t *b = frame->bytes;

		must(frame->size >= ETH_SIZE);
		/* What guests send each other isn't ours to check. */
		if (memcmp(b + 6, gateway_mac.bytes, MAC_SIZE) == 0) {
			if (b[12] == 0x08 && b[13] == 0x00)
				read_packet(world, index, b + ETH_SIZE, frame->size - ETH_SIZE,
					    false);
			else if (b[12] == 0x86 && b[13] == 0xdd)
				read_packet(world, index, b + ETH_SIZE, frame->size - ETH_SIZE,
					    true);
		}
		sim_frame_free(frame);
	}
}

static void read_services(struct world *world)
{
	struct sockaddr_storage from;
	socklen_t size = sizeof(from);
	uint8_t data[2048];
	int fd;

	for (unsigned v6 = 0; v6 < 2; v6++) {
		while (service_fds[v6][SERVICE_TCP] >= 0 &&
		       sock_accept(service_fds[v6][SERVICE_TCP], &fd, NULL) == 0)
			world_add_end(world, fd);
		while (service_fds[v6][SERVICE_UDP] >= 0 &&
		       recvfrom(service_fds[v6][SERVICE_UDP], data, sizeof(data), MSG_DONTWAIT,
				(struct sockaddr *)&from, &size) >= 0)
			endpoint_from_sockaddr((struct sockaddr *)&from, &world->udp_at);
	}
}

void world_udp_reply(struct world *world, const void *data, size_t size)
{
	bool v6 = world->udp_at.addr.family == AF_INET6;
	struct sockaddr_storage to;
	socklen_t to_size;

	if (world->udp_at.addr.family == AF_UNSPEC)
		return;
	to_size = endpoint_to_sockaddr(&world->udp_at, &to);
	(void)!sendto(service_fds[v6][SERVICE_UDP], data, size, MSG_DONTWAIT,
		      (struct sockaddr *)&to, to_size);
}

void world_turn(struct world *world)
{
	loop_run_once(world->loop, false);
	for (unsigned i = 0; i < GUESTS; i++)
		read_guest(world, i);
	read_services(world);
}

void world_check(struct world *world)
{
	struct forwarder_counters counters = forwarder_counters(world->forwarder);

	/* Inbound ones don't count for a guest's maximum, nor do its own for theirs. */
	must(counters.stack.conns <= 2 * GUESTS * GUEST_CONNS);
	must(counters.tcp_flows <= counters.tcp_flows_total);
	must(counters.udp_flows <= UDP_FLOWS_ALL);
	must(counters.icmp_flows <= GUESTS * 256);
	for (unsigned i = 0; i < GUESTS; i++)
		must(sim_link_pending(world->guests[i].link) <= PENDING_MAX);
}

void world_close(struct world *world)
{
	struct forwarder_counters counters;

	for (unsigned i = 0; i < GUESTS; i++)
		sim_link_set_full(world->guests[i].link, false);
	world_turn(world);
	for (unsigned i = 0; i < ENDS_MAX; i++)
		end_close(&world->ends[i]);
	fd_close(&world->udp_clients[0]);
	fd_close(&world->udp_clients[1]);
	for (unsigned i = 0; i < 4; i++) {
		world_turn(world);
		for (unsigned j = 0; j < ENDS_MAX; j++)
			end_close(&world->ends[j]);
	}
	/* Guests that say nothing any more. */
	loop_advance(world->loop, END_MS);
	world_turn(world);
	counters = forwarder_counters(world->forwarder);
	must(counters.stack.conns == 0 && counters.tcp_flows == 0 && counters.udp_flows == 0 &&
	     counters.icmp_flows == 0);
	publish_free(world->publish);
	forwarder_free(world->forwarder);
	for (unsigned i = 0; i < GUESTS; i++)
		world->gone[world->gone_count++] = world->guests[i].link;
	for (unsigned i = 0; i < world->gone_count; i++) {
		must(sim_link_iobufs(world->gone[i]) == 0);
		sim_link_free(world->gone[i]);
	}
	loop_free(world->loop);
	must(count_fds() == world->fds);
}
