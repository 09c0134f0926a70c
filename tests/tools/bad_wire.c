/* SPDX-License-Identifier: Apache-2.0 */
/* A bad wire; see bad_wire.h. */
#include "bad_wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum fate { FATE_PASS, FATE_LOSE, FATE_DOUBLE, FATE_HOLD };

bool bad_wire_parse(const char *text, struct bad_wire_conf *ret)
{
	struct bad_wire_conf conf = {.seed = 1};
	int fields = sscanf(text, "%u,%u,%u,%" SCNu64, &conf.loss, &conf.duplicate, &conf.reorder,
			    &conf.seed);

	if (fields < 3 || conf.loss > 1000 || conf.duplicate > 1000 || conf.reorder > 1000 ||
	    conf.seed == 0)
		return false;
	*ret = conf;
	return true;
}

void bad_wire_init(struct bad_wire *wire, const struct bad_wire_conf *conf)
{
	wire->conf = *conf;
	wire->random = conf->seed;
	wire->spoilt = 0;
	wire->held_size = 0;
}

/* xorshift64 */
static unsigned throw_dice(struct bad_wire *wire)
{
	wire->random ^= wire->random << 13;
	wire->random ^= wire->random >> 7;
	wire->random ^= wire->random << 17;
	return (unsigned)(wire->random >> 33) % 1000;
}

static enum fate next_fate(struct bad_wire *wire)
{
	const struct bad_wire_conf *conf = &wire->conf;
	unsigned dice = throw_dice(wire);

	if (dice < conf->loss)
		return FATE_LOSE;
	dice -= conf->loss;
	if (dice < conf->duplicate)
		return FATE_DOUBLE;
	dice -= conf->duplicate;
	return dice < conf->reorder && wire->held_size == 0 ? FATE_HOLD : FATE_PASS;
}

void bad_wire_pass(struct bad_wire *wire, const uint8_t *bytes, size_t size, bad_wire_fn *fn,
		   void *arg)
{
	enum fate fate = next_fate(wire);

	if (fate != FATE_PASS)
		wire->spoilt++;
	if (fate == FATE_LOSE)
		return;
	if (fate == FATE_HOLD) {
		memcpy(wire->held, bytes, size);
		wire->held_size = size;
		return;
	}
	fn(arg, bytes, size);
	if (fate == FATE_DOUBLE)
		fn(arg, bytes, size);
	if (wire->held_size)
		fn(arg, wire->held, wire->held_size);
	wire->held_size = 0;
}
