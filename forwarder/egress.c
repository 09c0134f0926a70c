/* SPDX-License-Identifier: Apache-2.0 */
/* Which proxy guests' connections go by; see egress.h. */
#include "forwarder/egress.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

#define SEPARATORS ", \t\r\n"

/* ---- Text ---- */

bool egress_clean_name(const char *bytes, size_t size, char to[static EGRESS_NAME_MAX])
{
	char name[EGRESS_NAME_MAX];
	struct addr addr;
	size_t label = 0;

	if (size && bytes[size - 1] == '.')
		size--;
	if (size == 0 || size >= EGRESS_NAME_MAX)
		return false;
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)bytes[i];

		if (c == '.' ? label == 0 : !(isalnum(c) || c == '-' || c == '_') || c > 127)
			return false;
		label = c == '.' ? 0 : label + 1;
		if (label > 63)
			return false;
		name[i] = (char)tolower(c);
	}
	name[size] = '\0';
	if (label == 0 || addr_parse(name, &addr) == 0)
		return false;
	memcpy(to, name, size + 1);
	return true;
}

/* Decodes %XX (RFC 3986, 2.1) in `size` characters. Returns the size, or -EINVAL. */
static int percent_decode(const char *text, size_t size, char *to, size_t room)
{
	size_t n = 0;

	for (size_t i = 0; i < size; i++) {
		int high, low;

		if (n == room)
			return -EINVAL;
		if (text[i] != '%') {
			to[n++] = text[i];
			continue;
		}
		if (size - i < 3)
			return -EINVAL;
		high = text_hex_digit(text[i + 1]);
		low = text_hex_digit(text[i + 2]);
		if (high < 0 || low < 0)
			return -EINVAL;
		to[n++] = (char)(high << 4 | low);
		i += 2;
	}
	return (int)n;
}

/* RFC 4648, 4. `to` has room for 4 bytes for each 3, and a NUL. */
static void base64_encode(const char *bytes, size_t size, char *to)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < size; i += 3) {
		uint32_t group = (uint32_t)(uint8_t)bytes[i] << 16;

		if (i + 1 < size)
			group |= (uint32_t)(uint8_t)bytes[i + 1] << 8;
		if (i + 2 < size)
			group |= (uint8_t)bytes[i + 2];
		*to++ = digits[group >> 18];
		*to++ = digits[group >> 12 & 63];
		*to++ = i + 1 < size ? digits[group >> 6 & 63] : '=';
		*to++ = i + 2 < size ? digits[group & 63] : '=';
	}
	*to = '\0';
}

static bool parse_port(const char *text, size_t size, uint16_t *ret)
{
	unsigned value = 0;

	if (size == 0 || size > 5)
		return false;
	for (size_t i = 0; i < size; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (unsigned)(text[i] - '0');
	}
	if (value < 1 || value > 65535)
		return false;
	*ret = (uint16_t)value;
	return true;
}

/* Cuts "HOST[:PORT]" of `size` characters, an IPv6 address with a port being in brackets. The port
 * stays as it is where there is none. */
static bool split_port(const char *text, size_t size, const char **ret_host, size_t *ret_size,
		       uint16_t *port)
{
	const char *colon;

	*ret_host = text;
	*ret_size = size;
	if (size && text[0] == '[') {
		const char *end = memchr(text, ']', size);
		size_t inner = end ? (size_t)(end - text) - 1 : 0;

		if (!end)
			return false;
		*ret_host = text + 1;
		*ret_size = inner;
		if (inner + 2 == size)
			return true;
		return end[1] == ':' && parse_port(end + 2, size - inner - 3, port);
	}
	colon = memchr(text, ':', size);
	if (!colon || memchr(colon + 1, ':', size - (size_t)(colon + 1 - text)))
		return true; /* no port, or an IPv6 address */
	*ret_size = (size_t)(colon - text);
	return parse_port(colon + 1, size - *ret_size - 1, port);
}

/* ---- The proxy ---- */

static int parse_userinfo(const char *text, size_t size, struct egress_proxy *proxy)
{
	char plain[EGRESS_AUTH_MAX / 4 * 3 - 3];
	int decoded = percent_decode(text, size, plain, sizeof(plain) - 1);

	if (decoded < 0)
		return decoded;
	if (!memchr(text, ':', size))
		plain[decoded++] = ':';
	base64_encode(plain, (size_t)decoded, proxy->auth);
	return 0;
}

int egress_parse_proxy(const char *text, struct egress_proxy *ret)
{
	struct egress_proxy proxy = {.port = EGRESS_PORT_HTTP};
	const char *scheme_end = strstr(text, "://");
	const char *host, *at;
	size_t size, host_size;

	if (scheme_end) {
		if (strncasecmp(text, "http://", 7) != 0)
			return -EINVAL;
		text = scheme_end + 3;
	}
	size = strcspn(text, "/?#");
	if (text[size] && strcmp(text + size, "/") != 0)
		return -EINVAL;
	at = memrchr(text, '@', size);
	if (at) {
		if (parse_userinfo(text, (size_t)(at - text), &proxy) < 0)
			return -EINVAL;
		size -= (size_t)(at + 1 - text);
		text = at + 1;
	}
	if (!split_port(text, size, &host, &host_size, &proxy.port) || host_size == 0 ||
	    host_size >= sizeof(proxy.host))
		return -EINVAL;
	memcpy(proxy.host, host, host_size);
	proxy.is_address = addr_parse(proxy.host, &proxy.addrs[0]) == 0;
	if (proxy.is_address)
		proxy.addr_count = 1;
	else if (!egress_clean_name(host, host_size, proxy.host))
		return -EINVAL;
	*ret = proxy;
	return 0;
}

