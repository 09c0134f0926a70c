/* SPDX-License-Identifier: Apache-2.0 */
/* Life and sockets of datagram links: see link_dgram.h. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "netstack/link_dgram_private.h"

LOG_MODULE("link");

/* Behind the path, while the next socket isn't in its place yet. */
#define NEXT_SUFFIX ".new"

/* ---- Hubs ---- */

void dgram_hub_update(struct dgram_hub *hub)
{
	unsigned events = hub->listener ? LOOP_READ : 0;

	loop_fd_set(hub->watch, list_empty(&hub->blocked) ? events : events | LOOP_WRITE);
}

static void hub_free(struct dgram_hub *hub)
{
	list_remove(&hub->in_hubs);
	loop_fd_free(hub->watch);
	fd_close(&hub->fd);
	free(hub);
}

void dgram_hub_release(struct dgram_hub *hub)
{
	bool has_path = hub->listener && hub->listener->current == hub;

	if (!hub->is_busy && !hub->links && !has_path)
		hub_free(hub);
}

/* Takes fd over, also on failure. It isn't the current one yet. */
static int hub_new(struct link_dgram_listener *listener, int fd, struct dgram_hub **ret_hub)
{
	struct dgram_hub *hub = calloc(1, sizeof(*hub));
	int status;

	if (!hub) {
		fd_close(&fd);
		return -ENOMEM;
	}
	hub->listener = listener;
	hub->fd = fd;
	list_init(&hub->in_hubs);
	list_init(&hub->blocked);
	packet_tune_socket(fd);
	status = loop_fd_new(listener->loop, fd, LOOP_READ, dgram_hub_ready, hub, &hub->watch);
	if (status < 0) {
		hub_free(hub);
		return status;
	}
	list_add_tail(&listener->hubs, &hub->in_hubs);
	*ret_hub = hub;
	return 0;
}

/* A hub whose socket is at `path`, where there is none. */
static int hub_listen(struct link_dgram_listener *listener, const char *path,
		      struct dgram_hub **ret_hub)
{
	int fd, status = sock_listen_unix(path, SOCK_DGRAM, &fd);

	if (status < 0)
		return status;
	status = hub_new(listener, fd, ret_hub);
	if (status < 0)
		unlink(path);
	return status;
}

/* Puts a new socket at the path, in one step, for the clients to come. Where that fails they share
 * the one that is there. */
static void hub_renew(struct link_dgram_listener *listener)
{
	char path[SOCK_PATH_MAX + sizeof(NEXT_SUFFIX)];
	struct dgram_hub *before = listener->current, *next;
	int status;

	snprintf(path, sizeof(path), "%s" NEXT_SUFFIX, listener->path);
	status = hub_listen(listener, path, &next);
	if (status == 0 && rename(path, listener->path) < 0) {
		status = -errno;
		unlink(path);
		hub_free(next);
	}
	if (status < 0) {
		log_limited(LOG_LEVEL_WARN, "%s:%s: clients share a socket: %s", listener->kind,
			    listener->path, strerror(-status));
		return;
	}
	listener->current = next;
	dgram_hub_release(before);
}

/* ---- Links ---- */

/* A socket of the link's own, connected to the guest's side. -EPERM: that is connected to another
 * socket itself. */
static int connect_own(const struct link_dgram *peer, int *ret_fd)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), status = 0;

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&peer->name, peer->name_size) < 0) {
		status = -errno;
		fd_close(&fd);
		return status;
	}
	packet_tune_socket(fd);
	*ret_fd = fd;
	return 0;
}

int dgram_peer_reconnect(struct link_dgram *peer)
{
	/* The same descriptor: its watch and what refers to it stay. */
	return connect(peer->fd, (const struct sockaddr *)&peer->name, peer->name_size) < 0 ? -errno
											    : 0;
}

void dgram_destroy(struct link *link)
{
	struct link_dgram *peer = container_of(link, struct link_dgram, link);
	struct dgram_hub *hub = peer->hub;

	loop_task_cancel(peer->loop, &peer->gone_task);
	loop_fd_free(peer->watch);
	fd_close(&peer->fd);
	list_remove(&peer->in_peers);
	list_remove(&peer->in_batch);
	list_remove(&peer->in_blocked);
	packet_out_done(&peer->out);
	if (peer->listener)
		peer->listener->peer_count--;
	free(peer);
	if (hub) {
		hub->links--;
		dgram_hub_update(hub);
		dgram_hub_release(hub);
	}
}

static int peer_start(struct link_dgram *peer, struct dgram_hub *hub)
{
	int status = connect_own(peer, &peer->fd);

	if (status == -EPERM) {
		peer->hub = hub;
		hub->links++;
		status = packet_out_init(&peer->out, hub->fd);
		peer->out.to = &peer->name;
		peer->out.to_size = peer->name_size;
		return status;
	}
	if (status == 0)
		status = packet_out_init(&peer->out, peer->fd);
	if (status == 0)
		status = loop_fd_new(peer->loop, peer->fd, 0, dgram_peer_ready, peer, &peer->watch);
	return status;
}

