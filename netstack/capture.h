/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A capture: what passes the switch's ports, or what a filter lets through of it, as a pcapng file.
 * Frames are seen as they are on their links, super-frames and checksums that are still to be
 * completed included; one that goes from guest to guest is seen on both links.
 *
 * Whoever captures gives a function that takes whole pieces of the file or refuses them. What it
 * refuses is lost and counted, and the file says so at the next packet.
 */
#ifndef NETSTACK_CAPTURE_H
#define NETSTACK_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "netstack/link.h"
#include "netstack/switch.h"

#define CAPTURE_SNAPLEN_MIN 64
#define CAPTURE_SNAPLEN_MAX FRAME_SIZE_MAX
/* Largest piece given to `write`. */
#define CAPTURE_PIECE_MAX (CAPTURE_SNAPLEN_MAX + 1024)

/* All that is set must fit. */
struct capture_filter {
	bool has_mac;
	struct mac mac;           /* a guest's: from it, to it, and to groups on its link */
	char link[LINK_NAME_MAX]; /* ""; any */
	uint8_t protocol;         /* IPPROTO_TCP or IPPROTO_UDP, with an endpoint; 0: any */
	struct endpoint endpoint; /* either side of the packet; AF_UNSPEC: any address */
};

struct capture_conf {
	struct capture_filter filter;
	uint32_t snaplen; /* CAPTURE_SNAPLEN_MIN to CAPTURE_SNAPLEN_MAX */
	bool (*write)(void *arg, const void *data, size_t size);
	void *arg;
};

struct capture;

/* Begins a capture, with the file's head. Returns 0, -ENOMEM, or -ENOSPC when `write` refuses. */
int capture_new(struct nswitch *sw, const struct capture_conf *conf, struct capture **ret_capture);
/* NULL is fine. */
void capture_free(struct capture *capture);
/* Packets that `write` refused. */
uint64_t capture_dropped(const struct capture *capture);

/* Whether a frame fits a protocol and an endpoint. Pure; IP fragments but the first have no ports
 * and don't, nor does IPv6 behind extension headers. */
bool capture_frame_fits(const struct frame *frame, uint8_t protocol,
			const struct endpoint *endpoint);

#endif
