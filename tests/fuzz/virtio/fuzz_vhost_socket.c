/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A front-end on its socket, beside what fuzz_vhost_user.c does to the session behind it: bytes in
 * pieces, descriptors that come with any of them, more than belong there too, connections that end
 * anywhere, and second ones. Input: pieces, each with a byte for descriptors and what happens next,
 * one for its size, and its bytes. No descriptor is left when the front-end has gone.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "base/wire.h"
#include "virtio/vhost_user.h"
#include "fuzz.h"

#define MEM_SIZE   65536
#define QUEUES     2
#define PIECES_MAX 100
#define FDS_MAX    32 /* that one piece brings; more than any message may have */

struct fuzz {
	struct loop *loop;
	struct vhost_user *vhost;
	struct virtq *queues[QUEUES];
	bool attached;
	int front_end; /* -1: none */
};

static char path[FUZZ_PATH_MAX];
static int mem_fd, event_fd;

static void init(void)
{
	log_set_levels("error");
	log_set_file("/dev/null");
	snprintf(path, sizeof(path), "%s/vhost", fuzz_directory());
	mem_fd = memfd_create("fuzz", MFD_CLOEXEC);
	event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(mem_fd >= 0 && event_fd >= 0 && ftruncate(mem_fd, MEM_SIZE) == 0);
}

/* ---- The device, which returns every chain at once ---- */

static void on_started(void *arg, unsigned index, struct virtq *vq)
{
	struct fuzz *fuzz = arg;

	must(fuzz->attached && !fuzz->queues[index]);
	fuzz->queues[index] = vq;
}

static void on_kicked(void *arg, unsigned index)
{
	struct fuzz *fuzz = arg;
	struct iovec iov[4];
	struct virtq_chain chain = {.iov = iov, .iov_max = 4};
	int r = 0;

	must(fuzz->queues[index] != NULL);
	for (unsigned i = 0; i < 16 && (r = virtq_pop(fuzz->queues[index], &chain)) > 0; i++)
		virtq_push(fuzz->queues[index], chain.head, 0);
	if (r < 0)
		vhost_user_queue_broken(fuzz->vhost, index);
	virtq_notify(fuzz->queues[index]);
}

static void on_stopped(void *arg, unsigned index)
{
	struct fuzz *fuzz = arg;

	must(fuzz->queues[index] != NULL);
	fuzz->queues[index] = NULL;
}

static void on_attached(void *arg)
{
	struct fuzz *fuzz = arg;

	must(!fuzz->attached);
	fuzz->attached = true;
}

static void on_detached(void *arg)
{
	struct fuzz *fuzz = arg;

	must(fuzz->attached);
	for (unsigned i = 0; i < QUEUES; i++)
		must(!fuzz->queues[i]);
	fuzz->attached = false;
}

static int on_config(void *arg, uint32_t offset, uint32_t size, uint8_t *to)
{
	(void)arg;
	if (offset > 8 || size > 8 - offset)
		return -1;
	memset(to, 0x5a, size);
	return 0;
}

static const struct vhost_device_ops ops = {
	.queue_started = on_started,
	.queue_kicked = on_kicked,
	.queue_stopped = on_stopped,
	.config_read = on_config,
	.attached = on_attached,
	.detached = on_detached,
};

/* ---- The front-end ---- */

/* A piece with `count` descriptors: `first`, then turn by turn of an event and of memory. */
static void send_piece(int fd, const void *bytes, size_t size, int first, unsigned count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * FDS_MAX)];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)bytes, .iov_len = size};
	struct msghdr hdr = {.msg_iov = &iov, .msg_iovlen = 1};
	int fds[FDS_MAX];

	for (unsigned i = 0; i < count; i++)
		fds[i] = i == 0 ? first : i % 2 ? event_fd : mem_fd;
	if (count) {
		hdr.msg_control = &control;
		hdr.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		CMSG_FIRSTHDR(&hdr)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&hdr)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&hdr)->cmsg_len = CMSG_LEN(sizeof(int) * count);
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&hdr)), fds, sizeof(int) * count);
	}
	(void)!sendmsg(fd, &hdr, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void piece(struct fuzz *fuzz, struct wire_reader *r)
{
	static const unsigned counts[] = {0, 0, 1, 1, 2, 3, 9, FDS_MAX};
	uint8_t how = wire_u8(r), answer[512];
	size_t size = wire_u8(r);
	uint8_t bytes[256];
	int second;

	size = size < wire_left(r) ? size : wire_left(r);
	wire_copy(r, bytes, size);
	if (fuzz->front_end < 0)
		must(sock_connect_unix(path, SOCK_STREAM, &fuzz->front_end) == 0);
	if (size)
		send_piece(fuzz->front_end, bytes, size, (how & 7) == 3 ? event_fd : mem_fd,
			   counts[how & 7]);
	if (how & 8)
		eventfd_write(event_fd, 1);
	if (how & 16)
		loop_run_once(fuzz->loop, false);
	if (how & 32)
		while (recv(fuzz->front_end, answer, sizeof(answer), MSG_DONTWAIT) > 0)
			;
	if (how >> 6 == 3)
		fd_close(&fuzz->front_end);
	if (how >> 6 == 2) {
		must(sock_connect_unix(path, SOCK_STREAM, &second) == 0);
		loop_run_once(fuzz->loop, false);
		fd_close(&second);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz fuzz;
	struct vhost_conf conf = {
		.name = "fuzz",
		.features = FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_F_EVENT_IDX) |
			    FEATURE(VIRTIO_F_INDIRECT_DESC),
		.queue_count = QUEUES,
		.queue_num = QUEUES,
		.ops = &ops,
		.arg = &fuzz,
	};
	struct wire_reader r = wire_reader(data, size);
	unsigned fds;

	if (!path[0])
		init();
	fds = count_fds();
	fuzz = (struct fuzz){.front_end = -1};
	must(loop_new(&fuzz.loop) == 0);
	loop_use_virtual_time(fuzz.loop, 1000000);
	must(vhost_user_new(fuzz.loop, path, &conf, &fuzz.vhost) == 0);
	for (unsigned i = 0; i < PIECES_MAX && wire_ok(&r) && wire_left(&r); i++)
		piece(&fuzz, &r);
	loop_run_once(fuzz.loop, false);
	fd_close(&fuzz.front_end);
	loop_run_once(fuzz.loop, false);
	loop_advance(fuzz.loop, 1000);
	/* There may be others in the queue, each of which has gone, too. */
	for (unsigned i = 0; i < 2 * PIECES_MAX; i++)
		loop_run_once(fuzz.loop, false);
	must(!fuzz.attached && !vhost_user_attached(fuzz.vhost));
	vhost_user_free(fuzz.vhost);
	loop_free(fuzz.loop);
	must(count_fds() == fds);
	return 0;
}
