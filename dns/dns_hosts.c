/* SPDX-License-Identifier: Apache-2.0 */
/* Parses hosts(5) into a map from names to addresses. */
#include "dns/dns_hosts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"

#define WORD_MAX 256

void dns_hosts_init(struct dns_hosts *hosts)
{
	hmap_init(&hosts->names);
	hmap_init(&hosts->addrs);
	hosts->key = hash_key_random();
	hosts->count = 0;
}

void dns_hosts_destroy(struct dns_hosts *hosts)
{
	struct hmap_node *node = hmap_next(&hosts->names, NULL);

	hmap_destroy(&hosts->addrs);
	hmap_init(&hosts->addrs);
	while (node) {
		struct dns_host *host = container_of(node, struct dns_host, node);

		node = hmap_next(&hosts->names, node);
		while (host) {
			struct dns_host *next = host->next;

			free(host);
			host = next;
		}
	}
	hmap_destroy(&hosts->names);
	hmap_init(&hosts->names);
	hosts->count = 0;
}

const struct dns_host *dns_hosts_find(const struct dns_hosts *hosts, const struct dns_name *name)
{
	struct hmap_node *node;

	if (hosts->count == 0)
		return NULL;
	node = hmap_find(&hosts->names, hash_bytes(&hosts->key, name->wire, name->size));
	for (; node; node = hmap_find_next(node)) {
		struct dns_host *host = container_of(node, struct dns_host, node);

		if (host->name_size == name->size && !memcmp(host->name, name->wire, name->size))
			return host;
	}
	return NULL;
}

static uint64_t hash_addr(const struct dns_hosts *hosts, const struct addr *addr)
{
	return addr->family == AF_INET6 ? hash_bytes(&hosts->key, &addr->v6, sizeof(addr->v6))
					: hash_bytes(&hosts->key, &addr->v4, sizeof(addr->v4));
}

static const struct dns_host *find_by_addr(const struct dns_hosts *hosts, const struct addr *addr)
{
	struct hmap_node *node = hosts->count ? hmap_find(&hosts->addrs, hash_addr(hosts, addr))
					      : NULL;

	for (; node; node = hmap_find_next(node)) {
		struct dns_host *host = container_of(node, struct dns_host, by_addr);

		if (addr_equal(&host->addr, addr))
			return host;
	}
	return NULL;
}

int dns_hosts_name_of(const struct dns_hosts *hosts, const struct addr *addr, struct dns_name *ret)
{
	const struct dns_host *host = find_by_addr(hosts, addr);

	if (!host)
		return -ENOENT;
	ret->size = host->name_size;
	memcpy(ret->wire, host->name, host->name_size);
	return 0;
}

static int add_host(struct dns_hosts *hosts, const struct dns_name *name, const struct addr *addr)
{
	struct dns_host *first = (struct dns_host *)dns_hosts_find(hosts, name);
	unsigned same_name = 1;

	for (struct dns_host *host = first; host; host = host->next, same_name++) {
		/* Beyond what an answer holds, more addresses of one name would only make a slow
		 * list. */
		if (addr_equal(&host->addr, addr) || same_name == DNS_ANSWER_RECORDS_MAX)
			return 0;
	}
	if (hosts->count == DNS_HOSTS_MAX)
		return -ENOSPC;
	struct dns_host *host = malloc(sizeof(*host) + name->size);
	if (!host)
		return -ENOMEM;
	host->next = NULL;
	host->addr = *addr;
	host->name_size = name->size;
	memcpy(host->name, name->wire, name->size);
	if (first) {
		while (first->next)
			first = first->next;
		first->next = host;
	} else if (hmap_insert(&hosts->names, &host->node,
			       hash_bytes(&hosts->key, name->wire, name->size)) < 0) {
		free(host);
		return -ENOMEM;
	}
	hosts->count++;
	/* Without memory for that the name is found, and its address has no name. */
	if (!find_by_addr(hosts, addr))
		hmap_insert(&hosts->addrs, &host->by_addr, hash_addr(hosts, addr));
	return 0;
}

/* The next word before the line's end or comment, as a string; false at the end. */
static bool next_word(const char **line, char to[static WORD_MAX])
{
	for (;;) {
		const char *word = *line + strspn(*line, " \t\r\v\f");
		size_t size = strcspn(word, " \t\r\v\f\n#");

		*line = word + size;
		if (size == 0)
			return false;
		if (size < WORD_MAX) {
			memcpy(to, word, size);
			to[size] = '\0';
			return true;
		}
	}
}

static bool is_localhost(const struct dns_name *name)
{
	static const uint8_t localhost[] = "\011localhost";

	return name->size >= sizeof(localhost) &&
	       !memcmp(name->wire + name->size - sizeof(localhost), localhost, sizeof(localhost));
}

static int parse_line(struct dns_hosts *hosts, const char *line, const struct addr *alias4,
		      const struct addr *alias6)
{
	char word[WORD_MAX];
	struct dns_name name;
	struct addr addr;
	int r = 0;

	/* An address with a scope (fe80::1%lo0) means nothing to a guest, and doesn't parse. */
	if (!next_word(&line, word) || addr_parse(word, &addr) < 0)
		return 0;
	if (addr_is_loopback(&addr))
		addr = addr.family == AF_INET ? *alias4 : *alias6;
	if (addr.family == AF_UNSPEC)
		return 0;
	while (r == 0 && next_word(&line, word)) {
		if (dns_name_parse(word, &name) < 0 || name.size == 1)
			continue;
		dns_name_lower(&name);
		if (!is_localhost(&name))
			r = add_host(hosts, &name, &addr);
	}
	return r;
}

int dns_hosts_parse(struct dns_hosts *hosts, const char *text, const struct addr *alias4,
		    const struct addr *alias6)
{
	const char *line = text;
	int r = 0;

	dns_hosts_destroy(hosts);
	while (*line && r == 0) {
		r = parse_line(hosts, line, alias4, alias6);
		line += strcspn(line, "\n");
		if (*line)
			line++;
	}
	return r;
}
