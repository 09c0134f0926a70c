/* SPDX-License-Identifier: Apache-2.0 */
/* Small allocations of libevent, apart from the heap; see loop_memory.h. */
#include "base/loop_memory.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* What libevent keeps for a descriptor fits one cell. Address space for a million of them; pages
 * come as they are used. */
#define CELL_SIZE   32
#define CELLS_MAX   (1024 * 1024)
#define REGION_SIZE ((size_t)CELL_SIZE * CELLS_MAX)

union cell {
	union cell *next_free;
	uint8_t bytes[CELL_SIZE];
};

static union cell *region; /* NULL: none, use the heap */
static size_t region_used; /* cells taken from it so far */
static union cell *free_cells;

static bool in_region(const void *memory)
{
	const union cell *cell = memory;

	return region && cell >= region && cell < region + CELLS_MAX;
}

static void *loop_malloc(size_t size)
{
	union cell *cell = free_cells;

	if (size > CELL_SIZE || !region || (!cell && region_used == CELLS_MAX))
		return malloc(size);
	if (cell)
		free_cells = cell->next_free;
	else
		cell = &region[region_used++];
	return cell;
}

static void loop_release(void *memory)
{
	union cell *cell = memory;

	if (!in_region(memory)) {
		free(memory);
		return;
	}
	cell->next_free = free_cells;
	free_cells = cell;
}

static void *loop_realloc(void *memory, size_t size)
{
	void *moved;

	if (!in_region(memory))
		return realloc(memory, size);
	if (size <= CELL_SIZE)
		return memory;
	moved = malloc(size);
	if (!moved)
		return NULL;
	memcpy(moved, memory, CELL_SIZE);
	loop_release(memory);
	return moved;
}

void loop_memory_setup(void)
{
	static bool done;
	void *mapped;

#ifdef NETPROXY_SANITIZE
	/* A sanitizer watches each allocation, and doesn't look for pointers in memory that isn't
	 * the heap's. */
	done = true;
#endif
	if (done)
		return;
	done = true;
	mapped = mmap(NULL, REGION_SIZE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mapped != MAP_FAILED)
		region = mapped;
	event_set_mem_functions(loop_malloc, loop_realloc, loop_release);
}
