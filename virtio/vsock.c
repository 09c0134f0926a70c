/* SPDX-License-Identifier: Apache-2.0 */
/* The vsock device: its queues, and the packets between them, vsock_mux and the host's streams. */
#include "virtio/vsock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "base/wire.h"
#include "virtio/vsock_internal.h"

LOG_MODULE("vsock");

/* Packets moved each way, or looked for, before others get their turn. */
#define PACKETS_PER_ROUND 256
/* Largest payload of one packet, as in Linux. */
#define PAYLOAD_MAX (64 * 1024)

#define BUF_ALLOC_MIN 4096
#define BUF_ALLOC_MAX (64 * 1024 * 1024)
#define CONNS_MAX_MAX 65536
#define CID_MAX       UINT64_C(0xfffffffe)

static void drop_all(struct vsock_device *d)
{
	vsock_host_drop_conns(d);
	vsock_mux_clear(&d->mux);
}

static void queue_broke(struct vsock_device *d, unsigned index)
{
	d->queues[index] = NULL;
	vhost_user_queue_broken(d->vhost, index);
	drop_all(d);
}

/* A packet from the guest. */
static void tx_packet(struct vsock_device *d, const struct virtq_chain *chain)
{
	uint8_t bytes[VSOCK_HEADER_SIZE];
	struct iovec payload[VIRTQ_CHAIN_IOV];
	unsigned payload_count = 0;

	if (chain->out_size < VSOCK_HEADER_SIZE) {
		d->counters.packets_invalid++;
		return;
	}
	vsock_iov_read(chain->iov, bytes, sizeof(bytes));
	struct vsock_header header = vsock_header_decode(bytes);
	size_t payload_size = chain->out_size - VSOCK_HEADER_SIZE;
	struct vsock_result result = vsock_mux_input(&d->mux, &header, payload_size);

	d->counters.rx_packets++;
	if (result.action == VSOCK_ACT_DATA) {
		d->counters.rx_bytes += header.size;
		payload_count = vsock_iov_slice(chain->iov, chain->out_count, VSOCK_HEADER_SIZE,
						header.size, payload);
	}
	vsock_host_act(d, &result, payload, payload_count);
}

static void tx_work(void *arg)
{
	struct vsock_device *d = arg;
	struct iovec iov[VIRTQ_CHAIN_IOV];
	struct virtq_chain chain = {.iov = iov, .iov_max = VIRTQ_CHAIN_IOV};
	struct virtq *tx = d->queues[VSOCK_QUEUE_TX];
	unsigned budget = PACKETS_PER_ROUND;

	if (!tx)
		return;
	virtq_kicks_off(tx);
	for (; budget > 0; budget--) {
		int r = virtq_pop(tx, &chain);

		if (r < 0) {
			queue_broke(d, VSOCK_QUEUE_TX);
			return;
		}
		if (r == 0) {
			if (!virtq_kicks_on(tx))
				break;
			virtq_kicks_off(tx);
			continue;
		}
		tx_packet(d, &chain);
		virtq_push(tx, chain.head, 0);
	}
	virtq_notify(tx);
	if (budget == 0)
		loop_task_schedule(d->loop, &d->tx_task);
	vsock_device_wake(d);
}

/* Fills a buffer of the guest with the next packet. Returns its size, or 0 when there was none
 * after all. */
static size_t rx_packet(struct vsock_device *d, const struct virtq_chain *chain)
{
	const struct iovec *in = chain->iov + chain->out_count;
	struct iovec room[VIRTQ_CHAIN_IOV];
	uint8_t bytes[VSOCK_HEADER_SIZE];
	struct vsock_header header;
	size_t size = 0;

	if (!vsock_mux_output(&d->mux, &header)) {
		size = chain->in_size - VSOCK_HEADER_SIZE;
		if (size > PAYLOAD_MAX)
			size = PAYLOAD_MAX;
		unsigned count = vsock_iov_slice(in, chain->in_count, VSOCK_HEADER_SIZE, size,
						 room);

		size = vsock_host_read(d, room, count, size, &header);
		if (size == 0)
			return 0;
	}
	d->counters.tx_packets++;
	d->counters.tx_bytes += size;
	vsock_header_encode(&header, bytes);
	vsock_iov_write(in, bytes, sizeof(bytes));
	return sizeof(bytes) + size;
}

static bool rx_wanted(const struct vsock_device *d)
{
	return vsock_mux_output_due(&d->mux) || !list_empty(&d->ready);
}

