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
#include "base/sock.h"
#include "launcher/publish.h"

#define MACHINE_NAME_MAX    64 /* with the NUL */
#define MACHINE_DISKS_MAX   16
#define MACHINE_PUBLISH_MAX 64
#define MACHINE_CPUS_MAX    255                  /* what q35 takes without an IOMMU */
#define MACHINE_MEM_MIN     (UINT64_C(32) << 20) /* bytes: a kernel doesn't get far with less */
#define MACHINE_MEM_MAX     (UINT64_C(4) << 40)
#define MACHINE_CMDLINE_MAX 2048 /* Linux's COMMAND_LINE_SIZE on x86, with the NUL */
#define MACHINE_GUEST_CID   3    /* the only guest on its own netproxy */

#define MACHINE_VOLUMES_MAX     16
#define MACHINE_TAG_MAX         36 /* virtiofs's, with the NUL */
#define MACHINE_VSOCK_PORTS_MAX 32
#define MACHINE_DATA_MAX        (1u << 20)          /* bytes of metadata */
#define MACHINE_IF_MAX          16                  /* a network interface's name, with the NUL */
#define MACHINE_DISK_MIN        (UINT64_C(1) << 20) /* bytes, of one that we make */
#define MACHINE_DISK_MAX        (UINT64_C(16) << 40)
#define MACHINE_DISPLAY_MIN     320  /* pixels, each way */
#define MACHINE_DISPLAY_MAX     8192 /* what an EDID block can say, and some */

enum machine_arch { MACHINE_ARCH_X86_64, MACHINE_ARCH_AARCH64 };

enum machine_network {
	MACHINE_NETWORK_USERSPACE,        /* a netproxy of its own */
	MACHINE_NETWORK_USERSPACE_SHARED, /* a netproxy that runs already, at network_socket */
	MACHINE_NETWORK_USER,             /* QEMU's own user networking */
	MACHINE_NETWORK_BRIDGED,          /* a bridge of the host's, by QEMU's set-uid helper */
	MACHINE_NETWORK_TAP,              /* a tap interface that is there */
	MACHINE_NETWORK_NONE,
};

/* What the medium with the metadata looks like. */
enum machine_data_format {
	MACHINE_DATA_CONFIG,  /* LinuxKit's: one file, /config */
	MACHINE_DATA_NOCLOUD, /* cloud-init's: user-data and meta-data on a volume CIDATA */
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
	bool device;           /* a block device of the host's, not a file */
	uint64_t create_bytes; /* how large to make it when it isn't there; 0: it must be */
};

/* A directory of the host's that the guest can mount: "mount -t virtiofs TAG /where". */
struct machine_volume {
	char *path; /* owned */
	char tag[MACHINE_TAG_MAX];
	bool read_only;
};

struct machine_display {
	unsigned width, height; /* pixels; 0: no graphics device */
	unsigned ppi;           /* 0: not said */
};

struct machine_publish {
	char *text; /* owned; as the user wrote it, for netproxy */
	struct publish parsed;
};

struct machine {
	char name[MACHINE_NAME_MAX];
	enum machine_arch arch;
	char *kernel;   /* owned, or NULL: the ISO or the first disk boots */
	char *initrd;   /* owned, or NULL */
	char *cmdline;  /* owned, or NULL */
	char *squashfs; /* owned, or NULL: with a kernel, its root, as the first disk */
	char *iso;      /* owned, or NULL: a CD that boots */
	bool uefi;      /* boots by UEFI, else by the BIOS */
	char *firmware; /* owned, or NULL: the one that QEMU's descriptions name */
	char *data;     /* owned, or NULL: metadata, data_size bytes */
	size_t data_size;
	enum machine_data_format data_format;
	char *ssh_key;  /* owned, or NULL: a public key, one line */
	char *ignition; /* owned, or NULL: a file for Fedora CoreOS and its like */
	uint64_t mem_bytes;
	unsigned cpus;
	bool reboot_ends; /* the guest's reboot ends QEMU */
	enum machine_network network;
	enum machine_net_device net_device;
	char *network_socket;            /* owned; only with MACHINE_NETWORK_USERSPACE_SHARED */
	char network_api[SOCK_PATH_MAX]; /* that netproxy's API socket; empty: beside network_socket
					  */
	char network_if[MACHINE_IF_MAX]; /* with MACHINE_NETWORK_BRIDGED and _TAP */
	struct mac mac;
	struct addr ip; /* AF_UNSPEC: whatever DHCP gives */
	uint32_t vsock_ports[MACHINE_VSOCK_PORTS_MAX];
	size_t vsock_port_count;
	struct machine_disk disks[MACHINE_DISKS_MAX];
	size_t disk_count;
	struct machine_volume volumes[MACHINE_VOLUMES_MAX];
	size_t volume_count;
	struct machine_display display;
	bool window;            /* the screen is shown in a window of the host's */
	char *vnc;              /* owned, or NULL: where a VNC server listens, in QEMU's words */
	bool balloon;           /* memory can be taken from the guest and given back */
	uint64_t balloon_bytes; /* what it is left with at first; 0: all */
	struct machine_publish publish[MACHINE_PUBLISH_MAX];
	size_t publish_count;
};

/* A machine with one CPU, 512 MiB and userspace networking, and nothing to boot yet. */
void machine_init(struct machine *machine);
/* What QEMU calls it: "x86_64". */
const char *machine_arch_name(enum machine_arch arch);
/* Whether it runs a netproxy of its own. */
static inline bool machine_has_proxy(const struct machine *machine)
{
	return machine->network == MACHINE_NETWORK_USERSPACE;
}
/* Frees what the description owns and leaves an empty one. */
void machine_clear(struct machine *machine);

#endif
