// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Rates, from two answers to "status". What was not in the answer before began at zero.

#include "rates.h"

#include "text.h"

typedef struct Counters {
    guint64 in, out;
} Counters;

// The keys of two counters, and of their rates.
typedef struct Keys {
    const char *in, *out, *in_rate, *out_rate;
} Keys;

static const Keys carried = {"received", "sent", "in_rate", "out_rate"};
// Of a region of shared memory: through it, and past it.
static const Keys region_keys = {"shared_bytes", "inline_bytes", "shared_rate", "inline_rate"};

typedef struct Step {
    GHashTable *before, *now; // key: Counters
    double seconds;           // between the two; 0: there was none before
} Step;

static guint64 per_second(guint64 before, guint64 now, double seconds)
{
    return seconds > 0 && now > before ? (guint64)((double)(now - before) / seconds) : 0;
}

// Takes the key.
static void add_rates(const Step *step, char *key, const Keys *keys, json_object *counted,
                      json_object *shown)
{
    Counters *now = g_new0(Counters, 1);
    const Counters none = {0};
    const Counters *before = step->before ? g_hash_table_lookup(step->before, key) : NULL;

    if (!before)
        before = &none;
    now->in = muxctl_number(counted, keys->in);
    now->out = muxctl_number(counted, keys->out);
    guint64 in = per_second(before->in, now->in, step->seconds);
    guint64 out = per_second(before->out, now->out, step->seconds);
    json_object_object_add(shown, keys->in_rate, json_object_new_uint64(in));
    json_object_object_add(shown, keys->out_rate, json_object_new_uint64(out));
    g_hash_table_replace(step->now, key, now);
}

static void add_regions(const Step *step, json_object *link, const char *id)
{
    static const char *const sides[] = {"in", "out"};
    json_object *memory = muxctl_get(link, "memory");

    for (size_t i = 0; i < G_N_ELEMENTS(sides); i++) {
        json_object *region = muxctl_get(memory, sides[i]);
        if (region)
            add_rates(step, g_strdup_printf("%s/%s//%s", muxctl_text(link, "name"), id, sides[i]),
                      &region_keys, region, region);
    }
}

static void add_link(const Step *step, json_object *link)
{
    json_object *session = muxctl_get(link, "session"), *channels = muxctl_get(link, "channels");
    const char *name = muxctl_text(link, "name"), *id = muxctl_text(session, "id");

    add_rates(step, g_strdup_printf("%s/%s", name, id), &carried, session, link);
    add_regions(step, link, id);
    for (size_t i = 0; channels && i < json_object_array_length(channels); i++) {
        json_object *channel = json_object_array_get_idx(channels, i);
        json_object_object_add(channel, "link", json_object_new_string(name));
        add_rates(step, g_strdup_printf("%s/%s/%s", name, id, muxctl_text(channel, "id")), &carried,
                  channel, channel);
    }
}

void muxctl_rates_add(MuxctlRates *rates, gint64 now_us, json_object *answer)
{
    json_object *links = muxctl_get(answer, "links");
    Step step = {.before = rates->before,
                 .now = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free)};

    if (rates->before)
        step.seconds = (double)(now_us - rates->then_us) / G_USEC_PER_SEC;
    json_object_object_add(answer, "seconds", json_object_new_double(step.seconds));
    for (size_t i = 0; links && i < json_object_array_length(links); i++)
        add_link(&step, json_object_array_get_idx(links, i));
    muxctl_rates_deinit(rates);
    rates->before = step.now;
    rates->then_us = now_us;
}

void muxctl_rates_deinit(MuxctlRates *rates)
{
    g_clear_pointer(&rates->before, g_hash_table_unref);
}