static struct link_dgram *peer_alloc(struct link_dgram_listener *listener,
				     const struct sockaddr_un *name, socklen_t name_size)
{
	struct link_dgram *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return NULL;
	peer->link.ops = &dgram_ops;
	peer->link.caps = (struct link_caps){.gro = true, .frame_max = FRAME_SIZE_MAX};
	peer->loop = listener->loop;
	peer->listener = listener;
	memcpy(&peer->name, name, name_size);
	peer->name_size = name_size;
	peer->fd = -1;
	list_add_tail(&listener->peers, &peer->in_peers);
	list_init(&peer->in_batch);
	list_init(&peer->in_blocked);
	peer->gone_task = (struct loop_task){.fn = dgram_tell_gone, .arg = peer};
	listener->peer_count++;
	return peer;
}

struct link_dgram *dgram_peer_new(struct dgram_hub *hub, const struct sockaddr_un *name,
				  socklen_t name_size)
{
	struct link_dgram_listener *listener = hub->listener;
	struct sockaddr_un remote = {.sun_family = AF_UNIX};
	struct link_dgram *peer = NULL;
	int status = -ENOBUFS;

	if (listener->has_remote) {
		strcpy(remote.sun_path, listener->remote);
		name = &remote;
		name_size = sizeof(remote);
	}
	if (listener->peer_count < LINK_DGRAM_PEERS_MAX)
		peer = peer_alloc(listener, name, name_size);
	if (peer)
		status = peer_start(peer, hub);
	if (status < 0) {
		log_limited(LOG_LEVEL_WARN,
			    "%s:%s: a datagram of somebody who can't be answered: %s",
			    listener->kind, listener->path, strerror(-status));
		if (peer)
			dgram_destroy(&peer->link);
		return NULL;
	}
	snprintf(peer->link.name, sizeof(peer->link.name), "%s:%s #%u", listener->kind,
		 listener->path, ++listener->accepted);
	if (peer->hub && hub == listener->current && !listener->has_remote)
		hub_renew(listener);
	listener->sink->attached(listener->sink->arg, &peer->link);
	/* The sink may have destroyed it. */
	return listener->peers.prev == &peer->in_peers ? peer : NULL;
}

/* ---- Listeners ---- */

int link_dgram_listen(struct loop *loop, const struct link_dgram_conf *conf,
		      struct link_dgram_listener **ret_listener)
{
	struct link_dgram_listener *listener;
	int status;

	if (strlen(conf->path) >= SOCK_PATH_MAX ||
	    (conf->remote && strlen(conf->remote) >= SOCK_PATH_MAX))
		return -ENAMETOOLONG;
	listener = calloc(1, sizeof(*listener));
	if (!listener)
		return -ENOMEM;
	listener->loop = loop;
	listener->kind = conf->kind;
	strcpy(listener->path, conf->path);
	listener->has_remote = conf->remote != NULL;
	strcpy(listener->remote, conf->remote ? conf->remote : "");
	listener->vfkit = conf->vfkit;
	listener->mtu = conf->mtu;
	listener->sink = conf->sink;
	list_init(&listener->hubs);
	list_init(&listener->peers);
	list_init(&listener->batch);
	status = packet_in_init(&listener->in);
	if (status == 0)
		status = hub_listen(listener, listener->path, &listener->current);
	if (status < 0) {
		link_dgram_listener_free(listener);
		return status;
	}
	/* It may be there already, and wait for us to say something. */
	if (listener->has_remote && access(listener->remote, F_OK) == 0)
		dgram_peer_new(listener->current, NULL, 0);
	*ret_listener = listener;
	return 0;
}

/* Links go on sending until their users have heard. */
static void orphan_links(struct link_dgram_listener *listener)
{
	struct list *node;

	while ((node = list_first(&listener->peers)) != NULL) {
		struct link_dgram *peer = container_of(node, struct link_dgram, in_peers);

		list_remove(&peer->in_peers);
		list_remove(&peer->in_batch);
		peer->listener = NULL;
		if (!peer->gone_reason)
			peer->gone_reason = "netproxy stopped listening";
		loop_task_schedule(peer->loop, &peer->gone_task);
	}
}

void link_dgram_listener_free(struct link_dgram_listener *listener)
{
	struct list *node;

	if (!listener)
		return;
	orphan_links(listener);
	if (listener->current)
		unlink(listener->path);
	listener->current = NULL;
	while ((node = list_first(&listener->hubs)) != NULL) {
		struct dgram_hub *hub = container_of(node, struct dgram_hub, in_hubs);

		list_remove(node);
		hub->listener = NULL;
		dgram_hub_update(hub);
		dgram_hub_release(hub);
	}
	packet_in_done(&listener->in);
	free(listener);
}
