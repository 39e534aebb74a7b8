-- attack: os.exit in a coroutine of an activity
-- expect: error os.exit
-- where: activity
coroutine.wrap(function() os.exit(3) end)()
