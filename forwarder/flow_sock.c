/* SPDX-License-Identifier: Apache-2.0 */
/* Host sockets for datagrams and echo requests; see flow_sock.h. */
#include "forwarder/flow_sock.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

/* As much as the host allows; less only means that bursts are lost earlier. */
#define UDP_BUFFER_SIZE (1024 * 1024)

/* What a host sends by itself (RFC 1700); for messages without marks, which don't occur. */
#define DEFAULT_TTL 64

static int set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int report_all(int fd, sa_family_t family)
{
	int r;

	if (family == AF_INET6) {
		r = set_int(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
		if (r == 0)
			r = set_int(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
		return r < 0 ? r : set_int(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
	}
	r = set_int(fd, IPPROTO_IP, IP_RECVERR, 1);
	if (r == 0)
		r = set_int(fd, IPPROTO_IP, IP_RECVTTL, 1);
	return r < 0 ? r : set_int(fd, IPPROTO_IP, IP_RECVTOS, 1);
}

static int open_socket(sa_family_t family, int type, int protocol, int *ret_fd)
{
	int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
	int r;

	if (fd < 0)
		return -errno;
	r = report_all(fd, family);
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

int flow_sock_udp(sa_family_t family, const struct addr *from, int *ret_fd)
{
	struct sockaddr_storage any = {.ss_family = family};
	struct endpoint at = {.addr = *from};
	int fd = -1;
	int r = open_socket(family, SOCK_DGRAM, 0, &fd);

	if (r < 0)
		return r;
	if (family == AF_INET6)
		set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (from->family == family)
		endpoint_to_sockaddr(&at, &any);
	if (bind(fd, (struct sockaddr *)&any,
		 family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in)) <
	    0) {
		r = -errno;
		close(fd);
		return r;
	}
	set_int(fd, SOL_SOCKET, SO_RCVBUF, UDP_BUFFER_SIZE);
	set_int(fd, SOL_SOCKET, SO_SNDBUF, UDP_BUFFER_SIZE);
	*ret_fd = fd;
	return 0;
}

int flow_sock_ping(sa_family_t family, int *ret_fd)
{
	return open_socket(family, SOCK_DGRAM, family == AF_INET6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP,
			   ret_fd);
}

/* Every raw socket would get the replies to everybody's requests. */
static int filter_by_id(int fd, sa_family_t family, uint16_t id)
{
	struct sock_filter v4[] = {
		BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0), /* the size of the IP header */
		BPF_STMT(BPF_LD | BPF_B | BPF_IND, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ICMP_ECHOREPLY, 0, 3),
		BPF_STMT(BPF_LD | BPF_H | BPF_IND, 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, id, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_filter v6[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ICMPV6_ECHO_REPLY, 0, 3),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, id, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = {.len = sizeof(v4) / sizeof(v4[0]), .filter = v4};

	if (family == AF_INET6)
		program = (struct sock_fprog){.len = sizeof(v6) / sizeof(v6[0]), .filter = v6};
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno
											   : 0;
}

int flow_sock_raw_echo(sa_family_t family, uint16_t id, int *ret_fd)
{
	int fd = -1;
	int r = open_socket(family, SOCK_RAW, family == AF_INET6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP,
			    &fd);

	if (r < 0)
		return r;
	r = filter_by_id(fd, family, id);
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

int flow_sock_set_marks(int fd, sa_family_t family, const struct flow_marks *marks)
{
	bool v6 = family == AF_INET6;
	int r = set_int(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_UNICAST_HOPS : IP_TTL,
			marks->ttl);

	return r < 0 ? r
		     : set_int(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TCLASS : IP_TOS,
			       marks->tos);
}

int flow_sock_set_dont_fragment(int fd, sa_family_t family, bool dont_fragment)
{
	if (family == AF_INET6)
		return set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER,
			       dont_fragment ? IPV6_PMTUDISC_DO : IPV6_PMTUDISC_DONT);
	return set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER,
		       dont_fragment ? IP_PMTUDISC_DO : IP_PMTUDISC_DONT);
}

/* ---- Control messages ---- */

static size_t put_int(uint8_t *to, int level, int type, int value)
{
	struct cmsghdr header = {
		.cmsg_len = CMSG_LEN(sizeof(value)), .cmsg_level = level, .cmsg_type = type};

	memset(to, 0, CMSG_SPACE(sizeof(value)));
	memcpy(to, &header, sizeof(header));
	memcpy(to + CMSG_LEN(0), &value, sizeof(value));
	return CMSG_SPACE(sizeof(value));
}

void flow_control_put(struct msghdr *msg, uint8_t control[static FLOW_CONTROL_SIZE],
		      sa_family_t family, const struct flow_marks *marks)
{
	bool v6 = family == AF_INET6;
	int level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
	size_t size = put_int(control, level, v6 ? IPV6_HOPLIMIT : IP_TTL, marks->ttl);

	size += put_int(control + size, level, v6 ? IPV6_TCLASS : IP_TOS, marks->tos);
	msg->msg_control = control;
	msg->msg_controllen = size;
}

/* An int, or as IP_TOS comes, a byte. */
static int get_int(const struct cmsghdr *c)
{
	int value = 0;

	if (c->cmsg_len == CMSG_LEN(1))
		return *CMSG_DATA(c);
	if (c->cmsg_len >= CMSG_LEN(sizeof(value)))
		memcpy(&value, CMSG_DATA(c), sizeof(value));
	return value;
}

struct flow_marks flow_control_get(struct msghdr *msg)
{
	struct flow_marks marks = {.ttl = DEFAULT_TTL};

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		bool v4 = c->cmsg_level == IPPROTO_IP;
		bool v6 = c->cmsg_level == IPPROTO_IPV6;

		if ((v4 && c->cmsg_type == IP_TTL) || (v6 && c->cmsg_type == IPV6_HOPLIMIT))
			marks.ttl = flow_ttl_next(get_int(c));
		if ((v4 && c->cmsg_type == IP_TOS) || (v6 && c->cmsg_type == IPV6_TCLASS))
			marks.tos = (uint8_t)get_int(c);
	}
	return marks;
}
