/* SPDX-License-Identifier: Apache-2.0 */
/* Reads bytes as a guest's HTTP request, and as a proxy's answer to CONNECT. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "forwarder/http_connect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_request(const uint8_t *data, size_t size)
{
	char name[EGRESS_NAME_MAX], clean[EGRESS_NAME_MAX];
	char request[HTTP_CONNECT_REQUEST_MAX];
	int r = http_request_host(data, size, name);

	if (r != 1) {
		assert(r == 0 || r == -EAGAIN || r == -EPROTO);
		return;
	}
	assert(egress_clean_name(name, strlen(name), clean) && strcmp(name, clean) == 0);
	/* Nothing of a guest's gets into the request but a name. */
	r = (int)http_connect_request(name, "", request);
	assert(r < HTTP_CONNECT_REQUEST_MAX && !memchr(name, '\n', strlen(name)));
}

static void read_reply(const uint8_t *data, size_t size)
{
	struct http_connect_reply reply, part;
	int r = http_connect_reply(data, size, &reply);

	if (r < 0) {
		assert(r == -EAGAIN || r == -EPROTO);
		return;
	}
	assert(reply.header_size <= size && reply.header_size <= HTTP_CONNECT_REPLY_MAX);
	assert(data[reply.header_size - 1] == '\n');
	assert(reply.status >= 100 && reply.status <= 999);
	assert(strnlen(reply.reason, sizeof(reply.reason)) < sizeof(reply.reason));
	assert(http_connect_reply(data, reply.header_size, &part) == 0);
	assert(part.header_size == reply.header_size);
	assert(http_connect_reply(data, reply.header_size - 1, &part) == -EAGAIN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	read_request(data, size);
	read_reply(data, size);
	return 0;
}
