/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames as messages, one each, over sockets that keep their borders (SOCK_SEQPACKET, SOCK_DGRAM):
 * many with one system call, and what the peer doesn't take yet held back. For link_packet and
 * link_dgram.
 */
#ifndef NETSTACK_PACKET_IO_H
#define NETSTACK_PACKET_IO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "netstack/link.h"
#include "netstack/rx_buffer.h"

/* Messages that are read with one call, and sent with one call. */
#define PACKET_BATCH 32

/* ---- In ---- */

struct packet_in {
	struct rx_buffer rx;
	uint8_t *slots; /* where messages are read to, one slot each */
	unsigned count; /* messages of the last read */
	struct mmsghdr messages[PACKET_BATCH];
	struct iovec iov[PACKET_BATCH];
	struct sockaddr_un names[PACKET_BATCH]; /* senders */
};

/* Returns 0 or -ENOMEM; packet_in_done() is right for a zeroed one, too. */
int packet_in_init(struct packet_in *in);
void packet_in_done(struct packet_in *in);
/* Reads up to PACKET_BATCH messages. Returns their number, 0 when there are none, or -errno. */
int packet_in_read(struct packet_in *in, int fd);
/* Size of a message of the last read; more than FRAME_SIZE_MAX: it was longer, and is cut. */
uint32_t packet_in_size(const struct packet_in *in, unsigned index);
/* The message as a frame, whose vector is *iov: a small one that may be kept, or a large one that
 * must be copied by who keeps it. Valid until the next read. */
struct frame packet_in_frame(struct packet_in *in, unsigned index, struct iovec *iov);

/* ---- Out ---- */

struct packet_out {
	int fd;                       /* borrowed */
	const struct sockaddr_un *to; /* borrowed; NULL: the socket is connected */
	socklen_t to_size;
	uint8_t *held; /* frames that wait, each behind its size */
	uint32_t held_start;
	uint32_t held_end;
	bool blocked; /* the socket didn't take all: packet_out_retry() when it is writable */
	bool refused; /* packet_out_send() said -EAGAIN since */
};

/* Makes room for what waits. Returns 0 or -ENOMEM. */
int packet_out_init(struct packet_out *out, int fd);
void packet_out_done(struct packet_out *out);
/* What link_ops.send is to do, and the counters with it: 0, -EAGAIN, -EMSGSIZE, or another -errno
 * of a peer that has gone (nothing was taken). */
int packet_out_send(struct packet_out *out, struct link *link, const struct frame *frames,
		    unsigned count);
/* Sends what was held back, for link_ops.flush, and when the socket is writable again. Returns 0,
 * or -errno of a peer that has gone. */
int packet_out_flush(struct packet_out *out, struct link *link);
int packet_out_retry(struct packet_out *out, struct link *link);
/* Whether `writable` is to be told now; once for each time that send() refused. */
bool packet_out_tell(struct packet_out *out);

/* What an error of a peer that has gone means, for `gone`. */
const char *packet_gone_reason(int error);

/* Best effort: a larger socket buffer, so that more goes out at once. */
void packet_tune_socket(int fd);

#endif
