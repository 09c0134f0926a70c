/* SPDX-License-Identifier: Apache-2.0 */
/* netproxyctl's commands that show what goes on: flows, events, packets, and a view of it all. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "ctl/commands.h"
#include "ctl/show.h"

#define PATH_FLOWS  "/v1/flows"
#define PATH_EVENTS "/v1/events"
#define PATH_PCAP   "/v1/pcap"
#define PATH_PORTS  "/v1/ports"
#define PATH_STATS  "/v1/stats"

#define HEAD_SIZE_MAX 8192
#define READ_SIZE     65536
#define LINE_SIZE_MAX 65536
#define TOP_FLOWS     "20"
#define TOP_WAIT_MS   1000
#define PORTS_MAX     256
#define CLEAR_SCREEN  "\033[H\033[2J"

/* ---- Flows ---- */

static void add_flow(struct table *table, struct json_object *entry, void *arg)
{
	const char *host = ctl_text(entry, "host"), *far = ctl_text(entry, "far");

	(void)arg;
	table_add(table, "%s", ctl_text(entry, "protocol"));
	table_add(table, "%s", ctl_text(entry, "direction"));
	table_add(table, "%s", ctl_text(entry, "guest"));
	table_add(table, "%s", far);
	table_add(table, "%s", strcmp(host, far) == 0 ? "" : host);
	table_add(table, "%s", ctl_text(entry, "state"));
	table_add(table, "%" PRId64, ctl_number(entry, "waitingToGuest"));
	table_add(table, "%" PRId64, ctl_number(entry, "waitingToHost"));
}

static enum ctl_status show_flows(const struct ctl *ctl, const char *path)
{
	static const char *const headings[] = {"PROTOCOL", "WAY",       "GUEST",    "FAR", "HOST",
					       "STATE",    ">TO GUEST", ">TO HOST", NULL};
	struct json_object *answer, *flows = NULL;
	enum ctl_status status = ctl_get(ctl, path, &answer);

	if (status != CTL_OK)
		return status;
	json_object_object_get_ex(answer, "flows", &flows);
	status = ctl_show_list(ctl, flows, headings, add_flow, NULL, "There are no flows.");
	json_object_put(answer);
	return status;
}

enum ctl_status command_flows(const struct ctl *ctl)
{
	return show_flows(ctl, PATH_FLOWS);
}

/* ---- Answers without an end ---- */

/* Takes a piece of the answer. Returns false when there is no point in more. */
typedef bool take_fn(void *arg, const char *data, size_t size);

/* Reads what there is, waiting for it. Returns the number of bytes, 0 at the end, or -errno. */
static ssize_t read_some(int fd, char *to, size_t size)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	ssize_t n;

	do {
		if (poll(&ready, 1, -1) < 0 && errno != EINTR)
			return -errno;
		n = read(fd, to, size);
	} while (n < 0 && (errno == EAGAIN || errno == EINTR));
	return n < 0 ? -errno : n;
}

/* Reads an answer's head. Returns its status, with what came behind it in `to`, or -errno. */
static int read_head(int fd, char to[static HEAD_SIZE_MAX], size_t *ret_rest)
{
	size_t size = 0;
	char *end = NULL;
	int status;

	while (!end) {
		ssize_t n = size + 1 < HEAD_SIZE_MAX
				    ? read_some(fd, to + size, HEAD_SIZE_MAX - 1 - size)
				    : -EBADMSG;

		if (n <= 0)
			return n < 0 ? (int)n : -ECONNRESET;
		size += (size_t)n;
		to[size] = '\0';
		end = strstr(to, "\r\n\r\n");
	}
	if (sscanf(to, "HTTP/1.%*1d %3d", &status) != 1)
		return -EBADMSG;
	end += 4;
	*ret_rest = size - (size_t)(end - to);
	memmove(to, end, *ret_rest);
	return status;
}

static enum ctl_status read_stream(const struct ctl *ctl, const char *path, int fd, take_fn *take,
				   void *arg)
{
	char data[READ_SIZE];
	size_t rest = 0;
	ssize_t n;
	int status = read_head(fd, data, &rest);

	if (status == 200) {
		bool more = take(arg, data, rest);

		while (more && (n = read_some(fd, data, sizeof(data))) > 0)
			more = take(arg, data, (size_t)n);
		return more ? ctl_complain(ctl, CTL_FAILED,
					   "netproxy has ended it: we were too slow, or it stops")
			    : CTL_OK;
	}
	if (status > 0) {
		struct json_object *answer = NULL;
		enum ctl_status said = ctl_get(ctl, path, &answer);

		/* It says what is wrong, as it did a moment ago. */
		json_object_put(answer);
		return said == CTL_OK ? CTL_FAILED : said;
	}
	return ctl_complain(ctl, CTL_FAILED, "the answer is no HTTP: %s", strerror(-status));
}

