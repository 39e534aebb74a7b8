-- attack: texts are ordered by bytes
-- expect: value [true,false,true]
-- where: workflow
return ml.list {'B' < 'a', 'a' < 'B', '-' < '_'}
