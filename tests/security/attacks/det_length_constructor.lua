-- attack: # of constructors with nil
-- expect: same
-- where: workflow
return {#{1, nil, 3}, #{nil, nil, 3}, #{n = 1, 1, nil, nil, 4}, select('#', table.unpack({1, nil, 3}, 1, 3))}
