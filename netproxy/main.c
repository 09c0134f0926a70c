/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netproxy: the daemon. This file is the map: it reads the options, creates the parts, connects
 * them, and runs the loop.
 *
 *	guest -> links -> switch -> stack (lwIP) -> forwarder -> host sockets
 *	                                              |-> services: DHCP, DNS
 *	host  -> publish -> forwarder -> stack -> switch -> links -> guest
 *	API   -> publish, leases, counters
 */
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/inherited.h"
#include "base/log.h"
#include "base/loop.h"
#include "forwarder/forwarder.h"
#include "forwarder/publish.h"
#include "netproxy/control.h"
#include "netproxy/gvproxy.h"
#include "netproxy/links.h"
#include "netproxy/netns_setup.h"
#include "netproxy/notify.h"
#include "netproxy/options.h"
#include "netproxy/published.h"
#include "netproxy/sandbox.h"
#include "netproxy/services.h"
#include "netproxy/slirp4netns_api.h"
#include "netproxy/slirp4netns_options.h"
#include "netproxy/state_file.h"

LOG_MODULE("netproxy");

#define EXIT_CANNOT 1
#define EXIT_USAGE  2

#define UDP_FLOWS_TOTAL_MAX 65536

/* The gateway's MAC: locally administered, and the same at every start, so that guests' ARP caches
 * stay right. */
static const struct mac gateway_mac = {{0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xdd}};

struct netproxy {
	const struct options *options;
	struct loop *loop;
	struct loop_signal *signals[3];
	struct state_file *state; /* keeps nothing without --state */
	struct forwarder *forwarder;
	struct publish *publish;
	struct published *published;
	struct services *services;
	struct control *control;
	struct gvproxy *gvproxy; /* NULL: we are ourselves */
	struct links *links;
	struct netns_session *netns;
	struct slirp4netns_api *slirp4netns; /* NULL: not asked for */
	bool pid_file_written;
};

/* ---- The process ---- */

static void on_stop_signal(void *arg)
{
	struct netproxy *np = arg;

	log_info("asked to stop");
	loop_stop(np->loop, 0);
}

static void on_hangup_signal(void *arg)
{
	struct netproxy *np = arg;

	if (np->options->log_file[0] && log_set_file(np->options->log_file) < 0)
		log_error("can't reopen the log file %s: going on with the old one",
			  np->options->log_file);
}

static int watch_signals(struct netproxy *np)
{
	static const struct {
		int number;
		loop_fn *fn;
	} wanted[] = {
		{SIGTERM, on_stop_signal},
		{SIGINT, on_stop_signal},
		{SIGHUP, on_hangup_signal},
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(wanted) / sizeof(wanted[0]); i++)
		r = loop_signal_new(np->loop, wanted[i].number, wanted[i].fn, np, &np->signals[i]);
	return r;
}

/* Buffers of 64 and 256 KiB come and go with traffic. The allocator shall not give each back to the
 * kernel, which would clear it anew for the next one.
 *
 * Huge pages, where they are the default, would have us take up 2 MiB for each part of the heap
 * that a few bytes are left in, and take up again what was given back. */
static void tune_allocator(void)
{
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	mallopt(M_MMAP_THRESHOLD, 1024 * 1024);
	mallopt(M_TRIM_THRESHOLD, 4 * 1024 * 1024);
	mallopt(M_TOP_PAD, 1024 * 1024);
}

/* A flow needs a descriptor; take as many as we may have. */
static void raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* The most connections of all guests: the other quarter of the descriptors is for UDP flows,
 * published ports, DNS and the API. A guest that is alone gets eight ninths of these, two thirds of
 * all. */
static unsigned connections_total_max(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > UINT_MAX)
		return 0;
	return limit.rlim_cur < 4 ? 1 : (unsigned)(limit.rlim_cur / 4 * 3);
}

/* The most UDP flows of all guests: an eighth of the descriptors. */
static unsigned udp_flows_total_max(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur / 8 > UDP_FLOWS_TOTAL_MAX)
		return UDP_FLOWS_TOTAL_MAX;
	return limit.rlim_cur < 8 ? 1 : (unsigned)(limit.rlim_cur / 8);
}

