// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The order of a start: options, configuration, services, links, the apps' socket, READY.
// Everything that can be wrong is found before the socket is there. The end is the same backwards,
// so that nothing new comes while channels are being closed.

#include "daemon.h"

#include <gio/gio.h>
#include <glib-unix.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "apps.h"
#include "buffers/handle.h"
#include "config.h"
#include "control.h"
#include "discovery.h"
#include "events.h"
#include "expose.h"
#include "json.h"
#include "link.h"
#include "log.h"
#include "notify.h"
#include "process.h"
#include "services.h"

typedef struct CommonOptions {
    gboolean version, verbose;
    char *socket, *config, *services;
} CommonOptions;

static GOptionContext *make_context(const MuxDaemonKind *kind, CommonOptions *options)
{
    const GOptionEntry entries[] = {
        {"socket", 0, 0, G_OPTION_ARG_FILENAME, &options->socket, "Where programs connect to",
         "PATH"},
        {"config", 0, 0, G_OPTION_ARG_FILENAME, &options->config, "Configuration (JSON)", "FILE"},
        {"services", 0, 0, G_OPTION_ARG_FILENAME, &options->services,
         "Folder of NAME.json, a file a service", "DIR"},
        {"verbose", 'v', 0, G_OPTION_ARG_NONE, &options->verbose, "Log more", NULL},
        {"version", 0, 0, G_OPTION_ARG_NONE, &options->version, "Print the version", NULL},
        {NULL, 0, 0, 0, NULL, NULL, NULL}};
    GOptionContext *context = g_option_context_new(NULL);
    g_autofree char *defaults =
        g_strdup_printf("Defaults: --socket %s --config %s --services %s\n"
                        "SIGHUP reloads configuration and services. See %s(8).",
                        kind->socket, kind->config, kind->services, kind->name);

    g_option_context_set_summary(context, kind->summary);
    g_option_context_set_description(context, defaults);
    g_option_context_add_main_entries(context, kind->options, NULL);
    g_option_context_add_main_entries(context, entries, NULL);
    return context;
}

// The exit status, or -1 to go on.
static int parse_options(MuxDaemon *daemon, int argc, char **argv)
{
    CommonOptions options = {0};
    g_autoptr(GError) error = NULL;
    g_autoptr(GOptionContext) context = make_context(daemon->kind, &options);

    bool good = g_option_context_parse(context, &argc, &argv, &error);
    if (good && argc > 1)
        g_set_error(&error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "unexpected argument '%s'",
                    argv[1]);
    daemon->socket = options.socket;
    daemon->config = options.config;
    daemon->services = options.services;
    daemon->socket_given = options.socket;
    daemon->config_given = options.config;
    daemon->services_given = options.services;
    mux_log_setup(options.verbose);
    if (error) {
        (void)fprintf(stderr, "%s: %s (see --help)\n", daemon->kind->name, error->message);
        return 2;
    }
    if (options.version) {
        (void)printf("%s %s\n", daemon->kind->name, GUESTMUX_VERSION);
        return 0;
    }
    return -1;
}

// --- configuration

static bool may_stay(const MuxService *service)
{
    return mux_control_may_register(service->registrant, service->name);
}

// Where the socket is does not change while it is in use; who may connect to it does.
static void apply_socket(MuxDaemon *daemon, const MuxConfig *config)
{
    g_autoptr(GError) error = NULL;

    if (!daemon->socket)
        daemon->socket = g_strdup(config->socket ? config->socket : daemon->kind->socket);
    else if (!daemon->socket_given && config->socket && strcmp(config->socket, daemon->socket) != 0)
        g_warning("\"socket\" is changed by a restart only; it stays %s", daemon->socket);
    if (daemon->relay.apps && !mux_access_equal(&daemon->access, &config->access))
        (void)mux_apps_set_access(daemon->relay.apps, &config->access, &error);
    if (error)
        g_warning("%s", error->message);
    daemon->access = config->access;
}

