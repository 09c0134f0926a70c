/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Internet checksum.
 *
 * One's complement sums may be taken over words of any width, as 2^16 is 1 modulo 0xffff: 64-bit
 * words are summed with end-around carry and folded at the end. Four accumulators keep the
 * additions independent of each other. Processors with AVX2 take long ranges 128 bytes at a time.
 */
#include "base/csum.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

static inline uint64_t load64(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

static inline uint64_t add64(uint64_t sum, uint64_t word)
{
	sum += word;
	return sum + (sum < word);
}

static inline uint32_t fold64(uint64_t sum)
{
	sum = (sum >> 32) + (uint32_t)sum;
	return (uint32_t)((sum >> 32) + (uint32_t)sum);
}

/* The last bytes, less than 8, as if zeros followed. */
static inline uint64_t load_tail(const uint8_t *at, size_t size)
{
	uint64_t word = 0;

	memcpy(&word, at, size);
	return word;
}

#if defined(__x86_64__)

#define WIDE_SIZE    128 /* bytes of one step */
#define WIDE_MINIMUM 256 /* below it, setting up costs more than it saves */

static bool wide_available(void)
{
	return __builtin_cpu_supports("avx2");
}

/* Adds the 32-bit words of 32 bytes to the 64-bit lanes of *even and *odd. */
__attribute__((target("avx2"))) static inline void add_wide(__m256i *even, __m256i *odd,
							    const uint8_t *at)
{
	__m256i words = _mm256_loadu_si256((const __m256i *)at);

	*even = _mm256_add_epi64(*even, _mm256_blend_epi32(words, _mm256_setzero_si256(), 0xaa));
	*odd = _mm256_add_epi64(*odd, _mm256_srli_epi64(words, 32));
}

/* Sums whole steps of WIDE_SIZE. Lanes don't overflow before 2^32 steps, so nothing needs a carry
 * on the way. */
__attribute__((target("avx2"))) static uint64_t sum_wide(const uint8_t *at, size_t steps)
{
	__m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
	uint64_t lanes[4];

	for (; steps; steps--, at += WIDE_SIZE) {
		add_wide(&a, &b, at);
		add_wide(&c, &d, at + 32);
		add_wide(&a, &b, at + 64);
		add_wide(&c, &d, at + 96);
	}
	a = _mm256_add_epi64(_mm256_add_epi64(a, b), _mm256_add_epi64(c, d));
	_mm256_storeu_si256((__m256i *)lanes, a);
	return add64(add64(lanes[0], lanes[1]), add64(lanes[2], lanes[3]));
}

#else

#define WIDE_SIZE    1
#define WIDE_MINIMUM SIZE_MAX

static bool wide_available(void)
{
	return false;
}

static uint64_t sum_wide(const uint8_t *at, size_t steps)
{
	(void)at;
	(void)steps;
	return 0;
}

#endif

uint32_t csum_add(uint32_t sum, const void *data, size_t size)
{
	const uint8_t *at = data;
	uint64_t a = sum;
	uint64_t b = 0;
	uint64_t c = 0;
	uint64_t d = 0;

	if (size >= WIDE_MINIMUM && wide_available()) {
		size_t steps = size / WIDE_SIZE;

		b = sum_wide(at, steps);
		at += steps * WIDE_SIZE;
		size -= steps * WIDE_SIZE;
	}
	for (; size >= 32; size -= 32, at += 32) {
		a = add64(a, load64(at));
		b = add64(b, load64(at + 8));
		c = add64(c, load64(at + 16));
		d = add64(d, load64(at + 24));
	}
	for (; size >= 8; size -= 8, at += 8)
		a = add64(a, load64(at));
	if (size > 0)
		b = add64(b, load_tail(at, size));
	return fold64(add64(add64(a, b), add64(c, d)));
}

/* A sum of bytes that start at an odd place: each byte counts in the other half of its word. */
static uint32_t swap_parity(uint32_t sum)
{
	uint32_t low = (sum & 0xff00ff) << 8;
	uint32_t high = sum >> 8 & 0xff00ff;

	return low | high;
}

uint32_t csum_add_iov(uint32_t sum, const struct iovec *iov, size_t iov_count, size_t offset,
		      size_t size)
{
	bool odd = false;

	for (size_t i = 0; i < iov_count && size > 0; i++) {
		size_t piece = iov[i].iov_len;
		uint32_t piece_sum;

		if (offset >= piece) {
			offset -= piece;
			continue;
		}
		piece -= offset;
		if (piece > size)
			piece = size;
		piece_sum = csum_add(0, (const uint8_t *)iov[i].iov_base + offset, piece);
		if (odd)
			piece_sum = swap_parity(piece_sum);
		sum = fold64((uint64_t)sum + piece_sum);
		odd ^= piece & 1;
		offset = 0;
		size -= piece;
	}
	assert(size == 0);
	return sum;
}

uint32_t csum_add_pseudo(uint32_t sum, const struct addr *src, const struct addr *dst,
			 uint8_t protocol, uint32_t size)
{
	assert(src->family == dst->family);
	if (src->family == AF_INET) {
		sum = csum_add(sum, &src->v4, sizeof(src->v4));
		sum = csum_add(sum, &dst->v4, sizeof(dst->v4));
	} else {
		sum = csum_add(sum, &src->v6, sizeof(src->v6));
		sum = csum_add(sum, &dst->v6, sizeof(dst->v6));
	}
	/* IPv4 has 16 bits of size where IPv6 has 32; in the sum that is the same. */
	return fold64((uint64_t)sum + htonl(size) + htons(protocol));
}

uint16_t csum_fold(uint32_t sum)
{
	sum = (sum >> 16) + (sum & 0xffff);
	sum += sum >> 16;
	return (uint16_t)~sum;
}

uint16_t csum_update16(uint16_t csum, uint16_t before, uint16_t after)
{
	/* RFC 1624, equation 3. */
	return csum_fold((uint32_t)(uint16_t)~csum + (uint16_t)~before + after);
}
