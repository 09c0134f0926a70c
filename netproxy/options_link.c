/* SPDX-License-Identifier: Apache-2.0 */
/* The text form of --link: how guests attach. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netproxy/options_private.h"

#define LINK_FORMS                                                                      \
	"qemu:PATH, qemu:tcp:ADDRESS:PORT, qemu:connect:PATH, vhost:PATH, dgram:PATH, " \
	"vfkit:PATH, bess:PATH, vpnkit:PATH, tap:NAME, fd:N or stdio: see 'netproxy --help'"
#define FRAMINGS "framing=qemu, le16, dgram, seqpacket or tap"

/* The kinds whose value is a socket's path and nothing else. */
static const struct {
	const char *prefix;
	enum link_option_kind kind;
} path_kinds[] = {
	{"qemu:connect:", LINK_OPTION_QEMU_CONNECT_UNIX},
	{"qemu:", LINK_OPTION_QEMU_UNIX},
	{"vhost:", LINK_OPTION_VHOST},
	{"vfkit:", LINK_OPTION_VFKIT},
	{"bess:", LINK_OPTION_BESS},
	{"vpnkit:", LINK_OPTION_VPNKIT},
};

static const struct {
	const char *prefix;
	enum link_option_kind kind;
} tcp_kinds[] = {
	{"qemu:connect:tcp:", LINK_OPTION_QEMU_CONNECT_TCP},
	{"qemu:tcp:", LINK_OPTION_QEMU_TCP},
};

static const struct {
	const char *name;
	enum link_option_framing framing;
} framings[] = {
	{"qemu", LINK_FRAMING_QEMU},   {"le16", LINK_FRAMING_LE16},
	{"dgram", LINK_FRAMING_DGRAM}, {"seqpacket", LINK_FRAMING_SEQPACKET},
	{"tap", LINK_FRAMING_TAP},
};

/* What follows a prefix; NULL: the text begins otherwise. */
static const char *behind(const char *text, const char *prefix)
{
	size_t size = strlen(prefix);

	return strncmp(text, prefix, size) == 0 ? text + size : NULL;
}

static int parse_tap(const char *text, const char *name, struct link_option *ret,
		     char error[static OPTIONS_ERROR_MAX])
{
	size_t netns_size;
	const char *netns = options_find_key(text, "netns", &netns_size);

	if (!options_only_keys(text, "netns", NULL) ||
	    !options_copy_text(ret->path, sizeof(ret->path), name, strcspn(name, ",")))
		return options_complain(error, text, "tap:NAME[,netns=PID|PATH]");
	if (strlen(ret->path) > 15)
		return options_complain(error, text,
					"an interface name of at most 15 characters behind tap:");
	if (netns && !options_copy_text(ret->netns, sizeof(ret->netns), netns, netns_size))
		return options_complain(error, text, "a process id or a path behind netns=");
	ret->kind = LINK_OPTION_TAP;
	return 0;
}

static int parse_dgram(const char *text, const char *path, struct link_option *ret,
		       char error[static OPTIONS_ERROR_MAX])
{
	size_t remote_size;
	const char *remote = options_find_key(text, "remote", &remote_size);

	if (!options_only_keys(text, "remote", NULL) ||
	    !options_copy_text(ret->path, SOCK_PATH_MAX, path, strcspn(path, ",")) ||
	    (remote && !options_copy_text(ret->remote, sizeof(ret->remote), remote, remote_size)))
		return options_complain(error, text,
					"dgram:PATH[,remote=PATH], the paths of at most 107 bytes");
	ret->kind = LINK_OPTION_DGRAM;
	return 0;
}

static int parse_framing(const char *text, const char *name, size_t size, struct link_option *ret,
			 char error[static OPTIONS_ERROR_MAX])
{
	for (size_t i = 0; i < sizeof(framings) / sizeof(framings[0]); i++) {
		if (strlen(framings[i].name) == size && memcmp(framings[i].name, name, size) == 0) {
			ret->framing = framings[i].framing;
			return 0;
		}
	}
	return options_complain(error, text, FRAMINGS);
}

