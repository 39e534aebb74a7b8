-- A plain script: its top acts before it defines anything, so it is run as a program, with all bindings and `arg`.
--   moonloop run examples/02_script.lua -- 3
local ml = require "moonloop"

local dir = ml.fs.temp_dir()
local path = dir .. "/numbers.json"
local numbers = ml.list {}
for i = 1, tonumber(arg[1] or "5") do numbers[i] = i * i end
ml.fs.write(path, ml.json.encode(numbers))

local out = ml.process.run { "wc", "-c", path }
local back = ml.json.decode(ml.fs.read(path))
print(("%d squares, the last is %d, %s bytes"):format(#back, back[#back], out.stdout:match("%d+")))
print("sha256 " .. ml.crypto.sha256(ml.fs.read(path)))
ml.fs.remove(dir, { recursive = true })
