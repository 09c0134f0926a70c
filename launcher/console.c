/* SPDX-License-Identifier: Apache-2.0 */
/* See console.h. */
#include "launcher/console.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"

LOG_MODULE("console");

/* A pipe that is writable takes this much at once, so that a write doesn't wait even where the
 * descriptor couldn't be made non-blocking without doing so to everybody who shares it. */
#define CHUNK_MAX PIPE_BUF
/* Of its tail that is logged. */
#define TAIL_LINES       10
#define TAIL_LINE_LOGGED 160

static const char help_text[] = "\r\nCtrl-A x  power the guest off    Ctrl-A k  kill it at once\r\n"
				"Ctrl-A h  this help              Ctrl-A Ctrl-A  send Ctrl-A\r\n";

/* Bytes on their way, in one direction: those from `start` up to `end`. */
struct chunk {
	char data[CHUNK_MAX];
	size_t start, end;
};

struct console {
	struct loop *loop;
	struct console_conf conf;
	int guest_fd; /* -1: none attached */
	struct loop_fd *guest_watch;
	int in_fd;                /* -1: no input, or its end was reached */
	struct loop_fd *in_watch; /* NULL with in_fd >= 0: a file, always readable */
	int out_fd;               /* -1: thrown away */
	bool out_owned;
	struct loop_fd *out_watch; /* NULL with out_fd >= 0: a file, always writable */
	struct chunk to_guest, to_out;
	bool raw, escaped;
	struct termios before;
	uint64_t guest_bytes;
	char tail[CONSOLE_TAIL_MAX];
	size_t tail_size;
};

enum console_input console_decode(bool *escaped, unsigned char byte)
{
	if (!*escaped) {
		*escaped = byte == CONSOLE_ESCAPE;
		return *escaped ? CONSOLE_INPUT_EAT : CONSOLE_INPUT_PASS;
	}
	*escaped = false;
	switch (byte) {
	case CONSOLE_ESCAPE:
		return CONSOLE_INPUT_PASS;
	case 'x':
		return CONSOLE_INPUT_POWER_OFF;
	case 'k':
		return CONSOLE_INPUT_KILL;
	case 'h':
	case '?':
		return CONSOLE_INPUT_HELP;
	default:
		return CONSOLE_INPUT_EAT;
	}
}

static size_t chunk_left(const struct chunk *chunk)
{
	return chunk->end - chunk->start;
}

static void end_input(struct console *c)
{
	loop_fd_free(c->in_watch);
	c->in_watch = NULL;
	c->in_fd = -1;
}

static void end_output(struct console *c)
{
	loop_fd_free(c->out_watch);
	c->out_watch = NULL;
	if (c->out_owned)
		close(c->out_fd);
	c->out_fd = -1;
	c->out_owned = false;
	c->to_out.start = c->to_out.end = 0;
}

static void detach(struct console *c)
{
	loop_fd_free(c->guest_watch);
	c->guest_watch = NULL;
	fd_close(&c->guest_fd);
	c->to_guest.start = c->to_guest.end = 0;
}

/* Waits for what can go on: read where there is room, write where something is held. */
static void update(struct console *c)
{
	if (c->guest_watch)
		loop_fd_set(c->guest_watch,
			    (chunk_left(&c->to_out) == 0 ? LOOP_READ : 0) |
				    (chunk_left(&c->to_guest) > 0 ? LOOP_WRITE : 0));
	if (c->in_watch)
		loop_fd_set(c->in_watch,
			    c->guest_fd >= 0 && chunk_left(&c->to_guest) == 0 ? LOOP_READ : 0);
	if (c->out_watch)
		loop_fd_set(c->out_watch, chunk_left(&c->to_out) > 0 ? LOOP_WRITE : 0);
}

static void keep_tail(struct console *c, const char *data, size_t size)
{
	if (c->tail_size + size > CONSOLE_TAIL_MAX) {
		size_t excess = c->tail_size + size - CONSOLE_TAIL_MAX;

		c->tail_size -= excess;
		memmove(c->tail, c->tail + excess, c->tail_size);
	}
	memcpy(c->tail + c->tail_size, data, size);
	c->tail_size += size;
}

