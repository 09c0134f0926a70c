/* SPDX-License-Identifier: Apache-2.0 */
/* The socket of a vhost-user back-end: accepts a front-end, reads its messages and sends the
 * replies of vhost_session. */
#include "virtio/vhost_user.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "virtio/vhost_session.h"

LOG_MODULE("vhost");

/* Messages handled before others get their turn. */
#define MESSAGES_PER_ROUND 64
/* Until the next try to accept, where that failed for want of fds. */
#define ACCEPT_RETRY_MS 1000

struct vhost_user {
	struct loop *loop;
	struct vhost_conf conf;
	char path[SOCK_PATH_MAX];
	int listen_fd;
	struct loop_fd *listen_watch;
	struct loop_timer *accept_retry;
	int fd; /* the front-end's connection; -1: none */
	struct loop_fd *watch;
	uint8_t bytes[VHOST_HEADER_SIZE + VHOST_PAYLOAD_MAX]; /* the message that is arriving */
	size_t have;                                          /* bytes of it that are here */
	struct vhost_msg msg; /* its header, once that is complete, and its fds */
	struct vhost_session session;
};

static void front_end_drop(struct vhost_user *vu, const char *why)
{
	if (vu->fd < 0)
		return;
	log_info("%s: %s: the front-end's connection ends: %s", vu->conf.name, vu->path, why);
	vhost_session_clear(&vu->session);
	vhost_msg_close_fds(&vu->msg);
	vu->have = 0;
	loop_fd_free(vu->watch);
	vu->watch = NULL;
	fd_close(&vu->fd);
	if (vu->conf.ops->detached)
		vu->conf.ops->detached(vu->conf.arg);
}

static int collect_fds(struct vhost_msg *msg, struct msghdr *hdr)
{
	int result = hdr->msg_flags & MSG_CTRUNC ? -EPROTO : 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(hdr); c; c = CMSG_NXTHDR(hdr, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (msg->fd_count < VHOST_FDS_MAX)
				msg->fds[msg->fd_count++] = fd;
			else
				result = -EPROTO, fd_close(&fd);
		}
	}
	return result;
}

/* Reads up to `size` bytes of the message that is arriving. Returns their number, 0 at the end, or
 * -errno. */
static ssize_t read_some(struct vhost_user *vu, size_t size)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * VHOST_FDS_MAX)];
	} control;
	struct iovec iov = {.iov_base = vu->bytes + vu->have, .iov_len = size};
	struct msghdr hdr = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t got = recvmsg(vu->fd, &hdr, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	if (got < 0)
		return -errno;
	int r = collect_fds(&vu->msg, &hdr);

	if (r < 0)
		return r;
	vu->have += (size_t)got;
	return got;
}

/* Returns 1 when vu->msg is a whole message, -EAGAIN when it isn't yet, -ENODATA at the
 * connection's end, or another error. */
static int read_message(struct vhost_user *vu)
{
	for (;;) {
		/* The header alone first: the fds that come with it must not be the next message's.
		 */
		bool in_header = vu->have < VHOST_HEADER_SIZE;
		size_t whole = VHOST_HEADER_SIZE + (in_header ? 0 : vu->msg.header.size);

		if (vu->have == whole && !in_header) {
			vu->have = 0;
			return vhost_payload_decode(vu->bytes + VHOST_HEADER_SIZE, &vu->msg) ?: 1;
		}
		ssize_t got = read_some(vu, whole - vu->have);

		if (got == 0)
			return -ENODATA;
		if (got == -EINTR)
			continue;
		if (got < 0)
			return (int)got;
		if (in_header && vu->have == VHOST_HEADER_SIZE) {
			int r = vhost_header_decode(vu->bytes, &vu->msg.header);

			if (r < 0)
				return r;
		}
	}
}

