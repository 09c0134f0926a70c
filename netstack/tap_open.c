/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens a tap device in any network namespace: see tap_open.h.
 *
 * A namespace is entered by a child process that opens the tap there and passes it back: nothing
 * has to be restored, and a rootless user namespace, which only a process of one thread may enter,
 * works too.
 */
#include "netstack/tap_open.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sock.h"
#include "netstack/netns.h"

/* Since Linux 6.2's headers. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

/* A tap drops what its queue doesn't hold, and a guest without segmentation of its own fills the
 * 1000 frames that are the default with one connection. This is a window of 4 MiB in frames of
 * 1500, twice and more; the queue itself takes up 8 bytes for each. Not more: a guest that sends
 * faster than we read fills it with super-frames, 64 KiB of the kernel's memory each. Bursts that
 * are longer, such as the resets of a process with many connections, lose their ends here, which
 * conn_keepalive.c looks after. */
#define QUEUE_FRAMES 8192

enum step {
	STEP_NONE,
	STEP_NAME,
	STEP_NETNS_PATH,
	STEP_NETNS_OPEN,
	STEP_NETNS_ENTER,
	STEP_TUN_OPEN,
	STEP_TUN_SET,
	STEP_TUN_HEADER,
	STEP_TUN_OFFLOAD,
	STEP_HELPER,
	STEP_NO_TAP,
	STEP_NO_HEADER,
};

static const char *const step_texts[] = {
	[STEP_NONE] = "",
	[STEP_NAME] =
		"the interface's name must have 1 to 15 characters, without '/', '%' and spaces",
	[STEP_NETNS_PATH] = "the network namespace's path is too long",
	[STEP_NETNS_OPEN] =
		"opening the network namespace (a pid, or a path such as /run/netns/NAME)",
	[STEP_NETNS_ENTER] = "entering the network namespace",
	[STEP_TUN_OPEN] = "opening /dev/net/tun",
	[STEP_TUN_SET] = "making the tap device (TUNSETIFF)",
	[STEP_TUN_HEADER] = "setting the size of the vnet header (TUNSETVNETHDRSZ)",
	[STEP_TUN_OFFLOAD] = "turning offloads on (TUNSETOFFLOAD)",
	[STEP_NO_TAP] = "expected the descriptor of a socket or a tap device",
	[STEP_NO_HEADER] = "expected a tap device with IFF_NO_PI and IFF_VNET_HDR",
	[STEP_HELPER] = "running the helper process that enters the network namespace",
};

/* How opening ended; what the child sends, with the fd when error is 0. */
struct outcome {
	int error;
	enum step step;
	bool uso;
	unsigned queue_frames;
};

static struct outcome failed(enum step step, int error)
{
	return (struct outcome){.error = error, .step = step};
}

static bool name_ok(const char *ifname)
{
	size_t size = strlen(ifname);

	if (!size || size >= IFNAMSIZ || !strcmp(ifname, ".") || !strcmp(ifname, ".."))
		return false;
	for (size_t i = 0; i < size; i++) {
		if (ifname[i] == '/' || ifname[i] == '%' || ifname[i] == ':' ||
		    isspace((unsigned char)ifname[i]))
			return false;
	}
	return true;
}

/* Makes the tap's queue longer, where we may: with CAP_NET_ADMIN in its namespace. Returns its
 * length in frames, 0 when it can't be told. */
static unsigned grow_queue(const char *ifname)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {0};
	int frames = 0;

	if (fd < 0)
		return 0;
	memcpy(request.ifr_name, ifname, strlen(ifname));
	if (ioctl(fd, SIOCGIFTXQLEN, &request) == 0) {
		frames = request.ifr_qlen;
		request.ifr_qlen = QUEUE_FRAMES;
		if (frames < QUEUE_FRAMES && ioctl(fd, SIOCSIFTXQLEN, &request) == 0)
			frames = QUEUE_FRAMES;
	}
	close(fd);
	return frames > 0 ? (unsigned)frames : 0;
}

static struct outcome turn_offloads_on(int fd)
{
	const unsigned long offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	int header_size = TAP_VNET_HEADER_SIZE;
	struct outcome outcome = {0};

	if (ioctl(fd, TUNSETVNETHDRSZ, &header_size) < 0)
		return failed(STEP_TUN_HEADER, errno);
	outcome.uso = ioctl(fd, TUNSETOFFLOAD, offloads | TUN_F_USO4 | TUN_F_USO6) == 0;
	if (!outcome.uso && ioctl(fd, TUNSETOFFLOAD, offloads) < 0)
		return failed(STEP_TUN_OFFLOAD, errno);
	return outcome;
}

