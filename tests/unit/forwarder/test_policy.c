/* SPDX-License-Identifier: Apache-2.0 */
/* What guests may reach: the rules' text form, and which of them decides. */
#include "forwarder/policy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "unit.h"

#define RULES_MAX 8

/* ---- Text ---- */

static const struct {
	const char *text;
	const char *normal; /* NULL: not a rule */
} texts[] = {
	{"10.0.0.0/8", "deny 10.0.0.0/8"},
	{"10.0.0.5", "deny 10.0.0.5"},
	{"10.0.0.5/32", "deny 10.0.0.5"},
	{"tcp:10.0.0.5:443", "deny tcp:10.0.0.5:443"},
	{"10.0.0.5:443", "deny 10.0.0.5:443"},
	{"udp:0.0.0.0/0:53,from=192.168.65.3", "deny udp:0.0.0.0/0:53,from=192.168.65.3"},
	{"udp:any:8000-8099", "deny udp:any:8000-8099"},
	{"any:1-65535", "deny any:1-65535"},
	{"any", "deny any"},
	{"host", "deny host"},
	{"tcp:host:22", "deny tcp:host:22"},
	{"icmp:any", "deny icmp:any"},
	{"icmp:2001:db8::/32", "deny icmp:2001:db8::/32"},
	{"2001:db8::1", "deny 2001:db8::1"},
	{"::/0", "deny ::/0"},
	{"[2001:db8::]", "deny 2001:db8::"},
	{"[2001:db8::/32]:80", "deny [2001:db8::/32]:80"},
	{"tcp:[2001:db8::1]:80-90", "deny tcp:[2001:db8::1]:80-90"},
	{"any,from=52:54:00:AB:00:01", "deny any,from=52:54:00:ab:00:01"},
	{"any,from=192.168.65.0/25", "deny any,from=192.168.65.0/25"},
	{"any,from=fd00::/64", "deny any,from=fd00::/64"},
	{"any,from=qemu:/run/a.sock", "deny any,from=qemu:/run/a.sock"},
	{"any,from=tap:t0,netns=/run/netns/x", "deny any,from=tap:t0,netns=/run/netns/x"},
	{"", NULL},
	{"tcp:", NULL},
	{"sctp:any", NULL},
	{"10.0.0.1/8", NULL},
	{"10.0.0.0/33", NULL},
	{"10.0.0", NULL},
	{"nowhere.test", NULL},
	{"any:", NULL},
	{"any:0", NULL},
	{"any:65536", NULL},
	{"any:-1", NULL},
	{"any:90-80", NULL},
	{"any:80-", NULL},
	{"any:80-90-100", NULL},
	{"any: 80", NULL},
	{"icmp:any:80", NULL},
	{"[10.0.0.1", NULL},
	{"[2001:db8::1]80", NULL},
	{"[2001:db8::1]:", NULL},
	{"[]", NULL},
	{"any,from=", NULL},
	{"any,from=10.0.0.1/8", NULL},
	{"any,from=somebody", NULL},
	{",from=10.0.0.1", NULL},
};

START_TEST(text_form)
{
	char text[POLICY_TEXT_MAX];
	struct policy_rule rule, again;
	const char *expected = NULL;
	int r = policy_rule_parse(texts[_i].text, false, &rule, &expected);

	if (!texts[_i].normal) {
		ck_assert_msg(r < 0, "\"%s\" was taken", texts[_i].text);
		ck_assert_ptr_nonnull(expected);
		return;
	}
	ck_assert_msg(r == 0, "\"%s\": expected %s", texts[_i].text, expected);
	ck_assert_str_eq(policy_rule_format(&rule, text), texts[_i].normal);
	/* What we write, we read. */
	ck_assert_int_eq(policy_rule_parse(text + strlen("deny "), false, &again, &expected), 0);
	ck_assert_str_eq(policy_rule_format(&again, text), texts[_i].normal);
}
END_TEST

