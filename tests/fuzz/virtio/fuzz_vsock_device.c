/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vsock device with unix sockets of the host's behind it: a guest's packets, which it reads and
 * sends as a driver's queues would bring them, the host's programs on both ends, and time. The
 * input is a list of operations. No more streams than the limits allow, nobody gets more than it
 * has credit for, and nothing is left at the end.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "base/wire.h"
#include "virtio/vsock_internal.h"
#include "fuzz.h"

#define OPERATIONS_MAX 200
#define CID            3
#define CONNS_MAX      6
#define BUF_ALLOC      8192
#define ENDS_MAX       8
#define SEEN_MAX       8
#define PORT_SERVED    80u
#define PAYLOAD_MAX    8192

/* A connection as the guest knows it. */
struct seen {
	uint32_t guest_port, host_port;
	uint32_t received;
};

struct fuzz {
	struct loop *loop;
	struct vsock_device *device;
	struct seen seen[SEEN_MAX];
	unsigned seen_next;
	int ends[ENDS_MAX]; /* of the host's programs; -1: none */
};

static char base[FUZZ_PATH_MAX];
static int listen_fd = -1; /* of PORT_SERVED; kept from one input to the next */

static void listen_once(void)
{
	char path[FUZZ_PATH_MAX + 16];

	if (listen_fd >= 0)
		return;
	snprintf(base, sizeof(base), "%s/v", fuzz_directory());
	snprintf(path, sizeof(path), "%s_%u", base, PORT_SERVED);
	must(sock_listen_unix(path, SOCK_STREAM, &listen_fd) == 0);
}

static void start(struct fuzz *fuzz)
{
	const struct vsock_conf conf = {.socket_path = base,
					.guest_cid = CID,
					.conns_max = CONNS_MAX,
					.buf_alloc = BUF_ALLOC};
	char error[256];

	*fuzz = (struct fuzz){0};
	for (unsigned i = 0; i < ENDS_MAX; i++)
		fuzz->ends[i] = -1;
	must(loop_new(&fuzz->loop) == 0);
	loop_use_virtual_time(fuzz->loop, 1000000);
	must(vsock_device_new(fuzz->loop, &conf, &fuzz->device, error, sizeof(error)) == 0);
}

static void add_end(struct fuzz *fuzz, int fd)
{
	unsigned slot = 0;

	while (slot < ENDS_MAX - 1 && fuzz->ends[slot] >= 0)
		slot++;
	fd_close(&fuzz->ends[slot]);
	fuzz->ends[slot] = fd;
}

static struct seen *see(struct fuzz *fuzz, uint32_t guest_port, uint32_t host_port)
{
	struct seen *seen;

	for (unsigned i = 0; i < SEEN_MAX; i++)
		if (fuzz->seen[i].guest_port == guest_port && fuzz->seen[i].host_port == host_port)
			return &fuzz->seen[i];
	seen = &fuzz->seen[fuzz->seen_next++ % SEEN_MAX];
	*seen = (struct seen){.guest_port = guest_port, .host_port = host_port};
	return seen;
}

/* A packet of the guest's: of a connection that there is, or any. */
static void guest_sends(struct fuzz *fuzz, struct wire_reader *r, bool known)
{
	static uint8_t payload[PAYLOAD_MAX];
	struct vsock_device *d = fuzz->device;
	uint8_t which = wire_u8(r), op = wire_u8(r), shape = wire_u8(r), amount = wire_u8(r);
	struct seen *seen = known ? &fuzz->seen[which % SEEN_MAX]
				  : see(fuzz, 1000 + (which & 7), PORT_SERVED + (which >> 7));
	struct vsock_header header = {
		.src_cid = shape & 1 && amount == 255 ? 4 : CID,
		.dst_cid = VSOCK_CID_HOST,
		.src_port = seen->guest_port,
		.dst_port = seen->host_port,
		.type = shape & 2 && amount == 255 ? 2 : VSOCK_TYPE_STREAM,
		.op = op & 7,
		.flags = op >> 3 & 3,
		.buf_alloc = shape & 4 ? wire_be16(r) : 65536,
		.fwd_cnt = shape & 8 ? wire_be32(r) : seen->received,
	};
	struct iovec iov = {.iov_base = payload};
	struct vsock_result result;
	size_t size = 0;

	if (header.op == VSOCK_OP_RW) {
		size = amount * 32u % PAYLOAD_MAX;
		header.size = (uint32_t)(shape & 16 ? size + amount : size);
	}
	/* As vsock.c takes it from its queue; so often that nobody reads it all. */
	for (unsigned i = 0; i <= (shape >> 5) * 5u; i++) {
		result = vsock_mux_input(&d->mux, &header, size);
		iov.iov_len = header.size;
		must(result.action != VSOCK_ACT_DATA || header.size <= size);
		vsock_host_act(d, &result, &iov, result.action == VSOCK_ACT_DATA);
	}
}

