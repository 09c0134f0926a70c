/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding of the CNI environment and network configuration. Everything is checked here, once. */
#include "plugin/cni_conf.h"

#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"

static const char *const version_names[CNI_VERSION_COUNT] = {"0.3.1", "0.4.0", "1.0.0", "1.1.0"};

/* What each command needs of the environment (section 2, "Parameters"), and since when it exists.
 */
static const struct command_rule {
	const char *name;
	enum cni_command command;
	enum cni_version since;
	bool container;     /* CNI_CONTAINERID and CNI_IFNAME */
	bool netns;         /* CNI_NETNS */
	bool prev_result;   /* the configuration must hold one */
	bool configuration; /* the configuration must be whole */
} command_rules[] = {
	{"ADD", CNI_ADD, CNI_0_3_1, true, true, true, true},
	{"DEL", CNI_DEL, CNI_0_3_1, true, false, false, true},
	{"CHECK", CNI_CHECK, CNI_0_4_0, true, true, true, true},
	{"GC", CNI_GC, CNI_1_1_0, false, false, false, true},
	{"STATUS", CNI_STATUS, CNI_1_1_0, false, false, false, true},
	{"VERSION", CNI_VERSION, CNI_0_3_1, false, false, false, false},
};

static const struct command_rule *rule_of(enum cni_command command)
{
	for (size_t i = 0; i < sizeof(command_rules) / sizeof(command_rules[0]); i++) {
		if (command_rules[i].command == command)
			return &command_rules[i];
	}
	abort();
}

const char *cni_version_name(enum cni_version version)
{
	return version_names[version];
}

int cni_version_parse(const char *text, enum cni_version *ret)
{
	for (int i = 0; i < CNI_VERSION_COUNT; i++) {
		if (strcmp(text, version_names[i]) == 0) {
			*ret = (enum cni_version)i;
			return 0;
		}
	}
	return -EINVAL;
}

bool cni_name_valid(const char *text)
{
	size_t size = strlen(text);

	if (size == 0 || size > CNI_NAME_MAX || !isalnum((unsigned char)text[0]))
		return false;
	for (size_t i = 0; i < size; i++) {
		if (!isalnum((unsigned char)text[i]) && !strchr("_.-", text[i]))
			return false;
	}
	return true;
}

static bool ifname_valid(const char *text)
{
	size_t size = strlen(text);

	if (size == 0 || size >= IFNAMSIZ || strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
		return false;
	for (size_t i = 0; i < size; i++) {
		if (isspace((unsigned char)text[i]) || text[i] == '/' || text[i] == ':')
			return false;
	}
	return true;
}

static bool unset(const char *value)
{
	return !value || value[0] == '\0';
}

static int check_variables(const struct command_rule *rule, const struct cni_env *env,
			   struct cni_error *error)
{
	const struct {
		const char *name, *value;
		bool needed;
	} variables[] = {
		{"CNI_CONTAINERID", env->container_id, rule->container},
		{"CNI_IFNAME", env->ifname, rule->container},
		{"CNI_NETNS", env->netns, rule->netns},
	};

	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
		if (variables[i].needed && unset(variables[i].value))
			return cni_fail(error, CNI_ERROR_ENVIRONMENT,
					"%s needs %s, which is not set", rule->name,
					variables[i].name);
	}
	if (rule->container && !cni_name_valid(env->container_id))
		return cni_fail(error, CNI_ERROR_ENVIRONMENT,
				"CNI_CONTAINERID must be at most %d letters, digits, '_', '.' and "
				"'-', beginning with a letter or digit, not \"%.64s\"",
				CNI_NAME_MAX, env->container_id);
	if (rule->container && !ifname_valid(env->ifname))
		return cni_fail(error, CNI_ERROR_ENVIRONMENT,
				"CNI_IFNAME must be an interface name of 1 to %d characters "
				"without '/', ':' and spaces, not \"%.64s\"",
				IFNAMSIZ - 1, env->ifname);
	return 0;
}

int cni_env_check(const struct cni_env *env, enum cni_command *ret_command, struct cni_error *error)
{
	if (unset(env->command))
		return cni_fail(error, CNI_ERROR_ENVIRONMENT, "CNI_COMMAND is not set");
	for (size_t i = 0; i < sizeof(command_rules) / sizeof(command_rules[0]); i++) {
		const struct command_rule *rule = &command_rules[i];

		if (strcmp(env->command, rule->name) != 0)
			continue;
		int r = check_variables(rule, env, error);
		if (r == 0)
			*ret_command = rule->command;
		return r;
	}
	return cni_fail(error, CNI_ERROR_ENVIRONMENT,
			"CNI_COMMAND must be ADD, DEL, CHECK, GC, STATUS or VERSION, not \"%.64s\"",
			env->command);
}

