/* SPDX-License-Identifier: Apache-2.0 */
/* slirp4netns' API: requests, one a line. */
#include <stdlib.h>
#include <string.h>

#include "netproxy/slirp4netns_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What stands in for publish.c: every second forward can't be. */
static unsigned calls;

int publish_add(struct publish *publish, struct publish_spec *specs, unsigned count, unsigned flags,
		struct publish_failure *ret_failure)
{
	(void)publish;
	(void)specs;
	(void)flags;
	(void)ret_failure;
	return calls++ & count ? -17 : 0;
}

int publish_remove(struct publish *publish, const char *local_text, enum publish_protocol protocol,
		   const struct publish_owner *by)
{
	(void)publish;
	(void)protocol;
	(void)by;
	if (!strchr(local_text, ':'))
		abort();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slirp4netns_forwards forwards = {0};
	char *text = malloc(size + 1);
	const char *at = text;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	calls = 0;
	addr_parse("10.0.2.100", &forwards.guest);
	while (at <= text + size) {
		const char *end = memchr(at, '\n', (size_t)(text + size - at));
		size_t length = end ? (size_t)(end - at) : (size_t)(text + size - at);
		struct json_object *answer = slirp4netns_request_answer(&forwards, at, length);

		if (!answer || !json_object_to_json_string(answer))
			abort();
		json_object_put(answer);
		at += length + 1;
	}
	slirp4netns_forwards_destroy(&forwards);
	free(text);
	return 0;
}
