/* SPDX-License-Identifier: Apache-2.0 */
/* See proxy.h. */
#include "launcher/proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "launcher/process.h"

LOG_MODULE("proxy");

#define READY_TEXT "READY=1\n"
/* How much of its log is read to find its last line. */
#define LOG_TAIL_SIZE 1024

enum proxy_state { PROXY_STARTING, PROXY_RUNNING, PROXY_STOPPING };

struct proxy {
	const struct proxy_user *user;
	void *arg;
	enum proxy_state state;
	struct process *process;
	struct loop_timer *timer; /* until ready, and until stopped */
	int notify_fd;
	struct loop_fd *notify_watch;
	char notified[sizeof(READY_TEXT)]; /* what came on notify_fd so far */
	size_t notified_size;
	bool overdue; /* killed because it didn't become ready */
	char log_path[PATH_MAX];
};

int proxy_args_build(const struct proxy_conf *conf, int notify_fd, struct args *ret_args)
{
	args_add(ret_args, conf->program);
	args_add(ret_args, "--link");
	args_addf(ret_args, "%s:%s/" PROXY_NET_SOCKET,
		  conf->machine->net_device == MACHINE_NET_DEVICE_VHOST ? "vhost" : "qemu",
		  conf->dir);
	args_add(ret_args, "--vsock");
	args_addf(ret_args, "%s/" PROXY_VSOCK_SOCKET ",cid=%d", conf->dir, MACHINE_GUEST_CID);
	args_add(ret_args, "--api");
	args_addf(ret_args, "unix:%s/" PROXY_API_SOCKET, conf->dir);
	if (conf->machine->ip.family != AF_UNSPEC) {
		char mac[MAC_TEXT_MAX], ip[ADDR_TEXT_MAX];

		args_add(ret_args, "--dhcp-host");
		args_addf(ret_args, "%s=%s", mac_format(&conf->machine->mac, mac),
			  addr_format(&conf->machine->ip, ip));
	}
	for (size_t i = 0; i < conf->machine->publish_count; i++) {
		args_add(ret_args, "--publish");
		args_add(ret_args, conf->machine->publish[i].text);
	}
	if (conf->keep_state) {
		args_add(ret_args, "--state");
		args_addf(ret_args, "%s/" PROXY_STATE, conf->dir);
	}
	args_add(ret_args, "--log-file");
	args_addf(ret_args, "%s/" PROXY_LOG, conf->dir);
	args_add(ret_args, "--pid-file");
	args_addf(ret_args, "%s/" PROXY_PID, conf->dir);
	args_add(ret_args, "--notify-fd");
	args_addf(ret_args, "%d", notify_fd);
	if (!args_ok(ret_args)) {
		args_clear(ret_args);
		return -ENOMEM;
	}
	return 0;
}

static void end_notify(struct proxy *p)
{
	loop_fd_free(p->notify_watch);
	p->notify_watch = NULL;
	fd_close(&p->notify_fd);
}

/* The last line of `text`, which is cut for it. */
static const char *last_line(char *text)
{
	size_t size = strlen(text);
	char *newline;

	while (size > 0 && text[size - 1] == '\n')
		text[--size] = '\0';
	newline = strrchr(text, '\n');
	return newline ? newline + 1 : text;
}

/* What it said last: on standard error, or else in its log. Empty when nothing. */
static const char *last_words(struct proxy *p, char buffer[static LOG_TAIL_SIZE + 1])
{
	int fd;
	ssize_t n = 0;

	snprintf(buffer, LOG_TAIL_SIZE + 1, "%s", process_last_words(p->process));
	if (buffer[0] != '\0')
		return last_line(buffer);
	fd = open(p->log_path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		off_t size = lseek(fd, 0, SEEK_END);

		n = pread(fd, buffer, LOG_TAIL_SIZE,
			  size > LOG_TAIL_SIZE ? size - LOG_TAIL_SIZE : 0);
		close(fd);
	}
	buffer[n > 0 ? n : 0] = '\0';
	return last_line(buffer);
}

