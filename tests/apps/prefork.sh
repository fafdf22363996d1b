#!/usr/bin/env bash
# perl and ruby servers that forked their workers beforehand: a shared listener, a pipe to the parent, dead workers replaced
. "$(dirname "$0")/lib.sh"
need perl
cat >"$work/server.pl" <<'END'
use strict; use warnings; use IO::Socket::INET; use POSIX ":sys_wait_h"; use Fcntl ":flock";
my $port = shift;
my $l = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => $port, Listen => 50, ReuseAddr => 1) or die "listen: $!";
my %kids; my $restarted = 0;
pipe(my $r, my $w) or die;
$w->autoflush(1);
sub count {
	open(my $f, "+<", "count") or die; flock($f, LOCK_EX);
	my $n = <$f> + 1; seek($f, 0, 0); print $f "$n\n"; close $f; return $n;
}
sub worker {
	$SIG{CHLD} = "DEFAULT";
	while (my $c = $l->accept) {
		$c->autoflush(1);
		while (my $line = <$c>) {
			$line =~ s/\s+$//;
			if ($line eq "count") { print $c count(), "\r\n" }
			elsif ($line eq "die") { print $c "$$\r\n"; exit 3 }
			else { print $w "$$\n"; print $c "$$ ", getppid(), "\r\n" }
		}
	}
}
open(my $f, ">", "count"); print $f "0\n"; close $f;
$SIG{CHLD} = sub { while ((my $p = waitpid(-1, WNOHANG)) > 0) { delete $kids{$p}; print "child $p ", $? >> 8, "\n" } };
$| = 1;
while (1) {
	while (keys %kids < 4) {
		my $p = fork; if (!$p) { worker(); exit }
		$kids{$p} = 1;
	}
	my $bits = ""; vec($bits, fileno($r), 1) = 1;
	if (select(my $out = $bits, undef, undef, 0.1) > 0) { sysread($r, my $told, 1000); }
}
END
cat >"$work/server.rb" <<'END'
require "socket"
STDOUT.sync = true
listener = TCPServer.new("127.0.0.1", ARGV[0].to_i)
File.write("count", "0")
def count
  File.open("count", "r+") { |f| f.flock(File::LOCK_EX); n = f.read.to_i + 1; f.rewind; f.write(n.to_s); n }
end
def worker(listener)
  loop do
    c = listener.accept
    Thread.new(c) do |s|
      while (line = s.gets)
        case line.strip
        when "count" then s.write("#{count}\r\n")
        when "die" then s.write("#{$$}\r\n"); s.flush; exit!(3)
        else s.write("#{$$} #{Process.ppid}\r\n")
        end
      end
      s.close
    end
  end
end
kids = 4.times.map { fork { worker(listener) } }
loop do
  pid, status = Process.wait2
  puts "child #{pid} #{status.exitstatus}"
  kids.delete(pid)
  kids << fork { worker(listener) }
end
END
ask() {
	client ask line "$port" "$@"
}
serve() { # COMMAND...
	local n generation
	: >"$dir/out"
	app_start "$@" $port
	until_ok ask who
	for generation in 1 2 3; do
		say "generation $generation of $1"
		loop line $port
		app_checkpoint
		unloop
		n=$(ask count)
		app_checkpoint
		app_kill all
		app_restart
		until_ok ask who
		app_same
		same "the counter" $((n + 1)) "$(ask count)"
		same "the worker's parent" "$root" "$(ask who | cut -d ' ' -f 2)"
		n=$(ask die)
		until_ok grep -q "child $n 3" "$dir/out"
		until_ok eval "[ \$(below \$outer | wc -l) = 4 ]"
		ask who >/dev/null
	done
	rm -rf "$images"/*
	app_kill all
	rm -f "$work/count"
}
port=28085
serve perl server.pl
if command -v ruby >/dev/null; then
	port=28086
	serve ruby server.rb
fi
say "three generations each"
