/* SPDX-License-Identifier: Apache-2.0 */
/* Split virtqueues, the device's side; see virtq.h. All that lies in shared memory is
 * little-endian. */
#include "virtio/virtq.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define DESC_NEXT     0x1
#define DESC_WRITE    0x2
#define DESC_INDIRECT 0x4

#define AVAIL_NO_INTERRUPT 0x1
#define USED_NO_NOTIFY     0x1

struct virtq_desc {
	uint64_t addr;
	uint32_t size;
	uint16_t flags;
	uint16_t next;
};

struct virtq_avail {
	uint16_t flags;
	uint16_t idx;
	uint16_t ring[]; /* size entries, then used_event */
};

struct virtq_used_elem {
	uint32_t id;
	uint32_t size;
};

struct virtq_used {
	uint16_t flags;
	uint16_t idx;
	struct virtq_used_elem ring[]; /* size entries, then avail_event */
};

static uint16_t load16(const uint16_t *shared)
{
	return le16toh(__atomic_load_n(shared, __ATOMIC_RELAXED));
}

static void store16(uint16_t *shared, uint16_t value)
{
	__atomic_store_n(shared, htole16(value), __ATOMIC_RELAXED);
}

static uint16_t *avail_event(struct virtq *vq)
{
	return (uint16_t *)&vq->used->ring[vq->size];
}

int virtq_start(struct virtq *vq, const struct guest_mem *mem, const struct virtq_conf *conf,
		const char **ret_reason)
{
	uint64_t size = conf->size;

	if (size == 0 || size > VIRTQ_SIZE_MAX || (size & (size - 1))) {
		*ret_reason = "its size is not a power of two up to 32768";
		return -EINVAL;
	}
	const void *desc = guest_mem_at_user(mem, conf->desc_user,
					     size * sizeof(struct virtq_desc));
	const void *avail = guest_mem_at_user(mem, conf->avail_user, 6 + size * 2);
	void *used = guest_mem_at_user(mem, conf->used_user,
				       6 + size * sizeof(struct virtq_used_elem));

	if (!desc || !avail || !used) {
		*ret_reason = "a part of it lies outside the guest's memory";
		return -EINVAL;
	}
	if ((uintptr_t)desc % 16 || (uintptr_t)avail % 2 || (uintptr_t)used % 4) {
		*ret_reason = "a part of it is misaligned";
		return -EINVAL;
	}
	*vq = (struct virtq){
		.mem = mem,
		.desc = desc,
		.avail = avail,
		.used = used,
		.size = conf->size,
		.last_avail = conf->base,
		.avail_seen = conf->base,
		.event_idx = conf->event_idx,
		.indirect = conf->indirect,
		.call_always = true,
		.call_fd = conf->call_fd,
	};
	/* Where the driver stands: entries before this one are its own. */
	vq->used_next = vq->used_told = load16(&vq->used->idx);
	virtq_kicks_on(vq);
	return 0;
}

static const char memory_lost[] = "the VMM took the memory away in which it lies";

int virtq_break(struct virtq *vq, const char *reason)
{
	if (!vq->broken)
		vq->broken = vq->mem->is_lost ? memory_lost : reason;
	return -EIO;
}

static int chain_add(struct virtq *vq, struct virtq_chain *chain, const struct virtq_desc *desc)
{
	bool in = desc->flags & DESC_WRITE;
	unsigned used = chain->out_count + chain->in_count;

	/* A chain of these would have no end that the device's room for pieces sets to it. */
	if (desc->size == 0)
		return virtq_break(vq, "a descriptor of no bytes");
	if (!in && chain->in_count)
		return virtq_break(vq, "a readable descriptor follows a writable one");
	int count = guest_mem_iov(vq->mem, desc->addr, desc->size, chain->iov + used,
				  chain->iov_max - used);

	if (count == -E2BIG)
		return virtq_break(vq, "a chain has more descriptors than the device can take");
	if (count < 0)
		return virtq_break(vq, "a descriptor points outside the guest's memory");
	if (in) {
		chain->in_count += (unsigned)count;
		chain->in_size += desc->size;
	} else {
		chain->out_count += (unsigned)count;
		chain->out_size += desc->size;
	}
	return 0;
}

static struct virtq_desc desc_to_host(struct virtq_desc le)
{
	return (struct virtq_desc){
		.addr = le64toh(le.addr),
		.size = le32toh(le.size),
		.flags = le16toh(le.flags),
		.next = le16toh(le.next),
	};
}

static struct virtq_desc desc_copy(const struct virtq *vq, uint16_t index)
{
	struct virtq_desc copy;

	memcpy(&copy, &vq->desc[index], sizeof(copy));
	/* From here on the copy counts: the compiler must not read the source again. */
	__asm__ volatile("" ::: "memory");
	return desc_to_host(copy);
}

static int chain_collect_indirect(struct virtq *vq, struct virtq_chain *chain,
				  const struct virtq_desc *table)
{
	uint32_t count = table->size / sizeof(struct virtq_desc);
	uint32_t index = 0;

	if (!vq->indirect)
		return virtq_break(vq, "an indirect descriptor, which was not negotiated");
	if (table->flags & DESC_NEXT)
		return virtq_break(vq, "an indirect descriptor has a successor");
	if (count == 0 || table->size % sizeof(struct virtq_desc) || count > VIRTQ_SIZE_MAX)
		return virtq_break(vq, "an indirect table has an impossible size");

	for (uint32_t seen = 0; seen < count; seen++) {
		struct virtq_desc desc;
		uint64_t addr = table->addr + index * sizeof(desc);

		if (addr < table->addr || guest_mem_read(vq->mem, addr, &desc, sizeof(desc)) < 0)
			return virtq_break(vq, "an indirect table lies outside the guest's memory");
		desc = desc_to_host(desc);
		if (desc.flags & DESC_INDIRECT)
			return virtq_break(vq, "an indirect table in an indirect table");
		int r = chain_add(vq, chain, &desc);

		if (r < 0)
			return r;
		if (!(desc.flags & DESC_NEXT))
			return 0;
		index = desc.next;
		if (index >= count)
			return virtq_break(vq, "a descriptor's successor lies outside its table");
	}
	return virtq_break(vq, "the descriptors of an indirect table form a loop");
}

