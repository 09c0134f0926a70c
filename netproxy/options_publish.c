/* SPDX-License-Identifier: Apache-2.0 */
/* --publish and --guest-publish: ports of guests on the host, from the configuration, and what
 * guests themselves may publish. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "forwarder/publish_spec.h"
#include "netproxy/options_private.h"

#define TOKENS_MAX 4
#define TEXT_MAX   512
#define PUBLISH_FORM                                                                                   \
	"[HOSTIP:]HOSTPORT[-LAST]:[GUEST:]PORT[-LAST][/tcp|udp|tcp+udp][,source=gateway]"              \
	"[,proxy=v2][,name=NAME][,via=GUEST], such as 8080:80, 127.0.0.1:2222:192.168.65.3:22/tcp or " \
	"8000-8009:80-89, or a socket's path: /run/web.sock:80"
#define GUEST_PUBLISH_FORM                                                                          \
	"any, none, or what a guest may bind: ADDRESS, PREFIX or any, with ports or without, such " \
	"as 127.0.0.1, any:1024-65535, 10.0.0.0/8:8080 or [::1]:80"

/* Cuts "a:[b:c]:d" at the colons outside of brackets. Returns the number of pieces, or -1 when
 * there are too many. */
static int split_colons(char *text, char *tokens[static TOKENS_MAX])
{
	int count = 0;
	bool in_brackets = false;

	tokens[count++] = text;
	for (char *at = text; *at; at++) {
		if (*at == '[')
			in_brackets = true;
		else if (*at == ']')
			in_brackets = false;
		if (*at != ':' || in_brackets)
			continue;
		if (count == TOKENS_MAX)
			return -1;
		*at = '\0';
		tokens[count++] = at + 1;
	}
	return count;
}

/* "80" or "80-89"; *ret_ports is how many that are. */
static bool parse_ports(const char *text, bool allow_0, uint16_t *ret_first, unsigned *ret_ports)
{
	char *end;
	unsigned long first, last;

	if (!isdigit((unsigned char)*text))
		return false;
	first = last = strtoul(text, &end, 10);
	if (*end == '-') {
		if (!isdigit((unsigned char)end[1]) || first == 0)
			return false;
		last = strtoul(end + 1, &end, 10);
	}
	if (*end || first > UINT16_MAX || last > UINT16_MAX || last < first ||
	    (first == 0 && !allow_0))
		return false;
	*ret_first = (uint16_t)first;
	*ret_ports = (unsigned)(last - first + 1);
	return true;
}

/* An address without a port, IPv6 in brackets or not. */
static bool parse_host(char *text, struct addr *ret)
{
	size_t size = strlen(text);

	if (size >= 2 && text[0] == '[' && text[size - 1] == ']') {
		text[size - 1] = '\0';
		text++;
	}
	return addr_parse(text, ret) == 0;
}

static bool looks_like_ports(const char *text)
{
	return *text && strspn(text, "0123456789-") == strlen(text);
}

/* The guest's side: [GUEST] PORT. */
static bool parse_remote(char **tokens, int count, struct publish_option *ret)
{
	unsigned ports;
	int at = 0;

	if (count == 2 &&
	    publish_parse_guest(tokens[at++], &ret->spec.remote.addr, ret->spec.guest) < 0)
		return false;
	if (count - at != 1 || !parse_ports(tokens[at], false, &ret->spec.remote.port, &ports))
		return false;
	/* One port stands for the first of as many. */
	return ports == 1 || ports == ret->ports;
}

/* Two to four pieces: [HOSTIP] HOSTPORT [GUEST] PORT. */
static bool parse_tokens(char **tokens, int count, struct publish_option *ret)
{
	int at = 0;

	if (count < 2)
		return false;
	if (!looks_like_ports(tokens[0]) && !parse_host(tokens[at++], &ret->spec.local.addr))
		return false;
	if (count - at < 2 || !parse_ports(tokens[at++], true, &ret->spec.local.port, &ret->ports))
		return false;
	return parse_remote(tokens + at, count - at, ret);
}

/* "/run/web.sock:[GUEST:]PORT". */
static bool parse_unix(char *text, struct publish_option *ret)
{
	char *tokens[TOKENS_MAX];
	int count = split_colons(text, tokens);

	if (count < 2 || count > 3 || strlen(tokens[0]) >= SOCK_PATH_MAX)
		return false;
	ret->spec.protocol = PUBLISH_UNIX;
	ret->ports = 1;
	strcpy(ret->spec.local_text, tokens[0]);
	return parse_remote(tokens + 1, count - 1, ret);
}

static bool parse_protocol(const char *text, struct publish_option *ret)
{
	ret->tcp_and_udp = strcmp(text, "tcp+udp") == 0;
	if (strcmp(text, "udp") == 0)
		ret->spec.protocol = PUBLISH_UDP;
	else if (strcmp(text, "tcp") != 0 && !ret->tcp_and_udp)
		return false;
	return true;
}