static int send_reply(struct vhost_user *vu, const struct vhost_msg *reply)
{
	uint8_t bytes[VHOST_HEADER_SIZE + VHOST_PAYLOAD_MAX];
	size_t size = vhost_msg_encode(reply, bytes, sizeof(bytes));
	ssize_t sent;

	do
		sent = send(vu->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	/* A front-end waits for each reply: one with a full socket isn't one. */
	if (sent < 0)
		return -errno;
	return (size_t)sent == size ? 0 : -EAGAIN;
}

static void front_end_readable(void *arg, int fd, unsigned ready)
{
	struct vhost_user *vu = arg;

	(void)fd;
	(void)ready;
	for (unsigned i = 0; i < MESSAGES_PER_ROUND; i++) {
		struct vhost_msg reply;
		int r = read_message(vu);

		if (r == -EAGAIN)
			return;
		if (r == -ENODATA)
			return front_end_drop(vu, "closed by the front-end");
		if (r == -EPROTO || r == -EMSGSIZE) {
			log_error(
				"%s: %s: not a vhost-user message: request %u (%s), payload of %u bytes",
				vu->conf.name, vu->path, vu->msg.header.request,
				vhost_request_name(vu->msg.header.request), vu->msg.header.size);
			return front_end_drop(vu, "protocol error");
		}
		if (r < 0)
			return front_end_drop(vu, strerror(-r));

		r = vhost_session_handle(&vu->session, &vu->msg, &reply);
		if (r == 1)
			r = send_reply(vu, &reply);
		if (r < 0)
			return front_end_drop(vu, strerror(-r));
	}
}

static void on_accept_retry(void *arg)
{
	struct vhost_user *vu = arg;

	loop_fd_set(vu->listen_watch, LOOP_READ);
}

/* The connection waits on: to be told of it again at once would only burn CPU. */
static void accept_pause(struct vhost_user *vu, int error)
{
	log_limited(LOG_LEVEL_ERROR, "%s: %s: can't accept a front-end: %s", vu->conf.name,
		    vu->path, strerror(-error));
	loop_fd_set(vu->listen_watch, 0);
	loop_timer_set(vu->accept_retry, ACCEPT_RETRY_MS);
}

static void listen_readable(void *arg, int listen_fd, unsigned ready)
{
	struct vhost_user *vu = arg;
	int fd;

	(void)ready;
	int r = sock_accept(listen_fd, &fd, NULL);

	if (r < 0) {
		if (r != -EAGAIN)
			accept_pause(vu, r);
		return;
	}
	/* That the one before was killed may not have been noticed yet. */
	if (vu->fd >= 0)
		front_end_readable(vu, vu->fd, LOOP_READ);
	if (vu->fd >= 0) {
		vu->session.counters.refused++;
		log_limited(LOG_LEVEL_WARN,
			    "%s: %s: a second front-end was refused: it serves a VM already",
			    vu->conf.name, vu->path);
		fd_close(&fd);
		return;
	}
	r = loop_fd_new(vu->loop, fd, LOOP_READ, front_end_readable, vu, &vu->watch);

	if (r < 0) {
		log_error("%s: %s: a front-end can't be watched: %s", vu->conf.name, vu->path,
			  strerror(-r));
		fd_close(&fd);
		return;
	}
	vu->fd = fd;
	vu->session.counters.front_ends++;
	log_info("%s: %s: a front-end is here", vu->conf.name, vu->path);
	if (vu->conf.ops->attached)
		vu->conf.ops->attached(vu->conf.arg);
}

int vhost_user_new(struct loop *loop, const char *path, const struct vhost_conf *conf,
		   struct vhost_user **ret)
{
	int listen_fd;
	int r = sock_listen_unix(path, SOCK_STREAM, &listen_fd);

	if (r < 0)
		return r;
	struct vhost_user *vu = calloc(1, sizeof(*vu));

	if (!vu) {
		r = -ENOMEM;
		goto fail;
	}
	vu->loop = loop;
	vu->conf = *conf;
	vu->fd = -1;
	vu->listen_fd = listen_fd;
	memcpy(vu->path, path, strlen(path) + 1);
	vhost_session_init(&vu->session, loop, &vu->conf);
	r = loop_timer_new(loop, on_accept_retry, vu, &vu->accept_retry);
	if (r < 0)
		goto fail;
	r = loop_fd_new(loop, listen_fd, LOOP_READ, listen_readable, vu, &vu->listen_watch);
	if (r < 0)
		goto fail;
	*ret = vu;
	return 0;
fail:
	if (vu)
		loop_timer_free(vu->accept_retry);
	free(vu);
	fd_close(&listen_fd);
	unlink(path);
	return r;
}

void vhost_user_free(struct vhost_user *vu)
{
	if (!vu)
		return;
	front_end_drop(vu, "the device ends");
	loop_fd_free(vu->listen_watch);
	loop_timer_free(vu->accept_retry);
	fd_close(&vu->listen_fd);
	unlink(vu->path);
	free(vu);
}

uint64_t vhost_user_features(const struct vhost_user *vu)
{
	return vu->session.features;
}

bool vhost_user_attached(const struct vhost_user *vu)
{
	return vu->fd >= 0;
}

struct vhost_counters vhost_user_counters(const struct vhost_user *vu)
{
	return vu->session.counters;
}

void vhost_user_queue_broken(struct vhost_user *vu, unsigned index)
{
	assert(index < vu->conf.queue_count);
	vhost_session_queue_broken(&vu->session, index);
}
