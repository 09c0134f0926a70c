/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What gvproxy does besides: unix sockets that lead into the guest, and notifications.
 *
 * The sockets are the host's ssh's (ssh -N -L), one process each, which is started again when it
 * ends: at once that is when the guest isn't up yet, so the pauses grow to SSH_PAUSE_MAX_MS. It
 * ends with us, however we end.
 *
 * A notification is one connection to a unix socket, with one JSON object.
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "netproxy/gvproxy.h"
#include "netstack/stack.h"
#include "netstack/switch.h"

LOG_MODULE("gvproxy");

#define SSH_PAUSE_MIN_MS 500
#define SSH_PAUSE_MAX_MS 4000
/* An ssh that has lived so long was connected. */
#define SSH_UP_MS   10000
#define SSH_ARGS    40
#define END_WAIT_MS 2000

struct ssh {
	struct gvproxy *gvproxy;
	const struct gvproxy_forward *forward;
	pid_t pid; /* 0: it doesn't run */
	int pidfd;
	struct loop_fd *watch;
	struct loop_timer *pause;
	uint64_t pause_ms;
	uint64_t started_ms;
};

struct gvproxy {
	struct loop *loop;
	const struct gvproxy_conf *conf;
	struct forwarder *forwarder;
	struct forwarder_watcher watcher;
	struct switch_tap tap;
	struct mac macs[SWITCH_PORTS_MAX + 1]; /* the first that each port was heard with */
	struct ssh sshs[GVPROXY_FORWARDS_MAX];
	unsigned ssh_count;
};

/* ---- Notifications ---- */