static enum ctl_status stream(const struct ctl *ctl, const char *path, take_fn *take, void *arg)
{
	uint64_t deadline_ms = clock_ms() + ctl->args.timeout_s * 1000ull;
	enum ctl_status status;
	char why[API_ERROR_MAX];
	int fd;
	int r = api_connect(&ctl->target, deadline_ms, &fd, why);

	if (r < 0) {
		struct json_object *answer = NULL;

		/* The ordinary way has better words for it. */
		status = ctl_get(ctl, PATH_STATS, &answer);
		json_object_put(answer);
		return status == CTL_OK ? ctl_complain(ctl, CTL_UNREACHABLE, "%s", why) : status;
	}
	r = api_send(fd, &ctl->target, "GET", path, deadline_ms, why);
	status = r < 0 ? ctl_complain(ctl, CTL_UNREACHABLE, "%s", why)
		       : read_stream(ctl, path, fd, take, arg);
	close(fd);
	return status;
}

/* ---- Events ---- */

struct event_lines {
	const struct ctl *ctl;
	char line[LINE_SIZE_MAX];
	size_t size;
};

static void print_value(FILE *out, const char *key, struct json_object *value)
{
	const char *text = json_object_get_string(value);

	fprintf(out, " %s=", key);
	for (; *text; text++)
		fputc(iscntrl((unsigned char)*text) ? '?' : *text, out);
}

/* "2026-01-02T03:04:05.678Z lease change=granted address=..." */
static void print_event(const struct ctl *ctl, const char *line, size_t size)
{
	struct json_object *event;
	char why[64];

	if (ctl->args.json || json_parse(line, size, &event, why, sizeof(why)) < 0) {
		fprintf(ctl->out, "%.*s\n", (int)size, line);
		return;
	}
	fprintf(ctl->out, "%s %s", ctl_text(event, "time"), ctl_text(event, "type"));
	if (json_object_is_type(event, json_type_object)) {
		json_object_object_foreach(event, key, value)
		{
			if (strcmp(key, "time") != 0 && strcmp(key, "type") != 0)
				print_value(ctl->out, key, value);
		}
	}
	fputc('\n', ctl->out);
	json_object_put(event);
}

static bool take_events(void *arg, const char *data, size_t size)
{
	struct event_lines *lines = arg;

	for (size_t i = 0; i < size; i++) {
		if (data[i] != '\n' && lines->size < sizeof(lines->line)) {
			lines->line[lines->size++] = data[i];
		} else if (data[i] == '\n') {
			print_event(lines->ctl, lines->line, lines->size);
			lines->size = 0;
		}
	}
	return fflush(lines->ctl->out) == 0;
}

enum ctl_status command_events(const struct ctl *ctl)
{
	struct event_lines *lines = calloc(1, sizeof(*lines));
	enum ctl_status status;

	if (!lines)
		return ctl_complain(ctl, CTL_FAILED, "out of memory");
	lines->ctl = ctl;
	status = stream(ctl, PATH_EVENTS, take_events, lines);
	free(lines);
	return status;
}

/* ---- Packets ---- */

/* "all", "guest=WHO", "link=NAME", "forward=LOCAL" as a path. */
static bool pcap_path(const char *what, bool udp, char to[static CTL_QUERY_MAX])
{
	static const char *const keys[] = {"guest", "link", "forward"};

	snprintf(to, CTL_QUERY_MAX, "%s", PATH_PCAP);
	if (strcmp(what, "all") == 0)
		return true;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		size_t size = strlen(keys[i]);

		if (strncmp(what, keys[i], size) != 0 || what[size] != '=')
			continue;
		ctl_add_query(to, keys[i], what + size + 1);
		if (udp)
			ctl_add_query(to, "protocol", "udp");
		return true;
	}
	return false;
}

static bool take_packets(void *arg, const char *data, size_t size)
{
	const struct ctl *ctl = arg;

	return fwrite(data, 1, size, ctl->out) == size && fflush(ctl->out) == 0;
}

