/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes from a guest's stream, in pieces, through link and switch: framing, learning, GRO, and
 * out of a second link that reads nothing. The first byte is the size of the pieces.
 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "netstack/link_framed.h"
#include "netstack/offload.h"
#include "netstack/switch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void receive(void *arg, unsigned port, const struct frame *frame)
{
	struct frame_headers headers;

	(void)arg;
	(void)port;
	if (offload_validate(frame) < 0)
		abort();
	if (frame_parse_headers(frame, &headers) == 0)
		offload_csum_ok(frame, &headers);
}

static void writable(void *arg)
{
	(void)arg;
}

static const struct switch_local local = {.receive = receive, .writable = writable};

/* Attaches one end of a socketpair; returns the other. */
static int attach(struct loop *loop, struct nswitch *sw)
{
	int sockets[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets) < 0 ||
	    link_framed_open(loop, sockets[0], FRAMING_QEMU, NULL, 0, "fuzz", switch_sink(sw)) < 0)
		abort();
	return sockets[1];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct mac gateway = {{0x52, 0x55, 0, 0, 0, 1}};
	static struct loop *loop;
	struct nswitch *sw;
	int guest, deaf;

	if (size < 1)
		return 0;
	if (!loop) {
		log_set_levels("error");
		if (loop_new(&loop) < 0)
			abort();
	}
	if (switch_new(loop, &gateway, &local, NULL, &sw) < 0)
		abort();
	guest = attach(loop, sw);
	deaf = attach(loop, sw);
	for (size_t at = 1; at < size;) {
		size_t piece = data[0] ? data[0] * (size_t)7 : size;
		ssize_t sent = send(guest, data + at, piece < size - at ? piece : size - at,
				    MSG_NOSIGNAL);

		if (loop_run_once(loop, false) < 0)
			abort();
		if (sent > 0)
			at += (size_t)sent;
		else if (switch_ports(sw, NULL, 0) < 2)
			break; /* disconnected for bad framing */
	}
	close(guest);
	loop_run_once(loop, false);
	loop_run_once(loop, false);
	if (switch_ports(sw, NULL, 0) != 1)
		abort();
	switch_free(sw);
	close(deaf);
	return 0;
}