/* Whoever doesn't listen misses it; nothing here waits. */
static void notify(struct gvproxy *gvproxy, const char *type, const struct mac *mac)
{
	const char *path = gvproxy->conf->notification;
	struct json_object *message;
	char text[MAC_TEXT_MAX];
	const char *line;
	int fd;
	int r;

	if (!path[0])
		return;
	r = sock_connect_unix(path, SOCK_STREAM, &fd);
	if (r < 0) {
		log_limited(LOG_LEVEL_WARN, "nobody takes notifications at %s: %s", path,
			    strerror(-r));
		return;
	}
	message = json_object_new_object();
	json_object_object_add(message, "notification_type", json_object_new_string(type));
	if (mac)
		json_object_object_add(message, "mac_address",
				       json_object_new_string(mac_format(mac, text)));
	line = json_object_to_json_string_ext(message, JSON_C_TO_STRING_PLAIN);
	if (send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT | MSG_MORE) < 0 ||
	    send(fd, "\n", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_limited(LOG_LEVEL_WARN, "a notification was not taken: %s", strerror(errno));
	json_object_put(message);
	fd_close(&fd);
}

static bool is_unknown(const struct mac *mac)
{
	static const struct mac unknown;

	return mac_equal(mac, &unknown);
}

static void on_frame(void *arg, unsigned port, const struct link *link, bool to_guest,
		     const struct frame *frame)
{
	struct gvproxy *gvproxy = arg;

	(void)link;
	if (to_guest || !is_unknown(&gvproxy->macs[port]) || !frame->iov_count ||
	    frame->iov[0].iov_len < 2 * MAC_SIZE)
		return;
	memcpy(gvproxy->macs[port].bytes, (const uint8_t *)frame->iov[0].iov_base + MAC_SIZE,
	       MAC_SIZE);
	notify(gvproxy, "connection_established", &gvproxy->macs[port]);
}

static void on_port(void *arg, unsigned port, const struct link *link, bool attached)
{
	struct gvproxy *gvproxy = arg;

	(void)link;
	if (!attached && !is_unknown(&gvproxy->macs[port]))
		notify(gvproxy, "connection_closed", &gvproxy->macs[port]);
	gvproxy->macs[port] = (struct mac){0};
}

/* ---- ssh ---- */

static void start_ssh(void *arg);

static void pause_ssh(struct ssh *ssh)
{
	loop_timer_set(ssh->pause, ssh->pause_ms);
	ssh->pause_ms *= 2;
	if (ssh->pause_ms > SSH_PAUSE_MAX_MS)
		ssh->pause_ms = SSH_PAUSE_MAX_MS;
}

static void forget_ssh(struct ssh *ssh)
{
	loop_fd_free(ssh->watch);
	ssh->watch = NULL;
	fd_close(&ssh->pidfd);
	ssh->pid = 0;
}

static void on_ssh_ended(void *arg, int fd, unsigned ready)
{
	struct ssh *ssh = arg;
	uint64_t lived_ms = loop_now_ms(ssh->gvproxy->loop) - ssh->started_ms;
	int status = 0;

	(void)fd;
	(void)ready;
	if (waitpid(ssh->pid, &status, WNOHANG) == 0)
		return;
	forget_ssh(ssh);
	if (lived_ms >= SSH_UP_MS)
		ssh->pause_ms = SSH_PAUSE_MIN_MS;
	log_debug("ssh for %s has ended (%d): again in %u ms", ssh->forward->socket, status,
		  (unsigned)ssh->pause_ms);
	pause_ssh(ssh);
}

/* In the child: becomes ssh, which ends when we do. */
static void become_ssh(const struct ssh *ssh, char *const *argv, pid_t parent)
{
	int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (nowhere < 0 || getppid() != parent || dup2(nowhere, STDIN_FILENO) < 0 ||
	    dup2(nowhere, STDOUT_FILENO) < 0 ||
	    (!ssh->gvproxy->conf->debug && dup2(nowhere, STDERR_FILENO) < 0))
		_exit(127);
	execvp(argv[0], argv);
	_exit(127);
}

static int spawn(struct ssh *ssh)
{
	const struct gvproxy_forward *forward = ssh->forward;
	const struct endpoint *at = &ssh->gvproxy->conf->ssh;
	char port[8], local[2 * SOCK_PATH_MAX + 2], host[ADDR_TEXT_MAX];
	char *argv[SSH_ARGS] = {"ssh",
				"-N",
				"-T",
				"-F",
				"/dev/null",
				"-o",
				"BatchMode=yes",
				"-o",
				"StrictHostKeyChecking=no",
				"-o",
				"UserKnownHostsFile=/dev/null",
				"-o",
				"GlobalKnownHostsFile=/dev/null",
				"-o",
				"IdentitiesOnly=yes",
				"-o",
				"ExitOnForwardFailure=yes",
				"-o",
				"StreamLocalBindUnlink=yes",
				"-o",
				"StreamLocalBindMask=0177",
				"-o",
				"ServerAliveInterval=15",
				"-o",
				"ServerAliveCountMax=3",
				"-o",
				"ConnectTimeout=10",
				"-o",
				"LogLevel=ERROR",
				"-i",
				(char *)forward->identity,
				"-p",
				port,
				"-l",
				(char *)forward->user,
				"-L",
				local,
				host,
				NULL};
	pid_t parent = getpid(), pid;

	snprintf(port, sizeof(port), "%u", at->port);
	snprintf(local, sizeof(local), "%s:%s", forward->socket, forward->dest);
	addr_format(&at->addr, host);
	if (addr_is_any(&at->addr) || at->addr.family == AF_UNSPEC)
		snprintf(host, sizeof(host), "127.0.0.1");
	pid = fork();
	if (pid == 0)
		become_ssh(ssh, argv, parent);
	if (pid < 0)
		return -errno;
	ssh->pid = pid;
	ssh->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	return ssh->pidfd < 0 ? -errno : 0;
}

static void start_ssh(void *arg)
{
	struct ssh *ssh = arg;
	int r = spawn(ssh);

	ssh->started_ms = loop_now_ms(ssh->gvproxy->loop);
	if (r == 0)
		r = loop_fd_new(ssh->gvproxy->loop, ssh->pidfd, LOOP_READ, on_ssh_ended, ssh,
				&ssh->watch);
	if (r == 0)
		return;
	log_limited(LOG_LEVEL_ERROR, "ssh for %s can't be started: %s", ssh->forward->socket,
		    strerror(-r));
	if (ssh->pid) {
		kill(ssh->pid, SIGKILL);
		waitpid(ssh->pid, NULL, 0);
	}
	forget_ssh(ssh);
	pause_ssh(ssh);
}

/* Waits a moment for it to go by itself. */
static void end_ssh(struct ssh *ssh)
{
	struct stat st;

	loop_timer_free(ssh->pause);
	if (ssh->pid) {
		const struct timespec step = {.tv_nsec = 10 * 1000 * 1000};
		pid_t gone = 0;

		kill(ssh->pid, SIGTERM);
		for (int ms = 0; gone == 0 && ms < END_WAIT_MS; ms += 10) {
			gone = waitpid(ssh->pid, NULL, WNOHANG);
			if (gone == 0)
				nanosleep(&step, NULL);
		}
		if (gone == 0) {
			kill(ssh->pid, SIGKILL);
			waitpid(ssh->pid, NULL, 0);
		}
	}
	forget_ssh(ssh);
	if (lstat(ssh->forward->socket, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(ssh->forward->socket);
}

/* ---- Life ---- */

static int start_forwards(struct gvproxy *gvproxy)
{
	for (unsigned i = 0; i < gvproxy->conf->forward_count; i++) {
		struct ssh *ssh = &gvproxy->sshs[i];
		int r = loop_timer_new(gvproxy->loop, start_ssh, ssh, &ssh->pause);

		if (r < 0)
			return r;
		ssh->gvproxy = gvproxy;
		ssh->forward = &gvproxy->conf->forwards[i];
		ssh->pidfd = -1;
		ssh->pause_ms = SSH_PAUSE_MIN_MS;
		gvproxy->ssh_count++;
		loop_timer_set(ssh->pause, 0);
	}
	return 0;
}

int gvproxy_new(struct loop *loop, const struct gvproxy_conf *conf, struct forwarder *forwarder,
		struct gvproxy **ret_gvproxy)
{
	struct gvproxy *gvproxy = calloc(1, sizeof(*gvproxy));
	int r;

	if (!gvproxy)
		return -ENOMEM;
	gvproxy->loop = loop;
	gvproxy->conf = conf;
	gvproxy->forwarder = forwarder;
	gvproxy->watcher = (struct forwarder_watcher){.port = on_port, .arg = gvproxy};
	gvproxy->tap = (struct switch_tap){.fn = on_frame, .arg = gvproxy};
	if (conf->notification[0]) {
		forwarder_watch(forwarder, &gvproxy->watcher);
		switch_tap_add(stack_switch(forwarder_stack(forwarder)), &gvproxy->tap);
	}
	r = start_forwards(gvproxy);
	if (r < 0) {
		gvproxy_free(gvproxy);
		return r;
	}
	notify(gvproxy, "ready", NULL);
	*ret_gvproxy = gvproxy;
	return 0;
}

void gvproxy_free(struct gvproxy *gvproxy)
{
	if (!gvproxy)
		return;
	if (gvproxy->conf->notification[0]) {
		forwarder_unwatch(&gvproxy->watcher);
		switch_tap_remove(&gvproxy->tap);
	}
	for (unsigned i = 0; i < gvproxy->ssh_count; i++)
		end_ssh(&gvproxy->sshs[i]);
	free(gvproxy);
}
