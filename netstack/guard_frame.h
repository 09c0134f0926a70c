/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest's frame says about who sent it: the guard's parser. The rules are in guard.h. */
#ifndef NETSTACK_GUARD_FRAME_H
#define NETSTACK_GUARD_FRAME_H

#include "netstack/guard.h"

/* An address that the sender says is its own. */
struct guard_claim {
	struct addr addr;
	enum guard_verdict otherwise; /* the verdict where it isn't */
	bool is_tentative;            /* a probe: passes where the address is another's */
};

struct guard_facts {
	/* What the frame's contents say by themselves. With anything but GUARD_PASS the claims
	 * aren't complete. */
	enum guard_verdict verdict;
	struct mac src; /* Ethernet; zeros of a frame without a whole Ethernet header */
	unsigned claim_count;
	struct guard_claim claims[2]; /* the IP source or ARP sender, and ND's target */
};

/* Reads an untrusted frame's linear part. */
void guard_read_frame(const struct frame *frame, struct guard_facts *ret_facts);

#endif
