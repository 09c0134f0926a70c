/* SPDX-License-Identifier: Apache-2.0 */
/* The disks of a machine, as people name and see them. */
#ifndef LAUNCHER_MACHINE_DISKS_H
#define LAUNCHER_MACHINE_DISKS_H

#include <json-c/json.h>

#include "launcher/machine.h"
#include "launcher/problem.h"

#define DISK_NAME_MAX 8 /* "vda", with the NUL */

/* What the guest calls its disk with that number; a kernel's squashfs is vda before all others. */
const char *disk_guest_name(const struct machine *machine, size_t index,
			    char to[static DISK_NAME_MAX]);
/* The number of a disk: by its path, by its file's name, or by what the guest calls it. Returns 0,
 * or -ENOENT or -EINVAL (more than one) with the problem set. Pure. */
int disk_choose(const struct machine *machine, const char *text, size_t *ret_index,
		struct problem *problem);
/* The list: name, path, format, read_only and, of those that are there, size and used (on the
 * host), in bytes. Owned by the caller. */
struct json_object *disk_list_json(const struct machine *machine);

#endif
