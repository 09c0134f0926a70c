/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's words for sockets; see listeners.h. */
#include "agent/listeners.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>

#define STATE_CLOSE  7 /* of UDP: not connected */
#define STATE_LISTEN 10

static void add(struct listeners *listeners, const struct listener *one)
{
	if (one->port == 0)
		return;
	if (listeners->count == LISTENERS_MAX) {
		listeners->overflow = true;
		return;
	}
	listeners->at[listeners->count++] = *one;
}

/* ---- sock_diag ---- */

/* IPv4 in an IPv6 socket's words. */
static struct addr unmapped(const struct in6_addr *v6)
{
	struct in_addr v4;

	if (!IN6_IS_ADDR_V4MAPPED(v6))
		return addr_from_in6(v6);
	memcpy(&v4, v6->s6_addr + 12, sizeof(v4));
	return addr_from_in(v4);
}

static bool is_v6_only(const uint8_t *data, size_t size)
{
	struct nlattr attr;

	while (size >= sizeof(attr)) {
		memcpy(&attr, data, sizeof(attr));
		if (attr.nla_len < sizeof(attr) || attr.nla_len > size)
			return false;
		if (attr.nla_type == INET_DIAG_SKV6ONLY && attr.nla_len > sizeof(attr))
			return data[sizeof(attr)] != 0;
		size_t step = NLA_ALIGN(attr.nla_len);
		if (step > size)
			return false;
		data += step;
		size -= step;
	}
	return false;
}

static void add_socket(struct listeners *listeners, bool udp, const uint8_t *data, size_t size)
{
	struct listener one = {.udp = udp};
	struct inet_diag_msg msg;
	struct in6_addr v6;
	struct in_addr v4;

	if (size < sizeof(msg))
		return;
	memcpy(&msg, data, sizeof(msg));
	one.port = ntohs(msg.id.idiag_sport);
	one.inode = msg.idiag_inode;
	if (msg.idiag_family == AF_INET) {
		memcpy(&v4, msg.id.idiag_src, sizeof(v4));
		one.addr = addr_from_in(v4);
	} else if (msg.idiag_family == AF_INET6) {
		memcpy(&v6, msg.id.idiag_src, sizeof(v6));
		one.addr = unmapped(&v6);
		one.v6_only = is_v6_only(data + sizeof(msg), size - sizeof(msg));
	} else {
		return;
	}
	add(listeners, &one);
}

enum diag_result listeners_add_diag(struct listeners *listeners, bool udp, const void *data,
				    size_t size, int *ret_error)
{
	const uint8_t *at = data;
	struct nlmsghdr header;
	int error;

	while (size >= sizeof(header)) {
		memcpy(&header, at, sizeof(header));
		if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > size)
			break;
		const uint8_t *body = at + sizeof(header);
		size_t body_size = header.nlmsg_len - sizeof(header);
		if (header.nlmsg_type == NLMSG_DONE)
			return DIAG_DONE;
		if (header.nlmsg_type == NLMSG_ERROR) {
			*ret_error = -EPROTO;
			if (body_size >= sizeof(error)) {
				memcpy(&error, body, sizeof(error));
				if (error < 0 && error > -4096)
					*ret_error = error;
			}
			return DIAG_FAILED;
		}
		if (header.nlmsg_type == SOCK_DIAG_BY_FAMILY)
			add_socket(listeners, udp, body, body_size);
		size_t step = NLMSG_ALIGN(header.nlmsg_len);
		if (step > size)
			break;
		at += step;
		size -= step;
	}
	return DIAG_MORE;
}

/* ---- /proc/net ---- */

/* Addresses are words of the machine's byte order in hexadecimal. */
static bool parse_address(const char *hex, struct addr *ret)
{
	size_t digits = strlen(hex);
	uint32_t words[4];
	struct in6_addr v6;

	if (digits != 8 && digits != 32)
		return false;
	for (size_t i = 0; i < digits / 8; i++) {
		char word[9];

		memcpy(word, hex + i * 8, 8);
		word[8] = '\0';
		words[i] = (uint32_t)strtoul(word, NULL, 16);
	}
	if (digits == 8) {
		*ret = addr_from_in((struct in_addr){.s_addr = words[0]});
	} else {
		memcpy(&v6, words, sizeof(v6));
		*ret = unmapped(&v6);
	}
	return true;
}

static void add_line(struct listeners *listeners, bool udp, const char *line)
{
	struct listener one = {.udp = udp};
	char local[33];
	unsigned port, state, inode;

	/* sl local remote st queues timer retransmits uid timeout inode */
	if (sscanf(line, " %*u: %32[0-9A-Fa-f]:%4x %*32[0-9A-Fa-f]:%*4x %2x %*s %*s %*s %*u %*d %u",
		   local, &port, &state, &inode) != 4 ||
	    state != (udp ? STATE_CLOSE : STATE_LISTEN) || !parse_address(local, &one.addr))
		return;
	one.port = (uint16_t)port;
	one.inode = inode;
	add(listeners, &one);
}

void listeners_add_proc(struct listeners *listeners, bool udp, char *text)
{
	char *rest;

	/* The first line has the titles, which don't look like a socket. */
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		add_line(listeners, udp, line);
}
