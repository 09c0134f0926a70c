/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets, buffers and vectors of the vsock device's host side; see vsock_stream.h. */
#include "virtio/vsock_stream.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define BUFFER_FIRST_SIZE 4096

void vsock_buffer_free(struct vsock_buffer *buffer)
{
	free(buffer->bytes);
	*buffer = (struct vsock_buffer){0};
}

/* The content, oldest byte first, in at most two pieces. */
static unsigned buffer_pieces(const struct vsock_buffer *buffer, struct iovec to[static 2])
{
	size_t to_end = buffer->capacity - buffer->first;

	if (buffer->size == 0)
		return 0;
	to[0] = (struct iovec){buffer->bytes + buffer->first, buffer->size};
	if (buffer->size <= to_end)
		return 1;
	to[0].iov_len = to_end;
	to[1] = (struct iovec){buffer->bytes, buffer->size - to_end};
	return 2;
}

/* Makes room for `size` more bytes. */
static int buffer_grow(struct vsock_buffer *buffer, size_t size, size_t size_max)
{
	size_t capacity = buffer->capacity ? buffer->capacity : BUFFER_FIRST_SIZE;
	size_t copied = 0;
	struct iovec pieces[2];
	uint8_t *bytes;

	assert(buffer->size + size <= size_max);
	while (capacity < buffer->size + size)
		capacity *= 2;
	if (capacity == buffer->capacity)
		return 0;
	bytes = malloc(capacity);
	if (!bytes)
		return -ENOMEM;
	unsigned count = buffer_pieces(buffer, pieces);

	for (unsigned i = 0; i < count; i++) {
		memcpy(bytes + copied, pieces[i].iov_base, pieces[i].iov_len);
		copied += pieces[i].iov_len;
	}
	free(buffer->bytes);
	*buffer = (struct vsock_buffer){.bytes = bytes, .capacity = capacity, .size = copied};
	return 0;
}

static void buffer_append(struct vsock_buffer *buffer, const uint8_t *from, size_t size)
{
	size_t at = (buffer->first + buffer->size) % buffer->capacity;
	size_t to_end = buffer->capacity - at;

	if (to_end > size)
		to_end = size;
	memcpy(buffer->bytes + at, from, to_end);
	memcpy(buffer->bytes, from + to_end, size - to_end);
	buffer->size += size;
}

/* Returns the bytes sent, 0 when the socket is full, or -errno. */
static ssize_t send_vector(int fd, const struct iovec *iov, unsigned iov_count)
{
	struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = iov_count};
	ssize_t sent;

	do
		sent = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return errno == EAGAIN ? 0 : -errno;
	return sent;
}

ssize_t vsock_stream_flush(int fd, struct vsock_buffer *buffer)
{
	size_t total = 0;

	while (buffer->size > 0) {
		struct iovec pieces[2];
		ssize_t sent = send_vector(fd, pieces, buffer_pieces(buffer, pieces));

		if (sent < 0)
			return sent;
		if (sent == 0)
			return (ssize_t)total;
		buffer->first = (buffer->first + (size_t)sent) % buffer->capacity;
		buffer->size -= (size_t)sent;
		total += (size_t)sent;
	}
	vsock_buffer_free(buffer);
	return (ssize_t)total;
}

ssize_t vsock_stream_send(int fd, struct vsock_buffer *buffer, size_t size_max,
			  const struct iovec *iov, unsigned iov_count)
{
	ssize_t flushed = vsock_stream_flush(fd, buffer);
	ssize_t sent = 0;
	size_t size = 0;
	size_t skip;

	if (flushed < 0)
		return flushed;
	for (unsigned i = 0; i < iov_count; i++)
		size += iov[i].iov_len;
	if (size && !buffer->size)
		sent = send_vector(fd, iov, iov_count);
	if (sent < 0)
		return sent;
	if ((size_t)sent == size)
		return flushed + sent;
	if (buffer_grow(buffer, size - (size_t)sent, size_max) < 0)
		return -ENOMEM;
	skip = (size_t)sent;
	for (unsigned i = 0; i < iov_count; i++) {
		size_t here = skip < iov[i].iov_len ? skip : iov[i].iov_len;

		buffer_append(buffer, (uint8_t *)iov[i].iov_base + here, iov[i].iov_len - here);
		skip -= here;
	}
	return flushed + sent;
}

bool vsock_stream_hung_up(int fd)
{
	struct pollfd pfd = {.fd = fd};

	return poll(&pfd, 1, 0) > 0 && (pfd.revents & (POLLHUP | POLLERR));
}

unsigned vsock_iov_slice(const struct iovec *iov, unsigned iov_count, size_t offset, size_t size,
			 struct iovec *to)
{
	unsigned count = 0;

	for (unsigned i = 0; i < iov_count && size > 0; i++) {
		size_t length = iov[i].iov_len;

		if (offset >= length) {
			offset -= length;
			continue;
		}
		length -= offset;
		if (length > size)
			length = size;
		to[count++] = (struct iovec){(uint8_t *)iov[i].iov_base + offset, length};
		offset = 0;
		size -= length;
	}
	return count;
}

void vsock_iov_read(const struct iovec *iov, void *to, size_t size)
{
	uint8_t *bytes = to;

	for (; size > 0; iov++) {
		size_t length = iov->iov_len < size ? iov->iov_len : size;

		memcpy(bytes, iov->iov_base, length);
		bytes += length;
		size -= length;
	}
	/* From here on the copy counts: the compiler must not read the source again. */
	__asm__ volatile("" ::: "memory");
}

void vsock_iov_write(const struct iovec *iov, const void *from, size_t size)
{
	const uint8_t *bytes = from;

	for (; size > 0; iov++) {
		size_t length = iov->iov_len < size ? iov->iov_len : size;

		memcpy(iov->iov_base, bytes, length);
		bytes += length;
		size -= length;
	}
}

int vsock_handshake_parse(const char *line, size_t size, uint32_t *ret_port)
{
	static const char word[] = "CONNECT ";
	const size_t word_size = sizeof(word) - 1;
	size_t compared = size < word_size ? size : word_size;
	uint64_t port = 0;
	size_t i = word_size;

	if (size > VSOCK_HANDSHAKE_MAX || strncasecmp(line, word, compared) != 0)
		return -EPROTO;
	for (; i < size && line[i] >= '0' && line[i] <= '9'; i++) {
		port = port * 10 + (uint64_t)(line[i] - '0');
		if (port > UINT32_MAX)
			return -EPROTO;
	}
	if (i >= size)
		return size < VSOCK_HANDSHAKE_MAX ? 0 : -EPROTO;
	if (i == word_size || i + 1 != size || line[i] != '\n')
		return -EPROTO;
	*ret_port = (uint32_t)port;
	return 1;
}

int vsock_handshake_read(int fd, char line[static VSOCK_HANDSHAKE_MAX], size_t *size)
{
	while (*size < VSOCK_HANDSHAKE_MAX) {
		size_t room = VSOCK_HANDSHAKE_MAX - *size;
		ssize_t got = recv(fd, line + *size, room, MSG_PEEK | MSG_DONTWAIT);

		if (got == 0)
			return -ENODATA;
		if (got < 0)
			return -errno;
		const char *end = memchr(line + *size, '\n', (size_t)got);
		size_t take = end ? (size_t)(end + 1 - (line + *size)) : (size_t)got;

		got = recv(fd, line + *size, take, MSG_DONTWAIT);
		if (got < 0)
			return -errno;
		*size += (size_t)got;
		if (end)
			return 1;
	}
	return -EPROTO;
}
