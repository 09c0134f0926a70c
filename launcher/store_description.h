/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine.json: what a machine is made of, as the flags of "run" say it, each a key: a switch is
 * true or false, a flag that may be given many times a list, any other a string or a number.
 * Besides there are the keys of struct settings, and "version", which says what the keys mean. An
 * older version is migrated when it is read, and kept beside the new one as machine.json.vN.
 *
 * Relative paths are from the machine's directory.
 */
#ifndef LAUNCHER_STORE_DESCRIPTION_H
#define LAUNCHER_STORE_DESCRIPTION_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "launcher/args.h"
#include "launcher/flags.h"
#include "launcher/machine_ready.h"
#include "launcher/options.h"
#include "launcher/problem.h"
#include "launcher/store.h"

#define DESCRIPTION_VERSION  1
#define DESCRIPTION_SIZE_MAX (2u << 20) /* metadata may be in it */
#define DESCRIPTION_KEYS_MAX 64

/* What flags write to. The run options come first: run's own flags take this for those. */
struct settings {
	struct run_options run;
	struct ready_spec ready;
	unsigned ready_timeout_s;   /* with KVM; longer under TCG */
	uint64_t balloon_min_bytes; /* the balloon never leaves the guest less */
};

/* The flags that a description can have; ends with a flag without a name. */
const struct flag *description_flags(size_t *ret_count);
/* Whether it is a list. */
bool description_is_list(const char *key);

/* Reads text as a description and checks every value. `where` begins the messages, which tell line
 * and key. *ret_object is owned. Nothing of the host is looked at. Returns 0, or -EINVAL with the
 * problem set. */
int description_parse(const char *text, size_t size, const char *where,
		      struct json_object **ret_object, struct problem *problem);
/* An empty one. NULL without memory. */
struct json_object *description_new(void);
/* Reads a machine's, and migrates it if need be. Returns 0 with an owned object, or -errno with the
 * problem set. */
int description_load(const struct store_place *place, struct json_object **ret_object,
		     struct problem *problem);
/* Returns 0, or -errno with the problem set. */
int description_save(const struct store_place *place, struct json_object *object,
		     struct problem *problem);
/* Turns an object of an older version into the current one, in place. Returns whether it was older,
 * or -EINVAL with the problem set: it is from a newer program. */
int description_migrate(struct json_object *object, const char *where, struct problem *problem);

/* The flags in argv[1] onwards, which flags_parse() has accepted: puts them into the object, with
 * absolute paths. Those of `skip` (NULL-terminated) are left out; arguments that aren't flags are
 * the image from the one with number `first_path` on. Returns 0, or -errno with the problem set. */
int description_merge(struct json_object *object, int argc, char *const *argv,
		      const struct flag *flags, size_t flag_count, const char *const *skip,
		      unsigned first_path, struct problem *problem);
/* The words of a "run" with this description, and in *settings what it says besides.
 * Returns 0, or -errno with the problem set; `settings` is to be cleared in any case
 * (run_options_clear()). */
int description_options(struct json_object *object, const struct store_place *place,
			struct settings *settings, struct problem *problem);

/* The line, from 1, on which a key of the outermost object stands, or with `index` from 0 that
 * element of its list. 0 when it isn't found. Pure. */
unsigned description_line(const char *text, size_t size, const char *key, int index);
/* The first key that stands there twice, in `to`; or false. Pure. */
bool description_repeated(const char *text, size_t size, char to[static 64]);

#endif
