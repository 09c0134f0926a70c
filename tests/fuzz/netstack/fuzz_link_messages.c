/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests whose frames are messages: datagrams to our path, of clients that are connected to it,
 * that aren't, that greet as vfkit's do, that vanish, and that come back under the same name; and
 * one on a connected socket. The input is a list of operations. Whatever arrives is a frame that
 * the stack's checks take, and nothing is left at the end.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "base/wire.h"
#include "netstack/link_dgram.h"
#include "netstack/link_packet.h"
#include "netstack/offload.h"
#include "netstack/switch.h"
#include "sim/sim_packet.h"
#include "fuzz.h"

#define OPERATIONS_MAX 100
#define CLIENTS        4
#define MTU            1500
/* Of a datagram; a little more than what a frame may have. */
#define MESSAGE_MAX (FRAME_SIZE_MAX + 256)

static const struct mac gateway = {{0x52, 0x55, 0, 0, 0, 1}};

struct fuzz {
	struct loop *loop;
	struct nswitch *sw;
	struct link_dgram_listener *listener;
	int clients[CLIENTS]; /* -1: none */
	int connected;        /* the other end of link_packet's; -1: closed */
};

static char path[FUZZ_PATH_MAX];

static struct sockaddr_un client_address(unsigned index)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	snprintf(at.sun_path, sizeof(at.sun_path), "%s/%u", fuzz_directory(), index);
	return at;
}

static void receive(void *arg, unsigned port, const struct frame *frame)
{
	struct frame_headers headers;

	(void)arg;
	(void)port;
	must(offload_validate(frame) == 0);
	if (frame_parse_headers(frame, &headers) == 0)
		offload_csum_ok(frame, &headers);
}

static void writable(void *arg)
{
	(void)arg;
}

static const struct switch_local local = {.receive = receive, .writable = writable};

