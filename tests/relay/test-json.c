// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// json-line.c: which line an error is about.

#include <gio/gio.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>

#include "relay/json.h"

static const char text[] = "{\n"                                                            // 1
                           "  \"a\": {\"port\": 1, \"b\": \"\\\"c\\\": { [\", \"n\": [1,\n" // 2
                           "      2, {\"k\"\n"                                              // 3
                           "  : 3}, [\"}]\", {\"z\":\n"                                     // 4
                           "    null}] ]},\n"                                               // 5
                           "  \"c\": {}, \"d\": true,\n"                                    // 6
                           "  \"port\"\n"                                                   // 7
                           "    : -1.5e3, \"e\": {\n"                                       // 8
                           "    \"port\": 2\n"                                              // 9
                           "  },\n"                                                         // 10
                           "  \"d\": false\n"                                               // 11
                           "}\n";

static void test_lines(void)
{
    static const struct {
        const char *message;
        guint line;
    } cases[] = {
        {"\"a\" must be", 2},
        {"\"port\" must be", 7},
        {"\"a\": \"port\" must be", 2},
        {"\"e\": \"port\" must be", 9},
        {"\"e\": \"missing\" must be", 8},
        {"\"c\" must be", 6},
        {"\"d\" must be", 11},
        {"\"missing\" must be", 1},
        {"\"missing\": \"port\" must be", 1},
        {"\"port\": \"port\" must be", 7},
        {"\"a\": \"n\": number 1 must be", 2},
        {"\"a\": \"n\": number 2 must be", 3},
        {"\"a\": \"n\": number 3: \"k\" must be", 3},
        {"\"a\": \"n\": number 4: number 2: \"z\": \"y\" must be", 4},
        {"\"a\": \"n\": number 5: \"k\" must be", 2},
        {"\"a\": number 1 must be", 2},
        {"\"a\": something else: \"port\"", 2},
        {"nothing \"port\"", 1},
        {"", 1},
        {"\"", 1},
        {"\"a", 1},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
        if (mux_json_line(text, cases[i].message) != cases[i].line)
            g_test_fail_printf("%s: line %u", cases[i].message,
                               mux_json_line(text, cases[i].message));
}

// It is only ever given what was parsed; all the same it stays inside of what it is given.
static void test_cut(void)
{
    for (size_t length = 0; length < sizeof(text); length++) {
        g_autofree char *cut = g_strndup(text, length);
        (void)mux_json_line(cut, "\"a\": \"n\": number 4: number 2: \"z\": \"y\" must be");
        (void)mux_json_line(cut, "\"e\": \"port\" must be");
    }
}

static void test_blame(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *file = NULL;
    int fd = g_file_open_tmp("test-json-XXXXXX", &file, &error);

    g_assert_no_error(error);
    g_assert_cmpint(g_close(fd, NULL), ==, TRUE);
    g_assert_true(g_file_set_contents(file, text, -1, NULL));
    json_object *object = mux_json_load(file, &error);
    g_assert_no_error(error);
    guint64 number;
    json_object *e = NULL;
    g_assert_true(mux_json_object(object, "e", &e, &error));
    g_assert_false(mux_json_number(e, "port", 5, 6, &number, &error));
    g_prefix_error(&error, "\"e\": ");
    mux_json_blame(object, file, &error);
    g_autofree char *wanted =
        g_strdup_printf("%s: line 9: \"e\": \"port\" must be a number from 5 to 6", file);
    g_assert_cmpstr(error->message, ==, wanted);
    json_object_put(object);
    g_assert_cmpint(g_unlink(file), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/json/lines", test_lines);
    g_test_add_func("/json/cut", test_cut);
    g_test_add_func("/json/blame", test_blame);
    return g_test_run();
}
