-- attack: require of a module that is not there, nested in itself
-- expect: error not found
-- where: both
package.preload = nil return require 'not.there'
