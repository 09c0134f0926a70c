/* SPDX-License-Identifier: Apache-2.0 */
/* From a decision to the bytes of a DHCPv6 reply. Internal to dhcp/. */
#ifndef DHCP_DHCP6_REPLY_H
#define DHCP_DHCP6_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "dhcp/dhcp6_server.h"
#include "dhcp/dhcp6_wire.h"

/* What is said of one IA of the message. */
struct dhcp6_ia_answer {
	bool present;                          /* else the reply says nothing of it */
	struct addr granted;                   /* AF_UNSPEC: none */
	struct addr ended[DHCP6_IA_ADDRS_MAX]; /* given back with lifetimes of 0: not to be used */
	unsigned ended_count;
	bool has_status;
	enum dhcp6_status status;
};

struct dhcp6_decision {
	enum dhcp6_type type; /* DHCP6_ADVERTISE, DHCP6_REPLY, or DHCP6_NONE: be silent */
	bool rapid;           /* a Reply to a Solicit */
	bool with_conf;       /* servers, domains and the like go out */
	bool has_status;      /* of the message as a whole */
	enum dhcp6_status status;
	struct dhcp6_ia_answer answers[DHCP6_IAS_MAX]; /* one for each of the message's IAs */
	const char *hostname;                          /* what the client is called now, or NULL */
};

/* What all replies have in common. */
struct dhcp6_speaker {
	uint8_t server_id[DHCP6_SERVER_ID_SIZE];
	uint32_t lease_seconds;
	struct addr dns[DHCP_ADDRESSES_MAX];
	size_t dns_count;
	struct addr ntp[DHCP_ADDRESSES_MAX];
	size_t ntp_count;
	char domain[DHCP_DOMAIN_MAX]; /* or empty */
	uint8_t search[DHCP6_SEARCH_SIZE_MAX];
	size_t search_size;
};

/* Any reply can be encoded: what is required always fits, and of the rest what doesn't is left out.
 */
void dhcp6_reply_encode(const struct dhcp6_speaker *speaker, const struct dhcp6_message *message,
			const struct dhcp6_decision *decision, struct dhcp6_reply *ret);

#endif
