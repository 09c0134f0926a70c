/* SPDX-License-Identifier: Apache-2.0 */
/* Names of the reverse trees, in-addr.arpa and ip6.arpa (RFC 1035 3.5, RFC 3596 2.5), as addresses.
 */
#ifndef DNS_DNS_REVERSE_H
#define DNS_DNS_REVERSE_H

#include <stdbool.h>

#include "dns/dns_wire.h"

struct dns_reverse {
	struct addr addr;  /* the leading bits that the name gives, the rest 0 */
	unsigned bits;     /* how many these are */
	bool is_malformed; /* there are labels in front that aren't part of an address */
};

/* Returns false when the name lies in neither tree. */
bool dns_reverse_parse(const struct dns_name *name, struct dns_reverse *ret);
/* Whether the name says a whole address and nothing else. */
bool dns_reverse_is_host(const struct dns_reverse *reverse);
/* The size of the part of `name` that stands for the first `bits` bits, cut to whole labels. */
size_t dns_reverse_zone_size(const struct dns_name *name, const struct dns_reverse *reverse,
			     unsigned bits);

#endif
