/* SPDX-License-Identifier: Apache-2.0 */
/* The addresses of the host's HTTP proxy; see egress_lookup.h. */
#include "forwarder/egress_lookup.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"

LOG_MODULE("proxy");

#define PROXIES 2

/* What the child writes, at once: less than PIPE_BUF. */
struct answer {
	int error; /* of getaddrinfo() */
	unsigned addr_count;
	struct addr addrs[EGRESS_ADDRESSES_MAX];
};

struct lookup {
	struct egress *egress;
	struct egress_proxy *proxy;
	pid_t child; /* 0: no lookup is under way */
	int fd;
	struct loop_fd *watch;
	uint64_t next_ms; /* not before */
};

struct egress {
	struct loop *loop;
	struct egress_conf conf;
	struct lookup lookups[PROXIES];
};

/* ---- In the child ---- */

static void resolve(const char *host, struct answer *answer)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	struct addrinfo *list;

	answer->error = getaddrinfo(host, NULL, &hints, &list);
	if (answer->error)
		return;
	for (const struct addrinfo *one = list; one && answer->addr_count < EGRESS_ADDRESSES_MAX;
	     one = one->ai_next) {
		struct endpoint at;

		if (endpoint_from_sockaddr(one->ai_addr, &at) == 0)
			answer->addrs[answer->addr_count++] = at.addr;
	}
}

/* Keeps nothing of its parent's open but the pipe: a socket ends with its last descriptor. */
static _Noreturn void run_child(const char *host, int fd, pid_t parent)
{
	struct answer answer = {0};

	/* First: our own handlers would pass a signal on to the parent's loop. */
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	/* Should the parent have died before, the signal would never come. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
	if (fd > 0)
		close_range(0, (unsigned)fd - 1, 0);
	close_range((unsigned)fd + 1, ~0u, 0);
	resolve(host, &answer);
	_exit(write(fd, &answer, sizeof(answer)) == (ssize_t)sizeof(answer) ? 0 : 1);
}

/* ---- In the parent ---- */

static void lookup_end(struct lookup *lookup)
{
	if (!lookup->child)
		return;
	loop_fd_free(lookup->watch);
	lookup->watch = NULL;
	fd_close(&lookup->fd);
	/* It has nothing more to do, whatever it is doing. */
	kill(lookup->child, SIGKILL);
	while (waitpid(lookup->child, NULL, 0) < 0 && errno == EINTR)
		;
	lookup->child = 0;
}

static void take_answer(struct lookup *lookup, const struct answer *answer)
{
	struct egress_proxy *proxy = lookup->proxy;
	char text[ADDR_TEXT_MAX];

	if (answer->error || !answer->addr_count || answer->addr_count > EGRESS_ADDRESSES_MAX) {
		log_limited(LOG_LEVEL_WARN, "the HTTP proxy %s has no address: %s", proxy->host,
			    answer->error ? gai_strerror(answer->error) : "none");
		return; /* those that were known may still be right */
	}
	if (!proxy->addr_count || !addr_equal(&proxy->addrs[0], &answer->addrs[0]))
		log_info("the HTTP proxy %s is at %s", proxy->host,
			 addr_format(&answer->addrs[0], text));
	memcpy(proxy->addrs, answer->addrs, answer->addr_count * sizeof(proxy->addrs[0]));
	proxy->addr_count = answer->addr_count;
	lookup->next_ms = loop_now_ms(lookup->egress->loop) + EGRESS_LOOKUP_AGE_MS;
}

static void on_answer(void *arg, int fd, unsigned ready)
{
	struct lookup *lookup = arg;
	struct answer answer;
	ssize_t got = read(fd, &answer, sizeof(answer));

	(void)ready;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got != (ssize_t)sizeof(answer))
		answer = (struct answer){.error = EAI_SYSTEM};
	lookup_end(lookup);
	take_answer(lookup, &answer);
}

static int lookup_start(struct lookup *lookup)
{
	pid_t parent = getpid();
	int fds[2];
	int r;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	r = fd_set_nonblocking(fds[0]);
	if (r == 0)
		r = loop_fd_new(lookup->egress->loop, fds[0], LOOP_READ, on_answer, lookup,
				&lookup->watch);
	lookup->child = r == 0 ? fork() : -1;
	if (lookup->child == 0)
		run_child(lookup->proxy->host, fds[1], parent);
	if (r == 0 && lookup->child < 0)
		r = -errno;
	close(fds[1]);
	lookup->fd = fds[0];
	if (r < 0) {
		loop_fd_free(lookup->watch);
		lookup->watch = NULL;
		lookup->child = 0;
		fd_close(&lookup->fd);
	}
	return r;
}

static void lookup_want(struct lookup *lookup)
{
	uint64_t now_ms = loop_now_ms(lookup->egress->loop);
	int r;

	if (!lookup->proxy->host[0] || lookup->proxy->is_address || lookup->child ||
	    now_ms < lookup->next_ms)
		return;
	lookup->next_ms = now_ms + EGRESS_LOOKUP_RETRY_MS;
	r = lookup_start(lookup);
	if (r < 0)
		log_limited(LOG_LEVEL_ERROR, "the HTTP proxy %s can't be looked up: %s",
			    lookup->proxy->host, strerror(-r));
}

static struct lookup *lookup_of(struct egress *egress, const struct egress_proxy *proxy)
{
	return &egress->lookups[proxy == &egress->conf.https];
}

int egress_new(struct loop *loop, const struct egress_conf *conf, struct egress **ret_egress)
{
	struct egress *egress = calloc(1, sizeof(*egress));

	if (!egress)
		return -ENOMEM;
	egress->loop = loop;
	egress->conf = *conf;
	egress->lookups[0] = (struct lookup){
		.egress = egress, .proxy = &egress->conf.http, .fd = -1};
	egress->lookups[1] = (struct lookup){
		.egress = egress, .proxy = &egress->conf.https, .fd = -1};
	for (unsigned i = 0; i < PROXIES; i++)
		lookup_want(&egress->lookups[i]);
	*ret_egress = egress;
	return 0;
}

void egress_free(struct egress *egress)
{
	if (!egress)
		return;
	for (unsigned i = 0; i < PROXIES; i++)
		lookup_end(&egress->lookups[i]);
	free(egress);
}

const struct egress_conf *egress_now(const struct egress *egress)
{
	return &egress->conf;
}

const struct egress_proxy *egress_use(struct egress *egress, const struct endpoint *to)
{
	const struct egress_proxy *proxy = egress_find(&egress->conf, to);

	if (proxy)
		lookup_want(lookup_of(egress, proxy));
	return proxy;
}

void egress_unreachable(struct egress *egress, const struct egress_proxy *proxy)
{
	struct lookup *lookup = lookup_of(egress, proxy);
	uint64_t soon_ms = loop_now_ms(egress->loop) + EGRESS_LOOKUP_RETRY_MS;

	if (lookup->next_ms > soon_ms)
		lookup->next_ms = soon_ms;
}
