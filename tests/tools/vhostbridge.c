/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhostbridge: plays QEMU and the virtio-net driver of its guest. It opens a tap in a network
 * namespace, whose kernel is the guest, and relays its frames by the rings of a vhost-user device:
 * what the kernel hands over, with checksums and segments left to do, is read straight into the
 * memory that it shares with the back-end, and what the back-end put there is written from it.
 *
 * As in a VM, nothing is lost on the way to the proxy: while the ring is full the tap isn't read,
 * and the tap's queue is made long enough for the guest's TCP windows.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "netstack/vhost_net.h"
#include "virtio/vhost_msg.h"

#include "bridge_ends.h"
#include "vhost_front.h"

/* Since Linux 6.2's headers. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define RX 0 /* to the guest: the driver's receive queue */
#define TX 1

#define HEADER_SIZE VHOST_NET_HEADER_MAX
#define FRAME_MAX   (HEADER_SIZE + 65550)
/* As Linux makes them: pages where frames may be spread over several, whole frames elsewhere. */
#define RX_BUFFER_MERGEABLE 4096
#define RX_BUFFER_SMALL     (HEADER_SIZE + 1518)
#define RX_BUFFERS_MAX      32 /* of one frame */
/* A frame's headers in one descriptor, its data in fragments of that size. */
#define TX_HEAD  (HEADER_SIZE + 128)
#define TX_PIECE 32768
/* Frames moved before the other direction gets its turn, and before the device is told. */
#define ROUND_FRAMES 64
#define KICK_FRAMES  8

static const struct {
	const char *name;
	uint64_t features;
} feature_names[] = {
	{"csum", FEATURE(VIRTIO_NET_F_CSUM)},
	{"tso", FEATURE(VIRTIO_NET_F_HOST_TSO4) | FEATURE(VIRTIO_NET_F_HOST_TSO6)},
	{"uso", FEATURE(VIRTIO_NET_F_HOST_USO)},
	{"guest_csum", FEATURE(VIRTIO_NET_F_GUEST_CSUM)},
	{"guest_tso", FEATURE(VIRTIO_NET_F_GUEST_TSO4) | FEATURE(VIRTIO_NET_F_GUEST_TSO6)},
	{"guest_uso", FEATURE(VIRTIO_NET_F_GUEST_USO4) | FEATURE(VIRTIO_NET_F_GUEST_USO6)},
	{"mrg_rxbuf", FEATURE(VIRTIO_NET_F_MRG_RXBUF)},
	{"event_idx", FEATURE(VIRTIO_F_EVENT_IDX)},
	{"indirect", FEATURE(VIRTIO_F_INDIRECT_DESC)},
};
#define FEATURE_NAMES (sizeof(feature_names) / sizeof(feature_names[0]))

struct counters {
	uint64_t up_frames; /* guest -> proxy; super-frames count once */
	uint64_t down_frames;
	uint64_t refused; /* frames that the tap didn't take */
	uint64_t reloads;
};

struct bridge {
	int tap;
	int memory_fd;
	uint8_t *memory;
	size_t memory_size;
	struct vhost_front front;
	struct guest_ring rings[2];
	unsigned tx_free[GUEST_RING_SIZE]; /* buffers */
	unsigned tx_free_count;
	struct counters counters;
};

static volatile sig_atomic_t stopped;
static volatile sig_atomic_t reload;

static void on_signal(int number)
{
	if (number == SIGUSR1)
		reload = 1;
	else
		stopped = 1;
}

static void usage(void)
{
	fputs("usage: vhostbridge --tap IFNAME [--netns PATH] --connect unix:PATH [--features LIST]\n"
	      "  --netns     network namespace to make the tap in (our own)\n"
	      "  --features  what the driver negotiates if it is offered: all (the default), none, or of\n"
	      "             ",
	      stderr);
	for (size_t i = 0; i < FEATURE_NAMES; i++)
		fprintf(stderr, "%s %s", i ? "," : "", feature_names[i].name);
	fputs("\nPrints \"ready\" when the rings run, and counters as JSON at the end. SIGUSR1: the guest reloads its\n"
	      "driver. Exit status: 0 after SIGTERM or SIGINT, 3 when the other side closed the connection, 1 after\n"
	      "an error.\n",
	      stderr);
}

static bool parse_features(char *list, uint64_t *ret)
{
	bool all = strcmp(list, "all") == 0;

	*ret = FEATURE(VIRTIO_F_VERSION_1);
	for (size_t i = 0; all && i < FEATURE_NAMES; i++)
		*ret |= feature_names[i].features;
	if (all || strcmp(list, "none") == 0)
		return true;
	for (char *name = strtok(list, ","); name; name = strtok(NULL, ",")) {
		size_t i = 0;

		while (i < FEATURE_NAMES && strcmp(name, feature_names[i].name) != 0)
			i++;
		if (i == FEATURE_NAMES)
			return false;
		*ret |= feature_names[i].features;
	}
	return true;
}

