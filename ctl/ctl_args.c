/* SPDX-License-Identifier: Apache-2.0 */
/* netproxyctl's command line; see ctl_args.h. */
#include "ctl/ctl_args.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/nearest.h"

#define DEFAULT_TIMEOUT_S 10
#define TIMEOUT_S_MAX     3600
#define VSOCK_PORT        6565
#define SYSTEM_SOCKET     "/run/netproxy/api.sock"
#define FLAG_TIMEOUT      "timeout"
#define API_FORMS         "unix:PATH, tcp:ADDRESS:PORT or vsock[:PORT]"

#define COUNT(ARRAY) (sizeof(ARRAY) / sizeof((ARRAY)[0]))

/* Whether `arg` is the flag `name`; then *ret_value is what stands behind '=', or NULL. */
static bool is_flag(const char *arg, const char *name, const char **ret_value)
{
	size_t size = strlen(name);

	arg += arg[1] == '-' ? 2 : 1;
	if (strncmp(arg, name, size) != 0 || (arg[size] && arg[size] != '='))
		return false;
	*ret_value = arg[size] ? arg + size + 1 : NULL;
	return true;
}

static bool parse_number(const char *text, unsigned long min, unsigned long max, unsigned *ret)
{
	unsigned long number;
	char *end;

	errno = 0;
	number = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || number < min || number > max)
		return false;
	*ret = (unsigned)number;
	return true;
}

/* A flag's value: behind '=', or the next argument. */
static const char *take_value(const char *value, int argc, char *const *argv, int *at)
{
	if (value)
		return value;
	return *at + 1 < argc ? argv[++*at] : NULL;
}

/* The flags, and where their values go; those of one letter are no names to be suggested. */
struct flags {
	struct {
		const char *name;
		bool *to;
	} switches[7];
	struct {
		const char *name;
		const char **to;
		const char *expected;
	} texts[6];
};

static struct flags flags_of(struct ctl_args *args)
{
	return (struct flags){
		.switches =
			{
				{"json", &args->json},
				{"udp", &args->udp},
				{"both", &args->both},
				{"help", &args->help},
				{"h", &args->help},
				{"version", &args->version},
				{"v", &args->version},
			},
		.texts =
			{
				{"api", &args->api, "where: " API_FORMS},
				{"source", &args->source, "client or gateway"},
				{"proxy", &args->proxy, "a version: v2"},
				{"name", &args->name, "a name"},
				{"for", &args->owner, "for whom: a text"},
				{"via", &args->via, "a guest: its address or name"},
			},
	};
}

static int complain_about_flag(const struct flags *flags, const char *arg,
			       char error[static CTL_ERROR_MAX])
{
	const char *name = arg + (arg[1] == '-' ? 2 : 1);
	struct nearest nearest;

	nearest_begin(&nearest, name, strcspn(name, "="));
	for (size_t i = 0; i < COUNT(flags->switches); i++)
		nearest_offer(&nearest, flags->switches[i].name, NULL);
	for (size_t i = 0; i < COUNT(flags->texts); i++)
		nearest_offer(&nearest, flags->texts[i].name, NULL);
	nearest_offer(&nearest, FLAG_TIMEOUT, NULL);
	if (nearest.name)
		snprintf(error, CTL_ERROR_MAX, "there is no flag %.100s: did you mean --%s?", arg,
			 nearest.name);
	else
		snprintf(error, CTL_ERROR_MAX,
			 "there is no flag %.100s; netproxyctl --help lists those there are", arg);
	return -EINVAL;
}

