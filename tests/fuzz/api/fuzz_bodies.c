/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the decoders of the API's JSON bodies; the first byte says which. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/dns_request.h"
#include "api/forward_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A message there must be, and it ends within its buffer. */
static void check_error(int r, const char *error, size_t size)
{
	if (r < 0 && (error[0] == '\0' || !memchr(error, '\0', size)))
		abort();
}

static void fuzz_forward(const char *body, size_t size, bool removal)
{
	char error[FORWARD_REQUEST_ERROR_MAX] = "";
	struct publish_spec spec;
	int r = removal ? forward_request_decode_removal(body, size, &spec, error)
			: forward_request_decode(body, size, &spec, error);

	check_error(r, error, sizeof(error));
	if (r == 0 && !memchr(spec.local_text, '\0', sizeof(spec.local_text)))
		abort();
	if (r == 0 && !removal && (!spec.local_text[0] || spec.remote.port == 0))
		abort();
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
	else
		fuzz_forward(body, size - 1, data[0] % 3 == 1);
	return 0;
}
