/* SPDX-License-Identifier: Apache-2.0 */
/* Disks of machines: their names, the sizes that people write, and what may be resized. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/disk_resize.h"
#include "launcher/machine_disks.h"
#include "unit.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static struct problem problem;

START_TEST(test_size)
{
	static const struct {
		const char *text;
		uint64_t bytes; /* 0: refused */
		int error;
	} cases[] = {
		{"20G", 20 * GIB, 0},    {"512", 512 * MIB, 0},
		{"+1G", 3 * GIB, 0},     {"+1", 2 * GIB + MIB, 0},
		{"16T", 16384 * GIB, 0}, {"17T", 0, -ERANGE},
		{"+16T", 0, -ERANGE},    {"+16777215T", 0, -ERANGE},
		{"1K", 0, -ERANGE},      {"2049K", 2049 * 1024, 0},
		{"", 0, -EINVAL},        {"+", 0, -EINVAL},
		{"-1G", 0, -EINVAL},     {"++1G", 0, -EINVAL},
		{"10X", 0, -EINVAL},     {"99999999999999999999G", 0, -EINVAL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t bytes = 0;

		ck_assert_msg(disk_size_parse(cases[i].text, 2 * GIB, &bytes, &problem) ==
				      cases[i].error,
			      "%s: %s", cases[i].text, problem.text);
		ck_assert_uint_eq(bytes, cases[i].bytes);
	}
}
END_TEST

START_TEST(test_resize_rules)
{
	static const struct {
		struct machine_disk disk;
		uint64_t bytes;
		bool shrink, runs;
		const char *says; /* NULL: it may be done */
	} cases[] = {
		{{.path = "/d"}, 3 * GIB, false, false, NULL},
		{{.path = "/d"}, 3 * GIB, false, true, NULL},
		{{.path = "/d"}, 3 * GIB, true, true, NULL},
		{{.path = "/d"}, 2 * GIB, false, false, "has 2G already"},
		{{.path = "/d"}, GIB, false, false, "/d has 2G: with 1G, what is behind that"},
		{{.path = "/d"}, GIB, true, false, NULL},
		{{.path = "/d"}, GIB, true, true, "stop the machine first"},
		{{.path = "/d", .read_only = true}, 3 * GIB, false, false, "read-only"},
		{{.path = "/dev/x", .device = true}, 3 * GIB, false, true, "block device"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int r = disk_resize_check(&cases[i].disk, 2 * GIB, cases[i].bytes, cases[i].shrink,
					  cases[i].runs, &problem);

		ck_assert_msg((r == 0) == (cases[i].says == NULL), "case %zu: %s", i, problem.text);
		if (cases[i].says)
			ck_assert_msg(strstr(problem.text, cases[i].says) != NULL, "%s",
				      problem.text);
	}
}
END_TEST

START_TEST(test_names)
{
	struct machine m;
	char name[DISK_NAME_MAX];
	size_t index;

	machine_init(&m);
	ck_assert_int_eq(disk_choose(&m, "vda", &index, &problem), -ENOENT);
	ck_assert_ptr_nonnull(strstr(problem.text, "has no disks"));
	m.disk_count = 3;
	m.disks[0] = (struct machine_disk){.path = "/a/root.img"};
	m.disks[1] = (struct machine_disk){.path = "/a/data.img"};
	m.disks[2] = (struct machine_disk){.path = "/b/data.img"};
	ck_assert_int_eq(disk_choose(&m, "vdb", &index, &problem), 0);
	ck_assert_uint_eq(index, 1);
	ck_assert_int_eq(disk_choose(&m, "root.img", &index, &problem), 0);
	ck_assert_uint_eq(index, 0);
	ck_assert_int_eq(disk_choose(&m, "/b/data.img", &index, &problem), 0);
	ck_assert_uint_eq(index, 2);
	ck_assert_int_eq(disk_choose(&m, "data.img", &index, &problem), -EINVAL);
	ck_assert_ptr_nonnull(strstr(problem.text, "more than one"));
	ck_assert_int_eq(disk_choose(&m, "vdd", &index, &problem), -ENOENT);
	ck_assert_ptr_nonnull(strstr(problem.text, "vda (root.img), vdb (data.img)"));
	/* The squashfs of a kernel is the first. */
	m.kernel = m.squashfs = (char *)"x";
	ck_assert_str_eq(disk_guest_name(&m, 0, name), "vdb");
	ck_assert_int_eq(disk_choose(&m, "vda", &index, &problem), -ENOENT);
	ck_assert_int_eq(disk_choose(&m, "vdb", &index, &problem), 0);
	ck_assert_uint_eq(index, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("launcher_disks");
	TCase *tcase = unit_case(suite, "disks", NULL, NULL);

	tcase_add_test(tcase, test_size);
	tcase_add_test(tcase, test_resize_rules);
	tcase_add_test(tcase, test_names);
	return unit_run(suite);
}
