/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's options: their text forms, the command line, and the configuration file. */
#include "netproxy/options_private.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LONG_107 \
	"/a234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456"
#define ARGS_MAX 16

static char error[OPTIONS_ERROR_MAX];

/* ---- Text forms ---- */

static const struct {
	const char *text;
	bool good;
} links[] =
	{
		{"qemu:/tmp/net.sock", true},
		{"qemu:relative", true},
		{"qemu:" LONG_107, true},
		{"qemu:" LONG_107 "x", false},
		{"qemu:", false},
		{"qemu", false},
		{"", false},
		{"/tmp/net.sock", false},
		{"qemu:tcp:127.0.0.1:1234", true},
		{"qemu:tcp:[::1]:1234", true},
		{"qemu:tcp:127.0.0.1", false},
		{"qemu:tcp:127.0.0.1:0", false},
		{"qemu:tcp:127.0.0.1:65536", false},
		{"qemu:tcp:example.org:80", false},
		{"qemu:connect:/tmp/net.sock", true},
		{"qemu:connect:", false},
		{"qemu:connect:tcp:127.0.0.1:1", true},
		{"qemu:connect:tcp:127.0.0.1", false},
		{"dgram:/a", true},
		{"dgram:/a,remote=/b", true},
		{"dgram:/a,remote=", false},
		{"dgram:/a,remote=" LONG_107 "x", false},
		{"dgram:/a,local=/b", false},
		{"dgram:", false},
		{"vfkit:/a", true},
		{"vfkit:", false},
		{"bess:/a", true},
		{"vpnkit:/a", true},
		{"vpnkit:" LONG_107 "x", false},
		{"stdio", true},
		{"stdio:", false},
		{"fd:3", true},
		{"fd:3,framing=le16", true},
		{"fd:3,framing=tap", true},
		{"fd:3,framing=udp", false},
		{"fd:3,framing=le16,framing=le16", false},
		{"fd:", false},
		{"fd:-1", false},
		{"fd:x", false},
		{"vhost:/tmp/vhost.sock", true},
		{"vhost:", false},
		{"tap:np0", true},
		{"tap:np0,netns=1234", true},
		{"tap:np0,netns=/run/netns/guest", true},
		{"tap:a23456789012345", true},
		{"tap:a234567890123456", false},
		{"tap:", false},
		{"tap:np0,", false},
		{"tap:np0,netns=", false},
		{"tap:np0,netns", false},
		{"tap:np0,foo=1", false},
		{"tap:np0,netns=1,netns=2", false},
		{"tap:,netns=1", false},
},
  vsocks[] =
	  {
		  {"/tmp/v.sock", true},
		  {"/tmp/v.sock,cid=3", true},
		  {"/tmp/v.sock,cid=4294967294", true},
		  {"/tmp/v.sock,guest=192.168.65.3,cid=5", true},
		  {"/tmp/v.sock,cid=2", false},
		  {"/tmp/v.sock,cid=4294967295", false},
		  {"/tmp/v.sock,cid=18446744073709551619", false},
		  {"/tmp/v.sock,cid=-18446744073709551611", false},
		  {"/tmp/v.sock,cid= 5", false},
		  {"/tmp/v.sock,cid=+5", false},
		  {"/tmp/v.sock,cid=5x", false},
		  {"/tmp/v.sock,cid=", false},
		  {"/tmp/v.sock,cid=5,cid=6", false},
		  {"/tmp/v.sock,guest=nobody", false},
		  {"/tmp/v.sock,", false},
		  {",cid=5", false},
		  {"", false},
},
  apis[] =
	  {
		  {"unix:/tmp/api.sock", true},  {"tcp:127.0.0.1:8080", true},
		  {"tcp:[::1]:8080", true},      {"unix:", false},
		  {"unix:" LONG_107 "x", false}, {"tcp:127.0.0.1", false},
		  {"tcp:127.0.0.1:http", false}, {"http:127.0.0.1:80", false},
		  {"/tmp/api.sock", false},      {"", false},
},
  publishes[] = {
	  {"8080:80", true},
	  {"0:80", true},
	  {"8080:80/tcp", true},
	  {"8080:80/udp", true},
	  {"127.0.0.1:8080:80", true},
	  {"[::1]:8080:80", true},
	  {"8080-8089:80-89/tcp+udp", true},
	  {"8080-8089:80", true},
	  {"8080:web:80", true},
	  {"8080:[fd65::2]:80,source=gateway,proxy=v2,name=web", true},
	  {"8080:10.88.0.5:80/tcp+udp,via=192.168.65.2", true},
	  {"8080:[fd99::5]:80,via=[fd65::2],name=web", true},
	  {"8080:10.88.0.5:80,via=box", true},
	  {"8080:10.88.0.5:80,via=", false},
	  {"8080:10.88.0.5:80,via=1.2.3", false},
	  {"/run/web.sock:80", true},
	  {"/run/web.sock:web-1.a:80,source=client", true},
	  {"8080-8089:80-88", false},
	  {"8089-8080:80", false},
	  {"0-5:80", false},
	  {"8080-:80", false},
	  {"8080:we b:80", false},
	  {"8080:80,", false},
	  {"8080:80,proxy=v1", false},
	  {"8080:80,name=", false},
	  {"/run/web.sock", false},
	  {"/run/web.sock:80-89", false},
	  {"/run/web.sock:80/udp", false},
	  {"/" LONG_107 ":80", false},
	  {"8080:192.168.65.3:80", true},
	  {"127.0.0.1:8080:192.168.65.3:80/udp", true},
	  {"80", false},
	  {"8080:0", false},
	  {"65536:80", false},
	  {"8080:65536", false},
	  {"8080:80/sctp", false},
	  {"8080:80/", false},
	  {"8080:", false},
	  {":80", false},
	  {"-1:80", false},
	  {"8080: 80", false},
	  {"::1:8080:80", false},
	  {"[::1:8080:80", false},
	  {"localhost:8080:80", false},
	  {"1.2.3.4:1:1.2.3.4:2:3", false},
	  {"127.0.0.1:8080", false},
	  {"8080:80:90", false},
	  {"", false},
};

