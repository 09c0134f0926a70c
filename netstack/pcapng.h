/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pcapng files (draft-ietf-opsawg-pcapng): the blocks that a capture of ours consists of. Each
 * function writes one block to a buffer that is large enough, and returns its size. Pure.
 *
 * There is an interface for every link that frames were seen on, by its name; times are in
 * nanoseconds; a packet says which way it went, seen from the network: "inbound" is from the guest.
 */
#ifndef NETSTACK_PCAPNG_H
#define NETSTACK_PCAPNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define PCAPNG_SECTION_SIZE_MAX   128
#define PCAPNG_INTERFACE_SIZE_MAX 320
/* Besides the bytes of the frame. */
#define PCAPNG_PACKET_OVERHEAD 64
#define PCAPNG_NAME_MAX        128

struct pcapng_packet {
	uint32_t interface; /* counted from 0 in the order of their blocks */
	uint64_t time_ns;   /* since 1970 */
	const struct iovec *iov;
	unsigned iov_count;
	uint32_t size;    /* of the frame */
	uint32_t snaplen; /* most bytes of it that are kept */
	bool to_guest;
	uint64_t dropped; /* packets of the interface that were lost since the one before */
};

size_t pcapng_section(uint8_t to[static PCAPNG_SECTION_SIZE_MAX]);
/* A name longer than PCAPNG_NAME_MAX is cut. */
size_t pcapng_interface(const char *name, uint32_t snaplen,
			uint8_t to[static PCAPNG_INTERFACE_SIZE_MAX]);
/* `to` has room for the bytes that are kept and PCAPNG_PACKET_OVERHEAD. */
size_t pcapng_packet(const struct pcapng_packet *packet, uint8_t *to);

#endif
