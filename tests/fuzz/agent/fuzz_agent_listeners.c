/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes what the agent reads: the first byte says whether it is sock_diag's messages, /proc/net's
 * text, or a stream of frames. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent_policy.h"
#include "agent/frame_buffer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct listeners listeners;
static struct agent_wanted wanted[AGENT_WANTED_MAX];

static void check(void)
{
	struct agent_policy policy = {
		.tcp = true, .udp = true, .loopback = true, .privileged = true};
	struct addr none = {.family = AF_UNSPEC};
	size_t count = agent_policy_apply(&policy, &listeners, &none, wanted);

	for (size_t i = 0; i < count; i++) {
		if (wanted[i].port == 0 || (i > 0 && wanted[i].udp == wanted[i - 1].udp &&
					    wanted[i].port <= wanted[i - 1].port))
			abort();
	}
}

static void fuzz_frames(const uint8_t *data, size_t size)
{
	static struct frame_buffer buffer;
	const uint8_t *frame;
	size_t frame_size, room, total = 0;
	int r;

	frame_buffer_clear(&buffer);
	while (size > 0) {
		uint8_t *to = frame_buffer_space(&buffer, &room);

		if (room > size)
			room = size;
		if (room == 0)
			abort();
		memcpy(to, data, room);
		frame_buffer_received(&buffer, room);
		data += room;
		size -= room;
		total += room;
		while ((r = frame_buffer_next(&buffer, &frame, &frame_size)) > 0) {
			if (frame_size == 0 || frame_size + FRAME_HEADER > total)
				abort();
			total -= frame_size + FRAME_HEADER;
		}
		if (r < 0)
			return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int error = 0;

	if (size == 0)
		return 0;
	listeners.count = 0;
	listeners.overflow = false;
	if (data[0] == 'f') {
		fuzz_frames(data + 1, size - 1);
		return 0;
	}
	char *copy = malloc(size);
	if (!copy)
		abort();
	memcpy(copy, data + 1, size - 1);
	copy[size - 1] = '\0';
	if (data[0] == 'p')
		listeners_add_proc(&listeners, size % 2, copy);
	else if (listeners_add_diag(&listeners, size % 2, copy, size - 1, &error) == DIAG_FAILED &&
		 error >= 0)
		abort();
	free(copy);
	check();
	return 0;
}