#define COUNT(ARRAY) (int)(sizeof(ARRAY) / sizeof((ARRAY)[0]))

/* A refusal says what was written, and leaves the result alone. */
static void check(const char *text, bool good, int r)
{
	ck_assert_msg((r == 0) == good, "\"%s\" gave %d: %s", text, r, error);
	if (!good) {
		ck_assert_msg(strstr(error, "expected"), "%s", error);
		ck_assert_msg(strlen(text) > 50 || strstr(error, text), "%s", error);
	}
}

START_TEST(link_forms)
{
	static struct link_option link;

	check(links[_i].text, links[_i].good, options_parse_link(links[_i].text, &link, error));
}
END_TEST

START_TEST(vsock_forms)
{
	struct vsock_option vsock;

	check(vsocks[_i].text, vsocks[_i].good,
	      options_parse_vsock(vsocks[_i].text, &vsock, error));
}
END_TEST

START_TEST(api_forms)
{
	struct api_option api;

	check(apis[_i].text, apis[_i].good, options_parse_api(apis[_i].text, &api, error));
}
END_TEST

START_TEST(publish_forms)
{
	struct publish_option publish;

	check(publishes[_i].text, publishes[_i].good,
	      options_parse_publish(publishes[_i].text, &publish, error));
}
END_TEST

