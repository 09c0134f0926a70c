/* SPDX-License-Identifier: Apache-2.0 */
/* What link_dgram.c and link_dgram_listener.c share. */
#ifndef NETSTACK_LINK_DGRAM_PRIVATE_H
#define NETSTACK_LINK_DGRAM_PRIVATE_H

#include "base/list.h"
#include "base/sock.h"
#include "netstack/link_dgram.h"
#include "netstack/packet_io.h"

/* A socket that guests send to. It lives while it has the path, or links. */
struct dgram_hub {
	struct link_dgram_listener *listener; /* NULL: has been freed */
	int fd;
	struct loop_fd *watch;
	struct list in_hubs;
	struct list blocked; /* links that wait for the socket to take more */
	unsigned links;      /* that send by it */
	bool is_busy;        /* its callback runs: not to be freed */
};

struct link_dgram_listener {
	struct loop *loop;
	const char *kind;
	char path[SOCK_PATH_MAX];
	char remote[SOCK_PATH_MAX];
	bool has_remote;
	bool vfkit;
	uint32_t mtu;
	const struct link_sink *sink;
	struct dgram_hub *current; /* has the path */
	struct list hubs;
	struct list peers;
	struct list batch; /* links that frames were delivered from since batch_end */
	unsigned peer_count;
	unsigned accepted; /* links made in all */
	struct packet_in in;
};

struct link_dgram {
	struct link link;
	struct loop *loop;
	struct link_dgram_listener *listener; /* NULL: has been freed */
	struct dgram_hub *hub;                /* that it sends by; NULL: by `fd` */
	struct sockaddr_un name;              /* of the guest's side */
	socklen_t name_size;
	int fd;                /* of its own; -1: the hub's */
	struct loop_fd *watch; /* of fd; NULL: the hub's */
	struct packet_out out;
	struct list in_peers;
	struct list in_batch;
	struct list in_blocked;
	struct loop_task gone_task;
	const char *gone_reason; /* set once; the link is dead from then on */
	bool gone_told;
};

extern const struct link_ops dgram_ops;

/* Callbacks. */
void dgram_tell_gone(void *arg);
void dgram_peer_ready(void *arg, int fd, unsigned ready);
void dgram_hub_ready(void *arg, int fd, unsigned ready);

/* Makes a link and hands it to the sink; NULL, which was logged, when that can't be. */
struct link_dgram *dgram_peer_new(struct dgram_hub *hub, const struct sockaddr_un *name,
				  socklen_t name_size);
/* Connects the link's own socket to the guest's path anew. Returns 0 or -errno. */
int dgram_peer_reconnect(struct link_dgram *peer);
void dgram_destroy(struct link *link);

/* Waits for what there is to wait for. */
void dgram_hub_update(struct dgram_hub *hub);
/* Frees the hub if nobody needs it. */
void dgram_hub_release(struct dgram_hub *hub);

#endif
