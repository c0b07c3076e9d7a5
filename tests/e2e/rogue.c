// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// One end of a port that keeps to the protocol and to nothing else: it opens channels by any name,
// the daemons' own too, in anybody's name, and says on them what the test wants.
//
//     rogue guest|host unix:PATH|listen:PATH [--uid N] [--gid N] [--program TEXT] [--deaf]
//         [--only NAME] [NAME…]
//
// Each NAME is opened when the session is up, and what the other side opens is accepted (with
// --only, that alone). Standard input goes to the first channel that is open, what the channels
// bring goes to standard output (with --deaf, it is not even taken), and standard error says what
// happens:
//
//     up | down REASON | open NAME | accept NAME | fin NAME | reset NAME CODE
//
// It runs until the port is closed; the end of standard input is passed on and ends nothing.

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "proto/session.h"

#define CHANNELS_MAX 16

typedef struct Open {
    MuxChannel *channel;
    char name[64];
} Open;

typedef struct Rogue {
    MuxSession *session;
    MuxCaller caller;
    char **names, *only;
    int n_names, port;
    bool deaf, ended, ready; // standard input's end; it has something
    Open open[CHANNELS_MAX];
    Open *first; // gets standard input; NULL while none is open
} Rogue;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int open_port(const char *spec)
{
    bool listens = strncmp(spec, "listen:", 7) == 0;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", strchr(spec, ':') + 1);
    if (listens) {
        if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0)
            fail(spec);
        return accept(fd, NULL, NULL);
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        fail(spec);
    return fd;
}

// --- channels

static Open *remember(Rogue *rogue, MuxChannel *channel, const char *name, size_t length)
{
    Open *open = rogue->open;

    while (open < rogue->open + CHANNELS_MAX && open->channel)
        open++;
    if (open == rogue->open + CHANNELS_MAX)
        return NULL;
    open->channel = channel;
    (void)snprintf(open->name, sizeof(open->name), "%.*s", (int)length, name);
    return open;
}

static void open_all(Rogue *rogue)
{
    for (int i = 0; i < rogue->n_names; i++) {
        size_t length = strlen(rogue->names[i]);
        Open *open = remember(rogue, NULL, rogue->names[i], length);
        const MuxOpening opening = {.name = rogue->names[i],
                                    .length = length,
                                    .nonce = (uint32_t)now_us(),
                                    .caller = rogue->caller.known ? &rogue->caller : NULL,
                                    .user = open};
        if (!open || mux_session_open(rogue->session, &opening, &open->channel) != 0)
            (void)fprintf(stderr, "not opened %s\n", rogue->names[i]);
    }
}

static void take(Rogue *rogue, const MuxEvent *event)
{
    Open *open = remember(rogue, event->channel, (const char *)event->data, event->size);

    if (!open) {
        mux_channel_close(event->channel, MUX_CODE_LIMIT);
        return;
    }
    if (rogue->only && strcmp(open->name, rogue->only) != 0) {
        mux_channel_close(event->channel, MUX_CODE_NO_SERVICE);
        *open = (Open){0};
        return;
    }
    (void)fprintf(stderr, "open %s\n", open->name);
    mux_channel_accept(event->channel, open);
    rogue->first = rogue->first ? rogue->first : open;
}

static void forget(Rogue *rogue, Open *open, const MuxEvent *event)
{
    (void)fprintf(stderr, "reset %s %s\n", open->name, mux_code_name(event->code));
    mux_channel_close(open->channel, MUX_CODE_CLOSED);
    if (rogue->first == open) {
        rogue->first = NULL;
        rogue->ready = false;
    }
    *open = (Open){0};
}

static void pass_on(const Rogue *rogue, const MuxEvent *event)
{
    if (rogue->deaf)
        return;
    for (size_t done = 0; done < event->size;) {
        ssize_t n = write(STDOUT_FILENO, event->data + done, event->size - done);
        if (n < 0)
            fail("standard output");
        done += (size_t)n;
    }
    mux_channel_consumed(event->channel, event->size);
}

