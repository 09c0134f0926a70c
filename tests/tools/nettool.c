/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nettool: the bulk half of the end-to-end tests. The tests make and connect sockets in whichever
 * namespace they need and hand them over as inherited fds; this program moves a deterministic byte
 * stream through one of them and says at which byte it went wrong.
 *
 * Byte n of a stream is a function of seed and n alone, so a lost, doubled, moved or altered byte
 * shows at its position.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#define CHUNK_SIZE      (256 * 1024)
#define STALL_S_DEFAULT 30

struct job {
	int fd;
	uint64_t seed;
	uint64_t size;
	long stall_s; /* give up when nothing moved for so long */
	bool end;     /* send: shut down afterwards; recv: expect the end of the stream */
};

static const char usage_text[] =
	"usage: nettool send|recv FD SEED SIZE [--end] [--stall SECONDS]\n"
	"  send  writes SIZE bytes of stream SEED to the connected socket FD\n"
	"  recv  reads and compares SIZE bytes of it\n"
	"  --end    send: shutdown(SHUT_WR) after the last byte; recv: the stream must end there\n"
	"  --stall  fail when nothing moved for SECONDS (30)\n";

/* splitmix64: a good mix of a counter, with no state to carry. */
static uint64_t stream_word(uint64_t seed, uint64_t index)
{
	uint64_t z = seed + (index + 1) * UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* Fills a chunk with the stream's bytes from `offset`, a multiple of CHUNK_SIZE, on. */
static void stream_fill(uint64_t *chunk, uint64_t seed, uint64_t offset)
{
	for (size_t i = 0; i < CHUNK_SIZE / sizeof(*chunk); i++)
		chunk[i] = stream_word(seed, offset / sizeof(*chunk) + i);
}

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static int report(const struct job *job, const char *verb, uint64_t done, int error)
{
	if (error == EAGAIN)
		fprintf(stderr,
			"nettool: %s: stalled: nothing moved for %ld s at byte %" PRIu64
			" of %" PRIu64 "\n",
			verb, job->stall_s, done, job->size);
	else
		fprintf(stderr, "nettool: %s: %s at byte %" PRIu64 " of %" PRIu64 "\n", verb,
			strerror(error), done, job->size);
	return 1;
}

static int job_send(const struct job *job)
{
	static uint64_t chunk[CHUNK_SIZE / sizeof(uint64_t)];

	for (uint64_t done = 0; done < job->size;) {
		size_t at = done % CHUNK_SIZE;
		size_t want = CHUNK_SIZE - at;
		ssize_t n;

		if (at == 0)
			stream_fill(chunk, job->seed, done);
		if (want > job->size - done)
			want = job->size - done;
		n = send(job->fd, (const char *)chunk + at, want, MSG_NOSIGNAL);
		if (n < 0 && errno != EINTR)
			return report(job, "send", done, errno);
		if (n > 0)
			done += (uint64_t)n;
	}
	if (job->end && shutdown(job->fd, SHUT_WR) < 0)
		return report(job, "shutdown", job->size, errno);
	return 0;
}

/* Index of the first byte that differs. */
static size_t mismatch(const uint8_t *a, const uint8_t *b, size_t size)
{
	size_t i = 0;

	while (i < size && a[i] == b[i])
		i++;
	return i;
}

static int expect_end(const struct job *job)
{
	uint8_t byte;
	ssize_t n;

	do
		n = recv(job->fd, &byte, 1, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return report(job, "recv of the end", job->size, errno);
	if (n > 0) {
		fprintf(stderr, "nettool: recv: the stream goes on after its %" PRIu64 " bytes\n",
			job->size);
		return 1;
	}
	return 0;
}

static int job_recv(const struct job *job)
{
	static uint64_t chunk[CHUNK_SIZE / sizeof(uint64_t)];
	static uint8_t got[CHUNK_SIZE];

	for (uint64_t done = 0; done < job->size;) {
		size_t at = done % CHUNK_SIZE;
		size_t want = CHUNK_SIZE - at;
		const uint8_t *expected = (const uint8_t *)chunk + at;
		ssize_t n;

		if (at == 0)
			stream_fill(chunk, job->seed, done);
		if (want > job->size - done)
			want = job->size - done;
		n = recv(job->fd, got, want, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return report(job, "recv", done, errno);
		if (n == 0) {
			fprintf(stderr,
				"nettool: recv: the stream ended at byte %" PRIu64 " of %" PRIu64
				"\n",
				done, job->size);
			return 1;
		}
		if (memcmp(got, expected, (size_t)n)) {
			size_t i = mismatch(got, expected, (size_t)n);

			fprintf(stderr,
				"nettool: recv: byte %" PRIu64 " is 0x%02x, sent was 0x%02x\n",
				done + i, got[i], expected[i]);
			return 1;
		}
		done += (uint64_t)n;
	}
	return job->end ? expect_end(job) : 0;
}

static bool parse_u64(const char *text, uint64_t *ret)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || end == text || *end || text[0] == '-')
		return false;
	*ret = value;
	return true;
}

static bool parse_job(int argc, char **argv, struct job *job)
{
	uint64_t value;

	if (argc < 5 || !parse_u64(argv[2], &value) || value > INT32_MAX ||
	    !parse_u64(argv[3], &job->seed) || !parse_u64(argv[4], &job->size))
		return false;
	job->fd = (int)value;
	for (int i = 5; i < argc; i++) {
		if (!strcmp(argv[i], "--end")) {
			job->end = true;
		} else if (!strcmp(argv[i], "--stall") && i + 1 < argc &&
			   parse_u64(argv[i + 1], &value) && value > 0 && value < 86400) {
			job->stall_s = (long)value;
			i++;
		} else {
			return false;
		}
	}
	return true;
}

int main(int argc, char **argv)
{
	struct job job = {.stall_s = STALL_S_DEFAULT};
	bool sends = argc > 1 && !strcmp(argv[1], "send");
	struct timeval stall;
	uint64_t start_us;
	int status;

	if ((!sends && (argc < 2 || strcmp(argv[1], "recv"))) || !parse_job(argc, argv, &job)) {
		fputs(usage_text, stderr);
		return 2;
	}
	stall.tv_sec = job.stall_s;
	stall.tv_usec = 0;
	if (setsockopt(job.fd, SOL_SOCKET, sends ? SO_SNDTIMEO : SO_RCVTIMEO, &stall,
		       sizeof(stall)) < 0) {
		fprintf(stderr, "nettool: fd %d: %s\n", job.fd, strerror(errno));
		return 2;
	}
	start_us = now_us();
	status = sends ? job_send(&job) : job_recv(&job);
	if (status == 0)
		printf("{\"bytes\":%" PRIu64 ",\"microseconds\":%" PRIu64 "}\n", job.size,
		       now_us() - start_us);
	return status;
}