static int parse_flag(int argc, char *const *argv, int *at, struct ctl_args *args,
		      char error[static CTL_ERROR_MAX])
{
	const struct flags flags = flags_of(args);
	const char *arg = argv[*at], *value;

	for (size_t i = 0; i < COUNT(flags.switches); i++) {
		if (!is_flag(arg, flags.switches[i].name, &value) || value)
			continue;
		*flags.switches[i].to = true;
		return 0;
	}
	for (size_t i = 0; i < COUNT(flags.texts); i++) {
		if (!is_flag(arg, flags.texts[i].name, &value))
			continue;
		*flags.texts[i].to = take_value(value, argc, argv, at);
		if (*flags.texts[i].to && (*flags.texts[i].to)[0])
			return 0;
		snprintf(error, CTL_ERROR_MAX, "--%s needs to be told %s", flags.texts[i].name,
			 flags.texts[i].expected);
		return -EINVAL;
	}
	if (!is_flag(arg, FLAG_TIMEOUT, &value))
		return complain_about_flag(&flags, arg, error);
	value = take_value(value, argc, argv, at);
	if (value && parse_number(value, 1, TIMEOUT_S_MAX, &args->timeout_s))
		return 0;
	snprintf(error, CTL_ERROR_MAX, "--" FLAG_TIMEOUT " needs a number of seconds, 1 to %d",
		 TIMEOUT_S_MAX);
	return -EINVAL;
}

int ctl_args_parse(int argc, char *const *argv, struct ctl_args *ret_args,
		   char error[static CTL_ERROR_MAX])
{
	struct ctl_args args = {.timeout_s = DEFAULT_TIMEOUT_S};
	bool only_arguments = false;

	for (int i = 1; i < argc; i++) {
		int r;

		if (!only_arguments && strcmp(argv[i], "--") == 0) {
			only_arguments = true;
			continue;
		}
		if (!only_arguments && argv[i][0] == '-' && argv[i][1]) {
			r = parse_flag(argc, argv, &i, &args, error);
			if (r < 0)
				return r;
			continue;
		}
		if (args.count == CTL_ARGUMENTS_MAX) {
			snprintf(error, CTL_ERROR_MAX,
				 "there are too many arguments, from \"%.100s\" on", argv[i]);
			return -EINVAL;
		}
		args.arguments[args.count++] = argv[i];
	}
	*ret_args = args;
	return 0;
}

static int unix_target(const char *path, struct api_target *ret_target,
		       char error[static CTL_ERROR_MAX])
{
	if (!path[0] || strlen(path) >= sizeof(ret_target->path)) {
		snprintf(error, CTL_ERROR_MAX,
			 "\"%.200s\" can't be a socket's path: it has 1 to %d bytes", path,
			 SOCK_PATH_MAX - 1);
		return -EINVAL;
	}
	ret_target->transport = API_UNIX;
	strcpy(ret_target->path, path);
	return 0;
}

static int parse_target(const char *text, struct api_target *ret_target,
			char error[static CTL_ERROR_MAX])
{
	bool ok = true;

	if (strncmp(text, "tcp:", 4) == 0) {
		ret_target->transport = API_TCP;
		ok = endpoint_parse(text + 4, false, &ret_target->tcp) == 0 &&
		     !addr_is_any(&ret_target->tcp.addr);
	} else if (strcmp(text, "vsock") == 0 || strncmp(text, "vsock:", 6) == 0) {
		ret_target->transport = API_VSOCK;
		ret_target->vsock_port = VSOCK_PORT;
		ok = !text[5] || parse_number(text + 6, 1, UINT32_MAX, &ret_target->vsock_port);
	} else {
		return unix_target(strncmp(text, "unix:", 5) == 0 ? text + 5 : text, ret_target,
				   error);
	}
	if (!ok) {
		snprintf(error, CTL_ERROR_MAX, "\"%.200s\" is not where an API can be: expected %s",
			 text, API_FORMS);
		return -EINVAL;
	}
	return 0;
}

int ctl_args_target(const struct ctl_args *args, const struct ctl_env *env,
		    struct api_target *ret_target, char error[static CTL_ERROR_MAX])
{
	const char *given = args->api ? args->api : env->api && env->api[0] ? env->api : NULL;
	struct api_target target = {0};
	char path[SOCK_PATH_MAX];
	int r, size;

