/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /metrics: what there is to count, in Prometheus' text format 0.0.4. Names say their unit;
 * those that only grow end in _total. Directions are seen from the guest: "to_guest", "from_guest".
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/live.h"
#include "api/routes.h"
#include "forwarder/publish_spec.h"

#define LABEL_MAX 400
/* Forwards that have counters of their own here; a network with more has them in /v1/forwards. */
#define FORWARDS_SHOWN_MAX 1000

/* ---- The format ---- */

static void head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP netproxy_%s %s\n# TYPE netproxy_%s %s\n", name, help, name, type);
}

/* `labels` is "" or such as {port="1"}. */
static void sample(FILE *out, const char *name, const char *labels, uint64_t value)
{
	fprintf(out, "netproxy_%s%s %" PRIu64 "\n", name, labels, value);
}

static void one(FILE *out, const char *name, const char *type, const char *help, uint64_t value)
{
	head(out, name, type, help);
	sample(out, name, "", value);
}

static void gauge(FILE *out, const char *name, const char *help, uint64_t value)
{
	one(out, name, "gauge", help, value);
}

static void counter(FILE *out, const char *name, const char *help, uint64_t value)
{
	one(out, name, "counter", help, value);
}

/* A label's value: backslash, quote and newline are escaped, and what doesn't fit is cut. */
static const char *escape(const char *text, char to[static LABEL_MAX])
{
	size_t size = 0;

	for (; *text && size + 3 < LABEL_MAX; text++) {
		if (*text == '\\' || *text == '"' || *text == '\n')
			to[size++] = '\\';
		to[size++] = *text == '\n' ? 'n' : *text;
	}
	to[size] = '\0';
	return to;
}

/* ---- The network ---- */

static void write_flows(FILE *out, const struct forwarder_counters *counters)
{
	head(out, "payload_bytes_total", "counter", "Payload carried between guests and the host.");
	sample(out, "payload_bytes_total", "{direction=\"to_guest\"}", counters->bytes_to_guests);
	sample(out, "payload_bytes_total", "{direction=\"from_guest\"}", counters->bytes_to_host);
	head(out, "flows", "gauge", "Flows that there are.");
	sample(out, "flows", "{protocol=\"tcp\"}", counters->tcp_flows);
	sample(out, "flows", "{protocol=\"udp\"}", counters->udp_flows);
	sample(out, "flows", "{protocol=\"icmp\"}", counters->icmp_flows);
	head(out, "flows_total", "counter", "Flows that there have been.");
	sample(out, "flows_total", "{protocol=\"tcp\"}", counters->tcp_flows_total);
	sample(out, "flows_total", "{protocol=\"udp\"}", counters->udp_flows_total);
	sample(out, "flows_total", "{protocol=\"icmp\"}", counters->icmp_flows_total);
	counter(out, "tcp_refused_total",
		"Connects that the host's side refused or could not make.", counters->tcp_refused);
	counter(out, "udp_evicted_total", "UDP flows ended early because of a maximum.",
		counters->udp_evicted);
	head(out, "datagrams_dropped_total", "counter", "Datagrams that could not be sent on.");
	sample(out, "datagrams_dropped_total", "{protocol=\"udp\"}", counters->udp_dropped);
	sample(out, "datagrams_dropped_total", "{protocol=\"icmp\"}", counters->icmp_dropped);
}

static void write_stack(FILE *out, const struct stack_counters *counters)
{
	counter(out, "ip_packets_received_total", "IP packets from guests to the gateway.",
		counters->rx_packets);
	head(out, "ip_packets_dropped_total", "counter", "IP packets that went nowhere.");
	sample(out, "ip_packets_dropped_total", "{reason=\"invalid\"}", counters->rx_invalid);
	sample(out, "ip_packets_dropped_total", "{reason=\"spoofed\"}", counters->rx_spoofed);
	sample(out, "ip_packets_dropped_total", "{reason=\"unroutable\"}", counters->rx_unroutable);
	sample(out, "ip_packets_dropped_total", "{reason=\"no_neighbour\"}",
	       counters->tx_no_neighbour);
	sample(out, "ip_packets_dropped_total", "{reason=\"link_full\"}", counters->tx_full);
	gauge(out, "tcp_connections", "TCP connections with guests.", counters->conns);
	counter(out, "tcp_connections_total", "TCP connections that there have been.",
		counters->conns_total);
	counter(out, "tcp_connections_refused_full_total",
		"SYNs refused because their guest had too many connections.",
		counters->conns_refused_full);
	counter(out, "tcp_segments_refused_total",
		"Segments not kept because their guest's connections hold too much.",
		counters->conns_rx_refused);
}

