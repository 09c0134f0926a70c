/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin's commands against a netproxy API that works, refuses, hangs, lies or isn't there. */
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fake_api.h"
#include "plugin/cni_run.h"
#include "unit.h"

static char dir[] = "/tmp/test_cni_run.XXXXXX";
static char socket_path[64];
static char api_text[256]; /* the configuration's "api" */
static char state_path[64];
static unsigned timeout_ms;
static char *output; /* of the last run_plugin(), owned */

static void setup(void)
{
	strcpy(dir + strlen(dir) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(socket_path, sizeof(socket_path), "%s/api", dir);
	snprintf(api_text, sizeof(api_text), "\"unix:%s\"", socket_path);
	snprintf(state_path, sizeof(state_path), "%s/state/deep", dir);
	timeout_ms = 20000;
	output = NULL;
}

static void teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
	free(output);
}

#define PREV "\"prevResult\":{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.88.0.2/16\"}]}"
#define WEB  "{\"hostPort\":8080,\"containerPort\":80}"
#define DNS  "{\"hostPort\":53,\"containerPort\":53,\"protocol\":\"udp\",\"hostIP\":\"127.0.0.1\"}"
#define SSH  "{\"hostPort\":2222,\"containerPort\":22,\"hostIP\":\"::1\"}"

/* Runs a command for container `id` with these port mappings and extra keys. */
static int run_plugin(const char *command, const char *id, const char *ports, const char *extra)
{
	struct cni_env env = {command, id, "/run/netns/x", "eth0"};
	char conf[2048];
	size_t size;

	snprintf(conf, sizeof(conf),
		 "{\"cniVersion\":\"1.1.0\",\"name\":\"net\",\"type\":\"netproxy-cni\","
		 "\"api\":%s,\"stateDir\":\"%s\",\"timeoutMs\":%u,"
		 "\"runtimeConfig\":{\"portMappings\":[%s]}%s%s}",
		 api_text, state_path, timeout_ms, ports, extra[0] ? "," : "", extra);
	free(output);
	FILE *out = open_memstream(&output, &size);
	int status = cni_run(&env, conf, strlen(conf), out);
	fclose(out);
	return status;
}

static void assert_output(const char *text)
{
	ck_assert_msg(strstr(output, text) != NULL, "no \"%s\" in: %s", text, output);
}

static unsigned records(void)
{
	char path[96];
	unsigned count = 0;
	struct dirent *entry;

	snprintf(path, sizeof(path), "%s/net", state_path);
	DIR *d = opendir(path);
	if (!d)
		return 0;
	while ((entry = readdir(d)))
		count += entry->d_name[0] != '.';
	closedir(d);
	return count;
}

static void add_and_delete(enum fake_api_mode mode)
{
	struct fake_api *api = fake_api_start(socket_path, mode);

	ck_assert_int_eq(run_plugin("ADD", "c1", WEB "," DNS "," SSH, PREV), 0);
	ck_assert_str_eq(output,
			 "{\"cniVersion\":\"1.1.0\",\"ips\":[{\"address\":\"10.88.0.2/16\"}]}\n");
	ck_assert_str_eq(
		fake_api_log(api),
		"POST /services/forwarder/expose "
		"{\"local\":\":8080\",\"remote\":\":8080\",\"protocol\":\"tcp\",\"for\":\"c1:eth0\"}\n"
		"POST /services/forwarder/expose "
		"{\"local\":\"127.0.0.1:53\",\"remote\":\"10.88.0.2:53\",\"protocol\":\"udp\",\"for\":\"c1:eth0\"}\n"
		"POST /services/forwarder/expose "
		"{\"local\":\"[::1]:2222\",\"remote\":\"10.88.0.2:22\",\"protocol\":\"tcp\",\"for\":\"c1:eth0\"}\n");
	ck_assert_uint_eq(records(), 1);
	ck_assert_int_eq(run_plugin("CHECK", "c1", WEB "," DNS, "\"target\":\"guest\"," PREV), 0);
	ck_assert_str_eq(output, "");
	ck_assert_int_eq(run_plugin("STATUS", "c1", "", ""), 0);
	ck_assert_str_eq(output, "");
	/* DEL needs neither prevResult nor the port mappings, and is idempotent. */
	ck_assert_int_eq(run_plugin("DEL", "c1", "", ""), 0);
	ck_assert_str_eq(output, "");
	ck_assert_str_eq(fake_api_forwards(api), "");
	ck_assert_uint_eq(records(), 0);
	ck_assert_int_eq(run_plugin("DEL", "c1", WEB, ""), 0);
	fake_api_stop(api);
}

