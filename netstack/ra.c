/* SPDX-License-Identifier: Apache-2.0 */
/* Router advertisements as bytes; see ra.h. */
#include "netstack/ra.h"

#include <assert.h>

#include "base/wire.h"

#define TYPE_ROUTER_ADVERTISEMENT 134

#define FLAG_MANAGED 0x80
#define FLAG_OTHER   0x40

#define OPTION_SOURCE_MAC 1
#define OPTION_PREFIX     3
#define OPTION_MTU        5
#define OPTION_RDNSS      25
#define OPTION_DNSSL      31

#define PREFIX_FLAG_ON_LINK    0x80
#define PREFIX_FLAG_AUTONOMOUS 0x40

/* An option's length is counted in units of eight bytes. */
#define UNIT 8

static void put_header(struct wire_writer *w, const struct ra *ra)
{
	wire_put_u8(w, TYPE_ROUTER_ADVERTISEMENT);
	wire_put_u8(w, 0);
	wire_put_be16(w, 0); /* checksum */
	wire_put_u8(w, ra->hop_limit);
	wire_put_u8(w, (ra->managed ? FLAG_MANAGED : 0) | (ra->other ? FLAG_OTHER : 0));
	wire_put_be16(w, ra->router_lifetime_s);
	wire_put_be32(w, 0); /* reachable time: the guest's own choice */
	wire_put_be32(w, 0); /* retransmission timer: the same */
}

static void put_mac(struct wire_writer *w, const struct ra *ra)
{
	wire_put_u8(w, OPTION_SOURCE_MAC);
	wire_put_u8(w, 1);
	wire_put_bytes(w, ra->mac.bytes, MAC_SIZE);
}

static void put_mtu(struct wire_writer *w, const struct ra *ra)
{
	wire_put_u8(w, OPTION_MTU);
	wire_put_u8(w, 1);
	wire_put_be16(w, 0);
	wire_put_be32(w, ra->mtu);
}

static void put_prefix(struct wire_writer *w, const struct ra *ra)
{
	wire_put_u8(w, OPTION_PREFIX);
	wire_put_u8(w, 4);
	wire_put_u8(w, ra->prefix.length);
	wire_put_u8(w, PREFIX_FLAG_ON_LINK | (ra->autonomous ? PREFIX_FLAG_AUTONOMOUS : 0));
	wire_put_be32(w, ra->valid_s);
	wire_put_be32(w, ra->preferred_s);
	wire_put_be32(w, 0);
	wire_put_bytes(w, &ra->prefix.addr.v6, sizeof(ra->prefix.addr.v6));
}

/* RFC 8106, 5.1. */
static void put_dns(struct wire_writer *w, const struct ra *ra)
{
	wire_put_u8(w, OPTION_RDNSS);
	wire_put_u8(w, 3);
	wire_put_be16(w, 0);
	wire_put_be32(w, ra->dns_lifetime_s);
	wire_put_bytes(w, &ra->dns.v6, sizeof(ra->dns.v6));
}

/* RFC 8106, 5.2. */
static void put_search(struct wire_writer *w, const struct ra *ra)
{
	size_t padding = (UNIT - ra->search_size % UNIT) % UNIT;

	wire_put_u8(w, OPTION_DNSSL);
	wire_put_u8(w, (uint8_t)(1 + (ra->search_size + padding) / UNIT));
	wire_put_be16(w, 0);
	wire_put_be32(w, ra->dns_lifetime_s);
	wire_put_bytes(w, ra->search, ra->search_size);
	wire_put_zeros(w, padding);
}

size_t ra_encode(const struct ra *ra, void *to, size_t size)
{
	struct wire_writer w = wire_writer(to, size);

	assert(ra->search_size <= RA_SEARCH_SIZE_MAX);
	put_header(&w, ra);
	put_mac(&w, ra);
	if (ra->router_lifetime_s) {
		put_mtu(&w, ra);
		put_prefix(&w, ra);
		if (ra->dns.family == AF_INET6)
			put_dns(&w, ra);
		if (ra->search_size)
			put_search(&w, ra);
	}
	assert(wire_fits(&w));
	return wire_written(&w);
}
