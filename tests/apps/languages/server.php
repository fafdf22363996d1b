<?php
/* server.php - stream_select and generators, a timer: a line there, a line back */
$server = stream_socket_server("tcp://127.0.0.1:$argv[1]", $errno, $error) or die("$error\n");
$clients = [];
$jobs = [];
$count = $ticks = 0;
$next = microtime(true) + 0.1;
$log = fopen('log', 'w+');
$counter = (function () { for ($n = 1; ; $n++) yield $n; })();

while (true) {
	$ready = array_merge([$server], $clients);
	$none = null;
	stream_select($ready, $none, $none, 0, 20000);
	foreach ($ready as $one) {
		if ($one === $server) {
			$client = stream_socket_accept($server);
			$clients[(int)$client] = $client;
			continue;
		}
		$line = fgets($one);
		if ($line === false) {
			unset($clients[(int)$one]);
			fclose($one);
			continue;
		}
		[$verb, $rest] = explode(' ', trim($line) . ' ', 2);
		switch ($verb) {
		case 'count':
			fwrite($one, $counter->current() . "\n");
			$counter->next();
			break;
		case 'ticks': fwrite($one, "$ticks\n"); break;
		case 'file':
			fwrite($log, "line\n");
			fwrite($one, ftell($log) / 5 . "\n");
			break;
		case 'work': $jobs[] = [microtime(true) + 0.05, $one, trim($rest)]; break;
		default: fwrite($one, "?\n");
		}
	}
	$now = microtime(true);
	foreach ($jobs as $i => [$at, $one, $text]) {
		if ($now < $at) continue;
		fwrite($one, strrev($text) . "\n");
		unset($jobs[$i]);
	}
	if ($now >= $next) {
		$ticks++;
		$next = $now + 0.1;
	}
}
