-- attack: a chunk name with control bytes and 10,000 letters in the traceback
-- expect: error raised
-- where: both
load('error("raised")', '=' .. ('\27[2J'):rep(2500))()
