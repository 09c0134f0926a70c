/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounds-checked readers and writers for wire formats.
 *
 * Both hold a sticky failure: a read past the end returns zeros (or NULL) and marks the reader, so
 * a parser reads as straight lines and asks wire_ok() once, before it acts on what it read.
 * Integers come out in host order.
 */
#ifndef BASE_WIRE_H
#define BASE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct wire_reader {
	const uint8_t *start; /* first byte of the message, borrowed */
	const uint8_t *pos;   /* next byte to read */
	const uint8_t *end;   /* one past the last byte */
	bool failed;          /* a read went past the end */
};

struct wire_writer {
	uint8_t *start; /* first byte of the buffer, borrowed */
	uint8_t *pos;   /* next byte to write */
	uint8_t *end;   /* one past the last byte */
	bool failed;    /* a write did not fit; nothing of it was written */
};

static inline struct wire_reader wire_reader(const void *data, size_t size)
{
	const uint8_t *bytes = data;

	return (struct wire_reader){
		.start = bytes, .pos = bytes, .end = bytes ? bytes + size : bytes};
}

static inline bool wire_ok(const struct wire_reader *r)
{
	return !r->failed;
}

/* Bytes not read yet; 0 once the reader failed. */
static inline size_t wire_left(const struct wire_reader *r)
{
	return r->failed ? 0 : (size_t)(r->end - r->pos);
}

/* Bytes from the start of the message to the next one to read. */
static inline size_t wire_offset(const struct wire_reader *r)
{
	return (size_t)(r->pos - r->start);
}

/* The next `size` bytes, borrowed from the message, or NULL when there are fewer. */
static inline const uint8_t *wire_bytes(struct wire_reader *r, size_t size)
{
	const uint8_t *bytes = r->pos;

	if (r->failed || (size_t)(r->end - r->pos) < size) {
		r->failed = true;
		return NULL;
	}
	r->pos += size;
	return bytes;
}

static inline void wire_skip(struct wire_reader *r, size_t size)
{
	wire_bytes(r, size);
}

/* Copies the next `size` bytes to `to`, or zeros it when there are fewer. */
static inline void wire_copy(struct wire_reader *r, void *to, size_t size)
{
	const uint8_t *bytes = wire_bytes(r, size);

	if (bytes)
		memcpy(to, bytes, size);
	else
		memset(to, 0, size);
}

/* A reader over the next `size` bytes; a failed one when there are fewer. */
static inline struct wire_reader wire_sub(struct wire_reader *r, size_t size)
{
	const uint8_t *bytes = wire_bytes(r, size);
	struct wire_reader sub = wire_reader(bytes, bytes ? size : 0);

	sub.failed = bytes == NULL;
	return sub;
}

static inline uint8_t wire_u8(struct wire_reader *r)
{
	const uint8_t *b = wire_bytes(r, 1);

	return b ? b[0] : 0;
}

static inline uint16_t wire_be16(struct wire_reader *r)
{
	const uint8_t *b = wire_bytes(r, 2);

	return b ? (uint16_t)(b[0] << 8 | b[1]) : 0;
}

static inline uint32_t wire_be32(struct wire_reader *r)
{
	const uint8_t *b = wire_bytes(r, 4);

	return b ? (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3] : 0;
}

static inline uint64_t wire_be64(struct wire_reader *r)
{
	struct wire_reader sub = wire_sub(r, 8);
	uint64_t high = wire_be32(&sub);

	return high << 32 | wire_be32(&sub);
}

static inline uint16_t wire_le16(struct wire_reader *r)
{
	const uint8_t *b = wire_bytes(r, 2);

	return b ? (uint16_t)(b[1] << 8 | b[0]) : 0;
}

static inline uint32_t wire_le32(struct wire_reader *r)
{
	const uint8_t *b = wire_bytes(r, 4);

	return b ? (uint32_t)b[3] << 24 | (uint32_t)b[2] << 16 | (uint32_t)b[1] << 8 | b[0] : 0;
}

static inline uint64_t wire_le64(struct wire_reader *r)
{
	struct wire_reader sub = wire_sub(r, 8);
	uint64_t low = wire_le32(&sub);

	return low | (uint64_t)wire_le32(&sub) << 32;
}

static inline struct wire_writer wire_writer(void *buffer, size_t size)
{
	uint8_t *bytes = buffer;

	return (struct wire_writer){.start = bytes, .pos = bytes, .end = bytes + size};
}

static inline bool wire_fits(const struct wire_writer *w)
{
	return !w->failed;
}

/* Bytes written so far. */
static inline size_t wire_written(const struct wire_writer *w)
{
	return (size_t)(w->pos - w->start);
}

/* Room that is left; 0 once a write failed. */
static inline size_t wire_room(const struct wire_writer *w)
{
	return w->failed ? 0 : (size_t)(w->end - w->pos);
}

/* Reserves `size` bytes to be filled by the caller; NULL when they don't fit. */
static inline uint8_t *wire_put_space(struct wire_writer *w, size_t size)
{
	uint8_t *bytes = w->pos;

	if (w->failed || (size_t)(w->end - w->pos) < size) {
		w->failed = true;
		return NULL;
	}
	w->pos += size;
	return bytes;
}

static inline void wire_put_bytes(struct wire_writer *w, const void *data, size_t size)
{
	uint8_t *bytes = wire_put_space(w, size);

	if (bytes && size)
		memcpy(bytes, data, size);
}

static inline void wire_put_zeros(struct wire_writer *w, size_t size)
{
	uint8_t *bytes = wire_put_space(w, size);

	if (bytes)
		memset(bytes, 0, size);
}

static inline void wire_put_u8(struct wire_writer *w, uint8_t value)
{
	wire_put_bytes(w, &value, 1);
}

static inline void wire_put_be16(struct wire_writer *w, uint16_t value)
{
	wire_put_bytes(w, (uint8_t[]){value >> 8, value & 0xff}, 2);
}

static inline void wire_put_be32(struct wire_writer *w, uint32_t value)
{
	wire_put_bytes(w, (uint8_t[]){value >> 24, value >> 16, value >> 8, value}, 4);
}

static inline void wire_put_be64(struct wire_writer *w, uint64_t value)
{
	uint8_t *b = wire_put_space(w, 8);

	for (int i = 0; b && i < 8; i++)
		b[i] = (uint8_t)(value >> (56 - 8 * i));
}

static inline void wire_put_le16(struct wire_writer *w, uint16_t value)
{
	wire_put_bytes(w, (uint8_t[]){value & 0xff, value >> 8}, 2);
}

static inline void wire_put_le32(struct wire_writer *w, uint32_t value)
{
	wire_put_bytes(w, (uint8_t[]){value, value >> 8, value >> 16, value >> 24}, 4);
}

static inline void wire_put_le64(struct wire_writer *w, uint64_t value)
{
	uint8_t *b = wire_put_space(w, 8);

	for (int i = 0; b && i < 8; i++)
		b[i] = (uint8_t)(value >> 8 * i);
}

#endif
