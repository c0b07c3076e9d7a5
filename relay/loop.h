// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The data path's event loop: one epoll descriptor, edge-triggered. A daemon runs it by
// mux_loop_run(), which lets GLib have its turn when one of its sources has something to do; for
// those who run GLib's main loop, it is a GSource as well.
//
// A descriptor is put into epoll once. What the kernel reported is kept in `ready` until the owner
// ran into EAGAIN and says so; what the owner would act on is in `wanted`. While both have a bit in
// common, its function is called once a turn. So 10,000 idle channels cost nothing a turn, and to
// stop reading a socket costs no system call. Only EPOLLOUT is asked for when it is needed: or
// every read at a socket's other end would wake us up to say that there is room.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "proto/list.h"

typedef struct MuxLoop MuxLoop;
typedef struct MuxWatch MuxWatch;
typedef struct MuxJob MuxJob;

// Embedded in its owner, which owns the descriptor too.
struct MuxWatch {
    MuxLoop *loop;
    int fd;          // -1 when it watches nothing
    uint32_t asked;  // EPOLL* bits that the kernel reports
    uint32_t ready;  // EPOLL* bits that the kernel reported and nobody used up
    uint32_t wanted; // EPOLL* bits for which `fn` is called
    bool last;       // to be called after the others and their jobs
    void (*fn)(MuxWatch *watch);
    MuxList node;
};

// Something to be done once, at the end of the turn, however often it was asked for.
struct MuxJob {
    void (*fn)(MuxJob *job);
    MuxList node;
};

// Attaches itself to the thread's default main context. 0 or a negative errno.
int mux_loop_new(MuxLoop **ret_loop);
MuxLoop *mux_loop_free(MuxLoop *loop);

// Runs this and the default main context until mux_loop_quit(). Sources that are added to GLib
// while it runs have to be added by the functions of sources.h, or it may not know of them.
void mux_loop_run(MuxLoop *loop);
void mux_loop_quit(MuxLoop *loop);

// The time of this turn, in microseconds of g_get_monotonic_time().
uint64_t mux_loop_now(const MuxLoop *loop);

void mux_watch_init(MuxWatch *watch);
// Starts watching `fd`, wanting `wanted`, with a watch that watches nothing. 0 or a negative errno.
int mux_watch_start(MuxWatch *watch, MuxLoop *loop, int fd, uint32_t wanted,
                    void (*fn)(MuxWatch *watch));
// Stops watching; the descriptor stays open. Harmless on a watch that was not started.
void mux_watch_stop(MuxWatch *watch);
// Stops watching and closes the descriptor.
void mux_watch_close(MuxWatch *watch);
// Sets which bits it is called for.
void mux_watch_want(MuxWatch *watch, uint32_t wanted);
// The owner ran into EAGAIN: these bits are used up until the kernel reports them again.
void mux_watch_drained(MuxWatch *watch, uint32_t bits);

void mux_job_init(MuxJob *job, void (*fn)(MuxJob *job));
void mux_job_cancel(MuxJob *job);
// Runs it at the end of this turn, or in the next one when called from elsewhere.
void mux_loop_defer(MuxLoop *loop, MuxJob *job);
