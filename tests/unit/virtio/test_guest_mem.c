/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of virtio/guest_mem: mapping regions and translating addresses. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/sock.h"
#include "virtio/guest_mem.h"
#include "unit.h"

#define PAGE 4096u

static int fd;

static void setup(void)
{
	fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, 8 * PAGE), 0);
}

static void teardown(void)
{
	fd_close(&fd);
}

static struct guest_region_spec spec(uint64_t guest, uint64_t size, uint64_t user, uint64_t offset)
{
	return (struct guest_region_spec){guest, size, user, offset};
}

START_TEST(refuses_impossible_regions)
{
	const struct {
		struct guest_region_spec spec;
		int expected;
	} cases[] = {
		{spec(0, 0, 0x1000, 0), -EINVAL},
		{spec(UINT64_MAX - 10, PAGE, 0x1000, 0), -EINVAL},
		{spec(0, PAGE, UINT64_MAX - 10, 0), -EINVAL},
		{spec(0, PAGE, 0x1000, UINT64_MAX - 10), -EINVAL},
		{spec(0, 9 * PAGE, 0x1000, 0), -EINVAL},    /* larger than the file */
		{spec(0, PAGE, 0x1000, 8 * PAGE), -EINVAL}, /* behind its end */
		{spec(0, PAGE, 0x1000, 7 * PAGE + 1), -EINVAL},
		{spec(0x10000, PAGE, 0x900000, 0), -EEXIST}, /* overlaps in the guest */
		{spec(0x900000, PAGE, 0x20000, 0), -EEXIST}, /* and in the front-end */
		{spec(0xf001, PAGE, 0x900000, 0), -EEXIST},
	};
	struct guest_region_spec first = spec(0x10000, 2 * PAGE, 0x20000, 0);
	struct guest_mem *mem = calloc(1, sizeof(*mem));

	ck_assert_int_eq(guest_mem_add(mem, &first, fd, NULL), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_int_eq(guest_mem_add(mem, &cases[i].spec, fd, NULL), cases[i].expected);
	ck_assert_uint_eq(mem->count, 1);
	guest_mem_clear(mem);
	ck_assert_uint_eq(mem->count, 0);
	free(mem);
}
END_TEST

START_TEST(refuses_what_is_no_file)
{
	struct guest_region_spec s = spec(0, PAGE, 0x1000, 0);
	struct guest_mem *mem = calloc(1, sizeof(*mem));
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	ck_assert_int_eq(guest_mem_add(mem, &s, null, NULL), -EINVAL);
	close(null);
	free(mem);
}
END_TEST

START_TEST(tells_whether_it_is_sealed)
{
	struct guest_region_spec a = spec(0, PAGE, 0x10000, 0);
	struct guest_region_spec b = spec(0x1000, PAGE, 0x20000, 0);
	struct guest_mem *mem = calloc(1, sizeof(*mem));
	bool sealed = true;

	ck_assert_int_eq(guest_mem_add(mem, &a, fd, &sealed), 0);
	ck_assert(!sealed);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	ck_assert_int_eq(guest_mem_add(mem, &b, fd, &sealed), 0);
	ck_assert(sealed);
	guest_mem_clear(mem);
	free(mem);
}
END_TEST

START_TEST(translates_within_and_across_regions)
{
	/* Adjacent in the guest, from an offset that is no multiple of the page size. */
	struct guest_region_spec a = spec(0x1000, PAGE, 0x100000, 100);
	struct guest_region_spec b = spec(0x2000, PAGE, 0x300000, 4 * PAGE);
	struct guest_mem *mem = calloc(1, sizeof(*mem));
	struct iovec iov[2];
	uint8_t got[8];

	ck_assert_int_eq(pwrite(fd, "abcd", 4, 100 + PAGE - 4), 4);
	ck_assert_int_eq(pwrite(fd, "efgh", 4, 4 * PAGE), 4);
	ck_assert_int_eq(guest_mem_add(mem, &a, fd, NULL), 0);
	ck_assert_int_eq(guest_mem_add(mem, &b, fd, NULL), 0);

	ck_assert_int_eq(guest_mem_iov(mem, 0x1000, PAGE, iov, 2), 1);
	ck_assert_int_eq(guest_mem_iov(mem, 0x1ffc, 8, iov, 2), 2);
	ck_assert_uint_eq(iov[0].iov_len, 4);
	ck_assert_mem_eq(iov[0].iov_base, "abcd", 4);
	ck_assert_mem_eq(iov[1].iov_base, "efgh", 4);
	ck_assert_int_eq(guest_mem_iov(mem, 0x1ffc, 8, iov, 1), -E2BIG);
	ck_assert_int_eq(guest_mem_iov(mem, 0x1000, 0, iov, 2), 0);
	ck_assert_int_eq(guest_mem_iov(mem, 0xfff, 1, iov, 2), -EFAULT);
	ck_assert_int_eq(guest_mem_iov(mem, 0x2fff, 2, iov, 2), -EFAULT);
	ck_assert_int_eq(guest_mem_iov(mem, 0x3000, 1, iov, 2), -EFAULT);
	ck_assert_int_eq(guest_mem_iov(mem, 0x1000, UINT64_MAX, iov, 2), -EFAULT);
	ck_assert_int_eq(guest_mem_read(mem, 0x1ffc, got, 8), 0);
	ck_assert_mem_eq(got, "abcdefgh", 8);
	ck_assert_int_eq(guest_mem_read(mem, 0x2ffd, got, 8), -EFAULT);

	ck_assert_mem_eq(guest_mem_at_user(mem, 0x300000, PAGE), "efgh", 4);
	ck_assert_ptr_null(guest_mem_at_user(mem, 0x300000, PAGE + 1));
	ck_assert_ptr_null(guest_mem_at_user(mem, 0x300001, UINT64_MAX));
	ck_assert_ptr_null(guest_mem_at_user(mem, 0x2fffff, 2));

	ck_assert_int_eq(guest_mem_remove(mem, &b), 0);
	ck_assert_int_eq(guest_mem_remove(mem, &b), -ENOENT);
	ck_assert_int_eq(guest_mem_iov(mem, 0x1ffc, 8, iov, 2), -EFAULT);
	guest_mem_clear(mem);
	free(mem);
}
END_TEST

START_TEST(holds_no_more_than_its_slots)
{
	struct guest_mem *mem = calloc(1, sizeof(*mem));

	for (unsigned i = 0; i <= GUEST_MEM_REGIONS_MAX; i++) {
		struct guest_region_spec s = spec(i * PAGE, PAGE, UINT64_C(0x10000000) + i * PAGE,
						  0);

		ck_assert_int_eq(guest_mem_add(mem, &s, fd, NULL),
				 i < GUEST_MEM_REGIONS_MAX ? 0 : -ENOSPC);
	}
	guest_mem_clear(mem);
	free(mem);
}
END_TEST

/* Nobody but the VMM can do this to us, and that only to itself. */
START_TEST(survives_a_file_that_shrinks)
{
	struct guest_region_spec a = spec(0, 2 * PAGE, 0x100000, 0);
	struct guest_region_spec b = spec(0x10000, 2 * PAGE, 0x200000, 4 * PAGE);
	struct guest_mem *mem = calloc(1, sizeof(*mem)), *other = calloc(1, sizeof(*other));
	volatile uint8_t *byte;
	uint8_t got = 1;

	ck_assert_int_eq(pwrite(fd, "a", 1, 2 * PAGE - 1), 1);
	ck_assert_int_eq(guest_mem_add(mem, &a, fd, NULL), 0);
	ck_assert_int_eq(guest_mem_add(mem, &b, fd, NULL), 0);
	ck_assert_int_eq(guest_mem_add(other, &a, fd, NULL), 0);
	ck_assert_int_eq(ftruncate(fd, 4 * PAGE), 0);
	ck_assert_int_eq(guest_mem_read(mem, 2 * PAGE - 1, &got, 1), 0);
	ck_assert_uint_eq(got, 'a');
	ck_assert(!mem->is_lost);
	byte = guest_mem_at_user(mem, 0x200000, 1);
	ck_assert_uint_eq(*byte, 0);
	*byte = 1;
	ck_assert(mem->is_lost);
	ck_assert(!other->is_lost);
	ck_assert_int_eq(guest_mem_remove(mem, &b), 0);
	ck_assert(mem->is_lost);
	guest_mem_clear(mem);
	ck_assert(!mem->is_lost);
	guest_mem_clear(other);
	free(mem);
	free(other);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("guest_mem");
	TCase *tcase = unit_case(suite, "guest_mem", setup, teardown);

	tcase_add_test(tcase, refuses_impossible_regions);
	tcase_add_test(tcase, refuses_what_is_no_file);
	tcase_add_test(tcase, tells_whether_it_is_sealed);
	tcase_add_test(tcase, translates_within_and_across_regions);
	tcase_add_test(tcase, holds_no_more_than_its_slots);
	tcase_add_test(tcase, survives_a_file_that_shrinks);
	return unit_run(suite);
}