static void rx_work(void *arg)
{
	struct vsock_device *d = arg;
	struct iovec iov[VIRTQ_CHAIN_IOV];
	struct virtq_chain chain = {.iov = iov, .iov_max = VIRTQ_CHAIN_IOV};
	struct virtq *rx = d->queues[VSOCK_QUEUE_RX];
	unsigned budget = PACKETS_PER_ROUND;

	if (!rx)
		return;
	/* Kicks say that the guest gave buffers: wanted only while there is something to put in. */
	virtq_kicks_off(rx);
	for (; budget > 0 && rx_wanted(d); budget--) {
		int r = virtq_pop(rx, &chain);

		if (r == 0) {
			if (!virtq_kicks_on(rx))
				break;
			virtq_kicks_off(rx);
			continue;
		}
		if (r > 0 && chain.in_size <= VSOCK_HEADER_SIZE)
			r = virtq_break(rx, "a receive buffer has no room for a packet");
		if (r < 0) {
			queue_broke(d, VSOCK_QUEUE_RX);
			return;
		}
		size_t size = rx_packet(d, &chain);

		if (size)
			virtq_push(rx, chain.head, (uint32_t)size);
		else
			virtq_unpop(rx, 1);
	}
	virtq_notify(rx);
	if (budget == 0)
		loop_task_schedule(d->loop, &d->rx_task);
	vsock_host_tick_if_needed(d);
}

void vsock_device_wake(struct vsock_device *d)
{
	if (d->queues[VSOCK_QUEUE_RX] && rx_wanted(d))
		loop_task_schedule(d->loop, &d->rx_task);
	vsock_host_tick_if_needed(d);
}

static void tell(struct vsock_device *d, enum vsock_guest_event event)
{
	if (d->on_guest)
		d->on_guest(d->on_guest_arg, event);
}

/* A driver that goes on where the queue stopped knows its connections still: the VM was paused. Any
 * other has just begun, and knows none. */
static void on_queue_started(void *arg, unsigned index, struct virtq *vq)
{
	struct vsock_device *d = arg;

	if (vq->last_avail != d->stopped_at[index]) {
		drop_all(d);
		tell(d, VSOCK_GUEST_RESET);
	}
	d->queues[index] = vq;
}

static void on_queue_kicked(void *arg, unsigned index)
{
	struct vsock_device *d = arg;

	if (index == VSOCK_QUEUE_TX)
		tx_work(d);
	else
		rx_work(d);
}

static void on_queue_stopped(void *arg, unsigned index)
{
	struct vsock_device *d = arg;

	/* No chain is held between two calls of ours: there is nothing to give back. */
	if (d->queues[index])
		d->stopped_at[index] = d->queues[index]->last_avail;
	d->queues[index] = NULL;
}

static int on_config_read(void *arg, uint32_t offset, uint32_t size, uint8_t *to)
{
	const struct vsock_device *d = arg;
	uint8_t config[8];
	struct wire_writer w = wire_writer(config, sizeof(config));

	wire_put_le64(&w, d->guest_cid);
	if (offset > sizeof(config) || size > sizeof(config) - offset)
		return -EINVAL;
	memcpy(to, config + offset, size);
	return 0;
}

static void on_attached(void *arg)
{
	tell(arg, VSOCK_GUEST_ATTACHED);
}

static void on_detached(void *arg)
{
	struct vsock_device *d = arg;

	drop_all(d);
	memset(d->stopped_at, 0, sizeof(d->stopped_at));
	tell(d, VSOCK_GUEST_DETACHED);
}

static const struct vhost_device_ops vsock_ops = {
	.queue_started = on_queue_started,
	.queue_kicked = on_queue_kicked,
	.queue_stopped = on_queue_stopped,
	.config_read = on_config_read,
	.attached = on_attached,
	.detached = on_detached,
};

/* Checks `conf` and copies it, defaults filled in. */
static int conf_take(struct vsock_device *d, const struct vsock_conf *conf, char *error,
		     size_t error_size)
{
	const char *base = conf->base_path ? conf->base_path : conf->socket_path;
	uint64_t cid = conf->guest_cid ? conf->guest_cid : VSOCK_DEFAULT_CID;
	unsigned conns_max = conf->conns_max ? conf->conns_max : VSOCK_DEFAULT_CONNS_MAX;
	uint32_t buf_alloc = conf->buf_alloc ? conf->buf_alloc : VSOCK_DEFAULT_BUF_ALLOC;

	if (cid <= VSOCK_CID_HOST || cid > CID_MAX)
		return text_fail(
			error, error_size, -EINVAL,
			"vsock: a guest can't have CID %llu: 3 to 4294967294 are for guests",
			(unsigned long long)cid);
	if (conns_max > CONNS_MAX_MAX)
		return text_fail(error, error_size, -EINVAL,
				 "vsock: %u connections are too many: at most %u", conns_max,
				 CONNS_MAX_MAX);
	if (buf_alloc < BUF_ALLOC_MIN || buf_alloc > BUF_ALLOC_MAX)
		return text_fail(
			error, error_size, -EINVAL,
			"vsock: a buffer of %u bytes per connection: %u to %u are possible",
			buf_alloc, BUF_ALLOC_MIN, BUF_ALLOC_MAX);
	if (strlen(base) > VSOCK_BASE_PATH_MAX)
		return text_fail(error, error_size, -EINVAL,
				 "vsock: the path %s is too long: with a port behind it, it must "
				 "have less than %u bytes",
				 base, SOCK_PATH_MAX);
	snprintf(d->base_path, sizeof(d->base_path), "%s", base);
	snprintf(d->connect_path, sizeof(d->connect_path), "%.*s_connect", VSOCK_BASE_PATH_MAX,
		 base);
	d->guest_cid = cid;
	vsock_mux_init(&d->mux, cid, conns_max, buf_alloc);
	return 0;
}

