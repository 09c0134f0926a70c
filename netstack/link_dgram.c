/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagram links: see link_dgram.h for what they are, and link.h for the contract. A hub is a
 * socket that is or was bound to the listener's path; the newest one is. Life and sockets are in
 * link_dgram_listener.c.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "netstack/link_dgram_private.h"
#include "netstack/offload.h"
#include "netstack/offload_infer.h"

LOG_MODULE("link");

#define READS_PER_ROUND 4

static const char greeting[] = {'V', 'F', 'K', 'T'};

static struct link_dgram *dgram_of(struct link *link)
{
	return container_of(link, struct link_dgram, link);
}

/* ---- Going ---- */

static void fail(struct link_dgram *peer, const char *reason)
{
	if (peer->gone_reason)
		return;
	peer->gone_reason = reason;
	list_remove(&peer->in_blocked);
	if (peer->watch)
		loop_fd_set(peer->watch, 0);
	loop_task_schedule(peer->loop, &peer->gone_task);
}

void dgram_tell_gone(void *arg)
{
	struct link_dgram *peer = arg;

	if (peer->gone_told)
		return;
	peer->gone_told = true;
	peer->link.user->gone(peer->link.user_arg, peer->gone_reason); /* may destroy */
}

/* From the loop only: its user hears of it before anything else happens. */
static void end_now(struct link_dgram *peer, const char *reason)
{
	fail(peer, reason);
	dgram_tell_gone(peer);
}

/* ---- Sending ---- */

/* Sets what is waited for. A client that is connected to the hub waits together with its others. */
static void update_watch(struct link_dgram *peer)
{
	if (peer->gone_reason)
		return;
	if (peer->watch) {
		loop_fd_set(peer->watch, peer->out.blocked ? LOOP_WRITE : 0);
		return;
	}
	list_remove(&peer->in_blocked);
	if (peer->out.blocked)
		list_add_tail(&peer->hub->blocked, &peer->in_blocked);
	dgram_hub_update(peer->hub);
}

/* After an error of sending. A guest's side that was started again is at the same path. */
static bool is_back(struct link_dgram *peer, int status)
{
	return (status == -ECONNREFUSED || status == -ENOTCONN) && peer->watch &&
	       dgram_peer_reconnect(peer) == 0;
}

static int dgram_send(struct link *link, const struct frame *frames, unsigned count)
{
	struct link_dgram *peer = dgram_of(link);
	int status;

	if (peer->gone_reason)
		return -EPIPE;
	status = packet_out_send(&peer->out, link, frames, count);
	if (is_back(peer, status))
		status = packet_out_send(&peer->out, link, frames, count);
	if (status < 0 && status != -EAGAIN && status != -EMSGSIZE) {
		fail(peer, packet_gone_reason(-status));
		return -EPIPE;
	}
	update_watch(peer);
	return status;
}

static void dgram_flush(struct link *link)
{
	struct link_dgram *peer = dgram_of(link);
	int status;

	if (peer->gone_reason)
		return;
	status = packet_out_flush(&peer->out, link);
	if (is_back(peer, status))
		status = packet_out_flush(&peer->out, link);
	if (status < 0)
		fail(peer, packet_gone_reason(-status));
	update_watch(peer);
}

static void on_writable(struct link_dgram *peer)
{
	int status = packet_out_retry(&peer->out, &peer->link);

	if (is_back(peer, status))
		status = packet_out_retry(&peer->out, &peer->link);
	if (status < 0) {
		fail(peer, packet_gone_reason(-status));
		return;
	}
	update_watch(peer);
	if (packet_out_tell(&peer->out))
		peer->link.user->writable(peer->link.user_arg);
}

void dgram_peer_ready(void *arg, int fd, unsigned ready)
{
	struct link_dgram *peer = arg;

	(void)fd;
	if ((ready & LOOP_WRITE) && !peer->gone_reason)
		on_writable(peer);
}

const struct link_ops dgram_ops = {
	.kind = "dgram",
	.send = dgram_send,
	.flush = dgram_flush,
	.destroy = dgram_destroy,
};

/* ---- Receiving ---- */

static bool is_from(const struct link_dgram *peer, const struct sockaddr_un *name, socklen_t size)
{
	return peer->name_size == size && memcmp(&peer->name, name, size) == 0;
}

