/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What fuzz_forwarder.c plays in: a forwarder with published ports, guests on links made of memory,
 * and the host's ends on its loopback, all of them one process' in virtual time. The policy lets
 * guests reach nothing but the sockets here.
 */
#ifndef TESTS_FUZZ_FORWARDER_WORLD_H
#define TESTS_FUZZ_FORWARDER_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "forwarder/egress.h"
#include "forwarder/forwarder.h"
#include "forwarder/publish.h"
#include "sim/sim_link.h"
#include "sim/sim_packet.h"

#define GUESTS        3
#define PEERS_MAX     16
#define ENDS_MAX      12
#define GUEST_CONNS   8 /* most connections of a guest */
#define UDP_FLOWS     6 /* of a guest */
#define UDP_FLOWS_ALL 12
#define GONE_MAX      8
#define PUBLISHED     4
#define QUOTE_MAX     128
/* Frames to a guest that nobody has taken: more than that no one step makes. */
#define PENDING_MAX 4096

/* Where guests may send to on the host; the ports are the kernel's choice. */
enum service {
	SERVICE_TCP,
	SERVICE_REFUSED, /* nobody listens */
	SERVICE_UDP,
	SERVICE_COUNT,
};

/* One end of a TCP connection, as a guest has it. */
struct peer {
	bool used;
	unsigned guest;
	struct endpoint self, far; /* the guest's, or of a container behind it */
	uint32_t next;             /* what the stack expects of us */
	uint32_t expect;           /* what we expect of the stack */
};

struct guest {
	struct mac mac;
	struct addr addrs[2]; /* IPv4, IPv6 */
	struct sim_link *link;
	uint8_t quote[QUOTE_MAX]; /* the packet that it got last, from the IP header on */
	size_t quote_size;
	struct endpoint udp_from, udp_to; /* of the datagram that it got last */
};

struct world {
	struct loop *loop;
	struct forwarder *forwarder;
	struct publish *publish;
	struct egress_conf egress;
	struct guest guests[GUESTS];
	struct peer peers[PEERS_MAX];
	unsigned peer_next;
	struct sim_link *gone[GONE_MAX + GUESTS]; /* what links were before */
	unsigned gone_count;
	int ends[ENDS_MAX];            /* the host's sockets of connections; -1: none */
	uint16_t published[PUBLISHED]; /* ports of the host's: TCP, UDP, and both to a container */
	int udp_clients[2];            /* of the published ones */
	struct endpoint udp_at;        /* whom the host's service has a datagram from, if any */
	unsigned fds;                  /* that were open before */
	uint8_t frame[SIM_PACKET_MAX];
};

/* With `by_proxy` ports 80 and 443 are reached by a proxy, which is SERVICE_TCP. */
void world_open(struct world *world, bool by_proxy);
/* Ends the host's sockets and lets time go by; checks that nothing is left. */
void world_close(struct world *world);
/* What must hold at any time. */
void world_check(struct world *world);
/* Lets the loop work, and reads what guests and sockets have got. */
void world_turn(struct world *world);

uint16_t world_service(enum service service, bool v6);
const struct mac *world_gateway(void);
/* The link of a guest goes, and another of the same place comes. */
void world_reconnect(struct world *world, unsigned guest);
/* The connection with these ends, or NULL. */
struct peer *world_peer(struct world *world, unsigned guest, const struct endpoint *self,
			const struct endpoint *far);
/* A new one, in place of the oldest. */
struct peer *world_peer_new(struct world *world, unsigned guest, const struct endpoint *self,
			    const struct endpoint *far);
/* A socket to be one of the host's ends, in place of another. */
void world_add_end(struct world *world, int fd);
/* A datagram from the host's service to whom it last heard from. */
void world_udp_reply(struct world *world, const void *data, size_t size);

#endif
