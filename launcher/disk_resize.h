/* SPDX-License-Identifier: Apache-2.0 */
/* Giving disks another size: what is allowed, and doing it to an image that nobody uses (of a
 * machine that runs, its QEMU does it). */
#ifndef LAUNCHER_DISK_RESIZE_H
#define LAUNCHER_DISK_RESIZE_H

#include <stdbool.h>
#include <stdint.h>

#include "launcher/machine.h"
#include "launcher/problem.h"

#define DISK_RESIZE_TIMEOUT_MS 60000

/* A size as people write it: "20G", or "+5G" for so much more than `now`. Within what a disk can
 * have. Returns 0, or -errno with the problem set. Pure. */
int disk_size_parse(const char *text, uint64_t now, uint64_t *ret_bytes, struct problem *problem);
/* Whether a disk that holds `now` bytes may get `bytes`. A smaller one loses what is at its end:
 * that takes `shrink`, and a guest that doesn't run. Returns 0, or -errno with the problem set.
 * Pure. */
int disk_resize_check(const struct machine_disk *disk, uint64_t now, uint64_t bytes, bool shrink,
		      bool runs, struct problem *problem);
/* Resizes the image by a QEMU without a machine, which takes the image's lock: one that another
 * process uses is left alone. Its format must be known. Returns 0, or -errno with the problem set.
 */
int disk_resize(const char *qemu, const struct machine_disk *disk, uint64_t bytes,
		struct problem *problem);

#endif
