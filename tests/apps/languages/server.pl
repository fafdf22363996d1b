# server.pl - a thread for each connection, a pool, a timer: a line there, a line back
use strict;
use warnings;
use threads;
use threads::shared;
use IO::Handle;
use IO::Socket::INET;
use Thread::Queue;

my ($count, $ticks) :shared = (0, 0);
my $jobs = Thread::Queue->new;
my $lines = 0;
open(my $log, '>', 'log') or die;
$log->autoflush(1);
open(my $back, '<', 'log') or die;

for (1 .. 3) {
	threads->create(sub {
		while (my $job = $jobs->dequeue) {
			select(undef, undef, undef, 0.05);
			$job->{done}->enqueue(scalar reverse $job->{text});
		}
	})->detach;
}
threads->create(sub {
	while (1) {
		select(undef, undef, undef, 0.1);
		lock($ticks);
		$ticks++;
	}
})->detach;

sub answer {
	my ($verb, $rest) = @_;
	if ($verb eq 'count') { lock($count); return ++$count; }
	if ($verb eq 'ticks') { lock($ticks); return $ticks; }
	if ($verb eq 'file') { print $log "line\n"; $lines++ while <$back>; return tell($back) / 5; }
	if ($verb eq 'work') {
		my $done = Thread::Queue->new;
		my %job :shared;
		%job = (text => $rest, done => $done);
		$jobs->enqueue(\%job);
		return $done->dequeue;
	}
	return '?';
}

my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $ARGV[0], Listen => 64, ReuseAddr => 1) or die "$@";
while (1) {
	my $client = $server->accept or next;
	threads->create(sub {
		while (defined(my $line = <$client>)) {
			$line =~ s/\s+$//;
			print $client answer(split(/ /, $line, 2)), "\n";
			$client->flush;
		}
	})->detach;
	close $client;
}
