// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// load serve listen|device PATH                      the guest's end, for ever
// load [OPTION…] WHAT CONNECTION                     measures, and prints a line of JSON
// load [-n COUNT] [-c AT_ONCE] [-p NAME] [-s SIZE] opens SOCKET
//                                                    how many connections a second, each made, used
//                                                    for one message and closed
// load [-b BYTES] [-w BLOCK] memcpy                  how fast memory is copied
//
// WHAT: rtt; source, sink (from the server, to it); loaded-source, loaded-sink (rtt beside these);
// bulk-source, bulk-sink, and loaded- before these; notices. CONNECTION: a descriptor that was
// inherited; for loaded two, by a comma; or "pair", a socket pair whose server is a process of this
// machine.

#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "copy.h"
#include "opens.h"
#include "server.h"
#include "stream.h"

static void usage(void)
{
    (void)fprintf(stderr, "usage: load serve listen|device PATH\n"
                          "       load [-n ROUNDS] [-s SIZE] [-b BYTES] [-w BLOCK] [-t]\n"
                          "            [-k SOCKET] [-l VM] WHAT FD[,FD]|pair\n"
                          "       load [-n COUNT] [-c AT_ONCE] [-p NAME] [-s SIZE] opens SOCKET\n"
                          "       load [-b BYTES] [-w BLOCK] memcpy\n");
    exit(2);
}

static size_t number(const char *text, size_t most)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);

    if (*end != '\0' || value < 1 || value > most)
        usage();
    return (size_t)value;
}

static int make_pair(void)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
        err(1, "socketpair");
    if (fork() == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(fds[0]);
        server_run(fds[1]);
        exit(0);
    }
    close(fds[1]);
    return fds[0];
}

static void measure_loaded(const char *what, const char *connection, const ClientOptions *options)
{
    static const struct {
        const char *name;
        bool to_server, bulk;
    } kinds[] = {{"loaded-source", false, false},
                 {"loaded-sink", true, false},
                 {"loaded-bulk-source", false, true},
                 {"loaded-bulk-sink", true, true}};
    const char *comma = strchr(connection, ',');

    for (size_t i = 0; comma && i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kinds[i].name, what) == 0) {
            client_loaded(atoi(connection), atoi(comma + 1), kinds[i].to_server, kinds[i].bulk,
                          options);
            return;
        }
    usage();
}

static void measure(const char *what, const char *connection, const ClientOptions *options)
{
    static const struct {
        const char *name;
        void (*run)(int fd, const ClientOptions *options);
    } kinds[] = {{"rtt", client_rtt},
                 {"source", client_source},
                 {"sink", client_sink},
                 {"bulk-source", client_bulk_source},
                 {"bulk-sink", client_bulk_sink},
                 {"notices", client_notices}};
    bool pair = strcmp(connection, "pair") == 0;
    int fd = pair ? make_pair() : atoi(connection);

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kinds[i].name, what) == 0) {
            // A process that has just begun is scheduled differently: the second line counts.
            if (pair)
                kinds[i].run(fd, options);
            kinds[i].run(fd, options);
            return;
        }
    measure_loaded(what, connection, options);
}

static ClientOptions parse_options(int argc, char **argv)
{
    ClientOptions options = {
        .rounds = 1000, .size = 64, .bytes = 64 << 20, .block = 64 << 10, .at_once = 16};

    for (int option; (option = getopt(argc, argv, "+n:s:b:w:tc:p:k:l:")) != -1;) {
        if (option == 'n')
            options.rounds = number(optarg, 1000000);
        else if (option == 's')
            options.size = number(optarg, 65536);
        else if (option == 'b')
            options.bytes = number(optarg, (size_t)1 << 40);
        else if (option == 'w')
            options.block = number(optarg, STREAM_BLOCK_MAX);
        else if (option == 't')
            options.touch = true;
        else if (option == 'c')
            options.at_once = number(optarg, 65536);
        else if (option == 'p')
            options.name = optarg;
        else if (option == 'k')
            options.place.socket = optarg;
        else if (option == 'l')
            options.place.link = optarg;
        else
            usage();
    }
    return options;
}

// As many descriptors as we may have: each connection is one.
static void raise_limit(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        err(1, "getrlimit");
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
}

int main(int argc, char **argv)
{
    ClientOptions options = parse_options(argc, argv);

    (void)signal(SIGPIPE, SIG_IGN);
    raise_limit();
    argv += optind;
    argc -= optind;
    if (argc == 3 && strcmp(argv[0], "serve") == 0 && strcmp(argv[1], "listen") == 0)
        server_listen(argv[2]);
    else if (argc == 3 && strcmp(argv[0], "serve") == 0 && strcmp(argv[1], "device") == 0)
        server_device(argv[2]);
    else if (argc == 2 && strcmp(argv[0], "opens") == 0)
        opens_run(argv[1], options.name, options.rounds, options.at_once, options.size);
    else if (argc == 1 && strcmp(argv[0], "memcpy") == 0)
        copy_run(options.bytes, options.block);
    else if (argc == 2)
        measure(argv[0], argv[1], &options);
    else
        usage();
    return 0;
}
