/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow_table: what flows without connections have in common (flow_udp.c, flow_icmp.c): they are
 * found by the guest's endpoint, end when they were idle for too long, and are bounded.
 *
 * Theory: every flow is in two lists, both in the order of the last activity. That of its age (how
 * long it may idle, by what has happened on it so far) has the flow that ends next at its head, so
 * one timer serves all flows and runs only while there are any. That of its guest has at its head
 * the flow which makes room when that guest is at its maximum. A guest is a switch port: addresses
 * it could invent, ports it can't. At the maximum of all guests together, room is made by the guest
 * that has the most flows, so that whoever floods evicts its own. Every step takes the same time
 * however many flows there are; choosing that guest looks at the ports in use.
 */
#ifndef FORWARDER_FLOW_TABLE_H
#define FORWARDER_FLOW_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/hmap.h"
#include "base/list.h"
#include "base/loop.h"
#include "netstack/switch.h"

#define FLOW_AGES_MAX 4

/* Embedded in a flow of either kind. */
struct flow {
	struct hmap_node node;
	struct list age_link;   /* in table.ages[age] */
	struct list guest_link; /* in table.guests[port].flows */
	struct endpoint guest;  /* the key; for echo requests the port is their id */
	unsigned port;          /* the switch port that the guest is behind */
	unsigned age;
	uint64_t active_ms;
};

struct flow_table_conf {
	struct loop *loop;
	const uint64_t *age_ms; /* how long a flow of each age may be idle; borrowed */
	unsigned ages;          /* FLOW_AGES_MAX or less */
	unsigned guest_max;     /* most flows of one guest, 1 or more */
	unsigned total_max;     /* of all guests, 1 or more */
	/* Ends a flow, because of its time or to make room: flow_table_remove(), and frees it. */
	void (*end)(struct flow *flow);
};

struct flow_table {
	struct flow_table_conf conf;
	struct hmap flows;
	struct hash_key key;
	struct list ages[FLOW_AGES_MAX];
	struct flow_guest {
		struct list link; /* in table.guests_used; unlinked without flows */
		struct list flows;
		unsigned count;
	} guests[SWITCH_PORTS_MAX + 1];
	struct list guests_used;
	struct loop_timer *timer;
	uint64_t timer_at_ms; /* when it fires, while it is pending */
	uint64_t total;       /* flows ever */
	uint64_t evicted;     /* flows that made room */
};

/* Returns 0 or -ENOMEM, and then there is nothing to destroy. */
int flow_table_init(struct flow_table *table, const struct flow_table_conf *conf);
/* Ends every flow. A table that is all zeros is fine. */
void flow_table_destroy(struct flow_table *table);

/* NULL when there is none. */
struct flow *flow_table_find(const struct flow_table *table, const struct endpoint *guest);
/* Ends a flow where the guest behind `port`, or all together, are at the maximum. Returns whether
 * it did. */
bool flow_table_make_room(struct flow_table *table, unsigned port);
/* Ends the flow of that guest which was idle longest; false when it has none. */
bool flow_table_evict(struct flow_table *table, unsigned port);
/* Adds a flow, active now; there must be room, and none of that endpoint yet. Returns 0 or -ENOMEM.
 */
int flow_table_add(struct flow_table *table, struct flow *flow, const struct endpoint *guest,
		   unsigned port, unsigned age);
void flow_table_remove(struct flow_table *table, struct flow *flow);
/* Something happened on the flow, whose guest is behind `port` (now). */
void flow_table_active(struct flow_table *table, struct flow *flow, unsigned port, unsigned age);
/* Ends the flows of a guest that has gone. */
void flow_table_port_gone(struct flow_table *table, unsigned port);

#endif
