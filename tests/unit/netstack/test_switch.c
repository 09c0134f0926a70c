/* SPDX-License-Identifier: Apache-2.0 */
/* The switch between links made of memory and a scripted gateway. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/log.h"
#include "netstack/offload.h"
#include "netstack/switch.h"
#include "sim/sim_link.h"
#include "sim/sim_packet.h"
#include "unit.h"

#define GUESTS 3

static const struct mac gateway = {{2, 1, 1, 1, 1, 1}};
static const struct link_caps plain = {.gro = true, .frame_max = FRAME_SIZE_MAX};
static const struct link_caps offloading = {
	.csum = true, .tso4 = true, .tso6 = true, .uso = true, .frame_max = FRAME_SIZE_MAX};

static struct loop *loop;
static struct nswitch *sw;
static struct sim_link *guests[GUESTS];
static uint8_t payload[65535];

/* What the gateway saw. */
static struct {
	unsigned frames;
	unsigned port;
	uint32_t size;
	enum frame_gso gso;
	unsigned writable;
	int attached;
	const struct frame *answer; /* sent from within receive */
	int answer_status;
	bool scribble; /* changes the frame, as lwIP does */
} local;

static void local_receive(void *arg, unsigned port, const struct frame *frame)
{
	ck_assert_ptr_eq(arg, &local);
	local.frames++;
	local.port = port;
	local.size = frame->size;
	local.gso = frame->gso;
	if (local.scribble)
		memset((uint8_t *)frame->iov[0].iov_base + 14, 0xee, frame->iov[0].iov_len - 14);
	if (local.answer)
		local.answer_status = switch_send(sw, local.answer);
}

static void local_writable(void *arg)
{
	(void)arg;
	local.writable++;
}

static void local_port_changed(void *arg, unsigned port, const struct link *link, bool attached)
{
	(void)arg;
	ck_assert_uint_ge(port, 1);
	ck_assert_ptr_nonnull(link);
	local.attached += attached ? 1 : -1;
}

static const struct switch_local local_ops = {
	.receive = local_receive,
	.writable = local_writable,
	.port_changed = local_port_changed,
};

static void attach(unsigned guest, const struct link_caps *caps)
{
	guests[guest] = sim_link_new("guest", caps);
	switch_sink(sw)->attached(switch_sink(sw)->arg, sim_link_link(guests[guest]));
}

static void setup_with(const struct guard_conf *guard)
{
	log_set_levels("error");
	memset(&local, 0, sizeof(local));
	ck_assert_int_eq(loop_new(&loop), 0);
	ck_assert_int_eq(switch_new(loop, &gateway, &local_ops, &local, &sw), 0);
	if (guard)
		ck_assert_int_eq(switch_guard(sw, guard), 0);
	attach(0, &plain);
	attach(1, &plain);
	attach(2, &offloading);
}

static void setup(void)
{
	setup_with(NULL);
}

static void setup_guarded(void)
{
	struct guard_conf conf = {.mac = gateway};

	prefix_parse("192.168.65.0/24", &conf.subnet);
	setup_with(&conf);
}

static void teardown(void)
{
	switch_free(sw);
	for (unsigned i = 0; i < GUESTS; i++) {
		ck_assert(sim_link_destroyed(guests[i]));
		sim_link_free(guests[i]);
	}
	loop_free(loop);
}

static struct mac mac_of(unsigned guest)
{
	return (struct mac){{2, 0, 0, 0, 0, (uint8_t)guest}};
}

static struct sim_packet packet_from(const struct mac *src, const struct mac *dst, size_t size)
{
	struct sim_packet p = {
		.src_mac = *src,
		.dst_mac = *dst,
		.protocol = IPPROTO_TCP,
		.src_port = 1,
		.dst_port = 2,
		.flags = SIM_TCP_ACK,
		.payload = payload,
		.payload_size = size,
	};

	p.src = addr_from_v4(0xc0a84102);
	p.dst = addr_from_v4(0xc0a84103);
	return p;
}

