-- attack: string.format('%p') and '%s' of objects
-- expect: same
-- where: workflow
return string.format('%p %s %p %p', {}, {}, print, 'text')
