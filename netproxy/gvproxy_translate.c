/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gvproxy's settings as netproxy's options: they are written as a command line of netproxy's, which
 * is then read as any other. So there is one place that knows what an option means.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "netproxy/gvproxy_private.h"

#define SUBNET_DEFAULT   "192.168.127.0/24"
#define SSH_PORT_DEFAULT "2222"
#define SSH_PORT_NONE    "-1"
#define GUEST_MAC        "5a:94:ef:e4:0c:ee"
#define GATEWAY_MAC      "5a:94:ef:e4:0c:dd"
#define LOOPBACK         "127.0.0.1"
#define EC2_ADDRESS      "169.254.169.254"
/* Two for each entry of every list, and those that are there once. */
#define WORDS_MAX 4096

struct words {
	char *items[WORDS_MAX + 1]; /* owned; NULL-terminated */
	unsigned count;
	char *error; /* OPTIONS_ERROR_MAX */
	int result;  /* the first -errno */
};

/* ---- Words ---- */

__attribute__((format(printf, 2, 3))) static void add(struct words *words, const char *format, ...)
{
	va_list args;
	int size;

	if (words->result < 0)
		return;
	if (words->count == WORDS_MAX) {
		words->result = -ENOSPC;
		snprintf(words->error, OPTIONS_ERROR_MAX, "there are too many settings");
		return;
	}
	va_start(args, format);
	size = vasprintf(&words->items[words->count], format, args);
	va_end(args);
	if (size < 0) {
		words->items[words->count] = NULL;
		words->result = -ENOMEM;
		snprintf(words->error, OPTIONS_ERROR_MAX, "out of memory");
		return;
	}
	words->count++;
}

static void add_option(struct words *words, const char *flag, const char *value)
{
	if (!value)
		return;
	add(words, "--%s", flag);
	add(words, "%s", value);
}

__attribute__((format(printf, 2, 3))) static void refuse(struct words *words, const char *format,
							 ...)
{
	va_list args;

	if (words->result < 0)
		return;
	words->result = -EINVAL;
	va_start(args, format);
	vsnprintf(words->error, OPTIONS_ERROR_MAX, format, args);
	va_end(args);
}

/* ---- Addresses ---- */

/* What follows "SCHEME://"; NULL when it is another scheme. */
static const char *behind(const char *uri, const char *scheme)
{
	size_t size = strlen(scheme);

	return strncasecmp(uri, scheme, size) == 0 && strncmp(uri + size, "://", 3) == 0
		       ? uri + size + 3
		       : NULL;
}

static const char *any_host(const char *at)
{
	return at[0] == ':' ? "0.0.0.0" : "";
}

static void add_link(struct words *words, const char *kind, const char *flag, const char *uri,
		     const char *scheme)
{
	const char *path = uri ? behind(uri, scheme) : NULL;

	if (!uri)
		return;
	if (!path || path[0] != '/') {
		refuse(words, "%s listen address must be %s:// address, not \"%.100s\"", flag,
		       scheme, uri);
		return;
	}
	add(words, "--link");
	add(words, "%s:%s", kind, path);
}

static void add_qemu(struct words *words, const char *uri)
{
	const char *at = uri ? behind(uri, "tcp") : NULL;

	if (!at) {
		add_link(words, "qemu", "qemu", uri, "unix");
		return;
	}
	add(words, "--link");
	add(words, "qemu:tcp:%s%s", any_host(at), at);
}

static void add_api(struct words *words, const char *uri)
{
	const char *path = behind(uri, "unix"), *at = behind(uri, "tcp");

	if (!path && !at) {
		refuse(words,
		       "cannot listen on \"%.100s\": expected unix:///path or tcp://address:port (a "
		       "guest's vsock is served by netproxy --vsock)",
		       uri);
		return;
	}
	add(words, "--api");
	if (path)
		add(words, "unix:%s", path);
	else
		add(words, "tcp:%s%s", any_host(at), at);
}

/* ---- The network ---- */

static void add_links(struct words *words, const struct gvproxy_settings *settings)
{
	add_qemu(words, settings->qemu);
	add_link(words, "bess", "bess", settings->bess, "unixpacket");
	add_link(words, "vfkit", "vfkit", settings->vfkit, "unixgram");
	add_link(words, "vpnkit", "vpnkit", settings->vpnkit, "unix");
	add_option(words, "link", settings->stdio ? "stdio" : NULL);
	for (unsigned i = 0; i < settings->listen.count; i++)
		add_api(words, settings->listen.items[i]);
	if (settings->services)
		add_api(words, settings->services);
}

/* The host's address for guests: gvproxy's NAT of one address to the host's loopback. */
static void add_host(struct words *words, const struct gvproxy_settings *settings)
{
	const char *host = settings->host;

	for (unsigned i = 0; i < settings->nat_from.count; i++) {
		if (strcmp(settings->nat_to.items[i], LOOPBACK) != 0)
			refuse(words,
			       "NAT of %.60s to %.60s is not done here: expected the host's " LOOPBACK,
			       settings->nat_from.items[i], settings->nat_to.items[i]);
		else if (!host)
			host = settings->nat_from.items[i];
	}
	add_option(words, "host-alias", host);
}

