/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's memory, its driver's side of virtqueues, and a vhost-user front-end, for tests: what
 * QEMU and a kernel are to the device. Everything aborts the test on failure. */
#ifndef TESTS_FAKE_DRIVER_H
#define TESTS_FAKE_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "virtio/vhost_msg.h"
#include "virtio/virtq.h"

#define FAKE_MEM_SIZE   (4u << 20)
#define FAKE_GUEST_BASE UINT64_C(0x40000000)     /* guest-physical */
#define FAKE_USER_BASE  UINT64_C(0x7f1200000000) /* in the front-end */

#define FAKE_DESC_NEXT     1
#define FAKE_DESC_WRITE    2
#define FAKE_DESC_INDIRECT 4

struct fake_mem {
	int fd;
	uint8_t *bytes; /* the driver's mapping of it */
};

void fake_mem_init(struct fake_mem *mem);
void fake_mem_destroy(struct fake_mem *mem);
struct guest_region_spec fake_mem_spec(void);

/* A ring of which the driver's side is written by hand; 64 KiB of the memory from `offset` on are
 * its own. */
struct fake_ring {
	struct fake_mem *mem;
	uint32_t offset;
	uint16_t size;
	uint16_t avail_idx;
	uint16_t used_seen;
	int kick_fd; /* -1 without front-end */
	int call_fd;
};

void fake_ring_init(struct fake_ring *ring, struct fake_mem *mem, uint32_t offset, uint16_t size);
struct virtq_conf fake_ring_conf(const struct fake_ring *ring);
void fake_desc(struct fake_ring *ring, uint16_t index, uint64_t addr, uint32_t size, uint16_t flags,
	       uint16_t next);
/* Writes a descriptor to any place in the memory (an indirect table). */
void fake_desc_at(struct fake_mem *mem, uint32_t offset, uint64_t addr, uint32_t size,
		  uint16_t flags, uint16_t next);
void fake_offer(struct fake_ring *ring, uint16_t head);
/* Takes the next used entry; false when there is none. */
bool fake_used(struct fake_ring *ring, uint32_t *ret_id, uint32_t *ret_size);
void fake_kick(struct fake_ring *ring);
uint16_t fake_used_flags(const struct fake_ring *ring);
void fake_avail_flags(struct fake_ring *ring, uint16_t flags);
void fake_used_event(struct fake_ring *ring, uint16_t event);
uint16_t fake_avail_event(const struct fake_ring *ring);

struct fake_front_end {
	struct loop *loop; /* the back-end's, turned while we wait for it */
	int fd;
};

void fake_connect(struct fake_front_end *fe, struct loop *loop, const char *path);
void fake_close(struct fake_front_end *fe);
void fake_send(struct fake_front_end *fe, const struct vhost_msg *msg);
/* Waits for a reply. Returns false when the back-end closed the connection instead. */
bool fake_reply(struct fake_front_end *fe, struct vhost_msg *ret);
/* A request with a u64 and its answer's. */
uint64_t fake_get(struct fake_front_end *fe, uint32_t request);
/* A request with need_reply; returns what the back-end acknowledged: 0 is success. */
uint64_t fake_set(struct fake_front_end *fe, struct vhost_msg *msg);
uint64_t fake_set_u64(struct fake_front_end *fe, uint32_t request, uint64_t value, int fd);
uint64_t fake_set_vring(struct fake_front_end *fe, uint32_t request, uint32_t index, uint32_t num);
/* Features, memory and protocol features, as QEMU sets them up. */
void fake_negotiate(struct fake_front_end *fe, struct fake_mem *mem, uint64_t features);
/* Sets up and enables a queue; makes its eventfds. */
void fake_ring_start(struct fake_front_end *fe, struct fake_ring *ring, uint32_t index,
		     uint16_t base);
/* GET_VRING_BASE; closes the eventfds. Returns the base. */
uint16_t fake_ring_stop(struct fake_front_end *fe, struct fake_ring *ring, uint32_t index);
/* Turns the loop until nothing is left to do. */
void fake_settle(struct loop *loop);
/* Open fds of this process, and mappings of guests' memory. */
unsigned fake_count_fds(void);
unsigned fake_count_maps(void);

#endif
