-- attack: the order of 500 elements that compare equal
-- expect: same
-- where: workflow
local t = {} for i = 1, 500 do t[i] = {k = i % 5, i = i} end
table.sort(t, function(a, b) return a.k < b.k end)
local h = 0 for _, v in ipairs(t) do h = (h * 31 + v.i) % 1000000007 end return h
