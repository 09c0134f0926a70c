/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tap link against a real kernel: a tap in a network namespace of the test's own, with a packet
 * socket on the other side that sees and sends vnet headers. Where the test may not make namespaces
 * and taps it says so and passes.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sock.h"
#include "netstack/link_tap.h"
#include "netstack/offload.h"
#include "sim/sim_packet.h"
#include "unit.h"

#define IFNAME "nptest0"
#define PORT   4711

static bool possible;
static struct loop *loop;
static struct link *link_;
static pid_t holder; /* lives in the namespace */
static char netns[32];
static int packet = -1; /* the guest's side */
static uint8_t payload[65535];
static uint8_t bytes[10 + SIM_PACKET_MAX];

/* The last frame of ours that the link delivered. */
static struct {
	unsigned frames;
	unsigned gone;
	struct frame state;
	uint8_t bytes[SIM_PACKET_MAX];
} got;

static bool is_ours(const uint8_t *frame, size_t size)
{
	struct iovec iov = {(void *)frame, size};
	struct frame f = {.iov = &iov, .iov_count = 1, .size = (uint32_t)size};
	struct frame_headers h;

	return frame_parse_headers(&f, &h) == 0 && h.payload_offset &&
	       frame[h.transport_offset] == PORT >> 8 &&
	       frame[h.transport_offset + 1] == (PORT & 0xff);
}

static void on_receive(void *arg, const struct frame *frame)
{
	(void)arg;
	ck_assert_uint_eq(frame->iov_count, 1);
	ck_assert_ptr_nonnull(frame->buf);
	if (!is_ours(frame->iov[0].iov_base, frame->size))
		return; /* the kernel's own: router solicitations and the like */
	got.frames++;
	got.state = *frame;
	memcpy(got.bytes, frame->iov[0].iov_base, frame->size);
}

static void on_other(void *arg)
{
	(void)arg;
}

static void on_gone(void *arg, const char *reason)
{
	(void)arg;
	ck_assert_str_eq(reason, "the interface was removed");
	got.gone++;
}

static const struct link_user user = {
	.receive = on_receive,
	.batch_end = on_other,
	.writable = on_other,
	.gone = on_gone,
};

static bool make_namespace(void)
{
	int ready[2];
	char ok = 0;

	ck_assert_int_eq(pipe(ready), 0);
	holder = fork();
	ck_assert_int_ge(holder, 0);
	if (holder == 0) {
		ok = unshare(CLONE_NEWNET) == 0;
		if (write(ready[1], &ok, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	ck_assert_int_eq(read(ready[0], &ok, 1), 1);
	close(ready[0]);
	close(ready[1]);
	snprintf(netns, sizeof(netns), "%d", holder);
	return ok;
}

static void bring_up(bool up)
{
	struct ifreq request = {.ifr_flags = up ? IFF_UP : 0};

	snprintf(request.ifr_name, sizeof(request.ifr_name), IFNAME);
	ck_assert_int_eq(ioctl(packet, SIOCSIFFLAGS, &request), 0);
}

static void enter_and_bind(void)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	char path[64];
	int fd, one = 1;

	snprintf(path, sizeof(path), "/proc/%s/ns/net", netns);
	fd = open(path, O_RDONLY);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(setns(fd, CLONE_NEWNET), 0);
	close(fd);
	packet = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(packet, 0);
	ck_assert_int_eq(setsockopt(packet, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)), 0);
	bring_up(true);
	at.sll_ifindex = (int)if_nametoindex(IFNAME);
	ck_assert_int_ne(at.sll_ifindex, 0);
	ck_assert_int_eq(bind(packet, (struct sockaddr *)&at, sizeof(at)), 0);
}

static void setup(void)
{
	const char *error = NULL;
	int status;

	memset(&got, 0, sizeof(got));
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 7 + (i >> 8));
	possible = access("/dev/net/tun", R_OK | W_OK) == 0 && make_namespace();
	if (!possible) {
		printf("skipped: needs /dev/net/tun and the right to make network namespaces\n");
		return;
	}
	ck_assert_int_eq(loop_new(&loop), 0);
	status = link_tap_open(loop, IFNAME, netns, &link_, &error);
	ck_assert_msg(status == 0, "%s: %s", error ? error : "", strerror(-status));
	link_->user = &user;
	ck_assert_uint_eq(if_nametoindex(IFNAME), 0); /* not in our namespace */
	enter_and_bind();
}