static void apply_policy(MuxDaemon *daemon, MuxConfig *config)
{
    MuxPolicy *policy = daemon->relay.policy;

    daemon->relay.policy = config->policy;
    config->policy = policy;
    mux_services_review(daemon->relay.services, may_stay);
    if (json_object_equal(daemon->rules, config->rules))
        return;
    // What users may open, and so what they are told of, is another.
    mux_controls_ask_anew(daemon->relay.controls, MUX_TOPIC_SERVICES | MUX_TOPIC_BUFFERS);
    json_object_put(daemon->rules);
    daemon->rules = json_object_get(config->rules);
}

static void put_in_force(MuxDaemon *daemon, MuxConfig *config)
{
    apply_policy(daemon, config);
    daemon->relay.users = config->users;
    daemon->relay.buffers = config->buffers;
    apply_socket(daemon, config);
    mux_exposes_commit(daemon->exposes);
    if (!daemon->services_given) {
        g_free(daemon->services);
        daemon->services = g_strdup(config->services ? config->services : daemon->kind->services);
    }
}

static bool apply_config(MuxDaemon *daemon, json_object *object, GError **error)
{
    MuxLimits before = daemon->relay.limits;
    MuxConfig config;

    if (!mux_config_read(object, daemon->kind->keys, &config, error))
        return false;
    daemon->relay.limits = config.limits; // for the links that are made now
    bool good = mux_exposes_prepare(daemon->exposes, config.expose, error) &&
                daemon->kind->configure(daemon, object, error);
    if (good) {
        put_in_force(daemon, &config);
    } else {
        mux_exposes_undo(daemon->exposes);
        daemon->relay.limits = before;
    }
    mux_config_clear(&config);
    return good;
}

static bool load_config(MuxDaemon *daemon, GError **error)
{
    const char *file = daemon->config_given ? daemon->config : daemon->kind->config;
    bool missing = !daemon->config_given && !g_file_test(file, G_FILE_TEST_EXISTS);
    json_object *config = missing ? json_object_new_object() : mux_json_load(file, error);

    if (!config)
        return false;
    bool good = apply_config(daemon, config, error);
    if (!good && !missing && (*error)->domain != G_OPTION_ERROR)
        mux_json_blame(config, file, error);
    json_object_put(config);
    return good;
}

// `all`: also what was said before about files that cannot be used.
static bool load_services(MuxDaemon *daemon, bool all, GError **error)
{
    const char *const folders[] = {daemon->services, NULL};

    mux_watcher_set(daemon->watcher, folders); // first, so that nothing changes unseen
    // A default folder that is not there is an empty one.
    bool missing = strcmp(daemon->services, daemon->kind->services) == 0 &&
                   !g_file_test(daemon->services, G_FILE_TEST_EXISTS);
    return mux_services_load(daemon->relay.services, missing ? NULL : daemon->services, all, error);
}

static void on_services_changed(void *user)
{
    g_autoptr(GError) error = NULL;

    (void)load_services(user, false, &error);
    if (error)
        g_warning("services not reloaded: %s", error->message);
}

// --- signals

static gboolean on_term(gpointer user)
{
    MuxDaemon *daemon = user;

    g_message("stopping");
    mux_notify("STOPPING=1");
    mux_loop_quit(daemon->relay.loop);
    return G_SOURCE_CONTINUE;
}

static void say_reloaded(const char *what, const GError *error)
{
    if (error)
        g_warning("%s not reloaded: %s", what, error->message);
    else
        g_message("%s reloaded", what);
}

static gboolean on_hup(gpointer user)
{
    MuxDaemon *daemon = user;
    g_autoptr(GError) error = NULL;
    g_autofree char *reloading =
        g_strdup_printf("RELOADING=1\nMONOTONIC_USEC=%" G_GINT64_FORMAT, g_get_monotonic_time());

    mux_notify(reloading);
    (void)load_config(daemon, &error);
    say_reloaded("configuration", error);
    g_clear_error(&error);
    (void)load_services(daemon, true, &error);
    say_reloaded("services", error);
    mux_notify("READY=1");
    return G_SOURCE_CONTINUE;
}

