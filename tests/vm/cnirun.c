/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a chain of CNI plugins as a container runtime does, for guests that hold no runtime: ADD and
 * CHECK in the list's order with each result handed on, DEL in reverse with the cached result.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"

#define TEXT_MAX  (256 * 1024)
#define CACHE_DIR "/run"

static const char usage[] =
	"usage: cnirun ADD|DEL|CHECK CONFLIST CONTAINERID NETNS IFNAME [HOSTPORT:CONTAINERPORT[/PROTOCOL]]...\n"
	"Plugins are looked for in the directories of CNI_PATH.\n";

struct run {
	const char *command;
	struct json_object *list; /* the conflist */
	const char *container_id, *netns, *ifname;
	struct json_object *ports;  /* runtimeConfig.portMappings */
	struct json_object *result; /* of the plugin before, or NULL */
};

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "cnirun: ");
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

static size_t read_all(int fd, char *to, size_t size)
{
	size_t have = 0;

	for (;;) {
		ssize_t n = read(fd, to + have, size - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			die("read: %s", strerror(errno));
		if (n == 0)
			return have;
		have += (size_t)n;
		if (have == size)
			die("more than %zu bytes", size);
	}
}

static struct json_object *parse(const char *what, const char *text, size_t size)
{
	struct json_object *object;
	char why[256];

	if (json_parse(text, size, &object, why, sizeof(why)) < 0)
		die("%s: %s", what, why);
	return object;
}

static struct json_object *read_json(const char *path)
{
	static char text[TEXT_MAX];
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return NULL;
	size_t size = read_all(fd, text, sizeof(text));
	close(fd);
	return parse(path, text, size);
}

static struct json_object *parse_ports(char **specs)
{
	struct json_object *list = json_object_new_array();

	for (; *specs; specs++) {
		int host_port, container_port;
		char protocol[8] = "tcp";

		if (sscanf(*specs, "%d:%d/%7s", &host_port, &container_port, protocol) < 2)
			die("\"%s\" is not HOSTPORT:CONTAINERPORT[/PROTOCOL]", *specs);
		struct json_object *port = json_object_new_object();
		json_object_object_add(port, "hostPort", json_object_new_int(host_port));
		json_object_object_add(port, "containerPort", json_object_new_int(container_port));
		json_object_object_add(port, "protocol", json_object_new_string(protocol));
		json_object_array_add(list, port);
	}
	return list;
}

static const char *find_plugin(const char *type, char *to)
{
	const char *dirs = getenv("CNI_PATH") ? getenv("CNI_PATH") : "/opt/cni/bin";

	while (*dirs) {
		int size = (int)strcspn(dirs, ":");

		snprintf(to, PATH_MAX, "%.*s/%s", size, dirs, type);
		if (access(to, X_OK) == 0)
			return to;
		dirs += size + (dirs[size] == ':');
	}
	die("no plugin \"%s\" in CNI_PATH", type);
}

/* The plugin's configuration as the specification derives it from the list (section 3). */
static struct json_object *derive(const struct run *run, struct json_object *plugin)
{
	static const char *const inherited[] = {"cniVersion", "name"};
	struct json_object *conf = NULL, *capabilities, *wanted;

	if (json_object_deep_copy(plugin, &conf, NULL) < 0)
		die("out of memory");
	for (size_t i = 0; i < 2; i++)
		json_object_object_add(
			conf, inherited[i],
			json_object_get(json_object_object_get(run->list, inherited[i])));
	if (json_object_object_get_ex(conf, "capabilities", &capabilities) &&
	    json_object_object_get_ex(capabilities, "portMappings", &wanted) &&
	    json_object_get_boolean(wanted)) {
		struct json_object *runtime = json_object_new_object();

		json_object_object_add(runtime, "portMappings", json_object_get(run->ports));
		json_object_object_add(conf, "runtimeConfig", runtime);
	}
	json_object_object_del(conf, "capabilities");
	if (run->result)
		json_object_object_add(conf, "prevResult", json_object_get(run->result));
	return conf;
}

static void exec_plugin(const struct run *run, const char *path, int in, int out)
{
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	setenv("CNI_COMMAND", run->command, 1);
	setenv("CNI_CONTAINERID", run->container_id, 1);
	setenv("CNI_NETNS", run->netns, 1);
	setenv("CNI_IFNAME", run->ifname, 1);
	execl(path, path, (char *)NULL);
	_exit(127);
}

/* Runs one plugin; returns its output in `to`. Both files are unlinked ones, so neither side can
 * block. */
static size_t run_plugin(const struct run *run, const char *type, const char *input, char *to)
{
	char path[PATH_MAX];
	FILE *in = tmpfile(), *out = tmpfile();
	int status;

	find_plugin(type, path);
	if (!in || !out || fputs(input, in) < 0 || fflush(in) != 0)
		die("temporary file: %s", strerror(errno));
	rewind(in);
	pid_t pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (pid == 0)
		exec_plugin(run, path, fileno(in), fileno(out));
	if (waitpid(pid, &status, 0) < 0)
		die("waitpid: %s", strerror(errno));
	rewind(out);
	size_t size = read_all(fileno(out), to, TEXT_MAX);
	fclose(in);
	fclose(out);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		die("%s %s failed (wait status %#x): %.*s", type, run->command, status, (int)size,
		    to);
	return size;
}

static void run_one(struct run *run, struct json_object *plugin)
{
	static char output[TEXT_MAX];
	struct json_object *conf = derive(run, plugin);
	const char *type = json_object_get_string(json_object_object_get(plugin, "type"));

	if (!type)
		die("a plugin of the list has no type");
	size_t size = run_plugin(run, type, json_object_to_json_string(conf), output);
	json_object_put(conf);
	printf("cnirun: %s %s: done\n", type, run->command);
	if (strcmp(run->command, "ADD") == 0) {
		json_object_put(run->result);
		run->result = parse(type, output, size);
	} else if (size > 0) {
		die("%s %s printed: %.*s", type, run->command, (int)size, output);
	}
}

int main(int argc, char **argv)
{
	char cache[PATH_MAX];
	struct json_object *plugins;

	if (argc < 6) {
		fputs(usage, stderr);
		return 2;
	}
	setlinebuf(stdout);
	struct run run = {argv[1], read_json(argv[2]),    argv[3], argv[4],
			  argv[5], parse_ports(&argv[6]), NULL};
	if (!run.list || !json_object_object_get_ex(run.list, "plugins", &plugins))
		die("%s: no list of plugins", argv[2]);
	snprintf(cache, sizeof(cache), CACHE_DIR "/cnirun-%s-%s.json", run.container_id,
		 run.ifname);
	int count = (int)json_object_array_length(plugins);
	if (strcmp(run.command, "DEL") == 0) {
		run.result = read_json(cache);
		for (int i = count - 1; i >= 0; i--)
			run_one(&run, json_object_array_get_idx(plugins, (size_t)i));
		unlink(cache);
	} else {
		if (strcmp(run.command, "CHECK") == 0)
			run.result = read_json(cache);
		for (int i = 0; i < count; i++)
			run_one(&run, json_object_array_get_idx(plugins, (size_t)i));
	}
	if (strcmp(run.command, "ADD") == 0) {
		json_object_to_file(cache, run.result);
		printf("cnirun: result %s\n",
		       json_object_to_json_string_ext(run.result, JSON_C_TO_STRING_PLAIN));
	}
	json_object_put(run.result);
	json_object_put(run.ports);
	json_object_put(run.list);
	return 0;
}