START_TEST(add_check_del)
{
	add_and_delete(FAKE_API_WORKS);
}
END_TEST

START_TEST(chunked_answers)
{
	add_and_delete(FAKE_API_CHUNKED);
}
END_TEST

START_TEST(no_ports)
{
	/* A container that publishes nothing needs no API at all. */
	ck_assert_int_eq(run_plugin("ADD", "c1", "", PREV), 0);
	assert_output("10.88.0.2");
	ck_assert_int_eq(run_plugin("CHECK", "c1", "", PREV), 0);
	ck_assert_int_eq(run_plugin("DEL", "c1", "", ""), 0);
	ck_assert_uint_eq(records(), 0);
}
END_TEST

START_TEST(rolled_back)
{
	struct fake_api *api = fake_api_start(socket_path, FAKE_API_WORKS);

	fake_api_refuse(api, "[::1]:2222");
	ck_assert_int_eq(run_plugin("ADD", "c1", WEB "," DNS "," SSH, PREV), 1);
	assert_output("\"code\":100,");
	assert_output("can't publish tcp port [::1]:2222 on the host: listen tcp: bind: address "
		      "already in use");
	ck_assert_str_eq(fake_api_forwards(api), "");
	ck_assert_uint_eq(records(), 0);
	fake_api_stop(api);
}
END_TEST

/* The runtime calls DEL after an ADD that failed; that must not close what another container
 * published. */
START_TEST(conflict_leaves_the_other_alone)
{
	struct fake_api *api = fake_api_start(socket_path, FAKE_API_WORKS);

	ck_assert_int_eq(run_plugin("ADD", "c1", WEB, PREV), 0);
	ck_assert_int_eq(run_plugin("ADD", "c2", DNS "," WEB, PREV), 1);
	assert_output("proxy already running");
	ck_assert_int_eq(run_plugin("DEL", "c2", DNS "," WEB, ""), 0);
	ck_assert_str_eq(fake_api_forwards(api), "tcp :8080 ");
	fake_api_stop(api);
}
END_TEST

START_TEST(del_of_what_has_gone)
{
	struct fake_api *api = fake_api_start(socket_path, FAKE_API_WORKS);

	ck_assert_int_eq(run_plugin("ADD", "c1", WEB, PREV), 0);
	fake_api_stop(api);
	/* netproxy was started anew: it knows nothing of the forward. */
	api = fake_api_start(socket_path, FAKE_API_WORKS);
	ck_assert_int_eq(run_plugin("DEL", "c1", WEB, ""), 0);
	ck_assert_uint_eq(records(), 0);
	fake_api_stop(api);
}
END_TEST

/* Without the API DEL says "try again", and the next one finds what there is to do. */
START_TEST(del_retried)
{
	struct fake_api *api = fake_api_start(socket_path, FAKE_API_WORKS);

	ck_assert_int_eq(run_plugin("ADD", "c1", WEB, PREV), 0);
	fake_api_stop(api);
	ck_assert_int_eq(run_plugin("DEL", "c1", WEB, ""), 1);
	assert_output("\"code\":11,");
	ck_assert_uint_eq(records(), 1);
	api = fake_api_start(socket_path, FAKE_API_WORKS);
	fake_api_add(api, ":8080", "tcp");
	ck_assert_int_eq(run_plugin("DEL", "c1", WEB, ""), 0);
	ck_assert_str_eq(fake_api_forwards(api), "");
	fake_api_stop(api);
}
END_TEST

