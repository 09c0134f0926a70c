/* SPDX-License-Identifier: Apache-2.0 */
/* gvproxy's command line, as Go's flag package reads it: -x VALUE, -x=VALUE, one dash or two. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "netproxy/gvproxy_private.h"

enum flag_kind { FLAG_TEXT, FLAG_LIST, FLAG_SWITCH };

struct flag {
	const char *name;
	enum flag_kind kind;
	size_t offset; /* in struct gvproxy_settings: a char *, a list, or a bool */
	const char *help;
};

#define AT(FIELD) offsetof(struct gvproxy_settings, FIELD)

/* clang-format off */
static const struct flag flags[] = {
	{"config",              FLAG_TEXT,   AT(config),       "a YAML configuration file"},
	{"debug",               FLAG_SWITCH, AT(debug),        "log more"},
	{"deviceIP",            FLAG_TEXT,   AT(device),       "the first guest's address (default: the subnet's second)"},
	{"ec2-metadata-access", FLAG_SWITCH, AT(ec2),          "let guests reach 169.254.169.254"},
	{"forward-dest",        FLAG_LIST,   AT(dests),        "the socket in the guest"},
	{"forward-identity",    FLAG_LIST,   AT(identities),   "the private key's file"},
	{"forward-sock",        FLAG_LIST,   AT(sockets),      "a unix socket that leads into the guest by ssh (many)"},
	{"forward-user",        FLAG_LIST,   AT(users),        "the user in the guest"},
	{"gatewayIP",           FLAG_TEXT,   AT(gateway),      "the gateway's address (default: the subnet's first)"},
	{"hostIP",              FLAG_TEXT,   AT(host),         "the host's address for guests (default: the last but one)"},
	{"listen",              FLAG_LIST,   AT(listen),       "serve the API there: unix:///path or tcp://host:port (many)"},
	{"listen-bess",         FLAG_TEXT,   AT(bess),         "unixpacket:///path"},
	{"listen-qemu",         FLAG_TEXT,   AT(qemu),         "unix:///path or tcp://host:port"},
	{"listen-stdio",        FLAG_TEXT,   AT(stdio),        "frames on standard input and output"},
	{"listen-vfkit",        FLAG_TEXT,   AT(vfkit),        "unixgram:///path"},
	{"listen-vpnkit",       FLAG_TEXT,   AT(vpnkit),       "unix:///path"},
	{"log-file",            FLAG_TEXT,   AT(log_file),     "log there"},
	{"mtu",                 FLAG_TEXT,   AT(mtu),          "default 1500"},
	{"notification",        FLAG_TEXT,   AT(notification), "unix:///path: say there what happens"},
	{"pcap",                FLAG_TEXT,   AT(pcap),         "capture all frames in that file"},
	{"pid-file",            FLAG_TEXT,   AT(pid_file),     "write the process id there"},
	{"services",            FLAG_TEXT,   AT(services),     "serve the API there, too"},
	{"ssh-port",            FLAG_TEXT,   AT(ssh_port),     "of the host's loopback, to the guest's port 22 (default 2222; -1: none)"},
	{"subnet",              FLAG_TEXT,   AT(subnet),       "default 192.168.127.0/24"},
};
/* clang-format on */

#define FLAG_COUNT (sizeof(flags) / sizeof(flags[0]))

bool gvproxy_is_name(const char *argv0)
{
	const char *name = strrchr(argv0, '/');

	name = name ? name + 1 : argv0;
	return strcmp(name, "gvproxy") == 0 || strncmp(name, "gvproxy-", 8) == 0;
}

/* ---- Settings ---- */

int gvproxy_set(char **to, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

int gvproxy_list_add(struct gvproxy_list *list, const char *value)
{
	if (list->count == GVPROXY_LIST_MAX)
		return -ENOSPC;
	list->items[list->count] = strdup(value);
	if (!list->items[list->count])
		return -ENOMEM;
	list->count++;
	return 0;
}

static void clear_list(struct gvproxy_list *list)
{
	for (unsigned i = 0; i < list->count; i++)
		free(list->items[i]);
	list->count = 0;
}

void gvproxy_settings_clear(struct gvproxy_settings *settings)
{
	struct gvproxy_list *lists[] = {
		&settings->listen,         &settings->sockets,       &settings->dests,
		&settings->users,          &settings->identities,    &settings->publish_local,
		&settings->publish_remote, &settings->nat_from,      &settings->nat_to,
		&settings->lease_address,  &settings->lease_mac,     &settings->search,
		&settings->zones,          &settings->zone_defaults, &settings->record_names,
		&settings->record_regexps, &settings->record_ips,
	};

	for (size_t i = 0; i < FLAG_COUNT; i++) {
		if (flags[i].kind == FLAG_TEXT)
			free(*(char **)((char *)settings + flags[i].offset));
	}
	free(settings->log_level);
	free(settings->gateway_mac);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		clear_list(lists[i]);
	*settings = (struct gvproxy_settings){0};
}

/* ---- The command line ---- */

static void print_usage(FILE *to)
{
	fprintf(to, "Usage of gvproxy (netproxy %s in its place):\n", NETPROXY_VERSION);
	for (size_t i = 0; i < FLAG_COUNT; i++)
		fprintf(to, "  -%s%s\n    \t%s\n", flags[i].name,
			flags[i].kind == FLAG_SWITCH ? "" : " value", flags[i].help);
	fprintf(to, "  -version\n    \tPrint version information\n");
}

static const struct flag *find_flag(const char *name, size_t size)
{
	for (size_t i = 0; i < FLAG_COUNT; i++) {
		if (strlen(flags[i].name) == size && strncmp(flags[i].name, name, size) == 0)
			return &flags[i];
	}
	return NULL;
}

/* What Go's strconv.ParseBool takes. */
static int parse_bool(const char *text, bool *ret)
{
	static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
	static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
			*ret = strcmp(text, yes[i]) == 0;
			return 0;
		}
	}
	return -EINVAL;
}

