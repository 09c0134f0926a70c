/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What users write: the text forms of options, and the configuration file. The first byte says
 * which.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "netproxy/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse_text(uint8_t kind, const char *text)
{
	static struct link_option link;
	struct vsock_option vsock;
	struct api_option api;
	struct publish_option publish;
	char error[OPTIONS_ERROR_MAX] = "";
	int r = 0;

	switch (kind & 3) {
	case 0:
		r = options_parse_link(text, &link, error);
		break;
	case 1:
		r = options_parse_vsock(text, &vsock, error);
		assert(r < 0 || vsock.cid == 0 || vsock.cid >= 3);
		break;
	case 2:
		r = options_parse_api(text, &api, error);
		break;
	case 3:
		r = options_parse_publish(text, &publish, error);
		assert(r < 0 || (publish.spec.remote.port && publish.ports));
		break;
	}
	assert((r < 0) == (error[0] != '\0'));
}

static void parse_config(const uint8_t *data, size_t size)
{
	char path[64], name[] = "netproxy", flag[] = "--config";
	char *argv[] = {name, flag, path, NULL};
	char error[OPTIONS_ERROR_MAX] = "";
	struct options options;
	int fd = memfd_create("config", 0);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (options_parse(3, argv, &options, error) == OPTIONS_BAD) {
		assert(error[0]);
	} else {
		struct options_zones zones;

		if (options_zones_make(&options, &zones) < 0)
			abort();
		options_zones_free(&zones);
	}
	options_free(&options);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (size < 1)
		return 0;
	if (data[0] & 4) {
		parse_config(data + 1, size - 1);
		return 0;
	}
	text = malloc(size);
	if (!text)
		abort();
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	parse_text(data[0], text);
	free(text);
	return 0;
}