/* What follows the first comma: "source=gateway,proxy=v2,name=web". */
static bool parse_settings(char *text, struct publish_spec *spec)
{
	char *rest = NULL;

	for (char *one = strtok_r(text, ",", &rest); one; one = strtok_r(NULL, ",", &rest)) {
		if (strcmp(one, "source=gateway") == 0)
			spec->source = PUBLISH_SOURCE_GATEWAY;
		else if (strcmp(one, "source=client") == 0)
			spec->source = PUBLISH_SOURCE_CLIENT;
		else if (strcmp(one, "proxy=v2") == 0)
			spec->proxy_v2 = true;
		else if (strncmp(one, "name=", 5) == 0 && one[5] &&
			 strlen(one + 5) < sizeof(spec->name))
			strcpy(spec->name, one + 5);
		else if (strncmp(one, "via=", 4) != 0 ||
			 publish_parse_guest(one + 4, &spec->via, spec->via_name) < 0)
			return false;
	}
	return true;
}

int options_parse_publish(const char *text, struct publish_option *ret,
			  char error[static OPTIONS_ERROR_MAX])
{
	struct publish_option publish = {.spec.owner.kind = PUBLISH_OWNER_CONFIG, .ports = 1};
	char copy[TEXT_MAX];
	char *tokens[TOKENS_MAX];
	char *comma, *slash;
	bool ok = strlen(text) < sizeof(copy);

	if (ok) {
		strcpy(copy, text);
		comma = strchr(copy, ',');
		if (comma) {
			*comma++ = '\0';
			ok = *comma && parse_settings(comma, &publish.spec);
		}
	}
	if (ok && copy[0] == '/') {
		ok = parse_unix(copy, &publish);
	} else if (ok) {
		slash = strrchr(copy, '/');
		if (slash) {
			*slash++ = '\0';
			ok = parse_protocol(slash, &publish);
		}
		ok = ok && parse_tokens(tokens, split_colons(copy, tokens), &publish);
	}
	if (!ok)
		return options_complain(error, text, PUBLISH_FORM);
	*ret = publish;
	return 0;
}

int options_apply_publish(struct options *options, const char *value,
			  char error[static OPTIONS_ERROR_MAX])
{
	struct publish_option publish, *to;
	int r = options_parse_publish(value, &publish, error);

	if (r < 0)
		return r;
	to = options_grow((void **)&options->publish, &options->publish_count, sizeof(publish),
			  OPTIONS_PUBLISH_MAX, error);
	if (!to)
		return -ENOSPC;
	*to = publish;
	return 0;
}

/* ---- What guests may publish ---- */

/* "any", "127.0.0.1", "10.0.0.0/8", "[fd00::/8]". */
static bool parse_rule_hosts(char *text, struct prefix *ret)
{
	size_t size = strlen(text);
	struct addr addr;

	if (strcmp(text, "any") == 0)
		return true;
	if (size >= 2 && text[0] == '[' && text[size - 1] == ']') {
		text[size - 1] = '\0';
		text++;
	}
	if (prefix_parse(text, ret) == 0)
		return true;
	if (addr_parse(text, &addr) < 0)
		return false;
	*ret = (struct prefix){.addr = addr, .length = addr.family == AF_INET6 ? 128 : 32};
	return true;
}

static bool parse_rule(const char *text, struct publish_rule *ret)
{
	struct publish_rule rule = {.first = 1, .last = UINT16_MAX};
	char copy[TEXT_MAX];
	char *tokens[TOKENS_MAX];
	unsigned ports;
	int count;

	if (strlen(text) >= sizeof(copy))
		return false;
	strcpy(copy, text);
	count = split_colons(copy, tokens);
	if (count < 1 || count > 2 || !parse_rule_hosts(tokens[0], &rule.hosts))
		return false;
	if (count == 2) {
		if (!parse_ports(tokens[1], false, &rule.first, &ports))
			return false;
		rule.last = (uint16_t)(rule.first + ports - 1);
	}
	*ret = rule;
	return true;
}

int options_apply_guest_publish(struct options *options, const char *value,
				char error[static OPTIONS_ERROR_MAX])
{
	struct publish_rule rule, *to;

	options->guest_publish_given = true;
	if (strcmp(value, "none") == 0)
		return 0;
	if (!parse_rule(value, &rule))
		return options_complain(error, value, GUEST_PUBLISH_FORM);
	to = options_grow((void **)&options->guest_publish, &options->guest_publish_count,
			  sizeof(rule), OPTIONS_GUEST_PUBLISH_MAX, error);
	if (!to)
		return -ENOSPC;
	*to = rule;
	return 0;
}

/* ---- What depends on other options ---- */

int options_finish_publish(struct options *options, const struct addr *first_guest,
			   char error[static OPTIONS_ERROR_MAX])
{
	const struct stack_conf conf = {
		.subnet = options->subnet,
		.gateway = options->gateway,
		.alias = options->host_alias,
		.prefix6 = options->prefix6,
		.gateway6 = options->gateway6,
		.alias6 = options->host_alias6,
	};

	for (unsigned i = 0; i < options->publish_count; i++) {
		struct publish_spec *spec = &options->publish[i].spec;
		char why[PUBLISH_WHY_MAX], local[ENDPOINT_TEXT_MAX];

		if (spec->remote.addr.family == AF_UNSPEC && !spec->guest[0])
			spec->remote.addr = *first_guest;
		if (publish_spec_check(spec, &conf, why) < 0) {
			snprintf(error, OPTIONS_ERROR_MAX, "--publish of %.108s: %s",
				 spec->protocol == PUBLISH_UNIX
					 ? spec->local_text
					 : endpoint_format(&spec->local, local),
				 why);
			return -EINVAL;
		}
	}
	return 0;
}
