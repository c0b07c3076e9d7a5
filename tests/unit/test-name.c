// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// name.c: what is a name, and what only looks like one.

#include <glib.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/name.h"

#define BAD 0

typedef struct Case {
    const char *name;
    size_t length;
    size_t service; // BAD: it is no name
} Case;

#define WHOLE(text) text, sizeof(text) - 1

static const Case cases[] = {
    {WHOLE("a"), 1},          {WHOLE("echo"), 4},
    {WHOLE("A-z_0.9"), 7},    {WHOLE("0"), 1},
    {WHOLE("_"), 1},          {WHOLE("a..b"), 4},
    {WHOLE("a-"), 2},         {WHOLE("a:"), 1},
    {WHOLE("a:b"), 1},        {WHOLE("echo:an argument, with: everything/ \t\x01\x7f\xff"), 4},
    {WHOLE("a::"), 1},        {WHOLE("a:-x"), 1},
    {WHOLE(""), BAD},         {WHOLE(":"), BAD},
    {WHOLE(":a"), BAD},       {WHOLE("-a"), BAD},
    {WHOLE("--help"), BAD},   {WHOLE("."), BAD},
    {WHOLE(".."), BAD},       {WHOLE(".hidden"), BAD},
    {WHOLE("@control"), BAD}, {WHOLE("a/b"), BAD},
    {WHOLE("../a"), BAD},     {WHOLE("a b"), BAD},
    {WHOLE(" a"), BAD},       {WHOLE("a\n"), BAD},
    {WHOLE("a\0b"), BAD},     {WHOLE("a\x7f"), BAD},
    {WHOLE("\xc3\xa4"), BAD}, {WHOLE("a\xff"), BAD},
    {WHOLE("a:b\0c"), BAD},   {WHOLE("a:b\nc"), BAD},
    {WHOLE("a:\n"), BAD},     {WHOLE("a:\0"), BAD},
};

static void check(const char *name, size_t length, size_t service)
{
    size_t n = 4711;
    // A copy of just that length, so that reading beyond it is seen.
    g_autofree char *copy = g_memdup2(name, length);
    g_assert_cmpint(mux_name_valid(copy, length, &n), ==, service != BAD);
    g_assert_cmpuint(n, ==, service == BAD ? 4711 : service);
}

static void test_cases(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
        check(cases[i].name, cases[i].length, cases[i].service);
}

// Every byte, at the beginning of a service, inside it, and inside an argument.
static void test_bytes(void)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        char c = (char)byte;
        bool inner = g_ascii_isalnum(c) || (c != 0 && strchr("._-", c));
        bool first = inner && c != '.' && c != '-';
        check((char[]){c, 'b'}, 2, first ? 2 : BAD);
        check((char[]){'a', c, 'b'}, 3, inner ? 3 : c == ':' ? 1 : BAD);
        check((char[]){'a', ':', c}, 3, c == 0 || c == '\n' ? BAD : 1);
    }
}

static void test_lengths(void)
{
    char name[MUX_NAME_MAX + 2];
    memset(name, 'a', sizeof(name));
    g_assert_cmpuint(MUX_NAME_MAX, ==, 1153);

    check(name, 127, 127);
    check(name, 128, 128);
    check(name, 129, BAD);
    check(name, sizeof(name), BAD);
    name[128] = ':';
    check(name, 129, 128);
    check(name, 129 + 1023, 128);
    check(name, 129 + 1024, 128);
    check(name, 129 + 1025, BAD);
    name[128] = 'a';
    name[129] = ':';
    check(name, 140, BAD);
}

static void test_codes(void)
{
    static const char *const words[] = {"closed", "no-service", "denied",    "refused",
                                        "limit",  "timeout",    "link-down", "bad-name"};
    g_assert_cmpuint(G_N_ELEMENTS(words), ==, MUX_CODES);
    for (unsigned code = 0; code < MUX_CODES; code++)
        g_assert_cmpstr(mux_code_name(code), ==, words[code]);
    g_assert_cmpstr(mux_code_name(MUX_CODES), ==, "unknown");
    g_assert_cmpstr(mux_code_name(UINT_MAX), ==, "unknown");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/name/cases", test_cases);
    g_test_add_func("/name/bytes", test_bytes);
    g_test_add_func("/name/lengths", test_lengths);
    g_test_add_func("/name/codes", test_codes);
    return g_test_run();
}
