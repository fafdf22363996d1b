#!/usr/bin/env bash
# perl: interpreter threads, queues, a server
. "$(dirname "$0")/lib.sh"
need perl
perl -Mthreads -MThread::Queue -MIO::Socket::INET -e 1 2>/dev/null || { echo "this perl has no threads"; exit 77; }
cp "$here/languages/server.pl" "$work"
app_start perl server.pl 28200
generations 28200
