-- attack: explosive patterns swallowed by pcall
-- expect: limit
-- where: workflow
while true do pcall(string.find, ('a'):rep(30), ('a?'):rep(30) .. ('a'):rep(30)) end
