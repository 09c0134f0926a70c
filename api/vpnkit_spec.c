/* SPDX-License-Identifier: Apache-2.0 */
/* VPNKit's words for forwards; see vpnkit_spec.h. */
#include "api/vpnkit_spec.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "forwarder/publish_spec.h"

#define PROTOCOL_SIZE 4 /* "tcp:" */

static int parse_port(const char *text, bool allow_0, uint16_t *ret)
{
	unsigned long port = 0;
	size_t size = strlen(text);

	if (size < 1 || size > 5)
		return -EINVAL;
	for (size_t i = 0; i < size; i++) {
		if (!isdigit((unsigned char)text[i]))
			return -EINVAL;
		port = port * 10 + (unsigned long)(text[i] - '0');
	}
	if (port > UINT16_MAX || (port == 0 && !allow_0))
		return -EINVAL;
	*ret = (uint16_t)port;
	return 0;
}

/* "IP:PORT", with or without brackets around an IPv6 address. Changes the text. */
static int parse_side(char *text, bool allow_0, struct endpoint *ret)
{
	char *colon = strrchr(text, ':');
	size_t size = colon ? (size_t)(colon - text) : 0;

	if (size == 0 || parse_port(colon + 1, allow_0, &ret->port) < 0)
		return -EINVAL;
	text[size] = '\0';
	if (text[0] == '[' && text[size - 1] == ']') {
		text[size - 1] = '\0';
		text++;
	}
	return addr_parse(text, &ret->addr);
}

int vpnkit_spec_parse(const char *text, size_t size, struct publish_spec *ret)
{
	struct publish_spec spec = {.protocol = PUBLISH_TCP};
	char copy[VPNKIT_SPEC_MAX], middle[PROTOCOL_SIZE + 2];
	char *behind;

	while (size > 0 && isspace((unsigned char)text[size - 1]))
		size--;
	while (size > 0 && isspace((unsigned char)text[0])) {
		text++;
		size--;
	}
	if (size >= sizeof(copy) || memchr(text, '\0', size))
		return -EINVAL;
	memcpy(copy, text, size);
	copy[size] = '\0';
	if (strncmp(copy, "udp:", PROTOCOL_SIZE) == 0)
		spec.protocol = PUBLISH_UDP;
	else if (strncmp(copy, "tcp:", PROTOCOL_SIZE) != 0)
		return -EINVAL;
	snprintf(middle, sizeof(middle), ":%s:", publish_protocol_text(spec.protocol));
	behind = strstr(copy + PROTOCOL_SIZE, middle);
	if (!behind)
		return -EINVAL;
	*behind = '\0';
	if (parse_side(copy + PROTOCOL_SIZE, true, &spec.local) < 0 ||
	    parse_side(behind + PROTOCOL_SIZE + 1, false, &spec.remote) < 0)
		return -EINVAL;
	*ret = spec;
	return 0;
}

static void format_side(const struct endpoint *at, char *to, size_t size)
{
	char addr[ADDR_TEXT_MAX];

	addr_format(&at->addr, addr);
	snprintf(to, size, at->addr.family == AF_INET6 ? "[%s]:%u" : "%s:%u", addr, at->port);
}

const char *vpnkit_spec_format(const struct publish_spec *spec, char to[static VPNKIT_SPEC_MAX])
{
	const char *protocol = publish_protocol_text(spec->protocol);
	char local[ENDPOINT_TEXT_MAX], remote[ENDPOINT_TEXT_MAX];

	format_side(&spec->local, local, sizeof(local));
	format_side(&spec->remote, remote, sizeof(remote));
	snprintf(to, VPNKIT_SPEC_MAX, "%s:%s:%s:%s", protocol, local, protocol, remote);
	return to;
}
