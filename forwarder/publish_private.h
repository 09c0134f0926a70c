/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of published ports share: publish.c has the table, publish_tcp.c and publish_udp.c
 * the sockets. */
#ifndef FORWARDER_PUBLISH_PRIVATE_H
#define FORWARDER_PUBLISH_PRIVATE_H

#include <sys/types.h>

#include "base/hmap.h"
#include "forwarder/flow_tcp.h"
#include "forwarder/publish.h"

struct publish_udp;
struct publish_udp_port;

struct forward {
	struct hmap_node node;   /* by (local_text, protocol) */
	struct publish *publish; /* NULL once it has ended */
	struct publish_spec spec;
	struct endpoint bound;
	int listen_fd;
	struct loop_fd *watch;
	struct loop_timer *pause;
	struct publish_udp_port *udp;
	dev_t device; /* with inode: the unix socket's file that is ours to remove */
	ino_t inode;
	uint64_t connections;
	uint64_t refused;
	uint64_t active;
	struct flow_tcp_traffic traffic;
	unsigned refs; /* the table, and each TCP connection made through it */
};

struct publish {
	struct loop *loop;
	struct forwarder *forwarder;
	struct publish_udp *udp;
	struct hmap forwards;
	size_t guest_forwards;     /* of them, guests' */
	size_t guest_forwards_max; /* of all guests: each is a descriptor */
	struct hash_key key;
	struct list watchers;
	publish_resolve_fn *resolve;
	void *resolve_arg;
	struct publish_rule *guest_rules; /* owned; NULL: guests may publish everything */
	unsigned guest_rule_count;
};

void forward_unref(struct forward *forward);
/* Where a client of that family is to be led, and the guest that this is behind, AF_UNSPEC: none.
 * Returns 0, or -ENOENT: there is no guest of that name. */
int forward_resolve(const struct forward *forward, sa_family_t family, struct endpoint *ret_guest,
		    struct addr *ret_hop);

/* publish_tcp.c: listens, on TCP or on a unix socket; and ends what forward_listen() made. */
int forward_listen(struct forward *forward);
void forward_unlisten(struct forward *forward);

#endif
