/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's end of a vsock connection: a unix stream socket, and a buffer for what it did not take
 * at once, bounded by the credit that the guest was given. The buffer exists only while something
 * is in it.
 */
#ifndef VIRTIO_VSOCK_STREAM_H
#define VIRTIO_VSOCK_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* "CONNECT 4294967295\n" has 19 bytes. */
#define VSOCK_HANDSHAKE_MAX 32

struct vsock_buffer {
	uint8_t *bytes; /* a ring of `capacity` bytes, NULL while empty */
	size_t capacity;
	size_t first; /* the oldest byte */
	size_t size;  /* bytes in it */
};

void vsock_buffer_free(struct vsock_buffer *buffer);

/*
 * Sends a vector on `fd`, behind what is buffered, and buffers what the socket doesn't take; the
 * buffer may grow to `size_max` bytes, which must suffice. Returns the bytes that left, from the
 * buffer or the vector, or -errno when the socket is over.
 */
ssize_t vsock_stream_send(int fd, struct vsock_buffer *buffer, size_t size_max,
			  const struct iovec *iov, unsigned iov_count);
/* Sends what is buffered, as far as the socket takes it. Returns the bytes that left, or -errno. */
ssize_t vsock_stream_flush(int fd, struct vsock_buffer *buffer);

/* The other side has gone, or has shut both directions down: not just sent its last byte. */
bool vsock_stream_hung_up(int fd);

/* The part [offset, offset + size) of a vector, which must lie in it, as a vector: at most
 * iov_count pieces in `to`. Returns their number. */
unsigned vsock_iov_slice(const struct iovec *iov, unsigned iov_count, size_t offset, size_t size,
			 struct iovec *to);
/* Copies between the start of a vector, which must be long enough, and a buffer. */
void vsock_iov_read(const struct iovec *iov, void *to, size_t size);
void vsock_iov_write(const struct iovec *iov, const void *from, size_t size);

/* The line that a host program asks with: "CONNECT <port>\n". Returns 1 with *ret_port, 0 while it
 * is incomplete, or -EPROTO. */
int vsock_handshake_parse(const char *line, size_t size, uint32_t *ret_port);
/* Reads on at such a line, and not a byte beyond its end: *size bytes of it are in `line` already.
 * Returns 1 at its end, -EAGAIN when more has to come, -ENODATA at the stream's end, -EPROTO when
 * it is too long. */
int vsock_handshake_read(int fd, char line[static VSOCK_HANDSHAKE_MAX], size_t *size);

#endif
