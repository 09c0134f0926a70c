/* SPDX-License-Identifier: Apache-2.0 */
/* The options of what guests may reach (forwarder/policy.h) and of what keeps them apart. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "netproxy/options_private.h"

/* Room for whatever --link takes. */

/* ---- Rules ---- */

static int add_rule(struct options *options, const char *value, bool allow,
		    char error[static OPTIONS_ERROR_MAX])
{
	struct policy_rule rule, *to;
	const char *expected;

	if (policy_rule_parse(value, allow, &rule, &expected) < 0)
		return options_complain(error, value, expected);
	to = options_grow((void **)&options->rules, &options->rule_count, sizeof(rule),
			  POLICY_RULES_MAX, error);
	if (!to)
		return -ENOSPC;
	*to = rule;
	return 0;
}

int options_apply_allow(struct options *options, const char *value,
			char error[static OPTIONS_ERROR_MAX])
{
	return add_rule(options, value, true, error);
}

int options_apply_deny(struct options *options, const char *value,
		       char error[static OPTIONS_ERROR_MAX])
{
	return add_rule(options, value, false, error);
}

int options_apply_rule(struct options *options, const char *value,
		       char error[static OPTIONS_ERROR_MAX])
{
	if (strncmp(value, "allow ", 6) == 0)
		return add_rule(options, value + 6, true, error);
	if (strncmp(value, "deny ", 5) == 0)
		return add_rule(options, value + 5, false, error);
	return options_complain(error, value,
				"allow or deny and a rule, such as \"deny tcp:any:25\"");
}

int options_apply_egress(struct options *options, const char *value,
			 char error[static OPTIONS_ERROR_MAX])
{
	if (strcmp(value, "allow") != 0 && strcmp(value, "deny") != 0)
		return options_complain(error, value, "allow or deny");
	options->egress_deny = strcmp(value, "deny") == 0;
	return 0;
}

static bool is_our_link(const struct options *options, const char *text)
{
	char ours[LINK_TEXT_MAX];

	for (unsigned i = 0; i < options->link_count; i++) {
		options_link_name(&options->links[i], ours);
		if (strcmp(ours, text) == 0)
			return true;
	}
	return false;
}

static void reverse(struct policy_rule *rules, unsigned count)
{
	for (unsigned i = 0; i < count / 2; i++) {
		struct policy_rule rule = rules[i];

		rules[i] = rules[count - 1 - i];
		rules[count - 1 - i] = rule;
	}
}

int options_finish_policy(struct options *options, unsigned file_rule_count,
			  char error[static OPTIONS_ERROR_MAX])
{
	char text[POLICY_TEXT_MAX];

	for (unsigned i = 0; i < options->rule_count; i++) {
		const struct policy_rule *rule = &options->rules[i];

		if (rule->from_kind != POLICY_FROM_LINK || is_our_link(options, rule->from_link))
			continue;
		snprintf(error, OPTIONS_ERROR_MAX,
			 "\"%s\": expected behind from= what a --link of this netproxy says",
			 policy_rule_format(rule, text));
		return -EINVAL;
	}
	if (options->rule_count == 0)
		return 0;
	/* The two parts change places: reversed one by one, and then all together. */
	reverse(options->rules, file_rule_count);
	reverse(options->rules + file_rule_count, options->rule_count - file_rule_count);
	reverse(options->rules, options->rule_count);
	return 0;
}

/* ---- Between guests ---- */

int options_apply_no_guard(struct options *options, const char *value,
			   char error[static OPTIONS_ERROR_MAX])
{
	(void)value;
	(void)error;
	options->guard = false;
	return 0;
}

int options_apply_isolate(struct options *options, const char *value,
			  char error[static OPTIONS_ERROR_MAX])
{
	(void)value;
	(void)error;
	options->isolate = true;
	return 0;
}