static void inject(unsigned guest, const struct mac *src, const struct mac *dst)
{
	struct sim_packet p = packet_from(src, dst, 100);
	uint8_t bytes[300];

	sim_link_inject(guests[guest], bytes, sim_packet_build(&p, bytes));
	sim_link_batch_end(guests[guest]);
}

/* The switch learns where every guest is. */
static void learn_all(void)
{
	for (unsigned i = 0; i < GUESTS; i++) {
		struct mac mac = mac_of(i);

		inject(i, &mac, &gateway);
	}
	ck_assert_uint_eq(local.frames, GUESTS);
}

static void expect_counts(unsigned a, unsigned b, unsigned c)
{
	ck_assert_uint_eq(sim_link_drop_all(guests[0]), a);
	ck_assert_uint_eq(sim_link_drop_all(guests[1]), b);
	ck_assert_uint_eq(sim_link_drop_all(guests[2]), c);
}

static struct switch_port_info info_of(unsigned guest)
{
	struct switch_port_info infos[GUESTS];

	ck_assert_uint_eq(switch_ports(sw, infos, GUESTS), GUESTS);
	return infos[guest];
}

START_TEST(floods_then_learns)
{
	struct mac a = mac_of(0), b = mac_of(1);

	inject(0, &a, &b);
	expect_counts(0, 1, 1);
	ck_assert_uint_eq(local.frames, 0);
	inject(1, &b, &a);
	expect_counts(1, 0, 0);
	inject(0, &a, &b);
	expect_counts(0, 1, 0);
	ck_assert_uint_eq(info_of(0).switching.flooded, 1);
	/* To itself: nowhere. */
	inject(0, &a, &a);
	expect_counts(0, 0, 0);
	/* It moves. */
	inject(2, &b, &a);
	expect_counts(1, 0, 0);
	inject(0, &a, &b);
	expect_counts(0, 0, 1);
}
END_TEST

START_TEST(groups_go_to_all)
{
	struct mac a = mac_of(0), multicast = {{1, 0, 0x5e, 0, 0, 1}};
	struct mac next_bridge = {{1, 0x80, 0xc2, 0, 0, 0}};
	struct sim_frame *frame;

	local.scribble = true; /* must not be seen by the others */
	inject(0, &a, &mac_broadcast);
	ck_assert_uint_eq(local.frames, 1);
	ck_assert_uint_eq(local.port, info_of(0).port);
	frame = sim_link_take(guests[1]);
	ck_assert(sim_packet_csum_ok(frame->bytes, frame->size));
	sim_frame_free(frame);
	expect_counts(0, 0, 1);
	inject(0, &a, &multicast);
	ck_assert_uint_eq(local.frames, 2);
	expect_counts(0, 1, 1);
	inject(0, &a, &next_bridge);
	ck_assert_uint_eq(local.frames, 2);
	expect_counts(0, 0, 0);
}
END_TEST

START_TEST(refuses_lying_sources)
{
	struct mac group = {{1, 0, 0, 0, 0, 1}}, b = mac_of(1);
	uint8_t runt[13] = {0};

	inject(0, &group, &b);
	inject(0, &mac_broadcast, &gateway);
	inject(0, &gateway, &b);
	sim_link_inject(guests[0], runt, sizeof(runt));
	expect_counts(0, 0, 0);
	ck_assert_uint_eq(local.frames, 0);
	ck_assert_uint_eq(info_of(0).switching.refused, 4);
}
END_TEST

/* A super-frame of the gateway's to `dst`. */
static struct frame super_frame(const struct mac *dst, struct iovec *iov, uint8_t *bytes)
{
	struct sim_packet p = packet_from(&gateway, dst, 14600);

	p.partial = true;
	*iov = (struct iovec){bytes, sim_packet_build(&p, bytes)};
	return (struct frame){.iov = iov,
			      .iov_count = 1,
			      .size = (uint32_t)iov->iov_len,
			      .csum = FRAME_CSUM_PARTIAL,
			      .csum_start = 34,
			      .csum_offset = 16,
			      .gso = FRAME_GSO_TCP4,
			      .gso_size = 1460,
			      .header_size = 54};
}

