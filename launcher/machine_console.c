/* SPDX-License-Identifier: Apache-2.0 */
/* See machine_console.h. */
#include "launcher/machine_console.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "launcher/store.h"

LOG_MODULE("console");

#define READ_SIZE  4096
#define INPUT_SIZE 1024

struct console_client {
	struct machine_console *console;
	int fd; /* -1: free */
	struct loop_fd *watch;
	char input[INPUT_SIZE]; /* what the guest hasn't taken */
	size_t input_size;
};

struct machine_console {
	struct loop *loop;
	machine_console_fn *fn;
	void *arg;
	int fd, listen_fd, log_fd;
	struct loop_fd *watch, *listen_watch;
	size_t log_size;
	char socket_path[PATH_MAX], log_path[PATH_MAX];
	struct console_client clients[MACHINE_CONSOLE_CLIENTS_MAX];
};

static void client_close(struct console_client *client)
{
	loop_fd_free(client->watch);
	client->watch = NULL;
	client->input_size = 0;
	fd_close(&client->fd);
}

static void open_log(struct machine_console *c)
{
	char before[PATH_MAX + 3];

	fd_close(&c->log_fd);
	snprintf(before, sizeof(before), "%s.1", c->log_path);
	if (rename(c->log_path, before) < 0 && errno != ENOENT)
		log_debug("can't keep %s: %s", before, strerror(errno));
	c->log_fd = open(c->log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (c->log_fd < 0)
		log_warn("can't write %s: %s", c->log_path, strerror(errno));
	c->log_size = 0;
}

static void write_log(struct machine_console *c, const char *data, size_t size)
{
	if (c->log_size + size > MACHINE_CONSOLE_LOG_MAX)
		open_log(c);
	c->log_size += size;
	while (c->log_fd >= 0 && size > 0) {
		ssize_t n = write(c->log_fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		data += n;
		size -= (size_t)n;
	}
}

/* Gives the guest what clients typed. */
static void flush_input(struct machine_console *c)
{
	bool left = false;

	for (size_t i = 0; i < MACHINE_CONSOLE_CLIENTS_MAX; i++) {
		struct console_client *client = &c->clients[i];
		ssize_t n = 0;

		if (client->fd < 0)
			continue;
		if (client->input_size > 0)
			n = send(c->fd, client->input, client->input_size,
				 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0) {
			client->input_size -= (size_t)n;
			memmove(client->input, client->input + n, client->input_size);
		}
		loop_fd_set(client->watch, client->input_size == 0 ? LOOP_READ : 0);
		left = left || client->input_size > 0;
	}
	if (c->watch)
		loop_fd_set(c->watch, LOOP_READ | (left ? LOOP_WRITE : 0));
}

/* Returns whether there may be more. */
static bool read_guest(struct machine_console *c)
{
	char data[READ_SIZE];
	ssize_t n = recv(c->fd, data, sizeof(data), MSG_DONTWAIT);

	if (n <= 0)
		return n < 0 && errno == EINTR;
	write_log(c, data, (size_t)n);
	for (size_t i = 0; i < MACHINE_CONSOLE_CLIENTS_MAX; i++)
		if (c->clients[i].fd >= 0 &&
		    send(c->clients[i].fd, data, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
		    errno != EAGAIN)
			client_close(&c->clients[i]);
	c->fn(c->arg, data, (size_t)n);
	return true;
}

static void on_guest(void *arg, int fd, unsigned ready)
{
	struct machine_console *c = arg;

	(void)fd;
	if (ready & LOOP_WRITE)
		flush_input(c);
	if (ready & LOOP_READ)
		read_guest(c);
}

static void on_client(void *arg, int fd, unsigned ready)
{
	struct console_client *client = arg;
	ssize_t n = recv(fd, client->input, sizeof(client->input), MSG_DONTWAIT);

	(void)ready;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_close(client);
		return;
	}
	client->input_size = (size_t)n;
	flush_input(client->console);
}

static void on_listen(void *arg, int listen_fd, unsigned ready)
{
	struct machine_console *c = arg;
	int fd;

	(void)ready;
	if (sock_accept(listen_fd, &fd, NULL) < 0)
		return;
	for (size_t i = 0; i < MACHINE_CONSOLE_CLIENTS_MAX; i++) {
		struct console_client *client = &c->clients[i];

		if (client->fd >= 0)
			continue;
		if (loop_fd_new(c->loop, fd, LOOP_READ, on_client, client, &client->watch) < 0)
			break;
		client->fd = fd;
		return;
	}
	close(fd);
}

int machine_console_new(struct loop *loop, int fd, const char *dir, machine_console_fn *fn,
			void *arg, struct machine_console **ret_console, struct problem *problem)
{
	struct machine_console *c = calloc(1, sizeof(*c));
	int r = c ? 0 : -ENOMEM;

	if (!c) {
		close(fd);
		return problem_set(problem, r, "out of memory");
	}
	*c = (struct machine_console){
		.loop = loop, .fn = fn, .arg = arg, .fd = fd, .listen_fd = -1, .log_fd = -1};
	for (size_t i = 0; i < MACHINE_CONSOLE_CLIENTS_MAX; i++)
		c->clients[i] = (struct console_client){.console = c, .fd = -1};
	r = store_path(dir, STORE_CONSOLE, c->socket_path);
	if (r == 0)
		r = store_path(dir, STORE_CONSOLE_LOG, c->log_path);
	if (r == 0)
		r = sock_listen_unix(c->socket_path, SOCK_STREAM, &c->listen_fd);
	if (r == 0)
		r = loop_fd_new(loop, c->listen_fd, LOOP_READ, on_listen, c, &c->listen_watch);
	if (r == 0)
		r = loop_fd_new(loop, fd, LOOP_READ, on_guest, c, &c->watch);
	if (r < 0) {
		machine_console_free(c);
		return problem_set(problem, r, "can't serve the console at %s/%s: %s", dir,
				   STORE_CONSOLE, strerror(-r));
	}
	open_log(c);
	*ret_console = c;
	return 0;
}

void machine_console_free(struct machine_console *console)
{
	if (!console)
		return;
	while (console->watch && read_guest(console))
		;
	for (size_t i = 0; i < MACHINE_CONSOLE_CLIENTS_MAX; i++)
		client_close(&console->clients[i]);
	loop_fd_free(console->watch);
	loop_fd_free(console->listen_watch);
	if (console->listen_fd >= 0)
		unlink(console->socket_path);
	fd_close(&console->listen_fd);
	fd_close(&console->fd);
	fd_close(&console->log_fd);
	free(console);
}
