/* SPDX-License-Identifier: Apache-2.0 */
/* The text forms of options that have a form of their own: links, vsock devices, API sockets,
 * published ports. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netproxy/options.h"

static int complain(char error[static OPTIONS_ERROR_MAX], const char *text, const char *expected)
{
	snprintf(error, OPTIONS_ERROR_MAX, "\"%.200s\": expected %s", text, expected);
	return -EINVAL;
}

/* Copies `size` bytes of text and the NUL, if they fit. */
static bool copy_text(char *to, size_t room, const char *from, size_t size)
{
	if (size == 0 || size >= room)
		return false;
	memcpy(to, from, size);
	to[size] = '\0';
	return true;
}

/* The value of `key` in "...,key=value,..." behind the first comma; NULL when absent. */
static const char *find_key(const char *text, const char *key, size_t *ret_size)
{
	size_t key_size = strlen(key);

	for (const char *at = strchr(text, ','); at; at = strchr(at, ',')) {
		at++;
		if (strncmp(at, key, key_size) == 0 && at[key_size] == '=') {
			*ret_size = strcspn(at + key_size + 1, ",");
			return at + key_size + 1;
		}
	}
	return NULL;
}

static bool starts_with_key(const char *text, const char *key)
{
	return key && strncmp(text, key, strlen(key)) == 0 && text[strlen(key)] == '=';
}

/* Whether every "key=" behind the first comma is one of two, each at most once; `key_b` may be
 * NULL. */
static bool only_keys(const char *text, const char *key_a, const char *key_b)
{
	bool seen_a = false, seen_b = false;

	for (const char *at = strchr(text, ','); at; at = strchr(at, ',')) {
		at++;
		if (starts_with_key(at, key_a) && !seen_a)
			seen_a = true;
		else if (starts_with_key(at, key_b) && !seen_b)
			seen_b = true;
		else
			return false;
	}
	return true;
}

#define LINK_FORMS "qemu:PATH, qemu:tcp:ADDRESS:PORT, vhost:PATH or tap:NAME[,netns=PID|PATH]"

static int parse_tap(const char *text, struct link_option *ret,
		     char error[static OPTIONS_ERROR_MAX])
{
	const char *name = text + strlen("tap:");
	size_t netns_size;
	const char *netns = find_key(text, "netns", &netns_size);

	if (!only_keys(text, "netns", NULL) ||
	    !copy_text(ret->path, sizeof(ret->path), name, strcspn(name, ",")))
		return complain(error, text, LINK_FORMS);
	if (strlen(ret->path) > 15)
		return complain(error, text,
				"an interface name of at most 15 characters behind tap:");
	if (netns && !copy_text(ret->netns, sizeof(ret->netns), netns, netns_size))
		return complain(error, text, "a process id or a path behind netns=");
	ret->kind = LINK_OPTION_TAP;
	return 0;
}

static int parse_socket(const char *text, const char *path, enum link_option_kind kind,
			struct link_option *ret, char error[static OPTIONS_ERROR_MAX])
{
	ret->kind = kind;
	if (!copy_text(ret->path, SOCK_PATH_MAX, path, strlen(path)))
		return complain(error, text,
				kind == LINK_OPTION_VHOST
					? "a socket path of at most 107 bytes behind vhost:"
					: "a socket path of at most 107 bytes behind qemu:");
	return 0;
}

static int parse_tcp(const char *text, const char *at, struct link_option *ret,
		     char error[static OPTIONS_ERROR_MAX])
{
	ret->kind = LINK_OPTION_QEMU_TCP;
	if (endpoint_parse(at, false, &ret->at) < 0)
		return complain(error, text,
				"an address and a port behind qemu:tcp:, such as 127.0.0.1:1234");
	return 0;
}

int options_parse_link(const char *text, struct link_option *ret,
		       char error[static OPTIONS_ERROR_MAX])
{
	struct link_option link = {0};
	int r;

	if (strncmp(text, "tap:", 4) == 0)
		r = parse_tap(text, &link, error);
	else if (strncmp(text, "qemu:tcp:", 9) == 0)
		r = parse_tcp(text, text + 9, &link, error);
	else if (strncmp(text, "qemu:", 5) == 0)
		r = parse_socket(text, text + 5, LINK_OPTION_QEMU_UNIX, &link, error);
	else if (strncmp(text, "vhost:", 6) == 0)
		r = parse_socket(text, text + 6, LINK_OPTION_VHOST, &link, error);
	else
		r = complain(error, text, LINK_FORMS);
	if (r < 0)
		return r;
	*ret = link;
	return 0;
}

#define VSOCK_FORM "PATH[,cid=N][,guest=ADDRESS], the path of at most 107 bytes"

int options_parse_vsock(const char *text, struct vsock_option *ret,
			char error[static OPTIONS_ERROR_MAX])
{
	struct vsock_option vsock = {0};
	size_t cid_size, guest_size;
	const char *cid = find_key(text, "cid", &cid_size);
	const char *guest = find_key(text, "guest", &guest_size);
	char address[ADDR_TEXT_MAX];

	if (!only_keys(text, "cid", "guest") ||
	    !copy_text(vsock.path, sizeof(vsock.path), text, strcspn(text, ",")))
		return complain(error, text, VSOCK_FORM);
	if (cid) {
		char *end;
		unsigned long value = strtoul(cid, &end, 10);

		if (*cid < '0' || *cid > '9' || end != cid + cid_size || value < 3 ||
		    value > 0xfffffffe)
			return complain(error, text, "a number from 3 to 4294967294 behind cid=");
		vsock.cid = (uint32_t)value;
	}
	if (guest && (!copy_text(address, sizeof(address), guest, guest_size) ||
		      addr_parse(address, &vsock.guest) < 0))
		return complain(error, text, "an IP address behind guest=");
	*ret = vsock;
	return 0;
}

int options_parse_api(const char *text, struct api_option *ret,
		      char error[static OPTIONS_ERROR_MAX])
{
	struct api_option api = {0};

	if (strncmp(text, "tcp:", 4) == 0) {
		api.tcp = true;
		if (endpoint_parse(text + 4, false, &api.at) < 0)
			return complain(
				error, text,
				"an address and a port behind tcp:, such as 127.0.0.1:1234");
	} else if (strncmp(text, "unix:", 5) != 0 ||
		   !copy_text(api.path, sizeof(api.path), text + 5, strlen(text + 5))) {
		return complain(error, text, "unix:PATH (at most 107 bytes) or tcp:ADDRESS:PORT");
	}
	*ret = api;
	return 0;
}
