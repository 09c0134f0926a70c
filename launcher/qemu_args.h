/* SPDX-License-Identifier: Apache-2.0 */
/* A machine's description in QEMU's words. Pure: same description, same arguments. */
#ifndef LAUNCHER_QEMU_ARGS_H
#define LAUNCHER_QEMU_ARGS_H

#include "launcher/accel.h"
#include "launcher/args.h"
#include "launcher/machine.h"

/* What this run gives the machine to live with. */
struct qemu_wiring {
	const char *qemu; /* the program */
	enum accel accel;
	const char *net_socket;   /* netproxy's link, or NULL: no network device */
	bool net_vhost;           /* that is a vhost-user one, else a stream */
	bool net_intx;            /* the device must do without interrupt vectors */
	const char *vsock_socket; /* netproxy's vhost-user-vsock, or NULL: no vsock device */
	int qmp_fd;               /* connected, inherited by QEMU */
	int console_fd;           /* the serial port's other end, connected, inherited */
};

/* Fills `ret_args`, which must be empty. Returns 0 or -ENOMEM with it cleared. */
int qemu_args_build(const struct machine *machine, const struct qemu_wiring *wiring,
		    struct args *ret_args);

#endif
