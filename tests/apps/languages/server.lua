-- server.lua - a coroutine for each connection, a timer: a line there, a line back
local socket = require 'socket'

local count, ticks, nextTick = 0, 0, socket.gettime() + 0.1
local log = assert(io.open('log', 'w+'))
local server = assert(socket.bind('127.0.0.1', tonumber(arg[1]), 64))
server:settimeout(0)
local reading, waiting, threads, sleeping = { server }, {}, {}, {}

local function sleep(seconds)
	sleeping[coroutine.running()] = socket.gettime() + seconds
	coroutine.yield()
end

local function answer(verb, rest)
	if verb == 'count' then
		count = count + 1
		return count
	elseif verb == 'ticks' then
		return ticks
	elseif verb == 'file' then
		log:write('line\n')
		log:flush()
		return log:seek() // 5
	elseif verb == 'work' then
		sleep(0.05)
		return rest:reverse()
	end
	return '?'
end

local function drop(client)
	for i, one in ipairs(reading) do
		if one == client then table.remove(reading, i) end
	end
	threads[client] = nil
	client:close()
end

local function serve(client)
	while true do
		local line, err = client:receive('*l')
		if line then
			client:send(answer(line:match('^(%S+)%s*(.-)%s*$')) .. '\n')
		elseif err == 'timeout' then
			coroutine.yield()
		else
			return drop(client)
		end
	end
end

local function resume(thread)
	if coroutine.status(thread) ~= 'dead' then assert(coroutine.resume(thread)) end
end

while true do
	for _, one in ipairs(socket.select(reading, nil, 0.02)) do
		if one == server then
			local client = server:accept()
			if client then
				client:settimeout(0)
				reading[#reading + 1] = client
				threads[client] = coroutine.create(function() serve(client) end)
			end
		elseif threads[one] and not sleeping[threads[one]] then
			resume(threads[one])
		end
	end
	local now = socket.gettime()
	for thread, at in pairs(sleeping) do
		if now >= at then
			sleeping[thread] = nil
			resume(thread)
		end
	end
	if now >= nextTick then
		ticks, nextTick = ticks + 1, now + 0.1
	end
end