static int parse_fd(const char *text, const char *value, struct link_option *ret,
		    char error[static OPTIONS_ERROR_MAX])
{
	size_t framing_size;
	const char *framing = options_find_key(text, "framing", &framing_size);
	char number[16];
	unsigned long fd;

	if (!options_only_keys(text, "framing", NULL) ||
	    !options_copy_text(number, sizeof(number), value, strcspn(value, ",")) ||
	    options_number(number, 0, 1048576, &fd, error) < 0)
		return options_complain(error, text,
					"the number of an open descriptor behind fd:, and perhaps "
					",framing=");
	ret->kind = LINK_OPTION_FD;
	ret->fd = (int)fd;
	return framing ? parse_framing(text, framing, framing_size, ret, error) : 0;
}

static int parse_address(const char *text, struct link_option *ret,
			 char error[static OPTIONS_ERROR_MAX])
{
	for (size_t i = 0; i < sizeof(tcp_kinds) / sizeof(tcp_kinds[0]); i++) {
		const char *at = behind(text, tcp_kinds[i].prefix);

		if (!at)
			continue;
		ret->kind = tcp_kinds[i].kind;
		if (endpoint_parse(at, false, &ret->at) < 0)
			return options_complain(
				error, text,
				"an address and a port behind tcp:, such as 127.0.0.1:1234");
		return 0;
	}
	for (size_t i = 0; i < sizeof(path_kinds) / sizeof(path_kinds[0]); i++) {
		const char *path = behind(text, path_kinds[i].prefix);

		if (!path)
			continue;
		ret->kind = path_kinds[i].kind;
		if (!options_copy_text(ret->path, SOCK_PATH_MAX, path, strlen(path)))
			return options_complain(error, text,
						"a socket path of at most 107 bytes behind it");
		return 0;
	}
	return options_complain(error, text, LINK_FORMS);
}

int options_parse_link(const char *text, struct link_option *ret,
		       char error[static OPTIONS_ERROR_MAX])
{
	struct link_option link = {0};
	const char *value;
	int r = 0;

	if ((value = behind(text, "tap:")))
		r = parse_tap(text, value, &link, error);
	else if ((value = behind(text, "dgram:")))
		r = parse_dgram(text, value, &link, error);
	else if ((value = behind(text, "fd:")))
		r = parse_fd(text, value, &link, error);
	else if (strcmp(text, "stdio") == 0)
		link.kind = LINK_OPTION_STDIO;
	else
		r = parse_address(text, &link, error);
	if (r < 0)
		return r;
	*ret = link;
	return 0;
}

void options_link_name(const struct link_option *link, char to[static LINK_TEXT_MAX])
{
	char at[ENDPOINT_TEXT_MAX];

	for (size_t i = 0; i < sizeof(path_kinds) / sizeof(path_kinds[0]); i++) {
		if (path_kinds[i].kind == link->kind)
			snprintf(to, LINK_TEXT_MAX, "%s%s", path_kinds[i].prefix, link->path);
	}
	for (size_t i = 0; i < sizeof(tcp_kinds) / sizeof(tcp_kinds[0]); i++) {
		if (tcp_kinds[i].kind == link->kind)
			snprintf(to, LINK_TEXT_MAX, "%s%s", tcp_kinds[i].prefix,
				 endpoint_format(&link->at, at));
	}
	if (link->kind == LINK_OPTION_TAP)
		snprintf(to, LINK_TEXT_MAX, "tap:%s%s%s", link->path,
			 link->netns[0] ? ",netns=" : "", link->netns);
	else if (link->kind == LINK_OPTION_DGRAM)
		snprintf(to, LINK_TEXT_MAX, "dgram:%s", link->path);
	else if (link->kind == LINK_OPTION_FD)
		snprintf(to, LINK_TEXT_MAX, "fd:%d", link->fd);
	else if (link->kind == LINK_OPTION_STDIO)
		snprintf(to, LINK_TEXT_MAX, "stdio");
}

int options_apply_link(struct options *options, const char *value,
		       char error[static OPTIONS_ERROR_MAX])
{
	struct link_option link, *to;
	int r = options_parse_link(value, &link, error);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < options->link_count && link.kind == LINK_OPTION_STDIO; i++) {
		if (options->links[i].kind == LINK_OPTION_STDIO)
			return options_complain(error, value, "standard input for one link only");
	}
	to = options_grow((void **)&options->links, &options->link_count, sizeof(link),
			  OPTIONS_LINKS_MAX, error);
	if (!to)
		return -ENOSPC;
	*to = link;
	return 0;
}
