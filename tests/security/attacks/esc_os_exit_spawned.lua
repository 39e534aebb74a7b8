-- attack: os.exit in a branch of an activity
-- expect: error os.exit
-- where: activity
ml.spawn(function() os.exit(3) end):await()