static void on_end(void *arg, int wait_status)
{
	struct proxy *p = arg;
	char words[LOG_TAIL_SIZE + 1], text[PROCESS_END_TEXT_MAX], why[LOG_TAIL_SIZE + 256];
	const char *line = last_words(p, words);

	end_notify(p);
	loop_timer_cancel(p->timer);
	if (p->overdue)
		snprintf(why, sizeof(why), "netproxy was not ready after %d s",
			 PROXY_READY_TIMEOUT_MS / 1000);
	else
		snprintf(why, sizeof(why), "netproxy %s", process_end_text(wait_status, text));
	if (line[0] != '\0') {
		size_t size = strlen(why);

		snprintf(why + size, sizeof(why) - size, "; its last words: %s", line);
	}
	p->user->ended(p->arg, why);
}

static void on_notify(void *arg, int fd, unsigned ready)
{
	struct proxy *p = arg;
	ssize_t n = read(fd, p->notified + p->notified_size,
			 sizeof(p->notified) - 1 - p->notified_size);

	(void)ready;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		p->notified_size += (size_t)n;
		p->notified[p->notified_size] = '\0';
	}
	if (n > 0 && p->notified_size < sizeof(READY_TEXT) - 1)
		return;
	end_notify(p);
	/* Closed without a word: it is ending, and on_end() says why; or it hangs, and the timer
	 * does. */
	if (strcmp(p->notified, READY_TEXT) != 0)
		return;
	p->state = PROXY_RUNNING;
	loop_timer_cancel(p->timer);
	p->user->ready(p->arg);
}

static void on_timeout(void *arg)
{
	struct proxy *p = arg;

	p->overdue = p->state == PROXY_STARTING;
	process_signal(p->process, SIGKILL);
}

static int spawn(struct loop *loop, struct proxy *p, const struct proxy_conf *conf, int notify_fd,
		 struct problem *problem)
{
	struct args args = {.count = 0};
	struct process_conf process = {
		.name = "netproxy", .args = &args, .fds = &notify_fd, .fd_count = 1};
	char *line;
	int r = proxy_args_build(conf, notify_fd, &args);

	if (r < 0)
		return problem_set(problem, r, "can't start netproxy: %s", strerror(-r));
	line = args_shell_line(&args);
	log_debug("starting %s", line ? line : "");
	free(line);
	r = process_spawn(loop, &process, on_end, p, &p->process);
	args_clear(&args);
	if (r < 0)
		return problem_set(problem, r, "can't start %s: %s", conf->program, strerror(-r));
	return 0;
}

int proxy_start(struct loop *loop, const struct proxy_conf *conf, const struct proxy_user *user,
		void *arg, struct proxy **ret_proxy, struct problem *problem)
{
	struct proxy *p = calloc(1, sizeof(*p));
	int fds[2] = {-1, -1}, r;

	if (!p)
		return problem_set(problem, -ENOMEM, "can't start netproxy: out of memory");
	p->user = user;
	p->arg = arg;
	p->notify_fd = -1;
	snprintf(p->log_path, sizeof(p->log_path), "%.*s/" PROXY_LOG, PATH_MAX / 2, conf->dir);
	/* What a run before left there would pass for this one's words. */
	unlink(p->log_path);
	r = pipe2(fds, O_CLOEXEC) < 0 ? -errno : 0;
	p->notify_fd = fds[0];
	if (r == 0)
		r = fd_set_nonblocking(p->notify_fd);
	if (r == 0)
		r = loop_fd_new(loop, p->notify_fd, LOOP_READ, on_notify, p, &p->notify_watch);
	if (r == 0)
		r = loop_timer_new(loop, on_timeout, p, &p->timer);
	if (r < 0)
		problem_set(problem, r, "can't start netproxy: %s", strerror(-r));
	else
		r = spawn(loop, p, conf, fds[1], problem);
	fd_close(&fds[1]);
	if (r < 0) {
		proxy_free(p);
		return r;
	}
	loop_timer_set(p->timer, PROXY_READY_TIMEOUT_MS);
	*ret_proxy = p;
	return 0;
}

void proxy_stop(struct proxy *proxy)
{
	proxy->state = PROXY_STOPPING;
	process_signal(proxy->process, SIGTERM);
	loop_timer_set(proxy->timer, PROXY_STOP_TIMEOUT_MS);
}

void proxy_free(struct proxy *proxy)
{
	if (!proxy)
		return;
	process_free(proxy->process);
	end_notify(proxy);
	loop_timer_free(proxy->timer);
	free(proxy);
}
