/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's hosts(5) file: what the host's programs find there, guests find too. An address of the
 * host's loopback means the host, which guests reach by its alias.
 */
#ifndef DNS_DNS_HOSTS_H
#define DNS_DNS_HOSTS_H

#include <stddef.h>

#include "base/addr.h"
#include "base/hmap.h"
#include "dns/dns_wire.h"

#define DNS_HOSTS_PATH     "/etc/hosts"
#define DNS_HOSTS_SIZE_MAX (8u << 20) /* block lists are long */
#define DNS_HOSTS_MAX      262144

struct dns_host {
	struct hmap_node node;    /* by the name's hash */
	struct hmap_node by_addr; /* of the first name of an address only */
	struct dns_host *next;    /* same name, next address, in the file's order */
	struct addr addr;
	uint8_t name_size;
	uint8_t name[]; /* wire form, lower case */
};

struct dns_hosts {
	struct hmap names; /* the first address of each */
	struct hmap addrs; /* the first name of each */
	struct hash_key key;
	size_t count;
};

void dns_hosts_init(struct dns_hosts *hosts);
void dns_hosts_destroy(struct dns_hosts *hosts);
/*
 * Replaces what is there by the NUL-terminated text's entries. Loopback addresses become `alias4`
 * and `alias6` (an entry is left out where the alias is AF_UNSPEC); localhost is left out
 * altogether. Returns 0; -ENOMEM or -ENOSPC with the entries that it got to.
 */
int dns_hosts_parse(struct dns_hosts *hosts, const char *text, const struct addr *alias4,
		    const struct addr *alias6);
/* The first address of a name (lower case), or NULL. */
const struct dns_host *dns_hosts_find(const struct dns_hosts *hosts, const struct dns_name *name);
/* The first name of an address. Returns 0 or -ENOENT. */
int dns_hosts_name_of(const struct dns_hosts *hosts, const struct addr *addr, struct dns_name *ret);

#endif
