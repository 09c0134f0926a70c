/* SPDX-License-Identifier: Apache-2.0 */
/*
 * framebridge: a tap in a network namespace on one side, and on the other what a VMM other than
 * QEMU's stream client (tapbridge.c) speaks to netproxy, one frame at a time. The namespace's
 * kernel is the guest. With --offload it leaves checksums and segmentation to the device, and the
 * header that says so is dropped, as libkrun does.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "netstack/frame.h"
#include "netstack/vmnet_wire.h"

#include "bridge_ends.h"

#define VNET_SIZE   10
#define PREFIX_MAX  4
#define BUFFER_SIZE (256 * 1024)

enum framing { BE32, LE16, MESSAGE };

struct bridge {
	int tap;
	int in;
	int out; /* may be `in` */
	enum framing framing;
	bool offload;
	struct sockaddr_un to; /* of a socket that isn't connected */
	socklen_t to_size;     /* 0: it is */
	uint8_t up[PREFIX_MAX + FRAME_SIZE_MAX];
	size_t up_at; /* what is written already */
	size_t up_size;
	uint8_t down[BUFFER_SIZE];
	size_t down_size;
};

static const char usage_text[] =
	"usage: framebridge --tap IFNAME [--netns PATH] [--offload] KIND\n"
	"  --listen PATH            QEMU with server=on: waits for netproxy there\n"
	"  --dgram PATH,OWN         QEMU's dgram: sends to PATH from the path OWN\n"
	"  --vfkit PATH,OWN         the same, connected, after vfkit's greeting\n"
	"  --bess PATH              SOCK_SEQPACKET\n"
	"  --vpnkit PATH,UUID[,IP]  VMN3T; prints the MAC that it is given\n"
	"  --fds IN,OUT             16-bit lengths on inherited descriptors; the same one: messages\n"
	"Prints \"ready\" when connected. Exit status: 3 when the other side closed, 1 after an error.\n";

static int unix_socket(const char *path, int type, bool bind_it, struct sockaddr_un *ret_at)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	*ret_at = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (fd < 0 || strlen(path) >= sizeof(ret_at->sun_path))
		return bridge_fail(path);
	strcpy(ret_at->sun_path, path);
	if (bind_it) {
		unlink(path);
		if (bind(fd, (struct sockaddr *)ret_at, sizeof(*ret_at)) < 0)
			return bridge_fail(path);
	}
	return fd;
}

static int open_listen(struct bridge *bridge, const char *path)
{
	struct sockaddr_un at;
	int fd = unix_socket(path, SOCK_STREAM, true, &at);

	bridge->framing = BE32;
	if (fd < 0 || listen(fd, 1) < 0)
		return bridge_fail("listen");
	bridge->in = bridge->out = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	close(fd);
	unlink(path);
	return bridge->in < 0 ? bridge_fail("accept") : 0;
}

static int open_connect(struct bridge *bridge, const char *path, int type)
{
	struct sockaddr_un at;

	bridge->in = bridge->out = unix_socket(path, type, false, &at);
	if (bridge->in < 0 || connect(bridge->in, (struct sockaddr *)&at, sizeof(at)) < 0)
		return bridge_fail(path);
	return 0;
}

/* "PATH,OWN" */
static int open_dgram(struct bridge *bridge, char *value, bool vfkit)
{
	char *path = strsep(&value, ",");
	struct sockaddr_un own, to = {.sun_family = AF_UNIX};

	bridge->framing = MESSAGE;
	if (!value || strlen(path) >= sizeof(to.sun_path))
		return -1;
	strcpy(to.sun_path, path);
	bridge->in = bridge->out = unix_socket(value, SOCK_DGRAM, true, &own);
	if (bridge->in < 0)
		return -1;
	if (!vfkit) {
		bridge->to = to;
		bridge->to_size = sizeof(to);
		return 0;
	}
	if (connect(bridge->in, (struct sockaddr *)&to, sizeof(to)) < 0 ||
	    send(bridge->in, "VFKT", 4, 0) != 4)
		return bridge_fail(path);
	return 0;
}

