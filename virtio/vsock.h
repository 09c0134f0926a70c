/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vsock device for one guest, over vhost-user: its AF_VSOCK sockets reach unix sockets of the
 * host, and back, without vhost_vsock in the host's kernel.
 *
 *	guest -> CID 2, port P	connects to the unix stream socket BASE_P; where nobody
 *				listens, the guest's connection is reset
 *	host -> guest, port P	connect to the unix stream socket BASE_connect, send
 *				"CONNECT P\n", read "OK <host port>\n"; from then on raw
 *				bytes. Closed without OK: refused
 *
 * That is the convention which Firecracker set (there the second socket is BASE itself, which is
 * the VMM's here). Half-close works both ways. The connections survive a pause of the VM, and end
 * with its reset.
 *
 * Per connection at most buf_alloc bytes are held, from the guest to the host; the other way
 * nothing is: the host's socket is read straight into the guest's buffers, as its credit allows.
 */
#ifndef VIRTIO_VSOCK_H
#define VIRTIO_VSOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

#define VSOCK_DEFAULT_CID       3
#define VSOCK_DEFAULT_CONNS_MAX 1024
#define VSOCK_DEFAULT_BUF_ALLOC (256 * 1024)

struct vsock_device;

/* What a guest's forwards, and whatever else it asked for, may depend on. */
enum vsock_guest_event {
	VSOCK_GUEST_ATTACHED, /* a VMM has come */
	VSOCK_GUEST_RESET,    /* a driver has begun anew on a device that was in use: a reboot */
	VSOCK_GUEST_DETACHED, /* the VMM has gone, or took the device out */
};

/* Zero or NULL stands for the default. Paths are copied. */
struct vsock_conf {
	const char *socket_path; /* where the VMM connects; required */
	uint64_t guest_cid;      /* 3 to 0xfffffffe; default 3 */
	const char *base_path;   /* of the host's sockets; default: socket_path */
	unsigned conns_max;      /* connections, closing ones included; default 1024 */
	uint32_t buf_alloc;      /* bytes per connection, 4 KiB to 64 MiB; default 256 KiB */
	/* Must not free the device. Not called while it is made or freed. */
	void (*on_guest)(void *arg, enum vsock_guest_event event);
	void *on_guest_arg;
};

struct vsock_counters {
	uint64_t front_ends;      /* VMMs that connected */
	uint64_t conns_now;       /* connections with a host socket */
	uint64_t conns_in;        /* asked for by the guest */
	uint64_t conns_out;       /* asked for by the host */
	uint64_t conns_refused;   /* beyond conns_max, either way */
	uint64_t connects_failed; /* guest's requests for a socket that nobody serves */
	uint64_t rx_bytes;        /* payload from the guest */
	uint64_t tx_bytes;        /* payload to the guest */
	uint64_t rx_packets;
	uint64_t tx_packets;
	uint64_t packets_invalid;
	uint64_t resets_sent;
	uint64_t resets_received;
	uint64_t resets_dropped; /* for unknown connections, when too many waited */
	uint64_t timeouts;
	uint64_t queues_broken; /* the driver broke the rules of virtqueues */
};

/* Returns 0 with a device that waits for its VMM, or -errno with a message in `error`. */
int vsock_device_new(struct loop *loop, const struct vsock_conf *conf, struct vsock_device **ret,
		     char *error, size_t error_size);
/* Closes all connections and removes its sockets. NULL is fine. */
void vsock_device_free(struct vsock_device *device);

/* Whether a VMM is connected; whether a driver in the guest runs the device. */
bool vsock_device_attached(const struct vsock_device *device);
bool vsock_device_running(const struct vsock_device *device);
struct vsock_counters vsock_device_counters(const struct vsock_device *device);

#endif