START_TEST(ports_make_up_offloads)
{
	static uint8_t bytes[SIM_PACKET_MAX];
	struct mac a = mac_of(0), c = mac_of(2);
	struct sim_frame *frame;
	struct iovec iov;
	struct frame super;

	learn_all();
	super = super_frame(&a, &iov, bytes);
	ck_assert_int_eq(switch_send(sw, &super), 0);
	ck_assert_uint_eq(sim_link_pending(guests[0]), 10);
	frame = sim_link_take(guests[0]);
	ck_assert(sim_packet_csum_ok(frame->bytes, frame->size));
	sim_frame_free(frame);
	expect_counts(9, 0, 0);

	super = super_frame(&c, &iov, bytes);
	ck_assert_int_eq(switch_send(sw, &super), 0);
	frame = sim_link_take(guests[2]);
	ck_assert_int_eq(frame->gso, FRAME_GSO_TCP4);
	ck_assert_uint_eq(frame->size, super.size);
	sim_frame_free(frame);

	/* Flooded: each port as it needs it. */
	super = super_frame(&mac_broadcast, &iov, bytes);
	ck_assert_int_eq(switch_send(sw, &super), 0);
	expect_counts(10, 10, 1);
	/* One frame whose checksum is to be completed. */
	super = super_frame(&a, &iov, bytes);
	super.gso = FRAME_GSO_NONE;
	ck_assert_int_eq(switch_send(sw, &super), 0);
	frame = sim_link_take(guests[0]);
	ck_assert(sim_packet_csum_ok(frame->bytes, frame->size));
	sim_frame_free(frame);
}
END_TEST

/* From a link without offloads to one that has them: coalesced on the way, and not cut again. */
START_TEST(coalesces_between_guests)
{
	static uint8_t bytes[10 * 1600];
	struct mac a = mac_of(0), c = mac_of(2);
	struct sim_frame *frame;
	size_t sizes[10], end = 0;

	learn_all();
	for (unsigned i = 0; i < 10; i++) {
		struct sim_packet p = packet_from(&a, i < 5 ? &c : &gateway, 1000);

		p.seq = i * 1000;
		p.dst_port = i < 5 ? 2 : 3;
		sizes[i] = sim_packet_build(&p, bytes + end);
		end += sizes[i] + 4;
	}
	sim_link_inject_burst(guests[0], bytes, sizes, 10, 4);
	sim_link_batch_end(guests[0]);
	frame = sim_link_take(guests[2]);
	ck_assert_int_eq(frame->gso, FRAME_GSO_TCP4);
	ck_assert_uint_eq(frame->size, 5054);
	sim_frame_free(frame);
	ck_assert_uint_eq(local.frames, GUESTS + 1);
	ck_assert_uint_eq(local.size, 5054);
	ck_assert_int_eq(local.gso, FRAME_GSO_TCP4);
	expect_counts(0, 0, 0);
}
END_TEST

START_TEST(back_pressure)
{
	static uint8_t bytes[SIM_PACKET_MAX];
	struct mac a = mac_of(0), b = mac_of(1);
	struct iovec iov;
	struct frame super;

	learn_all();
	sim_link_set_full(guests[0], true);
	super = super_frame(&a, &iov, bytes);
	ck_assert_int_eq(switch_send(sw, &super), -EAGAIN);
	ck_assert_int_eq(switch_send(sw, &super), -EAGAIN);
	ck_assert_uint_eq(info_of(0).switching.dropped, 0);
	/* The others aren't hindered. */
	super = super_frame(&b, &iov, bytes);
	ck_assert_int_eq(switch_send(sw, &super), 0);
	/* Groups and other guests' frames are dropped there, and counted. */
	super = super_frame(&mac_broadcast, &iov, bytes);
	ck_assert_int_eq(switch_send(sw, &super), 0);
	inject(1, &b, &a);
	ck_assert_uint_eq(info_of(0).switching.dropped, 2);
	ck_assert_uint_eq(local.writable, 0);
	sim_link_set_full(guests[0], false);
	ck_assert_uint_eq(local.writable, 1);
	/* Nobody waits any more. */
	sim_link_set_full(guests[0], true);
	inject(1, &b, &a);
	sim_link_set_full(guests[0], false);
	ck_assert_uint_eq(local.writable, 1);
}
END_TEST

