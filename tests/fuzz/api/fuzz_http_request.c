/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the decoder of HTTP requests: whole, and cut where the first byte says. A request that is
 * complete when it is cut must be the same with what follows, and what was refused stays refused.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/http_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
	int r;
	struct http_request request;
	struct http_progress progress;
	char *data;
};

static struct outcome decode(const uint8_t *data, size_t size)
{
	struct outcome o = {.data = malloc(size ? size : 1)};

	/* To the byte, so that the sanitizer sees what reads on. */
	memcpy(o.data, data, size);
	o.r = http_request_decode(o.data, size, &o.request, &o.progress);
	return o;
}

static void check(const struct outcome *o, size_t size)
{
	if (o->r > 0) {
		if (o->progress.taken > size || o->request.body_size > HTTP_REQUEST_BODY_MAX ||
		    (o->request.path[0] != '/' && strcmp(o->request.path, "*") != 0))
			abort();
		for (size_t i = 0; i < o->request.body_size; i++)
			(void)*(const volatile char *)(o->request.body + i);
	} else if (o->r < 0 && (o->progress.status < 400 || !o->progress.why)) {
		abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	size_t whole_size = size - 1, cut_size = whole_size * data[0] / 256;
	struct outcome whole = decode(data + 1, whole_size), cut = decode(data + 1, cut_size);

	check(&whole, whole_size);
	check(&cut, cut_size);
	if (cut.r > 0 && (whole.r <= 0 || cut.progress.taken != whole.progress.taken ||
			  cut.request.body_size != whole.request.body_size ||
			  strcmp(cut.request.path, whole.request.path) != 0 ||
			  (cut.request.body_size && memcmp(cut.request.body, whole.request.body,
							   cut.request.body_size) != 0)))
		abort();
	if (cut.r < 0 && whole.r >= 0)
		abort();
	free(whole.data);
	free(cut.data);
	return 0;
}
