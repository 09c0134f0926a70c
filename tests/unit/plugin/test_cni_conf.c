/* SPDX-License-Identifier: Apache-2.0 */
/* Environment and configuration: what is taken, and every way to be refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/cni_conf.h"
#include "unit.h"

static const struct env_case {
	struct cni_env env;
	int command; /* or -1: refused */
	const char *text;
} env_cases[] = {
	{{"ADD", "c1", "/run/netns/x", "eth0"}, CNI_ADD, NULL},
	{{"DEL", "c1", NULL, "eth0"}, CNI_DEL, NULL},
	{{"DEL", "c1", "", "eth0"}, CNI_DEL, NULL},
	{{"CHECK", "c1", "/run/netns/x", "eth0"}, CNI_CHECK, NULL},
	{{"GC", NULL, NULL, NULL}, CNI_GC, NULL},
	{{"STATUS", NULL, NULL, NULL}, CNI_STATUS, NULL},
	{{"VERSION", NULL, NULL, NULL}, CNI_VERSION, NULL},
	{{NULL, "c1", "/x", "eth0"}, -1, "CNI_COMMAND is not set"},
	{{"", "c1", "/x", "eth0"}, -1, "CNI_COMMAND is not set"},
	{{"add", "c1", "/x", "eth0"}, -1, "not \"add\""},
	{{"ADD", NULL, "/x", "eth0"}, -1, "ADD needs CNI_CONTAINERID"},
	{{"ADD", "c1", NULL, "eth0"}, -1, "ADD needs CNI_NETNS"},
	{{"ADD", "c1", "", "eth0"}, -1, "ADD needs CNI_NETNS"},
	{{"CHECK", "c1", NULL, "eth0"}, -1, "CHECK needs CNI_NETNS"},
	{{"DEL", "c1", NULL, NULL}, -1, "DEL needs CNI_IFNAME"},
	{{"DEL", "../../etc/passwd", NULL, "eth0"}, -1, "CNI_CONTAINERID must be"},
	{{"DEL", ".hidden", NULL, "eth0"}, -1, "CNI_CONTAINERID must be"},
	{{"DEL", "a:b", NULL, "eth0"}, -1, "CNI_CONTAINERID must be"},
	{{"DEL", "c1", NULL, "a/b"}, -1, "CNI_IFNAME must be"},
	{{"DEL", "c1", NULL, ".."}, -1, "CNI_IFNAME must be"},
	{{"DEL", "c1", NULL, "eth:0"}, -1, "CNI_IFNAME must be"},
	{{"DEL", "c1", NULL, "eth 0"}, -1, "CNI_IFNAME must be"},
	{{"DEL", "c1", NULL, "abcdefghijklmnop"}, -1, "CNI_IFNAME must be"},
};

START_TEST(environment)
{
	const struct env_case *c = &env_cases[_i];
	enum cni_command command = CNI_VERSION;
	struct cni_error error = {0};
	int r = cni_env_check(&c->env, &command, &error);

	if (c->command >= 0) {
		ck_assert_msg(r == 0, "%s", error.msg);
		ck_assert_int_eq((int)command, c->command);
		return;
	}
	ck_assert_int_lt(r, 0);
	ck_assert_int_eq(error.code, CNI_ERROR_ENVIRONMENT);
	ck_assert_msg(strstr(error.msg, c->text) != NULL, "%s", error.msg);
}
END_TEST

#define HEAD(VERSION) "{\"cniVersion\":\"" VERSION "\",\"name\":\"net\",\"type\":\"netproxy-cni\""
#define PREV          ",\"prevResult\":{}"
#define PORTS(LIST)   ",\"runtimeConfig\":{\"portMappings\":[" LIST "]}}"
#define V11           HEAD("1.1.0")

