-- attack: a log line of an object shows no address
-- expect: value "fine"
-- where: workflow
ml.log.info(tostring({})) pcall(ml.log.info, {}) return 'fine'