static void teardown(void)
{
	link_destroy(link_);
	link_ = NULL;
	fd_close(&packet);
	if (holder > 0) {
		kill(holder, SIGKILL);
		ck_assert_int_eq(waitpid(holder, NULL, 0), holder);
		/* The child that opened the tap was waited for. */
		ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	}
	loop_free(loop);
	loop = NULL;
}

static struct sim_packet packet_of(int version, uint8_t protocol, size_t size)
{
	struct sim_packet p = {
		.src_mac = {{2, 0, 0, 0, 0, 1}},
		.dst_mac = {{2, 0, 0, 0, 0, 2}},
		.protocol = protocol,
		.src_port = PORT,
		.dst_port = 80,
		.flags = SIM_TCP_ACK,
		.payload = payload,
		.payload_size = size,
	};

	addr_parse(version == 4 ? "192.0.2.1" : "2001:db8::1", &p.src);
	addr_parse(version == 4 ? "192.0.2.2" : "2001:db8::2", &p.dst);
	return p;
}

/* The three states that a frame may be in. */
enum state { COMPLETE, PARTIAL, GSO };

static struct frame state_of(const struct sim_packet *p, enum state state)
{
	bool v4 = p->src.family == AF_INET, tcp = p->protocol == IPPROTO_TCP;
	struct frame frame = {.csum = FRAME_CSUM_UNKNOWN};

	if (state == COMPLETE)
		return frame;
	frame.csum = FRAME_CSUM_PARTIAL;
	frame.csum_start = v4 ? 34 : 54;
	frame.csum_offset = tcp ? 16 : 6;
	if (state == PARTIAL)
		return frame;
	frame.gso = !tcp ? FRAME_GSO_UDP : v4 ? FRAME_GSO_TCP4 : FRAME_GSO_TCP6;
	frame.gso_size = 1400;
	frame.header_size = (uint16_t)(frame.csum_start + (tcp ? 20 : 8));
	return frame;
}

static uint8_t vnet_gso_type(const struct sim_packet *p)
{
	if (p->protocol == IPPROTO_UDP)
		return 5; /* UDP_L4 */
	return p->src.family == AF_INET ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
}

static void guest_sends(const struct sim_packet *p, enum state state)
{
	struct frame frame = state_of(p, state);
	struct virtio_net_hdr vnet = {0};
	size_t size = sim_packet_build(p, bytes + 10);

	if (state != COMPLETE) {
		vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		vnet.csum_start = frame.csum_start;
		vnet.csum_offset = frame.csum_offset;
	}
	if (state == GSO) {
		vnet.gso_type = vnet_gso_type(p);
		vnet.gso_size = frame.gso_size;
		vnet.hdr_len = frame.header_size;
	}
	memcpy(bytes, &vnet, 10);
	ck_assert_int_eq(write(packet, bytes, 10 + size), (ssize_t)(10 + size));
	for (int i = 0; i < 100 && !got.frames; i++)
		ck_assert_int_eq(loop_run_once(loop, false), 0);
	ck_assert_uint_eq(got.frames, 1);
	ck_assert_uint_eq(got.state.size, size);
	ck_assert_mem_eq(got.bytes, bytes + 10, size);
	got.frames = 0;
}

static bool can(const struct sim_packet *p, enum state state)
{
	return state != GSO || p->protocol != IPPROTO_UDP || link_->caps.uso;
}

