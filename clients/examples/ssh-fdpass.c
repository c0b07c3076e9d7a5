// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// ssh into a guest that has no network, without a program that copies in between: opens the
// channel, hands it to ssh as a descriptor, and is gone.
//
//     ssh -o ProxyCommand='ssh-fdpass %h/ssh' -o ProxyUseFdpass=yes web1
//
// or in ~/.ssh/config
//
//     Host web1 web2
//         ProxyCommand ssh-fdpass %h/ssh
//         ProxyUseFdpass yes
//
// The guest has a service "ssh", for which sshd is started for each channel as inetd does it, in
// /etc/guestmux/services/ssh.json:
//
//     {"service": "ssh", "exec": ["/usr/sbin/sshd", "-i"]}
//
// ssh gives a ProxyCommand a socket as its standard output, and takes the descriptor from there:
// one byte with SCM_RIGHTS. Built against libmuxclient:
//
//     cc ssh-fdpass.c -o ssh-fdpass $(pkg-config --cflags --libs muxclient)

#include <errno.h>
#include <muxclient.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define TIMEOUT_MS 15000 // the daemon's own is 10 s

static int pass(int socket, int fd)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    struct iovec piece = {(void *)"", 1};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof(int));
    while (sendmsg(socket, &message, MSG_NOSIGNAL) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

int main(int argc, char **argv)
{
    MuxClientRefusal refusal;
    int fd = -1;

    if (argc != 2 || argv[1][0] == '-') {
        (void)fprintf(argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr,
                      "usage: ssh -o ProxyCommand='ssh-fdpass %%h/ssh' -o ProxyUseFdpass=yes VM\n"
                      "The daemon's socket is $GUESTMUX_SOCKET, or the usual one.\n");
        return argc == 2 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
    }
    int r = mux_client_connect(NULL, argv[1], TIMEOUT_MS, &refusal, &fd);
    if (r != 0) {
        (void)fprintf(stderr, "ssh-fdpass: %s: %s%s%s\n", argv[1], mux_client_result_name(r),
                      r > 0 ? ": " : "", r > 0 ? refusal.text : "");
        return 1;
    }
    r = pass(STDOUT_FILENO, fd);
    (void)close(fd);
    if (r < 0) {
        (void)fprintf(stderr, "ssh-fdpass: standard output: %s%s\n", strerror(-r),
                      r == -ENOTSOCK ? " (does ssh have ProxyUseFdpass=yes?)" : "");
        return 1;
    }
    return 0;
}
