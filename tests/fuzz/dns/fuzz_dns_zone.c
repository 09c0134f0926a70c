/* SPDX-License-Identifier: Apache-2.0 */
/* A zone from an API client: lines of zone name, record name, regular expression and the name to
 * look up. */
#include <stdlib.h>
#include <string.h>

#include "dns/dns_zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *rest = text, error[256];
	const char *fields[4] = {"", "", "", ""};
	const struct dns_zone *zone;
	struct dns_zones zones;
	struct dns_name name;

	if (!text)
		abort();
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	for (int i = 0; i < 4 && rest; i++)
		fields[i] = strsep(&rest, "\n");
	struct dns_record_conf record = {
		.name = fields[1], .regexp = fields[2], .ip = addr_from_v4(0x0a000001)};
	struct dns_zone_conf conf = {.name = fields[0], .records = &record, .record_count = 1};
	dns_zones_init(&zones);
	if (dns_zones_add(&zones, &conf, error, sizeof(error)) == 0 &&
	    dns_name_parse(fields[3], &name) == 0) {
		dns_name_lower(&name);
		const struct dns_zone_record *found = dns_zones_find(&zones, &name, AF_UNSPEC,
								     &zone);
		if (found && dns_zone_next_like(zone, found))
			abort(); /* there is only one */
		dns_zones_owner(&zones, &name);
		/* Once more, and in its own place: there is still only one. */
		if (dns_zones_add(&zones, &conf, error, sizeof(error)) < 0 ||
		    dns_zones_put(&zones, &conf, error, sizeof(error)) < 0 ||
		    zones.record_count != 1 || !dns_zones_get(&zones, fields[0]) ||
		    dns_zones_remove(&zones, fields[0]) < 0 || zones.count != 0)
			abort();
	}
	dns_zones_destroy(&zones);
	free(text);
	return 0;
}