static const struct bad_case {
	enum cni_command command;
	const char *conf;
	int code;
	const char *text;
} bad_cases[] = {
	{CNI_ADD, "", CNI_ERROR_DECODE, "not JSON"},
	{CNI_ADD, "{", CNI_ERROR_DECODE, "not JSON"},
	{CNI_ADD, "{} x", CNI_ERROR_DECODE, "not JSON"},
	{CNI_VERSION, "nonsense", CNI_ERROR_DECODE, "not JSON"},
	{CNI_ADD, "[]", CNI_ERROR_DECODE, "network configuration"},
	{CNI_ADD, "{\"cniVersion\":1}", CNI_ERROR_DECODE, "cniVersion"},
	{CNI_ADD, "{\"name\":\"n\"}", CNI_ERROR_VERSION, "has no cniVersion"},
	{CNI_ADD, HEAD("0.2.0") PREV "}", CNI_ERROR_VERSION, "\"0.2.0\" is not supported"},
	{CNI_ADD, HEAD("1.1.00") PREV "}", CNI_ERROR_VERSION, "is not supported"},
	{CNI_CHECK, HEAD("0.3.1") PREV "}", CNI_ERROR_VERSION,
	 "CHECK exists from cniVersion 0.4.0"},
	{CNI_GC, HEAD("1.0.0") "}", CNI_ERROR_VERSION, "GC exists from cniVersion 1.1.0"},
	{CNI_STATUS, HEAD("1.0.0") "}", CNI_ERROR_VERSION, "STATUS exists from"},
	{CNI_ADD, V11 "}", CNI_ERROR_CONFIG, "no prevResult"},
	{CNI_CHECK, V11 "}", CNI_ERROR_CONFIG, "no prevResult"},
	{CNI_ADD, V11 ",\"prevResult\":[]}", CNI_ERROR_CONFIG, "prevResult"},
	{CNI_DEL, "{\"cniVersion\":\"1.1.0\",\"type\":\"x\"}", CNI_ERROR_CONFIG, "name"},
	{CNI_DEL, "{\"cniVersion\":\"1.1.0\",\"name\":\"x\"}", CNI_ERROR_CONFIG, "type"},
	{CNI_DEL, "{\"cniVersion\":\"1.1.0\",\"type\":\"x\",\"name\":\"../x\"}", CNI_ERROR_CONFIG,
	 "the network's name must be"},
	{CNI_DEL, V11 ",\"stateDir\":\"run\"}", CNI_ERROR_CONFIG, "absolute path"},
	{CNI_DEL, V11 ",\"api\":7}", CNI_ERROR_CONFIG, "api"},
	{CNI_DEL, V11 ",\"api\":\"vsok\"}", CNI_ERROR_CONFIG, "not \"vsok\""},
	{CNI_DEL, V11 ",\"api\":\"unix:relative\"}", CNI_ERROR_CONFIG, "must be \"vsock\""},
	{CNI_DEL, V11 ",\"api\":\"http://\"}", CNI_ERROR_CONFIG, "must be \"vsock\""},
	{CNI_DEL, V11 ",\"api\":\"http://gateway:80\"}", CNI_ERROR_CONFIG, "must be \"vsock\""},
	{CNI_DEL, V11 ",\"api\":\"http://1.2.3.4/x\"}", CNI_ERROR_CONFIG, "must be \"vsock\""},
	{CNI_DEL, V11 ",\"api\":\"http://:80\"}", CNI_ERROR_CONFIG, "must be \"vsock\""},
	{CNI_DEL,
	 V11
	 ",\"api\":\"unix:/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
	 CNI_ERROR_CONFIG, "at most 107 bytes"},
	{CNI_DEL, V11 ",\"api\":[]}", CNI_ERROR_CONFIG, "empty list"},
	{CNI_DEL, V11 ",\"api\":[\"vsock\",7]}", CNI_ERROR_CONFIG, "or a list of these, not \"7\""},
	{CNI_DEL, V11 ",\"api\":[\"vsock\",\"door\"]}", CNI_ERROR_CONFIG, "not \"door\""},
	{CNI_DEL, V11 ",\"api\":[\"vsock\",\"vsock\",\"vsock\",\"vsock\",\"gateway\"]}",
	 CNI_ERROR_CONFIG, "at most 4 ways"},
	{CNI_DEL, V11 ",\"target\":\"vm\"}", CNI_ERROR_FIELD, "not \"vm\""},
	{CNI_DEL, V11 ",\"target\":7}", CNI_ERROR_CONFIG, "target"},
	{CNI_ADD, V11 ",\"target\":\"container\",\"prevResult\":{\"ips\":[{\"address\":\"x/8\"}]}}",
	 CNI_ERROR_DECODE, "no address: \"x/8\""},
	{CNI_ADD, V11 ",\"target\":\"container\",\"prevResult\":{\"ips\":[{}]}}", CNI_ERROR_DECODE,
	 "address"},
	{CNI_DEL, V11 ",\"vsockPort\":0}", CNI_ERROR_CONFIG, "vsockPort"},
	{CNI_DEL, V11 ",\"vsockPort\":4294967295}", CNI_ERROR_CONFIG, "vsockPort"},
	{CNI_DEL, V11 ",\"timeoutMs\":0}", CNI_ERROR_CONFIG, "timeoutMs"},
	{CNI_DEL, V11 ",\"timeoutMs\":\"1\"}", CNI_ERROR_CONFIG, "timeoutMs"},
	{CNI_DEL, V11 ",\"runtimeConfig\":[]}", CNI_ERROR_CONFIG, "runtimeConfig"},
	{CNI_DEL, V11 ",\"runtimeConfig\":{\"portMappings\":{}}}", CNI_ERROR_CONFIG,
	 "portMappings"},
	{CNI_DEL, V11 PORTS("1"), CNI_ERROR_CONFIG, "portMappings[0]"},
	{CNI_DEL, V11 PORTS("{\"containerPort\":80}"), CNI_ERROR_CONFIG, "hostPort"},
	{CNI_DEL, V11 PORTS("{\"hostPort\":80}"), CNI_ERROR_CONFIG, "containerPort"},
	{CNI_DEL, V11 PORTS("{\"hostPort\":0,\"containerPort\":80}"), CNI_ERROR_CONFIG, "hostPort"},
	{CNI_DEL, V11 PORTS("{\"hostPort\":65536,\"containerPort\":80}"), CNI_ERROR_CONFIG,
	 "hostPort"},
	{CNI_DEL, V11 PORTS("{\"hostPort\":80,\"containerPort\":80,\"protocol\":\"sctp\"}"),
	 CNI_ERROR_FIELD, "not \"sctp\""},
	{CNI_DEL, V11 PORTS("{\"hostPort\":80,\"containerPort\":80,\"hostIP\":\"localhost\"}"),
	 CNI_ERROR_CONFIG, "not \"localhost\""},
	{CNI_DEL,
	 V11 PORTS("{\"hostPort\":80,\"containerPort\":80},{\"hostPort\":81,\"containerPort\":-1}"),
	 CNI_ERROR_CONFIG, "portMappings[1]"},
	{CNI_GC, V11 "}", CNI_ERROR_CONFIG, "valid-attachments"},
	{CNI_GC, V11 ",\"cni.dev/valid-attachments\":{}}", CNI_ERROR_CONFIG, "valid-attachments"},
	{CNI_GC, V11 ",\"cni.dev/valid-attachments\":[{\"ifname\":\"eth0\"}]}", CNI_ERROR_CONFIG,
	 "containerID"},
};

