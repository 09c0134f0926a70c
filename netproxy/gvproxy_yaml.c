/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gvproxy's YAML configuration. The document is walked, and each scalar has a path such as
 * "interfaces.qemu", "stack.dns[].name": tables say what is at which. Keys that we don't know are
 * ignored, as gvproxy does.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/log.h"
#include "netproxy/gvproxy_private.h"

LOG_MODULE("gvproxy");

#define FILE_SIZE_MAX (1024 * 1024)
#define DEPTH_MAX     12 /* aliases could make a document endless */
#define PATH_MAX_SIZE 128
#define NODES_MAX     100000

struct walk {
	yaml_document_t document;
	struct gvproxy_settings *settings;
	char *error; /* OPTIONS_ERROR_MAX */
	unsigned visited;
};

#define AT(FIELD) offsetof(struct gvproxy_settings, FIELD)

static const struct {
	const char *path;
	size_t offset;
} texts[] = {
	{"log-level", AT(log_level)},
	{"services", AT(services)},
	{"pid-file", AT(pid_file)},
	{"log-file", AT(log_file)},
	{"notification", AT(notification)},
	{"interfaces.qemu", AT(qemu)},
	{"interfaces.vpnkit", AT(vpnkit)},
	{"interfaces.bess", AT(bess)},
	{"interfaces.vfkit", AT(vfkit)},
	{"interfaces.stdio", AT(stdio)},
	{"stack.mtu", AT(mtu)},
	{"stack.subnet", AT(subnet)},
	{"stack.gatewayIP", AT(gateway)},
	{"stack.deviceIP", AT(device)},
	{"stack.hostIP", AT(host)},
	{"stack.gatewayMacAddress", AT(gateway_mac)},
	{"stack.capture-file", AT(pcap)},
};

static const struct {
	const char *path;
	size_t offset;
} lists[] = {
	{"listen[]", AT(listen)},
	{"stack.dnsSearchDomains[]", AT(search)},
};

/* Mappings whose keys are values of their own. */
static const struct {
	const char *path;
	size_t keys, values;
} maps[] = {
	{"stack.forwards", AT(publish_local), AT(publish_remote)},
	{"stack.nat", AT(nat_from), AT(nat_to)},
	{"stack.dhcpStaticLeases", AT(lease_address), AT(lease_mac)},
};

/* Sequences of mappings: a new element begins a new entry of each of these lists. */
static const struct {
	const char *path;
	size_t lists[4];
	unsigned count;
} tables[] = {
	{"forwards[]", {AT(sockets), AT(dests), AT(users), AT(identities)}, 4},
	{"stack.dns[]", {AT(zones), AT(zone_defaults)}, 2},
	{"stack.dns[].records[]", {AT(record_names), AT(record_regexps), AT(record_ips)}, 3},
};

/* Their elements' fields: the last entry of a list. */
static const struct {
	const char *path;
	size_t list;
} fields[] = {
	{"forwards[].socket", AT(sockets)},
	{"forwards[].dest", AT(dests)},
	{"forwards[].user", AT(users)},
	{"forwards[].identity", AT(identities)},
	{"stack.dns[].name", AT(zones)},
	{"stack.dns[].defaultIP", AT(zone_defaults)},
	{"stack.dns[].records[].name", AT(record_names)},
	{"stack.dns[].records[].regexp", AT(record_regexps)},
	{"stack.dns[].records[].ip", AT(record_ips)},
};

static const struct {
	const char *path;
	size_t offset;
} switches[] = {
	{"ec2-metadata-access", AT(ec2)},
	{"stack.ec2MetadataAccess", AT(ec2)},
	{"stack.blockAllOutbound", AT(block_all)},
};

#define COUNT(ARRAY) (sizeof(ARRAY) / sizeof((ARRAY)[0]))

static struct gvproxy_list *list_at(struct gvproxy_settings *settings, size_t offset)
{
	return (struct gvproxy_list *)((char *)settings + offset);
}

static int complain(struct walk *walk, const char *path, const char *what)
{
	snprintf(walk->error, OPTIONS_ERROR_MAX, "\"%s\" in the configuration: %s", path, what);
	return -EINVAL;
}

static int result_of(struct walk *walk, const char *path, int r)
{
	return r < 0 ? complain(walk, path, r == -ENOSPC ? "there are too many" : strerror(-r)) : 0;
}

static int set_switch(struct walk *walk, const char *path, bool *to, const char *value)
{
	if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
		return complain(walk, path, "expected true or false");
	*to = strcmp(value, "true") == 0;
	return 0;
}

static int take_scalar(struct walk *walk, const char *path, const char *value)
{
	struct gvproxy_settings *settings = walk->settings;

	for (size_t i = 0; i < COUNT(texts); i++) {
		if (strcmp(texts[i].path, path) == 0)
			return result_of(
				walk, path,
				gvproxy_set((char **)((char *)settings + texts[i].offset), value));
	}
	for (size_t i = 0; i < COUNT(lists); i++) {
		if (strcmp(lists[i].path, path) == 0)
			return result_of(
				walk, path,
				gvproxy_list_add(list_at(settings, lists[i].offset), value));
	}
	for (size_t i = 0; i < COUNT(fields); i++) {
		struct gvproxy_list *list = list_at(settings, fields[i].list);

		if (strcmp(fields[i].path, path) == 0)
			return result_of(walk, path,
					 gvproxy_set(&list->items[list->count - 1], value));
	}
	for (size_t i = 0; i < COUNT(switches); i++) {
		if (strcmp(switches[i].path, path) == 0)
			return set_switch(walk, path,
					  (bool *)((char *)settings + switches[i].offset), value);
	}
	log_debug("\"%s\" in the configuration is not known here", path);
	return 0;
}