static bool exchange(int fd, const void *say, size_t say_size, void *hear, size_t hear_size)
{
	if (send(fd, say, say_size, MSG_NOSIGNAL) != (ssize_t)say_size ||
	    recv(fd, hear, hear_size, MSG_WAITALL) != (ssize_t)hear_size) {
		bridge_fail("VMN3T");
		return false;
	}
	return true;
}

/* "PATH,UUID[,IP]" */
static int open_vpnkit(struct bridge *bridge, char *value)
{
	uint8_t hello[VMNET_HELLO_SIZE], theirs[VMNET_HELLO_SIZE];
	uint8_t command[VMNET_COMMAND_SIZE] = {1}, answer[VMNET_ANSWER_SIZE];
	char *path = strsep(&value, ","), *uuid = strsep(&value, ",");
	char text[MAC_TEXT_MAX];
	struct addr ip;
	struct mac mac;

	bridge->framing = LE16;
	if (!uuid || strlen(uuid) != VMNET_UUID_SIZE || open_connect(bridge, path, SOCK_STREAM) < 0)
		return -1;
	vmnet_hello_write(hello);
	memcpy(command + 1, uuid, VMNET_UUID_SIZE);
	if (value && addr_parse(value, &ip) == 0) {
		uint32_t number = addr_v4(&ip);

		command[0] = 8;
		for (int i = 0; i < 4; i++)
			command[1 + VMNET_UUID_SIZE + i] = (uint8_t)(number >> 8 * i);
	}
	if (!exchange(bridge->in, hello, sizeof(hello), theirs, sizeof(theirs)) ||
	    !exchange(bridge->in, command, sizeof(command), answer, sizeof(answer)))
		return -1;
	if (answer[0] != 1) {
		fprintf(stderr, "refused: %.*s\n", answer[1], (char *)answer + 2);
		return -1;
	}
	memcpy(mac.bytes, answer + 5, MAC_SIZE);
	printf("mac %s mtu %u\n", mac_format(&mac, text), answer[1] | answer[2] << 8);
	return 0;
}

static int open_fds(struct bridge *bridge, const char *value)
{
	if (sscanf(value, "%d,%d", &bridge->in, &bridge->out) != 2)
		return -1;
	bridge->framing = bridge->in == bridge->out ? MESSAGE : LE16;
	return 0;
}

/* ---- To netproxy ---- */

static size_t prefix_size(const struct bridge *bridge)
{
	return bridge->framing == BE32 ? 4 : bridge->framing == LE16 ? 2 : 0;
}

/* Returns 0, also when it can't be written yet; 3 when the other side is gone. */
static int up_write(struct bridge *bridge)
{
	size_t left = bridge->up_size - bridge->up_at;
	ssize_t sent;

	if (!left)
		return 0;
	if (bridge->to_size)
		sent = sendto(bridge->out, bridge->up, left, 0, (struct sockaddr *)&bridge->to,
			      bridge->to_size);
	else
		sent = write(bridge->out, bridge->up + bridge->up_at, left);
	if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
		/* Nobody tells when a socket that isn't connected may go on. */
		if (bridge->to_size)
			usleep(200);
		return 0;
	}
	if (sent < 0)
		return errno == EPIPE || errno == ECONNRESET || errno == ECONNREFUSED ? 3 : 1;
	bridge->up_at += (size_t)sent;
	if (bridge->up_at == bridge->up_size)
		bridge->up_at = bridge->up_size = 0;
	return 0;
}

static int up_read(struct bridge *bridge)
{
	uint8_t vnet[VNET_SIZE];
	size_t prefix = prefix_size(bridge);
	struct iovec iov[2] = {{vnet, bridge->offload ? VNET_SIZE : 0},
			       {bridge->up + prefix, FRAME_SIZE_MAX}};
	ssize_t got = readv(bridge->tap, iov, 2);

	if (got < 0)
		return errno == EAGAIN ? 0 : 1;
	got -= (ssize_t)iov[0].iov_len;
	for (size_t i = 0; i < prefix; i++)
		bridge->up[i] = (uint8_t)(got >> 8 * (bridge->framing == BE32 ? 3 - i : i));
	bridge->up_size = prefix + (size_t)got;
	return up_write(bridge);
}

/* ---- To the guest ---- */

