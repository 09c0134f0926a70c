/* SPDX-License-Identifier: Apache-2.0 */
/* See publish.h. */
#include "launcher/publish.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/sock.h"

#define PUBLISH_TEXT_MAX  160
#define PUBLISH_PARTS_MAX 4

#define PUBLISH_FORM "[IP:]HOSTPORT:GUESTPORT[/tcp|/udp], such as 8080:80 or 127.0.0.1:5353:53/udp"

/* Cuts `text` at the colons outside brackets. Returns the number of parts, or 0 when there are too
 * many. */
static size_t split(char *text, char *parts[PUBLISH_PARTS_MAX])
{
	size_t count = 0;
	bool bracket = false;

	parts[count++] = text;
	for (; *text; text++) {
		if (*text == '[' || *text == ']')
			bracket = *text == '[';
		if (*text != ':' || bracket)
			continue;
		if (count == PUBLISH_PARTS_MAX)
			return 0;
		*text = '\0';
		parts[count++] = text + 1;
	}
	return count;
}

static int parse_port(const char *text, uint16_t *ret)
{
	unsigned long port = 0;

	if (text[0] == '\0' || strlen(text) > 5 || text[strspn(text, "0123456789")] != '\0')
		return -EINVAL;
	port = strtoul(text, NULL, 10);
	if (port < 1 || port > 65535)
		return -EINVAL;
	*ret = (uint16_t)port;
	return 0;
}

/* An address, an IPv6 one in brackets; nothing and "*" mean all addresses. */
static int parse_host(char *text, struct addr *ret)
{
	size_t length = strlen(text);

	if (length == 0 || strcmp(text, "*") == 0) {
		*ret = (struct addr){.family = AF_UNSPEC};
		return 0;
	}
	if (text[0] != '[')
		return addr_parse(text, ret);
	if (text[length - 1] != ']')
		return -EINVAL;
	text[length - 1] = '\0';
	return addr_parse(text + 1, ret);
}

static int parse_protocol(char *copy, const char *text, bool *ret_udp, struct problem *problem)
{
	char *slash = strrchr(copy, '/');

	*ret_udp = false;
	if (!slash)
		return 0;
	*slash = '\0';
	if (strcmp(slash + 1, "udp") == 0)
		*ret_udp = true;
	else if (strcmp(slash + 1, "tcp") != 0)
		return problem_set(problem, -EINVAL,
				   "-publish \"%s\": the protocol is tcp or udp, not \"%s\"", text,
				   slash + 1);
	return 0;
}

int publish_parse(const char *text, struct publish *ret, struct problem *problem)
{
	struct publish publish = {.host = {.addr = {.family = AF_UNSPEC}},
				  .guest = {.family = AF_UNSPEC}};
	char copy[PUBLISH_TEXT_MAX], *parts[PUBLISH_PARTS_MAX];
	size_t count;
	int r;

	if (strlen(text) >= sizeof(copy))
		return problem_set(problem, -EINVAL, "-publish \"%.40s...\": write %s", text,
				   PUBLISH_FORM);
	strcpy(copy, text);
	r = parse_protocol(copy, text, &publish.udp, problem);
	if (r < 0)
		return r;
	count = split(copy, parts);
	if (count < 2)
		return problem_set(problem, -EINVAL, "-publish \"%s\": write %s", text,
				   PUBLISH_FORM);
	if (count >= 3 && parse_host(parts[0], &publish.host.addr) < 0)
		return problem_set(
			problem, -EINVAL,
			"-publish \"%s\": \"%s\" is not an address of this host; write a "
			"number such as 127.0.0.1 or [::1], or nothing for all addresses",
			text, parts[0]);
	if (count == 4 && parse_host(parts[2], &publish.guest) < 0)
		return problem_set(problem, -EINVAL,
				   "-publish \"%s\": \"%s\" is not an address of a guest", text,
				   parts[2]);
	if (parse_port(parts[count >= 3 ? 1 : 0], &publish.host.port) < 0)
		return problem_set(
			problem, -EINVAL,
			"-publish \"%s\": the host's port \"%s\" is not a number from 1 to "
			"65535; write %s",
			text, parts[count >= 3 ? 1 : 0], PUBLISH_FORM);
	if (parse_port(parts[count - 1], &publish.guest_port) < 0)
		return problem_set(
			problem, -EINVAL,
			"-publish \"%s\": the guest's port \"%s\" is not a number from 1 to "
			"65535; write %s",
			text, parts[count - 1], PUBLISH_FORM);
	*ret = publish;
	return 0;
}

bool publish_conflicts(const struct publish *a, const struct publish *b)
{
	const struct addr *at = &a->host.addr, *bt = &b->host.addr;

	if (a->udp != b->udp || a->host.port != b->host.port)
		return false;
	if (at->family == AF_UNSPEC || bt->family == AF_UNSPEC)
		return true;
	return at->family == bt->family &&
	       (addr_is_any(at) || addr_is_any(bt) || addr_equal(at, bt));
}

int publish_check_free(const struct publish *publish, const char *text, struct problem *problem)
{
	int fd = -1, r;

	if (publish->udp)
		r = sock_bind_udp(&publish->host, &fd, NULL);
	else
		r = sock_listen_tcp(&publish->host, 1, &fd, NULL);
	fd_close(&fd);
	switch (r) {
	case 0:
		return 0;
	case -EADDRINUSE:
		return problem_set(
			problem, r,
			"-publish \"%s\": port %u of this host is in use already; see who has "
			"it with \"ss -ln%cp sport = :%u\", or publish on another port",
			text, publish->host.port, publish->udp ? 'u' : 't', publish->host.port);
	case -EADDRNOTAVAIL:
		return problem_set(problem, r,
				   "-publish \"%s\": this host has no such address; \"ip address\" "
				   "shows those it has",
				   text);
	case -EACCES:
		return problem_set(
			problem, r,
			"-publish \"%s\": ports below 1024 need privileges; publish on a "
			"higher port, or lower sysctl net.ipv4.ip_unprivileged_port_start",
			text);
	default:
		return problem_set(problem, r, "-publish \"%s\": can't listen there: %s", text,
				   strerror(-r));
	}
}