static void write_out(struct console *c)
{
	struct chunk *chunk = &c->to_out;

	while (c->out_fd >= 0 && chunk_left(chunk) > 0) {
		ssize_t n = write(c->out_fd, chunk->data + chunk->start, chunk_left(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN && c->conf.is_pty)
			break;
		if (n < 0 && errno == EAGAIN && c->out_watch)
			return;
		if (n < 0) {
			/* The guest need not suffer from a reader that went away. */
			log_warn("the console's output can't be written any more (%s); the guest "
				 "runs on",
				 strerror(errno));
			end_output(c);
			return;
		}
		chunk->start += (size_t)n;
		if (c->out_watch && !c->conf.is_pty)
			break; /* writable once: whether it still is, the loop says */
	}
	if (c->out_fd < 0 || c->conf.is_pty || chunk_left(chunk) == 0)
		chunk->start = chunk->end = 0;
}

/* Returns 0 when it read something, -EAGAIN when there is nothing now, -EPIPE at the end. */
static int read_guest(struct console *c)
{
	struct chunk *chunk = &c->to_out;
	ssize_t n = recv(c->guest_fd, chunk->data, sizeof(chunk->data), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return -EAGAIN;
	if (n <= 0)
		return -EPIPE;
	c->guest_bytes += (uint64_t)n;
	keep_tail(c, chunk->data, (size_t)n);
	chunk->end = (size_t)n;
	write_out(c);
	return 0;
}

static void write_guest(struct console *c)
{
	struct chunk *chunk = &c->to_guest;
	ssize_t n = send(c->guest_fd, chunk->data + chunk->start, chunk_left(chunk),
			 MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n > 0)
		chunk->start += (size_t)n;
	else if (errno != EAGAIN && errno != EINTR)
		chunk->start = chunk->end;
	if (chunk_left(chunk) == 0)
		chunk->start = chunk->end = 0;
}

/* Takes the escapes out of what was typed; leaves the rest in to_guest. */
static void decode_typed(struct console *c, size_t size)
{
	struct chunk *chunk = &c->to_guest;

	for (size_t i = 0; i < size; i++) {
		char byte = chunk->data[i];

		switch (console_decode(&c->escaped, (unsigned char)byte)) {
		case CONSOLE_INPUT_PASS:
			chunk->data[chunk->end++] = byte;
			break;
		case CONSOLE_INPUT_EAT:
			break;
		case CONSOLE_INPUT_POWER_OFF:
			c->conf.key(c->conf.arg, CONSOLE_KEY_POWER_OFF);
			break;
		case CONSOLE_INPUT_KILL:
			c->conf.key(c->conf.arg, CONSOLE_KEY_KILL);
			break;
		case CONSOLE_INPUT_HELP:
			if (c->out_fd >= 0 &&
			    write(c->out_fd, help_text, sizeof(help_text) - 1) < 0)
				log_debug("the help can't be written: %s", strerror(errno));
			break;
		}
	}
}

static void read_input(struct console *c)
{
	struct chunk *chunk = &c->to_guest;
	ssize_t n = read(c->in_fd, chunk->data, sizeof(chunk->data));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		end_input(c);
		return;
	}
	chunk->start = chunk->end = 0;
	if (c->raw)
		decode_typed(c, (size_t)n);
	else
		chunk->end = (size_t)n;
}

/* Input that can't be waited for is read as fast as the guest takes it. */
static void pump_input(struct console *c)
{
	do {
		if (c->in_fd >= 0 && !c->in_watch && chunk_left(&c->to_guest) == 0)
			read_input(c);
		if (chunk_left(&c->to_guest) == 0)
			break;
		write_guest(c);
	} while (chunk_left(&c->to_guest) == 0);
}

static void on_guest(void *arg, int fd, unsigned ready)
{
	struct console *c = arg;

	(void)fd;
	if (ready & LOOP_WRITE)
		pump_input(c);
	if ((ready & LOOP_READ) && chunk_left(&c->to_out) == 0 && read_guest(c) == -EPIPE)
		detach(c);
	update(c);
}

static void on_input(void *arg, int fd, unsigned ready)
{
	struct console *c = arg;

	(void)fd;
	(void)ready;
	if (c->guest_fd >= 0 && chunk_left(&c->to_guest) == 0) {
		read_input(c);
		if (chunk_left(&c->to_guest) > 0)
			write_guest(c);
	}
	update(c);
}

static void on_output(void *arg, int fd, unsigned ready)
{
	struct console *c = arg;

	(void)fd;
	(void)ready;
	write_out(c);
	update(c);
}

/* Raw mode, but with output processing left on: our own messages end in plain newlines. */
static int make_raw(struct console *c)
{
	struct termios raw;

	if (tcgetattr(c->in_fd, &c->before) < 0)
		return -errno;
	raw = c->before;
	cfmakeraw(&raw);
	raw.c_oflag = c->before.c_oflag;
	if (tcsetattr(c->in_fd, TCSANOW, &raw) < 0)
		return -errno;
	c->raw = true;
	return 0;
}

/* Watches a descriptor, for nothing yet. What can't be waited for (a file, /dev/null) gets no
 * watch: asking for events at first is what tells. */
static int watch(struct console *c, int fd, unsigned events, loop_fd_fn *fn,
		 struct loop_fd **ret_watch)
{
	int r = loop_fd_new(c->loop, fd, events, fn, c, ret_watch);

	if (r == -EPERM)
		return 0;
	return r < 0 ? r : loop_fd_set(*ret_watch, 0);
}

/* Opens the input; a terminal that we have in the background would stop us, so it is left alone. */
static int open_input(struct console *c, int fd)
{
	int r;

	if (fd < 0 || fcntl(fd, F_GETFD) < 0)
		return 0;
	if (c->conf.is_pty) {
		c->in_fd = fd;
		return watch(c, fd, LOOP_READ, on_input, &c->in_watch);
	}
	if (isatty(fd) && tcgetpgrp(fd) != getpgrp()) {
		log_info("started in the background: the guest's console gets no input");
		return 0;
	}
	c->in_fd = fd;
	if (isatty(fd)) {
		r = make_raw(c);
		if (r < 0)
			return r;
	}
	return watch(c, fd, LOOP_READ, on_input, &c->in_watch);
}

/*
 * Opens the output. O_NONBLOCK belongs to the open file, which we share with whoever started us, so
 * a terminal or pipe is opened again for ourselves; where that fails, the shared one is used as it
 * is.
 */
static int open_output(struct console *c, int fd)
{
	char path[32];
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return 0;
	c->out_fd = fd;
	if (c->conf.is_pty)
		return 0;
	if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		int own = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

		if (own >= 0) {
			c->out_fd = own;
			c->out_owned = true;
		}
	}
	return watch(c, c->out_fd, LOOP_WRITE, on_output, &c->out_watch);
}

