/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver that does anything: both rings of a vhost-user link over fuzzed memory. Input: a byte
 * that chooses the features, a byte that says which frames are kept, and then the guest's memory:
 * the ring from the guest at 0 (descriptors, at 0x200 available, at 0x300 used), the ring to it the
 * same at 0x400, and whatever these describe. Every frame that comes is sent back.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "netstack/link_vhost_private.h"
#include "netstack/offload.h"

#define MEM_SIZE  (96u * 1024)
#define USER_BASE UINT64_C(0x100000)
#define RING_SIZE 16
#define KEPT_MAX  64

struct kept {
	struct iobuf_hold hold;
	void *at;
	size_t size;
};

static struct guest_mem mem;
static uint8_t *memory;
static struct loop *loop;
static struct link_vhost_listener *listener;
static uint8_t keep_pattern;
static unsigned frames;
static struct kept kept[KEPT_MAX];
static unsigned kept_count;

static void touch(const uint8_t *bytes, size_t size)
{
	volatile uint8_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + bytes[i]);
}

static void on_receive(void *arg, const struct frame *frame)
{
	size_t size = 0;

	if (offload_validate(frame) < 0 || frame->size > FRAME_SIZE_MAX || !frame->iov_count)
		abort();
	for (unsigned i = 0; i < frame->iov_count; i++) {
		touch(frame->iov[i].iov_base, frame->iov[i].iov_len);
		size += frame->iov[i].iov_len;
		if (!(keep_pattern >> frames % 8 & 1) || kept_count == KEPT_MAX || !frame->buf)
			continue;
		kept[kept_count].at = frame->iov[i].iov_base;
		kept[kept_count].size = frame->iov[i].iov_len;
		iobuf_hold_take(&kept[kept_count].hold, frame->buf, i, &kept[kept_count].at);
		kept_count++;
	}
	if (size != frame->size)
		abort();
	frames++;
	link_send(arg, frame, 1);
}

static void on_other(void *arg)
{
	(void)arg;
}

static void on_gone(void *arg, const char *reason)
{
	(void)reason;
	link_destroy(arg);
}

static const struct link_user user = {
	.receive = on_receive,
	.batch_end = on_other,
	.writable = on_other,
	.gone = on_gone,
};

static void on_attached(void *arg, struct link *link)
{
	(void)arg;
	link->user = &user;
	link->user_arg = link;
}

static void init(void)
{
	const struct guest_region_spec spec = {0, MEM_SIZE, USER_BASE, 0};
	const struct link_sink sink = {.attached = on_attached};
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	char path[64];

	snprintf(path, sizeof(path), "/tmp/fuzz_link_vhost.%d", (int)getpid());
	log_set_levels("error");
	if (fd < 0 || ftruncate(fd, MEM_SIZE) < 0 || guest_mem_add(&mem, &spec, fd, NULL) < 0 ||
	    loop_new(&loop) < 0 || link_vhost_listen(loop, path, &sink, &listener) < 0)
		abort();
	unlink(path);
	memory = mem.regions[0].host;
	close(fd);
}

static void ring_start(struct virtq *vq, uint64_t at, uint8_t options)
{
	const struct virtq_conf conf = {
		.size = RING_SIZE,
		.desc_user = USER_BASE + at,
		.avail_user = USER_BASE + at + 0x200,
		.used_user = USER_BASE + at + 0x300,
		.event_idx = options & 1,
		.indirect = options & 2,
		.call_fd = -1,
	};
	const char *reason;

	if (virtq_start(vq, &mem, &conf, &reason) < 0)
		abort();
}

static uint64_t features_of(uint8_t options)
{
	uint64_t features = 0;

	if (options & 4)
		features |= FEATURE(VIRTIO_F_VERSION_1);
	if (options & 8)
		features |= FEATURE(VIRTIO_NET_F_MRG_RXBUF);
	if (options & 16)
		features |= FEATURE(VIRTIO_NET_F_CSUM) | FEATURE(VIRTIO_NET_F_GUEST_CSUM);
	if (options & 32)
		features |= FEATURE(VIRTIO_NET_F_HOST_TSO4) | FEATURE(VIRTIO_NET_F_HOST_TSO6) |
			    FEATURE(VIRTIO_NET_F_HOST_USO);
	return features;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct vhost_device_ops *device;
	struct virtq to_guest, from_guest;

	if (!listener)
		init();
	if (size < 2)
		return 0;
	device = listener->conf.ops;
	memset(memory, 0, MEM_SIZE);
	memcpy(memory, data + 2, size - 2 < MEM_SIZE ? size - 2 : MEM_SIZE);
	keep_pattern = data[1];
	frames = kept_count = 0;
	ring_start(&from_guest, 0, data[0]);
	ring_start(&to_guest, 0x400, data[0]);
	device->queue_started(listener, VHOST_NET_QUEUE_TO_GUEST, &to_guest);
	device->queue_started(listener, VHOST_NET_QUEUE_FROM_GUEST, &from_guest);
	/* No front-end has told any features: these are the driver's. */
	listener->features = features_of(data[0]);
	listener->header_size = vhost_net_header_size(listener->features);
	device->queue_kicked(listener, VHOST_NET_QUEUE_FROM_GUEST);
	device->queue_kicked(listener, VHOST_NET_QUEUE_TO_GUEST);
	for (unsigned i = 0; i < 4; i++)
		loop_run_once(loop, false);
	device->queue_stopped(listener, VHOST_NET_QUEUE_TO_GUEST);
	device->queue_stopped(listener, VHOST_NET_QUEUE_FROM_GUEST);
	/* Nothing may refer to it now. */
	mprotect(memory, MEM_SIZE, PROT_NONE);
	for (unsigned i = 0; i < kept_count; i++) {
		touch(kept[i].at, kept[i].size);
		iobuf_hold_release(&kept[i].hold);
	}
	device->detached(listener);
	loop_run_once(loop, false);
	mprotect(memory, MEM_SIZE, PROT_READ | PROT_WRITE);
	return 0;
}
