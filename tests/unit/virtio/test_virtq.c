/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of virtio/virtq: chains in and out, suppression, and drivers that break the rules. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/sock.h"
#include "fake_driver.h"
#include "unit.h"

#define DATA  (FAKE_GUEST_BASE + 0x100000)
#define TABLE 0x200000u
#define SIZE  8

static struct fake_mem fake;
static struct guest_mem *mem;
static struct fake_ring ring;
static struct virtq vq;
static struct iovec iov[4];
static struct virtq_chain chain = {.iov = iov, .iov_max = 4};

static void start(bool event_idx, bool indirect, uint16_t base)
{
	struct virtq_conf conf = fake_ring_conf(&ring);
	const char *reason;

	conf.event_idx = event_idx;
	conf.indirect = indirect;
	conf.base = base;
	ck_assert_int_eq(virtq_start(&vq, mem, &conf, &reason), 0);
}

static void setup(void)
{
	struct guest_region_spec spec = fake_mem_spec();

	fake_mem_init(&fake);
	mem = calloc(1, sizeof(*mem));
	ck_assert_int_eq(guest_mem_add(mem, &spec, fake.fd, NULL), 0);
	fake_ring_init(&ring, &fake, 0, SIZE);
	ring.call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	start(false, true, 0);
}

static void teardown(void)
{
	guest_mem_clear(mem);
	free(mem);
	fd_close(&ring.call_fd);
	fake_mem_destroy(&fake);
}

static bool called(void)
{
	eventfd_t count;

	return eventfd_read(ring.call_fd, &count) == 0;
}

/* The queue must break on the chain at `head`, and stay so. */
static void expect_broken(uint16_t head)
{
	fake_offer(&ring, head);
	ck_assert_int_eq(virtq_pop(&vq, &chain), -EIO);
	ck_assert_ptr_nonnull(vq.broken);
	ck_assert_int_eq(virtq_pop(&vq, &chain), -EIO);
	ck_assert(!virtq_publish(&vq));
	ck_assert(!virtq_kicks_on(&vq));
}

START_TEST(start_checks_the_ring)
{
	struct virtq_conf good = fake_ring_conf(&ring);
	struct virtq_conf bad[7];
	const char *reason;
	struct virtq other;

	for (unsigned i = 0; i < 7; i++)
		bad[i] = good;
	bad[0].size = 0;
	bad[1].size = 6;
	bad[2].desc_user += 8;
	bad[3].avail_user += 1;
	bad[4].used_user += 2;
	bad[5].desc_user = FAKE_USER_BASE + FAKE_MEM_SIZE - 16 * SIZE + 16;
	bad[6].used_user = 0;
	for (unsigned i = 0; i < 7; i++) {
		reason = NULL;
		ck_assert_int_eq(virtq_start(&other, mem, &bad[i], &reason), -EINVAL);
		ck_assert_ptr_nonnull(reason);
	}
	good.desc_user = FAKE_USER_BASE + FAKE_MEM_SIZE - 16 * SIZE;
	ck_assert_int_eq(virtq_start(&other, mem, &good, &reason), 0);
}
END_TEST

START_TEST(chain_in_and_out)
{
	uint32_t id, size;

	ck_assert_int_eq(virtq_pop(&vq, &chain), 0);
	fake_desc(&ring, 3, DATA, 10, FAKE_DESC_NEXT, 5);
	fake_desc(&ring, 5, DATA + 100, 20, FAKE_DESC_NEXT | FAKE_DESC_WRITE, 1);
	fake_desc(&ring, 1, DATA + 200, 1, FAKE_DESC_NEXT | FAKE_DESC_WRITE, 0);
	fake_desc(&ring, 0, DATA + 300, 30, FAKE_DESC_WRITE, 0);
	fake_offer(&ring, 3);
	ck_assert_int_eq(virtq_pop(&vq, &chain), 1);
	ck_assert_uint_eq(chain.head, 3);
	ck_assert_uint_eq(chain.out_count, 1);
	ck_assert_uint_eq(chain.in_count, 3);
	ck_assert_uint_eq(chain.out_size, 10);
	ck_assert_uint_eq(chain.in_size, 51);
	memset(iov[1].iov_base, 'x', iov[1].iov_len);
	ck_assert_mem_eq(fake.bytes + 0x100000 + 100, "xxxxxxxxxxxxxxxxxxxx", 20);
	virtq_push(&vq, chain.head, 20);
	ck_assert(!fake_used(&ring, &id, &size));
	virtq_notify(&vq);
	ck_assert(called());
	ck_assert(fake_used(&ring, &id, &size));
	ck_assert_uint_eq(id, 3);
	ck_assert_uint_eq(size, 20);
	ck_assert(!fake_used(&ring, &id, &size));
	virtq_notify(&vq);
	ck_assert(!called());
}
END_TEST