static int decode_version(struct cni_conf *conf, const struct command_rule *rule,
			  struct cni_error *error)
{
	struct json_reader r = json_reader(conf->root, "network configuration");
	const char *text = json_get_string(&r, "cniVersion", NULL);

	if (!json_ok(&r))
		return cni_fail(error, CNI_ERROR_DECODE, "%s", r.error);
	if (!text && rule->command == CNI_VERSION)
		return 0;
	if (!text)
		return cni_fail(
			error, CNI_ERROR_VERSION,
			"the network configuration has no cniVersion; 0.3.1, 0.4.0, 1.0.0 and "
			"1.1.0 are supported");
	if (cni_version_parse(text, &conf->version) < 0 && rule->command != CNI_VERSION)
		return cni_fail(
			error, CNI_ERROR_VERSION,
			"cniVersion \"%.32s\" is not supported; 0.3.1, 0.4.0, 1.0.0 and 1.1.0 "
			"are",
			text);
	if (conf->version < rule->since)
		return cni_fail(error, CNI_ERROR_VERSION,
				"%s exists from cniVersion %s on, not in %s", rule->name,
				version_names[rule->since], text);
	return 0;
}

/* One way to the API. */
static int decode_way(struct cni_conf *conf, struct json_object *value, uint32_t port,
		      struct cni_error *error)
{
	const char *text = json_object_is_type(value, json_type_string)
				   ? json_object_get_string(value)
				   : json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);
	int r = json_object_is_type(value, json_type_string)
			? api_reach_add(conf->reach, text, port)
			: -EINVAL;

	if (r == -ENAMETOOLONG)
		return cni_fail(error, CNI_ERROR_CONFIG,
				"\"api\": the path of a unix socket has at most %d bytes",
				SOCK_PATH_MAX - 1);
	if (r == -ENOSPC)
		return cni_fail(error, CNI_ERROR_CONFIG, "\"api\" can name at most %d ways",
				API_REACH_MAX);
	if (r < 0)
		return cni_fail(error, CNI_ERROR_CONFIG,
				"\"api\" must be \"vsock\", \"gateway\", \"unix:/PATH\" or "
				"\"http://ADDRESS:PORT\", or a list of these, not \"%.100s\"",
				text);
	return 0;
}

static int decode_api(struct cni_conf *conf, struct json_reader *r, struct cni_error *error)
{
	/* -1 is VMADDR_PORT_ANY. */
	uint32_t port = (uint32_t)json_get_int(r, "vsockPort", 1, UINT32_MAX - 1,
					       CNI_VSOCK_PORT_DEFAULT);
	struct json_object *api = json_object_object_get(conf->root, "api");
	int result = 0;

	conf->timeout_ms = (uint32_t)json_get_int(r, "timeoutMs", 1, CNI_TIMEOUT_MS_MAX,
						  CNI_TIMEOUT_MS_DEFAULT);
	if (!json_ok(r))
		return cni_fail(error, CNI_ERROR_CONFIG, "%s", r->error);
	conf->reach = calloc(1, sizeof(*conf->reach));
	if (!conf->reach)
		return cni_fail(error, CNI_ERROR_IO, "out of memory");
	if (!api) {
		/* The second where the VM has no vsock device, or its kernel no driver. */
		api_reach_add(conf->reach, "vsock", port);
		api_reach_add(conf->reach, "gateway", port);
		return 0;
	}
	if (!json_object_is_type(api, json_type_array))
		return decode_way(conf, api, port, error);
	if (json_object_array_length(api) == 0)
		return cni_fail(error, CNI_ERROR_CONFIG, "\"api\" is an empty list");
	for (size_t i = 0; result == 0 && i < json_object_array_length(api); i++)
		result = decode_way(conf, json_object_array_get_idx(api, i), port, error);
	return result;
}

static int decode_top(struct cni_conf *conf, struct cni_error *error)
{
	struct json_reader r = json_reader(conf->root, "network configuration");

	conf->name = json_need_string(&r, "name");
	json_need_string(&r, "type");
	conf->state_dir = json_get_string(&r, "stateDir", CNI_STATE_DIR_DEFAULT);
	conf->prev_result = json_get_object(&r, "prevResult");
	if (!json_ok(&r))
		return cni_fail(error, CNI_ERROR_CONFIG, "%s", r.error);
	if (!cni_name_valid(conf->name))
		return cni_fail(
			error, CNI_ERROR_CONFIG,
			"the network's name must be at most %d letters, digits, '_', '.' and "
			"'-', beginning with a letter or digit, not \"%.64s\"",
			CNI_NAME_MAX, conf->name);
	if (conf->state_dir[0] != '/')
		return cni_fail(error, CNI_ERROR_CONFIG,
				"\"stateDir\" must be an absolute path, not \"%.100s\"",
				conf->state_dir);
	return decode_api(conf, &r, error);
}

