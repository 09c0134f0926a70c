/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes from a VMN3T client, in pieces: the introduction, and frames behind 16-bit lengths,
 * through the switch. Bit 0 of the first byte puts a right introduction in front; the rest of it is
 * the size of the pieces.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "netstack/link_vpnkit.h"
#include "netstack/offload.h"
#include "netstack/offload_infer.h"
#include "netstack/switch.h"
#include "netstack/vmnet_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void receive(void *arg, unsigned port, const struct frame *frame)
{
	struct frame copy = *frame;

	(void)arg;
	(void)port;
	if (offload_validate(frame) < 0)
		abort();
	/* The same frame, as if it came from a guest whose offloads aren't known. */
	if (frame->csum == FRAME_CSUM_UNKNOWN) {
		offload_infer(&copy, 1500);
		if (offload_validate(&copy) < 0)
			abort();
	}
}

static void writable(void *arg)
{
	(void)arg;
}

static int prefer(void *arg, const struct mac *mac, const struct addr *preferred)
{
	(void)arg;
	if (preferred->family != AF_INET)
		abort();
	return mac->bytes[5] & 1 ? 0 : -17;
}

static const struct switch_local local = {.receive = receive, .writable = writable};

static void drain(int fd)
{
	uint8_t bytes[4096];

	while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

static void put(struct loop *loop, int fd, const uint8_t *bytes, size_t size, size_t piece)
{
	for (size_t at = 0; at < size;) {
		ssize_t sent = send(fd, bytes + at, piece < size - at ? piece : size - at,
				    MSG_NOSIGNAL | MSG_DONTWAIT);

		if (loop_run_once(loop, false) < 0)
			abort();
		drain(fd);
		if (sent <= 0)
			break; /* refused */
		at += (size_t)sent;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct mac gateway = {{0x52, 0x55, 0, 0, 0, 1}};
	static struct loop *loop;
	struct link_vpnkit_listener *listener;
	struct link_vpnkit_conf conf = {.mtu = 1500, .prefer = prefer};
	uint8_t hello[VMNET_HELLO_SIZE];
	uint8_t command[VMNET_COMMAND_SIZE] = "\1"
					      "1b671a64-40d5-491e-99b0-da01ff1f3341";
	struct nswitch *sw;
	char path[64];
	size_t piece;
	int fd;

	if (size < 1)
		return 0;
	piece = data[0] > 1 ? (size_t)data[0] / 2 * 5 : size;
	if (!loop) {
		log_set_levels("error");
		if (loop_new(&loop) < 0)
			abort();
	}
	snprintf(path, sizeof(path), "/tmp/netproxy-fuzz-vpnkit-%d", (int)getpid());
	conf.path = path;
	if (switch_new(loop, &gateway, &local, NULL, &sw) < 0)
		abort();
	conf.sink = switch_sink(sw);
	if (link_vpnkit_listen(loop, &conf, &listener) < 0 ||
	    sock_connect_unix(path, SOCK_STREAM, &fd) < 0)
		abort();
	loop_run_once(loop, false);
	if (data[0] & 1) {
		vmnet_hello_write(hello);
		put(loop, fd, hello, sizeof(hello), sizeof(hello));
		put(loop, fd, command, sizeof(command), sizeof(command));
		if (switch_ports(sw, NULL, 0) != 1)
			abort();
	}
	put(loop, fd, data + 1, size - 1, piece ? piece : 1);
	close(fd);
	for (int i = 0; i < 3; i++)
		loop_run_once(loop, false);
	if (switch_ports(sw, NULL, 0) != 0)
		abort();
	link_vpnkit_listener_free(listener);
	switch_free(sw);
	return 0;
}
