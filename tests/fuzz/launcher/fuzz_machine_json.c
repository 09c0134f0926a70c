/* SPDX-License-Identifier: Apache-2.0 */
/* A machine's description, which anybody may have edited: what is taken for good is written, and
 * read again, as it was, and can be made the words of a "run"; what isn't has a message. */
#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "launcher/store_description.h"
#include "fuzz.h"

static void check_problem(int r, const struct problem *problem)
{
	must(r >= 0 || (problem->text[0] && memchr(problem->text, '\0', PROBLEM_MAX)));
}

/* As options: refused with a message, or with what a machine needs. */
static void use(struct json_object *object)
{
	static const struct store_place place = {.name = "m", .dir = "/nowhere/m"};
	struct settings settings;
	struct problem problem = {""};
	int r = description_options(object, &place, &settings, &problem);

	check_problem(r, &problem);
	if (r == 0)
		must(settings.run.machine.mem_bytes > 0 && settings.run.machine.cpus > 0 &&
		     settings.balloon_min_bytes <= settings.run.machine.mem_bytes &&
		     settings.run.state_dir && strcmp(settings.run.state_dir, place.dir) == 0 &&
		     strcmp(settings.run.machine.name, place.name) == 0);
	run_options_clear(&settings.run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json_object *object, *again;
	struct problem problem = {""};
	const char *text;
	int r;

	log_set_levels("error");
	r = description_parse((const char *)data, size, "machine.json", &object, &problem);
	check_problem(r, &problem);
	if (r < 0)
		return 0;
	text = json_object_to_json_string(object);
	must(description_parse(text, strlen(text), "again", &again, &problem) == 0);
	must(json_object_equal(object, again));
	json_object_put(again);
	use(object);
	json_object_put(object);
	return 0;
}
