/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --stats FILE: how the run ended, as one JSON object, for scripts. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <json.h>

#include "atomic.h"
#include "clock.h"
#include "hub.h"
#include "log.h"
#include "seq.h"

static const char *const cause_names[SHUTDOWN_COUNT] = {
#define X(n, s) [SHUTDOWN_##n] = s,
	SHUTDOWN_CAUSES(X)
#undef X
};

static void add_int(struct json_object *o, const char *key, uint64_t v)
{
	json_object_object_add(o, key, json_object_new_uint64(v));
}

void stats_write(struct hub *hub)
{
	const struct life *l = &hub->life;
	const Dejavm__Finished *f = &l->result;
	/* Without Finished the count is the last that the vCPU showed, and the rest is unknown. */
	uint64_t icount = l->finished	 ? f->icount
			  : hub->machine ? atomic_read(&hub->machine->icount_now)
					 : 0;
	struct json_object *o;
	char digest[24];
	FILE *out;

	if (!hub->opt.stats_file)
		return;
	out = fopen(hub->opt.stats_file, "we");
	if (!out) {
		log_error("--stats %s: cannot write it: %s", hub->opt.stats_file, strerror(errno));
		return;
	}
	o = json_object_new_object();
	snprintf(digest, sizeof(digest), "%016llx", (unsigned long long)f->digest);
	add_int(o, "exit_status", (uint64_t)l->status);
	json_object_object_add(o, "cause",
		json_object_new_string(!l->finished		   ? "none"
				       : f->cause < SHUTDOWN_COUNT ? cause_names[f->cause]
								   : "?"));
	json_object_object_add(o, "finished", json_object_new_boolean(l->finished));
	add_int(o, "icount", icount);
	add_int(o, "vtime_ns", f->vtime_ns);
	add_int(o, "events", f->events);
	add_int(o, "log_bytes", f->log_bytes);
	json_object_object_add(o, "digest", json_object_new_string(digest));
	json_object_object_add(o, "wall_s",
		json_object_new_double((double)(host_monotonic_ns() - l->start_ns) / 1e9));
	json_object_object_add(o, "text", json_object_new_string(l->text));
	fprintf(out, "%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
	json_object_put(o);
	if (fclose(out) != 0)
		log_error("--stats %s: cannot write it: %s", hub->opt.stats_file, strerror(errno));
}