START_TEST(gone_while_waited_for)
{
	static uint8_t bytes[SIM_PACKET_MAX];
	struct mac a = mac_of(0);
	struct iovec iov;
	struct frame super = super_frame(&a, &iov, bytes);
	unsigned port;

	learn_all();
	port = info_of(0).port;
	sim_link_set_full(guests[0], true);
	ck_assert_int_eq(switch_send(sw, &super), -EAGAIN);
	ck_assert_int_eq(local.attached, GUESTS);
	sim_link_hang_up(guests[0], "test");
	ck_assert(sim_link_destroyed(guests[0]));
	ck_assert_int_eq(local.attached, GUESTS - 1);
	ck_assert_uint_eq(local.writable, 1);
	/* Its address is forgotten: flooded. */
	ck_assert_int_eq(switch_send(sw, &super), 0);
	expect_counts(0, 10, 1);
	/* The next one gets another number. */
	sim_link_free(guests[0]);
	attach(0, &plain);
	inject(0, &a, &gateway);
	ck_assert_uint_ne(local.port, port);
	ck_assert_uint_eq(local.port, GUESTS + 1);
}
END_TEST

START_TEST(answers_from_within_receive)
{
	static uint8_t bytes[SIM_PACKET_MAX];
	struct mac a = mac_of(0);
	struct iovec iov;
	struct frame super = super_frame(&a, &iov, bytes);

	local.answer = &super;
	inject(0, &a, &gateway);
	ck_assert_int_eq(local.answer_status, 0);
	expect_counts(10, 0, 0);
}
END_TEST

START_TEST(flushes_once_per_round)
{
	static uint8_t bytes[SIM_PACKET_MAX];
	struct mac a = mac_of(0);
	struct iovec iov;
	struct frame super = super_frame(&a, &iov, bytes);

	learn_all();
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(switch_send(sw, &super), 0);
	ck_assert_uint_eq(sim_link_flushes(guests[0]), 0);
	ck_assert_int_eq(loop_run_once(loop, false), 0);
	ck_assert_uint_eq(sim_link_flushes(guests[0]), 1);
	ck_assert_uint_eq(sim_link_flushes(guests[1]), 0);
	ck_assert_int_eq(switch_send(sw, &super), 0);
	switch_flush(sw);
	ck_assert_uint_eq(sim_link_flushes(guests[0]), 2);
	ck_assert_int_eq(loop_run_once(loop, false), 0);
	ck_assert_uint_eq(sim_link_flushes(guests[0]), 2);
	/* A port that goes while it is due is not touched again. */
	ck_assert_int_eq(switch_send(sw, &super), 0);
	sim_link_hang_up(guests[0], "test");
	ck_assert_int_eq(loop_run_once(loop, false), 0);
	ck_assert_uint_eq(sim_link_flushes(guests[0]), 2);
}
END_TEST

START_TEST(ports_are_bounded)
{
	struct sim_link *more[SWITCH_PORTS_MAX];

	for (unsigned i = 0; i < SWITCH_PORTS_MAX; i++) {
		more[i] = sim_link_new("more", &plain);
		switch_sink(sw)->attached(switch_sink(sw)->arg, sim_link_link(more[i]));
		ck_assert_int_eq(sim_link_destroyed(more[i]), i >= SWITCH_PORTS_MAX - GUESTS);
	}
	ck_assert_uint_eq(switch_ports(sw, NULL, 0), SWITCH_PORTS_MAX);
	for (unsigned i = 0; i < SWITCH_PORTS_MAX; i++) {
		if (!sim_link_destroyed(more[i]))
			sim_link_hang_up(more[i], "test");
		sim_link_free(more[i]);
	}
	ck_assert_uint_eq(switch_ports(sw, NULL, 0), GUESTS);
}
END_TEST