START_TEST(publish_in_full)
{
	struct publish_option publish;
	char text[ENDPOINT_TEXT_MAX];

	ck_assert_int_eq(options_parse_publish("[::1]:53:192.168.65.3:54/udp", &publish, error), 0);
	ck_assert_str_eq(endpoint_format(&publish.spec.local, text), "[::1]:53");
	ck_assert_str_eq(endpoint_format(&publish.spec.remote, text), "192.168.65.3:54");
	ck_assert_int_eq(publish.spec.protocol, PUBLISH_UDP);
	ck_assert_int_eq(options_parse_publish("53:54", &publish, error), 0);
	ck_assert_int_eq(publish.spec.local.addr.family, AF_UNSPEC);
	ck_assert_int_eq(publish.spec.remote.addr.family, AF_UNSPEC);
	ck_assert_int_eq(publish.spec.protocol, PUBLISH_TCP);
	ck_assert(!publish.spec.proxy_v2 && !publish.tcp_and_udp);
	ck_assert_uint_eq(publish.ports, 1);
	ck_assert_int_eq(options_parse_publish("127.0.0.1:8000-8009:web:80-89/tcp+udp,proxy=v2,"
					       "source=gateway,name=my web",
					       &publish, error),
			 0);
	ck_assert_uint_eq(publish.ports, 10);
	ck_assert_uint_eq(publish.spec.local.port, 8000);
	ck_assert_uint_eq(publish.spec.remote.port, 80);
	ck_assert_str_eq(publish.spec.guest, "web");
	ck_assert_str_eq(publish.spec.name, "my web");
	ck_assert(publish.tcp_and_udp && publish.spec.proxy_v2);
	ck_assert_int_eq(publish.spec.source, PUBLISH_SOURCE_GATEWAY);
	ck_assert_int_eq(publish.spec.owner.kind, PUBLISH_OWNER_CONFIG);
	ck_assert_int_eq(options_parse_publish("/run/web.sock:[fd65::2]:80", &publish, error), 0);
	ck_assert_int_eq(publish.spec.protocol, PUBLISH_UNIX);
	ck_assert_str_eq(publish.spec.local_text, "/run/web.sock");
	ck_assert_str_eq(endpoint_format(&publish.spec.remote, text), "[fd65::2]:80");
}
END_TEST

static const struct {
	const char *text;
	bool good;
} guest_publishes[] = {
	{"any", true},
	{"none", true},
	{"127.0.0.1", true},
	{"10.0.0.0/8", true},
	{"any:80", true},
	{"any:1024-65535", true},
	{"[::1]:80", true},
	{"[fd00::/8]", true},
	{"10.0.0.0/8:1-1", true},
	{"127.0.0.1:0", false},
	{"127.0.0.1:80-79", false},
	{"some", false},
	{":80", false},
	{"10.0.0.1/8", false},
	{"", false},
	{"127.0.0.1:80:90", false},
	{"::1", false},
};

START_TEST(guest_publish_forms)
{
	struct options options = {0};

	check(guest_publishes[_i].text, guest_publishes[_i].good,
	      options_apply_guest_publish(&options, guest_publishes[_i].text, error));
	ck_assert(options.guest_publish_given);
	free(options.guest_publish);
}
END_TEST

/* ---- The command line ---- */

/* Parses words separated by spaces. */
static enum options_result parse(const char *line, struct options *options)
{
	static char words[1024];
	char *argv[ARGS_MAX + 1] = {(char[]){"netproxy"}};
	int argc = 1;

	snprintf(words, sizeof(words), "%s", line);
	for (char *word = strtok(words, " "); word && argc < ARGS_MAX; word = strtok(NULL, " "))
		argv[argc++] = word;
	error[0] = '\0';
	return options_parse(argc, argv, options, error);
}

