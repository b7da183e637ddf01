-- SPDX-License-Identifier: GPL-2.0-or-later
-- What scripts do, in fixed amounts: tables, strings, closures, integers, floats. Usage: lua mix.lua ROUNDS

local seed = 42
local function random(n)
	seed = (seed * 1103515245 + 12345) & 0x7fffffff
	return (seed >> 8) % n
end

local function queens(n)
	local solutions = 0
	local cols, up, down = {}, {}, {}
	local function place(row)
		if row > n then
			solutions = solutions + 1
			return
		end
		for c = 1, n do
			if not cols[c] and not up[row + c] and not down[row - c + n] then
				cols[c], up[row + c], down[row - c + n] = true, true, true
				place(row + 1)
				cols[c], up[row + c], down[row - c + n] = nil, nil, nil
			end
		end
	end
	place(1)
	return solutions
end

local function words()
	local parts, count = {}, {}
	for i = 1, 400 do
		parts[i] = string.format("%s%d", string.char(97 + random(26), 97 + random(4)), random(10))
	end
	local text = table.concat(parts, " ")
	for w in text:gmatch("%a+%d") do
		count[w] = (count[w] or 0) + 1
	end
	local keys = {}
	for k in pairs(count) do
		keys[#keys + 1] = k
	end
	table.sort(keys, function(x, y)
		if count[x] ~= count[y] then
			return count[x] > count[y]
		end
		return x < y
	end)
	return #keys * 1000 + count[keys[1]] + #(text:gsub("a", "<%0>"):upper())
end

local function orbits(steps)
	local bodies = {}
	for i = 1, 5 do
		bodies[i] = { x = i, y = i * 0.5, vx = 0, vy = 1 / i, m = 1 / (i * i) }
	end
	for _ = 1, steps do
		for i = 1, 5 do
			local p = bodies[i]
			for j = i + 1, 5 do
				local q = bodies[j]
				local dx, dy = p.x - q.x, p.y - q.y
				local d2 = dx * dx + dy * dy + 0.01
				local f = 0.001 / (d2 * math.sqrt(d2))
				p.vx, p.vy = p.vx - dx * q.m * f, p.vy - dy * q.m * f
				q.vx, q.vy = q.vx + dx * p.m * f, q.vy + dy * p.m * f
			end
		end
		for i = 1, 5 do
			local p = bodies[i]
			p.x, p.y = p.x + 0.001 * p.vx, p.y + 0.001 * p.vy
		end
	end
	local e = 0
	for i = 1, 5 do
		local p = bodies[i]
		e = e + 0.5 * p.m * (p.vx * p.vx + p.vy * p.vy)
	end
	return math.floor(e * 1e9 + 0.5)
end

local function sieve(n)
	local composite, primes = {}, 0
	for i = 2, n do
		if not composite[i] then
			primes = primes + 1
			for j = i * i, n, i do
				composite[j] = true
			end
		end
	end
	return primes
end

local Counter = {}
Counter.__index = Counter
function Counter.new(step)
	return setmetatable({ step = step, value = 0, hooks = {} }, Counter)
end
function Counter:hook(fn)
	self.hooks[#self.hooks + 1] = fn
end
function Counter:add()
	self.value = self.value + self.step
	for _, fn in ipairs(self.hooks) do
		fn(self)
	end
end

local function objects()
	local sum = 0
	local c = Counter.new(3)
	c:hook(function(s)
		sum = sum ~ s.value
	end)
	c:hook(function(s)
		sum = sum + (s.value & 7)
	end)
	for _ = 1, 1000 do
		c:add()
	end
	return sum
end

local rounds = tonumber(arg[1]) or 1
local total = 0
for _ = 1, rounds do
	local q = queens(6)
	if q ~= 4 then
		error("queens(6) is " .. q)
	end
	local p = sieve(2000)
	if p ~= 303 then
		error("303 primes below 2000, not " .. p)
	end
	total = (total * 31 + q + words() + orbits(40) + p + objects()) & 0xffffffff
end
print(string.format("lua %d %08x", rounds, total))