/* An ADD that was killed in the middle: its record and its forward are there. */
START_TEST(add_after_a_killed_add)
{
	struct fake_api *api = fake_api_start(socket_path, FAKE_API_WORKS);

	ck_assert_int_eq(run_plugin("ADD", "c1", DNS, PREV), 0);
	ck_assert_int_eq(run_plugin("ADD", "c1", WEB, PREV), 0);
	ck_assert_str_eq(fake_api_forwards(api), "tcp :8080 ");
	ck_assert_uint_eq(records(), 1);
	fake_api_stop(api);
}
END_TEST

START_TEST(damaged_record)
{
	static const char *const damages[] = {"", "{", "{}", "[1]", "[{\"local\":\":1\"}]"};
	struct fake_api *api = fake_api_start(socket_path, FAKE_API_WORKS);
	char path[128];

	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		ck_assert_int_eq(run_plugin("ADD", "c1", WEB, PREV), 0);
		snprintf(path, sizeof(path), "%s/net/c1:eth0", state_path);
		FILE *file = fopen(path, "w");
		ck_assert_ptr_nonnull(file);
		fputs(damages[i], file);
		fclose(file);
		ck_assert_int_eq(run_plugin("DEL", "c1", WEB, ""), 0);
		ck_assert_str_eq(fake_api_forwards(api), "");
		ck_assert_uint_eq(records(), 0);
	}
	fake_api_stop(api);
}
END_TEST

START_TEST(no_room_for_the_record)
{
	struct fake_api *api = fake_api_start(socket_path, FAKE_API_WORKS);

	snprintf(state_path, sizeof(state_path), "/dev/null/state");
	ck_assert_int_eq(run_plugin("ADD", "c1", WEB, PREV), 1);
	assert_output("\"code\":5,");
	assert_output("Not a directory");
	ck_assert_str_eq(fake_api_log(api), "");
	fake_api_stop(api);
}
END_TEST

START_TEST(check_finds_it_missing)
{
	struct fake_api *api = fake_api_start(socket_path, FAKE_API_WORKS);

	fake_api_add(api, ":8080", "udp");
	fake_api_add(api, "127.0.0.1:8080", "tcp");
	ck_assert_int_eq(run_plugin("CHECK", "c1", WEB, PREV), 1);
	assert_output("\"code\":101,\"msg\":\"tcp port :8080 is not published on the host\"");
	fake_api_stop(api);
}
END_TEST

START_TEST(gc)
{
	struct fake_api *api = fake_api_start(socket_path, FAKE_API_WORKS);

	ck_assert_int_eq(run_plugin("GC", NULL, "", "\"cni.dev/valid-attachments\":[]"), 0);
	ck_assert_int_eq(run_plugin("ADD", "c1", WEB, PREV), 0);
	ck_assert_int_eq(run_plugin("ADD", "c2", DNS, PREV), 0);
	ck_assert_int_eq(run_plugin("ADD", "c3", SSH, PREV), 0);
	ck_assert_int_eq(run_plugin("GC", NULL, "",
				    "\"cni.dev/valid-attachments\":["
				    "{\"containerID\":\"c2\",\"ifname\":\"eth0\"},"
				    "{\"containerID\":\"c3\",\"ifname\":\"eth1\"}]"),
			 0);
	ck_assert_str_eq(output, "");
	ck_assert_str_eq(fake_api_forwards(api), "udp 127.0.0.1:53 ");
	ck_assert_uint_eq(records(), 1);
	fake_api_stop(api);
	ck_assert_int_eq(run_plugin("GC", NULL, "", "\"cni.dev/valid-attachments\":[]"), 1);
	assert_output("\"code\":11,");
	ck_assert_uint_eq(records(), 1);
}
END_TEST

