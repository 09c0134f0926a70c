/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the options from the command line and the configuration file, and checking them as a
 * whole. What each option does with its value is in options_table.c.
 */
#include "netproxy/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/nearest.h"
#include "netproxy/options_private.h"

#define CONFIG_SIZE_MAX (4 * 1024 * 1024)
#define SHORT_OPTIONS   ":hv" /* --help and --version */

static const struct option_def *find_def(const char *name)
{
	for (size_t i = 0; i < option_def_count(); i++) {
		if (strcmp(option_defs[i].name, name) == 0)
			return &option_defs[i];
	}
	return NULL;
}

/* What passt, gvproxy, QEMU and others call the same. */
static const struct {
	const char *name, *aka;
} elsewhere[] = {
	{"link", "l listen-qemu listen-vfkit listen-bess listen-stdio socket s ethernet nic"},
	{"publish", "p port ports t u tcp-ports udp-ports hostfwd ssh-port"},
	{"api", "listen services a"},
	{"pid-file", "P pid pidfile"},
	{"log-level", "d debug verbose q quiet"},
	{"log-file", "log"},
	{"config", "c f conf"},
	{"subnet", "n address net cidr"},
	{"prefix6", "6 ipv6 enable-ipv6"},
	{"dns-search", "search"},
	{"ifname", "I ns-ifname"},
	{"host-alias", "map-host-loopback hostIP"},
	{"no-host-access", "no-map-gw disable-host-loopback no-host-loopback"},
	{"gateway", "g gatewayIP"},
	{"netns", "pid-netns"},
	{"slirp4netns-api", "api-socket"},
	{"seccomp", "enable-seccomp"},
	{"sandbox", "enable-sandbox runas"},
	{"version", "V"},
};

static const char *called_elsewhere(const char *name)
{
	for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++) {
		if (strcmp(elsewhere[i].name, name) == 0)
			return elsewhere[i].aka;
	}
	return NULL;
}

/* The option that a name which there isn't most likely meant, or NULL. */
static const struct option_def *nearest_def(const char *name, size_t size)
{
	const struct option_def *def = NULL;
	struct nearest nearest;

	nearest_begin(&nearest, name, size);
	for (size_t i = 0; i < option_def_count(); i++) {
		nearest_offer(&nearest, option_defs[i].name, called_elsewhere(option_defs[i].name));
		if (nearest.name == option_defs[i].name)
			def = &option_defs[i];
	}
	return def;
}

/* Applies one value of the configuration file; `where` is for messages. */
static int apply_json_value(struct options *options, const struct option_def *def,
			    struct json_object *value, const char *where,
			    char error[static OPTIONS_ERROR_MAX])
{
	char why[OPTIONS_ERROR_MAX];
	enum json_type type = json_object_get_type(value);
	int r = 0;

	if (!def->value && type == json_type_boolean) {
		if (json_object_get_boolean(value))
			r = def->apply(options, "", why);
	} else if (def->value && (type == json_type_string || type == json_type_int)) {
		const char *text = json_object_get_string(value);

		if (type == json_type_string &&
		    strlen(text) != (size_t)json_object_get_string_len(value))
			r = options_complain(why, text, "text without NUL characters");
		else
			r = def->apply(options, text, why);
	} else {
		snprintf(why, sizeof(why), "expected %s",
			 def->value ? def->value : "true or false");
		r = -EINVAL;
	}
	if (r < 0)
		snprintf(error, OPTIONS_ERROR_MAX, "%.100s: \"%s\": %.350s", where, def->name, why);
	return r;
}

static int complain_about_key(const char *key, const char *where,
			      char error[static OPTIONS_ERROR_MAX])
{
	const struct option_def *nearest = nearest_def(key, strlen(key));

	if (find_def(key))
		snprintf(error, OPTIONS_ERROR_MAX,
			 "%.100s: \"%.50s\" is for the command line only: leave it out", where,
			 key);
	else if (nearest)
		snprintf(error, OPTIONS_ERROR_MAX,
			 "%.100s: there is no key \"%.50s\": did you mean \"%s\"?", where, key,
			 nearest->name);
	else
		snprintf(
			error, OPTIONS_ERROR_MAX,
			"%.100s: there is no key \"%.50s\": the keys are the options of 'netproxy --help'",
			where, key);
	return -EINVAL;
}

