/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's loop; see agent.h. Each look at what listens is followed by the requests that it
 * asks for. The kernel doesn't say when a socket begins to listen, so there is a look every
 * interval; where it says that one has ended, there is one at once.
 */
#include "agent/agent.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "agent/relay.h"
#include "agent/sock_diag.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/sock.h"

LOG_MODULE("agent");

#define LOOK_SOON_MS   20
#define BACKOFF_MIN_MS 500
#define BACKOFF_MAX_MS 30000

struct agent {
	const struct agent_conf *conf;
	struct loop *loop;
	struct loop_signal *signals[2];
	struct loop_timer *look;
	int ended_fd; /* -1: the kernel doesn't tell us */
	struct loop_fd *ended_watch;
	struct agent_api *api;
	struct relays *relays;
	uint64_t connect_ms; /* not before that */
	uint32_t backoff_ms;
	bool complained; /* that netproxy can't be reached */
	bool overflow_said;
	struct listeners listeners;
	struct agent_wanted wanted[AGENT_WANTED_MAX];
	struct publisher publisher;
};

/* ---- Looking ---- */

/* An IPv6 address by which others reach us; AF_UNSPEC where there is none. */
static struct addr own_address6(void)
{
	struct addr found = {.family = AF_UNSPEC};
	struct ifaddrs *all;

	if (getifaddrs(&all) < 0)
		return found;
	for (struct ifaddrs *one = all; one && found.family == AF_UNSPEC; one = one->ifa_next) {
		struct endpoint at;

		if (!one->ifa_addr || one->ifa_addr->sa_family != AF_INET6 ||
		    !(one->ifa_flags & IFF_UP) || (one->ifa_flags & IFF_LOOPBACK) ||
		    endpoint_from_sockaddr(one->ifa_addr, &at) < 0)
			continue;
		if (at.addr.family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(&at.addr.v6))
			found = at.addr;
	}
	freeifaddrs(all);
	return found;
}

/* Our own relays are not to be published. */
static void leave_out_relays(struct agent *agent)
{
	struct listeners *listeners = &agent->listeners;
	size_t kept = 0;

	for (size_t i = 0; i < listeners->count; i++) {
		if (!relays_own(agent->relays, listeners->at[i].inode))
			listeners->at[kept++] = listeners->at[i];
	}
	listeners->count = kept;
}

static void look(struct agent *agent)
{
	struct addr own6 = own_address6();
	size_t count;
	int r = sock_diag_list(&agent->listeners);

	if (r < 0) {
		log_limited(LOG_LEVEL_ERROR, "can't find out what listens: %s", strerror(-r));
		return;
	}
	leave_out_relays(agent);
	count = agent_policy_apply(&agent->conf->policy, &agent->listeners, &own6, agent->wanted);
	if ((agent->listeners.overflow || count == AGENT_WANTED_MAX) && !agent->overflow_said) {
		log_warn(
			"more sockets listen than can be published: at most %d ports of %d sockets",
			AGENT_WANTED_MAX, LISTENERS_MAX);
		agent->overflow_said = true;
	}
	publisher_want(&agent->publisher, agent->wanted, count);
}

/* ---- Publishing ---- */

static void report(const struct publisher_port *port, const char *what, const char *why)
{
	log_info("%s port %u %s%s%s", port->wanted.udp ? "udp" : "tcp", port->wanted.port, what,
		 why[0] ? ": " : "", why);
}

/* Where the port leads: a relay is at a port of its own. */
static int remote_of(struct agent *agent, const struct agent_wanted *wanted,
		     struct endpoint *ret_remote)
{
	if (wanted->relay)
		return relays_start(
			agent->relays,
			&(struct endpoint){.addr = wanted->remote, .port = wanted->port},
			ret_remote);
	*ret_remote = (struct endpoint){.addr = wanted->remote, .port = wanted->port};
	return 0;
}

static int publish_port(struct agent *agent, struct publisher_port *port, char *error)
{
	enum publisher_outcome outcome = PUBLISHER_TAKEN;
	struct endpoint remote;
	int r = remote_of(agent, &port->wanted, &remote);

	if (r < 0) {
		snprintf(error, API_REACH_ERROR_MAX, "no relay to the loopback: %s", strerror(-r));
	} else {
		r = agent_api_publish(agent->api, &port->wanted, &remote, &outcome, error);
		if (r < 0)
			return r;
	}
	if (outcome != PUBLISHER_OK && port->wanted.relay)
		relays_stop(agent->relays, port->wanted.port);
	if (publisher_done(&agent->publisher, port, outcome, clock_ms()))
		report(port, outcome == PUBLISHER_OK ? "is published" : "can't be published",
		       outcome == PUBLISHER_OK ? "" : error);
	return 0;
}

