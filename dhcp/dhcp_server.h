/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DHCPv4 server of the virtual network (RFC 2131, 2132, 3396, 3397, 4702, 6842): message in,
 * reply out, the time as an argument. It does no I/O: the caller takes UDP datagrams for port 67
 * off the network, and sends replies where the reply says.
 *
 * Guests are told apart by client identifier, and by MAC where they send none; conf.one_per_mac
 * says what becomes of one MAC with several identifiers. The caller should pass on only messages
 * whose link-layer source is the client hardware address within, or a guest could take leases in
 * its neighbours' names.
 */
#ifndef DHCP_DHCP_SERVER_H
#define DHCP_DHCP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "dhcp/dhcp_name.h"
#include "dhcp/dhcp_wire.h"

#define DHCP_ADDRESSES_MAX     16   /* DNS or NTP servers */
#define DHCP_SEARCH_SIZE_MAX   512  /* search domains */
#define DHCP_ROUTES_MAX        32   /* classless static routes */
#define DHCP_EXTRA_MAX         32   /* options given by number */
#define DHCP_RESERVATIONS_MAX  1024 /* static leases */
#define DHCP_SOURCES_MAX       256  /* switch ports */
#define DHCP_LEASE_SECONDS_MIN 4
#define DHCP_LEASE_INFINITE    UINT32_MAX
#define DHCP_MTU_MIN           576
#define DHCP_BOOT_FILE_MAX     128 /* the header's field, with its NUL */

/* A static lease: who gets it, and what. A client identifier goes before a MAC. */
struct dhcp_reservation {
	bool by_mac;
	struct mac mac;
	uint8_t client_id[DHCP_CLIENT_ID_MAX]; /* option 61's value; where !by_mac */
	size_t client_id_size;
	struct addr address;
	char hostname[DHCP_HOSTNAME_MAX]; /* sent as option 12; may be empty */
	uint64_t owner;                   /* the caller's: whose it is; kept, and told again */
};

struct dhcp_route {
	struct prefix to;
	struct addr via;
};

/* An option from configuration; takes the place of ours with that code. */
struct dhcp_extra {
	uint8_t code;
	const void *data; /* borrowed */
	size_t size;      /* up to DHCP_OPTION_SIZE_MAX */
	bool always;      /* send it to clients that don't ask for it */
	bool omit;        /* instead: never send it, not even ours */
};

/* A granted lease as others see it. */
struct dhcp_lease_info {
	struct addr address;
	struct mac mac;
	const uint8_t *client_id; /* as sent, or 01 and the MAC where none was; borrowed */
	size_t client_id_size;
	const char *hostname; /* clean, lower case, unique among leases; or empty; borrowed */
	uint64_t expires_ms;  /* in the caller's clock; UINT64_MAX: never */
	bool reserved;
	unsigned source; /* where it was last asked for; 0: unknown */
};

enum dhcp_lease_event {
	DHCP_LEASE_GRANTED,  /* new, or its MAC or hostname changed */
	DHCP_LEASE_RENEWED,  /* as it was, for longer */
	DHCP_LEASE_RELEASED, /* given back, declined, or taken away */
	DHCP_LEASE_EXPIRED,
};

/* Must not call into the server. `lease` and what it points to live as long as the call. */
typedef void dhcp_lease_fn(void *arg, enum dhcp_lease_event event,
			   const struct dhcp_lease_info *lease);

/* All of it is copied by dhcp_server_new(). Zero is a good default where a comment says so. */
struct dhcp_conf {
	struct prefix subnet;   /* IPv4, /8 to /30 */
	struct addr gateway;    /* in the subnet: server identifier and router */
	struct addr host_alias; /* never leased; AF_UNSPEC: none */
	struct addr router;     /* AF_UNSPEC: the gateway */
	struct addr pool_first; /* AF_UNSPEC: the subnet's first */
	struct addr pool_last;  /* AF_UNSPEC: the subnet's last */
	const struct addr *dns; /* none: the gateway */
	size_t dns_count;
	const struct addr *ntp;
	size_t ntp_count;
	const char *domain;              /* NULL: none */
	const uint8_t *search;           /* domains to search, in DNS wire form behind each other */
	size_t search_size;              /* up to DHCP_SEARCH_SIZE_MAX */
	const struct dhcp_route *routes; /* besides the default route */
	size_t route_count;
	const struct dhcp_extra *extras;
	size_t extra_count;
	const struct dhcp_reservation *reservations;
	size_t reservation_count;
	uint32_t lease_seconds;  /* DHCP_LEASE_INFINITE: for ever */
	uint16_t mtu;            /* 0: don't tell */
	const char *boot_file;   /* for network boot; NULL: none, else below DHCP_BOOT_FILE_MAX */
	struct addr boot_server; /* where it is; AF_UNSPEC: the gateway */
	unsigned leases_per_source_max; /* addresses that one source holds; 0: no limit */
	/* Whether a MAC that asks under another identifier is the same client, and keeps its
	 * address: firmware, initramfs and system of one machine. Else each identifier gets one. */
	bool one_per_mac;
	/* Whether no other server shares this network, so that a client with a lease unknown to us
	 * (from before a restart) is confirmed or refused at once. Otherwise RFC 2131 wants
	 * silence, and the client waits. */
	bool authoritative;
	bool rapid_commit;       /* allow RFC 4039's two-message exchange */
	dhcp_lease_fn *on_lease; /* NULL: none */
	void *on_lease_arg;
};