static int apply_json(struct options *options, struct json_object *config, const char *where,
		      char error[static OPTIONS_ERROR_MAX])
{
	if (!json_object_is_type(config, json_type_object)) {
		snprintf(error, OPTIONS_ERROR_MAX,
			 "%.100s: expected an object, such as {\"link\": [\"qemu:/tmp/net.sock\"]}",
			 where);
		return -EINVAL;
	}
	json_object_object_foreach(config, key, value)
	{
		const struct option_def *def = find_def(key);
		int r = 0;

		if (!def || def->flag_only)
			return complain_about_key(key, where, error);
		if (!json_object_is_type(value, json_type_array))
			r = apply_json_value(options, def, value, where, error);
		for (size_t i = 0; r == 0 && json_object_is_type(value, json_type_array) &&
				   i < json_object_array_length(value);
		     i++)
			r = apply_json_value(options, def, json_object_array_get_idx(value, i),
					     where, error);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Reads the whole file. Returns 0 with *ret_text owned, or -EINVAL with a message. */
static int read_text(const char *path, char **ret_text, size_t *ret_size,
		     char error[static OPTIONS_ERROR_MAX])
{
	FILE *file = fopen(path, "re");
	char *text = file ? malloc(CONFIG_SIZE_MAX + 1) : NULL;
	size_t size = text ? fread(text, 1, CONFIG_SIZE_MAX + 1, file) : 0;
	const char *why = NULL;

	if (!text || ferror(file))
		why = strerror(errno);
	else if (size > CONFIG_SIZE_MAX)
		why = "larger than 4 MiB";
	else if (size == 0)
		why = "the file is empty: expected a JSON object, {} at least";
	if (file)
		fclose(file);
	if (why) {
		snprintf(error, OPTIONS_ERROR_MAX, "--config %.200s: %s", path, why);
		free(text);
		return -EINVAL;
	}
	*ret_text = text;
	*ret_size = size;
	return 0;
}

static int read_config(struct options *options, const char *path,
		       char error[static OPTIONS_ERROR_MAX])
{
	struct json_object *config;
	char why[256];
	char *text;
	size_t size;
	int r = read_text(path, &text, &size, error);

	if (r < 0)
		return r;
	r = json_parse(text, size, &config, why, sizeof(why));
	free(text);
	if (r < 0) {
		snprintf(error, OPTIONS_ERROR_MAX, "%.200s: %.256s", path, why);
		return r;
	}
	r = apply_json(options, config, path, error);
	json_object_put(config);
	return r;
}

static void set_defaults(struct options *options)
{
	*options = (struct options){
		.mtu = DEFAULT_MTU,
		.host_access = true,
		.guard = true,
		.guest_api = true,
		.connections_max = DEFAULT_CONNECTIONS,
		.udp_flows_max = DEFAULT_UDP_FLOWS,
		.busy_poll_us = DEFAULT_BUSY_POLL,
		.lease_seconds = DEFAULT_LEASE_S,
		.dhcp = {.per_guest_max = OPTIONS_LEASES_PER_GUEST},
		.notify_fd = -1,
		.netns = {.configure = true, .ready_fd = -1, .exit_fd = -1},
		.domain = "vm.internal",
	};
	prefix_parse(DEFAULT_SUBNET, &options->subnet);
	prefix_parse(DEFAULT_PREFIX6, &options->prefix6);
}

/* What depends on other options, and whether they go together. */
static int finish(struct options *options, char error[static OPTIONS_ERROR_MAX])
{
	struct addr first_guest;
	char subnet[PREFIX_TEXT_MAX];
	uint32_t first = addr_v4(&options->subnet.addr);
	uint32_t last = first | ~prefix_mask4(&options->subnet);

	prefix_format(&options->subnet, subnet);
	if (!options->gateway_given)
		options->gateway = addr_from_v4(first + 1);
	if (!options->host_alias_given)
		options->host_alias = addr_from_v4(last - 1);
	for (int i = 0; i < 2; i++) {
		const struct addr *addr = i ? &options->host_alias : &options->gateway;

		if (!prefix_contains(&options->subnet, addr) || addr_v4(addr) == first ||
		    addr_v4(addr) == last) {
			snprintf(error, OPTIONS_ERROR_MAX,
				 "--%s: expected an address of the network %s",
				 i ? "host-alias" : "gateway", subnet);
			return -EINVAL;
		}
	}
	if (options_finish_dns_address(options, error) < 0)
		return -EINVAL;
	if (addr_equal(&options->gateway, &options->host_alias)) {
		snprintf(error, OPTIONS_ERROR_MAX,
			 "--gateway and --host-alias are the same address: expected two");
		return -EINVAL;
	}
	if (options_finish_netns(options, error) < 0)
		return -EINVAL;
	first_guest = options_first_guest(options);
	return options_finish_publish(options, &first_guest, error);
}

/* Fills getopt's table, which ends in zeros. */
static void fill_long_options(struct option *table)
{
	for (size_t i = 0; i < option_def_count(); i++)
		table[i] = (struct option){.name = option_defs[i].name,
					   .has_arg = option_defs[i].value ? required_argument
									   : no_argument,
					   .val = 'A'};
	table[option_def_count()] = (struct option){0};
}

/* The configuration file comes first, wherever --config stands, so that the command line wins. */
static int apply_config_file(struct options *options, int argc, char **argv,
			     const struct option *table, char error[static OPTIONS_ERROR_MAX])
{
	int index = -1;
	int c;

	opterr = 0;
	optind = 0;
	while ((c = getopt_long_only(argc, argv, SHORT_OPTIONS, table, &index)) != -1) {
		if (c == 'A' && strcmp(option_defs[index].name, OPTION_CONFIG) == 0) {
			int r = read_config(options, optarg, error);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* What getopt stopped at, when it did with `c`. */
static int complain_about_flag(char **argv, int c, char error[static OPTIONS_ERROR_MAX])
{
	const char *flag = argv[optind - 1], *name = flag + strspn(flag, "-");
	size_t size = strcspn(name, "=");
	const struct option_def *def = nearest_def(name, size);

	if (c == ':')
		snprintf(error, OPTIONS_ERROR_MAX, "%.100s needs a value: %s", flag,
			 def && def->value ? def->value : "see 'netproxy --help'");
	else if (def && !def->value && name[size] == '=')
		snprintf(error, OPTIONS_ERROR_MAX, "%.100s: --%s takes no value", flag, def->name);
	else if (def)
		snprintf(error, OPTIONS_ERROR_MAX,
			 "%.100s is not an option: did you mean --%s%s%s?", flag, def->name,
			 def->value ? " " : "", def->value ? def->value : "");
	else
		snprintf(error, OPTIONS_ERROR_MAX, "%.100s is not an option: see 'netproxy --help'",
			 flag);
	return -EINVAL;
}

static enum options_result apply_flags(struct options *options, int argc, char **argv,
				       const struct option *table,
				       char error[static OPTIONS_ERROR_MAX])
{
	char why[OPTIONS_ERROR_MAX] = "";
	int index = -1;
	int c;

	opterr = 0;
	optind = 0;
	while ((c = getopt_long_only(argc, argv, SHORT_OPTIONS, table, &index)) != -1) {
		const char *name = c == 'A' ? option_defs[index].name : "";

		if (c == 'h' || strcmp(name, OPTION_HELP) == 0) {
			options_print_help();
			return OPTIONS_DONE;
		}
		if (c == 'v' || strcmp(name, OPTION_VERSION) == 0) {
			printf("netproxy %s\n", NETPROXY_VERSION);
			return OPTIONS_DONE;
		}
		if (c != 'A') {
			complain_about_flag(argv, c, error);
			return OPTIONS_BAD;
		}
		if (option_defs[index].apply(options, optarg ? optarg : "", why) < 0) {
			snprintf(error, OPTIONS_ERROR_MAX, "--%s %.450s", name, why);
			return OPTIONS_BAD;
		}
	}
	if (optind < argc) {
		snprintf(
			error, OPTIONS_ERROR_MAX,
			"\"%.100s\": expected only options, such as --link qemu:/tmp/net.sock: see "
			"'netproxy --help'",
			argv[optind]);
		return OPTIONS_BAD;
	}
	return OPTIONS_RUN;
}

enum options_result options_parse(int argc, char **argv, struct options *ret_options,
				  char error[static OPTIONS_ERROR_MAX])
{
	struct option table[OPTION_DEFS_MAX + 1];
	enum options_result result;
	unsigned file_rule_count;

	set_defaults(ret_options);
	fill_long_options(table);
	if (apply_config_file(ret_options, argc, argv, table, error) < 0)
		return OPTIONS_BAD;
	file_rule_count = ret_options->rule_count;
	result = apply_flags(ret_options, argc, argv, table, error);
	if (result == OPTIONS_RUN &&
	    (options_finish_ipv6(ret_options, error) < 0 || finish(ret_options, error) < 0 ||
	     options_finish_dhcp(ret_options, error) < 0 ||
	     options_finish_dns(ret_options, error) < 0 ||
	     options_finish_policy(ret_options, file_rule_count, error) < 0))
		return OPTIONS_BAD;
	return result;
}

void options_free(struct options *options)
{
	options_free_dhcp(options);
	free(options->gvproxy);
	free(options->links);
	free(options->vsocks);
	free(options->apis);
	free(options->vpnkits);
	free(options->publish);
	free(options->guest_publish);
	free(options->rules);
	options_free_dns(options);
	egress_destroy(&options->proxy);
	options->gvproxy = NULL;
	options->links = NULL;
	options->vsocks = NULL;
	options->apis = NULL;
	options->vpnkits = NULL;
	options->publish = NULL;
	options->guest_publish = NULL;
	options->rules = NULL;
}
