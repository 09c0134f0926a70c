/* SPDX-License-Identifier: Apache-2.0 */
/* Parses resolv.conf(5) and the text form of resolvers. */
#include "dns/dns_resolvconf.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 256

/* The next word of a line that ends at a newline or NUL; returns its size, 0 at the end of the
 * line. */
static size_t next_word(const char **line, const char **ret_word)
{
	const char *p = *line;

	p += strspn(p, " \t\r\v\f");
	*ret_word = p;
	p += strcspn(p, " \t\r\v\f\n");
	*line = p;
	return (size_t)(p - *ret_word);
}

/* A word as a string; false when it is longer than any that makes sense. */
static bool copy_word(const char *word, size_t size, char to[static WORD_MAX])
{
	if (size >= WORD_MAX)
		return false;
	memcpy(to, word, size);
	to[size] = '\0';
	return true;
}

/* The index of the interface of that name or number; 0: there is none of that name. */
static uint32_t scope_index(const char *scope)
{
	unsigned index = if_nametoindex(scope);
	unsigned long number;
	char *end;

	if (index)
		return index;
	number = strtoul(scope, &end, 10);
	return scope[0] >= '0' && scope[0] <= '9' && !*end && number <= UINT32_MAX
		       ? (uint32_t)number
		       : 0;
}

/* The kernel's rule for names of interfaces. */
static bool is_scope(const char *text)
{
	size_t size = strlen(text);

	return size > 0 && size < IF_NAMESIZE && strcmp(text, "0") != 0 &&
	       strcspn(text, "/:%] \t\r\n\v\f") == size;
}

/* Parts "[address]:port", "address:port" (IPv4 only) and "address"; `address` is changed. */
static int split_port(char *address, char **ret_address, uint16_t *ret_port)
{
	char *port = NULL, *end;

	*ret_address = address;
	if (*address == '[') {
		char *close = strchr(address, ']');

		if (!close || (close[1] && close[1] != ':'))
			return -EINVAL;
		port = close[1] ? close + 2 : NULL;
		*close = '\0';
		*ret_address = address + 1;
	} else if (strchr(address, ':') && strchr(address, ':') == strrchr(address, ':')) {
		port = strchr(address, ':');
		*port++ = '\0';
	}
	if (!port)
		return 0;
	unsigned long number = strtoul(port, &end, 10);
	if (*port < '0' || *port > '9' || *end || number == 0 || number > UINT16_MAX)
		return -EINVAL;
	*ret_port = (uint16_t)number;
	return 0;
}

int dns_resolver_parse(const char *text, struct dns_resolver *ret)
{
	struct dns_resolver resolver = {.endpoint.port = DNS_PORT};
	char copy[WORD_MAX], *address;

	if (!copy_word(text, strlen(text), copy) ||
	    split_port(copy, &address, &resolver.endpoint.port) < 0)
		return -EINVAL;
	char *scope = strchr(address, '%');
	if (scope)
		*scope++ = '\0';
	if (addr_parse(address, &resolver.endpoint.addr) < 0)
		return -EINVAL;
	if (scope && (resolver.endpoint.addr.family != AF_INET6 || !is_scope(scope)))
		return -EINVAL;
	if (scope)
		memcpy(resolver.scope, scope, strlen(scope));
	/* 0.0.0.0 and :: mean "this host" to libc's resolver. */
	if (addr_is_any(&resolver.endpoint.addr)) {
		bool is_v4 = resolver.endpoint.addr.family == AF_INET;

		resolver.endpoint.addr = is_v4 ? addr_from_v4(INADDR_LOOPBACK)
					       : addr_from_in6(&in6addr_loopback);
	}
	*ret = resolver;
	return 0;
}

static void parse_nameserver(const char *line, struct dns_resolvconf *conf)
{
	struct dns_resolver resolver;
	char text[WORD_MAX];
	const char *word;
	size_t size = next_word(&line, &word);

	if (!copy_word(word, size, text) || dns_resolver_parse(text, &resolver) < 0) {
		conf->bad_line_count++;
		return;
	}
	for (size_t i = 0; i < conf->resolver_count; i++) {
		if (dns_resolver_equal(&conf->resolvers[i], &resolver))
			return;
	}
	if (conf->resolver_count < DNS_RESOLVERS_MAX)
		conf->resolvers[conf->resolver_count++] = resolver;
}

static void parse_search(const char *line, struct dns_resolvconf *conf)
{
	char text[WORD_MAX];
	const char *word;
	size_t size;

	conf->search_count = 0;
	while (conf->search_count < DNS_SEARCH_MAX && (size = next_word(&line, &word)) > 0) {
		struct dns_name *name = &conf->search[conf->search_count];

		/* "search ." is systemd-resolved's way to say: none. */
		if (copy_word(word, size, text) && dns_name_parse(text, name) == 0 &&
		    name->size > 1)
			conf->search_count++;
	}
}

void dns_resolvconf_parse(const char *text, struct dns_resolvconf *ret)
{
	const char *line = text;
	const char *word;

	ret->resolver_count = 0;
	ret->search_count = 0;
	ret->bad_line_count = 0;
	while (*line) {
		size_t size = next_word(&line, &word);

		if (size == strlen("nameserver") && memcmp(word, "nameserver", size) == 0)
			parse_nameserver(line, ret);
		else if ((size == strlen("search") && memcmp(word, "search", size) == 0) ||
			 (size == strlen("domain") && memcmp(word, "domain", size) == 0))
			parse_search(line, ret);
		line += strcspn(line, "\n");
		if (*line)
			line++;
	}
}

const char *dns_resolver_format(const struct dns_resolver *resolver,
				char to[static DNS_RESOLVER_TEXT_MAX])
{
	char text[ADDR_TEXT_MAX];

	if (!resolver->scope[0])
		return endpoint_format(&resolver->endpoint, to);
	snprintf(to, DNS_RESOLVER_TEXT_MAX, "[%s%%%s]:%u",
		 addr_format(&resolver->endpoint.addr, text), resolver->scope,
		 resolver->endpoint.port);
	return to;
}

bool dns_resolver_equal(const struct dns_resolver *a, const struct dns_resolver *b)
{
	return endpoint_equal(&a->endpoint, &b->endpoint) && strcmp(a->scope, b->scope) == 0;
}

socklen_t dns_resolver_sockaddr(const struct dns_resolver *resolver, struct sockaddr_storage *ret)
{
	socklen_t size = endpoint_to_sockaddr(&resolver->endpoint, ret);

	if (ret->ss_family == AF_INET6 && resolver->scope[0])
		((struct sockaddr_in6 *)ret)->sin6_scope_id = scope_index(resolver->scope);
	return size;
}
