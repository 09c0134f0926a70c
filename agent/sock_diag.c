/* SPDX-License-Identifier: Apache-2.0 */
/* The netlink socket of sock_diag; see sock_diag.h. */
#include "agent/sock_diag.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>

#include "base/sock.h"

#define BATCH_SIZE    32768
#define STATE_CLOSE   7
#define STATE_LISTEN  10
#define PROC_SIZE_MAX (4u * 1024 * 1024)

static int open_netlink(int flags, uint32_t groups, int *ret_fd)
{
	struct sockaddr_nl at = {.nl_family = AF_NETLINK, .nl_groups = groups};
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | flags, NETLINK_SOCK_DIAG);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0) {
		r = -errno;
		fd_close(&fd);
	} else {
		*ret_fd = fd;
	}
	return r;
}

static int ask(int fd, sa_family_t family, bool udp)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 body;
	} request = {
		.header = {.nlmsg_len = sizeof(request),
			   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.body = {.sdiag_family = (uint8_t)family,
			 .sdiag_protocol = udp ? IPPROTO_UDP : IPPROTO_TCP,
			 .idiag_states = 1u << (udp ? STATE_CLOSE : STATE_LISTEN)},
	};
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

	if (sendto(fd, &request, sizeof(request), 0, (struct sockaddr *)&kernel, sizeof(kernel)) <
	    0)
		return -errno;
	return 0;
}

static int list_family(int fd, sa_family_t family, bool udp, struct listeners *listeners)
{
	static uint8_t batch[BATCH_SIZE] __attribute__((aligned(8)));
	enum diag_result result = DIAG_MORE;
	int error = 0;
	int r = ask(fd, family, udp);

	while (r == 0 && result == DIAG_MORE) {
		ssize_t n = recv(fd, batch, sizeof(batch), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EPROTO;
		result = listeners_add_diag(listeners, udp, batch, (size_t)n, &error);
	}
	return result == DIAG_FAILED ? error : r;
}

static int list_by_diag(struct listeners *listeners)
{
	int fd;
	int r = open_netlink(0, 0, &fd);

	if (r < 0)
		return r;
	for (int i = 0; r == 0 && i < 4; i++) {
		r = list_family(fd, i % 2 ? AF_INET6 : AF_INET, i >= 2, listeners);
		/* A kernel without IPv6, or without udp_diag, still has the rest. */
		if (r == -ENOENT && i > 0)
			r = 0;
	}
	fd_close(&fd);
	return r;
}

static int add_file(struct listeners *listeners, const char *path, bool udp)
{
	FILE *file = fopen(path, "re");
	char *text;
	size_t size;

	if (!file)
		return -errno;
	text = malloc(PROC_SIZE_MAX);
	size = text ? fread(text, 1, PROC_SIZE_MAX - 1, file) : 0;
	fclose(file);
	if (!text)
		return -ENOMEM;
	text[size] = '\0';
	listeners_add_proc(listeners, udp, text);
	free(text);
	return 0;
}

static int list_by_proc(struct listeners *listeners)
{
	int r = add_file(listeners, "/proc/net/tcp", false);

	add_file(listeners, "/proc/net/tcp6", false);
	add_file(listeners, "/proc/net/udp", true);
	add_file(listeners, "/proc/net/udp6", true);
	return r;
}

int sock_diag_list(struct listeners *ret_listeners)
{
	ret_listeners->count = 0;
	ret_listeners->overflow = false;
	if (list_by_diag(ret_listeners) == 0)
		return 0;
	ret_listeners->count = 0;
	ret_listeners->overflow = false;
	return list_by_proc(ret_listeners);
}

static uint32_t group(unsigned number)
{
	return 1u << (number - 1);
}

int sock_diag_watch(int *ret_fd)
{
	return open_netlink(SOCK_NONBLOCK,
			    group(SKNLGRP_INET_TCP_DESTROY) | group(SKNLGRP_INET6_TCP_DESTROY) |
				    group(SKNLGRP_INET_UDP_DESTROY) |
				    group(SKNLGRP_INET6_UDP_DESTROY),
			    ret_fd);
}

int sock_diag_read_ended(int fd, struct listeners *ret_listeners)
{
	static uint8_t batch[BATCH_SIZE] __attribute__((aligned(8)));
	int error;

	ret_listeners->count = 0;
	ret_listeners->overflow = false;
	for (;;) {
		ssize_t n = recv(fd, batch, sizeof(batch), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		listeners_add_diag(ret_listeners, false, batch, (size_t)n, &error);
		if (ret_listeners->overflow)
			return -ENOBUFS;
	}
}
