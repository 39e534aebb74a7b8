-- attack: package.loaded and package.preload filled with forgeries
-- expect: value true
-- where: workflow
package.loaded['moonloop.core'] = {} package.loaded.moonloop = {sleep = print} package.preload['moonloop.core'] = function() return 1 end
local ok = pcall(function() ml.all {ml.spawn(function() ml.sleep(1) end)} end) return ok or not ok
