/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a guest is ready: as its description chooses, when it says so or when something in it
 * answers.
 *
 *	none          as soon as QEMU runs
 *	serial        a line written to /dev/virtio-ports/org.netproxy.ready
 *	vsock[:PORT]  a line READY=1 sent to CID 2, port PORT (9999): systemd does by itself, being
 *	              told in the SMBIOS tables (io.systemd.credential:vmm.notify_socket)
 *	console:TEXT  TEXT on the serial console
 *	tcp:PORT      a service that accepts on that published port of the guest and doesn't hang up
 *	ssh           an SSH server's greeting at the guest's published port 22
 */
#ifndef LAUNCHER_MACHINE_READY_H
#define LAUNCHER_MACHINE_READY_H

#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "launcher/machine.h"
#include "launcher/problem.h"

#define READY_TEXT_MAX          128
#define READY_VSOCK_PORT        9999
#define READY_SOCKET            "ready.sock" /* QEMU's end of the virtio-serial port */
#define READY_TIMEOUT_S         60
#define READY_TIMEOUT_MAX_S     86400
#define READY_TCG_FACTOR        5
#define READY_VSOCK_CLIENTS_MAX 4

enum ready_kind {
	READY_NONE,
	READY_SERIAL,
	READY_VSOCK,
	READY_CONSOLE,
	READY_TCP,
	READY_SSH,
};

struct ready_spec {
	enum ready_kind kind;
	uint32_t port;             /* vsock's, or of TCP in the guest */
	char text[READY_TEXT_MAX]; /* of console: */
};

/* Returns 0, or -EINVAL with the problem set. Pure. */
int ready_parse(const char *text, struct ready_spec *ret, struct problem *problem);
/* Whether this machine has what it takes. Returns 0, or -EINVAL with the problem set. Pure. */
int ready_check(const struct ready_spec *spec, const struct machine *machine,
		struct problem *problem);
/* In words: "a line on /dev/virtio-ports/org.netproxy.ready". */
const char *ready_describe(const struct ready_spec *spec, char *to, size_t size);
/* Looks for a text in a stream of which `data` is the next piece; *matched is how much of the text
 * has come so far. Pure. */
int ready_match(const char *text, size_t *matched, const char *data, size_t size);
/* How long a start may take. Pure. */
static inline uint64_t ready_timeout_ms(unsigned timeout_s, int emulated)
{
	return (uint64_t)timeout_s * 1000 * (emulated ? READY_TCG_FACTOR : 1);
}

struct ready;

/* Watches for it, in `dir`, from before QEMU is started; `fn` is called once. Borrows spec and
 * machine. Returns 0, or -errno with the problem set. */
int ready_new(struct loop *loop, const struct ready_spec *spec, const struct machine *machine,
	      const char *dir, loop_fn *fn, void *arg, struct ready **ret_ready,
	      struct problem *problem);
/* QEMU runs: what it has listens now. */
void ready_guest_up(struct ready *ready);
/* What the guest writes to its console. */
void ready_console(struct ready *ready, const char *data, size_t size);
/* NULL is fine. */
void ready_free(struct ready *ready);

#endif
