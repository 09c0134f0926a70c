/* SPDX-License-Identifier: Apache-2.0 */
/* Disk images: what a file is, and making new ones, which take no room before they are written to.
 */
#ifndef LAUNCHER_DISK_IMAGE_H
#define LAUNCHER_DISK_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "launcher/machine.h"
#include "launcher/problem.h"

#define QCOW2_CLUSTER_BITS 16
#define DISK_COPY_MAX      (UINT64_C(256) << 20)
#define QCOW2_HEADER_SIZE  104 /* version 3's, without extensions */

/* Whether the file begins as a qcow2 image does. */
bool disk_is_qcow2(const char *path);
/* Chooses the format where none was said, by the file's name, and finds out whether it is a device.
 */
void disk_complete(struct machine_disk *disk);
/* Checks a disk and completes it. One that isn't there and has a size is
 * fine if it can be made. Returns 0, or -errno with the problem set. */
int disk_check(struct machine_disk *disk, struct problem *problem);
/* Makes a new image at `path`; a file that is there is never touched (-EEXIST). `format` is "raw"
 * or "qcow2" (version 3, clusters of 64 KiB). Returns 0 or -errno, with nothing left behind. */
int disk_create(const char *path, const char *format, uint64_t bytes);
/* Makes a qcow2 image with the content of a raw one, of at most DISK_COPY_MAX bytes. Returns 0 or
 * -errno (-EFBIG), with nothing left behind. */
int disk_create_copy(const char *path, const char *from);
/* How much a qcow2 image holds. Returns 0, or -errno: -EINVAL when it is none. */
int disk_qcow2_size(const char *path, uint64_t *ret_bytes);
/* How much the guest sees of a disk whose format is known. Returns 0 or -errno. */
int disk_size(const struct machine_disk *disk, uint64_t *ret_bytes);

#endif