/* --- Memory and rings --- */

static void ring_confs(const struct bridge *bridge, struct guest_ring_conf confs[static 2])
{
	uint64_t features = bridge->front.features;
	const struct guest_ring_conf common = {
		.memory = bridge->memory,
		.event_idx = features & FEATURE(VIRTIO_F_EVENT_IDX),
		.indirect = features & FEATURE(VIRTIO_F_INDIRECT_DESC),
	};

	confs[RX] = confs[TX] = common;
	confs[RX].indirect = false; /* there is nothing to gain for buffers in one piece */
	confs[RX].device_writes = true;
	confs[RX].buffer_size = features & FEATURE(VIRTIO_NET_F_MRG_RXBUF)    ? RX_BUFFER_MERGEABLE
				: features & FEATURE(VIRTIO_NET_F_GUEST_TSO4) ? FRAME_MAX
									      : RX_BUFFER_SMALL;
	confs[TX].at = guest_ring_footprint(&confs[RX]);
	confs[TX].buffer_size = FRAME_MAX;
	confs[TX].first_piece = TX_HEAD;
	confs[TX].piece_size = TX_PIECE;
}

static int make_memory(struct bridge *bridge)
{
	struct guest_ring_conf confs[2];

	ring_confs(bridge, confs);
	bridge->memory_size = confs[TX].at + guest_ring_footprint(&confs[TX]);
	bridge->memory_fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (bridge->memory_fd < 0 || ftruncate(bridge->memory_fd, (off_t)bridge->memory_size) < 0)
		return bridge_fail("memfd");
	void *memory = mmap(NULL, bridge->memory_size, PROT_READ | PROT_WRITE, MAP_SHARED,
			    bridge->memory_fd, 0);
	if (memory == MAP_FAILED)
		return bridge_fail("mmap");
	bridge->memory = memory;
	return 0;
}

static int start_rings(struct bridge *bridge)
{
	struct guest_ring_conf confs[2];

	ring_confs(bridge, confs);
	for (int i = 0; i < 2; i++) {
		if (guest_ring_init(&bridge->rings[i], &confs[i]) < 0)
			return bridge_fail("eventfd");
	}
	for (unsigned i = 0; i < bridge->rings[RX].buffers; i++)
		guest_ring_give(&bridge->rings[RX], i, bridge->rings[RX].buffer_size);
	bridge->tx_free_count = 0;
	for (unsigned i = 0; i < bridge->rings[TX].buffers; i++)
		bridge->tx_free[bridge->tx_free_count++] = i;
	guest_ring_kick(&bridge->rings[RX]);
	guest_ring_calls_on(&bridge->rings[RX]);
	return vhost_front_start(&bridge->front, bridge->memory_fd, bridge->memory,
				 bridge->memory_size, bridge->rings, 2);
}

/* What reloading the driver does to the device: it takes the rings back, uses the memory for
 * something else, and comes again. What was under way is lost. */
static int reload_driver(struct bridge *bridge)
{
	if (vhost_front_stop(&bridge->front, 2) < 0)
		return -1;
	for (int i = 0; i < 2; i++)
		guest_ring_close(&bridge->rings[i]);
	memset(bridge->memory, 0xa5, bridge->memory_size);
	memset(bridge->memory, 0,
	       (size_t)(guest_ring_buffer(&bridge->rings[RX], 0) - bridge->memory));
	memset(bridge->rings[TX].desc, 0,
	       (size_t)(guest_ring_buffer(&bridge->rings[TX], 0) -
			(uint8_t *)bridge->rings[TX].desc));
	bridge->counters.reloads++;
	return start_rings(bridge);
}

/* --- Frames --- */

/* Reads frames from the tap into buffers of the ring. */
static int up_pump(struct bridge *bridge)
{
	struct guest_ring *ring = &bridge->rings[TX];

	for (int i = 0; i < ROUND_FRAMES && bridge->tx_free_count; i++) {
		unsigned index = bridge->tx_free[bridge->tx_free_count - 1];
		ssize_t n = read(bridge->tap, guest_ring_buffer(ring, index), FRAME_MAX);

		if (n <= 0) {
			if (n < 0 && errno != EAGAIN && errno != EINTR)
				return bridge_fail("read from the tap");
			break;
		}
		bridge->tx_free_count--;
		guest_ring_give(ring, index, (size_t)n);
		bridge->counters.up_frames++;
		if (i % KICK_FRAMES == KICK_FRAMES - 1)
			guest_ring_kick(ring);
	}
	guest_ring_kick(ring);
	return 0;
}

