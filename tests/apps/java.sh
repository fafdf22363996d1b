#!/usr/bin/env bash
# java: pools, a scheduler, NIO, compiled code, a collector at work. The JVM uses SIGUSR2 itself: another signal is the shim's.
. "$(dirname "$0")/lib.sh"
need java javac
javac -d "$work" "$here/languages/Server.java" || fail "javac"
# the JVM makes and ends compiler and collector threads as it sees fit
transient='(C[12] CompilerThre.*|GC Thread.*|G1 (Conc|Refine).*)'
export SKSHIM_SIGNAL=RTMIN+7
app_start java -Xmx128m -cp . Server 28240
generations 28240
same "a collection" ok "$(client ask line 28240 gc)"