static const struct {
	const char *line;
	const char *error; /* part of it; NULL: good */
} lines[] = {
	{"", NULL},
	{"--link qemu:/a --link qemu:/b", NULL},
	{"-link qemu:/a -mtu=9000", NULL},
	{"--mtu 576", NULL},
	{"--mtu 575", "--mtu"},
	{"--mtu 65521", "from 576 to 65520"},
	{"--mtu 1500x", "--mtu"},
	{"--mtu -1", "--mtu"},
	{"--subnet 10.0.0.0/8", NULL},
	{"--subnet 10.0.0.0/30", "--subnet"},
	{"--subnet 10.0.0.1/24", "--subnet"},
	{"--subnet fd00::/64", "--subnet"},
	{"--ipv6-addresses both", NULL},
	{"--mtu 1279", NULL},
	{"--mtu 1279 --prefix6 none", NULL},
	{"--mtu 1279 --prefix6 fd00::/64", "IPv6 needs 1280"},
	{"--ipv6-addresses slaac", NULL},
	{"--ipv6-addresses dhcp", NULL},
	{"--ipv6-addresses none", NULL},
	{"--ipv6-addresses stateful", "both, slaac, dhcp or none"},
	{"--gateway 192.168.65.77", NULL},
	{"--gateway 192.168.66.1", "--gateway"},
	{"--gateway 192.168.65.0", "--gateway"},
	{"--gateway 192.168.65.255", "--gateway"},
	{"--gateway 192.168.65.254", "expected two"},
	{"--host-alias 192.168.65.1", "expected two"},
	{"--host-alias ::1", "--host-alias"},
	{"--publish 80:10.1.1.1:80", "--publish"},
	{"--publish 80:10.1.1.1:80,via=192.168.65.2", NULL},
	{"--publish 80:10.1.1.1:80,via=10.1.1.2", "an address of a guest"},
	{"--publish 80:80,via=192.168.65.2", "behind a guest"},
	{"--dns 10.0.0.2 --dns 10.0.0.2:5353 --dns [::1]:53 --dns ::1", NULL},
	{"--dns example.org", "--dns"},
	{"--dns :53", "--dns"},
	{"--lease-time 59", "--lease-time"},
	{"--max-connections 0", "--max-connections"},
	{"--max-udp-flows 99999999999999999999999", "--max-udp-flows"},
	{"--log-level loud", "--log-level"},
	{"--deny 10.0.0.0/8 --allow tcp:any:443 --egress deny", NULL},
	{"--deny 10.0.0.1/8", "--deny"},
	{"--allow icmp:any:1", "no port"},
	{"--egress maybe", "allow or deny"},
	{"--rule any", "allow or deny"},
	{"--link qemu:/a --deny any,from=qemu:/a", NULL},
	{"--deny any,from=tap:t,netns=/x --link tap:t,netns=/x", NULL},
	{"--deny any,from=qemu:tcp:127.0.0.1:1 --link qemu:tcp:127.0.0.1:1", NULL},
	{"--link qemu:/a --deny any,from=qemu:/b", "a --link of this netproxy"},
	{"--link fd:7,framing=dgram --deny any,from=fd:7", NULL},
	{"--link dgram:/a,remote=/b --deny any,from=dgram:/a", NULL},
	{"--link qemu:connect:/a --deny any,from=qemu:connect:/a", NULL},
	{"--link stdio --deny any,from=stdio", NULL},
	{"--link stdio --link stdio", "one link only"},
	{"--no-guard --isolate", NULL},
	{"--no-such-flag", "--no-such-flag is not an option: see"},
	{"--publsh 80:80", "did you mean --publish [HOSTIP:]HOSTPORT"},
	{"-p 80:80", "did you mean --publish"},
	{"--isolate=yes", "--isolate takes no value"},
	{"--mtu", "--mtu needs a value: BYTES"},
	{"extra", "extra"},
	{"--config /nonexistent/file", "No such file"},
};

START_TEST(command_lines)
{
	struct options options;
	enum options_result result = parse(lines[_i].line, &options);

	ck_assert_msg(result == (lines[_i].error ? OPTIONS_BAD : OPTIONS_RUN), "%s: %s",
		      lines[_i].line, error);
	if (lines[_i].error)
		ck_assert_msg(strstr(error, lines[_i].error), "%s", error);
	options_free(&options);
}
END_TEST

START_TEST(defaults)
{
	struct options options;
	char text[ADDR_TEXT_MAX];

	ck_assert_int_eq(parse("--publish 80:80", &options), OPTIONS_RUN);
	ck_assert_str_eq(addr_format(&options.gateway, text), "192.168.65.1");
	ck_assert_str_eq(addr_format(&options.host_alias, text), "192.168.65.254");
	ck_assert_str_eq(addr_format(&options.publish[0].spec.remote.addr, text), "192.168.65.2");
	ck_assert_uint_eq(options.mtu, 1500);
	ck_assert(options.host_access);
	options_free(&options);
}
END_TEST

