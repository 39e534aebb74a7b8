-- attack: math.randomseed with a number, and without
-- expect: same
-- where: workflow
math.randomseed(42) local a = math.random(1, 1 << 40) math.randomseed(42, 7) local b = math.random(1, 1 << 40)
math.randomseed() ml.sleep(math.random(1, 1000)) return a .. ' ' .. b