static int apply_flag(struct gvproxy_settings *settings, const struct flag *flag, const char *value,
		      char error[static OPTIONS_ERROR_MAX])
{
	char *at = (char *)settings + flag->offset;
	int r;

	switch (flag->kind) {
	case FLAG_TEXT:
		r = gvproxy_set((char **)at, value);
		break;
	case FLAG_LIST:
		r = gvproxy_list_add((struct gvproxy_list *)at, value);
		break;
	default:
		r = parse_bool(value, (bool *)at);
		break;
	}
	if (r == -EINVAL)
		snprintf(error, OPTIONS_ERROR_MAX, "invalid boolean value \"%.100s\" for -%s",
			 value, flag->name);
	else if (r < 0)
		snprintf(error, OPTIONS_ERROR_MAX, "-%s: %s", flag->name,
			 r == -ENOSPC ? "there are too many" : strerror(-r));
	return r;
}

/* In Go's words, and what was meant. */
static void complain_about_flag(const char *name, size_t size, char error[static OPTIONS_ERROR_MAX])
{
	struct nearest nearest;

	nearest_begin(&nearest, name, size);
	for (size_t i = 0; i < FLAG_COUNT; i++)
		nearest_offer(&nearest, flags[i].name, NULL);
	nearest_offer(&nearest, "version", "v");
	snprintf(error, OPTIONS_ERROR_MAX, "flag provided but not defined: -%.*s%s%s%s",
		 size > 100 ? 100 : (int)size, name, nearest.name ? ": did you mean -" : "",
		 nearest.name ? nearest.name : "", nearest.name ? "?" : "");
}

/* Reads the flag that begins at argv[*at], and moves on. */
static enum options_result read_flag(struct gvproxy_settings *settings, char **argv, int argc,
				     int *at, char error[static OPTIONS_ERROR_MAX])
{
	const char *name = argv[(*at)++];
	const struct flag *flag;
	const char *value;
	size_t size;

	name += name[1] == '-' ? 2 : 1;
	size = strcspn(name, "=");
	value = name[size] ? name + size + 1 : NULL;
	if (strcmp(name, "h") == 0 || strcmp(name, "help") == 0) {
		print_usage(stderr);
		return OPTIONS_DONE;
	}
	if (strcmp(name, "version") == 0) {
		printf("gvproxy version netproxy-%s\n", NETPROXY_VERSION);
		return OPTIONS_DONE;
	}
	flag = find_flag(name, size);
	if (!flag) {
		complain_about_flag(name, size, error);
		return OPTIONS_BAD;
	}
	if (!value && flag->kind == FLAG_SWITCH)
		value = "true";
	if (!value && *at == argc) {
		snprintf(error, OPTIONS_ERROR_MAX, "flag needs an argument: -%s", flag->name);
		return OPTIONS_BAD;
	}
	if (!value)
		value = argv[(*at)++];
	return apply_flag(settings, flag, value, error) < 0 ? OPTIONS_BAD : OPTIONS_RUN;
}

/* The first argument that is no flag ends them, and what follows is ignored, as gvproxy does. */
static enum options_result read_flags(struct gvproxy_settings *settings, int argc, char **argv,
				      char error[static OPTIONS_ERROR_MAX])
{
	enum options_result result = OPTIONS_RUN;
	int at = 1;

	while (result == OPTIONS_RUN && at < argc && argv[at][0] == '-' && argv[at][1] &&
	       strcmp(argv[at], "--") != 0)
		result = read_flag(settings, argv, argc, &at, error);
	return result;
}

enum options_result gvproxy_options_parse(int argc, char **argv, struct options *ret_options,
					  char error[static OPTIONS_ERROR_MAX])
{
	struct gvproxy_settings *settings = calloc(1, sizeof(*settings));
	enum options_result result;

	*ret_options = (struct options){.notify_fd = -1};
	if (!settings) {
		snprintf(error, OPTIONS_ERROR_MAX, "out of memory");
		return OPTIONS_BAD;
	}
	result = read_flags(settings, argc, argv, error);
	if (result == OPTIONS_RUN && settings->config) {
		char *path = settings->config;
		bool listens = settings->listen.count > 0;

		/* What the command line says comes last, and so wins. */
		settings->config = NULL;
		gvproxy_settings_clear(settings);
		if (gvproxy_yaml_read(path, settings, error) < 0)
			result = OPTIONS_BAD;
		free(path);
		if (listens)
			clear_list(&settings->listen);
		settings->has_file = true;
		if (result == OPTIONS_RUN)
			result = read_flags(settings, argc, argv, error);
	}
	if (result == OPTIONS_RUN)
		result = gvproxy_translate(settings, ret_options, error);
	gvproxy_settings_clear(settings);
	free(settings);
	return result;
}
