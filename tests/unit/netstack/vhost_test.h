/* SPDX-License-Identifier: Apache-2.0 */
/* A vhost-user link with a driver played by the test on one side, and a user that notes everything
 * on the other: what the tests of link_vhost share. Everything aborts the test on failure. */
#ifndef TESTS_VHOST_TEST_H
#define TESTS_VHOST_TEST_H

#include <check.h>

#include "netstack/link_vhost.h"
#include "netstack/offload.h"
#include "netstack/vhost_net.h"
#include "sim/sim_packet.h"

#include "../virtio/fake_driver.h"

#define HEADER     VHOST_NET_HEADER_MAX
#define DATA_AT    0x20000u /* behind the rings */
#define SLOT_SIZE  0x11000u /* room for a super-frame and its header */
#define RING_SIZE  64
#define KEPT_MAX   64
#define PIECES_MAX 8
#define LARGE      30000 /* payload of a frame that is held */

#define ALL_FEATURES                                                         \
	(FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_F_EVENT_IDX) |         \
	 FEATURE(VIRTIO_F_INDIRECT_DESC) | FEATURE(VIRTIO_NET_F_MRG_RXBUF) | \
	 FEATURE(VIRTIO_NET_F_CSUM) | FEATURE(VIRTIO_NET_F_HOST_TSO4) |      \
	 FEATURE(VIRTIO_NET_F_GUEST_CSUM) | FEATURE(VIRTIO_NET_F_GUEST_TSO4))
#define NO_FEATURES FEATURE(VIRTIO_F_VERSION_1)

/* What the link's user keeps of a frame. */
struct kept {
	struct iobuf_hold holds[PIECES_MAX];
	void *at[PIECES_MAX];
	size_t sizes[PIECES_MAX];
	unsigned count;
};

struct vhost_test {
	struct link *link; /* the one attached last; NULL when it has gone */
	unsigned links, gone, frames, batches, writable;
	char reason[80];
	struct frame state; /* of the last frame */
	uint8_t bytes[SIM_PACKET_MAX];
	bool keep;
	struct kept kept[KEPT_MAX];
	unsigned kept_count;
};

extern struct vhost_test got;
extern struct loop *loop;
extern struct link_vhost_listener *listener;
extern struct fake_mem mem;
extern struct fake_ring rings[2]; /* 0: to the guest */
extern struct fake_front_end fe;
extern uint8_t bytes[SIM_PACKET_MAX]; /* the frame made last */

void vhost_test_setup(void);
void vhost_test_teardown(void);

/* Connects a front-end and negotiates; starts both rings, too. */
void connect_front_end(uint64_t features);
void start(uint64_t features);
void start_rings(void);
void stop_rings(void);
/* The front-end goes, and its rings with it. */
void hang_up(void);
/* Releases what is kept of a frame. */
void let_go(unsigned index);

/* As virtio says it; of a little-endian machine. */
struct header {
	uint8_t flags, gso_type;
	uint16_t header_size, gso_size, csum_start, csum_offset, buffers;
};

/* Of a large TCP frame that write_slot() makes. */
extern const struct header tso;

/* A buffer in the guest's memory. */
uint8_t *slot(unsigned index);
uint64_t slot_addr(unsigned index);
/* Writes a frame into it; returns its size with the header. */
uint32_t write_slot(unsigned index, const struct header *header, size_t payload_size);
/* Sends what lies there as one descriptor. */
void send_slot(unsigned index, uint32_t size);
/* Gives it to the device to be written, as one descriptor. */
void give(unsigned index, uint32_t size);
/* A frame for the guest in two pieces, with its checksum left to do; valid until the next one. */
struct frame frame_to_guest(size_t payload_size, bool gso);
/* The next buffer that came back is this one, with so many bytes. */
void expect_buffer(uint32_t id, uint32_t size);
bool nothing_used(void);

#endif
