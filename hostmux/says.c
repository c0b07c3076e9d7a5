// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// See memory-private.h.

#include "memory-private.h"

#define ERRORS_MAX 64 // that wait for a guest that does not read

typedef struct ErrorSay {
    MuxSay say;
    MuxVm *vm;
    int64_t request;
    char *code, *text;
} ErrorSay;

void mux_say_init(MuxSay *say, json_object *(*make)(MuxSay *say))
{
    mux_list_init(&say->node);
    say->make = make;
}

void mux_say(MuxVm *vm, MuxSay *say)
{
    if (!mux_lines_are_open(vm->lines))
        return;
    if (mux_list_empty(&say->node))
        mux_list_append(&vm->says, &say->node);
    mux_lines_kick(vm->lines);
}

static void error_free(ErrorSay *error)
{
    mux_list_remove(&error->say.node);
    error->vm->errors--;
    g_free(error->code);
    g_free(error->text);
    g_free(error);
}

static json_object *make_error(MuxSay *say)
{
    ErrorSay *error = mux_container(say, ErrorSay, say);
    json_object *line = json_object_new_object(), *inner = json_object_new_object();

    json_object_object_add(inner, "code", json_object_new_string(error->code));
    json_object_object_add(inner, "text", json_object_new_string(error->text));
    json_object_object_add(line, "request", json_object_new_int64(error->request));
    json_object_object_add(line, "error", inner);
    error_free(error);
    return line;
}

bool mux_say_error(MuxVm *vm, int64_t request, const char *code, const char *text)
{
    if (!mux_lines_are_open(vm->lines))
        return true;
    if (vm->errors >= ERRORS_MAX)
        return false;
    ErrorSay *error = g_new0(ErrorSay, 1);
    mux_say_init(&error->say, make_error);
    error->vm = vm;
    error->request = request;
    error->code = g_strdup(code);
    error->text = g_strdup(text);
    vm->errors++;
    mux_say(vm, &error->say);
    return true;
}

json_object *mux_say_next(MuxVm *vm)
{
    MuxList *node;

    while ((node = mux_list_first(&vm->says))) {
        MuxSay *say = mux_container(node, MuxSay, node);
        mux_list_remove(node);
        json_object *line = say->make(say);
        if (line)
            return line;
    }
    return NULL;
}

void mux_say_nothing(MuxVm *vm)
{
    MuxList *node;

    while ((node = mux_list_first(&vm->says))) {
        MuxSay *say = mux_container(node, MuxSay, node);
        mux_list_remove(node);
        if (say->make == make_error)
            error_free(mux_container(say, ErrorSay, say));
    }
}
