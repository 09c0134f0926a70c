/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets made to break a stack, in both families: the kinds of mistake that user-mode network
 * stacks have been broken by before. The frames lie in memory that ends where they end, so that the
 * sanitizers see a byte too many; without them the tests look at what comes out.
 */
#include "ip6_test.h"
#include "unit.h"

#define URG 0x20

struct kind {
	bool v6;
	uint8_t protocol;
};

static const struct kind kinds[] = {
	{false, IPPROTO_TCP}, {false, IPPROTO_UDP}, {false, IPPROTO_ICMP},  {false, 132},
	{true, IPPROTO_TCP},  {true, IPPROTO_UDP},  {true, IPPROTO_ICMPV6}, {true, 132},
};
#define KINDS ((int)(sizeof(kinds) / sizeof(kinds[0])))

static size_t header_size(const struct kind *kind)
{
	return kind->v6 ? 40 : 20;
}

/* A correct packet of this kind to somewhere, in `bytes`. */
static size_t build(const struct kind *kind, const uint8_t *payload, size_t size)
{
	struct sim_packet packet = kind->v6 ? packet6(GUEST6, FAR6, kind->protocol)
					    : packet_to("10.0.0.1", kind->protocol);
	static const uint8_t options[] = {2, 4, 5, 0xb4, 1, 3, 3, 7, 4, 2, 1, 1};

	packet.flags = SIM_TCP_SYN;
	if (kind->protocol == IPPROTO_TCP) {
		packet.options = options;
		packet.options_size = sizeof(options);
	}
	packet.payload = payload;
	packet.payload_size = size;
	size = sim_packet_build(&packet, bytes);
	if (kind->protocol == IPPROTO_ICMPV6)
		put_be16(bytes + ICMP_AT + 2, (uint16_t)~sum6(bytes, size, 0, IPPROTO_ICMPV6));
	if (kind->protocol == IPPROTO_ICMP)
		put_be16(bytes + 36, (uint16_t)~sim_sum(0, bytes + 34, size - 34));
	return size;
}

static uint8_t content[64], content6[64];

static size_t build_some(const struct kind *kind)
{
	return build(kind, kind->v6 ? content6 : content, 64);
}

static void set_total_size(const struct kind *kind, size_t size)
{
	put_be16(bytes + (kind->v6 ? 18 : 16), (unsigned)size);
	if (!kind->v6) {
		put_be16(bytes + 24, 0);
		put_be16(bytes + 24, (uint16_t)~sim_sum(0, bytes + 14, 20));
	}
}

/* Echo requests with some data, which is as good as a payload for the others. */
static void setup_hostile(void)
{
	setup6();
	for (unsigned i = 0; i < sizeof(content); i++)
		content[i] = content6[i] = (uint8_t)(i * 7 + 1);
	content[0] = 8;
	content6[0] = 128;
	content[1] = content6[1] = 0;
	memset(content + 2, 0, 2);
	memset(content6 + 2, 0, 2);
}

static unsigned handed_up(void)
{
	return w.datagrams + w.echoes + w.syns;
}

static void inject_exact(size_t size)
{
	inject_pieces(bytes, size, NULL, 0);
}

/* Headers read before their length was checked. */
START_TEST(cut_anywhere)
{
	const struct kind *kind = &kinds[_i];
	size_t size = build_some(kind);

	for (size_t cut = 14; cut < size; cut++)
		inject_exact(cut);
	ck_assert_uint_eq(handed_up(), 0);
	ck_assert_uint_eq(counters().rx_invalid, size - 14);
	expect_nothing();
	/* The same with sizes that say so. */
	for (size_t cut = 14 + header_size(kind); cut < size; cut++) {
		build_some(kind);
		set_total_size(kind, cut - 14 - (kind->v6 ? 40 : 0));
		inject_exact(cut);
	}
	ck_assert_uint_eq(handed_up(), 0);
	sim_link_drop_all(w.net.link);
	build_some(kind);
	inject_exact(size);
	ck_assert_uint_eq(handed_up(), kind->protocol != 132);
}
END_TEST

