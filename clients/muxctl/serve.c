// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// muxctl listen NAME -- CMD: channels come from the registration, each gets a process.
//
// It ends when there is no registration, none is being tried for, and no process. Without the
// daemon all channels have ended, so the processes have some time to see it. A signal ends the
// registration and asks the processes to end, a second one makes them.

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>

#include "children.h"
#include "listen.h"

#define RETRY_SECONDS 1
#define RETRY_MS      2000 // the daemon has so long to answer; signals wait meanwhile
#define END_SECONDS   5    // until what was asked to end is asked again, more strongly
#define TAKE_MAX      64   // channels in one turn

typedef struct Server {
    const MuxctlService *service;
    MuxClientListener *listener; // or NULL
    MuxctlChildren children;
    GMainLoop *loop;
    guint watch, retry, end; // GLib sources, 0 when not there
    int status;
} Server;

static void quit_when_done(void *user)
{
    Server *server = user;

    if (!server->listener && server->retry == 0 && muxctl_children_none(&server->children))
        g_main_loop_quit(server->loop);
}

static void end_registration(Server *server)
{
    g_clear_handle_id(&server->watch, g_source_remove);
    g_clear_handle_id(&server->retry, g_source_remove);
    mux_client_listener_free(g_steal_pointer(&server->listener));
}

static gboolean on_end(gpointer user)
{
    Server *server = user;

    muxctl_children_signal(&server->children, server->children.asked ? SIGKILL : SIGTERM);
    quit_when_done(server);
    return G_SOURCE_CONTINUE;
}

static void start_end_timer(Server *server)
{
    if (server->end == 0)
        server->end = g_timeout_add_seconds(END_SECONDS, on_end, server);
}

static gboolean on_signal(gpointer user)
{
    Server *server = user;

    if (server->retry != 0)
        server->status = EXIT_GOOD; // it was waiting for a daemon, and need not any more
    end_registration(server);
    start_end_timer(server);
    return on_end(server);
}

static void start_watching(Server *server);

static gboolean on_retry(gpointer user)
{
    Server *server = user;
    bool again = false;
    int status = muxctl_register(server->service, RETRY_MS, &again, &server->listener);

    if (again)
        return G_SOURCE_CONTINUE;
    server->retry = 0;
    server->status = status;
    if (status == EXIT_GOOD)
        start_watching(server);
    quit_when_done(server);
    return G_SOURCE_REMOVE;
}

// The registration is over, by the daemon's doing.
static void on_lost(Server *server, int result)
{
    server->status = muxctl_explain_end(server->service, result, server->listener);
    end_registration(server);
    if (result == MUX_CLIENT_UNREGISTERED)
        return; // its channels go on
    if (server->service->retry)
        server->retry = g_timeout_add_seconds(RETRY_SECONDS, on_retry, server);
    else
        start_end_timer(server);
}

static gboolean on_channels(gint fd, GIOCondition condition, gpointer user)
{
    Server *server = user;
    const MuxClientChannel *channel;
    int result = 0, channel_fd = -1;

    (void)fd;
    (void)condition;
    for (int i = 0; i < TAKE_MAX && server->listener; i++) {
        result = mux_client_accept(server->listener, 0, &channel, &channel_fd);
        if (result == MUX_CLIENT_AGAIN)
            break;
        if (result == 0) {
            muxctl_children_add(&server->children, channel, channel_fd);
            if (server->service->once)
                end_registration(server);
        } else if (result == -EMFILE || result == -ENFILE) {
            muxctl_complain("a channel was lost: %s", g_strerror(-result));
        } else if (result != -EPROTO) {
            on_lost(server, result);
        }
    }
    quit_when_done(server);
    return G_SOURCE_CONTINUE; // or it was removed
}

static void start_watching(Server *server)
{
    server->watch =
        g_unix_fd_add(mux_client_listener_fd(server->listener), G_IO_IN, on_channels, server);
    muxctl_say_listening(server->service);
}

// Not those that whoever started us wants to be ignored, as nohup does.
static void watch_signals(Server *server)
{
    const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    struct sigaction before;

    for (size_t i = 0; i < G_N_ELEMENTS(signals); i++)
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            g_unix_signal_add(signals[i], on_signal, server);
}

int muxctl_serve(const MuxctlService *service, char **argv, guint max)
{
    Server server = {.service = service, .loop = g_main_loop_new(NULL, FALSE)};
    bool again = false;

    server.children =
        (MuxctlChildren){.argv = argv, .max = max, .on_end = quit_when_done, .user = &server};
    g_queue_init(&server.children.jobs);
    // Until there is something to end, a signal ends the process as it always does.
    server.status = muxctl_register(service, -1, &again, &server.listener);
    if (again) {
        muxctl_say_waiting(service);
        server.retry = g_timeout_add_seconds(RETRY_SECONDS, on_retry, &server);
    }
    if (server.listener || again)
        watch_signals(&server);
    if (server.listener)
        start_watching(&server);
    if (server.listener || again)
        g_main_loop_run(server.loop);
    g_main_loop_unref(server.loop);
    if (server.status == EXIT_GOOD && service->once && server.children.failed)
        return EXIT_BROKEN;
    return server.status;
}
