// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The reader: what is JSON and what is not, and what comes out of it. Every text is checked in
// memory that ends where the text does, so that the sanitizer sees an overread; and every beginning
// of it.

#include <glib.h>
#include <string.h>

#include "clients/libmuxclient/json.h"

// Whether it is one value. Goes through all that is in it.
static bool check(const char *text, size_t length)
{
    g_autofree char *exact = g_memdup2(text, length); // NULL for none
    MuxClientJson value;

    return mux_client_json_check(exact ? exact : "", length, &value);
}

static void test_good(void)
{
    static const char *const texts[] = {
        "null",
        "true",
        "false",
        "0",
        "-0",
        "12",
        "-1.5",
        "1e5",
        "1E+5",
        "2.0e-10",
        "\"\"",
        "\"a\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\"",
        "\"\\ud83d\\ude00\"",
        "\"\xc3\xa4\"",
        "\"\xff\"",
        "[]",
        "[ ]",
        "{}",
        "{ }",
        "[1]",
        "[1,2]",
        " [ 1 , [ ] , { } ] ",
        "{\"a\":1}",
        "{ \"a\" : { \"b\" : [ true , null ] } , \"c\" : \"d\" }\r",
        "\t1\n",
        "[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]", // 16 deep
    };

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        if (!check(texts[i], strlen(texts[i])))
            g_error("should be good: %s", texts[i]);
}

static void test_bad(void)
{
    static const char *const texts[] = {
        "",
        " ",
        "nul",
        "nulll",
        "True",
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x1",
        "NaN",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\n\"",
        "\"a\"b",
        "'a'",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1]]",
        "[}",
        "{",
        "}",
        "{1:2}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\":1 \"b\":2}",
        "{,}",
        "{]",
        "{\"a\":1]",
        "[{]}",
        "1 2",
        "{}{}",
        "[1]x",
        "/* */ 1",
        "[\"a\"",
        "{\"a\":\"b\"",
        "[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", // 17 deep
    };

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        if (check(texts[i], strlen(texts[i])))
            g_error("should be bad: %s", texts[i]);
    g_assert_false(check("\"a\0b\"", 5));
    g_assert_false(check("1\0", 2));
}

static void test_deep(void)
{
    g_autofree char *text = g_strnfill(1 << 20, '[');

    g_assert_false(check(text, strlen(text)));
}

static const char sample[] =
    "{\"event\":\"x\",\"list\":[1,\"two\",[3],{\"four\":4},-5,true], \"n\":18446744073709551615,"
    "\"es\\u0063aped\":\"\\u00e4\\ud83d\\ude00\\ud800x\\n\",\"nul\":\"a\\u0000b\",\"event\":\"y\"}";

static MuxClientJson parse(const char *text)
{
    MuxClientJson value = {0};

    g_assert_true(mux_client_json_check(text, strlen(text), &value));
    return value;
}

static void test_prefixes(void)
{
    for (size_t n = 0; n < strlen(sample); n++)
        g_assert_false(check(sample, n));
    g_assert_true(check(sample, strlen(sample)));
}

static void assert_string(MuxClientJson value, const char *expected)
{
    char text[64];
    size_t length = 99;

    g_assert_true(mux_client_json_string(value, text, sizeof(text), &length));
    g_assert_cmpstr(text, ==, expected);
    g_assert_cmpuint(length, ==, strlen(expected));
    // Exactly as much room as is needed, and one byte less.
    g_assert_true(mux_client_json_string(value, text, strlen(expected) + 1, &length));
    g_assert_false(mux_client_json_string(value, text, strlen(expected), &length));
    g_assert_cmpuint(strlen(expected) + 1, <=, value.length);
    g_assert_true(mux_client_json_equals(value, expected));
}

static void test_strings(void)
{
    MuxClientJson object = parse(sample);
    char text[64];
    size_t length = 99;

    assert_string(mux_client_json_get(object, "event"), "x"); // the first one
    assert_string(mux_client_json_get(object, "escaped"), "ä😀\xef\xbf\xbdx\n");
    assert_string(parse("\"\\ud800\\u0041\\udc00\""), "\xef\xbf\xbd"
                                                      "A\xef\xbf\xbd");
    assert_string(parse("\"\\u07ff\\u0800\\uFFFF\""), "\u07ff\u0800\uffff");
    assert_string(parse("\"\""), "");
    MuxClientJson nul = mux_client_json_get(object, "nul");
    g_assert_false(mux_client_json_string(nul, text, sizeof(text), &length));
    g_assert_false(mux_client_json_equals(nul, "a"));
    g_assert_false(mux_client_json_string(object, text, sizeof(text), &length));
    g_assert_false(mux_client_json_string((MuxClientJson){0}, text, sizeof(text), &length));
    g_assert_false(mux_client_json_equals((MuxClientJson){0}, ""));
    g_assert_cmpuint(length, ==, 99); // untouched
    g_assert_false(mux_client_json_equals(parse("\"ab\""), "a"));
    g_assert_false(mux_client_json_equals(parse("\"a\""), "ab"));
}

