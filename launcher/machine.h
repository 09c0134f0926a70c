/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The description of a machine: what it is made of, and nothing of how it is run at the moment. The
 * command line fills it in, qemu_args.c turns it into QEMU's words.
 */
#ifndef LAUNCHER_MACHINE_H
#define LAUNCHER_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "launcher/publish.h"

#define MACHINE_NAME_MAX    64 /* with the NUL */
#define MACHINE_DISKS_MAX   16
#define MACHINE_PUBLISH_MAX 64
#define MACHINE_CPUS_MAX    255                  /* what q35 takes without an IOMMU */
#define MACHINE_MEM_MIN     (UINT64_C(32) << 20) /* bytes: a kernel doesn't get far with less */
#define MACHINE_MEM_MAX     (UINT64_C(4) << 40)
#define MACHINE_CMDLINE_MAX 2048 /* Linux's COMMAND_LINE_SIZE on x86, with the NUL */
#define MACHINE_GUEST_CID   3    /* the only guest on its own netproxy */

enum machine_network {
	MACHINE_NETWORK_USERSPACE,        /* a netproxy of its own */
	MACHINE_NETWORK_USERSPACE_SHARED, /* a netproxy that runs already, at network_socket */
	MACHINE_NETWORK_NONE,
};

/* How its network device reaches a netproxy of its own. One that is shared listens for streams. */
enum machine_net_device {
	MACHINE_NET_DEVICE_VHOST,  /* vhost-user: in the guest's memory */
	MACHINE_NET_DEVICE_STREAM, /* frame by frame through QEMU */
};

struct machine_disk {
	char *path;         /* owned */
	const char *format; /* "raw" or "qcow2" */
	bool read_only;
};

struct machine_publish {
	char *text; /* owned; as the user wrote it, for netproxy */
	struct publish parsed;
};

struct machine {
	char name[MACHINE_NAME_MAX];
	char *kernel;  /* owned, or NULL: the first disk boots */
	char *initrd;  /* owned, or NULL */
	char *cmdline; /* owned, or NULL */
	uint64_t mem_bytes;
	unsigned cpus;
	bool reboot_ends; /* the guest's reboot ends QEMU */
	enum machine_network network;
	enum machine_net_device net_device;
	char *network_socket; /* owned; only with MACHINE_NETWORK_USERSPACE_SHARED */
	struct mac mac;
	struct machine_disk disks[MACHINE_DISKS_MAX];
	size_t disk_count;
	struct machine_publish publish[MACHINE_PUBLISH_MAX];
	size_t publish_count;
};

/* A machine with one CPU, 512 MiB and userspace networking, and nothing to boot yet. */
void machine_init(struct machine *machine);
/* Frees what the description owns and leaves an empty one. */
void machine_clear(struct machine *machine);

#endif