static const struct failing {
	enum fake_api_mode mode;
	int code;
	const char *text;
} failings[] = {
	{FAKE_API_SILENT, 11, "no answer of unix socket"},
	{FAKE_API_CLOSES, 6, "it is empty"},
	{FAKE_API_GARBAGE, 6, "it doesn't begin with an HTTP status line"},
};

START_TEST(api_fails)
{
	const struct failing *c = &failings[_i];
	struct fake_api *api = fake_api_start(socket_path, c->mode);
	char code[16];

	if (c->mode == FAKE_API_SILENT)
		timeout_ms = 50;
	snprintf(code, sizeof(code), "\"code\":%d,", c->code);
	ck_assert_int_eq(run_plugin("ADD", "c1", WEB, PREV), 1);
	assert_output(code);
	assert_output(c->text);
	/* Whether it was published nobody knows, so it stays on record for DEL. */
	ck_assert_uint_eq(records(), 1);
	ck_assert_int_eq(run_plugin("CHECK", "c1", WEB, PREV), 1);
	assert_output(code);
	ck_assert_int_eq(run_plugin("STATUS", "c1", "", ""), 1);
	assert_output("\"code\":50,");
	fake_api_stop(api);
}
END_TEST

START_TEST(list_is_not_json)
{
	struct fake_api *api = fake_api_start(socket_path, FAKE_API_NOT_JSON);

	ck_assert_int_eq(run_plugin("CHECK", "c1", WEB, PREV), 1);
	assert_output("\"code\":6,");
	fake_api_stop(api);
}
END_TEST

START_TEST(nobody_there)
{
	ck_assert_int_eq(run_plugin("ADD", "c1", WEB, PREV), 1);
	assert_output("\"code\":11,\"msg\":\"netproxy's API can't be reached\"");
	assert_output("can't connect to unix socket");
}
END_TEST

START_TEST(over_tcp)
{
	unsigned port;
	struct fake_api *api = fake_api_start_tcp(FAKE_API_WORKS, &port);

	snprintf(api_text, sizeof(api_text), "\"http://127.0.0.1:%u\"", port);
	ck_assert_int_eq(run_plugin("ADD", "c1", WEB, PREV), 0);
	ck_assert_str_eq(fake_api_forwards(api), "tcp :8080 ");
	ck_assert_int_eq(run_plugin("DEL", "c1", WEB, ""), 0);
	ck_assert_str_eq(fake_api_forwards(api), "");
	fake_api_stop(api);
	/* Now nobody listens there. */
	ck_assert_int_eq(run_plugin("ADD", "c1", WEB, PREV), 1);
	assert_output("\"code\":11,");
	assert_output("Connection refused");
}
END_TEST

/* A guest without a vsock device, or a host without netproxy: whichever this machine is, the
 * message says what to look at. */
START_TEST(over_vsock_to_nobody)
{
	strcpy(api_text, "\"vsock\"");
	timeout_ms = 500;
	ck_assert_int_eq(run_plugin("ADD", "c1", WEB, PREV), 1);
	assert_output("\"code\":11,");
	assert_output("can't connect to vsock port 6565 of the host");
	assert_output("vsock");
}
END_TEST

/* The first way is nobody's, the second somebody else's, the third works. */
START_TEST(several_ways)
{
	unsigned port;
	struct fake_api *other = fake_api_start_tcp(FAKE_API_NOT_JSON, &port);
	struct fake_api *api = fake_api_start(socket_path, FAKE_API_WORKS);

	snprintf(api_text, sizeof(api_text),
		 "[\"unix:%s/nobody\",\"http://127.0.0.1:%u\",\"unix:%s\"]", dir, port,
		 socket_path);
	ck_assert_int_eq(run_plugin("ADD", "c1", WEB "," DNS, PREV), 0);
	ck_assert_str_eq(fake_api_forwards(api), "tcp :8080 udp 127.0.0.1:53 ");
	ck_assert_str_eq(fake_api_log(other), "GET /services/forwarder/all \n");
	ck_assert_int_eq(run_plugin("CHECK", "c1", WEB, PREV), 0);
	ck_assert_int_eq(run_plugin("STATUS", "c1", "", ""), 0);
	fake_api_stop(api);
	/* Without the third, what was tried is all told. */
	ck_assert_int_eq(run_plugin("DEL", "c1", WEB, ""), 1);
	assert_output("\"code\":");
	assert_output("/nobody: No such file or directory");
	assert_output("is not netproxy (HTTP status 200)");
	assert_output("/api: Connection refused");
	ck_assert_uint_eq(records(), 1);
	fake_api_stop(other);
}
END_TEST

