// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Everything is checked here, users and groups are looked up, and nothing is changed.

#include "config.h"

#include <gio/gio.h>

#include "buffers/buffers.h"
#include "json.h"
#include "proto/limits.h"

#define CHANNELS_MAX 1000000
#define BYTES_MAX    ((guint64)1 << 40)

static bool known_keys(json_object *object, const char *const *own, GError **error)
{
    static const char *const common[] = {"socket",       "socket-mode", "socket-owner",
                                         "socket-group", "services",    "limits",
                                         "policy",       "expose",      NULL};
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

    g_strv_builder_addv(builder, (const char **)common);
    g_strv_builder_addv(builder, (const char **)own);
    g_auto(GStrv) known = g_strv_builder_end(builder);
    return mux_json_known(object, (const char *const *)known, error);
}

static bool read_buffers(json_object *limits, MuxBufferLimits *buffers, GError **error)
{
    guint64 count = buffers->buffers;

    if (!mux_json_number(limits, "buffers", 0, MUX_BUFFERS_MOST, &count, error) ||
        !mux_json_number(limits, "buffer_bytes", MUX_BUFFER_LEAST, BYTES_MAX, &buffers->bytes,
                         error))
        return false;
    buffers->buffers = (guint32)count;
    return true;
}

static bool read_numbers(json_object *limits, MuxConfig *config, GError **error)
{
    static const char *const known[] = {
        "channels", "budget_bytes", "user_channels", "user_bytes", "buffers", "buffer_bytes", NULL};
    guint64 channels = 0, budget = 0, user_channels = 0, user_bytes = 0;

    if (!mux_json_known(limits, known, error) ||
        !mux_json_number(limits, "channels", 1, CHANNELS_MAX, &channels, error) ||
        !mux_json_number(limits, "budget_bytes", 1 << 20, BYTES_MAX, &budget, error) ||
        !mux_json_number(limits, "user_channels", 1, CHANNELS_MAX, &user_channels, error) ||
        !mux_json_number(limits, "user_bytes", 1 << 16, BYTES_MAX, &user_bytes, error) ||
        !read_buffers(limits, &config->buffers, error))
        return false;
    guint64 least = (channels ? channels : MUX_CHANNELS_DEFAULT) * MUX_BUDGET_LEAST;
    if (budget && budget < least) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "\"budget_bytes\" must be at least %d for each of \"channels\", "
                    "so %" G_GUINT64_FORMAT,
                    MUX_BUDGET_LEAST, least);
        return false;
    }
    config->limits = (MuxLimits){.channels = (uint32_t)channels, .budget = budget};
    if (user_channels)
        config->users.channels = (guint32)user_channels;
    config->users.bytes = user_bytes ? user_bytes : (budget ? budget : MUX_BUDGET_DEFAULT) / 2;
    return true;
}

static bool read_limits(json_object *object, MuxConfig *config, GError **error)
{
    json_object *limits = NULL;

    if (!mux_json_object(object, "limits", &limits, error))
        return false;
    if (!limits || read_numbers(limits, config, error))
        return true;
    g_prefix_error(error, "\"limits\": ");
    return false;
}

static bool read_policy(json_object *object, MuxPolicy **ret_policy, GError **error)
{
    json_object *policy = NULL;

    if (!mux_json_object(object, "policy", &policy, error))
        return false;
    if (!policy || (*ret_policy = mux_policy_new(policy, error)))
        return true;
    g_prefix_error(error, "\"policy\": ");
    return false;
}

bool mux_config_read(json_object *object, const char *const *own, MuxConfig *ret_config,
                     GError **error)
{
    MuxConfig config = {
        .access = MUX_ACCESS(0666),
        .users = {.channels = MUX_USER_CHANNELS_DEFAULT, .bytes = MUX_BUDGET_DEFAULT / 2},
        .buffers = {.buffers = MUX_BUFFERS_DEFAULT, .bytes = MUX_BUFFER_BYTES_DEFAULT}};

    if (!known_keys(object, own, error) ||
        !mux_json_string(object, "socket", &config.socket, error) ||
        !mux_access_read(object, "socket-", &config.access, error) ||
        !mux_json_string(object, "services", &config.services, error) ||
        !read_limits(object, &config, error) || !read_policy(object, &config.policy, error))
        return false;
    (void)json_object_object_get_ex(object, "policy", &config.rules);
    (void)json_object_object_get_ex(object, "expose", &config.expose);
    *ret_config = config;
    return true;
}

void mux_config_clear(MuxConfig *config)
{
    config->policy = mux_policy_free(config->policy);
}