/* ---- Between guests ---- */

START_TEST(isolated_guests_reach_the_gateway_only)
{
	struct mac a = mac_of(0), b = mac_of(1), multicast = {{1, 0, 0x5e, 0, 0, 1}};
	static uint8_t bytes[SIM_PACKET_MAX];
	struct iovec iov;
	struct frame super;

	switch_isolate(sw);
	learn_all();
	inject(0, &a, &b);                                /* known */
	inject(0, &a, &(struct mac){{2, 9, 9, 9, 9, 9}}); /* unknown */
	inject(0, &a, &mac_broadcast);
	inject(0, &a, &multicast);
	expect_counts(0, 0, 0);
	ck_assert_uint_eq(info_of(0).switching.isolated, 4);
	ck_assert_uint_eq(info_of(0).switching.flooded, 0);
	/* The gateway heard what was for all. */
	ck_assert_uint_eq(local.frames, GUESTS + 2);
	/* And is heard. */
	super = super_frame(&b, &iov, bytes);
	super.gso = FRAME_GSO_NONE;
	ck_assert_int_eq(switch_send(sw, &super), 0);
	super = super_frame(&mac_broadcast, &iov, bytes);
	super.gso = FRAME_GSO_NONE;
	ck_assert_int_eq(switch_send(sw, &super), 0);
	expect_counts(1, 2, 1);
}
END_TEST

START_TEST(storms_are_limited)
{
	unsigned rate = SWITCH_FLOOD_COPIES / (GUESTS - 1);
	unsigned limit = rate / SWITCH_FLOOD_BURST_PART;
	struct mac a = mac_of(0), b = mac_of(1), unknown = {{2, 9, 9, 9, 9, 9}};

	loop_use_virtual_time(loop, 5000);
	for (unsigned i = 0; i < limit; i++) {
		inject(0, &a, i % 2 ? &mac_broadcast : &unknown);
		expect_counts(0, 1, 1);
	}
	inject(0, &a, &mac_broadcast);
	inject(0, &a, &unknown);
	expect_counts(0, 0, 0);
	ck_assert_uint_eq(info_of(0).switching.flooded, limit);
	ck_assert_uint_eq(info_of(0).switching.flood_limited, 2);
	/* The gateway hears it all; other guests, and unicasts, have nothing to do with it. */
	ck_assert_uint_eq(local.frames, limit / 2 + 1);
	inject(1, &b, &mac_broadcast);
	expect_counts(1, 0, 1);
	inject(0, &a, &b);
	expect_counts(0, 1, 0);
	/* What time brings, no more than a burst of it. */
	loop_use_virtual_time(loop, 5010);
	for (unsigned i = 0; i <= rate / 100; i++) {
		inject(0, &a, &mac_broadcast);
		expect_counts(0, i < rate / 100, i < rate / 100);
	}
	loop_use_virtual_time(loop, 60000);
	for (unsigned i = 0; i <= limit; i++) {
		inject(0, &a, &mac_broadcast);
		expect_counts(0, i < limit, i < limit);
	}
	ck_assert_uint_eq(switch_counters(sw).flood_limited, 4);
}
END_TEST

static void inject_ip(unsigned guest, const struct mac *src, const struct mac *dst, uint32_t ip)
{
	struct sim_packet p = packet_from(src, dst, 100);
	uint8_t bytes[300];

	p.src = addr_from_v4(ip);
	sim_link_inject(guests[guest], bytes, sim_packet_build(&p, bytes));
	sim_link_batch_end(guests[guest]);
}

/* As learn_all(), each guest by an address of its own. */
static void learn_all_apart(void)
{
	for (unsigned i = 0; i < GUESTS; i++) {
		struct mac mac = mac_of(i);

		inject_ip(i, &mac, &gateway, 0xc0a84102 + i);
	}
	ck_assert_uint_eq(local.frames, GUESTS);
}

