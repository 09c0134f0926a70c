/* SPDX-License-Identifier: Apache-2.0 */
/* What the DHCPv6 server's messages (dhcp6_server.c) and its answers about addresses (dhcp6_ia.c)
 * share. */
#ifndef DHCP_DHCP6_PRIVATE_H
#define DHCP_DHCP6_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "dhcp/dhcp6_reply.h"
#include "dhcp/dhcp6_server.h"
#include "dhcp/dhcp_pool.h"

struct dhcp6_server {
	struct prefix prefix;
	uint32_t lease_seconds;
	bool rapid_commit;
	dhcp_lease_fn *on_lease;
	void *on_lease_arg;
	struct dhcp_pool pool;
	struct dhcp6_speaker speaker;
	struct dhcp6_counters counters;
};

/* A message, where it came from, and what becomes of it. */
struct dhcp6_exchange {
	const struct dhcp6_message *message;
	const struct dhcp6_sender *sender;
	uint64_t now_ms;
	struct dhcp6_decision *decision;
};

/* The address with that number of the pool's, and the number of an address; 0: it can't be one of
 * the pool's. */
struct addr dhcp6_address_of(const struct dhcp6_server *server, uint32_t host);
uint32_t dhcp6_host_of(const struct dhcp6_server *server, const struct addr *addr);

/* Whether all addresses of an IA are of our network. */
bool dhcp6_all_on_link(const struct dhcp6_server *server, const struct dhcp6_ia *ia);
/* The live lease of an IA that names its address; NULL: none. */
struct dhcp_lease *dhcp6_lease_to_end(struct dhcp6_server *server, const struct dhcp6_exchange *x,
				      const struct dhcp6_ia *ia);

/* These decide what is said of an IA of the message. */

void dhcp6_refuse(struct dhcp6_ia_answer *answer, enum dhcp6_status status);
/* An address for an IA of a Solicit or a Request; `commit` makes it a lease. Returns whether there
 * is one, or -ENOMEM. */
int dhcp6_answer_assign(struct dhcp6_server *server, const struct dhcp6_exchange *x, unsigned i,
			bool commit);
/* An IA of a Renew or a Rebind: RFC 8415, 18.3.4 and 18.3.5. Returns 0 or -ENOMEM. */
int dhcp6_answer_renew(struct dhcp6_server *server, const struct dhcp6_exchange *x, unsigned i);

#endif
