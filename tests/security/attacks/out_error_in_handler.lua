-- attack: an error in an xpcall handler
-- expect: value [false,true]
-- where: both
local ok, e = xpcall(error, function() error('again') end, 'x') return ml.list {ok, e ~= nil}