/* Sizes that claim more than there is. */
START_TEST(sizes_that_claim_more)
{
	static const size_t more[] = {1, 8, 100, 1000, 65000};
	const struct kind *kind = &kinds[_i];

	for (unsigned i = 0; i < 5; i++) {
		size_t size = build_some(kind);
		uint8_t *transport = bytes + 14 + header_size(kind);

		set_total_size(kind, size - 14 - (kind->v6 ? 40 : 0) + more[i]);
		inject_exact(size);
		if (kind->protocol == IPPROTO_UDP) {
			build_some(kind);
			put_be16(transport + 4, (unsigned)(72 + more[i]) & 0xffff);
			inject_exact(size);
		} else if (kind->protocol == IPPROTO_TCP) {
			size = build(kind, NULL, 0);
			transport[12] = 0xf0;
			inject_exact(size);
		}
	}
	expect_nothing();
	ck_assert_uint_eq(handed_up(), 0);
}
END_TEST

/* Header lengths below the least, and beyond the packet. */
START_TEST(header_lengths)
{
	const struct kind *kind = &kinds[_i];

	for (unsigned length = 0; length < 16; length++) {
		size_t size = build(kind, kind->v6 ? content6 : content, 8);

		if (kind->v6) {
			/* An extension header that is longer than the packet. */
			bytes[IP6_AT + 6] = 60;
			bytes[EXT_AT] = kind->protocol;
			bytes[EXT_AT + 1] = (uint8_t)(length * 17 + 8);
		} else {
			if (length == 5)
				continue;
			bytes[14] = (uint8_t)(0x40 | length);
			put_be16(bytes + 24, 0);
			put_be16(bytes + 24,
				 (uint16_t)~sim_sum(0, bytes + 14,
						    length < 5                ? 20
						    : length * 4u < size - 14 ? length * 4u
									      : size - 14));
		}
		inject_exact(size);
	}
	ck_assert_uint_eq(w.datagrams + w.echoes, 0);
}
END_TEST

/* An error quotes the packet, not what lies behind the first piece of it. */
START_TEST(errors_quote_no_other_memory)
{
	static const size_t sizes[] = {192, 300};
	static uint8_t payload[1200];
	const struct kind *kind = &kinds[_i];
	struct sim_frame *frame;
	size_t size;

	if (kind->protocol == IPPROTO_ICMP || kind->protocol == IPPROTO_ICMPV6)
		return; /* read whole in any case */
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)i;
	/* Out of time, and to another guest. */
	for (unsigned i = 0; i < 2; i++) {
		size_t header = header_size(kind);
		size_t quoted;

		size = build(kind, payload, sizeof(payload));
		if (i == 0) {
			bytes[14 + (kind->v6 ? 7 : 8)] = 1;
		} else {
			struct addr to = net_addr(kind->v6 ? "fd00:65::3" : "192.168.65.3");

			memcpy(bytes + 14 + (kind->v6 ? 24 : 16), &to.v6, kind->v6 ? 16 : 4);
		}
		if (!kind->v6)
			set_total_size(kind, size - 14);
		inject_pieces(bytes, size, sizes, 2);
		frame = take();
		if (!frame) /* UDP to another guest goes up; and a wrong checksum is said nothing of
			     */
			continue;
		quoted = frame->size - 14 - header - 8;
		ck_assert_uint_gt(quoted, 500);
		ck_assert_mem_eq(frame->bytes + 14 + header + 8, bytes + 14, quoted);
		sim_frame_free(frame);
	}
}
END_TEST

/* ---- Reassembly ---- */

