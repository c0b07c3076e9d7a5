// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// muxctl buffer cat NAME: the memory goes to standard output, straight from where it is mapped.
//
// Whoever reads may be slow, and the buffer may have to be closed meanwhile; so nothing is written
// that would have to wait.

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buffer.h"
#include "progress.h"

#define FILE_PIECE (1 << 20) // files do not wait

// What can be written at once after poll() said that there is room.
static size_t piece_size(void)
{
    struct stat status;

    return fstat(STDOUT_FILENO, &status) == 0 && S_ISREG(status.st_mode) ? FILE_PIECE : PIPE_BUF;
}

static int complain_output(const char *name, int error)
{
    if (error == EFAULT) { // of a file that is truncated, instead of SIGBUS
        muxctl_complain("%s: its memory was taken away", name);
        return EXIT_GONE;
    }
    if (error != EPIPE) // which is how "… | head" ends
        muxctl_complain("standard output: %s", g_strerror(error));
    return EXIT_BROKEN;
}

// Waits until something can be written, and sees whether the buffer is still there.
static int wait_for_room(const char *name, MuxClientBuffer *buffer)
{
    struct pollfd fds[] = {{.fd = STDOUT_FILENO, .events = POLLOUT},
                           {.fd = mux_client_buffer_fd(buffer), .events = POLLIN}};

    while (poll(fds, G_N_ELEMENTS(fds), -1) < 0 && errno == EINTR) {
    }
    return fds[1].revents ? muxctl_buffer_check(name, buffer) : EXIT_GOOD;
}

static int print(const char *name, MuxClientBuffer *buffer, const MuxctlRange *range)
{
    const char *memory = (const char *)mux_client_buffer_memory(buffer) + range->offset;
    size_t piece = piece_size();
    guint64 done = 0;
    MuxctlProgress progress;
    int status = EXIT_GOOD;

    muxctl_progress_init(&progress, STDOUT_FILENO, range->length);
    while (done < range->length && (status = wait_for_room(name, buffer)) == EXIT_GOOD) {
        ssize_t n = write(STDOUT_FILENO, memory + done, MIN(piece, range->length - done));
        if (n < 0 && errno != EINTR && errno != EAGAIN) {
            status = complain_output(name, errno);
            break;
        }
        done += n > 0 ? (guint64)n : 0;
        muxctl_progress_tell(&progress, done);
    }
    muxctl_progress_end(&progress);
    return status;
}

static int cat(const MuxctlOptions *options, const char *name, MuxctlRange *range)
{
    MuxClientBuffer *buffer = NULL;
    int status = muxctl_buffer_open(options, name, MUX_CLIENT_BUFFER_READ, &buffer);

    if (status != EXIT_GOOD)
        return status;
    status = muxctl_range_fit(name, range, mux_client_buffer_size(buffer))
                 ? print(name, buffer, range)
                 : EXIT_USAGE;
    mux_client_buffer_free(buffer);
    return status;
}

static int run(const MuxctlCommand *command, MuxctlOptions *options, char **argv)
{
    MuxctlRangeOptions given = {0};
    MuxctlRange range;
    const GOptionEntry own[] = {MUXCTL_OFFSET_ENTRY(&given),
                                MUXCTL_LENGTH_ENTRY(&given),
                                {NULL, 0, 0, 0, NULL, NULL, NULL}};
    g_auto(GStrv) arguments = muxctl_parse(command, options, own, argv);

    int status = arguments && muxctl_range_parse(&given, &range)
                     ? cat(options, arguments[0], &range)
                     : EXIT_USAGE;
    muxctl_range_clear(&given);
    return status;
}

const MuxctlCommand muxctl_buffer_cat = {
    .name = "buffer cat",
    .parameters = "NAME",
    .summary = "Write the memory to standard output",
    .help = "  muxctl buffer cat clip --offset 4k --length 100 | xxd",
    .least = 1,
    .most = 1,
    .run = run,
};