static void down_frame(struct bridge *bridge, uint8_t *bytes, size_t size)
{
	uint8_t vnet[VNET_SIZE] = {0};
	struct iovec iov[2] = {{vnet, bridge->offload ? VNET_SIZE : 0}, {bytes, size}};

	/* What its kernel doesn't take is lost, as on a wire. */
	if (writev(bridge->tap, iov, 2) < 0)
		return;
}

static void down_frames(struct bridge *bridge)
{
	size_t prefix = prefix_size(bridge), at = 0;

	if (!prefix) {
		down_frame(bridge, bridge->down, bridge->down_size);
		bridge->down_size = 0;
		return;
	}
	while (bridge->down_size - at >= prefix) {
		size_t size = 0;

		for (size_t i = 0; i < prefix; i++)
			size |= (size_t)bridge->down[at + i]
				<< 8 * (bridge->framing == BE32 ? 3 - i : i);
		if (bridge->down_size - at - prefix < size)
			break;
		down_frame(bridge, bridge->down + at + prefix, size);
		at += prefix + size;
	}
	memmove(bridge->down, bridge->down + at, bridge->down_size - at);
	bridge->down_size -= at;
}

static int down_read(struct bridge *bridge)
{
	ssize_t got = read(bridge->in, bridge->down + bridge->down_size,
			   BUFFER_SIZE - bridge->down_size);

	if (got < 0 && errno == EAGAIN)
		return 0;
	if (got <= 0)
		return 3;
	bridge->down_size += (size_t)got;
	down_frames(bridge);
	return 0;
}

static int run(struct bridge *bridge)
{
	int result = 0;

	while (!result) {
		bool waits = bridge->up_size > 0;
		struct pollfd fds[3] = {
			{.fd = waits ? -1 : bridge->tap, .events = POLLIN},
			{.fd = bridge->in, .events = POLLIN},
			{.fd = waits ? bridge->out : -1, .events = POLLOUT},
		};

		if (poll(fds, 3, -1) < 0)
			return 1;
		if (fds[2].revents)
			result = up_write(bridge);
		if (!result && fds[1].revents)
			result = down_read(bridge);
		if (!result && fds[0].revents)
			result = up_read(bridge);
	}
	return result;
}

static int open_kind(struct bridge *bridge, int kind, char *value)
{
	switch (kind) {
	case 'l':
		return open_listen(bridge, value);
	case 'd':
	case 'v':
		return open_dgram(bridge, value, kind == 'v');
	case 'b':
		bridge->framing = MESSAGE;
		return open_connect(bridge, value, SOCK_SEQPACKET);
	case 'k':
		return open_vpnkit(bridge, value);
	default:
		return open_fds(bridge, value);
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"tap", required_argument, NULL, 't'},   {"netns", required_argument, NULL, 'n'},
		{"offload", no_argument, NULL, 'o'},     {"listen", required_argument, NULL, 'l'},
		{"dgram", required_argument, NULL, 'd'}, {"vfkit", required_argument, NULL, 'v'},
		{"bess", required_argument, NULL, 'b'},  {"vpnkit", required_argument, NULL, 'k'},
		{"fds", required_argument, NULL, 'f'},   {0}};
	static struct bridge bridge = {.tap = -1, .in = -1, .out = -1};
	const char *tap = NULL, *netns = NULL;
	char *value = NULL;
	int option, kind = 0;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 't')
			tap = optarg;
		else if (option == 'n')
			netns = optarg;
		else if (option == 'o')
			bridge.offload = true;
		else if (option == '?')
			goto usage;
		else {
			kind = option;
			value = optarg;
		}
	}
	if (!tap || !kind || optind != argc)
		goto usage;
	signal(SIGPIPE, SIG_IGN);
	bridge.tap = bridge_tap_open(tap, netns, bridge.offload);
	if (bridge.tap < 0 || open_kind(&bridge, kind, value) < 0)
		return 1;
	fcntl(bridge.in, F_SETFL, O_NONBLOCK);
	fcntl(bridge.out, F_SETFL, O_NONBLOCK);
	puts("ready");
	fflush(stdout);
	return run(&bridge);
usage:
	fputs(usage_text, stderr);
	return 2;
}
