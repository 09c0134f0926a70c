/* SPDX-License-Identifier: Apache-2.0 */
/* Small texts that the launcher reads from guests, from QEMU, and from the host's files; the
 * first byte says which. */
#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "launcher/accel.h"
#include "launcher/firmware.h"
#include "launcher/guest_clock.h"
#include "launcher/machine_ready.h"
#include "launcher/media.h"
#include "launcher/publish.h"
#include "launcher/qemu_version.h"
#include "launcher/snapshot.h"
#include "launcher/store.h"
#include "launcher/vsock_ports.h"
#include "fuzz.h"

/* A line of the guest's agent. */
static void read_agent(const char *data, size_t size)
{
	char why[32] = "";
	int64_t value = 0;

	if (guest_clock_read(data, size, &value, why, sizeof(why)) == GUEST_CLOCK_REFUSED)
		must(memchr(why, '\0', sizeof(why)) != NULL);
}

/* The bytes of a console or of a ready message: found in parts as in one, and as strstr() does. */
static void read_ready(const char *data, size_t size)
{
	char text[8] = "", *whole;
	size_t length = size ? (size_t)data[0] & 3 : 0, matched = 0, in_parts = 0;
	bool found, parts = false;

	if (size < length + 2)
		return;
	length++;
	memcpy(text, data + 1, length);
	data += 1 + length;
	size -= 1 + length;
	if (strlen(text) != length || memchr(data, '\0', size))
		return;
	whole = calloc(1, size + 1);
	must(whole != NULL);
	memcpy(whole, data, size);
	found = ready_match(text, &matched, data, size);
	must(found == (strstr(whole, text) != NULL));
	for (size_t i = 0; i < size && !parts; i++)
		parts = ready_match(text, &in_parts, data + i, 1);
	must(parts == found);
	free(whole);
}

/* What the vsock device answers, a byte after the other: it is a line, or refused before long. */
static void read_answer(const char *data, size_t size)
{
	int r = 0;

	for (size_t part = 0; part <= size && r == 0; part++) {
		r = vsock_ports_answer(data, part);
		must(r != 1 || (part > 0 && data[part - 1] == '\n'));
		must(r != 0 || part < 64);
	}
}

static void read_json(const char *data, size_t size)
{
	struct json_object *object;
	struct firmware firmware;
	char error[128];

	if (json_parse(data, size, &object, error, sizeof(error)) < 0)
		return;
	if (firmware_matches(object, MACHINE_ARCH_X86_64, &firmware))
		must(firmware.code[0] == '/' && firmware.vars[0] == '/');
	snapshot_size(object, "s");
	json_object_put(object);
}

/* Texts that end with a NUL. */
static void read_text(uint8_t kind, const char *text)
{
	struct qemu_version version;
	struct ready_spec ready;
	struct problem problem = {""};
	struct accel_facts facts = {.x86 = true, .cpuinfo = text};
	struct publish publish;
	enum accel accel;

	switch (kind % 6) {
	case 0:
		if (qemu_version_parse(text, &version) == 0)
			must(version.major <= 9999 && version.minor <= 9999);
		break;
	case 1:
		must(ready_parse(text, &ready, &problem) == 0 || problem.text[0]);
		break;
	case 2:
		accel_guest_runs(text);
		break;
	case 3:
		must(accel_choose(ACCEL_WISH_AUTO, &facts, &accel, &problem) == 0);
		must(problem.text[0]);
		break;
	case 4:
		media_is_public_key(text);
		break;
	case 5:
		must(publish_parse(text, &publish, &problem) == 0 || problem.text[0]);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *rest = (const char *)data + 1;
	char *text;

	if (size < 1)
		return 0;
	size--;
	switch (data[0] & 7) {
	case 0:
		read_agent(rest, size);
		return 0;
	case 1:
		read_ready(rest, size);
		return 0;
	case 2:
		read_answer(rest, size);
		return 0;
	case 3:
		read_json(rest, size);
		return 0;
	case 4:
		store_cmdline_of(rest, size, "/run/m");
		return 0;
	}
	text = calloc(1, size + 1);
	must(text != NULL);
	memcpy(text, rest, size);
	read_text(data[0] >> 3, text);
	free(text);
	return 0;
}