static struct outcome set_up(int fd, const char *ifname)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	struct outcome outcome;

	memcpy(request.ifr_name, ifname, strlen(ifname));
	if (ioctl(fd, TUNSETIFF, &request) < 0)
		return failed(STEP_TUN_SET, errno);
	outcome = turn_offloads_on(fd);
	if (!outcome.error)
		outcome.queue_frames = grow_queue(ifname);
	return outcome;
}

/* In the namespace that the process is in. *ret_fd is -1 on failure. */
static struct outcome open_here(const char *ifname, int *ret_fd)
{
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	struct outcome outcome;

	*ret_fd = -1;
	if (fd < 0)
		return failed(STEP_TUN_OPEN, errno);
	outcome = set_up(fd, ifname);
	if (outcome.error)
		close(fd);
	else
		*ret_fd = fd;
	return outcome;
}

static void send_outcome(int socket, const struct outcome *outcome, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec iov = {.iov_base = (void *)outcome, .iov_len = sizeof(*outcome)};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		struct cmsghdr *header;

		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	}
	(void)!sendmsg(socket, &message, MSG_NOSIGNAL);
}

static struct outcome receive_outcome(int socket, int *ret_fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct outcome outcome = {0};
	struct iovec iov = {.iov_base = &outcome, .iov_len = sizeof(outcome)};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *header;
	ssize_t got;

	do {
		got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	if (got != sizeof(outcome))
		return failed(STEP_HELPER, got < 0 ? errno : EPROTO);
	header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_type == SCM_RIGHTS)
		memcpy(ret_fd, CMSG_DATA(header), sizeof(*ret_fd));
	if (!outcome.error && *ret_fd < 0)
		return failed(STEP_HELPER, EPROTO);
	return outcome;
}

/* The child's whole life: nothing but system calls, as it is a fork of a larger program. */
static void child_main(int socket, int netns_fd, const char *ifname)
{
	struct outcome outcome;
	int fd = -1, status = netns_enter(netns_fd);

	if (status < 0)
		outcome = failed(STEP_NETNS_ENTER, -status);
	else
		outcome = open_here(ifname, &fd);
	send_outcome(socket, &outcome, fd);
	_exit(0);
}

static struct outcome open_by_child(const char *ifname, int netns_fd, int *ret_fd)
{
	struct outcome outcome;
	int sockets[2];
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		return failed(STEP_HELPER, errno);
	child = fork();
	if (child < 0) {
		outcome = failed(STEP_HELPER, errno);
		close(sockets[0]);
		close(sockets[1]);
		return outcome;
	}
	if (child == 0)
		child_main(sockets[1], netns_fd, ifname);
	close(sockets[1]);
	outcome = receive_outcome(sockets[0], ret_fd);
	close(sockets[0]);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	return outcome;
}

static struct outcome open_in_netns(const char *ifname, const char *netns, int *ret_fd)
{
	struct outcome outcome;
	int netns_fd;
	int r = netns_open(netns, &netns_fd);

	if (r < 0)
		return failed(r == -ENAMETOOLONG ? STEP_NETNS_PATH : STEP_NETNS_OPEN, -r);
	outcome = open_by_child(ifname, netns_fd, ret_fd);
	close(netns_fd);
	return outcome;
}

int tap_open(const char *ifname, const char *netns, int *ret_fd, struct tap_features *ret_features,
	     const char **ret_error)
{
	struct outcome outcome;
	int fd = -1;

	if (!name_ok(ifname))
		outcome = failed(STEP_NAME, EINVAL);
	else if (netns)
		outcome = open_in_netns(ifname, netns, &fd);
	else
		outcome = open_here(ifname, &fd);
	if (outcome.error) {
		fd_close(&fd);
		*ret_error = step_texts[outcome.step];
		return -outcome.error;
	}
	*ret_fd = fd;
	*ret_features = (struct tap_features){
		.uso = outcome.uso,
		.queue_frames = outcome.queue_frames,
	};
	return 0;
}

int tap_adopt(int fd, struct tap_features *ret_features, const char **ret_error)
{
	const int wanted = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	struct ifreq request = {0};
	struct outcome outcome;

	if (ioctl(fd, TUNGETIFF, &request) < 0)
		outcome = failed(STEP_NO_TAP, errno == EBADF ? EBADF : ENOTSOCK);
	else if ((request.ifr_flags & wanted) != wanted)
		outcome = failed(STEP_NO_HEADER, EINVAL);
	else
		outcome = turn_offloads_on(fd);
	if (outcome.error) {
		*ret_error = step_texts[outcome.step];
		return -outcome.error;
	}
	/* Its queue is who made it's; what it is can't be told from another namespace. */
	*ret_features = (struct tap_features){.uso = outcome.uso};
	return 0;
}
