// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

#include "memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA_SIZE ((size_t)8 << 20)
#define CLASSES    32

// Blocks of powers of two, each behind a header that says which; free ones are linked through
// themselves.
typedef struct Block {
    size_t class;
    struct Block *next;
} Block;

typedef struct Inside {
    size_t used;
    Block *vacant[CLASSES];
    _Alignas(16) uint8_t bytes[];
} Inside;

struct Arena {
    Inside *inside;
    Inside *copy;
};

static struct {
    Arena *arena;
    unsigned starve, since;
    size_t pieces;
} memory;

void *__real_malloc(size_t size);
void *__real_realloc(void *piece, size_t size);
void __real_free(void *piece);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *piece, size_t size);
void __wrap_free(void *piece);

static void *map(void)
{
    void *base = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        abort();
    return base;
}

Arena *arena_new(void)
{
    Arena *arena = __real_malloc(sizeof(*arena));
    if (!arena)
        abort();
    *arena = (Arena){map(), map()};
    return arena;
}

void arena_free(Arena *arena)
{
    if (!arena)
        return;
    munmap(arena->inside, ARENA_SIZE);
    munmap(arena->copy, ARENA_SIZE);
    __real_free(arena);
}

static void copy(Inside *to, const Inside *from)
{
    memcpy(to, from, sizeof(*from) + from->used);
}

void arena_snapshot(Arena *arena)
{
    copy(arena->copy, arena->inside);
}

void arena_restore(Arena *arena)
{
    copy(arena->inside, arena->copy);
}

static void *arena_take(Inside *inside, size_t size)
{
    size_t class = 5;
    while (((size_t)1 << class) < size + sizeof(Block))
        class ++;

    Block *block = inside->vacant[class];
    if (block) {
        inside->vacant[class] = block->next;
    } else {
        size_t need = (size_t)1 << class;
        if (sizeof(*inside) + inside->used + need > ARENA_SIZE)
            return NULL;
        block = (Block *)(void *)(inside->bytes + inside->used);
        inside->used += need;
        block->class = class;
    }
    return block + 1;
}

// Whose arena a piece lies in: there is at most one at a time, but it need not be in use.
static Inside *owner(const void *piece)
{
    const Arena *arena = memory.arena;
    if (!arena)
        return NULL;
    const uint8_t *base = (const uint8_t *)arena->inside, *p = piece;
    return p >= base && p < base + ARENA_SIZE ? arena->inside : NULL;
}

Arena *memory_use(Arena *arena)
{
    Arena *was = memory.arena;
    memory.arena = arena;
    return was;
}

void memory_begin(void)
{
    memory.since = memory.starve = 0;
}

void memory_starve(unsigned n)
{
    memory.starve = n;
}

size_t memory_pieces(void)
{
    return memory.pieces;
}

void *__wrap_malloc(size_t size)
{
    if (memory.starve && ++memory.since % memory.starve == 0)
        return NULL;
    if (memory.arena)
        return arena_take(memory.arena->inside, size);
    void *piece = __real_malloc(size);
    memory.pieces += piece != NULL;
    return piece;
}

void *__wrap_calloc(size_t count, size_t size)
{
    void *piece = __wrap_malloc(count * size);
    return piece ? memset(piece, 0, count * size) : NULL;
}

// Of the heap only: proto/ does not use it.
void *__wrap_realloc(void *piece, size_t size)
{
    memory.pieces += piece == NULL;
    return __real_realloc(piece, size);
}

void __wrap_free(void *piece)
{
    Inside *inside = owner(piece);
    if (inside) {
        Block *block = (Block *)piece - 1;
        block->next = inside->vacant[block->class];
        inside->vacant[block->class] = block;
    } else if (piece) {
        memory.pieces--;
        __real_free(piece);
    }
}
