/* The table of keywords and types: see schema_words.h. */
#include "json/schema_words.h"

static const struct {
    const char *name;
    enum word_kind takes;
} words[WORD_COUNT] = {{"", TAKES_ANY},
#define SCHEMA_WORD_ROW(id, name, takes) {name, takes},
                       SCHEMA_WORDS(SCHEMA_WORD_ROW)
#undef SCHEMA_WORD_ROW
};
static const char *const types[] = {"null",   "boolean", "integer", "number",
                                    "string", "array",   "object"};

enum schema_word schema_word_find(struct str name)
{
    for (int i = 1; i < WORD_COUNT; i++)
        if (str_eqz(name, words[i].name)) return (enum schema_word)i;
    return WORD_NONE;
}

const char *schema_word_name(enum schema_word w)
{
    return words[w].name;
}

enum word_kind schema_word_takes(enum schema_word w)
{
    return words[w].takes;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* Levenshtein's distance of two short words, case aside. */
static size_t distance(struct str a, struct str b)
{
    size_t row[40];
    if (a.n >= 40 || b.n >= 40) return 40;
    for (size_t j = 0; j <= b.n; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t above = row[j];
            size_t best = diagonal + (lower(a.p[i - 1]) != lower(b.p[j - 1]));
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            if (above + 1 < best) best = above + 1;
            row[j] = best;
            diagonal = above;
        }
    }
    return row[b.n];
}

const char *schema_word_near(struct str name)
{
    const char *best = NULL;
    size_t least = 3;
    for (int i = 1; i < WORD_COUNT; i++) {
        size_t d = distance(name, str_of(words[i].name));
        if (d < least) {
            least = d;
            best = words[i].name;
        }
    }
    return best;
}

unsigned schema_type_find(struct str name)
{
    for (unsigned i = 0; i < 7; i++)
        if (str_eqz(name, types[i])) return 1u << i;
    return 0;
}

const char *schema_type_name(unsigned bit)
{
    for (unsigned i = 0; i < 7; i++)
        if (bit == 1u << i) return types[i];
    return "?";
}

const struct json *schema_word_of(const struct json *schema, enum schema_word w)
{
    if (schema->kind != JSON_OBJECT) return NULL;
    for (const struct json *m = schema->v.first; m; m = m->next)
        if (m->word == w) return m;
    return NULL;
}