START_TEST(first_guest_is_neither_gateway_nor_alias)
{
	struct options options;
	char text[ADDR_TEXT_MAX];

	ck_assert_int_eq(parse("--publish 80:80 --host-alias 192.168.65.2", &options), OPTIONS_RUN);
	ck_assert_str_eq(addr_format(&options.publish[0].spec.remote.addr, text), "192.168.65.3");
	options_free(&options);
	ck_assert_int_eq(parse("--publish 80:80 --gateway 192.168.65.9", &options), OPTIONS_RUN);
	ck_assert_str_eq(addr_format(&options.publish[0].spec.remote.addr, text), "192.168.65.1");
	options_free(&options);
}
END_TEST

/* ---- The configuration file ---- */

static enum options_result parse_config(const char *json, const char *flags,
					struct options *options)
{
	char path[] = "/tmp/test_options.XXXXXX";
	char line[256];
	int fd = mkstemp(path);
	enum options_result result;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, json, strlen(json)), (ssize_t)strlen(json));
	close(fd);
	snprintf(line, sizeof(line), "%s --config %s", flags, path);
	result = parse(line, options);
	unlink(path);
	return result;
}

static const struct {
	const char *json;
	const char *error;
} configs[] = {
	{"{}", NULL},
	{"{\"link\": [\"qemu:/a\", \"tap:b\"], \"mtu\": 9000, \"no-host-access\": true}", NULL},
	{"{\"mtu\": \"9000\"}", NULL},
	{"{\"no-host-access\": false}", NULL},
	{"{\"mtu\": true}", "\"mtu\""},
	{"{\"mtu\": 1.5}", "\"mtu\""},
	{"{\"mtu\": null}", "\"mtu\""},
	{"{\"mtu\": 1}", "from 576"},
	{"{\"no-host-access\": \"yes\"}", "true or false"},
	{"{\"link\": {}}", "\"link\""},
	{"{\"link\": [[\"qemu:/a\"]]}", "\"link\""},
	{"{\"link\": \"qemu:/a\\u0000b\"}", "NUL"},
	{"{\"help\": true}", "\"help\" is for the command line only"},
	{"{\"config\": \"/x\"}", "\"config\" is for the command line only"},
	{"{\"links\": []}", "no key \"links\": did you mean \"link\"?"},
	{"{\"zzz\": []}", "no key \"zzz\": the keys are the options"},
	{"[]", "expected an object"},
	{"", "the file is empty"},
	{"{\"mtu\": 1500", "line 1"},
};

START_TEST(config_files)
{
	struct options options;
	enum options_result result = parse_config(configs[_i].json, "", &options);

	ck_assert_msg(result == (configs[_i].error ? OPTIONS_BAD : OPTIONS_RUN), "%s: %s",
		      configs[_i].json, error);
	if (configs[_i].error)
		ck_assert_msg(strstr(error, configs[_i].error), "%s", error);
	options_free(&options);
}
END_TEST

START_TEST(command_line_wins_and_lists_add_up)
{
	struct options options;

	ck_assert_int_eq(parse_config("{\"mtu\": 9000, \"link\": \"qemu:/a\"}",
				      "--mtu 1400 --link qemu:/b", &options),
			 OPTIONS_RUN);
	ck_assert_uint_eq(options.mtu, 1400);
	ck_assert_uint_eq(options.link_count, 2);
	options_free(&options);
}
END_TEST

/* The first rule that matches counts: the command line's come before the file's, each in the order
 * given. */
START_TEST(rules_keep_their_order)
{
	static const char *const expected[] = {"allow 1.1.1.1", "deny 2.2.2.2", "allow 3.3.3.3",
					       "deny tcp:any:25", "allow 5.5.5.5"};
	char text[POLICY_TEXT_MAX];
	struct options options;

	ck_assert_int_eq(parse_config("{\"rule\": [\"allow 3.3.3.3\", \"deny tcp:any:25\"], "
				      "\"allow\": [\"5.5.5.5\"], \"egress\": \"deny\"}",
				      "--allow 1.1.1.1 --deny 2.2.2.2", &options),
			 OPTIONS_RUN);
	ck_assert_uint_eq(options.rule_count, COUNT(expected));
	for (unsigned i = 0; i < COUNT(expected); i++)
		ck_assert_str_eq(policy_rule_format(&options.rules[i], text), expected[i]);
	ck_assert(options.egress_deny);
	ck_assert(options.guard && !options.isolate);
	options_free(&options);
}
END_TEST