/* Takes back what the device has sent. Where nothing is free we want to hear of it. */
static void up_reclaim(struct bridge *bridge)
{
	struct guest_ring *ring = &bridge->rings[TX];
	unsigned index;
	uint32_t size;

	guest_ring_calls_off(ring);
	do {
		while (guest_ring_take(ring, &index, &size))
			bridge->tx_free[bridge->tx_free_count++] = index;
	} while (!bridge->tx_free_count && guest_ring_calls_on(ring));
}

/* A frame from the device, if there is one: writes it to the tap. Returns 1, 0, or -1 when the
 * device broke the rules. */
static int down_frame(struct bridge *bridge)
{
	struct guest_ring *ring = &bridge->rings[RX];
	bool mergeable = bridge->front.features & FEATURE(VIRTIO_NET_F_MRG_RXBUF);
	unsigned indices[RX_BUFFERS_MAX], count = 0;
	struct iovec iov[RX_BUFFERS_MAX];
	uint16_t buffers = 1;

	do {
		uint32_t size;

		if (!guest_ring_take(ring, &indices[count], &size)) {
			if (count == 0)
				return 0;
			fprintf(stderr, "vhostbridge: a frame of %u buffers lacks some\n", buffers);
			return -1;
		}
		iov[count] = (struct iovec){guest_ring_buffer(ring, indices[count]), size};
		if (count == 0 && mergeable)
			memcpy(&buffers, (uint8_t *)iov[0].iov_base + 10, sizeof(buffers));
		if (size > ring->buffer_size || buffers == 0 || buffers > RX_BUFFERS_MAX) {
			fprintf(stderr, "vhostbridge: a frame of %u buffers, %u bytes in one\n",
				buffers, size);
			return -1;
		}
	} while (++count < buffers);
	if (writev(bridge->tap, iov, (int)count) < 0)
		bridge->counters.refused++;
	bridge->counters.down_frames++;
	for (unsigned i = 0; i < count; i++)
		guest_ring_give(ring, indices[i], ring->buffer_size);
	return 1;
}

static int down_pump(struct bridge *bridge)
{
	struct guest_ring *ring = &bridge->rings[RX];
	int result = 1;

	guest_ring_calls_off(ring);
	for (int i = 0; i < ROUND_FRAMES && result > 0; i++) {
		result = down_frame(bridge);
		if (i % KICK_FRAMES == KICK_FRAMES - 1)
			guest_ring_kick(ring);
		if (result == 0 && guest_ring_calls_on(ring))
			result = 1;
	}
	guest_ring_kick(ring);
	return result < 0 ? -1 : 0;
}

static void drain_event(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		bridge_fail("eventfd");
}

/* Relays until a signal (0), the connection's end (3) or an error (1). Signals come in while it
 * waits, with the mask `waiting`, and at no other time. */
static int bridge_run(struct bridge *bridge, const sigset_t *waiting)
{
	while (!stopped) {
		struct pollfd fds[4] = {
			{.fd = bridge->tap, .events = bridge->tx_free_count ? POLLIN : 0},
			{.fd = bridge->rings[RX].call_fd, .events = POLLIN},
			{.fd = bridge->rings[TX].call_fd, .events = POLLIN},
			{.fd = bridge->front.fd, .events = POLLIN},
		};
		static const struct timespec now;
		/* A round may have ended before it saw that there is nothing more. */
		bool more = guest_ring_calls_on(&bridge->rings[RX]);

		if (ppoll(fds, 4, more ? &now : NULL, waiting) < 0 && errno != EINTR) {
			bridge_fail("poll");
			return 1;
		}
		if (fds[3].revents) {
			/* What it left in the ring is in the guest's memory all the same. */
			while (guest_ring_ready(&bridge->rings[RX]) > 0 && down_pump(bridge) == 0)
				;
			return 3;
		}
		if (reload) {
			reload = 0;
			if (reload_driver(bridge) < 0)
				return 1;
			continue;
		}
		if (fds[1].revents & POLLIN)
			drain_event(bridge->rings[RX].call_fd);
		if (fds[2].revents & POLLIN)
			drain_event(bridge->rings[TX].call_fd);
		if (down_pump(bridge) < 0)
			return 1;
		up_reclaim(bridge);
		if ((fds[0].revents & POLLIN) && up_pump(bridge) < 0)
			return 1;
		up_reclaim(bridge);
	}
	return 0;
}

/* --- Start and end --- */

