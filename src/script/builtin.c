/* Looks up the Lua modules that are part of the program (builtin_table.c, made by
 * scripts/gen_tables.lua). */
#include "script/bundle.h"

const struct builtin_module *builtin_find(struct str name)
{
    for (const struct builtin_module *m = builtin_modules; m->name; m++)
        if (str_eqz(name, m->name)) return m;
    return NULL;
}