enum dhcp_destination {
	DHCP_TO_BROADCAST, /* 255.255.255.255, to all */
	DHCP_TO_CHADDR,    /* straight to the client's MAC, no ARP: it hasn't got the address yet */
	DHCP_TO_CIADDR,    /* an ordinary datagram to the client's address */
	DHCP_TO_RELAY,     /* an ordinary datagram to the relay agent, port 67 */
};

struct dhcp_reply {
	uint8_t bytes[DHCP_REPLY_SIZE_MAX];
	size_t size;
	enum dhcp_destination destination;
	struct endpoint to; /* address and port; the source is the gateway, port 67 */
	struct mac chaddr;  /* the client's MAC; for DHCP_TO_CHADDR the frame's destination */
};

struct dhcp_counters {
	uint64_t discovers, requests, declines, releases, informs; /* taken */
	uint64_t offers, acks, naks;                               /* sent */
	uint64_t malformed;                                        /* not DHCP */
	uint64_t ignored;   /* DHCP, but not for us to answer */
	uint64_t exhausted; /* no free address */
	uint64_t limited;   /* the source had as many as it may have */
};

struct dhcp_server;

/* Returns 0, -ENOMEM, or -EINVAL with a message for the user in `error`: what is wrong, what would
 * be right. */
int dhcp_server_new(const struct dhcp_conf *conf, char *error, size_t error_size,
		    struct dhcp_server **ret_server);
/* Makes no events. NULL is fine. */
void dhcp_server_free(struct dhcp_server *server);

/* Takes a UDP payload. `source` is where it came from, a number up to DHCP_SOURCES_MAX, or 0 for an
 * unknown place, which isn't limited. Returns 1 with *ret_reply to be sent, 0 when there is nothing
 * to say, -EBADMSG when it is no DHCP message, or -ENOMEM. */
int dhcp_server_handle(struct dhcp_server *server, const void *message, size_t size,
		       unsigned source, uint64_t now_ms, struct dhcp_reply *ret_reply);

/* Tells the domains to search from now on, in the form of dhcp_conf's; not where an option of the
 * configuration says what they are. Returns 0, -EINVAL (too many) or -ENOMEM. */
int dhcp_server_set_search(struct dhcp_server *server, const uint8_t *search, size_t size);

/* Ends what has run out (handle does so too) and makes the events. Returns when to call it next:
 * UINT64_MAX when nothing can run out. */
uint64_t dhcp_server_expire(struct dhcp_server *server, uint64_t now_ms);

/* Adds a static lease. A client that holds another address moves to it when it next renews. Returns
 * 0, -EINVAL (not an address of the subnet that may be leased, a bad host name, or nobody to lease
 * it to), -EEXIST (the address or the client has a static lease), -EADDRINUSE (somebody else's
 * lease on it is live), -ENOSPC, -ENOMEM. */
int dhcp_server_reserve(struct dhcp_server *server, const struct dhcp_reservation *reservation,
			uint64_t now_ms);
/* Why it could not, in words that go behind "ADDRESS: "; static. `error` is what it returned. */
const char *dhcp_server_why_not(const struct dhcp_server *server,
				const struct dhcp_reservation *reservation, int error);
/* Returns 0 or -ENOENT. A live lease on it goes on as an ordinary one if the pool has the address;
 * else it ends. */
int dhcp_server_unreserve(struct dhcp_server *server, const struct addr *address);
/* Changes whose it is. Returns 0 or -ENOENT. */
int dhcp_server_reown(struct dhcp_server *server, const struct addr *address, uint64_t owner);
/* Ends the granted lease on an address, whose client has gone without a word; it may have it again.
 * Returns 0 or -ENOENT. */
int dhcp_server_end(struct dhcp_server *server, const struct addr *address);
/* Calls fn for each static lease, in no order. fn must not call into the server. */
void dhcp_server_for_each_static(const struct dhcp_server *server,
				 void (*fn)(void *arg, const struct dhcp_reservation *reservation),
				 void *arg);

/* Puts back a lease from before a restart, if it fits the configuration: 0, -EINVAL, -EADDRINUSE,
 * -ENOSPC, -ENOMEM. One that has run out is remembered, so that its client can have the address
 * again. Makes a DHCP_LEASE_GRANTED event when it is live. */
int dhcp_server_restore(struct dhcp_server *server, const struct dhcp_lease_info *lease,
			uint64_t now_ms);

/* Calls fn for each granted lease, those granted or renewed longest ago first. fn must not call
 * into the server. */
void dhcp_server_for_each(const struct dhcp_server *server,
			  void (*fn)(void *arg, const struct dhcp_lease_info *lease), void *arg);
/* The same for those that ended, but whose clients would get their addresses again: longest idle
 * first, `expires_ms` is 0. */
void dhcp_server_for_each_ended(const struct dhcp_server *server,
				void (*fn)(void *arg, const struct dhcp_lease_info *lease),
				void *arg);
/* The granted lease on an address, or of a host name (any case); false when there is none. What
 * *ret points to is valid until the next call that isn't a query. */
bool dhcp_server_by_address(const struct dhcp_server *server, const struct addr *address,
			    struct dhcp_lease_info *ret);
bool dhcp_server_by_hostname(const struct dhcp_server *server, const char *hostname,
			     struct dhcp_lease_info *ret);

/* A granted lease of a MAC, likewise. */
bool dhcp_server_by_mac(const struct dhcp_server *server, const struct mac *mac,
			struct dhcp_lease_info *ret);

const struct dhcp_counters *dhcp_server_counters(const struct dhcp_server *server);

#endif