START_TEST(receives_every_state)
{
	for (int kind = 0; possible && kind < 12; kind++) {
		enum state state = (enum state)(kind % 3);
		struct sim_packet p = packet_of(kind / 3 % 2 ? 6 : 4,
						kind / 6 ? IPPROTO_UDP : IPPROTO_TCP,
						state == GSO ? 60000 : 1000);
		struct frame right = state_of(&p, state);

		if (!can(&p, state))
			continue;
		p.partial = state != COMPLETE;
		guest_sends(&p, state);
		ck_assert_int_eq(got.state.csum, right.csum);
		ck_assert_uint_eq(got.state.csum_start, right.csum_start);
		ck_assert_uint_eq(got.state.csum_offset, right.csum_offset);
		ck_assert_int_eq(got.state.gso, right.gso);
		ck_assert_uint_eq(got.state.gso_size, right.gso_size);
		ck_assert_uint_eq(got.state.header_size, right.header_size);
	}
}
END_TEST

/* The next frame of ours that the guest's side sees, with its vnet header in front, to `bytes`. */
static ssize_t guest_reads(void)
{
	for (;;) {
		ssize_t size = read(packet, bytes, sizeof(bytes));

		if (size < 0)
			return -1;
		if (size > 10 && is_ours(bytes + 10, (size_t)size - 10))
			return size - 10;
	}
}

START_TEST(sends_every_state)
{
	static uint8_t sent[SIM_PACKET_MAX];

	for (int kind = 0; possible && kind < 12; kind++) {
		enum state state = (enum state)(kind % 3);
		struct sim_packet p = packet_of(kind / 3 % 2 ? 6 : 4,
						kind / 6 ? IPPROTO_UDP : IPPROTO_TCP,
						state == GSO ? 60000 : 1000);
		struct frame frame = state_of(&p, state);
		struct virtio_net_hdr vnet;
		struct iovec iov[3];
		size_t size;

		if (!can(&p, state))
			continue;
		p.partial = state != COMPLETE;
		size = sim_packet_build(&p, sent);
		iov[0] = (struct iovec){sent, 200};
		iov[1] = (struct iovec){sent + 200, 301};
		iov[2] = (struct iovec){sent + 501, size - 501};
		frame.iov = iov;
		frame.iov_count = 3;
		frame.size = (uint32_t)size;
		ck_assert_int_eq(link_send(link_, &frame, 1), 0);
		link_flush(link_);
		ck_assert_int_eq(guest_reads(), (ssize_t)size);
		ck_assert_mem_eq(bytes + 10, sent, size);
		memcpy(&vnet, bytes, 10);
		ck_assert_uint_eq(vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, state != COMPLETE);
		ck_assert_uint_eq(vnet.gso_type, state == GSO ? vnet_gso_type(&p) : 0);
		ck_assert_uint_eq(vnet.gso_size, frame.gso_size);
	}
}
END_TEST

START_TEST(drops_while_down)
{
	struct sim_packet p = packet_of(4, IPPROTO_UDP, 100);
	struct iovec iov = {bytes, 0};
	struct frame frame = {.iov = &iov, .iov_count = 1};

	if (!possible)
		return;
	iov.iov_len = frame.size = (uint32_t)sim_packet_build(&p, bytes);
	bring_up(false);
	ck_assert_int_eq(link_send(link_, &frame, 1), 0);
	ck_assert_uint_eq(link_->counters.tx_dropped, 1);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(loop_run_once(loop, false), 0);
	ck_assert_uint_eq(got.gone, 0);
	bring_up(true);
	ck_assert_int_eq(link_send(link_, &frame, 1), 0);
	ck_assert_uint_eq(link_->counters.tx_frames, 1);
	frame.size = FRAME_SIZE_MAX + 1;
	ck_assert_int_eq(link_send(link_, &frame, 1), -EMSGSIZE);
}
END_TEST

