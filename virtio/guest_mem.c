/* SPDX-License-Identifier: Apache-2.0 */
/* Mapping and translating a guest's memory; see guest_mem.h for the contract. */
#include "virtio/guest_mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Pages that are missing ---- */

/* All that have regions: a signal belongs to the process. It is raised by what touches the page, so
 * nothing of this is being changed at that moment. */
static struct guest_mem *all;
static struct sigaction before_us;

static struct guest_region *region_at(uintptr_t at, struct guest_mem **ret_mem)
{
	for (struct guest_mem *mem = all; mem; mem = mem->next) {
		for (unsigned i = 0; i < mem->count; i++) {
			struct guest_region *region = &mem->regions[i];

			if (at - (uintptr_t)region->map < region->map_size) {
				*ret_mem = mem;
				return region;
			}
		}
	}
	return NULL;
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
	struct guest_mem *mem;
	struct guest_region *region = region_at((uintptr_t)info->si_addr, &mem);

	(void)context;
	/* What isn't ours comes again, to whoever it was for. */
	if (!region ||
	    mmap(region->map, region->map_size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
		sigaction(number, &before_us, NULL);
	else
		mem->is_lost = true;
}

static int catch_sigbus(void)
{
	static bool done;
	struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};

	if (done)
		return 0;
	if (sigaction(SIGBUS, &action, &before_us) < 0)
		return -errno;
	done = true;
	return 0;
}

static void list_in_all(struct guest_mem *mem)
{
	if (mem->count > 0)
		return;
	mem->next = all;
	all = mem;
}

static void unlist_from_all(struct guest_mem *mem)
{
	struct guest_mem **at = &all;

	if (mem->count > 0)
		return;
	while (*at && *at != mem)
		at = &(*at)->next;
	if (*at)
		*at = mem->next;
	mem->is_lost = false;
}

/* ---- Mapping ---- */

static void region_unmap(struct guest_region *region)
{
	munmap(region->map, region->map_size);
}

void guest_mem_clear(struct guest_mem *mem)
{
	for (unsigned i = 0; i < mem->count; i++)
		region_unmap(&mem->regions[i]);
	mem->count = 0;
	unlist_from_all(mem);
}

static bool ranges_overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

static int spec_check(const struct guest_mem *mem, const struct guest_region_spec *spec)
{
	uint64_t end;

	if (mem->count >= GUEST_MEM_REGIONS_MAX)
		return -ENOSPC;
	if (spec->size == 0 || __builtin_add_overflow(spec->guest_addr, spec->size, &end) ||
	    __builtin_add_overflow(spec->user_addr, spec->size, &end) ||
	    __builtin_add_overflow(spec->file_offset, spec->size, &end) || end > INT64_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < mem->count; i++) {
		const struct guest_region_spec *other = &mem->regions[i].spec;

		if (ranges_overlap(spec->guest_addr, spec->size, other->guest_addr, other->size) ||
		    ranges_overlap(spec->user_addr, spec->size, other->user_addr, other->size))
			return -EEXIST;
	}
	return 0;
}

/* Offset and length of a mapping must be multiples of the page size: on hugetlbfs of the huge
 * page's, which is what that file system calls its block size. */
static uint64_t map_alignment(const struct stat *st)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t block = (uint64_t)st->st_blksize;

	return block > page && (block & (block - 1)) == 0 ? block : page;
}

int guest_mem_add(struct guest_mem *mem, const struct guest_region_spec *spec, int fd,
		  bool *ret_sealed)
{
	struct guest_region *region = &mem->regions[mem->count];
	struct stat st;
	int r = spec_check(mem, spec);

	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < spec->file_offset + spec->size)
		return -EINVAL;
	r = catch_sigbus();
	if (r < 0)
		return r;

	uint64_t alignment = map_alignment(&st);
	uint64_t start = spec->file_offset & ~(alignment - 1);
	uint64_t size = spec->file_offset + spec->size - start;

	size = (size + alignment - 1) & ~(alignment - 1);
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
			 (off_t)start);
	if (map == MAP_FAILED)
		return -errno;
	/* A core dump of ours must not hold the guest's memory. */
	madvise(map, size, MADV_DONTDUMP);
	if (ret_sealed) {
		int seals = fcntl(fd, F_GET_SEALS);

		*ret_sealed = seals >= 0 && (seals & F_SEAL_SHRINK);
	}
	list_in_all(mem);
	*region = (struct guest_region){
		.spec = *spec,
		.host = (uint8_t *)map + (spec->file_offset - start),
		.map = map,
		.map_size = size,
	};
	mem->count++;
	return 0;
}

int guest_mem_remove(struct guest_mem *mem, const struct guest_region_spec *spec)
{
	for (unsigned i = 0; i < mem->count; i++) {
		struct guest_region *region = &mem->regions[i];

		if (region->spec.guest_addr != spec->guest_addr ||
		    region->spec.user_addr != spec->user_addr || region->spec.size != spec->size)
			continue;
		region_unmap(region);
		*region = mem->regions[--mem->count];
		unlist_from_all(mem);
		return 0;
	}
	return -ENOENT;
}

/* ---- Translating ---- */

void *guest_mem_at_user(const struct guest_mem *mem, uint64_t user_addr, uint64_t size)
{
	for (unsigned i = 0; i < mem->count; i++) {
		const struct guest_region *region = &mem->regions[i];
		uint64_t offset = user_addr - region->spec.user_addr;

		if (user_addr >= region->spec.user_addr && offset < region->spec.size)
			return size <= region->spec.size - offset ? region->host + offset : NULL;
	}
	return NULL;
}

/* The bytes from `guest_addr` to the end of its region: a pointer to the first, their number in
 * *ret_size; NULL where there is no memory. */
static uint8_t *guest_mem_span(const struct guest_mem *mem, uint64_t guest_addr, uint64_t *ret_size)
{
	for (unsigned i = 0; i < mem->count; i++) {
		const struct guest_region *region = &mem->regions[i];
		uint64_t offset = guest_addr - region->spec.guest_addr;

		if (guest_addr >= region->spec.guest_addr && offset < region->spec.size) {
			*ret_size = region->spec.size - offset;
			return region->host + offset;
		}
	}
	return NULL;
}

int guest_mem_iov(const struct guest_mem *mem, uint64_t guest_addr, uint64_t size,
		  struct iovec *iov, unsigned iov_max)
{
	unsigned count = 0;

	while (size > 0) {
		uint64_t span;
		uint8_t *host = guest_mem_span(mem, guest_addr, &span);

		if (!host)
			return -EFAULT;
		if (count == iov_max)
			return -E2BIG;
		if (span > size)
			span = size;
		iov[count++] = (struct iovec){.iov_base = host, .iov_len = span};
		guest_addr += span;
		size -= span;
	}
	return (int)count;
}

int guest_mem_read(const struct guest_mem *mem, uint64_t guest_addr, void *to, size_t size)
{
	uint8_t *bytes = to;

	while (size > 0) {
		uint64_t span;
		const uint8_t *host = guest_mem_span(mem, guest_addr, &span);

		if (!host)
			return -EFAULT;
		if (span > size)
			span = size;
		memcpy(bytes, host, span);
		bytes += span;
		guest_addr += span;
		size -= span;
	}
	/* From here on the copy counts: the compiler must not read the source again. */
	__asm__ volatile("" ::: "memory");
	return 0;
}
