/* SPDX-License-Identifier: Apache-2.0 */
/* See accel.h. */
#include "launcher/accel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define KVM_API_VERSION_WANTED 12 /* the only one there has been since Linux 2.6.22 */
/* Where 64-bit kernels live: the upper half of the address space. */
#define KERNEL_HALF UINT64_C(0xff00000000000000)

int accel_wish_parse(const char *text, enum accel_wish *ret)
{
	if (strcmp(text, "auto") == 0)
		*ret = ACCEL_WISH_AUTO;
	else if (strcmp(text, "kvm") == 0)
		*ret = ACCEL_WISH_KVM;
	else if (strcmp(text, "tcg") == 0)
		*ret = ACCEL_WISH_TCG;
	else
		return -EINVAL;
	return 0;
}

const char *accel_name(enum accel accel)
{
	return accel == ACCEL_KVM ? "kvm" : "tcg";
}

static int probe_kvm(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int version;

	if (fd < 0)
		return -errno;
	version = ioctl(fd, KVM_GET_API_VERSION, 0);
	close(fd);
	return version == KVM_API_VERSION_WANTED ? 0 : -ENOTTY;
}

void accel_probe(char *buffer, unsigned buffer_size, struct accel_facts *ret_facts)
{
	int fd = open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC);
	size_t size = 0;

	while (fd >= 0 && size < buffer_size - 1) {
		ssize_t got = read(fd, buffer + size, buffer_size - 1 - size);

		if (got <= 0)
			break;
		size += (size_t)got;
	}
	if (fd >= 0)
		close(fd);
	buffer[size] = '\0';
	*ret_facts = (struct accel_facts)
	{
#if defined(__x86_64__) || defined(__i386__)
		.x86 = true,
#endif
		.cpuinfo = buffer, .kvm_error = probe_kvm(),
	};
}

/* Whether `word` stands, between blanks, in a line of cpuinfo that starts with "flags". */
static bool cpu_has(const char *cpuinfo, const char *word)
{
	size_t length = strlen(word);

	for (const char *line = cpuinfo; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, "flags", 5) != 0)
			continue;
		const char *end = line + strcspn(line, "\n");
		const char *at = line + strcspn(line, ":\n");

		while (at < end) {
			at += strspn(at, ": \t");
			size_t found = strcspn(at, " \t\n");

			if (found == length && memcmp(at, word, length) == 0)
				return true;
			at += found;
		}
	}
	return false;
}

/* Whether KVM is to be trusted; the reason, without a remedy, goes to *ret_why, the remedy to
 * *ret_remedy. */
static bool kvm_usable(const struct accel_facts *facts, struct problem *ret_why,
		       const char **ret_remedy)
{
	*ret_remedy = "use -accel tcg, which needs nothing of the host";
	if (!facts->x86) {
		problem_set(ret_why, 0, "the host's CPU is not x86, as the guest's is");
		return false;
	}
	switch (facts->kvm_error) {
	case 0:
		break;
	case -ENOENT:
		problem_set(ret_why, 0, "there is no /dev/kvm");
		*ret_remedy =
			"load the module kvm_intel or kvm_amd (in a virtual machine: allow nested "
			"virtualization), or use -accel tcg";
		return false;
	case -EACCES:
	case -EPERM:
		problem_set(ret_why, 0, "/dev/kvm may not be opened by this user");
		*ret_remedy =
			"join its group (\"sudo adduser $USER kvm\", then log in again), or use "
			"-accel tcg";
		return false;
	default:
		problem_set(ret_why, 0, "/dev/kvm does not work: %s", strerror(-facts->kvm_error));
		return false;
	}
	if (!cpu_has(facts->cpuinfo, "vmx") && !cpu_has(facts->cpuinfo, "svm")) {
		problem_set(ret_why, 0,
			    "/dev/kvm opens, but the CPU shows neither vmx nor svm, so that guests "
			    "would hang");
		return false;
	}
	problem_set(ret_why, 0, "/dev/kvm opens and the CPU has %s",
		    cpu_has(facts->cpuinfo, "vmx") ? "vmx" : "svm");
	return true;
}

int accel_choose(enum accel_wish wish, const struct accel_facts *facts, enum accel *ret,
		 struct problem *ret_why)
{
	struct problem why = {.text = ""};
	const char *remedy;
	bool usable;

	if (wish == ACCEL_WISH_TCG) {
		*ret = ACCEL_TCG;
		return problem_set(ret_why, 0, "as asked for");
	}
	usable = kvm_usable(facts, &why, &remedy);
	if (wish == ACCEL_WISH_KVM && !usable)
		return problem_set(ret_why, -ENOTSUP, "-accel kvm: %.512s; %s", why.text, remedy);
	*ret = usable ? ACCEL_KVM : ACCEL_TCG;
	*ret_why = why;
	return 0;
}

bool accel_guest_runs(const char *info_registers)
{
	const char *rip = strstr(info_registers, "RIP=");

	if (strstr(info_registers, "CPL=3"))
		return true;
	return rip && strtoull(rip + 4, NULL, 16) >= KERNEL_HALF;
}
