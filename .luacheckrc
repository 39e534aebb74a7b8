std = "lua54"
max_line_length = 160
files["tests/spec"] = { std = "+busted" }
files["lua/meta"] = { ignore = { "212", "211", "631" } }
files["tests/security"] = { ignore = { "." } }
exclude_files = { "build*" }
