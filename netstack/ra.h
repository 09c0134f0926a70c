/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of a router advertisement (RFC 4861, 4.2 and 4.6; RFC 8106). When one is sent is
 * decided in router_adv.c. */
#ifndef NETSTACK_RA_H
#define NETSTACK_RA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

/* Room for search domains, in DNS wire form: as much as leaves an advertisement within the 1280
 * bytes that every IPv6 link takes. */
#define RA_SEARCH_SIZE_MAX 1024
#define RA_SIZE_MAX        1240

struct ra {
	struct mac mac; /* the router's: source link-layer address */
	uint8_t hop_limit;
	bool managed;               /* M: DHCPv6 gives addresses */
	bool other;                 /* O: DHCPv6 gives the rest */
	uint16_t router_lifetime_s; /* 0: not a router, and nothing but the MAC follows */
	uint32_t mtu;

	struct prefix prefix; /* on the link, as all of this is */
	bool autonomous;      /* A: guests may make addresses of it */
	uint32_t valid_s;
	uint32_t preferred_s;

	struct addr dns; /* AF_UNSPEC: none */
	uint32_t dns_lifetime_s;
	const uint8_t *search; /* domain names in DNS wire form behind each other; borrowed */
	size_t search_size;    /* up to RA_SEARCH_SIZE_MAX; 0: none */
};

/* Writes the ICMPv6 message to `to`, RA_SIZE_MAX bytes or more, with a checksum of zero; returns
 * its size, a multiple of 8. */
size_t ra_encode(const struct ra *ra, void *to, size_t size);

#endif