static int listen_error(char *error, size_t error_size, const char *path, int r)
{
	snprintf(error, error_size, "vsock: can't listen at %s: %s", path,
		 r == -EADDRINUSE ? "another process listens there"
		 : r == -EEXIST   ? "something that is not a socket is there"
				  : strerror(-r));
	return r;
}

static int device_start(struct vsock_device *d, const char *socket_path, char *error,
			size_t error_size)
{
	int r = vsock_host_start(d);

	if (r < 0)
		return listen_error(error, error_size, d->connect_path, r);
	d->vhost_conf = (struct vhost_conf){
		.name = "vsock",
		.features = FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_F_EVENT_IDX) |
			    FEATURE(VIRTIO_F_INDIRECT_DESC),
		.queue_count = VSOCK_QUEUES,
		.queue_num = VSOCK_QUEUES,
		.ops = &vsock_ops,
		.arg = d,
	};
	r = vhost_user_new(d->loop, socket_path, &d->vhost_conf, &d->vhost);
	if (r < 0)
		return listen_error(error, error_size, socket_path, r);
	log_info("CID %llu: waiting for a VMM at %s", (unsigned long long)d->guest_cid,
		 socket_path);
	return 0;
}

int vsock_device_new(struct loop *loop, const struct vsock_conf *conf, struct vsock_device **ret,
		     char *error, size_t error_size)
{
	struct vsock_device *d = calloc(1, sizeof(*d));
	int r;

	if (!d) {
		snprintf(error, error_size, "vsock: out of memory");
		return -ENOMEM;
	}
	d->loop = loop;
	d->listen_fd = -1;
	d->rx_task = (struct loop_task){.fn = rx_work, .arg = d};
	d->tx_task = (struct loop_task){.fn = tx_work, .arg = d};
	list_init(&d->streams);
	list_init(&d->ready);
	list_init(&d->timed);
	r = conf_take(d, conf, error, error_size);
	if (r < 0) {
		free(d);
		return r;
	}
	r = device_start(d, conf->socket_path, error, error_size);
	if (r < 0) {
		vsock_device_free(d);
		return r;
	}
	d->on_guest = conf->on_guest;
	d->on_guest_arg = conf->on_guest_arg;
	*ret = d;
	return 0;
}

void vsock_device_free(struct vsock_device *device)
{
	if (!device)
		return;
	device->on_guest = NULL;
	vhost_user_free(device->vhost);
	vsock_host_stop(device);
	loop_task_cancel(device->loop, &device->rx_task);
	loop_task_cancel(device->loop, &device->tx_task);
	vsock_mux_destroy(&device->mux);
	free(device);
}

bool vsock_device_attached(const struct vsock_device *device)
{
	return vhost_user_attached(device->vhost);
}

bool vsock_device_running(const struct vsock_device *device)
{
	return device->queues[VSOCK_QUEUE_RX] && device->queues[VSOCK_QUEUE_TX];
}

struct vsock_counters vsock_device_counters(const struct vsock_device *device)
{
	const struct vsock_mux_counters *mux = &device->mux.counters;
	const struct vhost_counters vhost = vhost_user_counters(device->vhost);
	struct vsock_counters c = device->counters;

	c.front_ends = vhost.front_ends;
	c.queues_broken = vhost.queues_broken;
	c.conns_now = device->streams_count;
	c.conns_in = mux->conns_in;
	c.conns_out = mux->conns_out;
	c.conns_refused += mux->conns_refused;
	c.packets_invalid += mux->packets_invalid;
	c.resets_sent = mux->resets_sent;
	c.resets_received = mux->resets_received;
	c.resets_dropped = mux->resets_dropped;
	c.timeouts += mux->timeouts;
	return c;
}
