// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// muxctl top: live in a terminal, else over one interval.

#include "top.h"

#include <stdio.h>

#include "rates.h"
#include "screen.h"
#include "text.h"
#include "view.h"

#define SECONDS_LEAST 0.1

// Asks and adds the rates. 0 with the answer, or the exit status after having said why not.
static int sample(MuxctlControl *control, MuxctlRates *rates, json_object **ret_answer)
{
    json_object *answer;

    muxctl_control_send(control, "status");
    while (!(answer = muxctl_control_take(control)))
        if (!muxctl_control_read(control)) {
            muxctl_complain("the daemon went away");
            return EXIT_NO_DAEMON;
        }
    int status = muxctl_check_answer("status", answer);
    if (status == EXIT_GOOD)
        muxctl_rates_add(rates, g_get_monotonic_time(), answer);
    *ret_answer = answer;
    return status;
}

static void print(const MuxctlOptions *options, json_object *answer)
{
    if (options->json) {
        muxctl_print_json(answer);
        return;
    }
    const MuxctlView view = {0};
    g_autoptr(GPtrArray) lines = muxctl_view_lines(&view, answer);
    for (guint i = 0; i < lines->len; i++)
        (void)puts(lines->pdata[i]);
}

static int print_interval(const MuxctlOptions *options, MuxctlControl *control, double seconds)
{
    MuxctlRates rates = {0};
    json_object *first = NULL, *second = NULL;
    int status = sample(control, &rates, &first);

    if (status == EXIT_GOOD) {
        g_usleep((gulong)(seconds * G_USEC_PER_SEC));
        status = sample(control, &rates, &second);
    }
    if (status == EXIT_GOOD) {
        print(options, second);
        status = muxctl_flush();
    }
    json_object_put(first);
    json_object_put(second);
    muxctl_rates_deinit(&rates);
    return status;
}

static int run(const MuxctlCommand *command, MuxctlOptions *options, char **argv)
{
    gboolean once = FALSE;
    double seconds = 1;
    const GOptionEntry own[] = {
        {"once", 0, 0, G_OPTION_ARG_NONE, &once, "Print one interval and end", NULL},
        {"interval", 0, 0, G_OPTION_ARG_DOUBLE, &seconds, "How long an interval is (1)", "SECONDS"},
        {NULL, 0, 0, 0, NULL, NULL, NULL}};
    g_auto(GStrv) arguments = muxctl_parse(command, options, own, argv);
    MuxctlControl control = {0};

    if (!arguments || !muxctl_check_seconds("--interval", seconds, SECONDS_LEAST))
        return EXIT_USAGE;
    int status = muxctl_control_open(options, &control);
    if (status != EXIT_GOOD)
        return status;
    if (once || options->json || !muxctl_screen_possible())
        status = print_interval(options, &control, seconds);
    else
        status = muxctl_top_live(&control, seconds);
    muxctl_control_close(&control);
    return status;
}

const MuxctlCommand muxctl_top = {
    .name = "top",
    .parameters = "",
    .summary = "Links and the busiest channels, as they are now",
    .help =
        "In a terminal until q is pressed; s and the arrows change the order. If standard\n"
        "output is no terminal, and with --once and --json, one interval is printed.\n"
        "Rates are in bytes a second; HELD is the memory set aside for what the other side may\n"
        "send before it is read here: 32.8k for an idle link, whose daemons have channels, too.",
    .json = true,
    .run = run,
};