START_TEST(held_and_pushed_out_of_order)
{
	uint32_t id, size;
	uint16_t heads[3];

	for (uint16_t i = 0; i < 3; i++) {
		fake_desc(&ring, i, DATA + i, 1, 0, 0);
		fake_offer(&ring, i);
	}
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(virtq_pop(&vq, &chain), 1);
		heads[i] = chain.head;
	}
	virtq_push(&vq, heads[2], 0);
	virtq_push(&vq, heads[0], 0);
	virtq_notify(&vq);
	ck_assert(fake_used(&ring, &id, &size));
	ck_assert_uint_eq(id, 2);
	ck_assert(fake_used(&ring, &id, &size));
	ck_assert_uint_eq(id, 0);
	ck_assert(!fake_used(&ring, &id, &size));
	virtq_unpop(&vq, 1);
	ck_assert_int_eq(virtq_pop(&vq, &chain), 1);
	ck_assert_uint_eq(chain.head, 2);
}
END_TEST

START_TEST(indices_wrap)
{
	uint32_t id, size;

	ring.avail_idx = 0xfffd;
	start(false, false, 0xfffd);
	for (unsigned i = 0; i < 3 * SIZE; i++) {
		fake_desc(&ring, i % SIZE, DATA + i, 1, 0, 0);
		fake_offer(&ring, i % SIZE);
		ck_assert_int_eq(virtq_pop(&vq, &chain), 1);
		ck_assert_uint_eq(chain.head, i % SIZE);
		virtq_push(&vq, chain.head, i);
		virtq_notify(&vq);
		ck_assert(fake_used(&ring, &id, &size));
		ck_assert_uint_eq(size, i);
	}
}
END_TEST

START_TEST(indirect_table)
{
	fake_desc(&ring, 0, FAKE_GUEST_BASE + TABLE, 48, FAKE_DESC_INDIRECT, 0);
	fake_desc_at(&fake, TABLE, DATA, 5, FAKE_DESC_NEXT, 2);
	fake_desc_at(&fake, TABLE + 32, DATA + 50, 6, FAKE_DESC_NEXT, 1);
	fake_desc_at(&fake, TABLE + 16, DATA + 90, 7, FAKE_DESC_WRITE, 9);
	fake_offer(&ring, 0);
	ck_assert_int_eq(virtq_pop(&vq, &chain), 1);
	ck_assert_uint_eq(chain.out_size, 11);
	ck_assert_uint_eq(chain.in_size, 7);
	ck_assert_uint_eq(chain.head, 0);
}
END_TEST

START_TEST(indirect_table_behind_a_direct_descriptor)
{
	fake_desc(&ring, 0, DATA, 4, FAKE_DESC_NEXT, 1);
	fake_desc(&ring, 1, FAKE_GUEST_BASE + TABLE, 16, FAKE_DESC_INDIRECT, 0);
	fake_desc_at(&fake, TABLE, DATA + 50, 6, FAKE_DESC_WRITE, 0);
	fake_offer(&ring, 0);
	ck_assert_int_eq(virtq_pop(&vq, &chain), 1);
	ck_assert_uint_eq(chain.out_size, 4);
	ck_assert_uint_eq(chain.in_size, 6);
}
END_TEST

