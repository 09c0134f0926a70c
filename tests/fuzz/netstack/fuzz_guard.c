/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any frames through the guard, each behind a byte that says which port sent it and a 16-bit size.
 * Whatever they are: a port stays within its bounds, and what another guest was leased, and the
 * gateway's, stay theirs.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/wire.h"
#include "netstack/guard.h"
#include "netstack/guard_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PORTS  4
#define VICTIM PORTS /* whose frames we never send */

static const struct mac victim_mac = {{0x52, 0x54, 0, 0, 0, 0x10}};

static void require(bool right)
{
	if (!right)
		abort();
}

static struct guard_conf make_conf(void)
{
	struct guard_conf conf = {.ports_max = PORTS,
				  .mac = {{0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xdd}}};

	prefix_parse("192.168.65.0/24", &conf.subnet);
	prefix_parse("fd65::/64", &conf.prefix6);
	addr_parse("192.168.65.1", &conf.reserved[0]);
	addr_parse("192.168.65.254", &conf.reserved[1]);
	addr_parse("fd65::1", &conf.reserved[2]);
	addr_parse("fd65::fe", &conf.reserved[3]);
	return conf;
}

/* What passed claims nothing that isn't the port's. */
static void check_passed(const struct guard *guard, const struct guard_conf *conf,
			 const struct addr *leased, const struct frame *frame)
{
	struct guard_facts facts;

	guard_read_frame(frame, &facts);
	require(facts.verdict == GUARD_PASS && facts.claim_count <= 2);
	require(!mac_equal(&facts.src, &conf->mac));
	for (unsigned i = 0; i < facts.claim_count; i++) {
		if (facts.claims[i].is_tentative)
			continue;
		require(!addr_equal(&facts.claims[i].addr, leased));
		for (unsigned j = 0; j < 4; j++)
			require(!addr_equal(&facts.claims[i].addr, &conf->reserved[j]));
	}
	require(guard_owner(guard, leased) == VICTIM);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guard_conf conf = make_conf();
	struct wire_reader r = wire_reader(data, size);
	struct guard_report report;
	struct guard *guard;
	struct addr leased;
	uint64_t now_ms = 1;

	addr_parse("192.168.65.9", &leased);
	if (guard_new(&conf, &guard) < 0)
		abort();
	require(guard_lease(guard, &leased, &victim_mac, VICTIM, now_ms) == 0);
	for (;;) {
		uint8_t head = wire_u8(&r);
		size_t frame_size = wire_be16(&r);
		const uint8_t *bytes = wire_bytes(&r, frame_size);
		unsigned port = head % (PORTS - 1) + 1;
		struct frame frame = {.iov_count = 1, .size = (uint32_t)frame_size};
		struct iovec iov = {.iov_len = frame_size};

		if (!bytes)
			break;
		/* So that a sanitizer sees what is read behind it. */
		iov.iov_base = malloc(frame_size ? frame_size : 1);
		memcpy(iov.iov_base, bytes, frame_size);
		frame.iov = &iov;
		now_ms += (uint64_t)(head >> 4) * GUARD_IDLE_MS / 8;
		if (guard_check(guard, port, &frame, now_ms, &report) == GUARD_PASS)
			check_passed(guard, &conf, &leased, &frame);
		free(iov.iov_base);
		if (head & 8)
			guard_port_gone(guard, port);
		require(guard_count(guard, port) <= GUARD_BINDINGS_MAX);
	}
	guard_free(guard);
	return 0;
}