static int chain_collect(struct virtq *vq, struct virtq_chain *chain)
{
	uint16_t index = chain->head;

	/* A chain longer than the ring has come back to where it was. */
	for (unsigned seen = 0; seen < vq->size; seen++) {
		struct virtq_desc desc = desc_copy(vq, index);

		chain->descs = (uint16_t)(seen + 1);
		if (desc.flags & DESC_INDIRECT)
			return chain_collect_indirect(vq, chain, &desc);
		int r = chain_add(vq, chain, &desc);

		if (r < 0)
			return r;
		if (!(desc.flags & DESC_NEXT))
			return 0;
		index = desc.next;
		if (index >= vq->size)
			return virtq_break(vq, "a descriptor's successor lies outside the ring");
	}
	return virtq_break(vq, "the descriptors of a chain form a loop");
}

/* Whether there is a chain to pop: 1, 0, or -EIO. */
static int avail_look(struct virtq *vq)
{
	if (vq->avail_seen != vq->last_avail)
		return 1;
	/* Pairs with the driver's barrier: the entries and descriptors behind this index are there.
	 */
	vq->avail_seen = le16toh(__atomic_load_n(&vq->avail->idx, __ATOMIC_ACQUIRE));
	uint16_t count = vq->avail_seen - vq->last_avail;

	if (count > vq->size)
		return virtq_break(vq, "the available index moved by more than the ring's size");
	return count > 0;
}

int virtq_pop(struct virtq *vq, struct virtq_chain *chain)
{
	if (vq->broken)
		return -EIO;
	int r = avail_look(vq);

	if (vq->mem->is_lost)
		return virtq_break(vq, memory_lost);
	if (r <= 0)
		return r;
	/* Every chain has at least one descriptor of its own, until it is pushed. */
	if (vq->held >= vq->size)
		return virtq_break(vq, "more chains are available than the ring has descriptors");
	uint16_t head = load16(&vq->avail->ring[vq->last_avail & (vq->size - 1)]);

	if (head >= vq->size)
		return virtq_break(vq, "an available entry names a descriptor outside the ring");
	chain->head = head;
	chain->out_count = chain->in_count = 0;
	chain->out_size = chain->in_size = 0;
	r = chain_collect(vq, chain);
	if (r < 0)
		return r;
	if (vq->mem->is_lost)
		return virtq_break(vq, memory_lost);
	vq->last_avail++;
	vq->held++;
	return 1;
}

void virtq_unpop(struct virtq *vq, unsigned count)
{
	assert(count <= vq->held);
	vq->last_avail -= (uint16_t)count;
	vq->held -= (uint16_t)count;
}

void virtq_push(struct virtq *vq, uint16_t head, uint32_t written)
{
	assert(vq->held > 0);
	struct virtq_used_elem *elem = &vq->used->ring[vq->used_next & (vq->size - 1)];

	elem->id = htole32(head);
	elem->size = htole32(written);
	vq->used_next++;
	vq->held--;
}

bool virtq_publish(struct virtq *vq)
{
	uint16_t before = vq->used_told;
	uint16_t now = vq->used_next;

	if (before == now || vq->broken)
		return false;
	__atomic_store_n(&vq->used->idx, htole16(now), __ATOMIC_RELEASE);
	vq->used_told = now;
	/* The index must be visible before we look whether the driver sleeps: it does it the other
	 * way round. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (vq->call_always) {
		vq->call_always = false;
		return true;
	}
	if (!vq->event_idx)
		return !(load16(&vq->avail->flags) & AVAIL_NO_INTERRUPT);
	uint16_t event = load16(&vq->avail->ring[vq->size]);

	return (uint16_t)(now - event - 1) < (uint16_t)(now - before);
}

void virtq_notify(struct virtq *vq)
{
	if (virtq_publish(vq))
		virtq_call(vq);
}

void virtq_call(struct virtq *vq)
{
	static const uint64_t one = 1;

	if (vq->call_fd < 0)
		return;
	/* -EAGAIN: the counter is at its top, so the driver has an interrupt to come already. */
	(void)!write(vq->call_fd, &one, sizeof(one));
}

/* Asks for a kick when the driver's index passes `index`. */
static bool kicks_on_past(struct virtq *vq, uint16_t index)
{
	if (vq->broken)
		return false;
	vq->kicks = true;
	if (vq->event_idx)
		store16(avail_event(vq), index);
	store16(&vq->used->flags, 0);
	/* What became available before the driver could see that we want a kick brings none. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return load16(&vq->avail->idx) != index;
}

bool virtq_kicks_on(struct virtq *vq)
{
	return kicks_on_past(vq, vq->last_avail);
}

bool virtq_kicks_on_more(struct virtq *vq)
{
	return kicks_on_past(vq, vq->avail_seen);
}

void virtq_kicks_off(struct virtq *vq)
{
	if (!vq->kicks || vq->broken)
		return;
	vq->kicks = false;
	/* With EVENT_IDX the published index simply falls behind. */
	if (!vq->event_idx)
		store16(&vq->used->flags, USED_NO_NOTIFY);
}
