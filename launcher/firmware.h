/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UEFI firmware, found as QEMU's docs/interop/firmware.json says: JSON descriptions in
 * /usr/share/qemu/firmware, /etc/qemu/firmware and the user's own directory, of which a later one
 * hides an earlier one of the same name, in the order of their names. Code and the template of the
 * variables are two flash images that belong together.
 */
#ifndef LAUNCHER_FIRMWARE_H
#define LAUNCHER_FIRMWARE_H

#include <json-c/json.h>
#include <limits.h>
#include <stdbool.h>

#include "launcher/machine.h"
#include "launcher/problem.h"

#define FIRMWARE_FILES_MAX 64        /* descriptions that are looked at */
#define FIRMWARE_JSON_MAX  (1 << 16) /* bytes of one */

struct firmware {
	char code[PATH_MAX];
	char vars[PATH_MAX]; /* the template; empty: `code` is a whole image, for -bios */
};

/* Whether a description, parsed, is of what such a machine boots by UEFI without secure boot. Pure,
 * but for the files' names it doesn't follow. Returns true with *ret filled in. */
bool firmware_matches(struct json_object *description, enum machine_arch arch,
		      struct firmware *ret);
/* Finds it; with `wanted`, the firmware whose code is that file, or else `wanted` as a whole image.
 * Returns 0, or -errno with the problem set. */
int firmware_find(enum machine_arch arch, const char *wanted, struct firmware *ret,
		  struct problem *problem);

#endif