/* The guest gives buffers, as many as that, and gets packets. */
static void guest_receives(struct fuzz *fuzz, unsigned count)
{
	static uint8_t buffer[PAYLOAD_MAX];
	struct vsock_device *d = fuzz->device;
	struct iovec iov = {.iov_base = buffer, .iov_len = sizeof(buffer)};
	struct vsock_header header;

	while (count-- > 0 && (vsock_mux_output_due(&d->mux) || !list_empty(&d->ready))) {
		struct seen *seen;
		size_t size = 0;

		if (!vsock_mux_output(&d->mux, &header)) {
			size = vsock_host_read(d, &iov, 1, sizeof(buffer) >> (count & 7), &header);
			if (size == 0)
				continue;
			must(size == header.size && header.op == VSOCK_OP_RW);
		}
		must(header.src_cid == VSOCK_CID_HOST && header.dst_cid == CID);
		seen = see(fuzz, header.dst_port, header.src_port);
		seen->received += (uint32_t)size;
	}
	vsock_host_tick_if_needed(d);
}

/* A program of the host's that was connected, or has. */
static void host_acts(struct fuzz *fuzz, struct wire_reader *r, unsigned index)
{
	static char data[65536];
	int *fd = &fuzz->ends[index % ENDS_MAX];
	uint8_t what = wire_u8(r);

	if (*fd < 0)
		return;
	switch (what & 3) {
	case 0:
		(void)!send(*fd, data, (what >> 2) * 400u, MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case 1:
		(void)!recv(*fd, data, (what >> 2) * 400u, MSG_DONTWAIT);
		break;
	case 2:
		shutdown(*fd, what & 4 ? SHUT_RD : SHUT_WR);
		break;
	case 3:
		fd_close(fd);
		break;
	}
}

/* One that asks for a port of the guest's. */
static void host_connects(struct fuzz *fuzz, struct wire_reader *r, unsigned port)
{
	uint8_t size = wire_u8(r);
	char line[64], path[128];
	int fd;

	snprintf(path, sizeof(path), "%s_connect", base);
	if (sock_connect_unix(path, SOCK_STREAM, &fd) < 0)
		return;
	if (size < 32) {
		size = (uint8_t)(size < wire_left(r) ? size : wire_left(r));
		wire_copy(r, line, size);
	} else {
		size = (uint8_t)snprintf(line, sizeof(line), "CONNECT %u\n", 2000 + port);
	}
	(void)!send(fd, line, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	add_end(fuzz, fd);
}

static void turn(struct fuzz *fuzz)
{
	struct vsock_counters counters;
	int fd;

	loop_run_once(fuzz->loop, false);
	while (sock_accept(listen_fd, &fd, NULL) == 0)
		add_end(fuzz, fd);
	counters = vsock_device_counters(fuzz->device);
	must(counters.conns_now <= CONNS_MAX);
	must(fuzz->device->handshakes_count <= VSOCK_HANDSHAKES_MAX);
}

static void operate(struct fuzz *fuzz, struct wire_reader *r)
{
	uint8_t operation = wire_u8(r);
	unsigned amount = operation >> 3;

	switch (operation & 7) {
	case 0:
		guest_sends(fuzz, r, false);
		break;
	case 1:
	case 2:
		guest_sends(fuzz, r, true);
		break;
	case 3:
		guest_receives(fuzz, amount + 1);
		break;
	case 4:
		host_acts(fuzz, r, amount);
		break;
	case 5:
		host_connects(fuzz, r, amount);
		break;
	case 6:
		loop_advance(fuzz->loop, (uint64_t)1 << (amount % 17));
		break;
	case 7:
		if (amount == 31) { /* the guest begins anew */
			vsock_host_drop_conns(fuzz->device);
			vsock_mux_clear(&fuzz->device->mux);
		}
		break;
	}
	if (operation & 8)
		turn(fuzz);
}

static void finish(struct fuzz *fuzz)
{
	turn(fuzz);
	for (unsigned i = 0; i < ENDS_MAX; i++)
		fd_close(&fuzz->ends[i]);
	turn(fuzz);
	for (unsigned i = 0; i < ENDS_MAX; i++)
		fd_close(&fuzz->ends[i]);
	for (unsigned i = 0; i < 4; i++) {
		guest_receives(fuzz, 10000);
		turn(fuzz);
	}
	/* What waits for the guest, or the host's programs, has a deadline. */
	loop_advance(fuzz->loop, 2 * VSOCK_DRAIN_TIMEOUT_MS);
	guest_receives(fuzz, 10000);
	turn(fuzz);
	must(fuzz->device->handshakes_count == 0);
	vsock_device_free(fuzz->device);
	loop_free(fuzz->loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz fuzz;
	struct wire_reader r = wire_reader(data, size);
	unsigned fds;

	log_set_levels("error");
	listen_once();
	fds = count_fds();
	start(&fuzz);
	for (unsigned i = 0; i < OPERATIONS_MAX && wire_ok(&r) && wire_left(&r); i++)
		operate(&fuzz, &r);
	finish(&fuzz);
	must(count_fds() == fds);
	return 0;
}
