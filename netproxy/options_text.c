/* SPDX-License-Identifier: Apache-2.0 */
/* The text forms of vsock devices and API sockets, and what such forms are made of. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netproxy/options_private.h"

static int complain(char error[static OPTIONS_ERROR_MAX], const char *text, const char *expected)
{
	snprintf(error, OPTIONS_ERROR_MAX, "\"%.200s\": expected %s", text, expected);
	return -EINVAL;
}

bool options_copy_text(char *to, size_t room, const char *from, size_t size)
{
	if (size == 0 || size >= room)
		return false;
	memcpy(to, from, size);
	to[size] = '\0';
	return true;
}

const char *options_find_key(const char *text, const char *key, size_t *ret_size)
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

bool options_only_keys(const char *text, const char *key_a, const char *key_b)
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

#define VSOCK_FORM "PATH[,cid=N][,guest=ADDRESS], the path of at most 107 bytes"

int options_parse_vsock(const char *text, struct vsock_option *ret,
			char error[static OPTIONS_ERROR_MAX])
{
	struct vsock_option vsock = {0};
	size_t cid_size, guest_size;
	const char *cid = options_find_key(text, "cid", &cid_size);
	const char *guest = options_find_key(text, "guest", &guest_size);
	char address[ADDR_TEXT_MAX];

	if (!options_only_keys(text, "cid", "guest") ||
	    !options_copy_text(vsock.path, sizeof(vsock.path), text, strcspn(text, ",")))
		return complain(error, text, VSOCK_FORM);
	if (cid) {
		char *end;
		unsigned long value = strtoul(cid, &end, 10);

		if (*cid < '0' || *cid > '9' || end != cid + cid_size || value < 3 ||
		    value > 0xfffffffe)
			return complain(error, text, "a number from 3 to 4294967294 behind cid=");
		vsock.cid = (uint32_t)value;
	}
	if (guest && (!options_copy_text(address, sizeof(address), guest, guest_size) ||
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
		   !options_copy_text(api.path, sizeof(api.path), text + 5, strlen(text + 5))) {
		return complain(error, text, "unix:PATH (at most 107 bytes) or tcp:ADDRESS:PORT");
	}
	*ret = api;
	return 0;
}
