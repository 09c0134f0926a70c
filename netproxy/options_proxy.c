/* SPDX-License-Identifier: Apache-2.0 */
/* The options of the host's HTTP proxy as the guests' way out (forwarder/egress.h). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netproxy/options_private.h"

#define PROXY_FORM "[http://][USER[:PASSWORD]@]HOST[:PORT], such as http://proxy.corp:3128"

/* The message doesn't repeat the value, which may hold a password. */
static int parse_proxy(const char *value, struct egress_proxy *ret,
		       char error[static OPTIONS_ERROR_MAX])
{
	if (egress_parse_proxy(value, ret) == 0)
		return 0;
	snprintf(error, OPTIONS_ERROR_MAX, "expected " PROXY_FORM);
	return -EINVAL;
}

static int add_exceptions(struct options *options, const char *value,
			  char error[static OPTIONS_ERROR_MAX])
{
	char entry[128];
	const char *bad;
	int r = egress_add_exceptions(&options->proxy, value, &bad);

	if (r == 0)
		return 0;
	if (r == -ENOSPC || r == -ENOMEM) {
		snprintf(error, OPTIONS_ERROR_MAX, "expected at most %d entries",
			 EGRESS_EXCEPTIONS_MAX);
		return r;
	}
	snprintf(entry, sizeof(entry), "%.*s", (int)strcspn(bad, ", \t\r\n"), bad);
	return options_complain(error, entry,
				"*, an address, a network, or a name, with :PORT for one port "
				"only, such as .corp.example,10.0.0.0/8");
}

/* The variable of either case; NULL where there is neither, or where it is empty. */
static const char *environment(const char *lower, const char *upper)
{
	const char *value = getenv(lower);

	if (!value || !*value)
		value = getenv(upper);
	return value && *value ? value : NULL;
}

static int proxy_of_environment(const char *lower, const char *upper, struct egress_proxy *ret,
				char error[static OPTIONS_ERROR_MAX])
{
	const char *value = environment(lower, upper);

	*ret = (struct egress_proxy){0};
	if (!value || egress_parse_proxy(value, ret) == 0)
		return 0;
	snprintf(error, OPTIONS_ERROR_MAX, "env: the variable %s: expected " PROXY_FORM, lower);
	return -EINVAL;
}

static int apply_environment(struct options *options, char error[static OPTIONS_ERROR_MAX])
{
	const char *exceptions = environment("no_proxy", "NO_PROXY");
	struct egress_proxy https;
	int r = proxy_of_environment("http_proxy", "HTTP_PROXY", &options->proxy.http, error);

	if (r == 0)
		r = proxy_of_environment("https_proxy", "HTTPS_PROXY", &https, error);
	if (r == 0 && exceptions)
		r = add_exceptions(options, exceptions, error);
	if (r == 0 && !options->https_proxy_given)
		options->proxy.https = https;
	return r;
}

int options_apply_http_proxy(struct options *options, const char *value,
			     char error[static OPTIONS_ERROR_MAX])
{
	struct egress_proxy proxy = {0};
	int r = 0;

	if (strcmp(value, "env") == 0)
		return apply_environment(options, error);
	if (strcmp(value, "none") != 0)
		r = parse_proxy(value, &proxy, error);
	if (r < 0)
		return r;
	options->proxy.http = proxy;
	if (!options->https_proxy_given)
		options->proxy.https = proxy;
	return 0;
}

int options_apply_https_proxy(struct options *options, const char *value,
			      char error[static OPTIONS_ERROR_MAX])
{
	struct egress_proxy proxy = {0};
	int r = 0;

	if (strcmp(value, "none") != 0)
		r = parse_proxy(value, &proxy, error);
	if (r < 0)
		return r;
	options->proxy.https = proxy;
	options->https_proxy_given = true;
	return 0;
}

int options_apply_no_proxy(struct options *options, const char *value,
			   char error[static OPTIONS_ERROR_MAX])
{
	return add_exceptions(options, value, error);
}