static void delete_interface(void)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg info;
	} request = {
		.header = {.nlmsg_len = sizeof(request),
			   .nlmsg_type = RTM_DELLINK,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
		.info = {.ifi_index = (int)if_nametoindex(IFNAME)},
	};
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);

	ck_assert_int_eq(send(fd, &request, sizeof(request), 0), (ssize_t)sizeof(request));
	ck_assert_int_gt(recv(fd, bytes, sizeof(bytes), 0), 0);
	close(fd);
	ck_assert_uint_eq(if_nametoindex(IFNAME), 0);
}

START_TEST(queue_is_long_enough)
{
	if (!possible)
		return;
	ck_assert_uint_ge(link_->caps.queue_frames, 8192);
}
END_TEST

START_TEST(gone_with_the_interface)
{
	struct iovec iov = {bytes, 60};
	struct frame frame = {.iov = &iov, .iov_count = 1, .size = 60};

	if (!possible)
		return;
	delete_interface();
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(loop_run_once(loop, false), 0);
	ck_assert_uint_eq(got.gone, 1);
	ck_assert_int_eq(link_send(link_, &frame, 1), -EPIPE);
}
END_TEST

START_TEST(gone_found_by_sending)
{
	struct iovec iov = {bytes, 60};
	struct frame frame = {.iov = &iov, .iov_count = 1, .size = 60};

	if (!possible)
		return;
	delete_interface();
	ck_assert_int_eq(link_send(link_, &frame, 1), -EPIPE);
	ck_assert_uint_eq(got.gone, 0);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(loop_run_once(loop, false), 0);
	ck_assert_uint_eq(got.gone, 1);
}
END_TEST

/* In the namespace that we are in now; the name is free again once the link was destroyed. */
START_TEST(opens_again_and_again)
{
	const char *error;

	for (int i = 0; possible && i < 5; i++) {
		struct link *other;

		ck_assert_int_eq(link_tap_open(loop, IFNAME, i % 2 ? netns : NULL, &other, &error),
				 -EBUSY);
		ck_assert_str_eq(error, "making the tap device (TUNSETIFF)");
		link_destroy(link_);
		ck_assert_uint_eq(if_nametoindex(IFNAME), 0);
		ck_assert_int_eq(link_tap_open(loop, IFNAME, i % 2 ? netns : NULL, &link_, &error),
				 0);
		ck_assert_uint_ne(if_nametoindex(IFNAME), 0);
	}
}
END_TEST

START_TEST(says_what_is_wrong)
{
	static const char *const names[] = {"", "a/b", "tap%d", "a b", ".", "0123456789abcdef"};
	const char *error = NULL;
	struct link *none = NULL;

	if (!possible)
		return;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		ck_assert_int_eq(link_tap_open(loop, names[i], NULL, &none, &error), -EINVAL);
		ck_assert_ptr_nonnull(strstr(error, "1 to 15 characters"));
	}
	ck_assert_int_eq(link_tap_open(loop, "x", "/run/netns/there-is-none", &none, &error),
			 -ENOENT);
	ck_assert_ptr_nonnull(strstr(error, "opening the network namespace"));
	ck_assert_int_eq(link_tap_open(loop, "x", "999999999", &none, &error), -ENOENT);
	ck_assert_int_eq(link_tap_open(loop, "x", "/dev/null", &none, &error), -EINVAL);
	ck_assert_str_eq(error, "entering the network namespace");
	ck_assert_ptr_null(none);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("link_tap");
	TCase *tcase = unit_case(suite, "link_tap", setup, teardown);

	tcase_add_test(tcase, receives_every_state);
	tcase_add_test(tcase, sends_every_state);
	tcase_add_test(tcase, drops_while_down);
	tcase_add_test(tcase, queue_is_long_enough);
	tcase_add_test(tcase, gone_with_the_interface);
	tcase_add_test(tcase, gone_found_by_sending);
	tcase_add_test(tcase, opens_again_and_again);
	tcase_add_test(tcase, says_what_is_wrong);
	return unit_run(suite);
}
