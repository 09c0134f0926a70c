/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A front-end's messages into a session. Input: messages, each with a byte before it that says
 * which fds come with it (the low bits: none, memory, an eventfd, both of the memory's) and the
 * bytes of header and payload as on the socket. The device returns every chain at once.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "virtio/vhost_session.h"

#define MEM_SIZE     65536
#define QUEUES       2
#define MESSAGES_MAX 64

static struct loop *loop;
static int mem_fd, event_fd;
static struct vhost_session session;
static struct virtq *queues[QUEUES];

static void on_started(void *arg, unsigned index, struct virtq *vq)
{
	(void)arg;
	if (queues[index])
		abort();
	queues[index] = vq;
}

static void on_kicked(void *arg, unsigned index)
{
	struct iovec iov[4];
	struct virtq_chain chain = {.iov = iov, .iov_max = 4};
	int r = 0;

	(void)arg;
	if (!queues[index])
		abort();
	for (unsigned i = 0; i < 16 && (r = virtq_pop(queues[index], &chain)) > 0; i++)
		virtq_push(queues[index], chain.head, 0);
	if (r < 0)
		vhost_session_queue_broken(&session, index);
	virtq_notify(queues[index]);
}

static void on_stopped(void *arg, unsigned index)
{
	(void)arg;
	if (!queues[index])
		abort();
	queues[index] = NULL;
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
};

static const struct vhost_conf conf = {
	.name = "fuzz",
	.features = FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_F_EVENT_IDX) |
		    FEATURE(VIRTIO_F_INDIRECT_DESC),
	.queue_count = QUEUES,
	.queue_num = QUEUES,
	.ops = &ops,
};

static void init(void)
{
	log_set_levels("error");
	log_set_file("/dev/null");
	mem_fd = memfd_create("fuzz", MFD_CLOEXEC);
	event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop_new(&loop) < 0 || mem_fd < 0 || event_fd < 0 || ftruncate(mem_fd, MEM_SIZE) < 0)
		abort();
}

static void add_fds(struct vhost_msg *msg, uint8_t which)
{
	if (which & 1)
		msg->fds[msg->fd_count++] = dup(mem_fd);
	if (which & 2)
		msg->fds[msg->fd_count++] = dup(event_fd);
	if (which & 4)
		msg->fds[msg->fd_count++] = dup(mem_fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!loop)
		init();
	vhost_session_init(&session, loop, &conf);
	for (unsigned i = 0; i < MESSAGES_MAX && size > VHOST_HEADER_SIZE; i++) {
		uint8_t bytes[VHOST_HEADER_SIZE + VHOST_PAYLOAD_MAX];
		struct vhost_msg msg = {0};
		struct vhost_msg reply;
		uint8_t which = data[0];

		if (vhost_header_decode(data + 1, &msg.header) < 0)
			break;
		data += 1 + VHOST_HEADER_SIZE;
		size -= 1 + VHOST_HEADER_SIZE;
		if (msg.header.size > size)
			break;
		if (vhost_payload_decode(data, &msg) < 0)
			break;
		data += msg.header.size;
		size -= msg.header.size;
		add_fds(&msg, which);
		int r = vhost_session_handle(&session, &msg, &reply);

		if (msg.fd_count != 0)
			abort();
		if (r < 0)
			break;
		if (r == 1)
			vhost_msg_encode(&reply, bytes, sizeof(bytes));
		if (which & 8) {
			eventfd_write(event_fd, 1);
			loop_run_once(loop, false);
		}
	}
	vhost_session_clear(&session);
	for (unsigned i = 0; i < QUEUES; i++)
		if (queues[i])
			abort();
	return 0;
}
