/* SPDX-License-Identifier: Apache-2.0 */
/* The line that a host's program begins with; and a packet header there and back. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/vsock_packet.h"
#include "virtio/vsock_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t port;
	int r = vsock_handshake_parse((const char *)data, size, &port);

	/* A longer input can't be good when a shorter one was bad already. */
	for (size_t i = 0; i < size && r >= 0; i++)
		if (vsock_handshake_parse((const char *)data, i, &port) != 0)
			abort();
	if (size >= VSOCK_HEADER_SIZE) {
		uint8_t again[VSOCK_HEADER_SIZE];
		struct vsock_header header = vsock_header_decode(data);

		vsock_header_encode(&header, again);
		if (memcmp(data, again, sizeof(again)) != 0)
			abort();
	}
	return 0;
}
