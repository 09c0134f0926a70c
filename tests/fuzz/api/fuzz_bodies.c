/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the decoders of the API's JSON bodies; the first byte says which. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/dns_request.h"
#include "api/forward_request.h"
#include "forwarder/publish_spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A message there must be, and it ends within its buffer. */
static void check_error(int r, const char *error, size_t size)
{
	if (r < 0 && (error[0] == '\0' || !memchr(error, '\0', size)))
		abort();
}

static void fuzz_removal(const char *body, size_t size)
{
	char error[FORWARD_REQUEST_ERROR_MAX] = "";
	struct publish_spec spec;
	int r = forward_request_decode_removal(body, size, &spec, error);

	check_error(r, error, sizeof(error));
	if (r == 0 && !memchr(spec.local_text, '\0', sizeof(spec.local_text)))
		abort();
}

/* What was decoded makes sense, and as it is written it is understood again. */
static void fuzz_forward(enum forward_request_form form, const char *body, size_t size)
{
	char error[FORWARD_REQUEST_ERROR_MAX] = "";
	struct forward_request request, again;
	struct json_object *object;
	int r = forward_request_decode(form, body, size, &request, error);

	check_error(r, error, sizeof(error));
	if (r < 0)
		return;
	if (!request.spec.local_text[0] || request.spec.remote.port == 0 || request.ports == 0 ||
	    !memchr(request.spec.local_text, '\0', sizeof(request.spec.local_text)))
		abort();
	publish_spec_fill_texts(&request.spec);
	object = forward_request_encode(FORWARD_REQUEST_V1, &request.spec);
	if (forward_request_read(FORWARD_REQUEST_V1, object, "again", &again, error) < 0 ||
	    strcmp(again.spec.guest, request.spec.guest) != 0 ||
	    strcmp(again.spec.name, request.spec.name) != 0)
		abort();
	json_object_put(object);
}

static void fuzz_zone(enum dns_request_form form, const char *body, size_t size)
{
	char error[DNS_REQUEST_ERROR_MAX] = "";
	struct dns_request request;
	int r = dns_request_decode(form, body, size, &request, error);

	check_error(r, error, sizeof(error));
	if (r < 0)
		return;
	for (size_t i = 0; i < request.zone.record_count; i++) {
		if (request.zone.records[i].ip.family == AF_UNSPEC || !request.zone.records[i].name)
			abort();
	}
	dns_request_clear(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	const char *body = (const char *)data + 1;

	if (data[0] % 3 == 2)
		fuzz_zone(data[0] >= 0x80 ? DNS_REQUEST_V1 : DNS_REQUEST_GVPROXY, body, size - 1);
	else if (data[0] % 3 == 1)
		fuzz_removal(body, size - 1);
	else
		fuzz_forward(data[0] >= 0x80 ? FORWARD_REQUEST_V1 : FORWARD_REQUEST_GVPROXY, body,
			     size - 1);
	return 0;
}
