/* SPDX-License-Identifier: Apache-2.0 */
/* Reads text as a proxy and as a list of exceptions, and asks about what became of it. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "forwarder/egress.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct endpoint to = {.addr = addr_from_v4(0x0a010203), .port = 443};
	struct egress_conf conf = {0};
	const char *bad = NULL;
	char *text = malloc(size + 1);
	int r;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (egress_parse_proxy(text, &conf.http) == 0) {
		assert(conf.http.port && conf.http.host[0]);
		assert(strnlen(conf.http.auth, EGRESS_AUTH_MAX) < EGRESS_AUTH_MAX);
		assert(conf.http.addr_count <= 1);
	}
	r = egress_add_exceptions(&conf, text, &bad);
	assert(r == 0 || (bad >= text && bad < text + size));
	assert(conf.exception_count <= EGRESS_EXCEPTIONS_MAX);
	egress_find(&conf, &to);
	egress_exempts_name(&conf, "a.example.org", 443);
	egress_destroy(&conf);
	free(text);
	return 0;
}
