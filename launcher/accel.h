/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which accelerator a guest runs with. That /dev/kvm exists, opens and creates VMs proves nothing:
 * inside some virtual machines it does all that, and then guests hang after the boot ROM or QEMU
 * aborts. So KVM is taken on x86 only where the CPU shows vmx or svm as well; and the choice may
 * still turn out wrong, which is what accel_guest_runs() is for.
 */
#ifndef LAUNCHER_ACCEL_H
#define LAUNCHER_ACCEL_H

#include <stdbool.h>

#include "launcher/problem.h"

/* A kernel that is booted directly under KVM runs within a second or two; one that doesn't after so
 * long won't. */
#define ACCEL_PROGRESS_TIMEOUT_MS 10000

enum accel_wish { ACCEL_WISH_AUTO, ACCEL_WISH_KVM, ACCEL_WISH_TCG };

enum accel { ACCEL_TCG, ACCEL_KVM };

/* What is known about the host. */
struct accel_facts {
	bool x86;            /* the host's CPU; guests are always x86-64 */
	const char *cpuinfo; /* text of /proc/cpuinfo: its first processors will do; borrowed */
	int kvm_error;       /* 0: /dev/kvm opens and answers; else -errno */
};

/* "auto", "kvm" or "tcg". Returns 0 or -EINVAL. */
int accel_wish_parse(const char *text, enum accel_wish *ret);
const char *accel_name(enum accel accel);

/* Fills *ret_facts from this host; `cpuinfo` points into `buffer`. */
void accel_probe(char *buffer, unsigned buffer_size, struct accel_facts *ret_facts);

/*
 * Decides. Returns 0, with why in *ret_why (one line, always set); -ENOTSUP when the wish is KVM
 * and can't be met, with the reason and the remedy in *ret_why.
 */
int accel_choose(enum accel_wish wish, const struct accel_facts *facts, enum accel *ret,
		 struct problem *ret_why);

/* Whether the output of the monitor's "info registers" shows a guest whose operating system runs:
 * in user mode, or at a kernel's addresses. Firmware, boot loaders and Linux's own decompressor
 * stay in the lower half, and that is where guests under a KVM that only pretends to work get
 * stuck, or crawl for minutes. */
bool accel_guest_runs(const char *info_registers);

#endif
