/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses: MAC, IPv4 and IPv6, endpoints (address and port) and prefixes, with the text forms
 * that users type and read. Addresses are kept in network byte order, ports in host order.
 */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define MAC_SIZE 6

/* Longest text forms, with the terminating NUL. */
#define MAC_TEXT_MAX      18
#define ADDR_TEXT_MAX     INET6_ADDRSTRLEN
#define ENDPOINT_TEXT_MAX (INET6_ADDRSTRLEN + 8)
#define PREFIX_TEXT_MAX   (INET6_ADDRSTRLEN + 4)

struct mac {
	uint8_t bytes[MAC_SIZE];
};

struct addr {
	sa_family_t family; /* AF_INET, AF_INET6, or AF_UNSPEC for "no address" */
	union {
		struct in_addr v4;
		struct in6_addr v6;
	};
};

struct endpoint {
	struct addr addr;
	uint16_t port; /* host byte order */
};

struct prefix {
	struct addr addr;
	uint8_t length; /* bits */
};

extern const struct mac mac_broadcast; /* ff:ff:ff:ff:ff:ff */

/* "52:54:00:12:34:56", either case. Returns 0 or -EINVAL with *ret untouched. */
int mac_parse(const char *text, struct mac *ret);
/* Writes the lower-case text to `to` and returns it. */
const char *mac_format(const struct mac *mac, char to[static MAC_TEXT_MAX]);
bool mac_equal(const struct mac *a, const struct mac *b);
/* Group bit: broadcast and multicast. */
bool mac_is_group(const struct mac *mac);

struct addr addr_from_v4(uint32_t host_order);
struct addr addr_from_in(struct in_addr v4);
struct addr addr_from_in6(const struct in6_addr *v6);
/* The link-local address made of a MAC (RFC 4291, appendix A). */
struct addr addr_link_local(const struct mac *mac);
/* The IPv4 address in host order; the address must be AF_INET. */
uint32_t addr_v4(const struct addr *addr);
/* An IPv4 or IPv6 literal, no port, no brackets. Returns 0 or -EINVAL. */
int addr_parse(const char *text, struct addr *ret);
const char *addr_format(const struct addr *addr, char to[static ADDR_TEXT_MAX]);
bool addr_equal(const struct addr *a, const struct addr *b);
bool addr_is_loopback(const struct addr *addr);
bool addr_is_any(const struct addr *addr);       /* 0.0.0.0, :: or AF_UNSPEC */
bool addr_is_multicast(const struct addr *addr); /* 224/4, ff00::/8 */

/* "1.2.3.4:80", "[::1]:80", or ":80" (address AF_UNSPEC). A port is required, 1 to 65535, and 0
 * where `allow_port_0`. Returns 0 or -EINVAL. */
int endpoint_parse(const char *text, bool allow_port_0, struct endpoint *ret);
/* "1.2.3.4:80", "[::1]:80", ":80". */
const char *endpoint_format(const struct endpoint *ep, char to[static ENDPOINT_TEXT_MAX]);
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);
/* Fills *ret and returns the length to pass to bind() or connect(). AF_UNSPEC becomes [::]. */
socklen_t endpoint_to_sockaddr(const struct endpoint *ep, struct sockaddr_storage *ret);
/* From AF_INET or AF_INET6; an IPv4-mapped address becomes IPv4. Returns 0 or -EAFNOSUPPORT. */
int endpoint_from_sockaddr(const struct sockaddr *sa, struct endpoint *ret);

/* "192.168.65.0/24"; bits beyond the length must be zero. Returns 0 or -EINVAL. */
int prefix_parse(const char *text, struct prefix *ret);
const char *prefix_format(const struct prefix *prefix, char to[static PREFIX_TEXT_MAX]);
bool prefix_contains(const struct prefix *prefix, const struct addr *addr);
/* The netmask of an IPv4 prefix, host order. */
uint32_t prefix_mask4(const struct prefix *prefix);

#endif
