/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Internet checksum (RFC 1071), in the pieces that offloads need: a running sum over byte
 * ranges at any parity, the fold, the pseudo-headers of IPv4 and IPv6, and the incremental update
 * of RFC 1624. Running sums are in the byte order of memory: store a folded result with memcpy,
 * without swapping it.
 */
#ifndef BASE_CSUM_H
#define BASE_CSUM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/addr.h"

/* Adds `size` bytes to `sum`. Every range but the last of a message must have an even size; where
 * one hasn't, use csum_add_iov(). */
uint32_t csum_add(uint32_t sum, const void *data, size_t size);
/* Adds bytes [offset, offset + size) of a vector, in which they must lie; pieces of any size. */
uint32_t csum_add_iov(uint32_t sum, const struct iovec *iov, size_t iov_count, size_t offset,
		      size_t size);
/* Adds the pseudo-header: addresses of one family, protocol, size of transport header and data. */
uint32_t csum_add_pseudo(uint32_t sum, const struct addr *src, const struct addr *dst,
			 uint8_t protocol, uint32_t size);
/* Folds a running sum to the 16 bits that go into a header: its complement. A correct message,
 * summed with its checksum in place, folds to 0. */
uint16_t csum_fold(uint32_t sum);
/* The checksum after a 16-bit word of the message went from `before` to `after`; as in memory. */
uint16_t csum_update16(uint16_t csum, uint16_t before, uint16_t after);

#endif
