-- attack: defining an activity or a workflow inside a run
-- expect: value [false,false]
-- where: workflow
return ml.list {(pcall(ml.activity, 'late', function() end)), (pcall(ml.workflow, 'late', function() end))}