START_TEST(refused)
{
	const struct bad_case *c = &bad_cases[_i];
	struct cni_conf conf = {.timeout_ms = 4711};
	struct cni_error error = {0};

	ck_assert_int_lt(cni_conf_decode(c->conf, strlen(c->conf), c->command, &conf, &error), 0);
	ck_assert_msg((int)error.code == c->code, "code %d: %s", error.code, error.msg);
	ck_assert_msg(strstr(error.msg, c->text) != NULL, "%s", error.msg);
	ck_assert_uint_eq(conf.timeout_ms, 4711);
}
END_TEST

START_TEST(everything)
{
	static const char text[] = HEAD("1.0.0") PREV
		",\"vsockPort\":7,\"timeoutMs\":123,\"stateDir\":\"/s\",\"unknown\":[]" PORTS(
			"{\"hostPort\":8080,\"containerPort\":80},"
			"{\"hostPort\":53,\"containerPort\":54,\"protocol\":\"UDP\",\"hostIP\":\"::1\"},"
			"{\"hostPort\":1,\"containerPort\":2,\"protocol\":\"\",\"hostIP\":\"\"}");
	struct cni_error error = {0};
	struct cni_conf conf;
	char ip[ADDR_TEXT_MAX];
	int r = cni_conf_decode(text, strlen(text), CNI_ADD, &conf, &error);

	ck_assert_msg(r == 0, "%s", error.msg);
	ck_assert_int_eq(conf.version, CNI_1_0_0);
	ck_assert_str_eq(conf.name, "net");
	ck_assert_str_eq(conf.state_dir, "/s");
	ck_assert_uint_eq(conf.reach->count, 2);
	ck_assert(conf.reach->ways[1].is_gateway);
	ck_assert_int_eq(conf.reach->ways[0].target.transport, API_VSOCK);
	ck_assert_uint_eq(conf.reach->ways[0].target.vsock_port, 7);
	ck_assert_uint_eq(conf.timeout_ms, 123);
	ck_assert_uint_eq(conf.port_count, 3);
	ck_assert_uint_eq(conf.ports[0].host_port, 8080);
	ck_assert_uint_eq(conf.ports[0].container_port, 80);
	ck_assert(!conf.ports[0].udp);
	ck_assert_int_eq(conf.ports[0].host_ip.family, AF_UNSPEC);
	ck_assert(conf.ports[1].udp);
	ck_assert_str_eq(addr_format(&conf.ports[1].host_ip, ip), "::1");
	ck_assert(!conf.ports[2].udp);
	ck_assert_int_eq(conf.ports[2].host_ip.family, AF_UNSPEC);
	cni_conf_clear(&conf);
}
END_TEST

