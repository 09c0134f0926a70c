/* SPDX-License-Identifier: Apache-2.0 */
/* Who has a port: the kernel names the socket (sock_diag(7)), /proc whose it is; see port_holder.h.
 */
#include "api/port_holder.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sock.h"

#define ANSWER_SIZE 16384

/* The socket that was found. */
struct holder {
	unsigned long inode;
	unsigned uid;
};

struct request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 diag;
};

static int send_request(int fd, sa_family_t family, bool udp, uint16_t port)
{
	const struct request request = {
		.header = {.nlmsg_len = sizeof(request),
			   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.diag = {.sdiag_family = (uint8_t)family,
			 .sdiag_protocol = udp ? IPPROTO_UDP : IPPROTO_TCP,
			 .idiag_states = udp ? UINT32_MAX : 1u << TCP_LISTEN,
			 .id.idiag_sport = htons(port)},
	};

	return send(fd, &request, sizeof(request), 0) < 0 ? -errno : 0;
}

static bool overlaps(const struct inet_diag_msg *socket, const struct endpoint *at)
{
	struct addr bound = {.family = socket->idiag_family};

	if (socket->id.idiag_sport != htons(at->port))
		return false;
	if (bound.family == AF_INET)
		memcpy(&bound.v4, socket->id.idiag_src, sizeof(bound.v4));
	else
		memcpy(&bound.v6, socket->id.idiag_src, sizeof(bound.v6));
	/* [::] has IPv4's port, too, unless it was asked not to: which isn't seen from here. */
	return addr_is_any(&at->addr) || addr_is_any(&bound) || addr_equal(&bound, &at->addr);
}

enum answer { ANSWER_FOUND, ANSWER_MORE, ANSWER_END };

/* Reads a piece of the kernel's answer. */
static enum answer read_answer(int fd, const struct endpoint *at, struct holder *ret)
{
	_Alignas(struct nlmsghdr) char answer[ANSWER_SIZE];
	ssize_t size = recv(fd, answer, sizeof(answer), 0);
	size_t left = size > 0 ? (size_t)size : 0;

	for (const struct nlmsghdr *header = (const void *)answer; NLMSG_OK(header, left);
	     header = NLMSG_NEXT(header, left)) {
		const struct inet_diag_msg *socket = NLMSG_DATA(header);

		if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY)
			return ANSWER_END;
		if (header->nlmsg_len < NLMSG_LENGTH(sizeof(*socket)) || !overlaps(socket, at))
			continue;
		*ret = (struct holder){.inode = socket->idiag_inode, .uid = socket->idiag_uid};
		return ANSWER_FOUND;
	}
	return size > 0 ? ANSWER_MORE : ANSWER_END;
}

static bool find_socket(const struct endpoint *at, bool udp, sa_family_t family, struct holder *ret)
{
	const struct timeval patience = {.tv_usec = PORT_HOLDER_TIME_MAX_MS * 1000};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	enum answer answer = ANSWER_END;

	if (fd < 0)
		return false;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (send_request(fd, family, udp, at->port) == 0) {
		do
			answer = read_answer(fd, at, ret);
		while (answer == ANSWER_MORE);
	}
	fd_close(&fd);
	return answer == ANSWER_FOUND;
}

/* ---- Whose it is ---- */

static bool has_socket(const char *pid, const char *wanted)
{
	char path[64], link[64];
	const struct dirent *entry;
	bool found = false;
	DIR *fds;

	snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	fds = opendir(path);
	if (!fds)
		return false;
	while (!found && (entry = readdir(fds))) {
		ssize_t size = readlinkat(dirfd(fds), entry->d_name, link, sizeof(link) - 1);

		if (size < 0)
			continue;
		link[size] = '\0';
		found = strcmp(link, wanted) == 0;
	}
	closedir(fds);
	return found;
}

static void read_name(const char *pid, char *to, size_t size)
{
	char path[64];
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		n = read(fd, to, size - 1);
	fd_close(&fd);
	to[n > 0 ? n : 0] = '\0';
	to[strcspn(to, "\n")] = '\0';
	/* A program chooses its own name. */
	for (char *c = to; *c; c++) {
		if (!isprint((unsigned char)*c))
			*c = '?';
	}
}

static bool find_process(unsigned long inode, char to[static PORT_HOLDER_TEXT_MAX])
{
	uint64_t deadline = clock_ms() + PORT_HOLDER_TIME_MAX_MS;
	const struct dirent *entry;
	char wanted[64], name[32];
	bool found = false;
	DIR *proc = opendir("/proc");

	if (!proc)
		return false;
	snprintf(wanted, sizeof(wanted), "socket:[%lu]", inode);
	while (!found && (entry = readdir(proc)) && clock_ms() < deadline) {
		if (!isdigit((unsigned char)entry->d_name[0]) || !has_socket(entry->d_name, wanted))
			continue;
		read_name(entry->d_name, name, sizeof(name));
		snprintf(to, PORT_HOLDER_TEXT_MAX, "%s (pid %.20s)", name[0] ? name : "a program",
			 entry->d_name);
		found = true;
	}
	closedir(proc);
	return found;
}

int port_holder_find(const struct endpoint *at, bool udp, char to[static PORT_HOLDER_TEXT_MAX])
{
	struct holder holder;

	if (!at->port ||
	    (!find_socket(at, udp, AF_INET6, &holder) && !find_socket(at, udp, AF_INET, &holder)))
		return -ENOENT;
	if (!find_process(holder.inode, to))
		snprintf(to, PORT_HOLDER_TEXT_MAX, "a program of user %u", holder.uid);
	return 0;
}