static void test_numbers(void)
{
    static const char *const bad[] = {
        "-1", "1.0", "1e2", "18446744073709551616", "\"1\"", "null", "99999999999999999999999"};
    uint64_t number = 7;

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
        g_assert_false(mux_client_json_number(parse(bad[i]), UINT64_MAX, &number));
    g_assert_false(mux_client_json_number((MuxClientJson){0}, UINT64_MAX, &number));
    g_assert_false(mux_client_json_number(parse("256"), 255, &number));
    g_assert_cmpuint(number, ==, 7);
    g_assert_true(mux_client_json_number(parse("255"), 255, &number));
    g_assert_cmpuint(number, ==, 255);
    MuxClientJson most = mux_client_json_get(parse(sample), "n");
    g_assert_true(mux_client_json_number(most, UINT64_MAX, &number));
    g_assert_cmpuint(number, ==, UINT64_MAX);
}

static void test_next(void)
{
    MuxClientJson list = mux_client_json_get(parse(sample), "list");
    MuxClientJson key, value;
    GString *seen = g_string_new(NULL);

    for (MuxClientJson at = {0}; mux_client_json_next(list, &at, &key, &value);) {
        g_assert_null(key.at);
        g_string_append_len(seen, value.at, (gssize)value.length);
        g_string_append_c(seen, ' ');
    }
    g_assert_cmpstr(seen->str, ==, "1 \"two\" [3] {\"four\":4} -5 true ");
    g_string_free(seen, TRUE);

    size_t n = 0;
    for (MuxClientJson at = {0}; mux_client_json_next(parse(" { } "), &at, &key, &value);)
        n++;
    for (MuxClientJson at = {0}; mux_client_json_next(parse("1"), &at, &key, &value);)
        n++;
    for (MuxClientJson at = {0}; mux_client_json_next((MuxClientJson){0}, &at, &key, &value);)
        n++;
    g_assert_cmpuint(n, ==, 0);
    g_assert_null(mux_client_json_get(parse("[1]"), "a").at);
    g_assert_null(mux_client_json_get(parse("{\"a\":1}"), "b").at);
}

// One value, by all functions.
static void touch(MuxClientJson value)
{
    char text[64];
    size_t length;
    uint64_t number;

    (void)mux_client_json_string(value, text, sizeof(text), &length);
    (void)mux_client_json_equals(value, "a\"b");
    (void)mux_client_json_number(value, G_MAXUINT64, &number);
    (void)mux_client_json_get(value, "a");
}

// All that a text has; returns how many values.
static size_t walk(MuxClientJson value)
{
    struct {
        MuxClientJson list;
        MuxClientJson at;
    } open[MUX_CLIENT_JSON_DEPTH + 1] = {{value, {NULL, 0}}};
    MuxClientJson key, inner;
    size_t n = 1;

    touch(value);
    for (int depth = 0; depth >= 0;) {
        if (!mux_client_json_next(open[depth].list, &open[depth].at, &key, &inner)) {
            depth--;
            continue;
        }
        touch(key);
        touch(inner);
        n++;
        if (mux_client_json_is_object(inner) || mux_client_json_is_array(inner)) {
            depth++;
            g_assert_cmpint(depth, <, G_N_ELEMENTS(open));
            open[depth].list = inner;
            open[depth].at = (MuxClientJson){0};
        }
    }
    return n;
}

// Texts made of pieces of JSON in no order, in exact memory.
static void test_random(void)
{
    static const char *const pieces[] = {
        "{",    "}",       "[", "]", ",",   ":", "\"",   "\\", "\"a\"", "\"\\u", "\"\\ud8",
        "00\"", "\\udc00", "1", "-", "0.5", "e", "true", " ",  "null",  "\xc3"};
    g_autoptr(GRand) random = g_rand_new_with_seed(1);
    size_t good = 0;

    for (int i = 0; i < 200000; i++) {
        GString *text = g_string_new(NULL);
        for (int n = g_rand_int_range(random, 1, 10); n > 0; n--)
            g_string_append(text, pieces[g_rand_int_range(random, 0, G_N_ELEMENTS(pieces))]);
        g_autofree char *exact = g_memdup2(text->str, text->len);
        MuxClientJson value;
        if (mux_client_json_check(exact, text->len, &value))
            good += walk(value);
        g_string_free(text, TRUE);
    }
    g_assert_cmpuint(good, >, 1000); // else the pieces say nothing
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/client/json/good", test_good);
    g_test_add_func("/client/json/bad", test_bad);
    g_test_add_func("/client/json/deep", test_deep);
    g_test_add_func("/client/json/prefixes", test_prefixes);
    g_test_add_func("/client/json/strings", test_strings);
    g_test_add_func("/client/json/numbers", test_numbers);
    g_test_add_func("/client/json/next", test_next);
    g_test_add_func("/client/json/random", test_random);
    return g_test_run();
}