/* What DEL, STATUS and VERSION do without; defaults. */
START_TEST(minimal)
{
	struct cni_error error = {0};
	struct cni_conf conf;

	ck_assert_int_eq(cni_conf_decode(V11 "}", strlen(V11 "}"), CNI_DEL, &conf, &error), 0);
	ck_assert_uint_eq(conf.port_count, 0);
	ck_assert_uint_eq(conf.reach->ways[0].target.vsock_port, CNI_VSOCK_PORT_DEFAULT);
	ck_assert_uint_eq(conf.timeout_ms, CNI_TIMEOUT_MS_DEFAULT);
	ck_assert_str_eq(conf.state_dir, CNI_STATE_DIR_DEFAULT);
	cni_conf_clear(&conf);
	ck_assert_int_eq(cni_conf_decode(V11 "}", strlen(V11 "}"), CNI_STATUS, &conf, &error), 0);
	cni_conf_clear(&conf);
	ck_assert_int_eq(cni_conf_decode("", 0, CNI_VERSION, &conf, &error), 0);
	ck_assert_int_eq(conf.version, CNI_1_1_0);
	cni_conf_clear(&conf);
	ck_assert_int_eq(
		cni_conf_decode("{\"cniVersion\":\"9.9.9\"}", 22, CNI_VERSION, &conf, &error), 0);
	ck_assert_int_eq(conf.version, CNI_1_1_0);
	cni_conf_clear(&conf);
}
END_TEST

/* The limits of what is taken: the most, and one more. */
START_TEST(limits)
{
	static const char mapping[] = "{\"hostPort\":1,\"containerPort\":1},";
	size_t size = (CNI_PORTS_MAX + 1) * strlen(mapping) + 256;
	char *text = malloc(CNI_CONF_SIZE_MAX + 1);
	struct cni_error error = {0};
	struct cni_conf conf;

	ck_assert_uint_lt(size, CNI_CONF_SIZE_MAX);
	for (unsigned extra = 0; extra < 2; extra++) {
		char *end = stpcpy(text, V11 ",\"runtimeConfig\":{\"portMappings\":[");

		for (unsigned i = 0; i < CNI_PORTS_MAX + extra; i++)
			end = stpcpy(end, mapping);
		strcpy(end - 1, "]}}");
		int r = cni_conf_decode(text, strlen(text), CNI_DEL, &conf, &error);
		ck_assert_msg((r == 0) == (extra == 0), "%s", error.msg);
		if (r == 0)
			cni_conf_clear(&conf);
	}
	ck_assert_ptr_nonnull(strstr(error.msg, "at most 4096"));
	memset(text, ' ', CNI_CONF_SIZE_MAX + 1);
	ck_assert_int_lt(cni_conf_decode(text, CNI_CONF_SIZE_MAX + 1, CNI_DEL, &conf, &error), 0);
	ck_assert_ptr_nonnull(strstr(error.msg, "larger than"));
	free(text);
}
END_TEST

static const struct target_case {
	const char *text;
	const char *described;
} target_cases[] = {
	{"vsock", "vsock port 6565 of the host"},
	{"unix:/run/x.sock", "unix socket /run/x.sock"},
	{"http://192.168.65.1", "http://192.168.65.1:80"},
	{"http://192.168.65.1/", "http://192.168.65.1:80"},
	{"http://192.168.65.1:8080", "http://192.168.65.1:8080"},
	{"http://[fd00::1]:8080", "http://[fd00::1]:8080"},
	{"http://[fd00::1]", "http://[fd00::1]:80"},
};

START_TEST(targets)
{
	struct api_target target;
	char text[128];

	ck_assert_int_eq(api_target_parse(target_cases[_i].text, 6565, &target), 0);
	ck_assert_str_eq(api_target_describe(&target, text, sizeof(text)),
			 target_cases[_i].described);
}
END_TEST

#define COUNT(ARRAY) (int)(sizeof(ARRAY) / sizeof((ARRAY)[0]))

int main(void)
{
	Suite *suite = suite_create("cni_conf");
	TCase *tests = unit_case(suite, "decode", NULL, NULL);

	tcase_add_loop_test(tests, environment, 0, COUNT(env_cases));
	tcase_add_loop_test(tests, refused, 0, COUNT(bad_cases));
	tcase_add_loop_test(tests, targets, 0, COUNT(target_cases));
	tcase_add_test(tests, everything);
	tcase_add_test(tests, minimal);
	tcase_add_test(tests, limits);
	return unit_run(suite);
}
