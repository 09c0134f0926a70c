/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests that may do anything, against all of the forwarder: links, switch, stack, flows, and real
 * sockets on the host's loopback. The input is a list of operations of several guests, of the
 * host's services, of clients of published ports, and of time; what guests send fits what they got,
 * so that mutation gets deep into connections. After each operation the counts must be within their
 * limits, and nothing may be left at the end (world.h).
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "base/wire.h"
#include "world.h"
#include "fuzz.h"

#define OPERATIONS_MAX 150
#define PAYLOAD_MAX    16000

/* TLS, with the server's name. */
static const uint8_t client_hello[67] = {
	0x16, 3,  1, 0, 62, 1,  0, 0, 58, 3, 3, [43] = 0, [44] = 0, 2,   0x13, 1,   1,  0,
	0,    15, 0, 0, 0,  11, 0, 9, 0,  0, 6, 'a',      '.',      't', 'e',  's', 't'};

static uint8_t payload[PAYLOAD_MAX];

/* Bytes for a stream or datagram: what proxies and web servers look for, some of the input's, or
 * many. Returns how many. */
static size_t read_payload(struct wire_reader *r)
{
	static const char *const texts[] = {
		"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno",
	};
	uint8_t kind = wire_u8(r);
	size_t size;

	if (kind < 3) {
		size = strlen(texts[kind]);
		memcpy(payload, texts[kind], size);
	} else if (kind == 3) {
		size = sizeof(client_hello);
		memcpy(payload, client_hello, size);
	} else if (kind < 64) {
		size = kind & 15;
		size = size < wire_left(r) ? size : wire_left(r);
		wire_copy(r, payload, size);
	} else {
		size = (size_t)(kind - 64) * (PAYLOAD_MAX / 191);
		memset(payload, 'x', size);
	}
	return size;
}

/* Where a guest sends to. */
static struct endpoint read_destination(struct world *world, struct wire_reader *r, bool v6)
{
	static const char *const addresses[][2] = {
		{"192.168.65.254", "fd65::fe"}, {"192.168.65.1", "fd65::1"},
		{"203.0.113.5", "2001:db8::5"}, {"192.168.65.3", "fd65::3"},
		{"192.168.65.255", "ff02::1"},  {"224.0.0.251", "fe80::5055:ff:fe00:1"},
	};
	static const uint16_t ports[] = {53, 80, 67, 8080, 443};
	uint8_t choice = wire_u8(r);
	struct endpoint to;

	if (addr_parse(addresses[(choice >> 4) % 6][v6], &to.addr) < 0)
		abort();
	choice &= 15;
	to.port = choice < 8 ? world_service(choice % SERVICE_COUNT, v6) : ports[choice % 5];
	(void)world;
	return to;
}

static void inject(struct world *world, unsigned guest, size_t size)
{
	sim_link_inject(world->guests[guest].link, world->frame, size);
	sim_link_batch_end(world->guests[guest].link);
}

static struct sim_packet packet_of(struct world *world, unsigned guest, const struct endpoint *to)
{
	return (struct sim_packet){
		.src_mac = world->guests[guest].mac,
		.dst_mac = *world_gateway(),
		.src = world->guests[guest].addrs[to->addr.family == AF_INET6],
		.dst = to->addr,
		.dst_port = to->port,
		.payload = payload,
	};
}

/* A SYN, with the usual options or without. */
static void guest_connects(struct world *world, struct wire_reader *r)
{
	static const uint8_t options[] = {2, 4, 5, 180, 1, 3, 3, 7};
	uint8_t who = wire_u8(r);
	unsigned guest = (who & 15) % GUESTS;
	struct endpoint to = read_destination(world, r, who & 16);
	struct sim_packet packet = packet_of(world, guest, &to);
	struct endpoint self = {packet.src, (uint16_t)(1000 + (who >> 5))};
	struct peer *peer;

	packet.protocol = IPPROTO_TCP;
	packet.src_port = self.port;
	packet.flags = SIM_TCP_SYN;
	packet.window = 0xffff;
	packet.options = options;
	packet.options_size = wire_u8(r) & 1 ? sizeof(options) : 0;
	peer = world_peer(world, guest, &self, &to);
	if (!peer)
		peer = world_peer_new(world, guest, &self, &to);
	packet.seq = peer->next++;
	inject(world, guest, sim_packet_build(&packet, world->frame));
}

