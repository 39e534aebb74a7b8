-- attack: returning a coroutine
-- expect: error thread cannot be JSON
-- where: both
return {co = coroutine.create(print)}