static void add_network(struct words *words, const struct gvproxy_settings *settings)
{
	add_option(words, "subnet", settings->subnet ? settings->subnet : SUBNET_DEFAULT);
	add_option(words, "gateway", settings->gateway);
	add_host(words, settings);
	add_option(words, "mtu", settings->mtu);
	if (settings->gateway_mac && strcasecmp(settings->gateway_mac, GATEWAY_MAC) != 0)
		refuse(words, "the gateway's MAC is " GATEWAY_MAC " here, and can't be %.40s",
		       settings->gateway_mac);
	if (settings->ec2)
		add_option(words, "allow", EC2_ADDRESS);
	if (settings->block_all)
		add_option(words, "egress", "deny");
}

/* "127.0.0.1:80", ":80" or "udp:127.0.0.1:80", to "192.168.127.2:80". */
static void add_forward(struct words *words, const char *local, const char *remote)
{
	bool udp = strncmp(local, "udp:", 4) == 0;

	local += udp ? 4 : 0;
	local += *local == ':';
	add(words, "--publish");
	add(words, "%s:%s%s", local, remote, udp ? "/udp" : "");
}

static void add_zones(struct words *words, const struct gvproxy_settings *settings)
{
	for (unsigned i = 0; i < settings->zones.count; i++) {
		const char *default_ip = settings->zone_defaults.items[i];

		add(words, "--dns-zone");
		add(words, "%s%s%s", settings->zones.items[i], default_ip[0] ? "=" : "",
		    default_ip);
	}
	for (unsigned i = 0; i < settings->record_names.count; i++) {
		const char *zone = settings->zones.items[settings->record_zone[i]];
		const char *regexp = settings->record_regexps.items[i];
		const char *ip = settings->record_ips.items[i];

		add(words, "--dns-record");
		if (regexp[0])
			add(words, "/%s/%s=%s", regexp, zone, ip);
		else
			add(words, "%s.%s=%s", settings->record_names.items[i], zone, ip);
	}
	for (unsigned i = 0; i < settings->search.count; i++)
		add_option(words, "dns-search", settings->search.items[i]);
}

/* ---- Guests ---- */

static int parse_subnet(const struct gvproxy_settings *settings, struct prefix *ret)
{
	return prefix_parse(settings->subnet ? settings->subnet : SUBNET_DEFAULT, ret);
}

/* The guest that gvproxy knows from the start, and its sshd. */
static void add_default_guest(struct words *words, const struct gvproxy_settings *settings,
			      struct gvproxy_conf *conf)
{
	const char *port = settings->ssh_port ? settings->ssh_port : SSH_PORT_DEFAULT;
	char guest[ADDR_TEXT_MAX];
	struct prefix subnet;
	struct addr second;
	unsigned long number;
	char *end;

	if (parse_subnet(settings, &subnet) < 0 || subnet.addr.family != AF_INET) {
		refuse(words, "failed to parse subnet: \"%.100s\"", settings->subnet);
		return;
	}
	second = addr_from_v4(addr_v4(&subnet.addr) + 2);
	snprintf(guest, sizeof(guest), "%s", settings->device ? settings->device : "");
	if (!guest[0])
		addr_format(&second, guest);
	add(words, "--dhcp-host");
	add(words, GUEST_MAC "=%s", guest);
	if (strcmp(port, SSH_PORT_NONE) == 0)
		return;
	number = strtoul(port, &end, 10);
	if (*end || number < 1024 || number > 65535) {
		refuse(words, "ssh-port value must be between 1024 and 65535");
		return;
	}
	add(words, "--publish");
	add(words, LOOPBACK ":%lu:%s:22", number, guest);
	(void)addr_parse(LOOPBACK, &conf->ssh.addr);
	conf->ssh.port = (uint16_t)number;
}

/* Those of the file; the one that leads to a port 22 is where ssh goes. */
static void add_guests_of_file(struct words *words, const struct gvproxy_settings *settings,
			       struct gvproxy_conf *conf)
{
	for (unsigned i = 0; i < settings->lease_address.count; i++) {
		add(words, "--dhcp-host");
		add(words, "%s=%s", settings->lease_mac.items[i], settings->lease_address.items[i]);
	}
	for (unsigned i = 0; i < settings->publish_local.count; i++) {
		const char *local = settings->publish_local.items[i];
		const char *remote = settings->publish_remote.items[i];
		const char *port = strrchr(remote, ':');

		add_forward(words, local, remote);
		if (port && strcmp(port, ":22") == 0 && !conf->ssh.port)
			(void)endpoint_parse(local, false, &conf->ssh);
	}
}

/* ---- The process ---- */

/* gvproxy's log levels are logrus'. */
static const char *log_level(const struct gvproxy_settings *settings)
{
	static const char *const levels[][2] = {
		{"trace", "debug"},  {"debug", "debug"}, {"info", "info"},   {"warn", "warn"},
		{"warning", "warn"}, {"error", "error"}, {"fatal", "error"}, {"panic", "error"},
	};

	if (settings->debug)
		return "debug";
	for (size_t i = 0; settings->log_level && i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (strcasecmp(settings->log_level, levels[i][0]) == 0)
			return levels[i][1];
	}
	return "info";
}

