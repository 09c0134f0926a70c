/* SPDX-License-Identifier: Apache-2.0 */
/* The choice of the accelerator: what is taken for KVM, and what only looks like it. */
#include <errno.h>
#include <string.h>

#include "launcher/accel.h"
#include "unit.h"

#define INTEL \
	"processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu vme vmx ssse3\nbugs\t\t: x\n"
#define AMD "processor\t: 0\nflags\t\t: fpu svm\n\nprocessor\t: 1\nflags\t\t: fpu svm\n"
#define NONE \
	"processor\t: 0\nmodel name\t: vmx svm\nflags\t\t: fpu vmxx xsvm nosvm\nbugs\t\t: vmx svm\n"

static const struct choice {
	enum accel_wish wish;
	bool x86;
	const char *cpuinfo;
	int kvm_error;
	int result;
	enum accel accel;
	const char *said[2];
} choices[] = {
	{ACCEL_WISH_AUTO, true, INTEL, 0, 0, ACCEL_KVM, {"vmx"}},
	{ACCEL_WISH_AUTO, true, AMD, 0, 0, ACCEL_KVM, {"svm"}},
	{ACCEL_WISH_AUTO, true, NONE, 0, 0, ACCEL_TCG, {"neither vmx nor svm"}},
	{ACCEL_WISH_AUTO, true, "", 0, 0, ACCEL_TCG, {"neither vmx nor svm"}},
	{ACCEL_WISH_AUTO, true, "flags", 0, 0, ACCEL_TCG, {"neither"}},
	{ACCEL_WISH_AUTO, true, "flags: vmx", 0, 0, ACCEL_KVM, {"vmx"}},
	{ACCEL_WISH_AUTO, true, INTEL, -ENOENT, 0, ACCEL_TCG, {"no /dev/kvm"}},
	{ACCEL_WISH_AUTO, true, INTEL, -EACCES, 0, ACCEL_TCG, {"may not be opened"}},
	{ACCEL_WISH_AUTO, true, INTEL, -ENODEV, 0, ACCEL_TCG, {"does not work"}},
	{ACCEL_WISH_AUTO, false, "", 0, 0, ACCEL_TCG, {"not x86"}},
	{ACCEL_WISH_KVM, true, AMD, 0, 0, ACCEL_KVM, {"svm"}},
	{ACCEL_WISH_KVM, true, NONE, 0, -ENOTSUP, ACCEL_TCG, {"neither vmx nor svm", "-accel tcg"}},
	{ACCEL_WISH_KVM, true, INTEL, -ENOENT, -ENOTSUP, ACCEL_TCG, {"no /dev/kvm", "kvm_intel"}},
	{ACCEL_WISH_KVM, true, INTEL, -EACCES, -ENOTSUP, ACCEL_TCG, {"may not", "adduser"}},
	{ACCEL_WISH_KVM, false, "", 0, -ENOTSUP, ACCEL_TCG, {"not x86", "-accel tcg"}},
	{ACCEL_WISH_TCG, true, INTEL, 0, 0, ACCEL_TCG, {"as asked for"}},
};

START_TEST(test_choice)
{
	const struct choice *c = &choices[_i];
	struct accel_facts facts = {
		.x86 = c->x86, .cpuinfo = c->cpuinfo, .kvm_error = c->kvm_error};
	enum accel accel = ACCEL_TCG;
	struct problem why;

	ck_assert_int_eq(accel_choose(c->wish, &facts, &accel, &why), c->result);
	ck_assert_int_eq(accel, c->accel);
	for (size_t i = 0; i < 2 && c->said[i]; i++)
		ck_assert_msg(strstr(why.text, c->said[i]) != NULL, "%s", why.text);
}
END_TEST

START_TEST(test_wish)
{
	enum accel_wish wish = ACCEL_WISH_KVM;

	ck_assert_int_eq(accel_wish_parse("auto", &wish), 0);
	ck_assert_int_eq(wish, ACCEL_WISH_AUTO);
	ck_assert_int_eq(accel_wish_parse("KVM", &wish), -EINVAL);
	ck_assert_int_eq(wish, ACCEL_WISH_AUTO);
}
END_TEST

START_TEST(test_probe_ends_text)
{
	char buffer[64];
	struct accel_facts facts;

	accel_probe(buffer, sizeof(buffer), &facts);
	ck_assert_uint_lt(strnlen(buffer, sizeof(buffer)), sizeof(buffer));
	ck_assert_int_le(facts.kvm_error, 0);
}
END_TEST

START_TEST(test_progress)
{
	/* In the BIOS, in Linux's decompressor, in its kernel, in a program. */
	ck_assert(!accel_guest_runs("EIP=000ebb1a EFL=00000002 [-------] CPL=0 II=0\r\n"
				    "CR0=00000011 CR2=00000000 CR3=00000000\r\n"));
	ck_assert(!accel_guest_runs("RIP=000000000431c3ff RFL=00000002 [-------] CPL=0 II=0\r\n"
				    "CR0=80050033 CR2=0000000000000000\r\n"));
	ck_assert(
		accel_guest_runs("RAX=0\r\nRIP=ffffffff81a0b1c2 RFL=00000246 [---Z-P-] CPL=0\r\n"));
	ck_assert(accel_guest_runs("RIP=000000000047b7a0 RFL=00000202 [-------] CPL=3 II=0\r\n"));
	ck_assert(!accel_guest_runs(""));
	ck_assert(!accel_guest_runs("RIP="));
	ck_assert(!accel_guest_runs("RIP=garbage"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("launcher_accel");
	TCase *tcase = unit_case(suite, "accel", NULL, NULL);

	tcase_add_loop_test(tcase, test_choice, 0, (int)(sizeof(choices) / sizeof(choices[0])));
	tcase_add_test(tcase, test_wish);
	tcase_add_test(tcase, test_probe_ends_text);
	tcase_add_test(tcase, test_progress);
	return unit_run(suite);
}
