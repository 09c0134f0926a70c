/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The switch: an Ethernet learning bridge (IEEE 802.1D, without spanning tree) between the links of
 * a network and the gateway's stack. It owns the links attached to it. Where a link lacks an
 * offload that a frame needs, its port makes it up (offload.h); where a link says so, its port
 * coalesces what comes in.
 *
 * Theory of the table: a source address is learned with the port it came from and forgotten after
 * SWITCH_AGE_MS without a frame. At SWITCH_ENTRIES_MAX the entry of the port with the most
 * entries that was seen longest ago makes room, so a guest that floods the table with invented
 * addresses evicts its own. Frames to an unknown or group address go to all other ports; those for
 * the next bridge only (01:80:c2:00:00:0x) to none. A source that is a group or the gateway's own
 * MAC is a lie: such frames are dropped. What a port may have flooded to the others is limited to a
 * number of copies a second, so that one guest's storm isn't everybody's; the gateway sees it all.
 *
 * The guard (guard.h), where it is on, is asked about every frame from a guest. Isolated guests
 * reach the gateway and nobody else: no frame goes from one port to another.
 */
#ifndef NETSTACK_SWITCH_H
#define NETSTACK_SWITCH_H

#include <stdint.h>

#include "base/addr.h"
#include "base/list.h"
#include "base/loop.h"
#include "netstack/frame.h"
#include "netstack/guard.h"
#include "netstack/link.h"

#define SWITCH_PORTS_MAX   256
#define SWITCH_ENTRIES_MAX 4096
#define SWITCH_AGE_MS      300000

/* Flooded frames of a port a second: so many copies, and some frames in any case. Of those a part
 * at once: more would only stand in the others' queues, before what they wait for. */
#define SWITCH_FLOOD_COPIES     100000
#define SWITCH_FLOOD_FRAMES_MIN 1000
#define SWITCH_FLOOD_BURST_PART 10

struct nswitch;

/* The gateway's side: where frames for the gateway's MAC and for groups go. */
struct switch_local {
	/* A frame for the gateway, borrowed for the call; its bytes may be changed in place. May
	 * call switch_send(). `port` is the number of the port that it came in by, 1 or more,
	 * stable while the link is attached. */
	void (*receive)(void *arg, unsigned port, const struct frame *frame);
	/* After switch_send() said -EAGAIN: some port takes frames again, or has gone. */
	void (*writable)(void *arg);
	/* A link came (attached) or went; may be NULL. */
	void (*port_changed)(void *arg, unsigned port, const struct link *link, bool attached);
};

struct switch_counters {
	uint64_t flooded;                 /* frames that went to all other ports */
	uint64_t flood_limited;           /* ... that didn't, for there were too many */
	uint64_t isolated;                /* frames to other guests that isolation kept back */
	uint64_t refused;                 /* too short, or from a group or the gateway's own MAC */
	uint64_t guarded[GUARD_VERDICTS]; /* refused by the guard; [GUARD_PASS] is not used */
	uint64_t dropped;                 /* between guests, because the receiver's link was full */
};

struct switch_port_info {
	unsigned port;
	const char *name; /* the link's, borrowed */
	const char *kind;
	struct link_counters counters;
	struct switch_counters switching; /* this port's frames; `dropped` is of those to it */
};

/* Returns 0 with an owned switch, or -ENOMEM. `gateway` is the gateway's MAC; `local` is borrowed
 * for the switch's life. */
int switch_new(struct loop *loop, const struct mac *gateway, const struct switch_local *local,
	       void *arg, struct nswitch **ret_switch);
/* Turns the guard on; before links attach. `conf->ports_max` is filled here. Returns 0 or -ENOMEM.
 */
int switch_guard(struct nswitch *sw, const struct guard_conf *conf);
/* Keeps guests from each other from now on. */
void switch_isolate(struct nswitch *sw);
/* What DHCP did, for the guard: see guard_lease(). Nothing without a guard. Where switch_lease()
 * returns -EADDRINUSE, which it logs, nobody should believe in that lease. */
int switch_lease(struct nswitch *sw, const struct addr *addr, const struct mac *mac, unsigned port);
void switch_unlease(struct nswitch *sw, const struct addr *addr);
/* Destroys the links too, without calling switch_local. */
void switch_free(struct nswitch *sw);

/* The sink for link providers: attaches every link that it is given. Borrowed, valid for the
 * switch's life. */
const struct link_sink *switch_sink(struct nswitch *sw);

/*
 * Sends a frame of the gateway's, borrowed for the call, to the port of its destination, or to all
 * ports. The frame may have any offload state. Returns 0 when it was taken (by every port that it
 * goes to), or -EAGAIN when the one port of a unicast frame is full (switch_local.writable
 * follows). Frames for groups are never refused: full ports miss them.
 */
int switch_send(struct nswitch *sw, const struct frame *frame);
/* Flushes every link that was sent to since the last flush. Ports flush by themselves at the end of
 * the round at the latest; calling it saves latency. */
void switch_flush(struct nswitch *sw);

/* What a port's link can take; NULL for a number that isn't a port's. Borrowed until the link goes.
 */
const struct link_caps *switch_port_caps(const struct nswitch *sw, unsigned port);
/* Fills up to `max` infos, in the order of attachment; returns how many ports there are. */
unsigned switch_ports(const struct nswitch *sw, struct switch_port_info *infos, unsigned max);

/* Of all ports together, those that have gone included. */
struct switch_counters switch_counters(const struct nswitch *sw);

/*
 * Sees every frame on every link, in both directions: from a guest before anything is done with it,
 * to a guest as its link took it. Embedded in whoever wants to see, which must not call into the
 * switch or change frames in the callback.
 */
struct switch_tap {
	void (*fn)(void *arg, unsigned port, const struct link *link, bool to_guest,
		   const struct frame *frame);
	void *arg;
	struct list in_switch;
};
void switch_tap_add(struct nswitch *sw, struct switch_tap *tap);
/* Before the switch is freed. A tap may remove itself in its callback. */
void switch_tap_remove(struct switch_tap *tap);

/* Visits the addresses that the switch has learned, up to SWITCH_ENTRIES_MAX, in the order of port
 * numbers. `fn` must not call into the switch. */
void switch_addresses(const struct nswitch *sw,
		      void (*fn)(void *arg, const struct mac *mac, unsigned port), void *arg);

#endif
