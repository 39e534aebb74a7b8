-- attack: ml.uuid is the same in every replay
-- expect: same
-- where: workflow
local id = ml.uuid() ml.sleep(#id + id:byte(1) + id:byte(9) * 256) return #id
