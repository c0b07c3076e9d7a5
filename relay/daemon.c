// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The order of a start: options, configuration, services, links, the apps' socket, READY.
// Everything that can be wrong is found before the socket is there. The end is the same backwards,
// so that nothing new comes while channels are being closed.

#include "daemon.h"

#include <fcntl.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "apps.h"
#include "json.h"
#include "link.h"
#include "log.h"
#include "notify.h"
#include "proto/limits.h"
#include "services.h"

#define DESCRIPTORS_KEPT 64

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

static bool known_keys(const MuxDaemonKind *kind, json_object *config, GError **error)
{
    static const char *const common[] = {"socket", "services", "limits", NULL};
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

    g_strv_builder_addv(builder, (const char **)common);
    g_strv_builder_addv(builder, (const char **)kind->keys);
    g_auto(GStrv) known = g_strv_builder_end(builder);
    return mux_json_known(config, (const char *const *)known, error);
}

static bool read_limits(json_object *config, MuxLimits *ret_limits, GError **error)
{
    static const char *const known[] = {"channels", "budget_bytes", NULL};
    json_object *object = NULL;
    guint64 channels = 0, budget = 0;

    if (!mux_json_object(config, "limits", &object, error))
        return false;
    if (object &&
        (!mux_json_known(object, known, error) ||
         !mux_json_number(object, "channels", 1, 1000000, &channels, error) ||
         !mux_json_number(object, "budget_bytes", 1 << 20, (guint64)1 << 40, &budget, error)))
        return false;
    guint64 least = (channels ? channels : MUX_CHANNELS_DEFAULT) * MUX_BUDGET_LEAST;
    if (budget && budget < least) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "\"limits\": \"budget_bytes\" must be at least %d for each of \"channels\", "
                    "so %" G_GUINT64_FORMAT,
                    MUX_BUDGET_LEAST, least);
        return false;
    }
    *ret_limits = (MuxLimits){.channels = (uint32_t)channels, .budget = budget};
    return true;
}

static bool apply_config(MuxDaemon *daemon, json_object *config, GError **error)
{
    const char *socket = NULL, *services = NULL;
    MuxLimits before = daemon->relay.limits, limits;

    if (!known_keys(daemon->kind, config, error) ||
        !mux_json_string(config, "socket", &socket, error) ||
        !mux_json_string(config, "services", &services, error) ||
        !read_limits(config, &limits, error))
        return false;
    daemon->relay.limits = limits; // for the links that are made now
    if (!daemon->kind->configure(daemon, config, error)) {
        daemon->relay.limits = before;
        return false;
    }
    if (!daemon->socket) // where the socket is does not change while it is in use
        daemon->socket = g_strdup(socket ? socket : daemon->kind->socket);
    if (!daemon->services_given) {
        g_free(daemon->services);
        daemon->services = g_strdup(services ? services : daemon->kind->services);
    }
    return true;
}

static bool load_config(MuxDaemon *daemon, GError **error)
{
    const char *file = daemon->config_given ? daemon->config : daemon->kind->config;
    bool missing = !daemon->config_given && !g_file_test(file, G_FILE_TEST_EXISTS);
    json_object *config = missing ? json_object_new_object() : mux_json_load(file, error);

    if (!config)
        return false;
    bool good = apply_config(daemon, config, error);
    json_object_put(config);
    if (!good && !missing && (*error)->domain != G_OPTION_ERROR)
        g_prefix_error(error, "%s: ", file);
    return good;
}

static bool load_services(MuxDaemon *daemon, GError **error)
{
    // A default folder that is not there is an empty one.
    if (strcmp(daemon->services, daemon->kind->services) == 0 &&
        !g_file_test(daemon->services, G_FILE_TEST_EXISTS))
        return true;
    return mux_services_load(daemon->relay.services, daemon->services, error);
}

// --- signals

static gboolean on_term(gpointer user)
{
    MuxDaemon *daemon = user;

    g_message("stopping");
    mux_notify("STOPPING=1");
    g_main_loop_quit(daemon->main);
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
    (void)load_services(daemon, &error);
    say_reloaded("services", error);
    mux_notify("READY=1");
    return G_SOURCE_CONTINUE;
}

// Who was started without them must not log into a socket that got their number.
static void fill_standard_descriptors(void)
{
    int fd;

    while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= STDERR_FILENO) {
    }
    if (fd >= 0)
        close(fd);
}

// Each channel is a descriptor; the usual soft limit of 1,024 is for programs that use select().
// Returns what the limit was.
static struct rlimit raise_descriptor_limit(MuxRelay *relay)
{
    struct rlimit before = {.rlim_cur = 1024, .rlim_max = 1024};

    (void)getrlimit(RLIMIT_NOFILE, &before);
    struct rlimit raised = {.rlim_cur = before.rlim_max, .rlim_max = before.rlim_max};
    bool good = setrlimit(RLIMIT_NOFILE, &raised) == 0;
    int most = (int)MIN(good ? raised.rlim_cur : before.rlim_cur, G_MAXINT);
    relay->most_fd = most - MIN(DESCRIPTORS_KEPT, most / 4);
    return before;
}

// --- start and end

static bool start(MuxDaemon *daemon, GError **error)
{
    MuxRelay *relay = &daemon->relay;
    int r = mux_loop_new(&relay->loop);

    if (r < 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "epoll: %s", g_strerror(-r));
        return false;
    }
    relay->role = daemon->kind->role;
    struct rlimit descriptors = raise_descriptor_limit(relay);
    relay->services = mux_services_new(&descriptors);
    relay->links = g_ptr_array_new_with_free_func(mux_link_destroy);
    if (!load_config(daemon, error) || !load_services(daemon, error))
        return false;
    relay->apps = mux_apps_new(relay, daemon->socket, error);
    return relay->apps != NULL;
}

static void finish(MuxDaemon *daemon)
{
    MuxRelay *relay = &daemon->relay;

    mux_apps_free(relay->apps);
    if (daemon->kind->finish)
        daemon->kind->finish(daemon);
    if (relay->links)
        g_ptr_array_unref(relay->links);
    mux_services_free(relay->services);
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

    daemon->main = g_main_loop_new(NULL, FALSE);
    g_message("ready on %s", daemon->socket);
    mux_notify("READY=1");
    g_main_loop_run(daemon->main);
    g_main_loop_unref(daemon->main);
    for (size_t i = 0; i < G_N_ELEMENTS(signals); i++)
        g_source_remove(signals[i]);
}

int mux_daemon_run(const MuxDaemonKind *kind, void *user, int argc, char **argv)
{
    MuxDaemon daemon = {.kind = kind, .user = user};
    g_autoptr(GError) error = NULL;

    // Characters only: numbers in JSON have a point in every country.
    (void)setlocale(LC_CTYPE, "");
    fill_standard_descriptors();
    // The reader of the log may go away; sockets are written with MSG_NOSIGNAL anyway.
    (void)signal(SIGPIPE, SIG_IGN);
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
