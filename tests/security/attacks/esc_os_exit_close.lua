-- attack: os.exit(true, true) in an activity, which would close the state
-- expect: error os.exit
-- where: activity
os.exit(true, true)