START_TEST(long_texts)
{
	struct policy_rule rule;
	const char *expected;
	char text[1024];

	memset(text, '1', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	ck_assert_int_lt(policy_rule_parse(text, true, &rule, &expected), 0);
	memcpy(text, "any,from=qemu:", 14);
	ck_assert_int_lt(policy_rule_parse(text, true, &rule, &expected), 0);
	text[9 + POLICY_LINK_MAX] = '\0';
	ck_assert_int_lt(policy_rule_parse(text, true, &rule, &expected), 0);
	text[9 + POLICY_LINK_MAX - 1] = '\0';
	ck_assert_int_eq(policy_rule_parse(text, true, &rule, &expected), 0);
}
END_TEST

/* ---- Decisions ---- */

/* A leading '+' allows, '-' denies; conf "D" is deny by default, "H" no host access. */
struct decision {
	const char *conf;
	const char *rules[RULES_MAX];
	enum policy_protocol protocol;
	const char *to;
	bool allowed;
};

static const struct decision decisions[] = {
	/* The default. */
	{"", {0}, POLICY_TCP, "8.8.8.8:80", true},
	{"", {0}, POLICY_TCP, "[2001:db8::1]:80", true},
	{"", {0}, POLICY_TCP, "192.168.65.254:80", true},
	{"D", {0}, POLICY_TCP, "8.8.8.8:80", false},
	{"D", {0}, POLICY_ICMP, "[2001:db8::1]:80", false},
	{"D", {0}, POLICY_TCP, "192.168.65.254:80", false},
	/* The first that matches. */
	{"", {"+10.0.0.5", "-10.0.0.0/8"}, POLICY_TCP, "10.0.0.5:80", true},
	{"", {"+10.0.0.5", "-10.0.0.0/8"}, POLICY_TCP, "10.0.0.6:80", false},
	{"", {"-10.0.0.0/8", "+10.0.0.5"}, POLICY_TCP, "10.0.0.5:80", false},
	{"", {"-10.0.0.0/8"}, POLICY_TCP, "11.0.0.0:80", true},
	{"D", {"+tcp:any:443"}, POLICY_TCP, "1.2.3.4:443", true},
	{"D", {"+tcp:any:443"}, POLICY_TCP, "[2001:db8::1]:443", true},
	{"D", {"+tcp:any:443"}, POLICY_TCP, "1.2.3.4:80", false},
	/* Protocols and ports. */
	{"", {"-tcp:any"}, POLICY_TCP, "1.2.3.4:80", false},
	{"", {"-tcp:any"}, POLICY_UDP, "1.2.3.4:80", true},
	{"", {"-udp:any"}, POLICY_UDP, "1.2.3.4:80", false},
	{"", {"-udp:any"}, POLICY_ICMP, "1.2.3.4:1", true},
	{"", {"-icmp:any"}, POLICY_ICMP, "1.2.3.4:1", false},
	{"", {"-any:25"}, POLICY_TCP, "1.2.3.4:25", false},
	{"", {"-any:25"}, POLICY_UDP, "1.2.3.4:25", false},
	{"", {"-any:25"}, POLICY_ICMP, "1.2.3.4:25", true},
	{"", {"-any:8000-8099"}, POLICY_TCP, "1.2.3.4:7999", true},
	{"", {"-any:8000-8099"}, POLICY_TCP, "1.2.3.4:8000", false},
	{"", {"-any:8000-8099"}, POLICY_TCP, "1.2.3.4:8099", false},
	{"", {"-any:8000-8099"}, POLICY_TCP, "1.2.3.4:8100", true},
	/* Families. */
	{"", {"-0.0.0.0/0"}, POLICY_TCP, "1.2.3.4:80", false},
	{"", {"-0.0.0.0/0"}, POLICY_TCP, "[2001:db8::1]:80", true},
	{"", {"-::/0"}, POLICY_TCP, "[2001:db8::1]:80", false},
	{"", {"-::/0"}, POLICY_TCP, "1.2.3.4:80", true},
	{"", {"-[2001:db8::/32]:80"}, POLICY_TCP, "[2001:db8:1::1]:80", false},
	{"", {"-[2001:db8::/32]:80"}, POLICY_TCP, "[2001:db9::1]:80", true},
	/* The host, by its alias. */
	{"", {"+tcp:host:5432", "-host"}, POLICY_TCP, "192.168.65.254:5432", true},
	{"", {"+tcp:host:5432", "-host"}, POLICY_TCP, "192.168.65.254:22", false},
	{"", {"+tcp:host:5432", "-host"}, POLICY_TCP, "[fd65::fe]:5432", true},
	{"", {"+tcp:host:5432", "-host"}, POLICY_TCP, "[fd65::fe]:22", false},
	{"", {"+tcp:host:5432", "-host"}, POLICY_TCP, "8.8.8.8:22", true},
	{"", {"-192.168.65.254"}, POLICY_TCP, "192.168.65.254:22", false},
	{"H", {0}, POLICY_TCP, "192.168.65.254:22", false},
	{"H", {"+host", "+any"}, POLICY_TCP, "192.168.65.254:22", false},
	{"H", {0}, POLICY_TCP, "8.8.8.8:22", true},
	/* Metadata services and link-local addresses. */
	{"", {0}, POLICY_TCP, "169.254.169.254:80", false},
	{"", {0}, POLICY_ICMP, "169.254.169.254:1", false},
	{"", {0}, POLICY_UDP, "169.254.0.1:53", false},
	{"", {0}, POLICY_TCP, "168.63.129.16:80", false},
	{"", {0}, POLICY_TCP, "168.63.129.17:80", true},
	{"", {0}, POLICY_TCP, "100.100.100.200:80", false},
	{"", {0}, POLICY_TCP, "192.0.0.192:80", false},
	{"", {0}, POLICY_TCP, "[fd00:ec2::254]:80", false},
	{"", {0}, POLICY_TCP, "[fd20:ce::254]:80", false},
	{"", {0}, POLICY_TCP, "[fd00:c1::a9fe:a9fe]:80", false},
	{"", {0}, POLICY_TCP, "[fd00:42::42]:80", false},
	{"", {0}, POLICY_TCP, "[fe80::1]:80", false},
	{"", {"+any"}, POLICY_TCP, "169.254.169.254:80", false},
	{"", {"+0.0.0.0/0"}, POLICY_TCP, "169.254.169.254:80", false},
	{"", {"+169.0.0.0/8"}, POLICY_TCP, "169.254.169.254:80", false},
	{"", {"+169.254.0.0/15"}, POLICY_TCP, "169.254.169.254:80", false},
	{"", {"+169.254.0.0/16"}, POLICY_TCP, "169.254.169.254:80", true},
	{"", {"+169.254.169.254"}, POLICY_TCP, "169.254.169.254:80", true},
	{"", {"+169.254.169.254"}, POLICY_TCP, "169.254.169.253:80", false},
	{"", {"+tcp:169.254.169.254:80"}, POLICY_TCP, "169.254.169.254:81", false},
	{"", {"+any", "+169.254.169.254"}, POLICY_TCP, "169.254.169.254:80", true},
	{"", {"-any:80", "+169.254.169.254"}, POLICY_TCP, "169.254.169.254:80", false},
	{"D", {"+fd00:ec2::254"}, POLICY_TCP, "[fd00:ec2::254]:80", true},
	/* The same through NAT64. */
	{"", {0}, POLICY_TCP, "[64:ff9b::169.254.169.254]:80", false},
	{"", {0}, POLICY_TCP, "[64:ff9b::8.8.8.8]:80", true},
	{"", {"-10.0.0.0/8"}, POLICY_TCP, "[64:ff9b::10.0.0.1]:80", false},
	{"D", {"+64:ff9b::/96"}, POLICY_TCP, "[64:ff9b::8.8.8.8]:80", true},
	{"D", {"+64:ff9b::/96"}, POLICY_TCP, "[64:ff9b::169.254.169.254]:80", false},
	{"D", {"+8.8.8.8"}, POLICY_TCP, "[64:ff9b::8.8.8.8]:80", false},
};

static void add_rule(struct policy_rule *rules, size_t *count, const char *text)
{
	const char *expected;

	ck_assert_int_eq(policy_rule_parse(text + 1, text[0] == '+', &rules[(*count)++], &expected),
			 0);
}

static struct policy *policy_of(const char *conf, const struct policy_rule *rules, size_t count)
{
	struct policy_conf c = {
		.rules = rules,
		.rule_count = count,
		.deny_by_default = strchr(conf, 'D') != NULL,
		.host_access = strchr(conf, 'H') == NULL,
	};
	struct policy *policy;

	addr_parse("192.168.65.254", &c.alias);
	addr_parse("fd65::fe", &c.alias6);
	ck_assert_int_eq(policy_new(&c, &policy), 0);
	return policy;
}

static struct policy_request request_to(enum policy_protocol protocol, const char *to)
{
	struct policy_request request = {.protocol = protocol, .port = 1};

	ck_assert_int_eq(endpoint_parse(to, false, &request.to), 0);
	if (protocol == POLICY_ICMP)
		request.to.port = 0;
	addr_parse(request.to.addr.family == AF_INET ? "192.168.65.3" : "fd65::3", &request.guest);
	mac_parse("52:54:00:00:00:03", &request.mac);
	return request;
}

START_TEST(decides)
{
	const struct decision *d = &decisions[_i];
	struct policy_rule rules[RULES_MAX];
	struct policy_request request = request_to(d->protocol, d->to);
	struct policy *policy;
	size_t count = 0;

	while (count < RULES_MAX && d->rules[count])
		add_rule(rules, &count, d->rules[count]);
	policy = policy_of(d->conf, rules, count);
	ck_assert_msg(policy_allows(policy, &request) == d->allowed, "%s %s: %s", d->conf,
		      d->rules[0], d->to);
	ck_assert_uint_eq(policy_counters(policy).allowed, d->allowed);
	ck_assert_uint_eq(policy_counters(policy).denied, !d->allowed);
	policy_free(policy);
}
END_TEST

static bool allows_from(struct policy *policy, const char *guest, const char *mac, unsigned port)
{
	struct policy_request request = request_to(POLICY_TCP, "8.8.8.8:80");

	ck_assert_int_eq(addr_parse(guest, &request.guest), 0);
	ck_assert_int_eq(mac_parse(mac, &request.mac), 0);
	request.port = port;
	return policy_allows(policy, &request);
}

START_TEST(guests_are_told_apart)
{
	struct policy_rule rules[4];
	struct policy *policy;
	size_t count = 0;

	add_rule(rules, &count, "-any,from=192.168.65.3");
	add_rule(rules, &count, "-any,from=52:54:00:00:00:04");
	add_rule(rules, &count, "-any,from=qemu:/a");
	policy = policy_of("", rules, count);
	ck_assert(policy_wants_mac(policy));
	ck_assert(!allows_from(policy, "192.168.65.3", "52:54:00:00:00:03", 1));
	ck_assert(allows_from(policy, "192.168.65.5", "52:54:00:00:00:03", 1));
	ck_assert(!allows_from(policy, "192.168.65.5", "52:54:00:00:00:04", 1));
	/* Links: by the whole name, without the number that a listener adds. */
	policy_port_changed(policy, 7, "qemu:/a #1", true);
	policy_port_changed(policy, 8, "qemu:/a.b #1", true);
	policy_port_changed(policy, 256, "qemu:/a", true);
	ck_assert(!allows_from(policy, "192.168.65.5", "52:54:00:00:00:05", 7));
	ck_assert(allows_from(policy, "192.168.65.5", "52:54:00:00:00:05", 8));
	ck_assert(!allows_from(policy, "192.168.65.5", "52:54:00:00:00:05", 256));
	ck_assert(allows_from(policy, "192.168.65.5", "52:54:00:00:00:05", 0));
	policy_port_changed(policy, 9, "qemu:/a #b/x #1", true);
	ck_assert(allows_from(policy, "192.168.65.5", "52:54:00:00:00:05", 9));
	policy_port_changed(policy, 7, "qemu:/a #1", false);
	ck_assert(allows_from(policy, "192.168.65.5", "52:54:00:00:00:05", 7));
	policy_free(policy);
	policy = policy_of("", rules, 1);
	ck_assert(!policy_wants_mac(policy));
	policy_free(policy);
}
END_TEST

START_TEST(rules_are_listed_with_hits)
{
	struct policy_request denied = request_to(POLICY_TCP, "10.1.1.1:80");
	struct policy_request metadata = request_to(POLICY_TCP, "169.254.169.254:80");
	struct policy_rule rules[2];
	struct policy_rule_info info;
	struct policy *policy;
	size_t count = 0;

	add_rule(rules, &count, "+1.1.1.1");
	add_rule(rules, &count, "-10.0.0.0/8");
	policy = policy_of("H", rules, count);
	for (int i = 0; i < 3; i++)
		ck_assert(!policy_allows(policy, &denied));
	ck_assert(!policy_allows(policy, &metadata));
	info = policy_rule_at(policy, 0);
	ck_assert_str_eq(info.text, "deny host");
	ck_assert(info.built_in && !info.allow);
	info = policy_rule_at(policy, 2);
	ck_assert_str_eq(info.text, "deny 10.0.0.0/8");
	ck_assert(!info.built_in);
	ck_assert_uint_eq(info.hits, 3);
	info = policy_rule_at(policy, 3);
	ck_assert_str_eq(info.text, "deny 169.254.0.0/16");
	ck_assert(info.built_in);
	ck_assert_uint_eq(info.hits, 1);
	info = policy_rule_at(policy, policy_rule_count(policy) - 1);
	ck_assert_str_eq(info.text, "allow any");
	ck_assert_uint_eq(policy_counters(policy).denied, 4);
	policy_free(policy);
}
END_TEST

/* With many rules decisions come from a cache: it must say what the rules say. */
START_TEST(many_rules)
{
	static struct policy_rule rules[POLICY_RULES_MAX + 1];
	struct policy *policy;
	size_t count = 0;

	for (unsigned i = 0; i < POLICY_RULES_MAX - 1; i++) {
		char text[64];

		snprintf(text, sizeof(text), "-10.%u.%u.0/24", i / 256, i % 256);
		add_rule(rules, &count, text);
	}
	add_rule(rules, &count, "-any:80,from=qemu:/a");
	policy = policy_of("", rules, count);
	for (int round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 2000; i++) {
			char text[64];
			struct policy_request request;

			snprintf(text, sizeof(text), "10.%u.%u.%u:%u", i / 256, i % 256, i % 250,
				 i % 2 ? 80 : 81);
			request = request_to(POLICY_UDP, text);
			ck_assert_msg(
				policy_allows(policy, &request) ==
					(i >= POLICY_RULES_MAX - 1 && (round < 1 || i % 2 == 0)),
				"%s", text);
		}
		/* What was cached before the link came is no longer true. */
		policy_port_changed(policy, 1, "qemu:/a #1", true);
	}
	policy_free(policy);
	ck_assert_int_eq(policy_new(&(struct policy_conf){.rules = rules,
							  .rule_count = POLICY_RULES_MAX + 1},
				    &policy),
			 -EINVAL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("policy");
	TCase *tcase = unit_case(suite, "policy", NULL, NULL);

	log_set_levels("error");
	tcase_add_loop_test(tcase, text_form, 0, sizeof(texts) / sizeof(texts[0]));
	tcase_add_test(tcase, long_texts);
	tcase_add_loop_test(tcase, decides, 0, sizeof(decisions) / sizeof(decisions[0]));
	tcase_add_test(tcase, guests_are_told_apart);
	tcase_add_test(tcase, rules_are_listed_with_hits);
	tcase_add_test(tcase, many_rules);
	return unit_run(suite);
}