int console_new(struct loop *loop, const struct console_conf *conf, struct console **ret_console)
{
	struct console *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->loop = loop;
	c->conf = *conf;
	c->guest_fd = c->in_fd = c->out_fd = -1;
	r = open_output(c, conf->out_fd);
	if (r == 0)
		r = open_input(c, conf->in_fd);
	if (r < 0) {
		console_free(c);
		return r;
	}
	*ret_console = c;
	return 0;
}

int console_attach(struct console *console, int fd)
{
	int r = fd_set_nonblocking(fd);

	detach(console);
	console->guest_bytes = 0;
	console->guest_fd = fd;
	if (r == 0)
		r = loop_fd_new(console->loop, fd, LOOP_READ, on_guest, console,
				&console->guest_watch);
	if (r < 0) {
		detach(console);
		return r;
	}
	if (console->in_fd >= 0 && !console->in_watch)
		pump_input(console);
	update(console);
	return 0;
}

void console_drain(struct console *console)
{
	/* What the output doesn't take at once is lost: waiting for it could take for ever. */
	while (console->guest_fd >= 0 && chunk_left(&console->to_out) == 0 &&
	       read_guest(console) == 0) {
		while (chunk_left(&console->to_out) > 0) {
			size_t before = chunk_left(&console->to_out);

			write_out(console);
			if (chunk_left(&console->to_out) == before)
				break;
		}
	}
	detach(console);
}

uint64_t console_guest_bytes(const struct console *console)
{
	return console->guest_bytes;
}

const char *console_tail(const struct console *console, size_t *ret_size)
{
	*ret_size = console->tail_size;
	return console->tail;
}

void console_log_tail(const struct console *console)
{
	char line[TAIL_LINE_LOGGED + 1];
	size_t size = console->tail_size, start, length = 0;
	const char *tail = console->tail;

	while (size > 0 && (tail[size - 1] == '\n' || tail[size - 1] == '\r'))
		size--;
	if (size == 0)
		return;
	start = size;
	for (unsigned lines = 0; start > 0; start--)
		if (tail[start - 1] == '\n' && ++lines == TAIL_LINES)
			break;
	log_error("the end of the guest's console:");
	for (size_t i = start; i <= size; i++) {
		if (i < size && tail[i] != '\n') {
			if (length < TAIL_LINE_LOGGED && isprint((unsigned char)tail[i]))
				line[length++] = tail[i];
			continue;
		}
		line[length] = '\0';
		log_error("| %s", line);
		length = 0;
	}
}

void console_free(struct console *console)
{
	if (!console)
		return;
	detach(console);
	if (console->raw)
		tcsetattr(console->conf.in_fd, TCSADRAIN, &console->before);
	end_input(console);
	if (console->out_fd >= 0)
		end_output(console);
	free(console);
}
