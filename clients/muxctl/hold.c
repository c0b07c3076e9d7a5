// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Holding something meanwhile. Signals and the command's end come through one descriptor, so that
// they wait until somebody looks, and whoever looks can wait for other things too.

#include "hold.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOT_FOUND   127 // as shells have it
#define NOT_STARTED 126
#define BY_SIGNAL   128 // and the signal's number

static void choose(sigset_t *set)
{
    const int ends[] = {SIGTERM, SIGINT, SIGHUP};
    struct sigaction before;

    sigemptyset(set);
    sigaddset(set, SIGCHLD);
    for (size_t i = 0; i < G_N_ELEMENTS(ends); i++)
        if (sigaction(ends[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaddset(set, ends[i]);
}

int muxctl_hold_init(MuxctlHold *hold)
{
    sigset_t set;

    choose(&set);
    (void)signal(SIGCHLD, SIG_DFL); // ignored, there would be no status
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    *hold = (MuxctlHold){.signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)};
    if (hold->signals >= 0)
        return EXIT_GOOD;
    muxctl_complain("signals: %s", g_strerror(errno));
    return EXIT_ERROR;
}

void muxctl_hold_deinit(MuxctlHold *hold)
{
    if (hold->signals >= 0)
        close(hold->signals);
    hold->signals = -1;
}

int muxctl_hold_start(MuxctlHold *hold, char **argv, const char *name, const char *value)
{
    g_auto(GStrv) environment = g_environ_setenv(g_get_environ(), name, value, TRUE);
    posix_spawnattr_t attributes;
    sigset_t none, usual;

    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &usual);
    int error = posix_spawnp(&hold->command, argv[0], NULL, &attributes, argv, environment);
    posix_spawnattr_destroy(&attributes);
    if (error == 0)
        return EXIT_GOOD;
    hold->command = 0;
    muxctl_complain("%s: %s", argv[0], g_strerror(error));
    return error == ENOENT ? NOT_FOUND : NOT_STARTED;
}

static bool reap(MuxctlHold *hold)
{
    int status = 0;

    if (waitpid(hold->command, &status, WNOHANG) != hold->command)
        return false;
    hold->command = 0;
    hold->status = WIFSIGNALED(status) ? BY_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
    return true;
}

bool muxctl_hold_take(MuxctlHold *hold)
{
    struct signalfd_siginfo signal;
    bool end = false;

    while (read(hold->signals, &signal, sizeof(signal)) == sizeof(signal)) {
        bool child = signal.ssi_signo == SIGCHLD;
        if (child && hold->command != 0)
            end |= reap(hold);
        else if (!child && hold->command == 0)
            end = true;
        else if (!child && signal.ssi_code != SI_KERNEL) // the terminal's, it has got itself
            (void)kill(hold->command, (int)signal.ssi_signo);
    }
    return end;
}

bool muxctl_hold_ask(MuxctlHold *hold)
{
    if (hold->command != 0)
        (void)kill(hold->command, SIGTERM);
    return hold->command != 0;
}
