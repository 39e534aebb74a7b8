-- attack: <close> variables end in reverse order
-- expect: value "cba"
-- where: workflow
local out = '' do local function c(n) return setmetatable({}, {__close = function() out = out .. n end}) end
local a <close> = c 'a' local d <close> = c 'b' local e <close> = c 'c' end return out
