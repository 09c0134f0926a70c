/* SPDX-License-Identifier: Apache-2.0 */
/* netproxyctl's command line taken apart, and its tables. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/ctl_args.h"
#include "ctl/table.h"
#include "unit.h"

static struct ctl_args args;
static struct api_target target;
static char error[CTL_ERROR_MAX];
static char text[CTL_SIDE_MAX];

static int parse(const char *line)
{
	static char copy[256];
	char *argv[32] = {"netproxyctl"};
	int argc = 1;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	return ctl_args_parse(argc, argv, &args, error);
}

START_TEST(flags)
{
	ck_assert_int_eq(parse(""), 0);
	ck_assert_uint_eq(args.count, 0);
	ck_assert(!args.json && !args.udp && !args.help && !args.version && !args.api);
	ck_assert_uint_eq(args.timeout_s, 10);

	ck_assert_int_eq(parse("--json expose -udp 8080 --api=unix:/x 80 -timeout 3"), 0);
	ck_assert_uint_eq(args.count, 3);
	ck_assert_str_eq(args.arguments[0], "expose");
	ck_assert_str_eq(args.arguments[2], "80");
	ck_assert(args.json && args.udp);
	ck_assert_str_eq(args.api, "unix:/x");
	ck_assert_uint_eq(args.timeout_s, 3);

	ck_assert_int_eq(parse("-api /y -h -- -x"), 0);
	ck_assert(args.help);
	ck_assert_str_eq(args.arguments[0], "-x");
}
END_TEST

START_TEST(bad_flags)
{
	static const char *const bad[] = {
		"--nope",  "--api",      "--api=",          "--timeout", "--timeout x",
		"--jsonx", "-timeout=0", "--timeout=99999", "--udp=1",   "a b c d e"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		error[0] = '\0';
		ck_assert_msg(parse(bad[i]) == -EINVAL, "%s", bad[i]);
		ck_assert_str_ne(error, "");
	}
}
END_TEST

static int find_target(const char *api, const char *env_api, const char *runtime_dir)
{
	const struct ctl_env env = {.api = env_api, .runtime_dir = runtime_dir};

	args = (struct ctl_args){.api = api};
	return ctl_args_target(&args, &env, &target, error);
}

START_TEST(targets)
{
	ck_assert_int_eq(find_target("unix:/a/b", "/c", "/d"), 0);
	ck_assert_int_eq(target.transport, API_UNIX);
	ck_assert_str_eq(target.path, "/a/b");
	ck_assert_int_eq(find_target("state/api.sock", NULL, NULL), 0);
	ck_assert_str_eq(target.path, "state/api.sock");
	ck_assert_int_eq(find_target(NULL, "tcp:127.0.0.1:8888", "/d"), 0);
	ck_assert_int_eq(target.transport, API_TCP);
	ck_assert_uint_eq(target.tcp.port, 8888);
	ck_assert_int_eq(find_target("vsock", NULL, NULL), 0);
	ck_assert_int_eq(target.transport, API_VSOCK);
	ck_assert_uint_eq(target.vsock_port, 6565);
	ck_assert_int_eq(find_target("vsock:1024", NULL, NULL), 0);
	ck_assert_uint_eq(target.vsock_port, 1024);

	ck_assert_int_eq(find_target("tcp:8080", NULL, NULL), -EINVAL);
	ck_assert_int_eq(find_target("tcp:0.0.0.0:8080", NULL, NULL), -EINVAL);
	ck_assert_int_eq(find_target("vsock:x", NULL, NULL), -EINVAL);
	ck_assert_int_eq(find_target("unix:", NULL, NULL), -EINVAL);
}
END_TEST

/* The user's own netproxy goes before the system's. */
START_TEST(default_target)
{
	char directory[] = "/tmp/netproxy-test-XXXXXX", path[64], socket_path[96];

	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/netproxy", directory);
	snprintf(socket_path, sizeof(socket_path), "%s/api.sock", path);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(mkdir(socket_path, 0700), 0);
	ck_assert_int_eq(find_target(NULL, NULL, directory), 0);
	ck_assert_str_eq(target.path, socket_path);
	rmdir(socket_path);
	rmdir(path);
	rmdir(directory);
	ck_assert_int_eq(find_target(NULL, "", ""), 0);
	ck_assert_str_eq(target.path, "/run/netproxy/api.sock");
}
END_TEST