/* With and without a guard: one port's invented addresses push nobody else's out. */
START_TEST(mac_flood)
{
	struct mac a = mac_of(0), b = mac_of(1);

	learn_all_apart();
	for (unsigned i = 0; i < 100000; i++) {
		struct mac mac = {{2, 7, 0, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}};
		struct sim_packet p = packet_from(&mac, &gateway, 0);
		uint8_t bytes[300];

		p.src = addr_from_v4(0x0a000001);
		sim_link_inject(guests[2], bytes, sim_packet_build(&p, bytes));
	}
	sim_link_batch_end(guests[2]);
	inject_ip(0, &a, &b, 0xc0a84102);
	expect_counts(0, 1, 0);
	inject_ip(1, &b, &a, 0xc0a84103);
	expect_counts(1, 0, 0);
	ck_assert_uint_eq(info_of(2).switching.guarded[GUARD_MAC], 0);
}
END_TEST

START_TEST(the_guard_is_asked)
{
	struct mac a = mac_of(0), b = mac_of(1);
	struct addr leased = addr_from_v4(0xc0a84109);
	unsigned port;

	inject_ip(0, &a, &gateway, 0xc0a84102);
	inject_ip(1, &b, &gateway, 0xc0a84103);
	ck_assert_uint_eq(local.frames, 2);
	/* Another's IP address, another's MAC: neither the gateway nor anybody hears of it, and
	 * nothing is learned. */
	inject_ip(1, &b, &gateway, 0xc0a84102);
	inject_ip(1, &b, &mac_broadcast, 0xc0a84102);
	inject_ip(1, &a, &gateway, 0xc0a84103);
	ck_assert_uint_eq(local.frames, 2);
	expect_counts(0, 0, 0);
	ck_assert_uint_eq(info_of(1).switching.guarded[GUARD_IP], 2);
	ck_assert_uint_eq(info_of(1).switching.guarded[GUARD_MAC], 1);
	inject_ip(1, &b, &a, 0xc0a84103);
	expect_counts(1, 0, 0);
	/* A lease, and what is left of it when the link goes and comes back. */
	port = info_of(0).port;
	switch_lease(sw, &leased, &a, port);
	inject_ip(1, &b, &gateway, 0xc0a84109);
	ck_assert_uint_eq(local.frames, 2);
	sim_link_hang_up(guests[0], "test");
	sim_link_free(guests[0]);
	inject_ip(1, &b, &gateway, 0xc0a84109);
	ck_assert_uint_eq(local.frames, 2);
	attach(0, &plain);
	inject_ip(0, &a, &gateway, 0xc0a84109);
	ck_assert_uint_eq(local.frames, 3);
	switch_unlease(sw, &leased);
	inject_ip(1, &b, &gateway, 0xc0a84109);
	ck_assert_uint_eq(local.frames, 4);
	/* Counted beyond the port's life. */
	sim_link_hang_up(guests[1], "test");
	ck_assert_uint_eq(switch_counters(sw).guarded[GUARD_IP], 4);
	ck_assert_uint_eq(switch_counters(sw).guarded[GUARD_MAC], 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("switch");
	TCase *tcase = unit_case(suite, "switch", setup, teardown);
	TCase *guarded = unit_case(suite, "guarded", setup_guarded, teardown);

	tcase_add_test(tcase, floods_then_learns);
	tcase_add_test(tcase, groups_go_to_all);
	tcase_add_test(tcase, refuses_lying_sources);
	tcase_add_test(tcase, ports_make_up_offloads);
	tcase_add_test(tcase, coalesces_between_guests);
	tcase_add_test(tcase, back_pressure);
	tcase_add_test(tcase, gone_while_waited_for);
	tcase_add_test(tcase, answers_from_within_receive);
	tcase_add_test(tcase, flushes_once_per_round);
	tcase_add_test(tcase, ports_are_bounded);
	tcase_add_test(tcase, isolated_guests_reach_the_gateway_only);
	tcase_add_test(tcase, storms_are_limited);
	tcase_add_test(tcase, mac_flood);
	tcase_add_test(guarded, the_guard_is_asked);
	tcase_add_test(guarded, mac_flood);
	return unit_run(suite);
}