/* Each writes one chain that is against the rules, at head 0. */
static const struct {
	struct {
		uint64_t addr;
		uint32_t size;
		uint16_t flags, next;
	} ring[3], table[3];
	uint16_t head;
} broken_chains[] = {
	/* nothing in it */
	{.ring = {{DATA, 0, 0, 0}}},
	{.ring = {{FAKE_GUEST_BASE + TABLE, 32, FAKE_DESC_INDIRECT, 0}},
	 .table = {{DATA, 1, FAKE_DESC_NEXT, 1}, {DATA, 0, 0, 0}}},
	/* a loop */
	{.ring = {{DATA, 1, FAKE_DESC_NEXT, 1}, {DATA, 1, FAKE_DESC_NEXT, 0}}},
	/* onto itself */
	{.ring = {{DATA, 1, FAKE_DESC_NEXT, 0}}},
	/* a successor outside the ring */
	{.ring = {{DATA, 1, FAKE_DESC_NEXT, SIZE}}},
	/* a head outside the ring */
	{.head = SIZE},
	/* before, behind and across the end of the memory, around the end of the address space */
	{.ring = {{FAKE_GUEST_BASE - 1, 1, 0, 0}}},
	{.ring = {{FAKE_GUEST_BASE + FAKE_MEM_SIZE, 1, 0, 0}}},
	{.ring = {{FAKE_GUEST_BASE + FAKE_MEM_SIZE - 1, 2, 0, 0}}},
	{.ring = {{UINT64_MAX, UINT32_MAX, 0, 0}}},
	{.ring = {{DATA, UINT32_MAX, FAKE_DESC_WRITE, 0}}},
	/* readable behind writable */
	{.ring = {{DATA, 1, FAKE_DESC_NEXT | FAKE_DESC_WRITE, 1}, {DATA, 1, 0, 0}}},
	/* indirect: empty, odd size, with a successor, outside the memory, nested, looping, beyond
	   its end */
	{.ring = {{FAKE_GUEST_BASE + TABLE, 0, FAKE_DESC_INDIRECT, 0}}},
	{.ring = {{FAKE_GUEST_BASE + TABLE, 17, FAKE_DESC_INDIRECT, 0}}},
	{.ring = {{FAKE_GUEST_BASE + TABLE, 16, FAKE_DESC_INDIRECT | FAKE_DESC_NEXT, 1}}},
	{.ring = {{UINT64_MAX - 8, 32, FAKE_DESC_INDIRECT, 0}}},
	{.ring = {{FAKE_GUEST_BASE + FAKE_MEM_SIZE - 8, 16, FAKE_DESC_INDIRECT, 0}}},
	{.ring = {{FAKE_GUEST_BASE + TABLE, 0xfffffff0, FAKE_DESC_INDIRECT, 0}}},
	{.ring = {{FAKE_GUEST_BASE + TABLE, 16, FAKE_DESC_INDIRECT, 0}},
	 .table = {{FAKE_GUEST_BASE + TABLE, 16, FAKE_DESC_INDIRECT, 0}}},
	{.ring = {{FAKE_GUEST_BASE + TABLE, 32, FAKE_DESC_INDIRECT, 0}},
	 .table = {{DATA, 1, FAKE_DESC_NEXT, 1}, {DATA, 1, FAKE_DESC_NEXT, 0}}},
	{.ring = {{FAKE_GUEST_BASE + TABLE, 32, FAKE_DESC_INDIRECT, 0}},
	 .table = {{DATA, 1, FAKE_DESC_NEXT, 2}}},
};

START_TEST(rules_are_held)
{
	for (unsigned i = 0; i < 3; i++) {
		fake_desc(&ring, (uint16_t)i, broken_chains[_i].ring[i].addr,
			  broken_chains[_i].ring[i].size, broken_chains[_i].ring[i].flags,
			  broken_chains[_i].ring[i].next);
		fake_desc_at(&fake, TABLE + 16 * i, broken_chains[_i].table[i].addr,
			     broken_chains[_i].table[i].size, broken_chains[_i].table[i].flags,
			     broken_chains[_i].table[i].next);
	}
	expect_broken(broken_chains[_i].head);
}
END_TEST

START_TEST(indirect_needs_negotiation)
{
	start(false, false, 0);
	fake_desc(&ring, 0, FAKE_GUEST_BASE + TABLE, 16, FAKE_DESC_INDIRECT, 0);
	fake_desc_at(&fake, TABLE, DATA, 1, 0, 0);
	expect_broken(0);
}
END_TEST

START_TEST(chain_longer_than_the_device_takes)
{
	for (uint16_t i = 0; i < 5; i++)
		fake_desc(&ring, i, DATA + i, 1, i < 4 ? FAKE_DESC_NEXT : 0, i + 1);
	expect_broken(0);
}
END_TEST