/* One that hangs leaves time for the others. */
START_TEST(a_way_that_hangs)
{
	unsigned port;
	struct fake_api *hangs = fake_api_start_tcp(FAKE_API_SILENT, &port);
	struct fake_api *api = fake_api_start(socket_path, FAKE_API_WORKS);

	timeout_ms = 600;
	snprintf(api_text, sizeof(api_text), "[\"http://127.0.0.1:%u\",\"unix:%s\"]", port,
		 socket_path);
	ck_assert_int_eq(run_plugin("ADD", "c1", WEB, PREV), 0);
	ck_assert_str_eq(fake_api_forwards(api), "tcp :8080 ");
	fake_api_stop(hangs);
	fake_api_stop(api);
}
END_TEST

/* ADD keeps time for taking back: all of it together is what was allowed. */
START_TEST(time_is_for_all)
{
	struct fake_api *api = fake_api_start(socket_path, FAKE_API_SILENT);
	struct timespec before, after;

	timeout_ms = 400;
	clock_gettime(CLOCK_MONOTONIC, &before);
	ck_assert_int_eq(run_plugin("ADD", "c1", WEB "," DNS, PREV), 1);
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_output("\"code\":11,");
	/* Not twice, as if each had it for itself. */
	ck_assert_int_lt((after.tv_sec - before.tv_sec) * 1000 +
				 (after.tv_nsec - before.tv_nsec) / 1000000,
			 700);
	fake_api_stop(api);
}
END_TEST

/* Straight to the container: its address of the host address' family where it has one. */
START_TEST(target_container)
{
	struct fake_api *api = fake_api_start(socket_path, FAKE_API_WORKS);

	ck_assert_int_eq(
		run_plugin("ADD", "c1", WEB "," SSH,
			   "\"target\":\"container\",\"prevResult\":{\"cniVersion\":\"1.0.0\","
			   "\"ips\":[{\"address\":\"10.88.0.2/16\"},{\"address\":\"fd00::2/64\"},"
			   "{\"address\":\"10.89.0.2/16\"}]}"),
		0);
	ck_assert_str_eq(
		fake_api_log(api),
		"POST /services/forwarder/expose {\"local\":\":8080\",\"remote\":\"10.88.0.2:80\","
		"\"protocol\":\"tcp\",\"for\":\"c1:eth0\"}\n"
		"POST /services/forwarder/expose {\"local\":\"[::1]:2222\",\"remote\":\"[fd00::2]:22\","
		"\"protocol\":\"tcp\",\"for\":\"c1:eth0\"}\n");
	/* The fake's list has another remote side than that. */
	ck_assert_int_eq(run_plugin("CHECK", "c1", WEB, "\"target\":\"container\"," PREV), 1);
	assert_output("\"code\":101,");
	ck_assert_int_eq(run_plugin("DEL", "c1", "", "\"target\":\"container\""), 0);
	ck_assert_str_eq(fake_api_forwards(api), "");
	ck_assert_int_eq(run_plugin("ADD", "c1", SSH, "\"target\":\"guest\"," PREV), 0);
	ck_assert_ptr_nonnull(strstr(fake_api_log(api), "\"[::1]:2222\",\"remote\":\":2222\""));
	ck_assert_int_eq(run_plugin("DEL", "c1", "", ""), 0);
	/* There must be an address, once there is a port. */
	ck_assert_int_eq(run_plugin("ADD", "c1", "", "\"target\":\"container\",\"prevResult\":{}"),
			 0);
	ck_assert_int_eq(run_plugin("ADD", "c1", WEB, "\"target\":\"container\",\"prevResult\":{}"),
			 1);
	assert_output("\"code\":7,");
	assert_output("no address of the container");
	fake_api_stop(api);
}
END_TEST

