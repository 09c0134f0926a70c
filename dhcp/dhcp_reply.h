/* SPDX-License-Identifier: Apache-2.0 */
/* From a decision to the bytes of a reply and where they go (RFC 2131, table 3 and section 4.1).
 * Internal to dhcp/. */
#ifndef DHCP_DHCP_REPLY_H
#define DHCP_DHCP_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "dhcp/dhcp_options.h"
#include "dhcp/dhcp_pool.h"
#include "dhcp/dhcp_server.h"
#include "dhcp/dhcp_wire.h"

/* A message and what it says of its client. */
struct dhcp_exchange {
	const struct dhcp_message *message;
	struct dhcp_client client;
	bool sent_id;                     /* the client's identifier is one that it sent */
	bool sent_fqdn;                   /* option 81 */
	uint8_t fqdn_flags;               /* of option 81 */
	char hostname[DHCP_HOSTNAME_MAX]; /* clean, or empty */
};

struct dhcp_decision {
	enum dhcp_type type; /* DHCP_OFFER, DHCP_ACK, DHCP_NAK, or DHCP_BOOTP: be silent */
	const struct dhcp_lease
		*lease;     /* offered or granted; NULL in answers to INFORM and in NAK */
	bool rapid;         /* the ACK answers a DISCOVER */
	const char *reason; /* of a NAK */
};

/* What all replies have in common. */
struct dhcp_speaker {
	uint32_t server_id;
	uint32_t lease_seconds;
	uint16_t mtu;          /* 0: unknown */
	const char *domain;    /* or empty */
	const char *boot_file; /* or empty */
	uint32_t boot_server;  /* 0: none */
	const struct dhcp_options *options;
};

/* Any reply can be encoded: what doesn't fit is left out, and what is required always fits. */
void dhcp_reply_encode(const struct dhcp_speaker *speaker, const struct dhcp_exchange *exchange,
		       const struct dhcp_decision *decision, struct dhcp_reply *ret);

#endif
