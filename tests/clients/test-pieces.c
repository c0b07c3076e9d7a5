// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The table of pieces against a model that has a mark for each byte.

#include <glib.h>
#include <string.h>

#include "../../clients/libmuxclient/pieces.h"

#define SIZE 4096

static MuxClientPieces *pieces_new(void)
{
    MuxClientPieces *pieces = g_new0(MuxClientPieces, 1);

    pieces->size = SIZE;
    return pieces;
}

static gboolean is_free(const char *model, uint64_t offset, uint64_t length)
{
    return length > 0 && offset <= SIZE && length <= SIZE - offset &&
           !memchr(model + offset, 1, length);
}

static gboolean has_room(const char *model, uint64_t length)
{
    for (uint64_t offset = 0; offset + length <= SIZE; offset += MUX_CLIENT_BULK_ALIGN)
        if (is_free(model, offset, length))
            return TRUE;
    return FALSE;
}

static void give_back_one(MuxClientPieces *pieces, char *model)
{
    if (pieces->count == 0)
        return;
    const MuxClientPiece piece = pieces->at[g_test_rand_int_range(0, (gint32)pieces->count)];
    memset(model + piece.offset, 0, piece.length);
    mux_client_pieces_remove(pieces, mux_client_pieces_find(pieces, piece.offset));
    g_assert_null(mux_client_pieces_find(pieces, piece.offset));
}

static void test_add(void)
{
    g_autofree MuxClientPieces *pieces = pieces_new();
    char model[SIZE] = {0};

    for (int i = 0; i < 100000; i++) {
        uint64_t offset = (uint64_t)g_test_rand_int_range(0, SIZE + 20);
        uint64_t length = (uint64_t)g_test_rand_int_range(0, i % 7 ? 50 : SIZE);
        gboolean free = is_free(model, offset, length);
        g_assert_cmpint(mux_client_pieces_add(pieces, offset, length), ==, free);
        if (free)
            memset(model + offset, 1, length);
        if (i % 2)
            give_back_one(pieces, model);
    }
}

static void test_reserve(void)
{
    g_autofree MuxClientPieces *pieces = pieces_new();
    char model[SIZE] = {0};

    for (int i = 0; i < 100000; i++) {
        uint64_t offset = 1, length = (uint64_t)g_test_rand_int_range(1, 600);
        gboolean room = has_room(model, length);
        g_assert_cmpint(mux_client_pieces_reserve(pieces, length, &offset), ==, room);
        if (room) {
            g_assert_true(is_free(model, offset, length));
            g_assert_cmpuint(offset % MUX_CLIENT_BULK_ALIGN, ==, 0);
            uint64_t less = (uint64_t)g_test_rand_int_range(1, (gint32)length + 1);
            mux_client_pieces_shorten(pieces, mux_client_pieces_find(pieces, offset), less);
            memset(model + offset, 1, less);
        }
        if (i % 3)
            give_back_one(pieces, model);
    }
}

static void test_bounds(void)
{
    g_autofree MuxClientPieces *pieces = pieces_new();
    const uint64_t most = UINT64_MAX;
    uint64_t offset;

    g_assert_false(mux_client_pieces_add(pieces, most, 1));
    g_assert_false(mux_client_pieces_add(pieces, 1, most));
    g_assert_false(mux_client_pieces_add(pieces, most, most));
    g_assert_false(mux_client_pieces_add(pieces, most - 10, 20));
    g_assert_false(mux_client_pieces_add(pieces, SIZE, 1));
    g_assert_false(mux_client_pieces_add(pieces, 0, 0));
    g_assert_false(mux_client_pieces_add(pieces, SIZE - 1, 2));
    g_assert_true(mux_client_pieces_add(pieces, SIZE - 1, 1));
    for (unsigned i = 1; i < MUX_CLIENT_BULK_PIECES; i++)
        g_assert_true(mux_client_pieces_add(pieces, i, 1));
    g_assert_false(mux_client_pieces_add(pieces, 2000, 1));
    g_assert_false(mux_client_pieces_reserve(pieces, 1, &offset));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/client/pieces/add", test_add);
    g_test_add_func("/client/pieces/reserve", test_reserve);
    g_test_add_func("/client/pieces/bounds", test_bounds);
    return g_test_run();
}
