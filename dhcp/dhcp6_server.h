/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DHCPv6 server of the virtual network (RFC 8415, 3646, 4704, 5908): message in, reply out, the
 * time as an argument. It does no I/O: the caller takes UDP datagrams for port 547 off the network,
 * and sends replies to where they came from, port 546.
 *
 * A lease belongs to a client's DUID and IAID, as the RFC wants it, and to the MAC that its
 * messages come from: two machines made from one disk image share a DUID, and still are two. The
 * firmware and the system of one machine have a DUID each, and still are one, as long as they ask
 * for one address at a time. A DUID made of another MAC than the sender's is nothing wrong (RFC
 * 8415, 11.2: it stays when the card is changed); what a guest can take by inventing DUIDs is
 * bounded by its MAC and its place on the switch. The table is that of DHCPv4 (dhcp_pool.h), with
 * its limits, over the last 32 bits of the address.
 *
 * Which address: the one that the client has or had; or asks for, when that is free; or the one
 * whose last bits are the host part of its IPv4 address, as the caller knows it, so that
 * 192.168.65.2 and fd65:6e70:7879::2 are one machine; or the lowest one never used.
 *
 * We are the only server of the network, so a client that renews a lease from before a restart gets
 * it back if nobody else has it. There are no temporary addresses and no prefixes: those who ask
 * are told so.
 */
#ifndef DHCP_DHCP6_SERVER_H
#define DHCP_DHCP6_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "dhcp/dhcp6_wire.h"
#include "dhcp/dhcp_server.h"

#define DHCP6_SERVER_ID_SIZE  10  /* a DUID-LL, of our MAC */
#define DHCP6_SEARCH_SIZE_MAX 512 /* domain names in DNS wire form */
#define DHCP6_REFRESH_MIN_S   600 /* RFC 8415, 21.23: IRT_MINIMUM */

/* All of it is copied by dhcp6_server_new(). */
struct dhcp6_conf {
	struct mac mac;                 /* the gateway's */
	struct prefix prefix;           /* IPv6, /8 to /64 */
	struct addr gateway;            /* in the prefix: ours; never leased */
	struct addr host_alias;         /* never leased; AF_UNSPEC: none */
	const struct addr *dns;         /* IPv6; none: the gateway */
	size_t dns_count;               /* up to DHCP_ADDRESSES_MAX */
	const struct addr *ntp;         /* IPv6 */
	size_t ntp_count;               /* up to DHCP_ADDRESSES_MAX */
	const char *domain;             /* what guests' names end in; NULL: none */
	const uint8_t *search;          /* domains to search, in DNS wire form behind each other */
	size_t search_size;             /* up to DHCP6_SEARCH_SIZE_MAX */
	uint32_t lease_seconds;         /* DHCP_LEASE_INFINITE: for ever */
	unsigned leases_per_source_max; /* addresses that one source holds; 0: no limit */
	bool rapid_commit;              /* allow the two-message exchange */
	dhcp_lease_fn *on_lease;        /* NULL: none */
	void *on_lease_arg;
};

/* Where a message came from. */
struct dhcp6_sender {
	struct mac mac;  /* of the frame */
	bool multicast;  /* it was sent to ff02::1:2, and not to an address of ours */
	unsigned source; /* as dhcp_server_handle()'s */
	uint32_t host;   /* the host part of the guest's IPv4 address; 0: unknown */
};

struct dhcp6_reply {
	uint8_t bytes[DHCP6_REPLY_SIZE_MAX];
	size_t size;
};

struct dhcp6_counters {
	uint64_t solicits, requests, confirms, renews, rebinds; /* taken */
	uint64_t releases, declines, information_requests;
	uint64_t replies;   /* sent, of all types */
	uint64_t malformed; /* not DHCPv6 */
	uint64_t ignored;   /* DHCPv6, but not for us to answer */
	uint64_t exhausted; /* no free address */
	uint64_t limited;   /* the source had as many as it may have */
};

struct dhcp6_server;

/* Returns 0, -EINVAL or -ENOMEM. */
int dhcp6_server_new(const struct dhcp6_conf *conf, struct dhcp6_server **ret_server);
/* Makes no events. NULL is fine. */
void dhcp6_server_free(struct dhcp6_server *server);

/* Takes a UDP payload. Returns 1 with *ret_reply to be sent, 0 when there is nothing to say,
 * -EBADMSG when it is no DHCPv6 message, or -ENOMEM. */
int dhcp6_server_handle(struct dhcp6_server *server, const struct dhcp6_sender *sender,
			const void *message, size_t size, uint64_t now_ms,
			struct dhcp6_reply *ret_reply);

/* As dhcp_server_set_search(). Returns 0 or -EINVAL. */
int dhcp6_server_set_search(struct dhcp6_server *server, const uint8_t *search, size_t size);

/* As dhcp_server_expire(). */
uint64_t dhcp6_server_expire(struct dhcp6_server *server, uint64_t now_ms);

/* As dhcp_server_restore(). */
int dhcp6_server_restore(struct dhcp6_server *server, const struct dhcp_lease_info *lease,
			 uint64_t now_ms);

/* Queries, as those of dhcp_server.h. A lease's client identifier is the IAID and the DUID. */
void dhcp6_server_for_each(const struct dhcp6_server *server,
			   void (*fn)(void *arg, const struct dhcp_lease_info *lease), void *arg);
void dhcp6_server_for_each_ended(const struct dhcp6_server *server,
				 void (*fn)(void *arg, const struct dhcp_lease_info *lease),
				 void *arg);
bool dhcp6_server_by_address(const struct dhcp6_server *server, const struct addr *address,
			     struct dhcp_lease_info *ret);
bool dhcp6_server_by_hostname(const struct dhcp6_server *server, const char *hostname,
			      struct dhcp_lease_info *ret);
/* A granted lease of a MAC. */
bool dhcp6_server_by_mac(const struct dhcp6_server *server, const struct mac *mac,
			 struct dhcp_lease_info *ret);

const struct dhcp6_counters *dhcp6_server_counters(const struct dhcp6_server *server);

#endif