/* ---- Exceptions ---- */

static int parse_exception(const char *text, size_t size, struct egress_exception *ret)
{
	struct egress_exception exception = {0};
	char copy[EGRESS_NAME_MAX];
	const char *host;
	size_t host_size;

	if (!split_port(text, size, &host, &host_size, &exception.port) || host_size == 0 ||
	    host_size >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, host, host_size);
	copy[host_size] = '\0';
	if (strlen(copy) != host_size)
		return -EINVAL;
	if (strcmp(copy, "*") == 0) {
		exception.kind = EGRESS_EXCEPT_ALL;
	} else if (addr_parse(copy, &exception.prefix.addr) == 0) {
		exception.kind = EGRESS_EXCEPT_PREFIX;
		exception.prefix.length = exception.prefix.addr.family == AF_INET ? 32 : 128;
	} else if (prefix_parse(copy, &exception.prefix) == 0) {
		exception.kind = EGRESS_EXCEPT_PREFIX;
	} else {
		const char *name = copy;

		exception.kind = EGRESS_EXCEPT_NAME;
		if (name[0] == '*' && name[1] == '.')
			name++;
		if (name[0] == '.')
			name++;
		if (!egress_clean_name(name, strlen(name), exception.name))
			return -EINVAL;
	}
	*ret = exception;
	return 0;
}

static int add_exception(struct egress_conf *conf, const struct egress_exception *exception)
{
	struct egress_exception *grown;

	if (conf->exception_count == EGRESS_EXCEPTIONS_MAX)
		return -ENOSPC;
	grown = realloc(conf->exceptions, (conf->exception_count + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	conf->exceptions = grown;
	grown[conf->exception_count++] = *exception;
	return 0;
}

int egress_add_exceptions(struct egress_conf *conf, const char *text, const char **ret_bad)
{
	for (text += strspn(text, SEPARATORS); *text; text += strspn(text, SEPARATORS)) {
		struct egress_exception exception;
		size_t size = strcspn(text, SEPARATORS);
		int r = parse_exception(text, size, &exception);

		if (r == 0)
			r = add_exception(conf, &exception);
		if (r < 0) {
			*ret_bad = text;
			return r;
		}
		text += size;
	}
	return 0;
}

void egress_destroy(struct egress_conf *conf)
{
	free(conf->exceptions);
	conf->exceptions = NULL;
	conf->exception_count = 0;
}

/* ---- Decisions ---- */

static bool name_matches(const char *name, const char *suffix)
{
	size_t size = strlen(name);
	size_t suffix_size = strlen(suffix);

	if (size < suffix_size || strcasecmp(name + size - suffix_size, suffix) != 0)
		return false;
	return size == suffix_size || name[size - suffix_size - 1] == '.';
}

/* One of `addr` and `name` is NULL. */
static bool exempts(const struct egress_conf *conf, const struct addr *addr, const char *name,
		    uint16_t port)
{
	for (unsigned i = 0; i < conf->exception_count; i++) {
		const struct egress_exception *exception = &conf->exceptions[i];

		if (exception->port && exception->port != port)
			continue;
		switch (exception->kind) {
		case EGRESS_EXCEPT_ALL:
			return true;
		case EGRESS_EXCEPT_NAME:
			if (name && name_matches(name, exception->name))
				return true;
			break;
		case EGRESS_EXCEPT_PREFIX:
			if (addr && prefix_contains(&exception->prefix, addr))
				return true;
			break;
		}
	}
	return false;
}

const struct egress_proxy *egress_find(const struct egress_conf *conf, const struct endpoint *to)
{
	const struct egress_proxy *proxy;

	if (to->port == EGRESS_PORT_HTTP)
		proxy = &conf->http;
	else if (to->port == EGRESS_PORT_HTTPS)
		proxy = &conf->https;
	else
		return NULL;
	if (!proxy->host[0] || exempts(conf, &to->addr, NULL, to->port))
		return NULL;
	return proxy;
}

bool egress_may_ask_for(const char *name)
{
	const char *dot = strrchr(name, '.');
	const char *last = dot ? dot + 1 : name;

	if (strcasecmp(last, "localhost") == 0)
		return false;
	/* inet_aton() takes decimal, octal and hexadecimal; no top level looks like one. */
	return !isdigit((unsigned char)last[0]) ||
	       (last[strspn(last, "0123456789")] && strncasecmp(last, "0x", 2) != 0);
}

bool egress_exempts_name(const struct egress_conf *conf, const char *name, uint16_t port)
{
	return exempts(conf, NULL, name, port);
}
