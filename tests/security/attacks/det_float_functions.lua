-- attack: math functions through text
-- expect: same
-- where: workflow
return string.format('%.17g %.17g %.17g %.17g', math.sin(1), math.exp(1), math.log(3), 2 ^ 0.5)