/* The kernel behind the tap leaves undone what the device does. */
static int tap_offloads(const struct bridge *bridge)
{
	uint64_t features = bridge->front.features;
	int header_size = HEADER_SIZE;
	unsigned offloads = 0;

	if (features & FEATURE(VIRTIO_NET_F_CSUM)) {
		offloads |= TUN_F_CSUM;
		if (features & FEATURE(VIRTIO_NET_F_HOST_TSO4))
			offloads |= TUN_F_TSO4;
		if (features & FEATURE(VIRTIO_NET_F_HOST_TSO6))
			offloads |= TUN_F_TSO6;
		if (features & FEATURE(VIRTIO_NET_F_HOST_USO))
			offloads |= TUN_F_USO4 | TUN_F_USO6;
	}
	if (ioctl(bridge->tap, TUNSETVNETHDRSZ, &header_size) < 0)
		return bridge_fail("TUNSETVNETHDRSZ");
	if (ioctl(bridge->tap, TUNSETOFFLOAD, offloads) < 0)
		return bridge_fail("TUNSETOFFLOAD");
	return 0;
}

/* Whether the kernel cuts UDP super-frames; old ones don't. */
static bool tap_has_uso(int tap)
{
	return ioctl(tap, TUNSETOFFLOAD,
		     TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_USO4 | TUN_F_USO6) == 0;
}

static int bridge_open(struct bridge *bridge, const char *ifname, const char *netns,
		       const char *path, uint64_t wanted)
{
	const uint64_t uso = FEATURE(VIRTIO_NET_F_HOST_USO) | FEATURE(VIRTIO_NET_F_GUEST_USO4) |
			     FEATURE(VIRTIO_NET_F_GUEST_USO6);

	bridge->tap = bridge_tap_open(ifname, netns, true);
	if (bridge->tap < 0)
		return -1;
	if (!tap_has_uso(bridge->tap))
		wanted &= ~uso;
	if (vhost_front_connect(&bridge->front, path, wanted) < 0 || tap_offloads(bridge) < 0 ||
	    make_memory(bridge) < 0)
		return -1;
	return start_rings(bridge);
}

static void bridge_close(struct bridge *bridge)
{
	if (bridge->tap >= 0)
		close(bridge->tap);
	if (bridge->front.fd >= 0)
		close(bridge->front.fd);
	for (int i = 0; i < 2; i++)
		guest_ring_close(&bridge->rings[i]);
	if (bridge->memory)
		munmap(bridge->memory, bridge->memory_size);
	if (bridge->memory_fd >= 0)
		close(bridge->memory_fd);
}

static void print_counters(const struct bridge *bridge)
{
	const struct counters *c = &bridge->counters;

	printf("{\"up_frames\":%" PRIu64 ",\"down_frames\":%" PRIu64 ",\"refused\":%" PRIu64
	       ",\"reloads\":%" PRIu64 ",\"kicks\":%" PRIu64 "}\n",
	       c->up_frames, c->down_frames, c->refused, c->reloads,
	       bridge->rings[RX].kicks + bridge->rings[TX].kicks);
}

static void catch_signals(sigset_t *ret_waiting)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGUSR1};
	const struct sigaction action = {.sa_handler = on_signal};
	sigset_t blocked;

	sigemptyset(&blocked);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		sigaction(signals[i], &action, NULL);
		sigaddset(&blocked, signals[i]);
	}
	sigprocmask(SIG_BLOCK, &blocked, ret_waiting);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"tap", required_argument, NULL, 't'},
						{"netns", required_argument, NULL, 'n'},
						{"connect", required_argument, NULL, 'c'},
						{"features", required_argument, NULL, 'f'},
						{0}};
	struct bridge bridge = {.tap = -1, .memory_fd = -1, .front = {.fd = -1}};
	const char *tap = NULL, *netns = NULL, *where = NULL;
	char everything[] = "all";
	uint64_t wanted;
	sigset_t waiting;
	int option, status = 1;

	parse_features(everything, &wanted);
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 't')
			tap = optarg;
		else if (option == 'n')
			netns = optarg;
		else if (option == 'c')
			where = optarg;
		else if (option != 'f' || !parse_features(optarg, &wanted))
			goto usage;
	}
	if (!tap || !where || strncmp(where, "unix:", 5) != 0 || optind != argc)
		goto usage;
	catch_signals(&waiting);
	if (bridge_open(&bridge, tap, netns, where + 5, wanted) == 0) {
		puts("ready");
		fflush(stdout);
		status = bridge_run(&bridge, &waiting);
		print_counters(&bridge);
	}
	bridge_close(&bridge);
	return status;
usage:
	usage();
	return 2;
}
