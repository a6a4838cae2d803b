-- Gives a token's value. A script and not GET, so that many are read with one call, by the rights that writing needs anyway.
-- KEYS  token
-- Returns the value, or nothing.
return redis.call('GET', KEYS[1])
