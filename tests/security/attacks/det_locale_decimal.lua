-- attack: numbers made into text and read do not see the locale
-- expect: same
-- where: workflow
return string.format('%.2f %g %a %5.1f', 1.5, 0.25, 1.5, 2.5) .. tostring(1.5) .. (1.5 .. '') .. tostring(tonumber('2.5')) .. tostring(tonumber('2,5')) .. tostring(pcall(function() return '1.5' + 1 end))