static void fragment(bool v6, unsigned id, size_t extra, size_t at, const uint8_t *data,
		     size_t size, bool more)
{
	static const uint8_t options[40] = {1};
	struct sim_packet packet = v6 ? packet6(GUEST6, FAR6, IPPROTO_FRAGMENT)
				      : packet_to("10.0.0.1", IPPROTO_UDP);
	static uint8_t payload[65535];
	size_t frame_size;

	if (v6) {
		/* `extra` bytes of options before the fragment header. */
		memset(payload, 0, extra + 8);
		payload[extra] = IPPROTO_UDP;
		put_be16(payload + extra + 2, (unsigned)(at | more));
		put_be16(payload + extra + 6, id);
		if (extra) {
			packet.protocol = 60;
			payload[0] = IPPROTO_FRAGMENT;
			payload[1] = (uint8_t)(extra / 8 - 1);
			payload[2] = 1; /* PadN */
			payload[3] = (uint8_t)(extra - 4);
		}
		memcpy(payload + extra + 8, data, size);
		packet.payload_size = extra + 8 + size;
	} else {
		memcpy(payload, options, extra);
		memset(payload, 1, extra); /* no operation */
		memcpy(payload + extra, data, size);
		packet.payload_size = extra + size;
	}
	packet.payload = payload;
	packet.ip_id = (uint16_t)id;
	if (!v6)
		packet.protocol = 77; /* the builder makes no UDP header of its own */
	frame_size = sim_packet_build(&packet, bytes);
	if (!v6) {
		bytes[14] = (uint8_t)(0x45 + extra / 4);
		bytes[23] = IPPROTO_UDP;
		put_be16(bytes + 20, (unsigned)(at / 8) | (more ? 0x2000 : 0));
		put_be16(bytes + 24, 0);
		put_be16(bytes + 24, (uint16_t)~sim_sum(0, bytes + 14, 20 + extra));
	}
	inject_exact(frame_size);
}

/* A datagram with its header, as it would be whole. */
static uint8_t *datagram(bool v6, size_t payload)
{
	static uint8_t frame[SIM_PACKET_MAX];
	static uint8_t data[65535];
	struct sim_packet packet = v6 ? packet6(GUEST6, FAR6, IPPROTO_UDP)
				      : packet_to("10.0.0.1", IPPROTO_UDP);

	for (size_t i = 0; i < payload; i++)
		data[i] = (uint8_t)(i * 31 + i / 256);
	packet.payload = data;
	packet.payload_size = payload;
	sim_packet_build(&packet, frame);
	return frame + 14 + (v6 ? 40 : 20);
}

/* Fragments whose headers have different lengths: no byte may come from the wrong place. */
START_TEST(fragments_of_mixed_header_lengths)
{
	static const size_t extras[][3] = {{0, 40, 8}, {40, 0, 0}, {8, 0, 40}, {40, 40, 40}};
	static const unsigned orders[][3] = {{0, 1, 2}, {2, 1, 0}, {1, 2, 0}};
	bool v6 = _i % 2;

	for (unsigned e = 0; e < 4; e++) {
		for (unsigned o = 0; o < 3; o++) {
			uint8_t *udp = datagram(v6, 1000);

			w.datagrams = 0;
			for (unsigned i = 0; i < 3; i++) {
				unsigned n = orders[o][i];

				fragment(v6, e * 3 + o, extras[e][n], n * 400, udp + n * 400,
					 n == 2 ? 208 : 400, n < 2);
			}
			ck_assert_uint_eq(w.datagrams, 1);
			ck_assert_uint_eq(w.size, 1000);
			ck_assert_mem_eq(w.payload, udp + 8, 1000);
		}
	}
}
END_TEST

/* Packets whose pieces reach beyond 64 KiB, with and without options that add to it. */
START_TEST(reassembly_beyond_64k)
{
	static uint8_t data[9000];
	bool v6 = _i % 2;

	for (unsigned extra = 0; extra <= 40; extra += 40) {
		for (size_t at = 0; at < 65528; at += 8192)
			fragment(v6, extra, extra, at, data, at + 8192 > 65528 ? 65528 - at : 8192,
				 true);
		fragment(v6, extra, 0, 65528, data, 7, false);
		fragment(v6, extra + 1, extra, 65528, data, 9000, false);
		fragment(v6, extra + 1, extra, 65520, data, 9000, false);
		fragment(v6, extra + 1, extra, 0, data, 65520 % 9000 & ~7u, true);
	}
	sim_link_drop_all(w.net.link);
	ck_assert_uint_le(w.datagrams, 1);
}
END_TEST

