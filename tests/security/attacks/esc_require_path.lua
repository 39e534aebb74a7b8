-- attack: require of files by absolute and climbing paths
-- expect: value true
-- where: workflow
for _, name in ipairs {'/etc/passwd', '../../etc/passwd', '....etc.passwd', 'a\0b', ('x'):rep(300), '', '.', 'io', 'os.execute', 'posix'} do
  local ok, v = pcall(require, name) if ok and name ~= 'io' and v and type(v) == 'string' then return name end end return true