static void on_event(Rogue *rogue, const MuxEvent *event)
{
    Open *open = event->user;

    if (event->type == MUX_EVENT_UP) {
        (void)fprintf(stderr, "up\n");
        open_all(rogue);
    } else if (event->type == MUX_EVENT_DOWN) {
        (void)fprintf(stderr, "down %s\n", event->detail ? event->detail : "");
        mux_session_start(rogue->session, now_us() * 2654435761u + 1, now_us());
    } else if (event->type == MUX_EVENT_OPEN) {
        take(rogue, event);
    } else if (event->type == MUX_EVENT_ACCEPT) {
        (void)fprintf(stderr, "accept %s\n", open->name);
        rogue->first = rogue->first ? rogue->first : open;
    } else if (event->type == MUX_EVENT_DATA) {
        pass_on(rogue, event);
    } else if (event->type == MUX_EVENT_FIN) {
        (void)fprintf(stderr, "fin %s\n", open->name);
    } else if (event->type == MUX_EVENT_RESET) {
        forget(rogue, open, event);
    }
}

// --- moving bytes

static void feed_input(Rogue *rogue)
{
    uint8_t *base;
    size_t space = mux_session_input(rogue->session, &base);
    ssize_t n = recv(rogue->port, base, space, MSG_DONTWAIT);

    if (n == 0 || (n < 0 && errno != EAGAIN))
        exit(0); // the port is closed
    if (n > 0)
        mux_session_input_done(rogue->session, (size_t)n, now_us());
}

static void fill_turn(Rogue *rogue, const MuxTurn *turn)
{
    ssize_t n = rogue->ready ? read(STDIN_FILENO, turn->base, turn->size) : 0;

    if (rogue->ready && n <= 0) {
        rogue->ended = true;
        mux_channel_fin(turn->channel);
    }
    rogue->ready = false;
    mux_session_turn_done(rogue->session, turn, n > 0 ? (size_t)n : 0, false);
}

static void put_output(Rogue *rogue)
{
    const uint8_t *base;
    size_t size;
    MuxTurn turn;

    do {
        while (mux_session_next_turn(rogue->session, &turn))
            fill_turn(rogue, &turn);
        size = mux_session_output(rogue->session, &base);
        ssize_t n = size ? send(rogue->port, base, size, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
        if (n <= 0)
            return;
        mux_session_output_done(rogue->session, (size_t)n);
    } while (size > 0);
}

static void step(Rogue *rogue)
{
    MuxEvent event;
    const uint8_t *base;
    bool more = mux_session_output(rogue->session, &base) > 0;
    bool reads = rogue->first && !rogue->ended && !rogue->ready;
    struct pollfd fds[] = {{rogue->port, (short)(POLLIN | (more ? POLLOUT : 0)), 0},
                           {reads ? STDIN_FILENO : -1, POLLIN, 0}};

    if (poll(fds, 2, 100) < 0)
        fail("poll");
    if (reads && fds[1].revents) {
        rogue->ready = true;
        mux_channel_ready(rogue->first->channel);
    }
    feed_input(rogue);
    mux_session_tick(rogue->session, now_us());
    do
        put_output(rogue);
    while (mux_session_next_event(rogue->session, &event) && (on_event(rogue, &event), true));
}

static void read_arguments(Rogue *rogue, char **argv)
{
    for (; *argv && strncmp(*argv, "--", 2) == 0; argv++) {
        rogue->caller.known |= strcmp(*argv, "--deaf") != 0 && strcmp(*argv, "--only") != 0;
        if (strcmp(*argv, "--deaf") == 0)
            rogue->deaf = true;
        else if (strcmp(*argv, "--only") == 0 && argv[1])
            rogue->only = *++argv;
        else if (strcmp(*argv, "--uid") == 0 && argv[1])
            rogue->caller.uid = (uint32_t)strtoul(*++argv, NULL, 10);
        else if (strcmp(*argv, "--gid") == 0 && argv[1])
            rogue->caller.gid = (uint32_t)strtoul(*++argv, NULL, 10);
        else if (strcmp(*argv, "--program") == 0 && argv[1])
            (void)snprintf(rogue->caller.program, sizeof(rogue->caller.program), "%s", *++argv);
    }
    rogue->names = argv;
    while (argv[rogue->n_names])
        rogue->n_names++;
}

int main(int argc, char **argv)
{
    Rogue rogue = {0};

    if (argc < 3 || !strchr(argv[2], ':')) {
        (void)fprintf(stderr, "rogue guest|host unix:PATH|listen:PATH [OPTION…] [NAME…]\n");
        return 2;
    }
    read_arguments(&rogue, argv + 3);
    MuxRole role = strcmp(argv[1], "host") == 0 ? MUX_HOST : MUX_GUEST;
    if (mux_session_new(role, NULL, &rogue.session) < 0)
        return 1;
    rogue.port = open_port(argv[2]);
    mux_session_start(rogue.session, now_us() * 2654435761u + 1, now_us());
    for (;;)
        step(&rogue);
}