/* What waits is freed once: by its last piece, by time, by its link, by others that need room. */
START_TEST(reassembly_ends_once)
{
	uint8_t *udp = datagram(_i % 2, 1000);
	bool v6 = _i % 2;

	for (unsigned round = 0; round < 3; round++) {
		for (unsigned id = 0; id < 2000; id++) {
			fragment(v6, id, 0, 400, udp + 400, 400, true);
			fragment(v6, id, 0, 400, udp + 400, 400, true);
			fragment(v6, id, 0, 392, udp + 392, 400, true);
			fragment(v6, id, 0, 800, udp + 800, 208, false);
			fragment(v6, id, 0, 800, udp + 800, 200, false);
		}
		if (round == 1)
			net_advance(&w.net, 20000);
	}
	fragment(v6, 9999, 0, 0, udp, 400, true);
	sim_link_hang_up(w.net.link, "test");
	sim_link_free(w.net.link);
	w.net.link = net_attach(&w.net, &(struct link_caps){.csum = true, .frame_max = 1514});
	fragment(v6, 9999, 0, 400, udp + 400, 608, false);
	net_advance(&w.net, 20000);
	expect_nothing();
}
END_TEST

/* ---- TCP ---- */

/* Urgent pointers before, in and behind what there is; lwIP mustn't count with them. */
START_TEST(urgent_pointers)
{
	static const uint16_t pointers[] = {0, 1, 4, 5, 0x7fff, 0x8000, 0xffff};
	const struct kind *kind = &kinds[_i % 2 ? 4 : 0];
	static const uint8_t flags[] = {URG,
					URG | SIM_TCP_SYN,
					URG | SIM_TCP_ACK,
					URG | SIM_TCP_FIN | SIM_TCP_ACK,
					URG | SIM_TCP_RST,
					0xff};
	struct frame state = {.csum = FRAME_CSUM_VALID};

	w.reset = true;
	for (unsigned i = 0; i < sizeof(pointers) / sizeof(pointers[0]); i++) {
		for (unsigned j = 0; j < sizeof(flags); j++) {
			size_t size = build(kind, content, i % 2 ? 4 : 0);
			uint8_t *tcp = bytes + 14 + header_size(kind);

			tcp[13] = flags[j];
			put_be16(tcp + 18, pointers[i]);
			sim_link_inject_state(w.net.link, bytes, size, &state);
		}
	}
	sim_link_drop_all(w.net.link);
	ck_assert_uint_eq(counters().conns, 0);
}
END_TEST

START_TEST(reserved_addresses_and_ports)
{
	static const char *const sources[] = {"192.168.65.2", GUEST6};
	static const char *const targets[][6] = {
		{"0.0.0.0", "127.0.0.1", "255.255.255.255", "224.0.0.1", "240.0.0.1",
		 "192.168.65.0"},
		{"::", "::1", "::ffff:127.0.0.1", "ff0e::1", "fd00:65::", "fec0::1"}};
	struct sim_packet packet = packet_to("10.0.0.1", IPPROTO_TCP);

	packet.src = net_addr(sources[_i % 2]);
	packet.flags = SIM_TCP_SYN;
	for (unsigned i = 0; i < 6; i++) {
		packet.dst = net_addr(targets[_i % 2][i]);
		packet.protocol = IPPROTO_TCP;
		inject(&packet);
		packet.protocol = IPPROTO_UDP;
		inject(&packet);
	}
	packet.dst = net_addr(_i % 2 ? FAR6 : "10.0.0.1");
	w.syns = w.datagrams = 0;
	packet.dst_port = 0;
	inject(&packet);
	packet.protocol = IPPROTO_TCP;
	inject(&packet);
	packet.dst_port = 2;
	packet.src_port = 0;
	inject(&packet);
	ck_assert_uint_eq(handed_up(), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hostile_packets");
	TCase *tcase = unit_case(suite, "hostile_packets", setup_hostile, teardown);

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, cut_anywhere, 0, KINDS);
	tcase_add_loop_test(tcase, sizes_that_claim_more, 0, KINDS);
	tcase_add_loop_test(tcase, header_lengths, 0, KINDS);
	tcase_add_loop_test(tcase, errors_quote_no_other_memory, 0, KINDS);
	tcase_add_loop_test(tcase, fragments_of_mixed_header_lengths, 0, 2);
	tcase_add_loop_test(tcase, reassembly_beyond_64k, 0, 2);
	tcase_add_loop_test(tcase, reassembly_ends_once, 0, 2);
	tcase_add_loop_test(tcase, urgent_pointers, 0, 2);
	tcase_add_loop_test(tcase, reserved_addresses_and_ports, 0, 2);

	return unit_run(suite);
}