static int write_pid_file(const struct options *options, char error[static OPTIONS_ERROR_MAX])
{
	const char *path = options->pid_file;
	FILE *file = fopen(path, "we");

	if (!file || fprintf(file, "%d%s", (int)getpid(), options->pid_file_bare ? "" : "\n") < 0 ||
	    fclose(file) != 0) {
		snprintf(error, OPTIONS_ERROR_MAX, "--pid-file %.200s: %s", path, strerror(errno));
		return -EIO;
	}
	return 0;
}

/* ---- Wiring ---- */

static int open_state(struct netproxy *np, char error[static OPTIONS_ERROR_MAX])
{
	const char *path = np->options->state_file;
	int r = state_file_new(np->loop, path[0] ? path : NULL, &np->state);

	if (r < 0)
		snprintf(error, OPTIONS_ERROR_MAX, "--state %.200s: %s%s", path,
			 r == -EINVAL        ? "expected an ordinary file"
			 : r == -EWOULDBLOCK ? "another netproxy uses it: expected a file for each"
					     : strerror(-r),
			 r == -ENOENT ? ": its directory must be there" : "");
	return r;
}

static int start_forwarder(struct netproxy *np, char error[static OPTIONS_ERROR_MAX])
{
	const struct options *options = np->options;
	struct forwarder_conf conf = {
		.stack =
			{
				.mac = gateway_mac,
				.subnet = options->subnet,
				.gateway = options->gateway,
				.alias = options->host_alias,
				.prefix6 = options->prefix6,
				.gateway6 = options->gateway6,
				.alias6 = options->host_alias6,
				.alias_routes = options->alias_routes,
				.mtu = options->mtu,
				.conns_max = options->connections_max,
				.conns_total_max = connections_total_max(),
			},
		.outbound = options->outbound,
		.host_access = options->host_access,
		.egress = &options->proxy,
		.policy_rules = options->rules,
		.policy_rule_count = options->rule_count,
		.policy_deny_by_default = options->egress_deny,
		.udp_flows_max = options->udp_flows_max,
		.udp_flows_total_max = udp_flows_total_max(),
	};
	int r = forwarder_new(np->loop, &conf, &np->forwarder);

	if (r == 0)
		r = publish_new(np->loop, np->forwarder, &np->publish);
	if (r < 0)
		snprintf(error, OPTIONS_ERROR_MAX, "the network can't start: %s", strerror(-r));
	return r;
}

/* What keeps the guests apart; before there are any. */
static int protect_guests(struct netproxy *np, char error[static OPTIONS_ERROR_MAX])
{
	const struct options *options = np->options;
	struct nswitch *sw = stack_switch(forwarder_stack(np->forwarder));
	struct guard_conf conf = {
		.mac = gateway_mac,
		.subnet = options->subnet,
		.prefix6 = options->prefix6,
		.reserved = {options->gateway, options->host_alias, options->gateway6,
			     options->host_alias6},
	};
	int r = options->guard ? switch_guard(sw, &conf) : 0;

	if (options->isolate)
		switch_isolate(sw);
	if (r < 0)
		snprintf(error, OPTIONS_ERROR_MAX, "the guard can't start: %s", strerror(-r));
	return r;
}

static void on_guest_event(void *arg, uint32_t guest_id, enum vsock_guest_event event)
{
	struct netproxy *np = arg;

	published_guest_event(np->published, guest_id, event);
}

static int start_gvproxy(struct netproxy *np, char error[static OPTIONS_ERROR_MAX])
{
	int r = gvproxy_new(np->loop, np->options->gvproxy, np->forwarder, &np->gvproxy);

	if (r < 0)
		snprintf(error, OPTIONS_ERROR_MAX, "gvproxy's part can't start: %s", strerror(-r));
	return r;
}