START_TEST(proxies)
{
	struct options options;

	ck_assert_int_eq(parse_config("{\"http-proxy\": \"http://a:b@10.0.0.1:3128\", "
				      "\"no-proxy\": [\"10.0.0.0/8\", \".corp\"]}",
				      "--no-proxy x.test,y.test:443", &options),
			 OPTIONS_RUN);
	ck_assert_uint_eq(options.proxy.http.port, 3128);
	ck_assert_uint_eq(options.proxy.https.port, 3128);
	ck_assert_str_eq(options.proxy.http.auth, "YTpi");
	ck_assert_uint_eq(options.proxy.exception_count, 4);
	options_free(&options);

	ck_assert_int_eq(parse_config("{\"https-proxy\": \"10.0.0.2:1\"}",
				      "--http-proxy 10.0.0.1:2", &options),
			 OPTIONS_RUN);
	ck_assert_uint_eq(options.proxy.http.port, 2);
	ck_assert_uint_eq(options.proxy.https.port, 1);
	options_free(&options);

	ck_assert_int_eq(
		parse_config("{\"http-proxy\": \"10.0.0.1:2\"}", "--https-proxy none", &options),
		OPTIONS_RUN);
	ck_assert_uint_eq(options.proxy.http.addr_count, 1);
	ck_assert_uint_eq(options.proxy.https.addr_count, 0);
	options_free(&options);
}
END_TEST

START_TEST(proxies_of_the_environment)
{
	struct options options;

	setenv("http_proxy", "", 1);
	setenv("HTTP_PROXY", "http://10.0.0.1:8080/", 1);
	unsetenv("https_proxy");
	unsetenv("HTTPS_PROXY");
	setenv("no_proxy", "localhost, .corp", 1);
	ck_assert_int_eq(parse_config("{}", "--http-proxy env", &options), OPTIONS_RUN);
	ck_assert_uint_eq(options.proxy.http.port, 8080);
	ck_assert_uint_eq(options.proxy.https.addr_count, 0);
	ck_assert_uint_eq(options.proxy.exception_count, 2);
	options_free(&options);
	setenv("https_proxy", "socks5://10.0.0.1:1080/", 1);
	ck_assert_int_eq(parse_config("{}", "--http-proxy env", &options), OPTIONS_BAD);
	options_free(&options);
	unsetenv("HTTP_PROXY");
	unsetenv("https_proxy");
	unsetenv("no_proxy");
	ck_assert_int_eq(parse_config("{}", "--http-proxy env", &options), OPTIONS_RUN);
	ck_assert_uint_eq(options.proxy.http.addr_count, 0);
	options_free(&options);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("options");
	TCase *tcase = unit_case(suite, "options", NULL, NULL);

	tcase_add_loop_test(tcase, link_forms, 0, COUNT(links));
	tcase_add_loop_test(tcase, vsock_forms, 0, COUNT(vsocks));
	tcase_add_loop_test(tcase, api_forms, 0, COUNT(apis));
	tcase_add_loop_test(tcase, publish_forms, 0, COUNT(publishes));
	tcase_add_loop_test(tcase, guest_publish_forms, 0, COUNT(guest_publishes));
	tcase_add_test(tcase, publish_in_full);
	tcase_add_loop_test(tcase, command_lines, 0, COUNT(lines));
	tcase_add_test(tcase, defaults);
	tcase_add_test(tcase, first_guest_is_neither_gateway_nor_alias);
	tcase_add_loop_test(tcase, config_files, 0, COUNT(configs));
	tcase_add_test(tcase, command_line_wins_and_lists_add_up);
	tcase_add_test(tcase, rules_keep_their_order);
	tcase_add_test(tcase, proxies);
	tcase_add_test(tcase, proxies_of_the_environment);
	return unit_run(suite);
}