static void write_switch(FILE *out, const struct switch_counters *counters)
{
	uint64_t guarded = 0;

	for (int i = 0; i < GUARD_VERDICTS; i++)
		guarded += counters->guarded[i];
	counter(out, "frames_flooded_total", "Frames that went to all ports.", counters->flooded);
	head(out, "frames_dropped_total", "counter", "Frames that the switch dropped.");
	sample(out, "frames_dropped_total", "{reason=\"flood_limit\"}", counters->flood_limited);
	sample(out, "frames_dropped_total", "{reason=\"isolated\"}", counters->isolated);
	sample(out, "frames_dropped_total", "{reason=\"malformed\"}", counters->refused);
	sample(out, "frames_dropped_total", "{reason=\"guard\"}", guarded);
	sample(out, "frames_dropped_total", "{reason=\"link_full\"}", counters->dropped);
}

/* ---- Ports ---- */

struct port_metric {
	const char *name;
	const char *help;
	uint64_t (*value)(const struct switch_port_info *info);
};

static uint64_t rx_frames(const struct switch_port_info *info)
{
	return info->counters.rx_frames;
}

static uint64_t rx_bytes(const struct switch_port_info *info)
{
	return info->counters.rx_bytes;
}

static uint64_t rx_invalid(const struct switch_port_info *info)
{
	return info->counters.rx_invalid;
}

static uint64_t tx_frames(const struct switch_port_info *info)
{
	return info->counters.tx_frames;
}

static uint64_t tx_bytes(const struct switch_port_info *info)
{
	return info->counters.tx_bytes;
}

static uint64_t tx_full(const struct switch_port_info *info)
{
	return info->counters.tx_full;
}

static uint64_t tx_dropped(const struct switch_port_info *info)
{
	return info->counters.tx_dropped + info->switching.dropped;
}

static const struct port_metric port_metrics[] = {
	{"port_received_frames_total", "Frames from the guest.", rx_frames},
	{"port_received_bytes_total", "Bytes of frames from the guest.", rx_bytes},
	{"port_received_invalid_total", "Frames from the guest that its link refused.", rx_invalid},
	{"port_sent_frames_total", "Frames to the guest.", tx_frames},
	{"port_sent_bytes_total", "Bytes of frames to the guest.", tx_bytes},
	{"port_send_full_total", "Times that the guest's link was full.", tx_full},
	{"port_send_dropped_total", "Frames to the guest that were lost.", tx_dropped},
};

static void write_ports(FILE *out, struct nswitch *sw)
{
	struct switch_port_info infos[SWITCH_PORTS_MAX];
	unsigned count = switch_ports(sw, infos, SWITCH_PORTS_MAX);

	gauge(out, "ports", "Links of guests that are attached.", count);
	for (size_t m = 0; m < sizeof(port_metrics) / sizeof(port_metrics[0]); m++) {
		const struct port_metric *metric = &port_metrics[m];

		head(out, metric->name, "counter", metric->help);
		for (unsigned i = 0; i < count && i < SWITCH_PORTS_MAX; i++) {
			char link[LABEL_MAX], kind[LABEL_MAX];

			fprintf(out,
				"netproxy_%s{port=\"%u\",link=\"%s\",kind=\"%s\"} %" PRIu64 "\n",
				metric->name, infos[i].port, escape(infos[i].name, link),
				escape(infos[i].kind, kind), metric->value(&infos[i]));
		}
	}
}

/* ---- Published ports ---- */

struct forward_metric {
	const char *name;
	const char *type;
	const char *help;
	size_t offset; /* of a uint64_t in struct publish_info */
};

static const struct forward_metric forward_metrics[] = {
	{"forward_connections_total", "counter", "Clients of a published port.",
	 offsetof(struct publish_info, connections)},
	{"forward_refused_total", "counter", "Clients that the guest did not take.",
	 offsetof(struct publish_info, refused)},
	{"forward_connections", "gauge", "Clients of a published port that are there.",
	 offsetof(struct publish_info, active)},
	{"forward_to_guest_bytes_total", "counter", "Payload to the guest.",
	 offsetof(struct publish_info, bytes_to_guest)},
	{"forward_from_guest_bytes_total", "counter", "Payload from the guest.",
	 offsetof(struct publish_info, bytes_to_host)},
};

struct forward_visit {
	FILE *out;
	const struct forward_metric *metric;
	unsigned left;
};