// --- start and end

// Whoever looks for services is told, on this side and on the other.
static void on_service_changed(void *user, const MuxService *service, MuxChange change)
{
    MuxRelay *relay = user;

    for (guint i = 0; i < relay->links->len; i++) {
        MuxLink *link = g_ptr_array_index(relay->links, i);
        mux_discovery_offer(link->discovery, service->name, change);
    }
    mux_event_offer(relay, service, change);
}

static bool start(MuxDaemon *daemon, GError **error)
{
    MuxRelay *relay = &daemon->relay;
    int r = mux_loop_new(&relay->loop);

    if (r < 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "epoll: %s", g_strerror(-r));
        return false;
    }
    relay->role = daemon->kind->role;
    struct rlimit descriptors = mux_process_raise_descriptors(&relay->most_fd);
    if (relay->role == MUX_GUEST)
        mux_process_step_ahead();
    relay->controls = mux_controls_new(relay);
    relay->handles = mux_handles_new(relay);
    relay->waiting = mux_waiting_new();
    relay->services = mux_services_new(&descriptors, on_service_changed, relay);
    relay->links = g_ptr_array_new_with_free_func(mux_link_destroy);
    daemon->exposes = mux_exposes_new(relay);
    daemon->watcher = mux_watcher_new(relay->loop, on_services_changed, daemon);
    if (!load_config(daemon, error) || !load_services(daemon, true, error))
        return false;
    relay->apps = mux_apps_new(relay, daemon->socket, &daemon->access, error);
    return relay->apps != NULL;
}

static void finish(MuxDaemon *daemon)
{
    MuxRelay *relay = &daemon->relay;

    mux_watcher_free(daemon->watcher);
    mux_apps_free(relay->apps);
    mux_exposes_free(daemon->exposes);
    mux_handles_free(relay->handles);
    mux_controls_free(relay->controls);
    relay->controls = NULL;
    if (daemon->kind->finish)
        daemon->kind->finish(daemon);
    if (relay->links)
        g_ptr_array_unref(relay->links);
    mux_waiting_free(relay->waiting);
    mux_services_free(relay->services);
    mux_policy_free(relay->policy);
    json_object_put(daemon->rules);
    mux_loop_free(relay->loop);
    g_free(daemon->socket);
    g_free(daemon->config);
    g_free(daemon->services);
}

static void serve(MuxDaemon *daemon)
{
    guint signals[] = {g_unix_signal_add(SIGTERM, on_term, daemon),
                       g_unix_signal_add(SIGINT, on_term, daemon),
                       g_unix_signal_add(SIGHUP, on_hup, daemon)};

    g_message("ready on %s", daemon->socket);
    mux_notify("READY=1");
    mux_loop_run(daemon->relay.loop);
    for (size_t i = 0; i < G_N_ELEMENTS(signals); i++)
        g_source_remove(signals[i]);
}

int mux_daemon_run(const MuxDaemonKind *kind, void *user, int argc, char **argv)
{
    MuxDaemon daemon = {.kind = kind, .user = user};
    g_autoptr(GError) error = NULL;

    // Characters only: numbers in JSON have a point in every country.
    (void)setlocale(LC_CTYPE, "");
    mux_process_fill_standard_descriptors();
    // The reader of the log may go away; sockets are written with MSG_NOSIGNAL anyway.
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGIO, SIG_IGN); // guestmux/device.c
    g_set_prgname(kind->name);
    int status = parse_options(&daemon, argc, argv);
    if (status < 0) {
        (void)start(&daemon, &error);
        status = !error ? 0 : error->domain == G_OPTION_ERROR ? 2 : 1;
        if (error)
            g_critical("%s", error->message);
        else
            serve(&daemon);
    }
    finish(&daemon);
    return status;
}
