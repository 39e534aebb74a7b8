-- attack: how deep recursion goes before it fails
-- expect: same
-- where: workflow
local names, n = {}, {0} for i = 1, 190 do names[i] = 'v' .. i end
local f = load('local n = ... local function f() n[1] = n[1] + 1 local ' .. table.concat(names, ',') .. ' = 1 return f() + 1 end return f')(n)
local ok, why = pcall(f) return {ok, n[1], (why:gsub('\n.*', ''))}
