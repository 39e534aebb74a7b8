std = "lua54"
max_line_length = 160
files["tests/spec"] = { std = "+busted", ignore = { "631" } }
files["lua/api"] = { ignore = { "631" } }
files["lua/meta"] = { ignore = { "212", "211", "241", "431", "631" } }
files["lua/moonloop/prelude.lua"] = { ignore = { "121", "122", "211" } }
files["tests/security"] = { ignore = { "." } }
exclude_files = { "build*" }
