/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of link_vhost share and nobody else includes: link_vhost.c (coming and going),
 * link_vhost_in.c (frames from the guest) and link_vhost_out.c (frames to it). */
#ifndef NETSTACK_LINK_VHOST_PRIVATE_H
#define NETSTACK_LINK_VHOST_PRIVATE_H

#include "base/list.h"
#include "base/sock.h"
#include "netstack/link_vhost.h"
#include "netstack/rx_buffer.h"
#include "netstack/vhost_net.h"
#include "virtio/vhost_user.h"

/* Pieces of guest memory in one chain: a ring of QEMU's has 1024 descriptors at most, and no chain
 * more than its ring. */
#define VHOST_CHAIN_PIECES_MAX 1024
/* Buffers of the guest that one frame may be spread over. */
#define VHOST_FRAME_CHAINS_MAX 1024

/* A chain of the guest's that was taken and not returned yet. */
struct vhost_turn {
	uint16_t head;
	uint16_t descs; /* of the ring, taken up by it */
	bool done;      /* to be returned as soon as all before it were */
};

/* A frame of the guest's that somebody holds: its payload lies in the guest's memory until its
 * descriptors are returned. Its headers don't, as the guest could still change them. */
struct vhost_held {
	struct iobuf iobuf;
	struct link_vhost_listener *listener; /* NULL: no longer in the guest's memory */
	struct list in_held;                  /* listener->held, or listener->spare */
	uint16_t turn;                        /* its chain's, of listener->turns */
	unsigned iov_count;
	struct iovec iov[FRAME_IOV_MAX]; /* the first piece is `linear` */
	uint8_t *copy;                   /* owned: the other pieces, once they had to be copied */
	uint8_t linear[FRAME_LINEAR_SIZE];
};

struct link_vhost {
	struct link link;
	struct link_vhost_listener *listener; /* NULL: it has gone, or is about to say so */
	struct loop *loop;
	struct loop_task gone_task;
	const char *gone_reason; /* set once */
};

struct vhost_head {
	uint16_t head;
	uint32_t size; /* that may be written to it */
};

/* The device, whatever drivers and links come and go. */
struct link_vhost_listener {
	struct loop *loop;
	struct link_sink sink;
	char path[SOCK_PATH_MAX];
	struct vhost_conf conf;
	struct vhost_user *vhost;
	struct link_vhost *link; /* NULL: none, or it has gone */
	unsigned links_made;
	struct virtq *to_guest; /* NULL while it doesn't run */
	struct virtq *from_guest;
	uint64_t features; /* of the driver that the link was made for */
	unsigned header_size;

	/* From the guest. */
	struct loop_task in_task;     /* goes on reading */
	struct loop_task return_task; /* shows the driver the descriptors that were returned */
	bool reading;                 /* in a batch, at whose end they are shown anyway */
	/* The chains not returned yet, in the order in which they came; their number modulo the
	 * ring's size is their place. Of the array only a part as large as the ring is touched. */
	struct vhost_turn turns[VIRTQ_SIZE_MAX];
	uint16_t turn_first; /* the oldest, unless it is turn_next */
	uint16_t turn_next;  /* of the next chain */
	unsigned done_descs; /* descriptors taken up by those that are done */
	struct list held;    /* the oldest first */
	unsigned held_descs; /* descriptors taken up by them */
	struct list spare;   /* free struct vhost_held */
	unsigned spare_count;
	struct rx_buffer copies; /* of frames that aren't held */

	/* To the guest. */
	struct loop_task room_task; /* looks for room again */
	bool blocked;               /* send() said -EAGAIN */
	struct list backlog;        /* frames that were taken and didn't fit */
	size_t backlog_bytes;
	struct vhost_head heads[VHOST_FRAME_CHAINS_MAX];

	struct iovec pieces[2 * VHOST_CHAIN_PIECES_MAX]; /* of the chains at hand */
};

/* link_vhost.c */
static inline bool vhost_link_running(const struct link_vhost_listener *l)
{
	return l->link && l->to_guest && l->from_guest;
}
/* Ends the link; its user hears of it from the loop. `reason`: a static text. */
void vhost_link_fail(struct link_vhost_listener *l, const char *reason);
/* A pop said that the queue is broken. */
void vhost_link_broken(struct link_vhost_listener *l, unsigned index);

/* link_vhost_in.c */
int vhost_in_init(struct link_vhost_listener *l);
void vhost_in_done(struct link_vhost_listener *l);
/* The queue from the guest starts. */
void vhost_in_start(struct link_vhost_listener *l);
/* Reads what the guest has sent, up to a limit, and goes on in the loop's next round. */
void vhost_in_work(struct link_vhost_listener *l);
/* Takes everything that is held out of the guest's memory, and returns the descriptors. */
void vhost_in_release(struct link_vhost_listener *l);

/* link_vhost_out.c */
void vhost_out_init(struct link_vhost_listener *l);
void vhost_out_done(struct link_vhost_listener *l);
/* link_ops.send and flush, on a link that is alive. */
int vhost_out_send(struct link_vhost_listener *l, const struct frame *frames, unsigned count);
void vhost_out_flush(struct link_vhost_listener *l);
/* The guest may have given buffers. */
void vhost_out_room(struct link_vhost_listener *l);
/* Forgets what waits for the guest. */
void vhost_out_clear(struct link_vhost_listener *l);

#endif
