/* SPDX-License-Identifier: Apache-2.0 */
/* A port for a client that a guest can't know by its own, as that is taken, or as it has none. */
#ifndef FORWARDER_RANDOM_PORT_H
#define FORWARDER_RANDOM_PORT_H

#include <stdint.h>
#include <sys/random.h>

/* Of the dynamic range (RFC 6335, 6). */
static inline uint16_t random_port(void)
{
	uint16_t bits = 0;

	if (getrandom(&bits, sizeof(bits), 0) < 0)
		bits = 0;
	return (uint16_t)(49152 + bits % 16384);
}

#endif
