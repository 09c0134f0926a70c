/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtqueues over fuzzed memory. Input: a byte of options, a byte that says in which order chains
 * are returned, and then the memory: descriptors of a ring of 8, at 0x100 the available ring, at
 * 0x200 the used ring. Two regions, adjacent in the guest, so that buffers and tables cross from
 * one to the other. What a chain lets the device write is written, into the rings too.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "virtio/virtq.h"

#define REGION   4096u
#define MEM_SIZE (2 * REGION)
#define SIZE     8
#define IOV_MAX_ 12

static struct guest_mem mem;
static uint8_t *bytes;

static void mem_init(void)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	struct guest_region_spec low = {0x1000, REGION, 0x100000, 0};
	struct guest_region_spec high = {0x1000 + REGION, REGION, 0x100000 + REGION, REGION};

	if (fd < 0 || ftruncate(fd, MEM_SIZE) < 0 || guest_mem_add(&mem, &low, fd, NULL) < 0 ||
	    guest_mem_add(&mem, &high, fd, NULL) < 0)
		abort();
	bytes = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (bytes == MAP_FAILED)
		abort();
	close(fd);
}

/* Reads and writes all that a chain points to. */
static void touch(const struct virtq_chain *chain)
{
	size_t out_size = 0, in_size = 0;
	volatile uint8_t sum = 0;

	if (chain->out_count + chain->in_count > IOV_MAX_)
		abort();
	for (unsigned i = 0; i < chain->out_count; i++) {
		const uint8_t *from = chain->iov[i].iov_base;

		for (size_t k = 0; k < chain->iov[i].iov_len; k++)
			sum = (uint8_t)(sum + from[k]);
		out_size += chain->iov[i].iov_len;
	}
	for (unsigned i = chain->out_count; i < chain->out_count + chain->in_count; i++) {
		memset(chain->iov[i].iov_base, sum, chain->iov[i].iov_len);
		in_size += chain->iov[i].iov_len;
	}
	if (out_size != chain->out_size || in_size != chain->in_size)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct iovec iov[IOV_MAX_];
	struct virtq_chain chain = {.iov = iov, .iov_max = IOV_MAX_};
	struct virtq_conf conf = {.size = SIZE,
				  .desc_user = 0x100000,
				  .avail_user = 0x100100,
				  .used_user = 0x100200,
				  .call_fd = -1};
	uint16_t held[SIZE];
	unsigned held_count = 0;
	const char *reason;
	struct virtq vq;

	if (!bytes)
		mem_init();
	if (size < 2)
		return 0;
	conf.event_idx = data[0] & 1;
	conf.indirect = data[0] & 2;
	conf.base = data[0] >> 4;
	memset(bytes, 0, MEM_SIZE);
	memcpy(bytes, data + 2, size - 2 < MEM_SIZE ? size - 2 : MEM_SIZE);
	if (virtq_start(&vq, &mem, &conf, &reason) < 0)
		abort();
	for (unsigned round = 0; round < 64; round++) {
		bool push = data[1] >> (round % 8) & 1;

		if (push && held_count) {
			unsigned at = round % held_count;

			virtq_push(&vq, held[at], round);
			held[at] = held[--held_count];
			virtq_notify(&vq);
		} else {
			int r = virtq_pop(&vq, &chain);

			if (r < 0)
				break;
			if (r == 0) {
				virtq_kicks_on(&vq);
				continue;
			}
			touch(&chain);
			if (held_count == SIZE)
				abort();
			held[held_count++] = chain.head;
			virtq_kicks_off(&vq);
		}
	}
	while (held_count)
		virtq_push(&vq, held[--held_count], 0);
	virtq_notify(&vq);
	return 0;
}