/* A segment near to what the connection expects. */
static void guest_sends_segment(struct world *world, struct wire_reader *r)
{
	struct peer *peer = &world->peers[wire_u8(r) % PEERS_MAX];
	struct sim_packet packet = packet_of(world, peer->guest, &peer->far);
	uint8_t shape;

	packet.protocol = IPPROTO_TCP;
	packet.src = peer->self.addr;
	packet.src_port = peer->self.port;
	packet.flags = wire_u8(r);
	shape = wire_u8(r);
	packet.window = shape & 1 ? wire_be16(r) : 0xffff;
	packet.seq = peer->next + (shape & 2 ? (uint32_t)(int8_t)wire_u8(r) * 128u : 0);
	packet.ack = peer->expect + (shape & 4 ? (uint32_t)(int8_t)wire_u8(r) * 32u : 0);
	packet.payload_size = shape & 8 ? read_payload(r) : 0;
	if (!peer->used || !wire_ok(r))
		return;
	if (packet.payload_size > 1460)
		packet.payload_size = 1460;
	if (!(packet.flags & (SIM_TCP_SYN | SIM_TCP_RST)))
		packet.flags |= SIM_TCP_ACK;
	if (!(shape & 2))
		peer->next += (uint32_t)packet.payload_size + ((packet.flags & SIM_TCP_FIN) != 0);
	inject(world, peer->guest, sim_packet_build(&packet, world->frame));
}

/* A datagram, or the answer to the last one that came. */
static void guest_sends_datagram(struct world *world, struct wire_reader *r)
{
	uint8_t who = wire_u8(r);
	unsigned guest = (who & 15) % GUESTS;
	struct guest *self = &world->guests[guest];
	bool answer = (who & 32) && self->udp_from.addr.family != AF_UNSPEC;
	struct endpoint to = answer ? self->udp_from : read_destination(world, r, who & 16);
	struct sim_packet packet = packet_of(world, guest, &to);
	uint8_t shape = wire_u8(r);

	packet.protocol = IPPROTO_UDP;
	packet.src_port = (uint16_t)(2000 + (shape & 31));
	if (answer) {
		packet.src = self->udp_to.addr;
		packet.src_port = self->udp_to.port;
	}
	packet.df = shape & 32;
	packet.ttl = shape & 64 ? 1 : 64;
	packet.tos = shape & 128 ? 0xb8 : 0;
	packet.payload_size = read_payload(r);
	if (packet.payload_size > 1472)
		packet.payload_size = 1472;
	if (addr_is_multicast(&to.addr) || (who & 64))
		memset(packet.dst_mac.bytes, 0xff, MAC_SIZE);
	inject(world, guest, sim_packet_build(&packet, world->frame));
}

/* A message of ICMP or ICMPv6 with the right checksum. `size` is that of the payload. */
static void inject_icmp(struct world *world, unsigned guest, const struct endpoint *to, uint8_t ttl,
			size_t size)
{
	struct sim_packet packet = packet_of(world, guest, to);
	bool v6 = to->addr.family == AF_INET6;
	uint8_t tail[8] = {0, 0, (uint8_t)(size >> 8), (uint8_t)size, 0, 0, 0, IPPROTO_ICMPV6};
	uint16_t sum = 0;

	if (v6)
		sum = sim_sum(
			sim_sum(sim_sum(0, packet.src.v6.s6_addr, 16), packet.dst.v6.s6_addr, 16),
			tail, sizeof(tail));
	payload[2] = payload[3] = 0;
	sum = (uint16_t)~sim_sum(sum, payload, size);
	payload[2] = (uint8_t)(sum >> 8);
	payload[3] = (uint8_t)sum;
	packet.protocol = v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	packet.payload_size = size;
	packet.ttl = ttl;
	inject(world, guest, sim_packet_build(&packet, world->frame));
}

static void guest_pings(struct world *world, struct wire_reader *r)
{
	uint8_t who = wire_u8(r);
	struct endpoint to = read_destination(world, r, who & 16);
	uint8_t shape = wire_u8(r);

	memset(payload, 0, 64);
	payload[0] = who & 16 ? 128 : 8;
	payload[5] = shape & 15;
	payload[7] = wire_u8(r);
	inject_icmp(world, (who & 15) % GUESTS, &to, shape & 16 ? 1 : 64, 8 + (shape >> 5) * 8u);
}

/* An error about the packet that the guest got last. */
static void guest_complains(struct world *world, struct wire_reader *r)
{
	uint8_t who = wire_u8(r);
	unsigned guest = (who & 15) % GUESTS;
	struct guest *self = &world->guests[guest];
	bool v6 = self->quote_size && self->quote[0] >> 4 == 6;
	struct endpoint to = {0};
	size_t size = self->quote_size;

	if (size == 0)
		return;
	if (addr_parse(v6 ? "fd65::fe" : "192.168.65.254", &to.addr) < 0)
		abort();
	if (v6)
		memcpy(&to.addr.v6, self->quote + 8, 16);
	else
		memcpy(&to.addr.v4, self->quote + 12, 4);
	memset(payload, 0, 8);
	payload[0] = wire_u8(r);
	payload[1] = wire_u8(r) & 15;
	payload[6] = wire_u8(r);
	payload[7] = wire_u8(r);
	memcpy(payload + 8, self->quote, size);
	if (who & 128)
		payload[8 + wire_u8(r) % size] ^= wire_u8(r);
	inject_icmp(world, guest, &to, 64, 8 + size);
}

