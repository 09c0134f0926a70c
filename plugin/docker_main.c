/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netproxy-docker-proxy: what dockerd starts for each port of a container (--userland-proxy-path).
 * It publishes the port on the host of the VM that dockerd runs in, runs Docker's own docker-proxy
 * for the VM's side, reports on fd 3, and stays; what it published ends with it, however it ends.
 *
 * The way in: netproxy sends what comes for the port on the host to the VM's own address, where
 * Docker's DNAT rule leads it to the container. A port of one address of the host's (-p
 * 127.0.0.1:80:80) has a rule for that address only, so there another docker-proxy listens at the
 * VM's own.
 */
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sock.h"
#include "plugin/docker_child.h"
#include "plugin/docker_forward.h"

#define REPORT_FD        3
#define LISTEN_FD        4
#define START_MS         10000 /* for all that comes before the report */
#define AGAIN_MS         2000  /* for publishing again; a signal waits for its end */
#define STOP_MS          2000
#define STOP_POLL_MS     5
#define RETRY_FIRST_MS   1000
#define RETRY_MAX_MS     30000
#define CHILDREN         2
#define VSOCK_PORT       6565
#define MESSAGE_MAX      1200
#define ENV_API          "NETPROXY_API"
#define ENV_DOCKER_PROXY "NETPROXY_DOCKER_PROXY"

static const char usage[] =
	"netproxy-docker-proxy publishes Docker's ports on the host of this VM. dockerd starts it:\n"
	"\n"
	"  dockerd --userland-proxy-path=/usr/local/bin/netproxy-docker-proxy\n"
	"\n"
	"or \"userland-proxy-path\" in /etc/docker/daemon.json. From dockerd's environment:\n"
	"  NETPROXY_API           how netproxy is reached: vsock, gateway, http://ADDRESS[:PORT] or\n"
	"                         unix:/PATH; several, separated by commas, are tried in order\n"
	"                         (vsock,gateway)\n"
	"  NETPROXY_DOCKER_PROXY  Docker's own docker-proxy (/usr/bin/docker-proxy and others)\n"
	"\n"
	"See netproxy-docker-proxy(1).\n";

struct proxy {
	struct docker_args args;
	struct api_reach reach;
	struct docker_forward forward; /* fd -1: none */
	bool published;                /* by us: to be published again when it ends */
	pid_t children[CHILDREN];      /* 0: none */
	uint64_t retry_at_ms;          /* 0: not */
	uint64_t retry_ms;
};

static void say(const char *message)
{
	fprintf(stderr, "netproxy-docker-proxy: %s\n", message);
}

/* Tells dockerd, or who else started us; `error` NULL: all is well. */
static void report(bool to_dockerd, const char *error)
{
	if (!to_dockerd && error)
		say(error);
	if (error)
		dprintf(REPORT_FD, "1\n%s", error);
	else
		dprintf(REPORT_FD, "0\n");
	close(REPORT_FD);
}

static int configure_reach(struct api_reach *reach, char *error)
{
	const char *configured = getenv(ENV_API);
	char list[512];
	int n = snprintf(list, sizeof(list), "%s",
			 configured && configured[0] ? configured : "vsock,gateway");

	if (n < 0 || (size_t)n >= sizeof(list)) {
		snprintf(error, MESSAGE_MAX, ENV_API " is longer than %zu bytes", sizeof(list) - 1);
		return -EINVAL;
	}
	for (char *at = list, *text; (text = strsep(&at, ","));) {
		int r = api_reach_add(reach, text, VSOCK_PORT);

		if (r == -ENOSPC)
			snprintf(error, MESSAGE_MAX, ENV_API " names more than %d ways",
				 API_REACH_MAX);
		else if (r < 0)
			snprintf(error, MESSAGE_MAX,
				 ENV_API " must be of vsock, gateway, unix:/PATH and "
					 "http://ADDRESS[:PORT], not \"%.100s\"",
				 text);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Whether it is an address of this VM itself, which the host can't have. */
static bool is_own_address(const struct addr *addr)
{
	struct ifaddrs *list, *at;
	bool found = false;

	if (addr_is_any(addr) || addr_is_loopback(addr) || getifaddrs(&list) < 0)
		return false;
	for (at = list; at && !found; at = at->ifa_next) {
		struct endpoint own;

		found = at->ifa_addr && endpoint_from_sockaddr(at->ifa_addr, &own) == 0 &&
			addr_equal(&own.addr, addr);
	}
	freeifaddrs(list);
	return found;
}

/* Docker's docker-proxy where dockerd wants it, and at the VM's own address where no rule leads
 * from there to the container. */
static int start_children(struct proxy *proxy, uint64_t deadline_ms, char *error)
{
	const struct docker_args *args = &proxy->args;
	const char *program = docker_child_find(getenv(ENV_DOCKER_PROXY));
	const struct addr any = {.family = AF_INET};
	bool needed = proxy->published && !addr_is_any(&args->host_ip);
	int r;

	if (!program && needed) {
		snprintf(
			error, MESSAGE_MAX,
			"there is no docker-proxy, which a port of a single address needs: install "
			"it, or say where it is in " ENV_DOCKER_PROXY);
		return -ENOENT;
	}
	if (!program) {
		say("there is no docker-proxy: the port is not at this VM's loopback");
		return 0;
	}
	r = docker_child_start(program, args, args->host_ip.family ? &args->host_ip : &any,
			       args->use_listen_fd, deadline_ms, &proxy->children[0], error);
	if (r == 0 && needed && !addr_equal(&proxy->forward.guest.addr, &args->host_ip))
		r = docker_child_start(program, args, &proxy->forward.guest.addr, false,
				       deadline_ms, &proxy->children[1], error);
	return r;
}

static int start(struct proxy *proxy, char *error)
{
	uint64_t deadline_ms = clock_ms() + START_MS;
	char why[DOCKER_FORWARD_ERROR_MAX], local[ENDPOINT_TEXT_MAX];
	struct endpoint at = {proxy->args.host_ip, proxy->args.host_port};
	int r = 0;

	if (!is_own_address(&proxy->args.host_ip)) {
		r = docker_forward_open(&proxy->reach, &proxy->args, deadline_ms, &proxy->forward,
					why);
		proxy->published = r == 0 && proxy->forward.fd >= 0;
	}
	if (r < 0) {
		snprintf(error, MESSAGE_MAX, "can't publish %s port %s on the host: %s",
			 proxy->args.udp ? "udp" : "tcp", endpoint_format(&at, local), why);
		return r;
	}
	return start_children(proxy, deadline_ms, error);
}

static void reap(struct proxy *proxy)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
		for (unsigned i = 0; i < CHILDREN; i++) {
			if (proxy->children[i] != pid)
				continue;
			proxy->children[i] = 0;
			say("docker-proxy ended: the port is not at this VM's own addresses any more");
		}
	}
}