static int start(struct netproxy *np, char error[static OPTIONS_ERROR_MAX])
{
	int r = loop_new(&np->loop);

	if (r < 0) {
		snprintf(error, OPTIONS_ERROR_MAX, "no event loop: %s", strerror(-r));
		return r;
	}
	loop_set_busy_poll(np->loop, np->options->busy_poll_us);
	r = watch_signals(np);
	if (r < 0) {
		snprintf(error, OPTIONS_ERROR_MAX, "no signal handlers: %s", strerror(-r));
		return r;
	}
	r = open_state(np, error);
	if (r == 0)
		r = start_forwarder(np, error);
	if (r == 0)
		r = protect_guests(np, error);
	if (r == 0)
		r = services_new(np->loop, np->options, np->forwarder, np->state, error,
				 &np->services);
	if (r == 0)
		r = published_new(np->loop, np->options, np->publish, np->services, np->state,
				  error, &np->published);
	if (r == 0)
		r = control_new(np->loop, np->options, np->forwarder, np->publish, np->services,
				error, &np->control);
	if (r == 0)
		r = links_new(np->loop, np->options, stack_switch(forwarder_stack(np->forwarder)),
			      services_dhcp(np->services), on_guest_event, np, error, &np->links);
	if (r == 0 && np->options->pid_file[0]) {
		r = write_pid_file(np->options, error);
		np->pid_file_written = r == 0;
	}
	if (r == 0 && np->options->gvproxy)
		r = start_gvproxy(np, error);
	if (r == 0)
		r = netns_session_new(np->loop, np->options, error, &np->netns);
	if (r == 0)
		r = slirp4netns_api_new(np->loop, np->options, np->publish, error,
					&np->slirp4netns);
	/* Last: what has to be opened is open. */
	if (r == 0)
		r = sandbox_enter(np->options, error);
	return r;
}

static void stop(struct netproxy *np)
{
	if (np->services)
		services_leave(np->services);
	slirp4netns_api_free(np->slirp4netns);
	netns_session_free(np->netns);
	links_free(np->links);
	gvproxy_free(np->gvproxy);
	control_free(np->control);
	published_free(np->published);
	publish_free(np->publish);
	services_free(np->services);
	forwarder_free(np->forwarder);
	state_file_free(np->state);
	for (size_t i = 0; i < sizeof(np->signals) / sizeof(np->signals[0]); i++)
		loop_signal_free(np->signals[i]);
	loop_free(np->loop);
}

static int run(const struct options *options)
{
	struct netproxy np = {.options = options};
	char error[OPTIONS_ERROR_MAX] = "";
	int status = EXIT_CANNOT;

	if (start(&np, error) < 0) {
		fprintf(stderr, "netproxy: %s\n", error);
		if (options->log_file[0])
			log_error("%s", error);
	} else {
		char subnet[PREFIX_TEXT_MAX];

		log_info("netproxy %s is ready: network %s", NETPROXY_VERSION,
			 prefix_format(&options->subnet, subnet));
		notify_ready(options->notify_fd, options->notify_systemd);
		netns_session_ready(np.netns);
		status = loop_run(np.loop) < 0 ? EXIT_CANNOT : 0;
	}
	if (np.pid_file_written)
		unlink(options->pid_file);
	stop(&np);
	return status;
}

int main(int argc, char **argv)
{
	struct options options;
	char error[OPTIONS_ERROR_MAX];

	inherited_drop();

	bool is_gvproxy = gvproxy_is_name(argv[0]);
	enum options_result parsed = is_gvproxy ? gvproxy_options_parse(argc, argv, &options, error)
				     : slirp4netns_is_name(argv[0])
					     ? slirp4netns_options_parse(argc, argv, &options,
									 error)
					     : options_parse(argc, argv, &options, error);
	int status = 0;

	if (parsed == OPTIONS_BAD) {
		fprintf(stderr, "netproxy: %s\n", error);
		status = EXIT_USAGE;
	} else if (parsed == OPTIONS_RUN && !is_gvproxy && options.link_count == 0 &&
		   options.vsock_count == 0 && options.api_count == 0) {
		options_print_start();
		status = EXIT_USAGE;
	} else if (parsed == OPTIONS_RUN && options.log_file[0] &&
		   log_set_file(options.log_file) < 0) {
		fprintf(stderr, "netproxy: --log-file %s can't be opened for writing\n",
			options.log_file);
		status = EXIT_CANNOT;
	} else if (parsed == OPTIONS_RUN) {
		tune_allocator();
		raise_fd_limit();
		status = run(&options);
	}
	options_free(&options);
	return status;
}
