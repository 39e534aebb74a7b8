-- attack: os.exit in an activity must not end the process
-- expect: error os.exit
-- where: activity
os.exit(0)
