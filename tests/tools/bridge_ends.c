/* SPDX-License-Identifier: Apache-2.0 */
/* Opening the two ends of a bridge; see bridge_ends.h. */
#include "bridge_ends.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int bridge_fail(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	return -1;
}

static int tap_configure(int tap, const char *ifname, bool offload)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	int fd, result;

	if (strlen(ifname) >= sizeof(ifr.ifr_name)) {
		errno = ENAMETOOLONG;
		return bridge_fail(ifname);
	}
	strcpy(ifr.ifr_name, ifname);
	if (offload)
		ifr.ifr_flags |= IFF_VNET_HDR;
	if (ioctl(tap, TUNSETIFF, &ifr) < 0)
		return bridge_fail("TUNSETIFF");
	if (offload && ioctl(tap, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) < 0)
		return bridge_fail("TUNSETOFFLOAD");
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return bridge_fail("socket");
	ifr.ifr_qlen = TAP_QUEUE_LEN;
	result = ioctl(fd, SIOCSIFTXQLEN, &ifr);
	close(fd);
	return result < 0 ? bridge_fail("SIOCSIFTXQLEN") : 0;
}

int bridge_tap_open(const char *ifname, const char *netns, bool offload)
{
	int own = -1, other = -1, tap = -1;

	if (netns) {
		own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
		other = open(netns, O_RDONLY | O_CLOEXEC);
		if (own < 0 || other < 0 || setns(other, CLONE_NEWNET) < 0) {
			bridge_fail(netns);
			goto out;
		}
	}
	tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (tap < 0) {
		bridge_fail("/dev/net/tun");
	} else if (tap_configure(tap, ifname, offload) < 0) {
		close(tap);
		tap = -1;
	}
	if (netns && setns(own, CLONE_NEWNET) < 0) {
		bridge_fail("return to the own namespace");
		exit(1);
	}
out:
	if (own >= 0)
		close(own);
	if (other >= 0)
		close(other);
	return tap;
}

int bridge_unix_connect(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return bridge_fail(path);
	}
	strcpy(sun.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		return bridge_fail(path);
	return fd;
}

static int connect_tcp(const char *text)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	const char *colon = strrchr(text, ':');
	char host[INET_ADDRSTRLEN];
	int fd, one = 1;

	errno = EINVAL;
	if (!colon || (size_t)(colon - text) >= sizeof(host))
		return bridge_fail(text);
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	sin.sin_port = htons((uint16_t)atoi(colon + 1));
	if (inet_pton(AF_INET, host, &sin.sin_addr) != 1)
		return bridge_fail(text);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0)
		return bridge_fail(text);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

int bridge_stream_connect(const char *where)
{
	int fd;

	if (!strncmp(where, "unix:", 5)) {
		fd = bridge_unix_connect(where + 5);
	} else if (!strncmp(where, "tcp:", 4)) {
		fd = connect_tcp(where + 4);
	} else {
		fprintf(stderr, "tapbridge: --connect %s: want unix:PATH or tcp:ADDR:PORT\n",
			where);
		return -1;
	}
	if (fd >= 0 && fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return bridge_fail("O_NONBLOCK");
	return fd;
}
