/* A bundle: the source text a run was started with. Canonical JSON {api, entry, format, lax: [...],
 * modules: {name: sha256}, native: [...]} (lax: modules from a package path, which read undefined
 * globals as nil; left out when empty); its digest is the SHA-256 of those bytes. Texts are stored
 * once by hash; the host keeps its own bytecode of each. Bundles are counted: bundle_ref/unref. */
#ifndef ML_SCRIPT_BUNDLE_H
#define ML_SCRIPT_BUNDLE_H
#include "base/hash.h"
#include "script/sandbox.h"

#define BUNDLE_FORMAT 1
#define BUNDLE_API 1 /* version of the C bindings that run-side Lua modules rely on */

struct bundle_module {
    char *name;  /* "daily_loop", "moonloop.flow", "lib.util" */
    char *chunk; /* "@daily_loop.lua": relative to the entry's folder */
    char *text;
    size_t text_n;
    char sha[SHA256_HEX];
    bool strict; /* entry and modules beside it */
    char *code;
    size_t code_n; /* our own bytecode, made on first load */
};
struct bundle {
    int refs;
    char digest[SHA256_HEX];
    char *json;
    size_t json_n;
    char *entry; /* module name of the entry script */
    struct bundle_module *modules;
    size_t n_modules; /* sorted by name */
    char **native;
    size_t n_native;
};
/* Builds from files: the entry path; `loaded` are the names that the host state required while
 * loading it (besides those that literal require "x" calls in the texts name, which are followed
 * too). Adds every run-side Lua module of moonloop. */
int bundle_build(const char *entry_path, const char *const *loaded, size_t n_loaded,
                 struct bundle **out, struct err *e);
/* Rebuilds from the stored JSON; `text_of` fetches a text by hash (borrowed until the next call).
 */
typedef int (*bundle_text_fn)(void *ud, const char *sha, struct str *text);
int bundle_parse(struct str json, bundle_text_fn text_of, void *ud, struct bundle **out,
                 struct err *e);
struct bundle *bundle_ref(struct bundle *b);
void bundle_unref(struct bundle *b);
const struct bundle_module *bundle_find(const struct bundle *b, struct str name);
/* Makes the bundle the module source of a run state and pushes the compiled entry function onto co.
 */
int bundle_install(struct bundle *b, struct sandbox *sb, lua_State *co, struct err *e);

/* Where `require name` finds a file for an entry script: the entry's folder first (?.lua,
 * ?/init.lua), then package.path's Lua entries (not strict), then package.cpath (native).
 * ERR_NOTFOUND lists what was tried. *path is owned. */
int bundle_resolve(const char *entry_path, struct str name, char **path, bool *strict, bool *native,
                   struct err *e);

/* The whole text of a script file, 8 MiB at most. *text is owned, NUL-terminated. ERR_NOTFOUND,
 * ERR_IO, ERR_LIMIT. */
int bundle_read_text(const char *path, char **text, size_t *n, struct err *e);
/* Calls each for the module names of literal `require "x"` calls in a text. */
void bundle_scan_requires(struct str text, void (*each)(void *ud, struct str name), void *ud);

/* Lua modules compiled into the program (lua/moonloop/NAME.lua as "moonloop.NAME"). run_side: those
 * a run may load. */
struct builtin_module {
    const char *name;
    const char *text;
    size_t n;
    bool run_side;
};
const struct builtin_module *builtin_find(struct str name);
extern const struct builtin_module builtin_modules[]; /* ended by name NULL */
/* Names of the moonloop table that are written in Lua (a module's first line lists them). */
struct builtin_name {
    const char *name, *module;
    bool run_side;
};
extern const struct builtin_name builtin_names[]; /* ended by name NULL */
/* Stack: the moonloop table at 1, a key at 2. When the key is such a name its module is loaded, all
 * names that it defines are set in the table, its classes ({class = methods}) are handed to
 * `add_class` with the methods on the stack, and true is returned: the name may be looked up now.
 */
bool builtin_load_name(lua_State *L, bool run_side,
                       void (*add_class)(lua_State *L, const char *name));

#endif
