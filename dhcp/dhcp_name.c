/* SPDX-License-Identifier: Apache-2.0 */
/* Host and domain names as DHCP carries them: see dhcp_name.h. */
#include "dhcp/dhcp_name.h"

#include <string.h>

#define LABEL_MAX        63
#define FQDN_HEADER_SIZE 3 /* flags and two obsolete result codes */
#define FQDN_FLAG_WIRE   0x04

/* ASCII only, whatever the locale. */
static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool label_valid(const char *label, size_t size, bool allow_underscore)
{
	if (size == 0 || size > LABEL_MAX || label[0] == '-' || label[size - 1] == '-')
		return false;
	for (size_t i = 0; i < size; i++)
		if (!is_alnum(label[i]) && label[i] != '-' &&
		    !(allow_underscore && label[i] == '_'))
			return false;
	return true;
}

bool dhcp_hostname_clean(const void *text, size_t size, char ret[static DHCP_HOSTNAME_MAX])
{
	const char *name = text;
	char clean[DHCP_HOSTNAME_MAX] = "";
	size_t length = 0;

	/* Some clients count a terminating NUL in; the dot ends the host part. */
	while (length < size && name[length] != '.' && name[length] != '\0')
		length++;
	if (!label_valid(name, length, false))
		return false;
	for (size_t i = 0; i < length; i++)
		clean[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] - 'A' + 'a' : name[i]);
	if (strcmp(clean, "localhost") == 0 || strcmp(clean, "wpad") == 0)
		return false;
	memcpy(ret, clean, sizeof(clean));
	return true;
}

bool dhcp_hostname_from_fqdn(const void *value, size_t size, char ret[static DHCP_HOSTNAME_MAX])
{
	struct wire_reader r = wire_reader(value, size);
	uint8_t flags = wire_u8(&r);

	wire_skip(&r, FQDN_HEADER_SIZE - 1);
	size_t length = flags & FQDN_FLAG_WIRE ? wire_u8(&r) : wire_left(&r);
	const uint8_t *name = wire_bytes(&r, length);

	return name && dhcp_hostname_clean(name, length, ret);
}

bool dhcp_domain_valid(const char *name)
{
	size_t total = strlen(name);

	if (total == 0 || total >= DHCP_DOMAIN_MAX)
		return false;
	while (*name) {
		size_t length = strcspn(name, ".");

		if (!label_valid(name, length, true))
			return false;
		name += length;
		if (*name == '.')
			name++;
	}
	return true;
}

void dhcp_put_domain(struct wire_writer *w, const char *name)
{
	while (*name) {
		size_t length = strcspn(name, ".");

		wire_put_u8(w, (uint8_t)length);
		wire_put_bytes(w, name, length);
		name += length;
		if (*name == '.')
			name++;
	}
	wire_put_u8(w, 0);
}