/* The forward went with netproxy, or with the way to it: it is made anew as soon as possible. */
static void publish_again(struct proxy *proxy)
{
	uint64_t now_ms = clock_ms();
	char why[DOCKER_FORWARD_ERROR_MAX];

	proxy->reach.chosen = false;
	if (docker_forward_open(&proxy->reach, &proxy->args, now_ms + AGAIN_MS, &proxy->forward,
				why) == 0 &&
	    proxy->forward.fd >= 0) {
		say("the port is published again");
		proxy->retry_at_ms = 0;
		return;
	}
	/* The first failure is news, the others aren't. */
	if (proxy->retry_ms == RETRY_FIRST_MS)
		say(why);
	proxy->retry_ms = proxy->retry_ms * 2 < RETRY_MAX_MS ? proxy->retry_ms * 2 : RETRY_MAX_MS;
	proxy->retry_at_ms = clock_ms() + proxy->retry_ms;
}

static int timeout_ms(const struct proxy *proxy)
{
	uint64_t now_ms = clock_ms();

	if (!proxy->retry_at_ms)
		return -1;
	return proxy->retry_at_ms > now_ms ? (int)(proxy->retry_at_ms - now_ms) : 0;
}

/* Until dockerd says that it's over. */
static void stay(struct proxy *proxy, int signal_fd)
{
	struct pollfd fds[2] = {{.fd = signal_fd, .events = POLLIN}, {.events = POLLIN}};
	struct signalfd_siginfo info;

	for (;;) {
		fds[1].fd = proxy->forward.fd;
		fds[1].revents = 0;
		int n = poll(fds, 2, timeout_ms(proxy));
		if (n < 0 && errno != EINTR)
			return;
		if (n > 0 && fds[0].revents && read(signal_fd, &info, sizeof(info)) > 0) {
			if (info.ssi_signo != SIGCHLD)
				return;
			reap(proxy);
		}
		if (n > 0 && fds[1].revents) {
			say("netproxy has ended the forward");
			fd_close(&proxy->forward.fd);
			proxy->retry_ms = RETRY_FIRST_MS;
			proxy->retry_at_ms = clock_ms() + RETRY_FIRST_MS;
		}
		if (proxy->retry_at_ms && timeout_ms(proxy) == 0)
			publish_again(proxy);
	}
}

/* Ends a docker-proxy, which does what SIGTERM says unless it is stuck. */
static void stop_child(pid_t pid)
{
	uint64_t deadline_ms = clock_ms() + STOP_MS;

	kill(pid, SIGTERM);
	while (waitpid(pid, NULL, WNOHANG) == 0) {
		if (clock_ms() >= deadline_ms)
			kill(pid, SIGKILL);
		poll(NULL, 0, STOP_POLL_MS);
	}
}

static void stop(struct proxy *proxy)
{
	fd_close(&proxy->forward.fd);
	for (unsigned i = 0; i < CHILDREN; i++) {
		if (proxy->children[i] > 0)
			stop_child(proxy->children[i]);
	}
}

static int run(bool by_dockerd, int argc, char **argv)
{
	struct proxy proxy = {.forward.fd = -1};
	char error[MESSAGE_MAX] = "";
	sigset_t signals;
	int r = docker_args_decode(argc, argv, &proxy.args, error);

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
	if (r == 0 && signal_fd < 0)
		r = -errno;
	if (r == 0)
		r = configure_reach(&proxy.reach, error);
	if (r == 0)
		r = start(&proxy, error);
	/* dockerd's listener is docker-proxy's alone: what nobody accepts from must not listen. */
	close(LISTEN_FD);
	report(by_dockerd, r < 0 ? (error[0] ? error : strerror(-r)) : NULL);
	if (r == 0)
		stay(&proxy, signal_fd);
	stop(&proxy);
	return r < 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
	bool by_dockerd = fcntl(REPORT_FD, F_GETFD) >= 0;
	const char *word = argc == 2 && argv[1][0] == '-' ? argv[1] + strspn(argv[1], "-") : "";

	if (!strcmp(word, "version") || !strcmp(word, "v")) {
		puts("netproxy-docker-proxy " NETPROXY_VERSION);
		return 0;
	}
	if (!strcmp(word, "help") || !strcmp(word, "h")) {
		fputs(usage, stdout);
		return 0;
	}
	if (argc == 1 && !by_dockerd) {
		fputs(usage, stderr);
		return 1;
	}
	/* What is opened must not get the numbers of what dockerd gives. */
	for (int fd = 0; fd <= LISTEN_FD; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			(void)open("/dev/null", O_RDWR);
	}
	return run(by_dockerd, argc, argv);
}
