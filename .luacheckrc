std = "lua54"
max_line_length = 160
files["tests/spec"] = { std = "+busted", max_line_length = false }
files["lua/api"] = { max_line_length = false }
files["lua/meta"] = { ignore = { "." } }
files["lua/moonloop/prelude.lua"] = { ignore = { "121", "122" } } -- it replaces library functions: that is its job
files["tests/security"] = { ignore = { "." } }
exclude_files = { "build*" }
