// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Talking to the daemon: finding its socket, opening a name, asking a verb.

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "muxctl.h"

#define LINE_MAX_BYTES 4096
#define ANSWER_MAX     (256 * 1024 * 1024)

static int dial_path(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int muxctl_dial(const MuxctlOptions *options)
{
    static const char *const known[] = {"/run/guestmux.sock", "/run/hostmux.sock"};

    if (options->socket) {
        int fd = dial_path(options->socket);
        if (fd < 0)
            g_printerr("muxctl: %s: %s%s\n", options->socket, g_strerror(errno),
                       errno == ENOENT || errno == ECONNREFUSED ? " (is the daemon running?)" : "");
        return fd;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(known); i++) {
        int fd = dial_path(known[i]);
        if (fd >= 0)
            return fd;
    }
    g_printerr("muxctl: no daemon listens on %s or %s; start one, or name its socket with "
               "--socket\n",
               known[0], known[1]);
    return -1;
}

bool muxctl_write_all(int fd, const void *bytes, size_t size)
{
    for (const char *p = bytes; size > 0;) {
        ssize_t n = write(fd, p, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        p += n;
        size -= (size_t)n;
    }
    return true;
}

// Byte by byte, since what follows the line is the channel's.
static bool read_line(int fd, char *line, size_t size)
{
    size_t n = 0;

    while (n + 1 < size && read(fd, line + n, 1) == 1) {
        if (line[n] == '\n') {
            line[n] = '\0';
            return true;
        }
        n++;
    }
    return false;
}

// ERR <code> <text>
static int refused_status(const char *line)
{
    static const char *const codes[] = {"closed", "no-service", "denied",    "refused",
                                        "limit",  "timeout",    "link-down", "bad-name"};

    for (size_t i = 0; i < G_N_ELEMENTS(codes); i++) {
        size_t n = strlen(codes[i]);
        if (strncmp(line, "ERR ", 4) == 0 && strncmp(line + 4, codes[i], n) == 0 &&
            line[4 + n] == ' ')
            return EXIT_REFUSED + (int)i;
    }
    return EXIT_ERROR;
}

int muxctl_open(const MuxctlOptions *options, const char *name, int *ret_fd)
{
    g_autofree char *greeting = g_strconcat(name, "\n", NULL);
    char line[LINE_MAX_BYTES];
    int fd = muxctl_dial(options);

    if (fd < 0)
        return EXIT_NO_DAEMON;
    // A failed write shows as a missing answer; the daemon may have answered before it closed.
    (void)!muxctl_write_all(fd, greeting, strlen(greeting));
    if (!read_line(fd, line, sizeof(line))) {
        g_printerr("muxctl: %s: the daemon closed the connection without an answer\n", name);
        close(fd);
        return EXIT_ERROR;
    }
    if (strcmp(line, "OK") == 0) {
        *ret_fd = fd;
        return EXIT_GOOD;
    }
    g_printerr("muxctl: %s: %s\n", name, g_str_has_prefix(line, "ERR ") ? line + 4 : line);
    close(fd);
    return refused_status(line);
}

// Everything up to the line's end.
static GString *read_answer(int fd)
{
    GString *text = g_string_new(NULL);
    char buffer[65536];

    for (ssize_t n; text->len < ANSWER_MAX && (n = read(fd, buffer, sizeof(buffer))) > 0;) {
        g_string_append_len(text, buffer, n);
        if (buffer[n - 1] == '\n')
            break;
    }
    return text;
}

json_object *muxctl_get(json_object *object, const char *key)
{
    json_object *value = NULL;

    if (object)
        (void)json_object_object_get_ex(object, key, &value);
    return value;
}

static const char *error_text(json_object *answer)
{
    json_object *ok, *error, *text;

    if (!answer || !json_object_object_get_ex(answer, "ok", &ok))
        return "its answer makes no sense";
    if (json_object_get_boolean(ok))
        return NULL;
    if (json_object_object_get_ex(answer, "error", &error) &&
        json_object_object_get_ex(error, "text", &text))
        return json_object_get_string(text);
    return "it gives no reason";
}

static bool is_busy(json_object *answer)
{
    json_object *code = muxctl_get(muxctl_get(answer, "error"), "code");
    return code && strcmp(json_object_get_string(code), "busy") == 0;
}

int muxctl_ask(const MuxctlOptions *options, const char *verb, json_object **ret_answer)
{
    g_autofree char *request = g_strdup_printf("{\"verb\": \"%s\"}\n", verb);
    int fd = -1;
    int status = muxctl_open(options, "@control", &fd);

    if (status != EXIT_GOOD)
        return status;
    (void)!muxctl_write_all(fd, request, strlen(request));
    GString *text = read_answer(fd);
    close(fd);
    json_object *answer = json_tokener_parse(text->str);
    g_string_free(text, TRUE);

    const char *why = error_text(answer);
    if (!why) {
        *ret_answer = answer;
        return EXIT_GOOD;
    }
    g_printerr("muxctl: the daemon does not answer '%s': %s\n", verb, why);
    bool busy = is_busy(answer);
    json_object_put(answer);
    return busy ? EXIT_BUSY : EXIT_ERROR;
}