static void copy(struct words *words, char *to, size_t size, const char *what, const char *value)
{
	if (strlen(value) >= size)
		refuse(words, "%s: at most %zu characters", what, size - 1);
	else
		memcpy(to, value, strlen(value) + 1);
}

static void take_forward(struct words *words, const struct gvproxy_settings *settings, unsigned i,
			 struct gvproxy_forward *to)
{
	const char *path = settings->sockets.items[i];
	const char *identity = settings->identities.items[i];

	if (strstr(path, "://"))
		path = behind(path, "unix");
	if (!path || path[0] != '/' || strchr(path, ':')) {
		refuse(words,
		       "-forward-sock %.100s: expected the path of a socket, from / on and "
		       "without colons",
		       settings->sockets.items[i]);
		return;
	}
	if (settings->dests.items[i][0] != '/' || strchr(settings->dests.items[i], ':')) {
		refuse(words,
		       "-forward-dest %.100s: expected the path of a socket in the guest, "
		       "from / on and without colons",
		       settings->dests.items[i]);
		return;
	}
	if (!settings->users.items[i][0] || settings->users.items[i][0] == '-') {
		refuse(words, "-forward-user %.60s: expected a user's name",
		       settings->users.items[i]);
		return;
	}
	if (access(identity, R_OK) < 0) {
		refuse(words, "identity file \"%.200s\" can't be loaded: %s", identity,
		       strerror(errno));
		return;
	}
	copy(words, to->socket, sizeof(to->socket), "-forward-sock", path);
	copy(words, to->dest, sizeof(to->dest), "-forward-dest", settings->dests.items[i]);
	copy(words, to->user, sizeof(to->user), "-forward-user", settings->users.items[i]);
	copy(words, to->identity, sizeof(to->identity), "-forward-identity", identity);
}

static void take_forwards(struct words *words, const struct gvproxy_settings *settings,
			  struct gvproxy_conf *conf)
{
	unsigned count = settings->sockets.count;

	if (settings->dests.count != count || settings->users.count != count ||
	    settings->identities.count != count)
		refuse(words, "--forward-sock, --forward-dest, --forward-user, and "
			      "--forward-identity must all be specified together, the same number "
			      "of times, or not at all");
	else if (count > GVPROXY_FORWARDS_MAX)
		refuse(words, "there can be %d of -forward-sock", GVPROXY_FORWARDS_MAX);
	else if (count && !conf->ssh.port)
		refuse(words, "-forward-sock goes by ssh to the guest's port 22, which is not "
			      "published: expected a -ssh-port, or an entry in stack.forwards");
	for (unsigned i = 0; words->result == 0 && i < count; i++)
		take_forward(words, settings, i, &conf->forwards[i]);
	conf->forward_count = count;
}

static void take_notification(struct words *words, const char *uri, bool of_file,
			      struct gvproxy_conf *conf)
{
	const char *path = uri ? behind(uri, "unix") : NULL;

	if (!uri)
		return;
	/* In the file it is a path. */
	if (!path && of_file && uri[0] == '/')
		path = uri;
	if (!path)
		refuse(words, "notification listen address must be unix:// address");
	else
		copy(words, conf->notification, sizeof(conf->notification), "-notification", path);
}

static void add_all(struct words *words, const struct gvproxy_settings *settings,
		    struct gvproxy_conf *conf)
{
	add(words, "gvproxy");
	add_network(words, settings);
	add_links(words, settings);
	if (settings->has_file)
		add_guests_of_file(words, settings, conf);
	else
		add_default_guest(words, settings, conf);
	add_zones(words, settings);
	add_option(words, "pcap", settings->pcap);
	add_option(words, "pid-file", settings->pid_file);
	add_option(words, "log-file", settings->log_file);
	add_option(words, "log-level", log_level(settings));
	conf->debug = settings->debug;
	take_notification(words, settings->notification, settings->has_file, conf);
	take_forwards(words, settings, conf);
}

enum options_result gvproxy_translate(struct gvproxy_settings *settings,
				      struct options *ret_options,
				      char error[static OPTIONS_ERROR_MAX])
{
	struct words *words = calloc(1, sizeof(*words));
	struct gvproxy_conf *conf = calloc(1, sizeof(*conf));
	enum options_result result = OPTIONS_BAD;

	if (words && conf) {
		words->error = error;
		add_all(words, settings, conf);
		if (words->result == 0) {
			result = options_parse((int)words->count, words->items, ret_options, error);
			ret_options->pid_file_bare = true;
			ret_options->gvproxy = conf;
			conf = NULL;
		}
		for (unsigned i = 0; i < words->count; i++)
			free(words->items[i]);
	} else {
		snprintf(error, OPTIONS_ERROR_MAX, "out of memory");
	}
	free(conf);
	free(words);
	return result;
}