/* What netproxy keeps of an owner is 79 bytes: the interface's name stays whole. */
START_TEST(long_container_id)
{
	struct fake_api *api = fake_api_start(socket_path, FAKE_API_WORKS);
	char id[201], expected[128];

	memset(id, 'a', 200);
	id[200] = '\0';
	ck_assert_int_eq(run_plugin("ADD", id, WEB, PREV), 0);
	snprintf(expected, sizeof(expected), "\"for\":\"%.74s:eth0\"", id);
	ck_assert_ptr_nonnull(strstr(fake_api_log(api), expected));
	fake_api_stop(api);
}
END_TEST

/* The port is withdrawn again when the result can't be handed over: the runtime would not know of
 * it. */
START_TEST(result_not_taken)
{
	struct fake_api *api = fake_api_start(socket_path, FAKE_API_WORKS);
	struct cni_env env = {"ADD", "c1", "/run/netns/x", "eth0"};
	char conf[1024];

	snprintf(conf, sizeof(conf),
		 "{\"cniVersion\":\"1.1.0\",\"name\":\"net\",\"type\":\"netproxy-cni\","
		 "\"api\":%s,\"stateDir\":\"%s\",\"runtimeConfig\":{\"portMappings\":[" WEB
		 "]}," PREV "}",
		 api_text, state_path);
	FILE *full = fopen("/dev/full", "w");
	ck_assert_ptr_nonnull(full);
	ck_assert_int_eq(cni_run(&env, conf, strlen(conf), full), 1);
	fclose(full);
	ck_assert_str_eq(fake_api_forwards(api), "");
	ck_assert_uint_eq(records(), 0);
	fake_api_stop(api);
}
END_TEST

START_TEST(version_and_environment)
{
	ck_assert_int_eq(run_plugin("VERSION", NULL, "", ""), 0);
	ck_assert_str_eq(output, "{\"cniVersion\":\"1.1.0\",\"supportedVersions\":"
				 "[\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]}\n");
	ck_assert_int_eq(run_plugin("ADD", NULL, "", PREV), 1);
	assert_output("\"code\":4,");
	ck_assert_int_eq(run_plugin("ADD", "c1", "7", PREV), 1);
	assert_output("\"code\":7,");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cni_run");
	TCase *tests = unit_case(suite, "commands", setup, teardown);

	tcase_set_timeout(tests, 30);
	tcase_add_test(tests, add_check_del);
	tcase_add_test(tests, chunked_answers);
	tcase_add_test(tests, no_ports);
	tcase_add_test(tests, rolled_back);
	tcase_add_test(tests, conflict_leaves_the_other_alone);
	tcase_add_test(tests, del_of_what_has_gone);
	tcase_add_test(tests, del_retried);
	tcase_add_test(tests, add_after_a_killed_add);
	tcase_add_test(tests, damaged_record);
	tcase_add_test(tests, no_room_for_the_record);
	tcase_add_test(tests, check_finds_it_missing);
	tcase_add_test(tests, gc);
	tcase_add_loop_test(tests, api_fails, 0, sizeof(failings) / sizeof(failings[0]));
	tcase_add_test(tests, list_is_not_json);
	tcase_add_test(tests, nobody_there);
	tcase_add_test(tests, over_tcp);
	tcase_add_test(tests, over_vsock_to_nobody);
	tcase_add_test(tests, several_ways);
	tcase_add_test(tests, a_way_that_hangs);
	tcase_add_test(tests, time_is_for_all);
	tcase_add_test(tests, target_container);
	tcase_add_test(tests, long_container_id);
	tcase_add_test(tests, result_not_taken);
	tcase_add_test(tests, version_and_environment);
	return unit_run(suite);
}