/* hostPort and containerPort are required, as portmap requires them. */
static int decode_port(struct json_object *object, size_t index, struct cni_port *ret,
		       struct cni_error *error)
{
	char where[64];

	snprintf(where, sizeof(where), "runtimeConfig.portMappings[%zu]", index);
	struct json_reader r = json_reader(object, where);
	int64_t host_port = json_get_int(&r, "hostPort", 1, UINT16_MAX, 0);
	int64_t container_port = json_get_int(&r, "containerPort", 1, UINT16_MAX, 0);
	const char *protocol = json_get_string(&r, "protocol", "tcp");
	const char *host_ip = json_get_string(&r, "hostIP", "");
	struct cni_port port = {(uint16_t)host_port, (uint16_t)container_port, false, {0}};

	if (json_ok(&r) && (!host_port || !container_port))
		json_fail(&r, "hostPort and containerPort are required");
	/* Well-formed, and some plugins take it: so this is another error than the others. */
	if (json_ok(&r) && protocol[0] && strcasecmp(protocol, "tcp") != 0 &&
	    strcasecmp(protocol, "udp") != 0)
		return cni_fail(error, CNI_ERROR_FIELD,
				"%s: only the protocols tcp and udp can be published on the host, "
				"not \"%.32s\"",
				where, protocol);
	if (json_ok(&r) && host_ip[0] && addr_parse(host_ip, &port.host_ip) < 0)
		json_fail(&r, "hostIP must be an IPv4 or IPv6 address, not \"%.64s\"", host_ip);
	if (!json_ok(&r))
		return cni_fail(error, CNI_ERROR_CONFIG, "%s", r.error);
	port.udp = strcasecmp(protocol, "udp") == 0;
	*ret = port;
	return 0;
}

static int decode_ports(struct cni_conf *conf, struct cni_error *error)
{
	struct json_reader r = json_reader(conf->root, "network configuration");
	struct json_object *runtime = json_get_object(&r, "runtimeConfig");

	if (!json_ok(&r))
		return cni_fail(error, CNI_ERROR_CONFIG, "%s", r.error);
	if (!runtime)
		return 0;
	struct json_reader runtime_reader = json_reader(runtime, "runtimeConfig");
	struct json_object *list = json_get_array(&runtime_reader, "portMappings");
	if (!json_ok(&runtime_reader))
		return cni_fail(error, CNI_ERROR_CONFIG, "%s", runtime_reader.error);
	size_t count = list ? json_object_array_length(list) : 0;
	if (count > CNI_PORTS_MAX)
		return cni_fail(error, CNI_ERROR_CONFIG,
				"runtimeConfig.portMappings has %zu entries; at most %d are taken",
				count, CNI_PORTS_MAX);
	if (count == 0)
		return 0;
	conf->ports = calloc(count, sizeof(*conf->ports));
	if (!conf->ports)
		return cni_fail(error, CNI_ERROR_IO, "out of memory");
	for (size_t i = 0; i < count; i++) {
		int result = decode_port(json_object_array_get_idx(list, i), i, &conf->ports[i],
					 error);

		if (result < 0)
			return result;
		conf->port_count++;
	}
	return 0;
}

/* What GC may keep: cni.dev/valid-attachments, once called cni.dev/attachments. */
static int decode_attachments(struct cni_conf *conf, struct cni_error *error)
{
	struct json_reader r = json_reader(conf->root, "network configuration");
	struct json_object *list = json_get_array(&r, "cni.dev/valid-attachments");

	if (!list)
		list = json_get_array(&r, "cni.dev/attachments");
	if (json_ok(&r) && !list)
		json_fail(&r, "GC needs \"cni.dev/valid-attachments\"");
	if (json_ok(&r) && json_object_array_length(list) > CNI_ATTACHMENTS_MAX)
		json_fail(&r, "at most %d attachments are taken", CNI_ATTACHMENTS_MAX);
	if (!json_ok(&r))
		return cni_fail(error, CNI_ERROR_CONFIG, "%s", r.error);
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_reader entry = json_reader(json_object_array_get_idx(list, i),
						       "cni.dev/valid-attachments");

		json_need_string(&entry, "containerID");
		json_need_string(&entry, "ifname");
		if (!json_ok(&entry))
			return cni_fail(error, CNI_ERROR_CONFIG, "%s", entry.error);
	}
	conf->attachments = list;
	return 0;
}

