/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <string.h>

#include "base/nearest.h"
#include "unit.h"

static const struct {
	const char *name, *aka;
} table[] = {
	{"kernel", NULL},
	{"mem", "m ram"},
	{"cpus", "smp"},
	{"networking", "nic"},
	{"publish", "p port"},
	{"json", NULL},
	{"listen", NULL},
	{"listen-qemu", NULL},
	{"a-name-of-more-than-thirty-two-letters", NULL},
};

static const char *nearest_to(const char *text, size_t size)
{
	struct nearest nearest;

	nearest_begin(&nearest, text, size);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		nearest_offer(&nearest, table[i].name, table[i].aka);
	return nearest.name;
}

static const struct {
	const char *text, *name; /* NULL: nothing is near */
} cases[] = {
	{"kernle", "kernel"},
	{"krnel", "kernel"},
	{"kernels", "kernel"},
	{"memory", "mem"},
	{"m", "mem"},
	{"ram", "mem"},
	{"cpu", "cpus"},
	{"smp", "cpus"},
	{"net", "networking"},
	{"netwroking", "networking"},
	{"publihs", "publish"},
	{"port", "publish"},
	{"jsno", "json"},
	{"jsn", "json"},
	{"", NULL},
	{"x", NULL},
	{"zzz", NULL},
	{"jxxn", NULL},
	{"por", NULL},
	{"listen-qmu", "listen-qemu"},
	{"a-name-of-more-than-thirty-two-lettrs", NULL},
};

START_TEST(test_what_was_meant)
{
	const char *name = nearest_to(cases[_i].text, strlen(cases[_i].text));

	ck_assert_pstr_eq(name, cases[_i].name);
}
END_TEST

START_TEST(test_text_without_end)
{
	/* As in -cpu=4: what is behind belongs to it no more. */
	ck_assert_pstr_eq(nearest_to("cpu=4", 3), "cpus");
	ck_assert_pstr_eq(nearest_to("m=512", 1), "mem");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("nearest");
	TCase *tcase = unit_case(suite, "nearest", NULL, NULL);

	tcase_add_loop_test(tcase, test_what_was_meant, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(tcase, test_text_without_end);
	return unit_run(suite);
}