	if (given) {
		r = parse_target(given, &target, error);
	} else {
		size = env->runtime_dir && env->runtime_dir[0]
			       ? snprintf(path, sizeof(path), "%s/netproxy/api.sock",
					  env->runtime_dir)
			       : -1;
		if (size < 0 || (size_t)size >= sizeof(path) ||
		    (access(path, F_OK) < 0 && access(SYSTEM_SOCKET, F_OK) == 0))
			strcpy(path, SYSTEM_SOCKET);
		r = unix_target(path, &target, error);
	}
	if (r == 0)
		*ret_target = target;
	return r;
}

/* Finds the ports of "...:8000-8009" or "8000": where they begin in the text, the first and the
 * last.
 */
static bool find_ports(const char *text, bool allow_0, size_t *ret_at, unsigned *ret_first,
		       unsigned *ret_last)
{
	const char *colon = strrchr(text, ':');
	const char *ports = colon ? colon + 1 : text;
	char first[8];
	size_t size = strcspn(ports, "-");

	if (size >= sizeof(first))
		return false;
	memcpy(first, ports, size);
	first[size] = '\0';
	if (!parse_number(first, allow_0 && !ports[size] ? 0 : 1, UINT16_MAX, ret_first))
		return false;
	*ret_last = *ret_first;
	if (ports[size] && !parse_number(ports + size + 1, *ret_first, UINT16_MAX, ret_last))
		return false;
	*ret_at = (size_t)(ports - text);
	return true;
}

static bool is_name(const char *text, size_t size)
{
	bool has_letter = false;

	for (size_t i = 0; i < size; i++) {
		if (!isalnum((unsigned char)text[i]) && !strchr("-._", text[i]))
			return false;
		has_letter |= isalpha((unsigned char)text[i]) != 0;
	}
	return has_letter;
}

static int parse_side(const char *text, bool is_local, char to[static CTL_SIDE_MAX])
{
	char first_port[CTL_SIDE_MAX];
	struct endpoint at;
	unsigned first, last;
	size_t ports;

	if (strlen(text) + 2 > CTL_SIDE_MAX || !find_ports(text, is_local, &ports, &first, &last))
		return -EINVAL;
	snprintf(first_port, sizeof(first_port), "%.*s%s%u", (int)ports, text, ports ? "" : ":",
		 first);
	if (endpoint_parse(first_port, is_local, &at) < 0 &&
	    (is_local || ports == 0 || !is_name(text, ports - 1)))
		return -EINVAL;
	snprintf(to, CTL_SIDE_MAX, "%s%s", ports ? "" : ":", text);
	return 0;
}

int ctl_args_local(const char *text, char to[static CTL_SIDE_MAX], char error[static CTL_ERROR_MAX])
{
	if (text[0] == '/' && strlen(text) < SOCK_PATH_MAX) {
		strcpy(to, text);
		return 0;
	}
	if (parse_side(text, true, to) == 0)
		return 0;
	snprintf(
		error, CTL_ERROR_MAX,
		"\"%.100s\" is not where the host can listen: expected a port, such as 8080, or an address and a "
		"port, such as 127.0.0.1:8080 or [::1]:8080, a range of ports, such as 8000-8009, or a socket's "
		"path",
		text);
	return -EINVAL;
}

int ctl_args_remote(const char *text, char to[static CTL_SIDE_MAX],
		    char error[static CTL_ERROR_MAX])
{
	if (parse_side(text, false, to) == 0)
		return 0;
	snprintf(
		error, CTL_ERROR_MAX,
		"\"%.100s\" is not a port of a guest: expected a port of the first guest, such as 80, or a guest's "
		"address or name and a port, such as 192.168.65.2:80 or web:80",
		text);
	return -EINVAL;
}

bool ctl_args_port_of(const char *local, unsigned index, char to[static CTL_SIDE_MAX])
{
	unsigned first, last;
	size_t ports;

	if (local[0] == '/') {
		snprintf(to, CTL_SIDE_MAX, "%s", local);
		return index == 0;
	}
	if (!find_ports(local, true, &ports, &first, &last) || index > last - first)
		return false;
	snprintf(to, CTL_SIDE_MAX, "%.*s%u", (int)ports, local, first + index);
	return true;
}
