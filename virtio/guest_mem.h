/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's memory, shared by its VMM: regions mapped from file descriptors, and the translation of
 * guest-physical and of the front-end's own addresses into pointers, every range checked.
 *
 * What lies there can change at any moment under us: read it once, with guest_mem_read() or
 * virtq_pop(), and check the copy.
 *
 * Truncation: touching a mapped page beyond the file's end raises SIGBUS. The file must be as large
 * as the region when it is mapped, and only the VMM, never its guest, could shrink it later; memory
 * that it sealed against shrinking (QEMU's memory-backend-memfd does) can't be shrunk at all.
 * guest_mem_add() reports which it is. One VMM must not end the network of all others: where a page
 * turns out to be missing, the region is replaced with zeros of our own, and the memory is lost. So
 * it is where the host has no huge page left for it. The kernel, given such a page, says EFAULT.
 */
#ifndef VIRTIO_GUEST_MEM_H
#define VIRTIO_GUEST_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* As many slots as GET_MAX_MEM_SLOTS tells. QEMU uses one per RAM block and DIMM. */
#define GUEST_MEM_REGIONS_MAX 64

/* A region as the front-end describes it. */
struct guest_region_spec {
	uint64_t guest_addr;  /* guest-physical, what descriptors hold */
	uint64_t size;        /* bytes */
	uint64_t user_addr;   /* in the front-end's address space, what ring addresses are */
	uint64_t file_offset; /* where it starts in its file */
};

struct guest_region {
	struct guest_region_spec spec;
	uint8_t *host;   /* the region's first byte */
	void *map;       /* what to unmap; starts at or before `host` */
	size_t map_size; /* bytes */
};

struct guest_mem {
	struct guest_region regions[GUEST_MEM_REGIONS_MAX];
	unsigned count;
	volatile bool is_lost;  /* a page was missing: what is read there means nothing */
	struct guest_mem *next; /* of those that have regions */
};

/* `mem` zeroed is an empty memory, to be cleared before it is freed or moved. guest_mem_clear()
 * unmaps everything; what was lost is forgotten. */
void guest_mem_clear(struct guest_mem *mem);

/*
 * Maps a region from `fd` (borrowed: close it afterwards). *ret_sealed, if not NULL, says whether
 * the file can't shrink. Returns 0, -ENOSPC (no free slot), -EINVAL (empty, wraps around, or the
 * file is too small), -EEXIST (overlaps another one), or mmap's error. Pointers handed out before
 * stay valid.
 */
int guest_mem_add(struct guest_mem *mem, const struct guest_region_spec *spec, int fd,
		  bool *ret_sealed);
/* Unmaps the region with this guest address, user address and size. Returns 0 or -ENOENT. */
int guest_mem_remove(struct guest_mem *mem, const struct guest_region_spec *spec);

/* The `size` bytes (>= 1) at an address of the front-end, or NULL unless they lie in one region. */
void *guest_mem_at_user(const struct guest_mem *mem, uint64_t user_addr, uint64_t size);

/* Translates guest-physical [addr, addr + size) into pieces, one per region that it touches.
 * Returns their number (0 for size 0), -EFAULT where a byte of it isn't memory, or -E2BIG for more
 * than iov_max. */
int guest_mem_iov(const struct guest_mem *mem, uint64_t guest_addr, uint64_t size,
		  struct iovec *iov, unsigned iov_max);
/* Copies guest memory out, once. Returns 0 or -EFAULT, with `to` then undefined. */
int guest_mem_read(const struct guest_mem *mem, uint64_t guest_addr, void *to, size_t size);

#endif
