/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine needs made before QEMU starts, once everything was checked: new disks, the CD with
 * its metadata, and UEFI's variables, in the machine's directory. */
#ifndef LAUNCHER_PREPARE_H
#define LAUNCHER_PREPARE_H

#include <limits.h>

#include "launcher/firmware.h"
#include "launcher/machine.h"
#include "launcher/problem.h"

#define PREPARE_DATA_ISO "config.iso"
#define PREPARE_EFI_VARS "efi-vars.qcow2"

struct prepared {
	char data_iso[PATH_MAX]; /* empty: the machine has none */
	char fw_code[PATH_MAX];  /* empty: the BIOS, or none is needed */
	char fw_vars[PATH_MAX];  /* a qcow2 image; empty: fw_code is a whole image */
};

/* Whether the machine boots by UEFI: asked to, or there is no other way. */
bool prepare_uefi(const struct machine *machine);
/* Returns 0 with *ret filled in, or -errno with the problem set. */
int prepare_machine(const struct machine *machine, const char *dir, struct prepared *ret,
		    struct problem *problem);

#endif
