-- attack: resuming and closing the coroutine of another branch
-- expect: value [false,false]
-- where: workflow
local co
ml.spawn(function() co = coroutine.running() ml.sleep('1h') end) ml.sleep(1)
return ml.list {(coroutine.resume(co)), (pcall(coroutine.close, co))}