static void start(struct fuzz *fuzz, bool vfkit)
{
	struct link_dgram_conf conf = {.kind = "fuzz", .path = path, .vfkit = vfkit, .mtu = MTU};
	int sockets[2];

	*fuzz = (struct fuzz){0};
	for (unsigned i = 0; i < CLIENTS; i++)
		fuzz->clients[i] = -1;
	must(loop_new(&fuzz->loop) == 0);
	loop_use_virtual_time(fuzz->loop, 1000000);
	must(switch_new(fuzz->loop, &gateway, &local, NULL, &fuzz->sw) == 0);
	conf.sink = switch_sink(fuzz->sw);
	must(link_dgram_listen(fuzz->loop, &conf, &fuzz->listener) == 0);
	must(socketpair(AF_UNIX,
			(vfkit ? SOCK_SEQPACKET : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
			sockets) == 0);
	must(link_packet_open(fuzz->loop, sockets[0], "packet", switch_sink(fuzz->sw)) == 0);
	fuzz->connected = sockets[1];
}

/* A client with its name, in place of whoever has it; connected to us or not. */
static void client_comes(struct fuzz *fuzz, unsigned index, bool connected)
{
	struct sockaddr_un own = client_address(index), to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	strcpy(to.sun_path, path);
	unlink(own.sun_path);
	must(fd >= 0 && bind(fd, (struct sockaddr *)&own, sizeof(own)) == 0);
	must(!connected || connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
	fd_close(&fuzz->clients[index]);
	fuzz->clients[index] = fd;
}

static void put(struct fuzz *fuzz, unsigned index, const uint8_t *bytes, size_t size)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = index < CLIENTS ? fuzz->clients[index] : fuzz->connected;

	strcpy(to.sun_path, path);
	if (fd >= 0 && send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
	    errno == ENOTCONN && index < CLIENTS)
		(void)!sendto(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&to,
			      sizeof(to));
}

/* TCP or UDP from a guest to the gateway, another guest or everybody, perhaps with its checksum
 * left to others, or larger than the MTU, and with a byte changed. */
static void put_packet(struct fuzz *fuzz, unsigned index, struct wire_reader *r)
{
	static uint8_t frame[SIM_PACKET_MAX], payload[65000];
	uint8_t shape = wire_u8(r), amount = wire_u8(r);
	bool v6 = shape & 1;
	struct sim_packet packet = {
		.src_mac = {{0x52, 0x54, 0, 0, 0, (uint8_t)(2 + index)}},
		.dst_mac = gateway,
		.protocol = shape & 2 ? IPPROTO_UDP : IPPROTO_TCP,
		.src_port = 1000,
		.dst_port = 80,
		.flags = SIM_TCP_ACK,
		.partial = shape & 4,
		.payload = payload,
		.payload_size = shape & 8 ? amount * 250u : amount,
		.padding = shape >> 7,
	};
	size_t size;

	must(addr_parse(v6 ? "fd65::2" : "192.168.65.2", &packet.src) == 0);
	must(addr_parse(v6 ? "fd65::1" : "192.168.65.1", &packet.dst) == 0);
	if (shape & 16)
		packet.dst_mac = shape & 32 ? mac_broadcast
					    : (struct mac){{0x52, 0x54, 0, 0, 0, 3}};
	size = sim_packet_build(&packet, frame);
	if (shape & 64)
		frame[wire_u8(r) % size] ^= wire_u8(r);
	put(fuzz, index, frame, size);
}

static void put_bytes(struct fuzz *fuzz, unsigned index, struct wire_reader *r)
{
	static uint8_t bytes[MESSAGE_MAX];
	uint8_t kind = wire_u8(r);
	size_t size = kind < wire_left(r) ? kind : wire_left(r);

	if (kind == 255) {
		put(fuzz, index, (const uint8_t *)"VFKT", 4);
	} else if (kind == 254) {
		put(fuzz, index, bytes, sizeof(bytes) - wire_u8(r) * 2u);
	} else {
		wire_copy(r, bytes, size);
		put(fuzz, index, bytes, size);
	}
}

static void operate(struct fuzz *fuzz, struct wire_reader *r)
{
	static uint8_t bytes[MESSAGE_MAX];
	uint8_t operation = wire_u8(r);
	unsigned amount = operation >> 3, index = amount % (CLIENTS + 1);
	int *fd = index < CLIENTS ? &fuzz->clients[index] : &fuzz->connected;

	switch (operation & 7) {
	case 0:
		if (index < CLIENTS && fuzz->listener)
			client_comes(fuzz, index, amount >= 16);
		break;
	case 1:
		put_bytes(fuzz, index, r);
		break;
	case 2:
	case 3:
		put_packet(fuzz, index, r);
		break;
	case 4:
		fd_close(fd);
		break;
	case 5:
		for (unsigned i = 0; *fd >= 0 && i <= amount; i++)
			(void)!recv(*fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		break;
	case 6:
		loop_run_once(fuzz->loop, false);
		break;
	case 7:
		if (amount == 31) {
			link_dgram_listener_free(fuzz->listener);
			fuzz->listener = NULL;
		} else {
			loop_advance(fuzz->loop, amount * 100u);
		}
		break;
	}
	must(switch_ports(fuzz->sw, NULL, 0) <= 2 + 2 * OPERATIONS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz fuzz;
	struct wire_reader r = wire_reader(data, size);
	unsigned fds;

	log_set_levels("error");
	snprintf(path, sizeof(path), "%s/net", fuzz_directory());
	fds = count_fds();
	start(&fuzz, wire_u8(&r) & 1);
	for (unsigned i = 0; i < OPERATIONS_MAX && wire_ok(&r) && wire_left(&r); i++)
		operate(&fuzz, &r);
	loop_run_once(fuzz.loop, false);
	switch_free(fuzz.sw);
	link_dgram_listener_free(fuzz.listener);
	loop_free(fuzz.loop);
	for (unsigned i = 0; i < CLIENTS; i++)
		fd_close(&fuzz.clients[i]);
	fd_close(&fuzz.connected);
	must(count_fds() == fds);
	return 0;
}
