// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// An intrusive, circular, doubly linked list. A node that is in no list points at itself, so that
// removing it twice is harmless and "is it linked?" needs no flag beside it.
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef struct MuxList {
    struct MuxList *next, *prev;
} MuxList;

#define mux_container(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

static inline void mux_list_init(MuxList *list)
{
    list->next = list->prev = list;
}

// True for an empty list, and for a node that is in no list.
static inline bool mux_list_empty(const MuxList *list)
{
    return list->next == list;
}

static inline void mux_list_remove(MuxList *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    mux_list_init(node);
}

// Moves `node` to the end of `list`, from wherever it was.
static inline void mux_list_append(MuxList *list, MuxList *node)
{
    mux_list_remove(node);
    node->prev = list->prev;
    node->next = list;
    list->prev->next = node;
    list->prev = node;
}

// The first node, which stays where it is; NULL when there is none.
static inline MuxList *mux_list_first(const MuxList *list)
{
    return mux_list_empty(list) ? NULL : list->next;
}