static int withdraw_port(struct agent *agent, struct publisher_port *port, char *error)
{
	int r = agent_api_withdraw(agent->api, &port->wanted, error);

	if (r < 0)
		return r;
	if (port->wanted.relay)
		relays_stop(agent->relays, port->wanted.port);
	report(port, "is published no more", "");
	publisher_done(&agent->publisher, port, PUBLISHER_OK, clock_ms());
	return 0;
}

static void back_off(struct agent *agent, const char *why)
{
	publisher_lost(&agent->publisher);
	relays_stop_all(agent->relays);
	if (!agent->complained)
		log_warn("%s: trying again", why);
	agent->complained = true;
	agent->connect_ms = clock_ms() + agent->backoff_ms;
	agent->backoff_ms = agent->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS
								   : agent->backoff_ms * 2;
}

static void publish_all(struct agent *agent)
{
	char error[API_REACH_ERROR_MAX] = "";
	struct publisher_port *port;
	int r = 0;

	while (r == 0 && (port = publisher_next(&agent->publisher, clock_ms()))) {
		if (!agent_api_is_up(agent->api)) {
			if (clock_ms() < agent->connect_ms)
				return;
			r = agent_api_connect(agent->api, error);
			if (r < 0)
				break;
		}
		r = port->state == PUBLISHER_LEAVING ? withdraw_port(agent, port, error)
						     : publish_port(agent, port, error);
		if (r == 0) {
			agent->complained = false;
			agent->backoff_ms = BACKOFF_MIN_MS;
		}
	}
	if (r < 0)
		back_off(agent, error);
}

static void on_look(void *arg)
{
	struct agent *agent = arg;

	look(agent);
	publish_all(agent);
	loop_timer_set(agent->look, agent->conf->interval_ms);
}

/* With nothing published the server may close the connection as it likes. */
static void on_lost(void *arg)
{
	struct agent *agent = arg;

	if (publisher_up(&agent->publisher))
		back_off(agent, "netproxy has ended the connection");
}

static void on_ended(void *arg, int fd, unsigned ready)
{
	struct agent *agent = arg;
	bool ours = false;
	int r = sock_diag_read_ended(fd, &agent->listeners);

	(void)ready;
	/* Connections end all the time; only what is published matters. */
	for (size_t i = 0; i < agent->listeners.count && !ours; i++)
		ours = publisher_has(&agent->publisher, agent->listeners.at[i].port);
	if (ours || r < 0)
		loop_timer_set(agent->look, LOOK_SOON_MS);
}

/* ---- Life ---- */

static void on_stop(void *arg)
{
	struct agent *agent = arg;

	loop_stop(agent->loop, 0);
}

static void watch_ended(struct agent *agent)
{
	int r = sock_diag_watch(&agent->ended_fd);

	if (r == 0)
		r = loop_fd_new(agent->loop, agent->ended_fd, LOOP_READ, on_ended, agent,
				&agent->ended_watch);
	if (r < 0)
		log_info("the kernel doesn't tell when sockets end (%s): ports go when they are "
			 "looked for",
			 strerror(-r));
}

static int start(struct agent *agent)
{
	static const int numbers[] = {SIGTERM, SIGINT};
	int r = loop_new(&agent->loop);

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; r == 0 && i < sizeof(numbers) / sizeof(numbers[0]); i++)
		r = loop_signal_new(agent->loop, numbers[i], on_stop, agent, &agent->signals[i]);
	if (r == 0)
		r = loop_timer_new(agent->loop, on_look, agent, &agent->look);
	if (r == 0)
		r = relays_new(agent->loop, &agent->relays);
	if (r == 0)
		r = agent_api_new(agent->loop, &agent->conf->api, on_lost, agent, &agent->api);
	if (r == 0) {
		watch_ended(agent);
		loop_timer_set(agent->look, 0);
	}
	return r;
}

static void stop(struct agent *agent)
{
	agent_api_free(agent->api); /* and with the connection all forwards end */
	relays_free(agent->relays);
	loop_fd_free(agent->ended_watch);
	fd_close(&agent->ended_fd);
	loop_timer_free(agent->look);
	for (size_t i = 0; i < sizeof(agent->signals) / sizeof(agent->signals[0]); i++)
		loop_signal_free(agent->signals[i]);
	loop_free(agent->loop);
}

int agent_run(const struct agent_conf *conf)
{
	static struct agent agent; /* too large for the stack; there is one in a process */
	int r;

	agent = (struct agent){.conf = conf, .ended_fd = -1, .backoff_ms = BACKOFF_MIN_MS};
	r = start(&agent);
	if (r == 0)
		r = loop_run(agent.loop);
	else
		log_error("can't start: %s", strerror(-r));
	stop(&agent);
	return r;
}