START_TEST(memory_taken_away)
{
	fake_desc(&ring, 0, DATA, 1, 0, 0);
	fake_offer(&ring, 0);
	ck_assert_int_eq(ftruncate(fake.fd, 0), 0);
	ck_assert_int_eq(virtq_pop(&vq, &chain), -EIO);
	ck_assert_ptr_nonnull(strstr(vq.broken, "the VMM took the memory away"));
	virtq_notify(&vq);
}
END_TEST

START_TEST(available_index_runs_away)
{
	ring.avail_idx = SIZE;
	expect_broken(0);
}
END_TEST

START_TEST(more_chains_than_descriptors)
{
	fake_desc(&ring, 0, DATA, 1, 0, 0);
	for (unsigned i = 0; i < SIZE; i++) {
		fake_offer(&ring, 0);
		ck_assert_int_eq(virtq_pop(&vq, &chain), 1);
	}
	expect_broken(0);
}
END_TEST

START_TEST(flags_suppress)
{
	fake_desc(&ring, 0, DATA, 1, 0, 0);
	for (unsigned i = 0; i < 4; i++) {
		fake_avail_flags(&ring, i == 2);
		fake_offer(&ring, 0);
		ck_assert_int_eq(virtq_pop(&vq, &chain), 1);
		virtq_push(&vq, 0, 0);
		virtq_notify(&vq);
		ck_assert(called() == (i != 2));
	}
	ck_assert_uint_eq(fake_used_flags(&ring), 0);
	virtq_kicks_off(&vq);
	ck_assert_uint_eq(fake_used_flags(&ring), 1);
	fake_offer(&ring, 0);
	ck_assert(virtq_kicks_on(&vq));
	ck_assert_uint_eq(fake_used_flags(&ring), 0);
	ck_assert_int_eq(virtq_pop(&vq, &chain), 1);
	ck_assert(!virtq_kicks_on(&vq));
}
END_TEST

START_TEST(event_idx_suppresses)
{
	/* The driver wants to hear of used entry 3 (index 3 written, 4 told). */
	start(true, false, 0);
	fake_used_event(&ring, 3);
	fake_desc(&ring, 0, DATA, 1, 0, 0);
	ck_assert_uint_eq(fake_avail_event(&ring), 0);
	for (unsigned i = 0; i < 6; i++) {
		fake_offer(&ring, 0);
		ck_assert_int_eq(virtq_pop(&vq, &chain), 1);
		virtq_push(&vq, 0, 0);
		virtq_notify(&vq);
		/* The first one always, as nothing was said before. */
		ck_assert(called() == (i == 0 || i == 3));
	}
	ck_assert(!virtq_kicks_on(&vq));
	ck_assert_uint_eq(fake_avail_event(&ring), 6);
	virtq_kicks_off(&vq);
	fake_offer(&ring, 0);
	fake_offer(&ring, 0);
	ck_assert(virtq_kicks_on(&vq));
	/* Two at once, across the event. */
	fake_used_event(&ring, 6);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(virtq_pop(&vq, &chain), 1);
		virtq_push(&vq, 0, 0);
	}
	virtq_notify(&vq);
	ck_assert(called());
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("virtq");
	TCase *tcase = unit_case(suite, "virtq", setup, teardown);

	tcase_add_test(tcase, start_checks_the_ring);
	tcase_add_test(tcase, chain_in_and_out);
	tcase_add_test(tcase, held_and_pushed_out_of_order);
	tcase_add_test(tcase, indices_wrap);
	tcase_add_test(tcase, indirect_table);
	tcase_add_test(tcase, indirect_table_behind_a_direct_descriptor);
	tcase_add_loop_test(tcase, rules_are_held, 0,
			    sizeof(broken_chains) / sizeof(broken_chains[0]));
	tcase_add_test(tcase, indirect_needs_negotiation);
	tcase_add_test(tcase, chain_longer_than_the_device_takes);
	tcase_add_test(tcase, memory_taken_away);
	tcase_add_test(tcase, available_index_runs_away);
	tcase_add_test(tcase, more_chains_than_descriptors);
	tcase_add_test(tcase, flags_suppress);
	tcase_add_test(tcase, event_idx_suppresses);
	return unit_run(suite);
}