START_TEST(endpoints)
{
	ck_assert_int_eq(ctl_args_local("8080", text, error), 0);
	ck_assert_str_eq(text, ":8080");
	ck_assert_int_eq(ctl_args_local(":8080", text, error), 0);
	ck_assert_str_eq(text, ":8080");
	ck_assert_int_eq(ctl_args_local("[::1]:0", text, error), 0);
	ck_assert_str_eq(text, "[::1]:0");
	ck_assert_int_eq(ctl_args_local("0", text, error), 0);
	ck_assert_int_eq(ctl_args_remote("80", text, error), 0);
	ck_assert_str_eq(text, ":80");
	ck_assert_int_eq(ctl_args_remote("192.168.65.2:80", text, error), 0);
	ck_assert_str_eq(text, "192.168.65.2:80");
}
END_TEST

START_TEST(ranges_paths_and_names)
{
	char path[CTL_SIDE_MAX];

	ck_assert_int_eq(ctl_args_local("8000-8009", text, error), 0);
	ck_assert_str_eq(text, ":8000-8009");
	ck_assert(ctl_args_port_of(text, 9, path));
	ck_assert_str_eq(path, ":8009");
	ck_assert(!ctl_args_port_of(text, 10, path));
	ck_assert_int_eq(ctl_args_local("[::1]:8000-8001", text, error), 0);
	ck_assert(ctl_args_port_of(text, 0, path));
	ck_assert_str_eq(path, "[::1]:8000");
	ck_assert_int_eq(ctl_args_local("/run/web.sock", text, error), 0);
	ck_assert_str_eq(text, "/run/web.sock");
	ck_assert(ctl_args_port_of(text, 0, path));
	ck_assert(!ctl_args_port_of(text, 1, path));
	ck_assert_int_eq(ctl_args_remote("web-1.lan:80-89", text, error), 0);
	ck_assert_str_eq(text, "web-1.lan:80-89");
	memset(path, 'x', SOCK_PATH_MAX);
	path[0] = '/';
	path[SOCK_PATH_MAX] = '\0';
	ck_assert_int_eq(ctl_args_local(path, text, error), -EINVAL);
}
END_TEST

START_TEST(bad_endpoints)
{
	static const char *const bad[] = {
		"",         "x",   "80x",           "65536",   "-1",      "1.2.3.4",
		"host:",    ":",   "1.2.3.4:70000", "::1:80x", "80-",     "80-79",
		"80-65536", "0-5", "1.2.3:80",      "a b:80",  "[::1:80", "80--90"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_msg(ctl_args_local(bad[i], text, error) == -EINVAL, "%s", bad[i]);
		ck_assert_ptr_nonnull(strstr(error, "127.0.0.1:8080"));
		ck_assert_msg(ctl_args_remote(bad[i], text, error) == -EINVAL, "%s", bad[i]);
	}
	ck_assert_int_eq(ctl_args_local("host:80", text, error), -EINVAL);
	ck_assert_int_eq(ctl_args_remote("/run/web.sock", text, error), -EINVAL);
	ck_assert_int_eq(ctl_args_remote("0", text, error), -EINVAL);
	ck_assert_int_eq(ctl_args_remote(":0", text, error), -EINVAL);
}
END_TEST

START_TEST(tables)
{
	static const char *const headings[] = {"NAME", ">N", "LAST", NULL};
	struct table table;
	char *printed;
	size_t size;
	FILE *out = open_memstream(&printed, &size);

	table_init(&table, headings);
	table_add(&table, "long name");
	table_add(&table, "%d", 5);
	table_add(&table, "a\x1b[31m");
	table_add(&table, "%s", "");
	table_add(&table, "%d", 1234);
	table_add(&table, "b");
	ck_assert_int_eq(table_print(&table, out), 0);
	table_clear(&table);
	fclose(out);
	ck_assert_str_eq(printed, "NAME          N  LAST\n"
				  "long name     5  a?[31m\n"
				  "-          1234  b\n");
	free(printed);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ctl_args");
	TCase *tcase = unit_case(suite, "all", NULL, NULL);

	tcase_add_test(tcase, flags);
	tcase_add_test(tcase, bad_flags);
	tcase_add_test(tcase, targets);
	tcase_add_test(tcase, default_target);
	tcase_add_test(tcase, endpoints);
	tcase_add_test(tcase, ranges_paths_and_names);
	tcase_add_test(tcase, bad_endpoints);
	tcase_add_test(tcase, tables);
	return unit_run(suite);
}