enum ctl_status command_pcap(const struct ctl *ctl)
{
	const char *what = ctl->args.arguments[1];
	char path[CTL_QUERY_MAX];

	if (!pcap_path(what, ctl->args.udp, path))
		return ctl_complain(
			ctl, CTL_USAGE,
			"\"%.100s\": expected all, guest=WHO, link=NAME or forward=LOCAL", what);
	if (isatty(fileno(ctl->out)))
		return ctl_complain(
			ctl, CTL_USAGE,
			"packets are no text: send them to a file or a program, such as\n"
			"    netproxyctl pcap %s | tcpdump -r -",
			what);
	return stream(ctl, path, take_packets, (void *)ctl);
}

/* ---- A view of it all ---- */

struct traffic {
	int64_t ports[PORTS_MAX + 1][2]; /* bytes from the guest and to it, by port */
	uint64_t at_ms;
	uint64_t since_ms; /* how long before `at_ms` the values before these were */
	struct traffic *before;
};

static int64_t rate(const struct traffic *now, int64_t port, int way, int64_t value)
{
	uint64_t ms = now->since_ms;

	if (port < 1 || port > PORTS_MAX || !ms)
		return 0;
	value -= now->before->ports[port][way];
	return value > 0 ? value * 1000 / (int64_t)ms : 0;
}

static void add_traffic(struct table *table, struct json_object *entry, void *arg)
{
	struct traffic *now = arg;
	int64_t port = ctl_number(entry, "port");
	int64_t from = ctl_number(entry, "bytesReceived"), to = ctl_number(entry, "bytesSent");

	table_add(table, "%" PRId64, port);
	table_add(table, "%s", ctl_text(entry, "link"));
	table_add(table, "%s", ctl_text(entry, "kind"));
	table_add(table, "%" PRId64, rate(now, port, 0, from) / 1000);
	table_add(table, "%" PRId64, rate(now, port, 1, to) / 1000);
	table_add(table, "%" PRId64, ctl_number(entry, "sendFull"));
	table_add(table, "%" PRId64, ctl_number(entry, "sendDropped"));
}

static void note_traffic(struct json_object *ports, struct traffic *now)
{
	memset(now->ports, 0, sizeof(now->ports));
	for (size_t i = 0; i < ctl_array_length(ports); i++) {
		struct json_object *entry = json_object_array_get_idx(ports, i);
		int64_t port = ctl_number(entry, "port");

		if (port < 1 || port > PORTS_MAX)
			continue;
		now->ports[port][0] = ctl_number(entry, "bytesReceived");
		now->ports[port][1] = ctl_number(entry, "bytesSent");
	}
}

static enum ctl_status show_top(const struct ctl *ctl, struct traffic *now, bool quiet)
{
	static const char *const headings[] = {">PORT",    "LINK",  "KIND",     ">KB/S FROM",
					       ">KB/S TO", ">FULL", ">DROPPED", NULL};
	struct json_object *ports;
	enum ctl_status status = ctl_get(ctl, PATH_PORTS, &ports);

	if (status != CTL_OK)
		return status;
	now->since_ms = now->before->at_ms ? clock_ms() - now->before->at_ms : 0;
	now->at_ms = clock_ms();
	note_traffic(ports, now);
	if (!quiet) {
		if (isatty(fileno(ctl->out)))
			fputs(CLEAR_SCREEN, ctl->out);
		status = ctl_show_list(ctl, ports, headings, add_traffic, now,
				       "No guest is attached.");
		fputc('\n', ctl->out);
		if (status == CTL_OK)
			status = show_flows(ctl, PATH_FLOWS "?limit=" TOP_FLOWS);
		fflush(ctl->out);
	}
	json_object_put(ports);
	return status;
}

/* On a terminal until it is interrupted; else once. */
enum ctl_status command_top(const struct ctl *ctl)
{
	struct traffic *two = calloc(2, sizeof(*two));
	bool is_terminal = isatty(fileno(ctl->out));
	enum ctl_status status = CTL_OK;

	if (!two)
		return ctl_complain(ctl, CTL_FAILED, "out of memory");
	two[0].before = &two[1];
	two[1].before = &two[0];
	for (unsigned i = 0; status == CTL_OK && (is_terminal || i < 2); i++) {
		if (i)
			(void)poll(NULL, 0, TOP_WAIT_MS);
		status = show_top(ctl, &two[i % 2], i == 0 && !is_terminal);
	}
	free(two);
	return status;
}