/* The host's end of a connection does something. */
static void host_acts(struct world *world, struct wire_reader *r)
{
	uint8_t what = wire_u8(r);
	int *fd = &world->ends[(what & 15) % ENDS_MAX];
	const struct linger linger = {.l_onoff = 1};

	if (*fd < 0)
		return;
	switch (what >> 4 & 7) {
	case 0:
	case 1:
	case 2:
		(void)!send(*fd, payload, read_payload(r), MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case 3:
		(void)!recv(*fd, payload, sizeof(payload), MSG_DONTWAIT);
		break;
	case 4:
		shutdown(*fd, SHUT_WR);
		break;
	case 5:
		fd_close(fd);
		break;
	case 6:
		setsockopt(*fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		fd_close(fd);
		break;
	case 7:
		(void)!send(*fd, "!", 1, MSG_OOB | MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	}
}

/* Somebody uses a published port. */
static void client_comes(struct world *world, struct wire_reader *r)
{
	unsigned which = wire_u8(r) % PUBLISHED;
	struct endpoint at = {.port = world->published[which]};
	bool udp = which & 1;
	struct sockaddr_storage address;
	socklen_t size;
	int fd = udp ? world->udp_clients[which / 2] : -1;

	if (addr_parse("127.0.0.1", &at.addr) < 0)
		abort();
	size = endpoint_to_sockaddr(&at, &address);
	if (fd < 0)
		fd = socket(AF_INET,
			    (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || (connect(fd, (struct sockaddr *)&address, size) < 0 && errno != EINPROGRESS))
		abort();
	if (!udp) {
		world_add_end(world, fd);
		return;
	}
	world->udp_clients[which / 2] = fd;
	(void)!recv(fd, payload, sizeof(payload), MSG_DONTWAIT);
	(void)!send(fd, payload, read_payload(r), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Bytes as they are, from the guest's MAC to the gateway's unless they say so. */
static void guest_sends_raw(struct world *world, struct wire_reader *r)
{
	uint8_t who = wire_u8(r);
	unsigned guest = (who & 15) % GUESTS;
	size_t size = wire_u8(r);

	size = size < wire_left(r) ? size : wire_left(r);
	if (size < 14)
		return;
	wire_copy(r, world->frame, size);
	if (who & 16)
		memcpy(world->frame, world_gateway()->bytes, MAC_SIZE);
	if (who & 32)
		memcpy(world->frame + 6, world->guests[guest].mac.bytes, MAC_SIZE);
	inject(world, guest, size);
}

static void operate(struct world *world, struct wire_reader *r)
{
	uint8_t operation = wire_u8(r);
	unsigned amount = operation >> 4;

	switch (operation & 15) {
	case 0:
		guest_connects(world, r);
		break;
	case 1:
	case 2:
		guest_sends_segment(world, r);
		break;
	case 3:
		guest_sends_datagram(world, r);
		break;
	case 4:
		guest_pings(world, r);
		break;
	case 5:
		guest_complains(world, r);
		break;
	case 6:
	case 7:
		host_acts(world, r);
		break;
	case 8:
		world_udp_reply(world, payload, read_payload(r));
		break;
	case 9:
		client_comes(world, r);
		break;
	case 10:
		loop_advance(world->loop, (uint64_t)1 << amount);
		break;
	case 11:
		loop_advance(world->loop, amount * 60000u);
		break;
	case 12:
		sim_link_set_room(world->guests[amount % GUESTS].link, amount / GUESTS * 4);
		break;
	case 13:
		world_reconnect(world, amount % GUESTS);
		break;
	case 14:
		guest_sends_raw(world, r);
		break;
	case 15:
		break;
	}
	if (amount & 1 || (operation & 15) == 15)
		world_turn(world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world world;
	struct wire_reader r = wire_reader(data, size);

	log_set_levels("error");
	world_open(&world, wire_u8(&r) & 1);
	for (unsigned i = 0; i < OPERATIONS_MAX && wire_ok(&r) && wire_left(&r); i++) {
		operate(&world, &r);
		world_check(&world);
	}
	world_close(&world);
	return 0;
}
