// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Where the simulated ends' memory comes from. The linker puts these functions in the place of
// malloc() and its like (--wrap), so that the tests can see what proto/ leaks, let allocations
// fail, and roll a whole end back: a guest in a snapshot world lives in an arena at a fixed
// address, and a snapshot is a copy of it.
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef struct Arena Arena;

Arena *arena_new(void);
void arena_free(Arena *arena);
// Copies what is in it; the newest copy replaces the one before.
void arena_snapshot(Arena *arena);
// Puts the copy back. Pointers to what was allocated since are void.
void arena_restore(Arena *arena);

// From now on memory comes from there; NULL is the heap. Returns what was used before.
Arena *memory_use(Arena *arena);
// A new seed begins: nothing of the last one may change it.
void memory_begin(void);
// One allocation in `n` fails; 0: none.
void memory_starve(unsigned n);
// How many pieces of the heap are allocated.
size_t memory_pieces(void);
