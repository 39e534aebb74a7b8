/* The options tables of lua/api/options.lua as C data (made by scripts/gen_tables.lua). Private to
 * the script room. */
#ifndef ML_SCRIPT_API_TABLE_H
#define ML_SCRIPT_API_TABLE_H

struct api_option {
    const char *name, *type;
}; /* ended by name NULL */
struct api_options {
    const char *name;
    const struct api_option *options;
};
extern const struct api_options api_options_table[]; /* ended by name NULL */

#endif