/* The container's first address of each family, as portmap takes them. */
static int find_addresses(struct cni_conf *conf, struct cni_error *error)
{
	struct json_reader r = json_reader(conf->prev_result, "prevResult");
	struct json_object *list = json_get_array(&r, "ips");

	for (size_t i = 0; list && i < json_object_array_length(list) && json_ok(&r); i++) {
		struct json_reader entry = json_reader(json_object_array_get_idx(list, i),
						       "prevResult.ips");
		const char *text = json_need_string(&entry, "address");
		char address[ADDR_TEXT_MAX];
		struct addr addr;

		if (!json_ok(&entry))
			return cni_fail(error, CNI_ERROR_DECODE, "%s", entry.error);
		snprintf(address, sizeof(address), "%.*s", (int)strcspn(text, "/"), text);
		if (addr_parse(address, &addr) < 0)
			return cni_fail(error, CNI_ERROR_DECODE,
					"prevResult.ips has no address: \"%.64s\"", text);
		struct addr *to = addr.family == AF_INET ? &conf->container4 : &conf->container6;
		if (to->family == AF_UNSPEC)
			*to = addr;
	}
	if (!json_ok(&r))
		return cni_fail(error, CNI_ERROR_DECODE, "%s", r.error);
	return 0;
}

static int decode_target(struct cni_conf *conf, struct cni_error *error)
{
	static const char *const names[] = {
		[CNI_TARGET_BY_PORT] = "",
		[CNI_TARGET_GUEST] = "guest",
		[CNI_TARGET_CONTAINER] = "container",
	};
	struct json_reader r = json_reader(conf->root, "network configuration");
	const char *target = json_get_string(&r, "target", names[CNI_TARGET_BY_PORT]);
	size_t i = 0;

	if (!json_ok(&r))
		return cni_fail(error, CNI_ERROR_CONFIG, "%s", r.error);
	while (i < sizeof(names) / sizeof(names[0]) && strcmp(target, names[i]) != 0)
		i++;
	if (i == sizeof(names) / sizeof(names[0]))
		return cni_fail(error, CNI_ERROR_FIELD,
				"\"target\" must be \"guest\" (portmap leads on from the VM's own "
				"port) or \"container\", not \"%.32s\"",
				target);
	conf->target = (enum cni_target)i;
	return conf->target != CNI_TARGET_GUEST && conf->prev_result ? find_addresses(conf, error)
								     : 0;
}

static int decode_whole(struct cni_conf *conf, const struct command_rule *rule,
			struct cni_error *error)
{
	int r = decode_top(conf, error);

	if (r < 0)
		return r;
	if (rule->prev_result && !conf->prev_result)
		return cni_fail(
			error, CNI_ERROR_CONFIG,
			"%s found no prevResult: netproxy-cni must stand in the plugin list "
			"after the plugins that make the container's network (bridge, portmap)",
			rule->name);
	r = decode_target(conf, error);
	if (r < 0)
		return r;
	if (rule->command == CNI_GC)
		return decode_attachments(conf, error);
	return rule->command == CNI_STATUS ? 0 : decode_ports(conf, error);
}

int cni_conf_decode(const char *text, size_t size, enum cni_command command,
		    struct cni_conf *ret_conf, struct cni_error *error)
{
	const struct command_rule *rule = rule_of(command);
	struct cni_conf conf = {.version = CNI_1_1_0};
	char why[256];

	/* Older runtimes ask for the version with nothing on standard input. */
	if (size == 0 && command == CNI_VERSION) {
		*ret_conf = conf;
		return 0;
	}
	if (size > CNI_CONF_SIZE_MAX)
		return cni_fail(
			error, CNI_ERROR_DECODE,
			"the network configuration on standard input is larger than %d bytes",
			CNI_CONF_SIZE_MAX);
	if (json_parse(text, size, &conf.root, why, sizeof(why)) < 0)
		return cni_fail_details(error, CNI_ERROR_DECODE, why,
					"the network configuration on standard input is not JSON");
	int r = decode_version(&conf, rule, error);
	if (r == 0 && rule->configuration)
		r = decode_whole(&conf, rule, error);
	if (r < 0)
		cni_conf_clear(&conf);
	else
		*ret_conf = conf;
	return r;
}

void cni_conf_clear(struct cni_conf *conf)
{
	free(conf->ports);
	free(conf->reach);
	json_object_put(conf->root);
	*conf = (struct cni_conf){0};
}
