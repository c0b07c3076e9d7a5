// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// muxctl top in a terminal: waits for the daemon's answer, keys, signals and the time, whichever
// comes first. Signals come as input, so that nothing is left half done when one ends it, and the
// terminal is always given back.

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "rates.h"
#include "screen.h"
#include "text.h"
#include "top.h"
#include "view.h"

typedef struct Live {
    MuxctlControl *control;
    MuxctlScreen screen;
    MuxctlView view;
    MuxctlRates rates;
    json_object *answer; // the last good one
    gint64 next_us;      // when to ask again
    gint64 interval_us;
    bool asked; // an answer is due
    bool deaf;  // no more keys come
    bool over;  //
    int number; // the signal that ends it, or 0
    int status;
} Live;

static void paint(Live *live)
{
    if (!live->answer)
        return;
    muxctl_screen_size(&live->view.width, &live->view.height);
    g_autoptr(GPtrArray) lines = muxctl_view_lines(&live->view, live->answer);
    if (!muxctl_screen_paint(lines)) {
        live->over = true;
        live->status = EXIT_BROKEN;
    }
}

static void end(Live *live, int status)
{
    live->over = true;
    live->status = status;
}

static void on_answer(Live *live, json_object *answer)
{
    bool busy = g_strcmp0(muxctl_word(muxctl_get(answer, "error"), "code"), "busy") == 0;

    live->asked = false;
    live->view.note = busy ? "the daemon has no time to answer" : NULL;
    if (busy) {
        json_object_put(answer);
    } else if (!json_object_get_boolean(muxctl_get(answer, "ok"))) {
        muxctl_screen_stop(&live->screen); // so that one can read why
        end(live, muxctl_check_answer("status", answer));
        json_object_put(answer);
    } else {
        muxctl_rates_add(&live->rates, g_get_monotonic_time(), answer);
        json_object_put(live->answer);
        live->answer = answer;
    }
}

static void on_control(Live *live)
{
    bool there = muxctl_control_read(live->control);

    for (json_object *line; (line = muxctl_control_take(live->control));)
        on_answer(live, line);
    if (!there && !live->over) {
        muxctl_screen_stop(&live->screen);
        muxctl_complain("the daemon went away");
        end(live, EXIT_NO_DAEMON);
    }
}

// An arrow comes as ESC [ C or ESC O C.
static void on_keys(Live *live)
{
    char keys[64];
    ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));
    guint orders = muxctl_view_orders();

    if (n <= 0)
        live->deaf = true;
    for (ssize_t i = 0; i < n; i++) {
        bool arrow = i >= 2 && keys[i - 2] == '\033' && (keys[i - 1] == '[' || keys[i - 1] == 'O');
        if (keys[i] == 'q' || keys[i] == 'Q')
            end(live, EXIT_GOOD);
        else if (keys[i] == 's' || (arrow && keys[i] == 'C'))
            live->view.order = (live->view.order + 1) % orders;
        else if (arrow && keys[i] == 'D')
            live->view.order = (live->view.order + orders - 1) % orders;
    }
}

static void on_signal(Live *live, int signals)
{
    struct signalfd_siginfo info;

    if (read(signals, &info, sizeof(info)) != sizeof(info))
        return;
    if (info.ssi_signo == SIGTSTP) {
        muxctl_screen_stop(&live->screen);
        (void)raise(SIGSTOP);
        muxctl_screen_start(&live->screen);
    } else if (info.ssi_signo != SIGWINCH) { // which is for painting, as all is
        live->number = (int)info.ssi_signo;
        end(live, EXIT_GOOD);
    }
}

static void ask_when_due(Live *live)
{
    gint64 now = g_get_monotonic_time();

    if (live->asked || now < live->next_us)
        return;
    muxctl_control_send(live->control, "status");
    live->asked = true;
    live->next_us = MAX(live->next_us + live->interval_us, now);
}

static void turn(Live *live, int signals)
{
    gint64 left_us = live->next_us - g_get_monotonic_time();
    int timeout = live->asked ? -1 : (int)(MAX(left_us, 0) / 1000) + 1;
    bool listens = live->screen.keys && !live->deaf;
    struct pollfd fds[] = {{.fd = live->control->fd, .events = POLLIN},
                           {.fd = signals, .events = POLLIN},
                           {.fd = listens ? STDIN_FILENO : -1, .events = POLLIN}};

    if (poll(fds, G_N_ELEMENTS(fds), timeout) < 0)
        return;
    if (fds[1].revents)
        on_signal(live, signals);
    if (fds[2].revents)
        on_keys(live);
    if (fds[0].revents)
        on_control(live);
    if (live->over)
        return;
    ask_when_due(live);
    if (fds[0].revents || fds[1].revents || fds[2].revents)
        paint(live);
}

int muxctl_top_live(MuxctlControl *control, double seconds)
{
    static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH};
    Live live = {.control = control,
                 .interval_us = (gint64)(seconds * G_USEC_PER_SEC),
                 .next_us = g_get_monotonic_time()};
    sigset_t set, before;

    (void)sigemptyset(&set);
    for (size_t i = 0; i < G_N_ELEMENTS(caught); i++)
        (void)sigaddset(&set, caught[i]);
    (void)sigprocmask(SIG_BLOCK, &set, &before);
    int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);

    muxctl_screen_start(&live.screen);
    ask_when_due(&live);
    while (!live.over)
        turn(&live, signals);
    muxctl_screen_stop(&live.screen);
    json_object_put(live.answer);
    muxctl_rates_deinit(&live.rates);
    (void)close(signals);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    if (live.number != 0)
        (void)raise(live.number); // whoever waits for us is told
    return live.status;
}
