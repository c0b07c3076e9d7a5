// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// muxctl buffer fill NAME [FILE]: a file's bytes go into the memory, straight to where it is
// mapped, and then all others are given notice.

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buffer.h"
#include "progress.h"

#define PIECE (1 << 20)

typedef struct Fill {
    const char *name; // of the buffer
    const char *path; // for messages
    MuxClientBuffer *buffer;
    int input;
    MuxctlRange range; // where there is room
    guint64 done;
} Fill;

static guint64 input_size(int input)
{
    struct stat status;

    return fstat(input, &status) == 0 && S_ISREG(status.st_mode) ? (guint64)status.st_size
                                                                 : G_MAXUINT64;
}

// Waits until there is input, and sees whether the buffer is still there.
static int wait_for_input(const Fill *fill)
{
    struct pollfd fds[] = {{.fd = fill->input, .events = POLLIN},
                           {.fd = mux_client_buffer_fd(fill->buffer), .events = POLLIN}};

    while (poll(fds, G_N_ELEMENTS(fds), -1) < 0 && errno == EINTR) {
    }
    return fds[1].revents ? muxctl_buffer_check(fill->name, fill->buffer) : EXIT_GOOD;
}

static int complain_input(const Fill *fill, int error)
{
    if (error == EFAULT) { // of a file that is truncated, instead of SIGBUS
        muxctl_complain("%s: its memory was taken away", fill->name);
        return EXIT_GONE;
    }
    muxctl_complain("%s: %s", fill->path, g_strerror(error));
    return EXIT_BROKEN;
}

// One read; where there is no room left, of a byte more, to see whether that was all.
static int read_some(Fill *fill, bool *ret_end)
{
    char *memory = (char *)mux_client_buffer_memory(fill->buffer) + fill->range.offset;
    guint64 room = fill->range.length - fill->done;
    char beyond;
    ssize_t n = room > 0 ? read(fill->input, memory + fill->done, MIN(room, PIECE))
                         : read(fill->input, &beyond, 1);

    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? EXIT_GOOD : complain_input(fill, errno);
    *ret_end = n == 0;
    if (n > 0 && room == 0) {
        muxctl_complain("%s: there is room for %" G_GUINT64_FORMAT " bytes, and the rest is left",
                        fill->name, fill->range.length);
        return EXIT_BROKEN;
    }
    fill->done += (guint64)n;
    return EXIT_GOOD;
}

static int copy(Fill *fill)
{
    MuxctlProgress progress;
    bool end = false;
    int status = EXIT_GOOD;

    muxctl_progress_init(&progress, fill->input, input_size(fill->input));
    while (status == EXIT_GOOD && !end) {
        status = wait_for_input(fill);
        if (status == EXIT_GOOD)
            status = read_some(fill, &end);
        muxctl_progress_tell(&progress, fill->done);
    }
    muxctl_progress_end(&progress);
    return status;
}

// Also after an error of the input: what was written was written.
static int fill_it(Fill *fill, bool quiet)
{
    int status = copy(fill);

    if (status == EXIT_GONE || status == EXIT_NO_DAEMON || quiet || fill->done == 0)
        return status;
    int result = mux_client_buffer_notify(fill->buffer, fill->range.offset, fill->done, -1);
    return result == 0 ? status : muxctl_buffer_explain(fill->name, result, fill->buffer);
}

static int fill_from(const MuxctlOptions *options, Fill *fill, bool quiet)
{
    int status = muxctl_buffer_open(options, fill->name, MUX_CLIENT_BUFFER_WRITE, &fill->buffer);

    if (status != EXIT_GOOD)
        return status;
    status = muxctl_range_fit(fill->name, &fill->range, mux_client_buffer_size(fill->buffer))
                 ? fill_it(fill, quiet)
                 : EXIT_USAGE;
    mux_client_buffer_free(fill->buffer);
    return status;
}

static bool open_input(Fill *fill, const char *path)
{
    bool standard = !path || strcmp(path, "-") == 0;

    fill->path = standard ? "standard input" : path;
    fill->input = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fill->input < 0)
        muxctl_complain("%s: %s", path, g_strerror(errno));
    return fill->input >= 0;
}

static int run(const MuxctlCommand *command, MuxctlOptions *options, char **argv)
{
    gboolean quiet = FALSE;
    MuxctlRangeOptions given = {0};
    Fill fill = {.input = -1};
    const GOptionEntry own[] = {
        MUXCTL_OFFSET_ENTRY(&given),
        {"quiet", 0, 0, G_OPTION_ARG_NONE, &quiet, "Give no notice of it", NULL},
        {NULL, 0, 0, 0, NULL, NULL, NULL}};
    g_auto(GStrv) arguments = muxctl_parse(command, options, own, argv);
    int status = EXIT_USAGE;

    if (arguments && muxctl_range_parse(&given, &fill.range) && open_input(&fill, arguments[1])) {
        fill.name = arguments[0];
        status = fill_from(options, &fill, quiet);
        close(fill.input);
    }
    muxctl_range_clear(&given);
    return status;
}

const MuxctlCommand muxctl_buffer_fill = {
    .name = "buffer fill",
    .parameters = "NAME [FILE]",
    .summary = "Write a file, or standard input, into the memory",
    .help = "  xclip -o | muxctl buffer fill clip",
    .least = 1,
    .most = 2,
    .run = run,
};
