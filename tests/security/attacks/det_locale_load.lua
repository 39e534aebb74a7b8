-- attack: numbers in loaded text do not see the locale
-- expect: same
-- where: workflow
return load('return 1.5 + 0x.8p1 + 1e-1')()
