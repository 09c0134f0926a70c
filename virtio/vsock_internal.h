/* SPDX-License-Identifier: Apache-2.0 */
/* The vsock device's own structures, shared by vsock.c (queues and packets) and vsock_host.c (the
 * host's sockets). Nobody else includes this. */
#ifndef VIRTIO_VSOCK_INTERNAL_H
#define VIRTIO_VSOCK_INTERNAL_H

#include "base/list.h"
#include "base/sock.h"
#include "virtio/vhost_user.h"
#include "virtio/vsock.h"
#include "virtio/vsock_mux.h"
#include "virtio/vsock_stream.h"

#define VSOCK_QUEUE_RX 0 /* to the guest */
#define VSOCK_QUEUE_TX 1 /* from the guest */
#define VSOCK_QUEUES   2 /* the event queue stays in the VMM */

/* Longest base path: there is room behind it for a port, and so for "_connect". */
#define VSOCK_BASE_PATH_MAX (SOCK_PATH_MAX - (int)sizeof("_4294967295"))

#define VSOCK_HANDSHAKES_MAX       64
#define VSOCK_HANDSHAKE_TIMEOUT_MS 5000
#define VSOCK_DIAL_TIMEOUT_MS      5000 /* for a host socket whose backlog is full */
#define VSOCK_DIAL_RETRY_MS        20
#define VSOCK_DRAIN_TIMEOUT_MS     60000 /* for a host program to read what a guest left behind */
#define VSOCK_TICK_MS              1000

/* What may be done in each: whether it has a connection (conn), an fd, a deadline. */
enum vsock_phase {
	VSOCK_PHASE_HANDSHAKE, /*       fd, deadline  the host's program says which port it wants */
	VSOCK_PHASE_ASKED,     /* conn, fd            the guest is asked */
	VSOCK_PHASE_DIALING,   /* conn,     deadline  the guest asked; the host's backlog is full */
	VSOCK_PHASE_OPEN,      /* conn, fd */
	VSOCK_PHASE_DRAINING,  /*       fd, deadline  the guest is done; the rest of its data goes
				  out */
};

struct vsock_stream {
	struct list link;       /* in device->streams */
	struct list ready_link; /* in device->ready: there is something to read for the guest */
	struct list timed_link; /* in device->timed: it has a deadline */
	struct vsock_device *device;
	struct vsock_conn *conn;
	enum vsock_phase phase;
	uint64_t deadline_ms;
	int fd;
	struct loop_fd *watch;
	struct vsock_buffer buffer; /* to the host */
	bool no_credit;             /* there may be something to read, but the guest has no room */
	bool host_ended;            /* the host has sent its last byte */
	bool write_shut;            /* the host was told that the guest has */
	char line[VSOCK_HANDSHAKE_MAX];
	size_t line_size;
};

struct vsock_device {
	struct loop *loop;
	struct vhost_user *vhost;
	struct vhost_conf vhost_conf;
	uint64_t guest_cid;
	void (*on_guest)(void *arg, enum vsock_guest_event event); /* NULL: nobody asks */
	void *on_guest_arg;
	char base_path[SOCK_PATH_MAX];
	char connect_path[SOCK_PATH_MAX];
	int listen_fd; /* BASE_connect */
	struct loop_fd *listen_watch;
	struct vsock_mux mux;
	struct virtq *queues[VSOCK_QUEUES]; /* NULL while they don't run */
	uint16_t stopped_at[VSOCK_QUEUES];  /* where they stopped last */
	struct loop_task rx_task;
	struct loop_task tx_task;
	struct loop_timer *tick;
	struct loop_timer *dial_retry;
	struct list streams;
	struct list ready;
	struct list timed;
	unsigned streams_count;
	unsigned handshakes_count;
	struct vsock_counters counters; /* those that are counted here */
};

/* vsock.c: work on the queue to the guest in the loop's round. */
void vsock_device_wake(struct vsock_device *d);

/* vsock_host.c */
/* Listens at BASE_connect. Returns 0 or -errno. */
int vsock_host_start(struct vsock_device *d);
/* Ends every stream and the listener. */
void vsock_host_stop(struct vsock_device *d);
/* Ends every stream that has a connection. */
void vsock_host_drop_conns(struct vsock_device *d);
/* Does what a packet from the guest calls for; `payload` is its data, in guest memory. */
void vsock_host_act(struct vsock_device *d, const struct vsock_result *result,
		    const struct iovec *payload, unsigned payload_count);
/*
 * Reads for the guest, from the stream that is next, into a vector of `room` bytes. Returns the
 * bytes, with their header in *ret_header; 0 when that stream had none after all: there may be
 * others.
 */
size_t vsock_host_read(struct vsock_device *d, const struct iovec *iov, unsigned iov_count,
		       size_t room, struct vsock_header *ret_header);
/* Starts the tick if anything has a deadline. */
void vsock_host_tick_if_needed(struct vsock_device *d);

#endif
