/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding of dockerd's command line for its userland proxy. */
#include "plugin/docker_args.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

struct raw_args {
	const char *proto, *host_ip, *host_port, *container_ip, *container_port, *use_listen_fd;
};

/* Where the value of a flag of that name goes; NULL for one that there isn't. */
static const char **slot_of(struct raw_args *raw, const char *name, size_t size)
{
	const struct {
		const char *name;
		const char **slot;
	} flags[] = {
		{"proto", &raw->proto},
		{"host-ip", &raw->host_ip},
		{"host-port", &raw->host_port},
		{"container-ip", &raw->container_ip},
		{"container-port", &raw->container_port},
		{"use-listen-fd", &raw->use_listen_fd},
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (strlen(flags[i].name) == size && memcmp(flags[i].name, name, size) == 0)
			return flags[i].slot;
	}
	return NULL;
}

static int split(int argc, char *const *argv, struct raw_args *raw, char *error)
{
	for (int i = 1; i < argc; i++) {
		const char *name = argv[i];

		if (name[0] != '-')
			return text_fail(error, DOCKER_ARGS_ERROR_MAX, -EINVAL,
					 "unexpected argument \"%.64s\"", name);
		name += name[1] == '-' ? 2 : 1;
		size_t size = strcspn(name, "=");
		const char **slot = slot_of(raw, name, size);
		if (!slot)
			return text_fail(
				error, DOCKER_ARGS_ERROR_MAX, -EINVAL,
				"unknown flag \"%.64s\"; dockerd gives -proto, -host-ip, "
				"-host-port, -container-ip, -container-port and -use-listen-fd",
				argv[i]);
		if (name[size] == '=')
			*slot = name + size + 1;
		else if (slot == &raw->use_listen_fd)
			*slot = "true"; /* a flag of Go's without a value */
		else if (i + 1 < argc)
			*slot = argv[++i];
		else
			return text_fail(error, DOCKER_ARGS_ERROR_MAX, -EINVAL,
					 "-%.*s needs a value", (int)size, name);
	}
	return 0;
}

static int decode_port(const char *name, const char *text, uint16_t *ret, char *error)
{
	char *end = NULL;
	unsigned long port = 0;

	if (text && text[0] >= '0' && text[0] <= '9')
		port = strtoul(text, &end, 10);
	if (!end || *end || port < 1 || port > UINT16_MAX)
		return text_fail(error, DOCKER_ARGS_ERROR_MAX, -EINVAL,
				 "-%s must be a port from 1 to 65535, not \"%.32s\"", name,
				 text ? text : "");
	*ret = (uint16_t)port;
	return 0;
}

static int decode_addresses(const struct raw_args *raw, struct docker_args *ret, char *error)
{
	if (raw->host_ip && raw->host_ip[0] && addr_parse(raw->host_ip, &ret->host_ip) < 0)
		return text_fail(error, DOCKER_ARGS_ERROR_MAX, -EINVAL,
				 "-host-ip must be an IPv4 or IPv6 address, not \"%.64s\"",
				 raw->host_ip);
	if (!raw->container_ip || addr_parse(raw->container_ip, &ret->container_ip) < 0)
		return text_fail(error, DOCKER_ARGS_ERROR_MAX, -EINVAL,
				 "-container-ip must be an IPv4 or IPv6 address, not \"%.64s\"",
				 raw->container_ip ? raw->container_ip : "");
	return 0;
}

static int decode_bool(const char *text, bool *ret, char *error)
{
	if (!text || !strcmp(text, "false") || !strcmp(text, "0"))
		*ret = false;
	else if (!strcmp(text, "true") || !strcmp(text, "1"))
		*ret = true;
	else
		return text_fail(error, DOCKER_ARGS_ERROR_MAX, -EINVAL,
				 "-use-listen-fd must be true or false, not \"%.32s\"", text);
	return 0;
}

int docker_args_decode(int argc, char *const *argv, struct docker_args *ret,
		       char error[static DOCKER_ARGS_ERROR_MAX])
{
	struct raw_args raw = {.proto = "tcp"};
	struct docker_args args = {0};
	int r = split(argc, argv, &raw, error);

	if (r == 0 && strcmp(raw.proto, "tcp") != 0 && strcmp(raw.proto, "udp") != 0)
		r = text_fail(error, DOCKER_ARGS_ERROR_MAX, -EINVAL,
			      "only tcp and udp ports can be published on the host, not \"%.32s\"",
			      raw.proto);
	if (r == 0)
		r = decode_port("host-port", raw.host_port, &args.host_port, error);
	if (r == 0)
		r = decode_port("container-port", raw.container_port, &args.container_port, error);
	if (r == 0)
		r = decode_addresses(&raw, &args, error);
	if (r == 0)
		r = decode_bool(raw.use_listen_fd, &args.use_listen_fd, error);
	if (r < 0)
		return r;
	args.udp = strcmp(raw.proto, "udp") == 0;
	*ret = args;
	return 0;
}