static void write_forward(void *arg, const struct publish_info *info)
{
	struct forward_visit *visit = arg;
	char local[LABEL_MAX];
	uint64_t value;

	if (!visit->left)
		return;
	visit->left--;
	memcpy(&value, (const char *)info + visit->metric->offset, sizeof(value));
	fprintf(visit->out, "netproxy_%s{local=\"%s\",protocol=\"%s\"} %" PRIu64 "\n",
		visit->metric->name, escape(info->spec->local_text, local),
		publish_protocol_text(info->spec->protocol), value);
}

static void write_forwards(FILE *out, struct publish *publish)
{
	gauge(out, "forwards", "Published ports.", publish_count(publish));
	for (size_t m = 0; m < sizeof(forward_metrics) / sizeof(forward_metrics[0]); m++) {
		const struct forward_metric *metric = &forward_metrics[m];
		struct forward_visit visit = {
			.out = out, .metric = metric, .left = FORWARDS_SHOWN_MAX};

		head(out, metric->name, metric->type, metric->help);
		publish_for_each(publish, write_forward, &visit);
	}
}

/* ---- The rest ---- */

static void count_lease(void *visitor, const struct api_lease *lease)
{
	uint64_t *counts = visitor;

	counts[lease->address.family == AF_INET6]++;
}

static void write_counter(void *visitor, const struct api_counter *counted)
{
	size_t size = strlen(counted->name);
	bool grows = size > 6 && strcmp(counted->name + size - 6, "_total") == 0;

	if (counted->help)
		head(visitor, counted->name, grows ? "counter" : "gauge", counted->help);
	sample(visitor, counted->name, counted->labels, counted->value);
}

static void write_services(FILE *out, const struct api_call *call)
{
	const struct api_backend *backend = call->backend;
	struct policy_counters policy = policy_counters(forwarder_policy(backend->forwarder));
	struct live_counters live = live_counters(call->live);
	uint64_t leases[2] = {0};

	if (backend->leases)
		backend->leases(backend->arg, count_lease, leases);
	head(out, "leases", "gauge", "Addresses leased to guests.");
	sample(out, "leases", "{family=\"ipv4\"}", leases[0]);
	sample(out, "leases", "{family=\"ipv6\"}", leases[1]);
	head(out, "policy_decisions_total", "counter", "What guests were let reach, or not.");
	sample(out, "policy_decisions_total", "{verdict=\"allow\"}", policy.allowed);
	sample(out, "policy_decisions_total", "{verdict=\"deny\"}", policy.denied);
	gauge(out, "event_listeners", "Clients that listen to events.", live.events.listeners);
	counter(out, "events_missed_total", "Events that were too many in a second.",
		live.events.missed);
	counter(out, "event_listeners_cut_total", "Listeners that did not read.", live.events.cut);
	gauge(out, "captures", "Captures of packets that run.", live.captures);
	counter(out, "capture_dropped_packets_total",
		"Packets lost in captures that have ended, because the client was slow.",
		live.captures_dropped);
	if (backend->counters)
		backend->counters(backend->arg, write_counter, out);
}

static void write_process(FILE *out)
{
	FILE *statm = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	if (statm) {
		if (fscanf(statm, "%*u %lu", &pages) != 1)
			pages = 0;
		fclose(statm);
	}
	head(out, "build_info", "gauge", "The version, as a label.");
	sample(out, "build_info", "{version=\"" NETPROXY_VERSION "\"}", 1);
	gauge(out, "resident_memory_bytes", "Resident memory of the process.",
	      (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE));
	head(out, "cpu_seconds_total", "counter", "Processor time of the process.");
	fprintf(out, "netproxy_cpu_seconds_total %.6f\n", (double)clock() / CLOCKS_PER_SEC);
}

void route_metrics(const struct api_call *call)
{
	struct forwarder *forwarder = call->backend->forwarder;
	struct forwarder_counters counters = forwarder_counters(forwarder);
	struct nswitch *sw = stack_switch(forwarder_stack(forwarder));
	struct switch_counters switching = switch_counters(sw);
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out) {
		api_fail(call, 500, "no_memory", "out of memory");
		return;
	}
	write_process(out);
	write_flows(out, &counters);
	write_stack(out, &counters.stack);
	write_switch(out, &switching);
	write_ports(out, sw);
	write_forwards(out, call->backend->publish);
	write_services(out, call);
	if (fclose(out) != 0) {
		free(text);
		api_fail(call, 500, "no_memory", "out of memory");
		return;
	}
	call->reply->type = "text/plain; version=0.0.4; charset=utf-8";
	call->reply->body = text;
	call->reply->body_size = size;
}
