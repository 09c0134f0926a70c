/* SPDX-License-Identifier: Apache-2.0 */
/* A machine's description in QEMU's words. Pure: same description, same arguments. */
#ifndef LAUNCHER_QEMU_ARGS_H
#define LAUNCHER_QEMU_ARGS_H

#include "launcher/accel.h"
#include "launcher/args.h"
#include "launcher/machine.h"
#include "launcher/prepare.h"

/* Where everybody else can control QEMU, within the machine's directory. */
#define QEMU_MONITOR_SOCKET "qmp.sock"

/* Ids of devices and back-ends, for QMP. With `hotplug` each of them is on a pcie-root-port
 * "port-ID". */
#define QEMU_NET_ID       "net0"        /* the netdev of the device */
#define QEMU_NET_SOCKET   "net0-socket" /* the chardev of one that is vhost-user */
#define QEMU_NET_STREAM   "net0-stream" /* with a hub: the netdev behind it, */
#define QEMU_NET_PORT     "net0-port"   /* and that one's port of it */
#define QEMU_NET_DEVICE   "net0-device"
#define QEMU_VSOCK_ID     "vsock0" /* the chardev */
#define QEMU_VSOCK_DEVICE "vsock0-device"
#define QEMU_BALLOON_ID   "balloon0"
#define QEMU_FS_ID        "fs%zu" /* the chardev; the device is fs%zu-device */

/* After this time QEMU connects again, and then as often. */
#define QEMU_RECONNECT_MS 250
#define QEMU_RECONNECT_S  1 /* before 9.2 */

/* What this run gives the machine to live with. */
struct qemu_wiring {
	const char *qemu; /* the program */
	enum accel accel;
	const char *net_socket;   /* netproxy's link, or NULL: no network device */
	bool net_vhost;           /* that is a vhost-user one, else a stream */
	bool net_intx;            /* the device must do without interrupt vectors */
	bool net_reconnects;      /* QEMU is to connect to net_socket again by itself */
	bool net_hub;             /* a stream is behind a hub, so that another can take its place
				     without the device noticing */
	bool reconnect_ms;        /* this QEMU takes milliseconds for that, and streams can */
	const char *vsock_socket; /* netproxy's vhost-user-vsock, or NULL: no vsock device */
	const char *dir; /* where the volumes' sockets are, and QEMU listens for other clients of
			    QMP at QEMU_MONITOR_SOCKET; NULL: no volumes, no such clients */
	const struct prepared *prepared; /* or NULL: nothing was */
	bool hotplug; /* devices whose other end may go are on ports that they can be taken from */
	bool unplugged; /* of vhost-user devices only the ports are there: they are plugged in
			   later */
	const struct args *extra; /* added at the end, or NULL */
	int qmp_fd;               /* connected, inherited by QEMU */
	int console_fd;           /* the serial port's other end, connected, inherited */
};

/* Whether the guest isn't to hear that its link was down: QEMU says so while nobody serves a
 * vhost-user device, and managers of networks in guests then throw away its addresses. */
static inline bool qemu_net_steady(const struct qemu_wiring *wiring)
{
	return wiring->net_vhost && wiring->net_reconnects;
}

/* Sets how the network device gets back to a netproxy that was started again, by the rest of the
 * wiring. */
void qemu_wiring_way_back(struct qemu_wiring *wiring);

/* Fills `ret_args`, which must be empty. Returns 0 or -ENOMEM with it cleared. */
int qemu_args_build(const struct machine *machine, const struct qemu_wiring *wiring,
		    struct args *ret_args);

/* The parts of it that are in files of their own. qemu_network.c, qemu_media.c */
void qemu_args_network(struct args *args, const struct machine *machine,
		       const struct qemu_wiring *wiring);
/* The nodes of a disk's image, the upper of which is "diskINDEX". */
void qemu_args_disk_nodes(struct args *args, const struct machine_disk *disk, size_t index);
void qemu_args_media(struct args *args, const struct machine *machine,
		     const struct qemu_wiring *wiring);
/* ",bus=port-ID", with that port made before the device's argument; nothing without hotplug. */
void qemu_args_port(struct args *args, const struct qemu_wiring *wiring, const char *id,
		    char to[static 48]);

#endif
