/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VPNKit's port control on its socket, with clients of a guest that send 9P messages in pieces of
 * any size, read the answers or don't, and go. What they publish, on a few ports of the loopback
 * and only for their own address, ends with them. Input: a list of operations.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/vpnkit_door.h"
#include "base/log.h"
#include "base/sock.h"
#include "base/wire.h"
#include "fuzz.h"

#define OPERATIONS_MAX 100
#define CLIENTS        (VPNKIT_GUEST_CLIENTS_MAX + 2)
#define PORT_FIRST     46710
#define PORT_LAST      46713

struct fuzz {
	struct loop *loop;
	struct forwarder *forwarder;
	struct publish *publish;
	struct vpnkit_door *door;
	int clients[CLIENTS]; /* -1: none */
};

static char path[FUZZ_PATH_MAX];

static int guest_addr(void *arg, uint32_t guest_id, struct addr *ret)
{
	(void)arg;
	must(guest_id == 1);
	*ret = addr_from_v4(0xc0a84102u);
	return 0;
}

static void start(struct fuzz *fuzz)
{
	struct forwarder_conf conf = {
		.stack = {.mac = {{0x52, 0x55, 0, 0, 0, 1}}, .mtu = 1500, .conns_max = 16},
		.policy_deny_by_default = true,
		.udp_flows_max = 16,
	};
	struct publish_rule rule = {.first = PORT_FIRST, .last = PORT_LAST};
	const struct api_door door = {.kind = API_DOOR_GUEST, .guest_id = 1};
	struct api_backend backend = {.guest_addr = guest_addr};

	*fuzz = (struct fuzz){0};
	for (unsigned i = 0; i < CLIENTS; i++)
		fuzz->clients[i] = -1;
	must(prefix_parse("192.168.65.0/24", &conf.stack.subnet) == 0);
	must(prefix_parse("127.0.0.1/32", &rule.hosts) == 0);
	conf.stack.gateway = addr_from_v4(0xc0a84101u);
	conf.stack.alias = addr_from_v4(0xc0a841feu);
	must(loop_new(&fuzz->loop) == 0);
	loop_use_virtual_time(fuzz->loop, 1000000);
	must(forwarder_new(fuzz->loop, &conf, &fuzz->forwarder) == 0);
	must(publish_new(fuzz->loop, fuzz->forwarder, &fuzz->publish) == 0);
	must(publish_set_guest_rules(fuzz->publish, &rule, 1) == 0);
	backend.forwarder = fuzz->forwarder;
	backend.publish = fuzz->publish;
	must(vpnkit_door_new(fuzz->loop, &backend, &door, path, &fuzz->door) == 0);
}

static void operate(struct fuzz *fuzz, struct wire_reader *r)
{
	uint8_t operation = wire_u8(r), bytes[8192];
	unsigned amount = operation >> 3;
	int *fd = &fuzz->clients[amount % CLIENTS];
	size_t size;

	switch (operation & 7) {
	case 0:
	case 1:
	case 2:
	case 3:
		if (*fd < 0)
			must(sock_connect_unix(path, SOCK_STREAM, fd) == 0);
		size = wire_u8(r);
		size = size < wire_left(r) ? size : wire_left(r);
		wire_copy(r, bytes, size);
		/* Until nobody can read so much: answers wait then. */
		for (unsigned i = 0; i < (operation & 4 ? 1u : 1u + amount / CLIENTS * 20); i++)
			(void)!send(*fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case 4:
		if (*fd >= 0)
			(void)!recv(*fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		break;
	case 5:
		fd_close(fd);
		break;
	case 6:
		if (*fd >= 0)
			shutdown(*fd, SHUT_WR);
		break;
	case 7:
		loop_advance(fuzz->loop, amount * 1000u);
		break;
	}
	loop_run_once(fuzz->loop, false);
	must(publish_count(fuzz->publish) <= 2 * (PORT_LAST - PORT_FIRST + 1));
}

static void finish(struct fuzz *fuzz)
{
	for (unsigned i = 0; i < CLIENTS; i++)
		fd_close(&fuzz->clients[i]);
	for (unsigned i = 0; i < 100 && publish_count(fuzz->publish); i++)
		loop_run_once(fuzz->loop, false);
	must(publish_count(fuzz->publish) == 0);
	vpnkit_door_free(fuzz->door);
	publish_free(fuzz->publish);
	forwarder_free(fuzz->forwarder);
	loop_free(fuzz->loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz fuzz;
	struct wire_reader r = wire_reader(data, size);
	unsigned fds;

	log_set_levels("error");
	snprintf(path, sizeof(path), "%s/door", fuzz_directory());
	fds = count_fds();
	start(&fuzz);
	for (unsigned i = 0; i < OPERATIONS_MAX && wire_ok(&r) && wire_left(&r); i++)
		operate(&fuzz, &r);
	finish(&fuzz);
	must(count_fds() == fds);
	return 0;
}