static struct link_dgram *find_peer(struct link_dgram_listener *listener,
				    const struct sockaddr_un *name, socklen_t size)
{
	list_for_each (node, &listener->peers) {
		struct link_dgram *peer = container_of(node, struct link_dgram, in_peers);

		if (!peer->gone_reason && (listener->has_remote || is_from(peer, name, size)))
			return peer;
	}
	return NULL;
}

/* The guest that a datagram comes from; a new one's link is made. NULL: it can't be. */
static struct link_dgram *peer_of(struct dgram_hub *hub, const struct msghdr *message, bool greets)
{
	struct link_dgram_listener *listener = hub->listener;
	const struct sockaddr_un *name = message->msg_name;
	socklen_t size = message->msg_namelen;
	struct link_dgram *peer;

	if (size <= sizeof(sa_family_t) && !listener->has_remote) {
		log_limited(
			LOG_LEVEL_WARN,
			"%s:%s: a datagram of somebody who can't be answered: its socket has no "
			"path, which bind() would give it",
			listener->kind, listener->path);
		return NULL;
	}
	peer = find_peer(listener, name, size);
	/* A client that is connected to a hub of before can't be heard here, unless it is another
	 * one in its place. */
	if (peer && (greets || (!peer->watch && peer->hub != hub))) {
		end_now(peer, "replaced: the guest's side began anew");
		peer = NULL;
	}
	return peer ? peer : dgram_peer_new(hub, name, size);
}

static void deliver(struct dgram_hub *hub, unsigned index)
{
	struct link_dgram_listener *listener = hub->listener;
	struct packet_in *in = &listener->in;
	uint32_t size = packet_in_size(in, index);
	bool greets = listener->vfkit && size == sizeof(greeting) &&
		      memcmp(in->iov[index].iov_base, greeting, sizeof(greeting)) == 0;
	struct link_dgram *peer = peer_of(hub, &in->messages[index].msg_hdr, greets);
	struct iovec iov;
	struct frame frame;

	if (!peer || greets)
		return;
	if (size < ETH_HEADER_SIZE || size > FRAME_SIZE_MAX) {
		peer->link.counters.rx_invalid++;
		return;
	}
	frame = packet_in_frame(in, index, &iov);
	if (listener->vfkit)
		offload_infer(&frame, listener->mtu);
	peer->link.counters.rx_frames++;
	peer->link.counters.rx_bytes += size;
	if (list_empty(&peer->in_batch))
		list_add_tail(&listener->batch, &peer->in_batch);
	peer->link.user->receive(peer->link.user_arg, &frame);
}

static void end_batch(struct link_dgram_listener *listener)
{
	struct list *node;

	while ((node = list_first(&listener->batch)) != NULL) {
		struct link_dgram *peer = container_of(node, struct link_dgram, in_batch);

		list_remove(node);
		if (!peer->gone_told)
			peer->link.user->batch_end(peer->link.user_arg);
	}
}

static void on_readable(struct dgram_hub *hub)
{
	struct link_dgram_listener *listener = hub->listener;
	int got = PACKET_BATCH;

	for (int i = 0; i < READS_PER_ROUND && got == PACKET_BATCH; i++) {
		got = packet_in_read(&listener->in, hub->fd);
		for (int n = 0; n < got; n++)
			deliver(hub, (unsigned)n);
		end_batch(listener);
	}
}

/* Those that wait for the hub's socket, each once. */
static void hub_writable(struct dgram_hub *hub)
{
	struct list waiting, *node;

	list_take(&waiting, &hub->blocked);
	while ((node = list_first(&waiting)) != NULL) {
		struct link_dgram *peer = container_of(node, struct link_dgram, in_blocked);

		list_remove(node);
		on_writable(peer);
	}
	dgram_hub_update(hub);
}

void dgram_hub_ready(void *arg, int fd, unsigned ready)
{
	struct dgram_hub *hub = arg;

	(void)fd;
	hub->is_busy = true;
	if (ready & LOOP_WRITE)
		hub_writable(hub);
	if (ready & LOOP_READ)
		on_readable(hub);
	hub->is_busy = false;
	dgram_hub_release(hub);
}
