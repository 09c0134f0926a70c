/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract of a link: one guest's network device, as a way to move frames. There is one
 * implementation per transport: link_framed (streams with lengths), link_tap, ...
 *
 * Life: a provider (a listener, an opened tap) makes links and hands each to its `link_sink` when a
 * guest is there. The sink becomes the link's user and from then on owns it. A link whose peer has
 * gone calls `gone` once and is silent from then on; its user destroys it, at the latest after that
 * call.
 *
 * Receiving: a link reads as much as there is, up to a bounded batch so that others get their turn,
 * calls `receive` for every frame and `batch_end` once after the last one of the batch. `receive`
 * must not block and may send on this or any other link. Only `gone` may destroy the link that
 * calls it; no callback may destroy another link. The bytes of a received frame may be changed in
 * place by its receiver, as lwIP does.
 *
 * Sending never drops by itself, unless the transport is a queue that tells nothing (a tap): see
 * `send`. Nothing here blocks. send(), flush() and destroy() never call the user back: what they
 * find out (the peer has gone, there is room again) is told from the event loop.
 */
#ifndef NETSTACK_LINK_H
#define NETSTACK_LINK_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "netstack/frame.h"

/* A link is named by its place, which is the same for all links of one provider, and, where there
 * can be several, by its number: "qemu:/run/x.sock #2". */
#define LINK_NAME_MAX  144
#define LINK_PLACE_MAX (LINK_NAME_MAX - 14) /* leaves room for " #4294967295" */

struct link;

/* What a link can take in send(); it may deliver any of it in receive(). */
struct link_caps {
	bool csum;             /* frames with FRAME_CSUM_PARTIAL */
	bool tso4;             /* FRAME_GSO_TCP4 (implies csum) */
	bool tso6;             /* FRAME_GSO_TCP6 (implies csum) */
	bool uso;              /* FRAME_GSO_UDP (implies csum) */
	bool gro;              /* single segments come from it, which software should coalesce */
	uint32_t frame_max;    /* largest frame in bytes, super-frames included */
	uint32_t queue_frames; /* frames from it that wait for us before it drops some; 0: it pushes
				  back instead */
};

struct link_user {
	/* A frame arrived, borrowed for the call. Nothing in it is trustworthy but iov and size. */
	void (*receive)(void *arg, const struct frame *frame);
	/* The last frame of a batch has been delivered. */
	void (*batch_end)(void *arg);
	/* After send() said -EAGAIN: it takes frames again. */
	void (*writable)(void *arg);
	/* The peer has gone; `reason` is text for the log, such as "closed by the guest's side". */
	void (*gone)(void *arg, const char *reason);
};

struct link_ops {
	const char *kind; /* "stream", "tap" */

	/*
	 * Sends `count` (>= 1) frames, borrowed for the call: all of them, or none. Returns 0 when
	 * they were taken: written, or held in the link's bounded buffer until its peer reads.
	 * -EAGAIN: the link is full, nothing was taken, `writable` will be called. -EMSGSIZE: a
	 * frame exceeds frame_max, or all together are more than the link can hold (the segments of
	 * one super-frame never are); nothing was taken. -EPIPE: the peer has gone; nothing was
	 * taken and `gone` was or will be called. Frames must fit the link's caps.
	 */
	int (*send)(struct link *link, const struct frame *frames, unsigned count);
	/* Ends a burst of send() calls: what was held back to be written together is written now.
	 */
	void (*flush)(struct link *link);
	/* Frees the link, at any time, without calling the user. */
	void (*destroy)(struct link *link);
};

struct link_counters {
	uint64_t rx_frames; /* from the guest, before coalescing */
	uint64_t rx_bytes;
	uint64_t rx_invalid; /* frames that the link refused: truncated, too long, lying about
				offloads */
	uint64_t tx_frames;  /* to the guest, after segmentation */
	uint64_t tx_bytes;
	uint64_t tx_full;    /* times that send() said -EAGAIN */
	uint64_t tx_dropped; /* frames lost in a queue that tells nothing */
};

struct link {
	const struct link_ops *ops;
	struct link_caps caps;
	struct link_counters counters;
	char name[LINK_NAME_MAX];

	const struct link_user *user; /* set by the sink, with user_arg */
	void *user_arg;

	/* For who made the link, NULL: nothing. Called when it has been destroyed, by whoever did
	 * that; must not call the link's user. */
	void (*ended)(void *arg);
	void *ended_arg;
};

/* Where a provider's new links go. `attached` takes the link over: it sets user and user_arg, or
 * destroys the link. */
struct link_sink {
	void (*attached)(void *arg, struct link *link);
	void *arg;
};

/* How much of a link's name is its place. */
static inline size_t link_place_size(const char *name)
{
	const char *number = strrchr(name, '#');

	return number && number > name && number[-1] == ' ' ? (size_t)(number - 1 - name)
							    : strlen(name);
}

static inline int link_send(struct link *link, const struct frame *frames, unsigned count)
{
	return link->ops->send(link, frames, count);
}

static inline void link_flush(struct link *link)
{
	link->ops->flush(link);
}

static inline void link_destroy(struct link *link)
{
	void (*ended)(void *arg) = link ? link->ended : NULL;
	void *ended_arg = link ? link->ended_arg : NULL;

	if (link)
		link->ops->destroy(link);
	if (ended)
		ended(ended_arg);
}

#endif
