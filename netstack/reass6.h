/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reassembly of guests' IPv6 fragments (RFC 8200, 4.5). lwIP's is not used: it keeps a packet of
 * which two fragments overlap, and counts its size in 16 bits.
 *
 * Theory: a packet is known by its addresses, its identification and the switch port that it came
 * in by, so that nobody can spoil another guest's. Fragments that overlap end their packet, and
 * whatever else comes of it is dropped (RFC 5722); an exact copy of a fragment is no overlap. Since
 * none overlap, a packet is complete when their sizes add up to its own. At each of the bounds
 * below the oldest packets go: at the port's the port's own, at the others anybody's.
 */
#ifndef NETSTACK_REASS6_H
#define NETSTACK_REASS6_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define REASS6_FRAGMENTS_MAX      512
#define REASS6_PORT_FRAGMENTS_MAX 256
#define REASS6_BYTES_MAX          (4 * 1024 * 1024)
#define REASS6_LIFETIME_MS        15000
#define REASS6_ROOM               14 /* bytes before a packet, for an Ethernet header */

#define IP6_FRAGMENT_HEADER_SIZE 8

struct reass6;

/* A fragment as it came in; bytes are borrowed. Offsets count from its IPv6 header. */
struct reass6_fragment {
	unsigned port; /* of the switch */
	struct addr src;
	struct addr dst;
	const uint8_t *ip;
	size_t size;        /* of the IPv6 packet, with its header */
	size_t next_at;     /* the field that names the fragment header, as the next one */
	size_t fragment_at; /* the fragment header, which lies within `size` */
};

enum reass6_result {
	REASS6_KEPT,        /* more are to come; or it was dropped, and nobody needs to know */
	REASS6_COMPLETE,    /* the packet is there */
	REASS6_BAD_SIZE,    /* not the last one, and no multiple of 8 bytes */
	REASS6_TOO_LARGE,   /* the packet would exceed 65535 bytes */
	REASS6_OVERLAPPING, /* the packet was given up */
};

int reass6_new(struct reass6 **ret_reass);
void reass6_free(struct reass6 *reass);

/*
 * Takes a fragment. With REASS6_COMPLETE, *ret_packet is the packet from its IPv6 header on,
 * without the fragment header, its *ret_size bytes standing behind REASS6_ROOM writable ones; it is
 * the caller's, to be freed with reass6_packet_free(). A packet in one fragment is complete at
 * once, whatever else waits under its identification (RFC 6946).
 */
enum reass6_result reass6_add(struct reass6 *reass, const struct reass6_fragment *fragment,
			      uint64_t now_ms, uint8_t **ret_packet, size_t *ret_size);
void reass6_packet_free(uint8_t *packet);

/* Drops what is too old. Returns when it is to be called next, or 0: nothing waits. */
uint64_t reass6_expire(struct reass6 *reass, uint64_t now_ms);
/* Drops everything of a port's. */
void reass6_forget_port(struct reass6 *reass, unsigned port);
/* Fragments that wait now. */
unsigned reass6_fragments(const struct reass6 *reass);

#endif
