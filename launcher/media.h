/* SPDX-License-Identifier: Apache-2.0 */
/* The CD with a machine's metadata (ISO 9660, made with libarchive): LinuxKit's, with the file
 * /config, or cloud-init's NoCloud, with user-data and meta-data on a volume CIDATA. */
#ifndef LAUNCHER_MEDIA_H
#define LAUNCHER_MEDIA_H

#include <stddef.h>

#include "launcher/machine.h"
#include "launcher/problem.h"

#define MEDIA_META_DATA_MAX 20480 /* bytes: a name, an id, and a key in quotes */
#define MEDIA_KEY_MAX       8192  /* bytes of a public key */

/* Whether the machine has such a CD. */
bool media_wanted(const struct machine *machine);
/* cloud-init's meta-data: an id which changes with the metadata, so that cloud-init runs again, the
 * name, and the SSH key. Returns its length, cut at `size`. */
size_t media_meta_data(const struct machine *machine, char *to, size_t size);
/* Whether this is one line that OpenSSH would take as a public key. */
bool media_is_public_key(const char *text);
/* Writes the CD, in place of what is there. Returns 0, or -errno with the problem set. */
int media_write(const struct machine *machine, const char *path, struct problem *problem);

#endif
