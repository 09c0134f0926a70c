/* SPDX-License-Identifier: Apache-2.0 */
/* The text of resolv.conf and of hosts. */
#include <stdlib.h>
#include <string.h>

#include "dns/dns_hosts.h"
#include "dns/dns_resolvconf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct addr alias4 = addr_from_v4(0xc0a841fe), none = {.family = AF_UNSPEC};
	char *text = malloc(size + 1), to[DNS_RESOLVER_TEXT_MAX];
	struct dns_resolvconf conf;
	struct dns_resolver again;
	struct dns_hosts hosts;

	if (!text)
		abort();
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	dns_resolvconf_parse(text, &conf);
	if (conf.resolver_count > DNS_RESOLVERS_MAX || conf.search_count > DNS_SEARCH_MAX)
		abort();
	for (size_t i = 0; i < conf.resolver_count; i++) {
		if (dns_resolver_parse(dns_resolver_format(&conf.resolvers[i], to), &again) < 0 ||
		    !dns_resolver_equal(&again, &conf.resolvers[i]))
			abort();
	}
	dns_hosts_init(&hosts);
	if (dns_hosts_parse(&hosts, text, &alias4, &none) < 0)
		abort();
	dns_hosts_destroy(&hosts);
	free(text);
	return 0;
}
