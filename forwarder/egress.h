/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's HTTP proxy as the guests' way out: which proxy a destination goes by, if any, as the
 * environment variables http_proxy, https_proxy and no_proxy say it elsewhere. Connections to port
 * 80 and 443 go by a proxy, always by CONNECT (flow_tcp_egress.c); everything else goes directly.
 *
 * The name that a guest talks to is known only from what it says first (TLS, HTTP), so exceptions
 * are asked for twice: by the address before anything is connected, and by the name.
 */
#ifndef FORWARDER_EGRESS_H
#define FORWARDER_EGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define EGRESS_EXCEPTIONS_MAX 1024
#define EGRESS_ADDRESSES_MAX  8
/* Longest host name, with the NUL (RFC 1035, 2.3.4). */
#define EGRESS_NAME_MAX 256
/* Longest "user:password", in base64 with the NUL. */
#define EGRESS_AUTH_MAX 1024

#define EGRESS_PORT_HTTP  80
#define EGRESS_PORT_HTTPS 443

struct egress_proxy {
	char host[EGRESS_NAME_MAX]; /* a name or an address; empty: there is no such proxy */
	uint16_t port;
	char auth[EGRESS_AUTH_MAX]; /* for Basic authentication (RFC 7617); empty: none */
	bool is_address;            /* `host` is no name */
	struct addr addrs[EGRESS_ADDRESSES_MAX]; /* of `host`, the best first */
	unsigned addr_count;                     /* 0: not known yet */
};

enum egress_exception_kind {
	EGRESS_EXCEPT_ALL,
	EGRESS_EXCEPT_NAME, /* and what ends in it behind a dot */
	EGRESS_EXCEPT_PREFIX,
};

struct egress_exception {
	enum egress_exception_kind kind;
	uint16_t port; /* 0: any */
	struct prefix prefix;
	char name[EGRESS_NAME_MAX]; /* lower case */
};

struct egress_conf {
	struct egress_proxy http;  /* for port 80 */
	struct egress_proxy https; /* for port 443 */
	struct egress_exception *exceptions;
	unsigned exception_count;
};

/*
 * Reads "[http://][USER[:PASSWORD]@]HOST[:PORT][/]", with %XX in user and password; the port is 80
 * by default. The addresses are found where HOST is one, else left to egress_lookup.h. Returns 0,
 * or -EINVAL.
 */
int egress_parse_proxy(const char *text, struct egress_proxy *ret);
/*
 * Adds the exceptions of a list, separated by commas or white space: "*", an address, a network, or
 * a name, which stands for what ends in it, too; each may have a ":PORT". A dot, or "*.", in front
 * of a name changes nothing. Returns 0, or with *ret_bad (not with a NUL behind it) at the entry
 * that can't be: -EINVAL, -ENOSPC beyond EGRESS_EXCEPTIONS_MAX, -ENOMEM.
 */
int egress_add_exceptions(struct egress_conf *conf, const char *text, const char **ret_bad);
void egress_destroy(struct egress_conf *conf);

/* The proxy for a destination, or NULL when it is reached directly. `to` is an address. */
const struct egress_proxy *egress_find(const struct egress_conf *conf, const struct endpoint *to);
/* Whether a name that the guest talks to at that port is an exception. */
bool egress_exempts_name(const struct egress_conf *conf, const char *name, uint16_t port);

/* Whether the proxy may be asked for a name that a guest has sent. Not one that means the proxy's
 * own host (RFC 6761, 6.3), or that resolvers take for an address: "2852039166" is 169.254.169.254,
 * and rules (policy.h) see the address that the guest connects to only. */
bool egress_may_ask_for(const char *name);

/* Whether `size` bytes are a host name, of letters, digits, '-', '_' and dots, and not an address.
 * Copies it in lower case, without a dot at the end. */
bool egress_clean_name(const char *bytes, size_t size, char to[static EGRESS_NAME_MAX]);

#endif
