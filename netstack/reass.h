/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reassembly of guests' fragments (RFC 791 and 815; RFC 8200, 4.5). lwIP's is not used: it doesn't
 * know one guest's fragments from another's, drops IPv4 options, keeps an IPv6 packet of which two
 * fragments overlap, and counts its size in 16 bits.
 *
 * Theory: a packet is known by its addresses, its identification (and protocol, in IPv4) and the
 * switch port that it came in by, so that nobody can spoil another guest's. Fragments that overlap
 * end their packet, and whatever else comes of it is dropped (RFC 5722, which IPv4 is as well off
 * with); an exact copy of a fragment is no overlap. Since none overlap, a packet is complete when
 * their sizes add up to its own. At a port's bounds the port's oldest packet goes; at the bounds of
 * all together the oldest of the port that holds the most, so that a guest with a few fragments
 * keeps them whatever others send.
 */
#ifndef NETSTACK_REASS_H
#define NETSTACK_REASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define REASS_FRAGMENTS_MAX      1024
#define REASS_PORT_FRAGMENTS_MAX 256
#define REASS_BYTES_MAX          (4 * 1024 * 1024)
#define REASS_PORT_BYTES_MAX     (1024 * 1024)
#define REASS_LIFETIME_MS        15000
#define REASS_ROOM               14 /* bytes before a packet, for an Ethernet header */

#define IP6_FRAGMENT_HEADER_SIZE 8

struct reass;

/* A fragment as it came in; bytes are borrowed. Offsets count from its IP header, which has been
 * checked: it and what follows lie within `size`. */
struct reass_fragment {
	unsigned port; /* of the switch */
	struct addr src;
	struct addr dst;
	const uint8_t *ip;
	size_t size;        /* of the IP packet, with its header */
	size_t next_at;     /* IPv6: the field that names the fragment header, as the next one */
	size_t fragment_at; /* IPv6: the fragment header, which lies within `size` */
};

enum reass_result {
	REASS_KEPT,        /* more are to come; or it was dropped, and nobody needs to know */
	REASS_COMPLETE,    /* the packet is there */
	REASS_BAD_SIZE,    /* not the last one, and no multiple of 8 bytes */
	REASS_TOO_LARGE,   /* the packet would exceed 65535 bytes */
	REASS_OVERLAPPING, /* the packet was given up */
};

int reass_new(struct reass **ret_reass);
void reass_free(struct reass *reass);

/*
 * Takes a fragment. With REASS_COMPLETE, *ret_packet is the packet from its IP header on, whose
 * head is the first fragment's (without IPv6's fragment header), its *ret_size bytes standing
 * behind REASS_ROOM writable ones; it is the caller's, to be freed with reass_packet_free(). A
 * packet in one fragment is complete at once, whatever else waits under its identification
 * (RFC 6946).
 */
enum reass_result reass_add(struct reass *reass, const struct reass_fragment *fragment,
			    uint64_t now_ms, uint8_t **ret_packet, size_t *ret_size);
void reass_packet_free(uint8_t *packet);

/* Drops what is too old. Returns when it is to be called next, or 0: nothing waits. */
uint64_t reass_expire(struct reass *reass, uint64_t now_ms);
/* Drops everything of a port's. */
void reass_forget_port(struct reass *reass, unsigned port);
/* Fragments that wait now. */
unsigned reass_fragments(const struct reass *reass);

#endif