/* Begins an entry of each list that the elements at this path belong to. */
static int begin_element(struct walk *walk, const char *path)
{
	struct gvproxy_settings *settings = walk->settings;

	for (size_t i = 0; i < COUNT(tables); i++) {
		if (strcmp(tables[i].path, path) != 0)
			continue;
		for (unsigned j = 0; j < tables[i].count; j++) {
			int r = gvproxy_list_add(list_at(settings, tables[i].lists[j]), "");

			if (r < 0)
				return result_of(walk, path, r);
		}
		if (tables[i].lists[0] == AT(record_names))
			settings->record_zone[settings->record_names.count - 1] = settings->zones
											  .count -
										  1;
	}
	return 0;
}

static const char *scalar(const yaml_node_t *node)
{
	return node && node->type == YAML_SCALAR_NODE &&
			       strlen((const char *)node->data.scalar.value) ==
				       node->data.scalar.length
		       ? (const char *)node->data.scalar.value
		       : NULL;
}

/* A pair of a mapping of free keys. Returns 1 when this isn't one. */
static int take_pair(struct walk *walk, const char *path, const char *key, const char *value)
{
	for (size_t i = 0; i < COUNT(maps); i++) {
		int r;

		if (strcmp(maps[i].path, path) != 0)
			continue;
		if (!value)
			return complain(walk, path, "expected texts");
		r = gvproxy_list_add(list_at(walk->settings, maps[i].keys), key);
		if (r == 0)
			r = gvproxy_list_add(list_at(walk->settings, maps[i].values), value);
		return result_of(walk, path, r);
	}
	return 1;
}

static int walk_node(struct walk *walk, const yaml_node_t *node, const char *path, unsigned depth);

static int walk_mapping(struct walk *walk, const yaml_node_t *node, const char *path,
			unsigned depth)
{
	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		const char *key = scalar(yaml_document_get_node(&walk->document, pair->key));
		const yaml_node_t *value = yaml_document_get_node(&walk->document, pair->value);
		char below[PATH_MAX_SIZE];
		int r;

		if (!key)
			return complain(walk, path, "expected a text as key");
		r = take_pair(walk, path, key, scalar(value));
		if (r == 1) {
			snprintf(below, sizeof(below), "%s%s%s", path, path[0] ? "." : "", key);
			r = walk_node(walk, value, below, depth + 1);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int walk_sequence(struct walk *walk, const yaml_node_t *node, const char *path,
			 unsigned depth)
{
	char below[PATH_MAX_SIZE];

	snprintf(below, sizeof(below), "%s[]", path);
	for (yaml_node_item_t *item = node->data.sequence.items.start;
	     item < node->data.sequence.items.top; item++) {
		int r = begin_element(walk, below);

		if (r == 0)
			r = walk_node(walk, yaml_document_get_node(&walk->document, *item), below,
				      depth + 1);
		if (r < 0)
			return r;
	}
	return 0;
}

static int walk_node(struct walk *walk, const yaml_node_t *node, const char *path, unsigned depth)
{
	const char *text = scalar(node);

	if (!node)
		return 0;
	if (depth > DEPTH_MAX || ++walk->visited > NODES_MAX)
		return complain(walk, path, "it is nested too deeply, or has too many values");
	if (node->type == YAML_MAPPING_NODE)
		return walk_mapping(walk, node, path, depth);
	if (node->type == YAML_SEQUENCE_NODE)
		return walk_sequence(walk, node, path, depth);
	if (!text)
		return complain(walk, path, "expected text without NUL characters");
	/* "key:" without a value is null. */
	return text[0] ? take_scalar(walk, path, text) : 0;
}

int gvproxy_yaml_parse(const char *text, size_t size, struct gvproxy_settings *settings,
		       char error[static OPTIONS_ERROR_MAX])
{
	struct walk walk = {.settings = settings, .error = error};
	const yaml_node_t *root;
	yaml_parser_t parser;
	int r = 0;

	if (!yaml_parser_initialize(&parser)) {
		snprintf(error, OPTIONS_ERROR_MAX, "out of memory");
		return -ENOMEM;
	}
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
	if (!yaml_parser_load(&parser, &walk.document)) {
		snprintf(error, OPTIONS_ERROR_MAX, "the configuration, line %zu: %s",
			 parser.problem_mark.line + 1,
			 parser.problem ? parser.problem : "it is not YAML");
		yaml_parser_delete(&parser);
		return -EINVAL;
	}
	root = yaml_document_get_root_node(&walk.document);
	if (root && root->type != YAML_MAPPING_NODE)
		r = complain(&walk, "", "expected a mapping, such as \"listen: [unix:///tmp/x]\"");
	else if (root)
		r = walk_node(&walk, root, "", 0);
	yaml_document_delete(&walk.document);
	yaml_parser_delete(&parser);
	return r;
}

int gvproxy_yaml_read(const char *path, struct gvproxy_settings *settings,
		      char error[static OPTIONS_ERROR_MAX])
{
	FILE *file = fopen(path, "re");
	char *text = file ? malloc(FILE_SIZE_MAX + 1) : NULL;
	size_t size;
	int r;

	if (!file) {
		snprintf(error, OPTIONS_ERROR_MAX, "failed to read config file: %.200s: %s", path,
			 strerror(errno));
		return -errno;
	}
	size = text ? fread(text, 1, FILE_SIZE_MAX + 1, file) : 0;
	fclose(file);
	if (!text || size > FILE_SIZE_MAX) {
		snprintf(error, OPTIONS_ERROR_MAX, "%.200s: larger than 1 MiB", path);
		free(text);
		return -EINVAL;
	}
	r = gvproxy_yaml_parse(text, size, settings, error);
	free(text);
	return r;
}
