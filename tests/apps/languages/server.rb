# server.rb - a thread for each connection, a pool, a timer, a fibre: a line there, a line back
require 'socket'
require 'timeout'

counts = Queue.new
ticks = 0
jobs = Queue.new
log = File.open('log', 'w+')
3.times do
	Thread.new do
		loop do
			text, done = jobs.pop
			sleep 0.05
			done << text.reverse
		end
	end
end
Thread.new { loop { sleep 0.1; ticks += 1 } }
Thread.new do
	counter = Fiber.new { (1..).each { |n| Fiber.yield n } }
	loop { counts.pop << counter.resume }
end

server = TCPServer.new('127.0.0.1', ARGV[0].to_i)
loop do
	Thread.new(server.accept) do |client|
		while (line = client.gets)
			verb, rest = line.strip.split(' ', 2)
			case verb
			when 'count'
				counts << (done = Queue.new)
				client.puts done.pop
			when 'ticks' then client.puts ticks
			when 'file'
				log.write("line\n")
				log.flush
				client.puts log.pos / 5
			when 'work'
				jobs << [rest, done = Queue.new]
				client.puts Timeout.timeout(30) { done.pop }
			else client.puts '?'
			end
		end
		client.close
	end
end
